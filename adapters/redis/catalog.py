"""The catalogue between workers: one of them fetches it, the others take the copy.

The age of the copy is what Redis counts, so that workers whose clocks differ agree about it. Nobody depends on the worker that
fetches: one that dies, or takes too long, is not waited for. What lies in Redis is checked like any answer from outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import uuid
import zlib
from collections.abc import AsyncGenerator, Callable
from typing import Final

from openrouter_pipe.adapters.redis.connection import RedisAway, RedisLink
from openrouter_pipe.adapters.redis.keys import Keys
from openrouter_pipe.ports.catalog import CatalogSource
from openrouter_pipe.ports.json import JsonObject, JsonValue
from openrouter_pipe.ports.provider import Connection

_log = logging.getLogger(__name__)

HELD_SECONDS: Final = 24 * 3600.0
"""How long a copy lies in Redis; how long it may be used is the caller's to say."""

PATIENCE: Final = 8.0
"""Seconds for which the others leave the fetch to the worker that began it."""

_LOOK_EVERY: Final = 0.1
_LARGEST: Final = 64 * 1024 * 1024

_RELEASE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class SharedCatalog:
    """`SharedCatalogSource` in front of a source. ``allowed`` is asked before each use of Redis."""

    def __init__(
        self,
        source: CatalogSource,
        link: RedisLink,
        keys: Keys,
        allowed: Callable[[], bool] = lambda: True,
        *,
        patience: float = PATIENCE,
    ) -> None:
        self._source = source
        self._link = link
        self._keys = keys
        self._allowed = allowed
        self._patience = patience

    async def fetch(self, connection: Connection) -> tuple[JsonObject, ...]:
        """See `CatalogSource.fetch`; from the source itself, for nobody else."""
        return await self._source.fetch(connection)

    async def fetch_shared(self, connection: Connection, max_age: float) -> tuple[tuple[JsonObject, ...], float]:
        """See `SharedCatalogSource.fetch_shared`."""
        if not self._allowed():
            return await self._source.fetch(connection), 0.0
        # Two accounts may see different models. The digest tells nobody the key.
        which = hashlib.sha256(f"{connection.base_url}\0{connection.api_key.reveal()}".encode()).hexdigest()[:16]
        try:
            async with self._turn_of(which, max_age) as copy:
                if copy is not None:
                    return copy
                entries = await self._source.fetch(connection)
                with contextlib.suppress(RedisAway):
                    await self._keep(which, entries)
                return entries, 0.0
        except RedisAway:
            return await self._source.fetch(connection), 0.0

    @contextlib.asynccontextmanager
    async def _turn_of(
        self, which: str, max_age: float
    ) -> AsyncGenerator[tuple[tuple[JsonObject, ...], float] | None, None]:
        """A copy that is young enough; or None, and then the fetch is this worker's until the context ends."""
        me, waited = uuid.uuid4().hex, 0.0
        while True:
            if (copy := await self._copy(which, max_age)) is not None:
                yield copy
                return
            async with self._link.use() as client:
                mine = await client.set(self._keys.catalog_turn(which), me, nx=True, px=int(self._patience * 1000))
            if mine or waited >= self._patience:
                break
            await asyncio.sleep(_LOOK_EVERY)
            waited += _LOOK_EVERY
        try:
            yield await self._copy(which, max_age)  # another worker may have ended between the two looks
        finally:
            with contextlib.suppress(RedisAway):
                async with self._link.use() as client:
                    await client.eval(_RELEASE, 1, self._keys.catalog_turn(which), me)

    async def _copy(self, which: str, max_age: float) -> tuple[tuple[JsonObject, ...], float] | None:
        key = self._keys.catalog(which)
        async with self._link.use() as client:
            left = await client.pttl(key)
            age = HELD_SECONDS - left / 1000
            if left < 0 or age >= max_age:
                return None
            packed = await client.get(key)
        entries = await asyncio.to_thread(_unpack, packed or b"")
        if entries is None:
            _log.warning("the copy of the model catalogue in Redis cannot be read; it is fetched anew")
            return None
        return entries, max(0.0, age)

    async def _keep(self, which: str, entries: tuple[JsonObject, ...]) -> None:
        packed = await asyncio.to_thread(_pack, entries)
        async with self._link.use() as client:
            await client.set(self._keys.catalog(which), packed, px=int(HELD_SECONDS * 1000))


def _pack(entries: tuple[JsonObject, ...]) -> bytes:
    return zlib.compress(json.dumps(entries, separators=(",", ":")).encode(), 1)


def _unpack(packed: bytes) -> tuple[JsonObject, ...] | None:
    """None for anything but a list of entries of bearable size."""
    try:
        value: JsonValue = json.loads(zlib.decompressobj().decompress(packed, _LARGEST))
    except (zlib.error, ValueError, RecursionError):
        return None
    entries = tuple(one for one in value if isinstance(one, dict)) if isinstance(value, list) else ()
    return entries or None
