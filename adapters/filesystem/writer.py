"""Records on their way to the disk: a bounded queue that an answer never waits for, and one worker that empties it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Final

from openrouter_pipe.adapters.filesystem import archives
from openrouter_pipe.adapters.filesystem.paths import ArchiveError, root_of
from openrouter_pipe.adapters.filesystem.remedies import remedy
from openrouter_pipe.ports.session_log import ArchivePolicy, SessionLog
from openrouter_pipe.ports.telemetry import Metrics

_log = logging.getLogger(__name__)

CAPACITY: Final = 500
"""Records that may wait."""


class ArchiveWriter:
    """`SessionLogs` on disk. `run` is the worker; `aclose` writes what still waits."""

    def __init__(self, metrics: Metrics, capacity: int = CAPACITY) -> None:
        self._metrics = metrics
        self._capacity = capacity
        self._waiting: deque[tuple[SessionLog, ArchivePolicy]] = deque()
        self._wake: asyncio.Event | None = None
        self._writing: asyncio.Task[None] | None = None
        self._dropping = False
        self._linked: set[str] = set()

    def submit(self, log: SessionLog, policy: ArchivePolicy) -> bool:
        """Queue a record; see `SessionLogs.submit`."""
        if len(self._waiting) >= self._capacity:
            self._count("dropped")
            if not self._dropping:  # one line for a whole jam, not one a turn
                _log.warning(
                    "session logs are dropped: %d wait to be written to %s; see whether that disk is slow or hangs",
                    self._capacity,
                    policy.directory,
                )
            self._dropping = True
            return False
        self._dropping = False
        self._waiting.append((log, policy))
        if self._wake is not None:
            self._wake.set()
        return True

    async def run(self) -> None:
        """Write records as they come, until cancelled."""
        wake = self._wake = asyncio.Event()
        while True:
            await self._drain()
            wake.clear()
            if not self._waiting:
                await wake.wait()

    async def aclose(self) -> None:
        """Write what still waits, and what is being written; whoever is in a hurry cancels."""
        await self._drain()

    async def _drain(self) -> None:
        while True:
            if self._writing is None or self._writing.done():
                if not self._waiting:
                    return
                self._writing = asyncio.create_task(self._write(*self._waiting.popleft()))
            # One at a time, whoever asks; and a worker that is ended leaves a record half done to nobody.
            await asyncio.shield(self._writing)

    async def _write(self, log: SessionLog, policy: ArchivePolicy) -> None:
        self._count(await asyncio.to_thread(self._written, log, policy))

    def _count(self, outcome: str) -> None:
        self._metrics.count("session_logs", labels={"outcome": outcome})

    def _written(self, log: SessionLog, policy: ArchivePolicy) -> str:
        """Write one record, in a thread; how that went."""
        try:
            archives.write(log, policy)
        except ArchiveError as error:
            _log.warning("a session log was not written: %s", error)
            return "failed"
        except OSError as error:
            # It names the file and the reason, and holds nothing of the record.
            _log.warning("a session log was not written: %s; %s", error, remedy(error))
            return "failed"
        except Exception as error:  # noqa: BLE001 - the edge: a record that cannot be made must not end the worker
            _log.warning("a session log was not written: %s", type(error).__name__)
            return "failed"
        self._tell_of_link(policy.directory)
        return "written"

    def _tell_of_link(self, directory: str) -> None:
        """Say once that the directory itself is a link: operators do that, but whoever may change it moves the archives."""
        root = root_of(directory)
        if directory not in self._linked and root.is_symlink():
            self._linked.add(directory)
            _log.warning("SESSION_LOG_DIR %s is a link; name the directory itself: %s", root, root.resolve())
