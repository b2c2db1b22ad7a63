"""Functions that the host runs beside the pipe. Their sources are constant text: nothing that came from outside is in them."""

from __future__ import annotations

from typing import Final

from openrouter_pipe.ports.host_models import Companion

SEARCH_FLAG: Final = "openrouter_web_search"
"""The field of a request by which the search switch asks the pipe for a search."""

_SEARCH_MARKER: Final = "openrouter_pipe_companion: web-search"
_SEARCH_VERSION: Final = 1
_ICON: Final = (
    "data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIHZpZXdCb3g9IjAgMCAyNCAyNCIgZmlsbD0ibm9uZSIgc3Ry"
    "b2tlPSJjdXJyZW50Q29sb3IiIHN0cm9rZS13aWR0aD0iMiI+PGNpcmNsZSBjeD0iMTEiIGN5PSIxMSIgcj0iNyIvPjxwYXRoIGQ9Im0yMSAyMS00LjMtNC4z"
    "Ii8+PC9zdmc+"
)

SEARCH_FILTER: Final = Companion(
    marker=_SEARCH_MARKER,
    version=_SEARCH_VERSION,
    suggested_id="openrouter_search",
    name="OpenRouter Search",
    description="Lets the model search the web through OpenRouter. Installed by openrouter-pipe.",
    source=f'''"""
title: OpenRouter Search
author: openrouter-pipe
description: Lets the model search the web through OpenRouter. Installed and updated by openrouter-pipe.
version: {_SEARCH_VERSION}
{_SEARCH_MARKER}
companion_version: {_SEARCH_VERSION}
"""


class Filter:
    def __init__(self):
        self.toggle = True
        self.icon = "{_ICON}"

    async def inlet(self, body: dict) -> dict:
        body["{SEARCH_FLAG}"] = True
        # One search is enough: Open WebUI's own stays out of this message.
        features = body.get("features")
        if isinstance(features, dict):
            body["features"] = {{**features, "web_search": False}}
        return body
''',
)
