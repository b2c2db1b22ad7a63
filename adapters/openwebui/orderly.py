"""The host's event emitter for everybody who uses it in one turn: the answer and its tools. Not here: who says what.

The host reads a message's sources, adds one and writes them back, with other tasks running in between: of two sources told
at the same time one would be gone after a reload.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

_Emit: TypeAlias = Callable[[Any], Awaitable[Any]]


class OrderlyEvents:
    """Passes events on one after the other."""

    def __init__(self, emit: _Emit) -> None:
        self._emit = emit
        self._order = asyncio.Lock()

    async def __call__(self, event: Any) -> Any:
        """What the host answers."""
        async with self._order:
            return await self._emit(event)


def orderly(emit: Any) -> Any:
    """The emitter, if it is one, with its events one after the other; else whatever was given."""
    return OrderlyEvents(emit) if callable(emit) else emit
