"""The last good catalogue, kept for as long as the process runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from openrouter_pipe.ports.json import JsonObject
from openrouter_pipe.ports.provider import Connection


class MemoryCatalogueCopy:
    """`CatalogMemory` by provider address. ``now`` in seconds since the epoch."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._kept: dict[str, tuple[tuple[JsonObject, ...], float]] = {}

    async def load(self, connection: Connection) -> tuple[tuple[JsonObject, ...], float] | None:
        """The entries last kept; see `CatalogMemory.load`."""
        entries, at = self._kept.get(connection.base_url, ((), 0.0))
        return (entries, max(0.0, self._now() - at)) if entries else None

    async def save(self, connection: Connection, entries: Sequence[JsonObject]) -> None:
        """Keep entries; see `CatalogMemory.save`."""
        self._kept[connection.base_url] = (tuple(entries), self._now())
