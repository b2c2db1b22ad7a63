"""The in-memory record of one turn: what was logged for it, at every level, and what went in and out; newest kept.

Taking something into the record costs next to nothing: structures are kept as they are and told as text when the record is
read, which happens once, after the turn and off the event loop.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from attrs import frozen

from openrouter_pipe.ports.session_log import LogEntry

__all__ = ["LogEntry", "TurnRecorder"]


@frozen
class _Note:
    ts: float
    event_type: str
    value: object


class TurnRecorder:
    """Keeps the newest ``max_lines`` entries; older ones are counted and dropped. ``now`` in seconds since the epoch."""

    def __init__(self, max_lines: int, now: Callable[[], float] = time.time) -> None:
        self._entries: deque[LogEntry | _Note] = deque(maxlen=max_lines)
        self._seen = 0
        self._now = now

    @property
    def dropped(self) -> int:
        """How many entries are no longer there."""
        return self._seen - len(self._entries)

    def entries(self, told: Callable[[float, str, object], LogEntry] | None = None) -> tuple[LogEntry, ...]:
        """What is kept, oldest first. ``told`` makes an entry of time, type and structure; without it there are only words."""
        found: list[LogEntry] = []
        for entry in tuple(self._entries):
            if isinstance(entry, LogEntry):
                found.append(entry)
            elif told is not None:
                found.append(told(entry.ts, entry.event_type, entry.value))
        return tuple(found)

    def add(self, entry: LogEntry) -> None:
        """Keep one more entry."""
        self._seen += 1
        self._entries.append(entry)

    def note(self, event_type: str, value: object) -> None:
        """Keep a structure: an immutable value of the ports, of type ``event_type``."""
        self._seen += 1
        self._entries.append(_Note(self._now(), event_type, value))
