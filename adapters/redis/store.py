"""`ArtifactStore` in front of another: reads from the cache, writes behind, and steps aside where Redis cannot be trusted.

Reads look into cache and queue (one look: a row stays in the cache at least until it is in the database), then into the
store behind. Writes go to the queue; directly when Redis is away, may lose keys, or when the queue cannot be emptied.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from attrs import evolve, fields

from openrouter_pipe.adapters.redis.connection import RedisAway, RedisLink
from openrouter_pipe.adapters.redis.copies import Copies, size
from openrouter_pipe.adapters.redis.keys import Keys
from openrouter_pipe.adapters.redis.owed import Owed
from openrouter_pipe.adapters.redis.queue import CLAIM_AFTER, WriteBehind
from openrouter_pipe.adapters.redis.rows import LARGEST, CachedRow
from openrouter_pipe.ports.artifacts import Artifact, ArtifactStoreError, StorePolicy
from openrouter_pipe.ports.clean_up import Preloading
from openrouter_pipe.ports.sealing import SealedArtifact, SealingArtifactStore, SharedStorePolicy
from openrouter_pipe.ports.settings import Secret
from openrouter_pipe.ports.telemetry import Metrics

_log = logging.getLogger(__name__)

FLUSH_INTERVAL: Final = 0.5
"""Seconds between looks at the queue where nothing wakes the worker: what is only in Redis is there about this long."""

_PAUSE: Final = 0.02
"""Seconds between two batches, so that a long queue is carried over without crowding out the turns."""

_LONGEST_PAUSE: Final = 5.0
_DRAIN_SECONDS: Final = 3.0
_GRACE_SECONDS: Final = 1.0
"""How long closing carries on with what waits in the queue."""

_LONGEST_QUEUE: Final = 100_000
"""Rows after which Redis is not filled further, however long the database is away."""


class CachedArtifactStore:
    """`ArtifactStore` over ``inner`` and Redis, for one pipe. Owns both: `aclose` closes them.

    ``now`` is the wall clock, aware, UTC. Nothing is opened before first use. ``flush_interval`` in seconds. `run` carries the
    queue over and has to run beside the turns; where it does not, another worker's does.
    """

    def __init__(
        self,
        inner: SealingArtifactStore,
        link: RedisLink,
        keys: Keys,
        metrics: Metrics,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        flush_interval: float = FLUSH_INTERVAL,
        claim_after: float = CLAIM_AFTER,
    ) -> None:
        self._inner = inner
        self._link = link
        self._metrics = metrics
        self._now = now
        self._flush_interval = flush_interval
        self._copies = Copies(link, keys)
        self._queue = WriteBehind(link, keys, uuid.uuid4().hex, claim_after=claim_after)
        self._owed = Owed(self._copies, self._queue)
        self._policy = SharedStorePolicy(keys.pipe_id, Secret(""))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._used = asyncio.Event()
        self._wake = asyncio.Event()
        self._stop = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._failures = 0
        self._empty = False
        self._direct = False
        self._warned = False
        self._closed = False

    async def preload(self) -> None:
        """See `Preloading.preload`."""
        if isinstance(self._inner, Preloading):
            await self._inner.preload()

    async def run(self) -> None:
        """Carry the queue over for as long as the store is open; a background worker."""
        self._bind()
        await self._used.wait()  # before that it is not known how the store is to be kept
        own = asyncio.current_task()
        # A library may swallow the cancellation that it was to pass on (asyncio.wait_for before Python 3.12 does).
        while not self._closed and not (own and own.cancelling()):
            self._wake.clear()
            pause = await self._step()
            patient = self._failures or pause <= _PAUSE  # nothing but the end may shorten it
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await (self._stop if patient else self._wake).wait()

    async def aclose(self) -> None:
        """Write what is still waiting, as far as that goes quickly; then stop and close everything."""
        self._closed = True
        self._stop.set()
        self._wake.set()
        try:
            if self._used.is_set():
                with contextlib.suppress(RedisAway, ArtifactStoreError):
                    await self._drain(_GRACE_SECONDS)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_GRACE_SECONDS), self._flushing:
                        pass  # the batch at hand has come to its end, where `run` is not cancelled before
                with contextlib.suppress(RedisAway):
                    await self._queue.leave()
        finally:
            await self._link.aclose()
            await self._inner.aclose()

    async def save(self, artifacts: Sequence[Artifact], policy: StorePolicy) -> frozenset[str]:
        """See `ArtifactStore.save`; what is acknowledged is in the queue or in the database."""
        limits = self._note(policy)
        if not artifacts:
            return frozenset()
        if not limits.shared or self._direct or not self._link.available:
            return await self._save_directly(artifacts, policy)
        rows = await self._inner.seal(artifacts, policy)
        if any(size(row) > LARGEST for row in rows):
            return await self._save_directly(artifacts, policy)
        try:
            return await self._enqueue(rows, limits)
        except RedisAway:
            return await self._save_directly(artifacts, policy)

    async def load(self, chat_id: str, ids: Sequence[str], policy: StorePolicy) -> dict[str, Artifact]:
        """See `ArtifactStore.load`. What the cache holds is answered even while the database is away."""
        limits = self._note(policy)
        wanted = list(dict.fromkeys(ids))
        if not wanted or not chat_id:
            return {}
        if not limits.shared:
            return await self._inner.load(chat_id, wanted, policy)
        found, generation = await self._from_cache(chat_id, wanted, limits)
        missing = [one for one in wanted if one not in found]
        self._metrics.count("artifact_cache_hits", len(found))
        self._metrics.count("artifact_cache_misses", len(missing))
        if not missing:
            return found
        try:
            rest = await self._inner.load(chat_id, missing, policy)
        except ArtifactStoreError as error:
            if not found:
                raise
            _log.warning("%d artifacts are not in the cache and the database is away: %s", len(missing), error)
            return found
        await self._fill_cache(rest, generation, limits)
        return found | rest

    async def load_cached(self, chat_id: str, ids: Sequence[str], policy: StorePolicy) -> dict[str, Artifact]:
        """See `CachedReads.load_cached`: cache and queue, never the database."""
        limits = self._note(policy)
        wanted = list(dict.fromkeys(ids))
        if not wanted or not chat_id or not limits.shared:
            return {}
        found, _ = await self._from_cache(chat_id, wanted, limits)
        self._metrics.count("artifact_cache_hits", len(found))
        return found

    async def delete(self, chat_id: str, ids: Sequence[str], policy: StorePolicy) -> int:
        """See `ArtifactStore.delete`."""
        self._note(policy)
        wanted = list(dict.fromkeys(ids))
        try:
            rows, _ = await self._copies.look([chat_id], wanted)
            own = [one for one, row in rows.items() if row.sealed.chat_id == chat_id]
            with contextlib.suppress(ArtifactStoreError):
                await self._settle(own)
            await self._queue.bury(own)
        except RedisAway:
            self._owed.rows(chat_id, wanted, self._now().timestamp())
        return await self._inner.delete(chat_id, wanted, policy)

    async def delete_chats(self, chat_ids: Sequence[str], policy: StorePolicy) -> int:
        """See `ArtifactStore.delete_chats`."""
        self._note(policy)
        own = [one for one in dict.fromkeys(chat_ids) if 0 < len(one) <= 64]
        try:
            with contextlib.suppress(ArtifactStoreError):
                await self._drain()
            await self._queue.bury_chats(own)
        except RedisAway:
            self._owed.chats(own)
        return await self._inner.delete_chats(chat_ids, policy)

    async def clean_up(self, older_than: datetime, policy: StorePolicy) -> int:
        """See `ArtifactStore.clean_up`."""
        await self._prepare_sweep(policy)
        gone = await self._inner.clean_up(older_than, policy)
        await self._end_sweep(gone)
        return gone

    async def delete_orphans(self, older_than: datetime, policy: StorePolicy) -> int:
        """See `ArtifactCleanUp.delete_orphans`."""
        await self._prepare_sweep(policy)
        gone = await self._inner.delete_orphans(older_than, policy)
        await self._end_sweep(gone)
        return gone

    async def flush(self) -> int:
        """Carry one batch to the database now; returns how many rows left the queue.

        Raises:
            RedisAway: Redis cannot be used.
            ArtifactStoreError: the database cannot be used.
        """
        async with self._flushing:
            await self._owed.settle()
            return await self._queue.flush(self._inner, self._policy, self._policy.cache_ttl_seconds)

    async def backlog(self) -> int:
        """How many rows are not in the database yet. Raises `RedisAway`."""
        return await self._queue.backlog()

    def _note(self, policy: StorePolicy) -> SharedStorePolicy:
        """Note what the settings say now."""
        self._bind()
        limits = policy if isinstance(policy, SharedStorePolicy) else _shared(policy, self._policy)
        self._policy = limits
        self._used.set()
        return limits

    def _bind(self) -> None:
        """What waits belongs to the running event loop."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            self._used, self._wake, self._stop = asyncio.Event(), asyncio.Event(), asyncio.Event()
            self._flushing = asyncio.Lock()

    async def _prepare_sweep(self, policy: StorePolicy) -> None:
        self._note(policy)
        with contextlib.suppress(RedisAway, ArtifactStoreError):
            await self._drain()

    async def _end_sweep(self, gone: int) -> None:
        """Which rows went is not known here: every copy of before is to be read anew."""
        if gone:
            self._owed.sweep(self._now().timestamp())
            with contextlib.suppress(RedisAway):
                await self._owed.settle()

    async def _save_directly(self, artifacts: Sequence[Artifact], policy: StorePolicy) -> frozenset[str]:
        self._metrics.count("artifact_direct_writes")
        return await self._inner.save(artifacts, policy)

    async def _enqueue(self, sealed: Sequence[SealedArtifact], limits: SharedStorePolicy) -> frozenset[str]:
        earlier, generations = await self._copies.look([row.chat_id for row in sealed], [row.id for row in sealed])
        own = [row for row in sealed if row.id not in earlier or earlier[row.id].sealed.chat_id == row.chat_id]
        if len(own) < len(sealed):
            _log.warning("%d artifacts were not stored: their ids belong to another chat", len(sealed) - len(own))
        if not own:
            return frozenset()
        if not self._link.can_hold:
            raise RedisAway("it evicts keys")
        stamp = self._now().timestamp()
        length = await self._queue.append([CachedRow(row, generations[row.chat_id], stamp) for row in own])
        self._empty = False
        self._watch(length, limits)
        self._wake.set()
        return frozenset(row.id for row in own)

    def _watch(self, length: int, limits: SharedStorePolicy) -> None:
        self._metrics.gauge("artifact_backlog", length)
        if length > _LONGEST_QUEUE:
            self._go_direct(f"{length} rows wait")
        if length <= limits.pending_warn_threshold:
            self._warned = False
        elif not self._warned:
            self._warned = True
            _log.warning("%d artifacts wait to be written (REDIS_PENDING_WARN_THRESHOLD)", length)

    async def _from_cache(
        self, chat_id: str, wanted: Sequence[str], limits: SharedStorePolicy
    ) -> tuple[dict[str, Artifact], int | None]:
        """What the cache holds for this chat, and the chat's generation (None: Redis is away)."""
        try:
            await self._owed.settle()
            rows, generations = await self._copies.look([chat_id], wanted)
            generation = generations[chat_id]
            own = {
                one: row
                for one, row in rows.items()
                if row.sealed.chat_id == chat_id and row.sealed.id == one and row.generation == generation
            }
            now = self._now().timestamp()
            outdated = [one for one, row in own.items() if self._copies.is_old(row, limits.cache_ttl_seconds, now)]
            stale = await self._copies.drop(outdated)
        except RedisAway:
            return {}, None
        # An old copy goes back to the database, where reading makes it young; what waits in the queue is only here.
        fresh = [row.sealed for one, row in own.items() if one not in stale]
        return await self._inner.unseal(fresh, limits), generation

    async def _fill_cache(
        self, artifacts: dict[str, Artifact], generation: int | None, limits: SharedStorePolicy
    ) -> None:
        if generation is None or not artifacts or not self._link.available:
            return
        now = self._now()
        rows = await self._inner.seal([evolve(one, created_at=now) for one in artifacts.values()], limits)
        small = [CachedRow(row, generation, now.timestamp()) for row in rows if size(row) <= LARGEST]
        with contextlib.suppress(RedisAway):
            await self._copies.put(small, limits.cache_ttl_seconds)

    async def _settle(self, ids: Sequence[str]) -> None:
        """Wait until these rows are in the database, for a few seconds at most."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        while len(await self._copies.of_stored(ids)) < len(ids) and time.monotonic() < deadline:
            if not await self.flush():
                await asyncio.sleep(_PAUSE)

    async def _drain(self, seconds: float = _DRAIN_SECONDS) -> None:
        """Empty the queue, as far as a few seconds go; entries in other workers' hands are waited for."""
        deadline = time.monotonic() + seconds
        while await self._queue.backlog() and time.monotonic() < deadline:
            if not await self.flush():
                await asyncio.sleep(_PAUSE)

    async def _step(self) -> float:
        """One batch; returns the seconds to wait before the next."""
        if self._empty and not self._policy.shared:
            return self._flush_interval
        try:
            written = await self.flush()
            waiting = await self._queue.backlog() if not written else -1
        except RedisAway:
            return 2 * self._flush_interval
        except ArtifactStoreError as error:
            self._failures += 1
            self._metrics.count("artifact_flushes", 1, {"outcome": "failed"})
            if self._failures == 1:
                _log.warning("Artifacts cannot be written behind now; they wait in Redis: %s", error)
            if self._failures >= self._policy.flush_failure_limit:
                self._go_direct(f"{self._failures} attempts failed (REDIS_FLUSH_FAILURE_LIMIT)")
            with contextlib.suppress(RedisAway):
                self._watch(await self._queue.backlog(), self._policy)
            return min(_LONGEST_PAUSE, self._flush_interval * 2.0 ** min(self._failures, 6))
        if written:
            self._metrics.count("artifact_flushes", 1, {"outcome": "ok"})
            self._failures = 0
            return min(_PAUSE, self._flush_interval)
        if waiting == 0:
            self._emptied()
        else:
            self._watch(waiting, self._policy)
        return self._flush_interval

    def _go_direct(self, why: str) -> None:
        if not self._direct:
            self._direct = True
            _log.warning("Artifacts are written directly until the queue is empty: %s", why)

    def _emptied(self) -> None:
        self._empty = True
        self._metrics.gauge("artifact_backlog", 0)
        self._failures = 0
        if self._direct:
            self._direct = False
            _log.warning("The queue is empty; artifacts are written behind again")


def _shared(policy: StorePolicy, known: SharedStorePolicy) -> SharedStorePolicy:
    """A policy that says nothing about sharing, with what the latest one said."""
    return evolve(known, **{field.name: getattr(policy, field.name) for field in fields(StorePolicy)})
