"""What the core asks of the machine: time, names and chance."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Source of time; injected so that tests own it."""

    def now(self) -> datetime:
        """Wall clock, aware, UTC."""

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean anything."""

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds`` (0 yields once)."""


class Ids(Protocol):
    """Source of identifiers."""

    def artifact_id(self) -> str:
        """20 characters of upper-case Crockford base 32: 16 of time, 4 random; later ids sort after earlier ones."""

    def error_id(self) -> str:
        """16 hexadecimal characters, shown to the user and written to the log."""

    def item_id(self, prefix: str) -> str:
        """``prefix`` followed by at least 16 random characters of ``[0-9a-z]``; names an output item or a call."""


class Randomness(Protocol):
    """Source of chance for jitter; never used for secrets."""

    def uniform(self, low: float, high: float) -> float:
        """A float between ``low`` and ``high``."""
