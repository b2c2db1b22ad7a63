"""Time and chance as the operating system gives them."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime


class SystemClock:
    """`Clock` of the running machine."""

    def now(self) -> datetime:
        """Wall clock, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Suspend the task for ``seconds``."""
        await asyncio.sleep(seconds)


class SystemRandomness:
    """`Randomness` of the standard library; jitter only."""

    def uniform(self, low: float, high: float) -> float:
        """A float between ``low`` and ``high``."""
        return random.uniform(low, high)  # noqa: S311 - jitter, not a secret
