"""Work of the host that is finished although nobody waits for it any more. Not here: what work.

The host's coroutines write to its database and its storage. Cut off amid a statement they leave a connection, and on SQLite
the one write lock with it, to nobody for a while; cut off between two steps, the first half stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any, Final, TypeVar

_T = TypeVar("_T")

MOST_LEFT: Final = 256
"""Works that nobody waits for any more; further ones are cut off, as a host that never answers would have them pile up."""

LAST_SECONDS: Final = 60.0
"""How long such a work may go on."""


class Finishing:
    """Runs works of the host and keeps those that were left until they have ended, ``most`` of them for ``seconds``."""

    def __init__(self, most: int = MOST_LEFT, seconds: float = LAST_SECONDS) -> None:
        self._most = most
        self._seconds = seconds
        self._left: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Await ``work``. Cancelled here, by a Stop or a time limit, it goes on; what it raises then is nobody's."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            self._leave(task)
            raise
        return task.result()

    def _leave(self, task: asyncio.Task[Any]) -> None:
        if len(self._left) >= self._most:
            task.cancel()
        self._left.add(task)
        end = asyncio.get_running_loop().call_later(self._seconds, task.cancel)
        task.add_done_callback(partial(self._ended, end))

    def _ended(self, end: asyncio.TimerHandle, task: asyncio.Task[Any]) -> None:
        end.cancel()
        self._left.discard(task)
        if not task.cancelled():
            task.exception()
