"""Time, names and chance that a test owns."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from datetime import UTC, datetime, timedelta
from typing import Final

_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class ManualClock:
    """`Clock` that moves only when told: `advance` wakes the sleepers that are due.

    With ``auto`` every sleep moves the clock by itself and returns at once, which suits code whose only sleeps are
    back-offs; it does not suit time limits, which would strike at once.
    """

    def __init__(self, start: datetime = _START, *, auto: bool = False) -> None:
        self._start = start
        self._elapsed = 0.0
        self._auto = auto
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self.sleeps: list[float] = []

    def now(self) -> datetime:
        """Start plus what has elapsed."""
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Seconds elapsed."""
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        """Sleep on this clock; every call is noted in ``sleeps``."""
        self.sleeps.append(seconds)
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        if self._auto:
            await asyncio.sleep(0)
            self._elapsed += seconds
            return
        due = self._elapsed + seconds
        sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (due, next(self._order), sleeper))
        await sleeper

    def advance(self, seconds: float) -> None:
        """Move time forward and wake who is due, in order."""
        self._elapsed += seconds
        while self._sleepers and self._sleepers[0][0] <= self._elapsed:
            sleeper = heapq.heappop(self._sleepers)[2]
            if not sleeper.done():
                sleeper.set_result(None)


class CountingIds:
    """`Ids` that count: the first artifact id ends in 1, and so on upward."""

    def __init__(self) -> None:
        self._counter = itertools.count(1)

    def artifact_id(self) -> str:
        """20 characters of Crockford base 32, ascending."""
        number = next(self._counter)
        return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(95, -1, -5))

    def error_id(self) -> str:
        """16 hexadecimal characters, ascending."""
        return f"{next(self._counter):016x}"

    def item_id(self, prefix: str) -> str:
        """``prefix`` and 16 digits, ascending."""
        return f"{prefix}{next(self._counter):016d}"


class SteadyRandomness:
    """`Randomness` that always answers the middle."""

    def uniform(self, low: float, high: float) -> float:
        """Half-way between ``low`` and ``high``."""
        return (low + high) / 2
