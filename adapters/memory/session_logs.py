"""Session logs in memory: what was handed over, newest last."""

from __future__ import annotations

from collections import deque

from openrouter_pipe.ports.session_log import ArchivePolicy, LogEntry, SessionLog


class MemorySessionLogs:
    """`SessionLogs` that keeps the newest ``capacity`` records, entries made at once."""

    def __init__(self, capacity: int = 500) -> None:
        self.kept: deque[tuple[SessionLog, tuple[LogEntry, ...]]] = deque(maxlen=capacity)

    def submit(self, log: SessionLog, policy: ArchivePolicy) -> bool:
        """Keep the record; see `SessionLogs.submit`."""
        self.kept.append((log, tuple(log.entries())))
        return True
