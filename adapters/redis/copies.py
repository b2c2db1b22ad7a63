"""Rows as Redis holds them: looked up, put there as copies of what the database has, and taken out again.

A row that waits in the queue has no expiry, a copy has one: that is how the two are told apart. When a row is written and
where it is read is decided in store.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Final

from openrouter_pipe.adapters.redis.connection import RedisLink
from openrouter_pipe.adapters.redis.keys import Keys
from openrouter_pipe.adapters.redis.rows import CachedRow, RowError, count, decode, encode, moment
from openrouter_pipe.ports.sealing import SealedArtifact

_AT_ONCE: Final = 500
_SWEPT_SECONDS: Final = 2 * 3600
"""Longer than any copy lives (REDIS_CACHE_TTL_SECONDS is at most an hour)."""


class Copies:
    """The rows of one pipe. Methods that ask Redis raise `RedisAway`; moments are in seconds since 1970."""

    def __init__(self, link: RedisLink, keys: Keys) -> None:
        self._link = link
        self._keys = keys
        self._swept = -1.0

    async def look(self, chat_ids: Sequence[str], ids: Sequence[str]) -> tuple[dict[str, CachedRow], dict[str, int]]:
        """Rows in cache or queue, and the chats' generations; what is no row of ours is absent. Raises `RedisAway`."""
        chats = list(dict.fromkeys(chat_ids))
        keys = [self._keys.swept, *(self._keys.generation(chat) for chat in chats)]
        first = len(keys)
        keys += [self._keys.row(one) for one in ids]
        answers: list[bytes | None] = []
        for start in range(0, len(keys), _AT_ONCE):
            async with self._link.use() as client:
                answers += await client.mget(keys[start : start + _AT_ONCE])
        self._swept = moment(answers[0])
        generations = {chat: count(answer) for chat, answer in zip(chats, answers[1:first], strict=True)}
        rows: dict[str, CachedRow] = {}
        for one, answer in zip(ids, answers[first:], strict=True):
            with contextlib.suppress(RowError):
                if answer is not None:
                    rows[one] = decode(answer)
        return rows, generations

    async def put(self, rows: Sequence[CachedRow], ttl_seconds: int) -> None:
        """Put copies of rows there, except where there is one already or where the row was deleted."""
        async with self._link.use() as client:
            buried = await client.mget([self._keys.gone(row.sealed.id) for row in rows]) if rows else []
            async with client.pipeline(transaction=False) as pipeline:
                for row, tombstone in zip(rows, buried, strict=True):
                    if tombstone is None:
                        pipeline.set(self._keys.row(row.sealed.id), encode(row), ex=ttl_seconds, nx=True)
                await pipeline.execute()

    async def outdate(self, now: float) -> None:
        """Have every copy of before read anew."""
        async with self._link.use() as client:
            await client.set(self._keys.swept, repr(now), ex=_SWEPT_SECONDS)

    def is_old(self, row: CachedRow, ttl_seconds: int, now: float) -> bool:
        """Whether a copy has served its time by our clock too: workers' clocks may differ, and Redis may stand still."""
        return abs(now - row.put_at) > ttl_seconds or row.put_at <= self._swept

    async def drop(self, ids: Sequence[str]) -> set[str]:
        """Take copies out of the cache, but not rows that wait in the queue; returns those taken out. Raises `RedisAway`."""
        copies = await self.of_stored(ids)
        if copies:
            async with self._link.use() as client:
                await client.unlink(*(self._keys.row(one) for one in copies))
        return copies

    async def of_stored(self, ids: Sequence[str]) -> set[str]:
        """Those of the rows that have an expiry, which is those that are in the database. Raises `RedisAway`."""
        if not ids:
            return set()
        async with self._link.use() as client, client.pipeline(transaction=False) as pipeline:
            for one in ids:
                pipeline.ttl(self._keys.row(one))
            answers = await pipeline.execute()
        return {one for one, ttl in zip(ids, answers, strict=True) if int(ttl) != -1}


def size(row: SealedArtifact) -> int:
    """Characters of the row's payload, roughly: its texts."""
    ciphertext = row.payload.get("ciphertext")
    return len(ciphertext) if isinstance(ciphertext, str) else len(str(row.payload))
