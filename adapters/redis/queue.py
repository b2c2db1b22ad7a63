"""Write-behind: rows wait in a stream, any worker carries them to the database, and only then do they leave the stream.

Theory of operation. What is in the stream is not known to be in the database. Workers form one consumer group: each entry is
given to one of them. A worker writes a batch in one transaction and acknowledges it afterwards, in one script that also
removes the entries and lets the cached rows expire. A worker that dies in between leaves its entries to the others, who claim
them after `CLAIM_AFTER`; writing a row twice does no harm. Deleted rows leave a tombstone, looked at before and after writing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

from openrouter_pipe.adapters.redis.connection import RedisLink
from openrouter_pipe.adapters.redis.keys import GROUP, Keys
from openrouter_pipe.adapters.redis.rows import CachedRow, RowError, count, decode, encode
from openrouter_pipe.ports.artifacts import StorePolicy
from openrouter_pipe.ports.sealing import SealingArtifactStore

_log = logging.getLogger(__name__)

CLAIM_AFTER: Final = 15.0
"""Seconds after which an entry is taken over from a worker: longer than any transaction may take."""

_TOMBSTONE_SECONDS: Final = 7 * 24 * 3600
_REJECTED_KEPT: Final = 100

_APPEND: Final = """
local n = #ARGV
for i = 1, n do
  redis.call('XADD', KEYS[1], '*', 'row', ARGV[i])
  redis.call('SET', KEYS[1 + i], ARGV[i])
  redis.call('DEL', KEYS[1 + n + i])
end
return redis.call('XLEN', KEYS[1])
"""

_ACKNOWLEDGE: Final = """
for i = 3, #ARGV do
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[i])
  redis.call('XDEL', KEYS[1], ARGV[i])
end
for i = 2, #KEYS do redis.call('EXPIRE', KEYS[i], ARGV[2]) end
return redis.call('XLEN', KEYS[1])
"""

_BURY: Final = """
for i = 1, #KEYS, 2 do
  redis.call('SET', KEYS[i], '1', 'EX', ARGV[1])
  redis.call('DEL', KEYS[i + 1])
end
return 1
"""

_Entry = tuple[bytes, bytes | None]


class WriteBehind:
    """The queue of one pipe as one worker sees it. ``consumer`` is this worker's name in the group, unique."""

    def __init__(self, link: RedisLink, keys: Keys, consumer: str, *, claim_after: float = CLAIM_AFTER) -> None:
        self._link = link
        self._keys = keys
        self._consumer = consumer
        self._claim_after = claim_after
        self._has_group = False

    async def append(self, rows: Sequence[CachedRow]) -> int:
        """Put rows into queue and cache, all or none; returns the length of the queue. Raises `RedisAway`."""
        ids = [row.sealed.id for row in rows]
        keys = [self._keys.stream, *(self._keys.row(one) for one in ids), *(self._keys.gone(one) for one in ids)]
        texts = [encode(row) for row in rows]
        async with self._link.use() as client:
            return int(await client.eval(_APPEND, len(keys), *keys, *texts))

    async def backlog(self) -> int:
        """How many rows wait. Raises `RedisAway`."""
        async with self._link.use() as client:
            return int(await client.xlen(self._keys.stream))

    async def bury(self, ids: Sequence[str]) -> None:
        """Take rows out of the cache and see to it that the queue does not bring them back. Raises `RedisAway`."""
        keys = [key for one in ids for key in (self._keys.gone(one), self._keys.row(one))]
        async with self._link.use() as client:
            if keys:
                await client.eval(_BURY, len(keys), *keys, _TOMBSTONE_SECONDS)

    async def bury_chats(self, chat_ids: Sequence[str]) -> None:
        """As `bury`, for everything of these chats."""
        async with self._link.use() as client:
            for chat_id in chat_ids:
                key = self._keys.generation(chat_id)
                await client.incr(key)
                await client.expire(key, _TOMBSTONE_SECONDS)

    async def flush(self, sink: SealingArtifactStore, policy: StorePolicy, cache_ttl: int) -> int:
        """Carry one batch to the database; returns how many entries left the queue.

        Raises:
            RedisAway: nothing was lost; what was written is written again later.
            ArtifactStoreError: the database did not take it; the batch stays this worker's own.
        """
        entries = await self._next(policy.batch_size)
        if not entries:
            await self._redeliver_what_nobody_has()
            return 0
        rows: dict[str, CachedRow] = {}
        refused: dict[bytes, str] = {}
        for one, text in entries:
            try:
                row = decode(text)
            except RowError as error:
                refused[one] = str(error)
                continue
            rows.pop(row.sealed.id, None)
            rows[row.sealed.id] = row
        dead = await self._buried(list(rows.values()))
        live = [row for one, row in rows.items() if one not in dead]
        durable = await sink.save_sealed([row.sealed for row in live], policy.pipe_id) if live else frozenset()
        await self._delete_late(sink, [row for row in live if row.sealed.id in durable], policy)
        lost = [row.sealed.id for row in live if row.sealed.id not in durable]
        await self._set_aside(entries, refused, lost)
        await self._acknowledge([one for one, _ in entries], list(rows), cache_ttl)
        return len(entries)

    async def leave(self) -> None:
        """This worker ends: its name leaves the group unless it still holds entries. Raises `RedisAway`."""
        async with self._link.use() as client:
            if self._has_group:
                held = await client.xpending_range(self._keys.stream, GROUP, "-", "+", 1, consumername=self._consumer)
                if not held:
                    await client.xgroup_delconsumer(self._keys.stream, GROUP, self._consumer)

    async def _next(self, count: int) -> list[_Entry]:
        """Entries to write: what this worker failed to write, then what a dead one left, then new ones."""
        from redis.exceptions import ResponseError

        stream = self._keys.stream
        async with self._link.use() as client:
            if not self._has_group:
                await self._make_group(client)
            try:
                for position in ("0", None, ">"):
                    if position is None:
                        idle = int(self._claim_after * 1000)
                        claimed = await client.xautoclaim(stream, GROUP, self._consumer, idle, "0-0", count=count)
                        answer: Any = claimed[1]
                    else:
                        read = await client.xreadgroup(GROUP, self._consumer, {stream: position}, count=count)
                        answer = _of_one_stream(read)
                    entries = [(one, (fields or {}).get(b"row")) for one, fields in answer if one is not None]
                    if entries:
                        return entries
            except ResponseError as error:
                self._has_group = False
                if not str(error).startswith("NOGROUP"):
                    raise
        return []

    async def _make_group(self, client: Any) -> None:
        """From the very first entry: whatever is in the stream is still to be written."""
        from redis.exceptions import ResponseError

        try:
            await client.xgroup_create(self._keys.stream, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        self._has_group = True

    async def _redeliver_what_nobody_has(self) -> None:
        """Entries that were delivered but are held by no worker (one left the group too early) are delivered again."""
        async with self._link.use() as client:
            if self._has_group and await client.xlen(self._keys.stream):
                held = await client.xpending(self._keys.stream, GROUP)
                if not held["pending"]:
                    await client.xgroup_setid(self._keys.stream, GROUP, "0")

    async def _buried(self, rows: Sequence[CachedRow]) -> set[str]:
        if not rows:
            return set()
        chats = list(dict.fromkeys(row.sealed.chat_id for row in rows))
        keys = [self._keys.gone(row.sealed.id) for row in rows] + [self._keys.generation(chat) for chat in chats]
        async with self._link.use() as client:
            answers = await client.mget(keys)
        generations = {chat: count(answer) for chat, answer in zip(chats, answers[len(rows) :], strict=True)}
        return {
            row.sealed.id
            for row, tombstone in zip(rows, answers, strict=False)
            if tombstone is not None or row.generation < generations[row.sealed.chat_id]
        }

    async def _delete_late(self, sink: SealingArtifactStore, rows: Sequence[CachedRow], policy: StorePolicy) -> None:
        """What was deleted while it was being written is deleted again."""
        late = await self._buried(rows)
        chats: dict[str, list[str]] = {}
        for row in rows:
            if row.sealed.id in late:
                chats.setdefault(row.sealed.chat_id, []).append(row.sealed.id)
        for chat_id, ids in chats.items():
            await sink.delete(chat_id, ids, policy)

    async def _set_aside(self, entries: Sequence[_Entry], refused: dict[bytes, str], lost: Sequence[str]) -> None:
        """Entries that will never be written are kept for a look, a few of them; they must not block the queue."""
        if not refused and not lost:
            return
        for one, why in refused.items():
            _log.warning("Entry %s of the write-behind queue was set aside: %s", one.decode("ascii", "replace"), why)
        if lost:
            _log.warning("Artifacts %s were set aside: the database does not take them", ", ".join(lost[:5]))
        kept = [text for one, text in entries if one in refused] or [b""]
        async with self._link.use() as client:
            for text in kept:
                fields = {"row": (text or b"")[:10_000]}
                await client.xadd(self._keys.rejected, fields, maxlen=_REJECTED_KEPT, approximate=False)

    async def _acknowledge(self, entries: Sequence[bytes], ids: Sequence[str], ttl: int) -> None:
        keys = [self._keys.stream, *(self._keys.row(one) for one in ids)]
        async with self._link.use() as client:
            await client.eval(_ACKNOWLEDGE, len(keys), *keys, GROUP, ttl, *entries)


def _of_one_stream(answer: Any) -> Any:
    """The entries of an XREADGROUP on one stream: a list of pairs in RESP2, a mapping in RESP3."""
    if not answer:
        return []
    if isinstance(answer, dict):
        found = next(iter(answer.values()))
        return found[0] if found and isinstance(found[0], list) else found
    return answer[0][1]
