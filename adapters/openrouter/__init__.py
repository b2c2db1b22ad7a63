"""OpenRouter over HTTP: the two wires (responses and chat completions), the catalogue, the item codec and the clients.

Everything that is a name on OpenRouter's wire lives here and nowhere else. Decisions (what to ask for, whether to try
again, what an error means to a user) do not live here; they are the domain's.
"""

from openrouter_pipe.adapters.openrouter.catalog import OpenRouterCatalog
from openrouter_pipe.adapters.openrouter.client import HttpClients
from openrouter_pipe.adapters.openrouter.codec import OpenRouterItemCodec
from openrouter_pipe.adapters.openrouter.provider import OpenRouterProvider

__all__ = ["HttpClients", "OpenRouterCatalog", "OpenRouterItemCodec", "OpenRouterProvider"]
