"""The record of one turn for whoever has to find out later what happened, and where such records are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from attrs import field, frozen

from openrouter_pipe.ports.settings import Secret


@frozen
class LogEntry:
    """One log record, redacted. ``ts`` is in seconds since the epoch; ``exception`` is the traceback, empty if none.

    ``event_type`` is ``log`` for what was logged in words; every other type names a structure whose JSON text is the message.
    """

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


@frozen
class SessionLog:
    """One turn's record. ``entries`` makes its entries, oldest first: some milliseconds of work, done off the event loop."""

    user_id: str
    session_id: str
    chat_id: str
    message_id: str
    request_id: str
    created_at: float
    entries: Callable[[], Sequence[LogEntry]] = field(repr=False)


@frozen
class ArchivePolicy:
    """How records are kept.

    ``compression`` is stored, deflated, bzip2 or lzma; ``compress_level`` counts for deflated and bzip2. ``format`` is
    jsonl, text or both.
    """

    directory: str
    password: Secret
    compression: str = "lzma"
    compress_level: int | None = None
    format: str = "jsonl"


class SessionLogs(Protocol):
    """Where records go (driven port)."""

    def submit(self, log: SessionLog, policy: ArchivePolicy) -> bool:
        """Hand over a record to be kept soon; never waits and never raises. False: there was no room, it is dropped."""
