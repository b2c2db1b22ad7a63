"""Guarded downloads: whatever is fetched from an address that a user, a model or a catalogue named.

Here: connections that go only where the policy of `ports.files` allows. Not here: the judgement itself (`domain.media`).
"""

from openrouter_pipe.adapters.web.fetcher import GuardedFetcher
from openrouter_pipe.adapters.web.icons import IconPlace, WebIcons

__all__ = ["GuardedFetcher", "IconPlace", "WebIcons"]
