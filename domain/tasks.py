"""Background tasks of the host: a chat title, tags, search queries. How such a turn differs is said where it differs.

A task is answered like a chat, but with no tools, plugins, statuses or shown reasoning, with two attempts, outside the
list of allowed models. What a failed task looks like to a host is the front end's business.
"""

from __future__ import annotations

from typing import Final

ATTEMPTS: Final = 2
"""How often a task's request is sent at most."""
