"""The routes of the host that programs call, and what the host makes of an answer there.

Lives here: which route a call came by, and answers that the host passes on as they are. Not here: the lines of an answer.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from enum import Enum
from typing import Any, Final

from openrouter_pipe.adapters.openwebui.host import mapping, text


class Route(Enum):
    """How a program asks."""

    CHAT = "chat"  # OpenAI's chat completions
    MESSAGES = "messages"  # Anthropic's messages; the host translates every answer, also one that is an error
    UNKNOWN = "unknown"


_ENDS: Final = {"/chat/completions": Route.CHAT, "/messages": Route.MESSAGES, "/message": Route.MESSAGES}


def route_of(request: Any) -> Route:
    """The route of the host's request object, whatever that is."""
    path = text(mapping(getattr(request, "scope", None)).get("path"))
    return next((route for end, route in _ENDS.items() if path.endswith(end)), Route.UNKNOWN)


def own_response(
    body: AsyncGenerator[str, None], *, status: int = 200, media_type: str = "text/event-stream"
) -> Any | None:
    """A response that the host passes on as it is; None without a host, ``body`` is then untouched."""
    try:
        responses = importlib.import_module("starlette.responses")
    except ImportError:
        return None
    return responses.StreamingResponse(body, status_code=status, media_type=media_type)


async def as_events(lines: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    """``lines`` with the blank line that ends an event, which the host adds only to what it streams itself."""
    async with aclosing(lines):
        async for line in lines:
            yield line + "\n\n"
