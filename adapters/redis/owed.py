"""Deletions that Redis was not there to hear of: what is kept there would outlive them, also a restart with persistence on.

Each worker remembers its own until it reaches Redis again, and makes up for them before it reads or carries over anything.
Not here: deleting from the database, which did not wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from openrouter_pipe.adapters.redis.copies import Copies
from openrouter_pipe.adapters.redis.queue import WriteBehind

_MOST_ROWS: Final = 10_000
"""Rows remembered one by one; of more of them, only that copies of before do not count."""


class Owed:
    """What one worker owes Redis. Moments are in seconds since 1970."""

    def __init__(self, copies: Copies, queue: WriteBehind) -> None:
        self._copies = copies
        self._queue = queue
        self._rows: dict[str, dict[str, None]] = {}
        self._count = 0
        self._chats: dict[str, None] = {}
        self._swept: float | None = None

    def rows(self, chat_id: str, ids: Sequence[str], now: float) -> None:
        """These rows of a chat were deleted."""
        self._count += len(ids)
        if self._count > _MOST_ROWS:
            self.sweep(now)
        else:
            self._rows.setdefault(chat_id, {}).update(dict.fromkeys(ids))

    def chats(self, chat_ids: Iterable[str]) -> None:
        """Everything of these chats was deleted."""
        self._chats.update(dict.fromkeys(chat_ids))

    def sweep(self, now: float) -> None:
        """Rows were deleted, it is not known which."""
        self._swept = now

    async def settle(self) -> None:
        """Make up for all of it; what cannot be done now stays owed. Raises `RedisAway`."""
        while self._rows:
            chat_id, ids = next(iter(self._rows.items()))
            known = list(ids)
            found, _ = await self._copies.look([chat_id], known)
            await self._queue.bury([one for one, row in found.items() if row.sealed.chat_id == chat_id])
            for one in known:  # others may have joined them meanwhile
                ids.pop(one, None)
            if not ids:
                self._rows.pop(chat_id, None)
        self._count = 0
        if self._chats:
            chats = list(self._chats)
            await self._queue.bury_chats(chats)
            for one in chats:
                self._chats.pop(one, None)
        if self._swept is not None:
            swept = self._swept
            await self._copies.outdate(swept)
            if self._swept == swept:
                self._swept = None
