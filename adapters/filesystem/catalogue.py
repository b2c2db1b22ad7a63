"""The last good catalogue in a file, for a start without network. A copy that cannot be read or written is no error."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from openrouter_pipe.ports.json import JsonObject
from openrouter_pipe.ports.provider import Connection

_log = logging.getLogger(__name__)

LARGEST: Final = 64 * 1024 * 1024
"""Bytes of a file that is read; ours have one or two million."""


class CatalogueFile:
    """`CatalogMemory` in ``folder``, one file per provider address; None keeps nothing. ``now`` in seconds since the epoch."""

    def __init__(self, folder: Path | None, now: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._now = now

    async def load(self, connection: Connection) -> tuple[tuple[JsonObject, ...], float] | None:
        """The entries last kept; see `CatalogMemory.load`."""
        path = self._path(connection)
        return None if path is None else await asyncio.to_thread(self._read, path)

    async def save(self, connection: Connection, entries: Sequence[JsonObject]) -> None:
        """Keep entries; see `CatalogMemory.save`."""
        path = self._path(connection)
        if path is not None:
            await asyncio.to_thread(self._write, path, list(entries))

    def _path(self, connection: Connection) -> Path | None:
        if self._folder is None:
            return None
        address = hashlib.sha256(connection.base_url.encode()).hexdigest()[:16]
        return self._folder / f"catalogue-{address}.json"

    def _read(self, path: Path) -> tuple[tuple[JsonObject, ...], float] | None:
        try:
            if path.stat().st_size > LARGEST:
                return None
            kept = json.loads(path.read_bytes())
            entries = tuple(entry for entry in kept["entries"] if isinstance(entry, dict))
            age = max(0.0, self._now() - float(kept["fetched_at"]))
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        return (entries, age) if entries else None

    def _write(self, path: Path, entries: list[JsonObject]) -> None:
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary.write_text(json.dumps({"fetched_at": self._now(), "entries": entries}), encoding="utf-8")
            temporary.replace(path)
        except (OSError, ValueError) as error:
            _log.debug("the catalogue was not kept for the next start: %s", error)
            temporary.unlink(missing_ok=True)
