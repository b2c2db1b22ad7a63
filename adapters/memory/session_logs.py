"""Session logs in memory: what was handed over, oldest first."""

from __future__ import annotations

from openrouter_pipe.ports.session_log import ArchivePolicy, LogEntry, SessionLog


class MemorySessionLogs:
    """`SessionLogs` with room for ``capacity`` records, entries made at once; ``kept`` holds them."""

    def __init__(self, capacity: int = 500) -> None:
        self.kept: list[tuple[SessionLog, tuple[LogEntry, ...]]] = []
        self._capacity = capacity

    def submit(self, log: SessionLog, policy: ArchivePolicy) -> bool:
        """Keep the record; see `SessionLogs.submit`."""
        if len(self.kept) >= self._capacity:
            return False
        self.kept.append((log, tuple(log.entries())))
        return True
