"""The in-memory record of one turn: everything that was logged for it, at every level, newest kept."""

from __future__ import annotations

from collections import deque

from attrs import field, frozen


@frozen
class LogEntry:
    """One log record, redacted. ``ts`` is in seconds since the epoch; ``exception`` is the traceback, empty if none."""

    ts: float
    level: str
    logger: str
    message: str = field(repr=False)
    request_id: str
    user_id: str
    session_id: str
    chat_id: str
    message_id: str
    event_type: str
    module: str
    func: str
    lineno: int
    exception: str = field(default="", repr=False)


class TurnRecorder:
    """Keeps the newest ``max_lines`` entries; older ones are counted and dropped."""

    def __init__(self, max_lines: int) -> None:
        self._entries: deque[LogEntry] = deque(maxlen=max_lines)
        self._seen = 0

    @property
    def dropped(self) -> int:
        """How many entries are no longer there."""
        return self._seen - len(self._entries)

    def entries(self) -> tuple[LogEntry, ...]:
        """What is kept, oldest first."""
        return tuple(self._entries)

    def add(self, entry: LogEntry) -> None:
        """Keep one more entry."""
        self._seen += 1
        self._entries.append(entry)
