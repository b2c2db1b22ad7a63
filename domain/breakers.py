"""Breakers: repeated failures of one thing for one user make us stop trying for a while.

One sliding window per key; the key's first part is its `Scope`: request and user; tool, user, kind and tool; store and
user. What counts as a failure, and what is done while a breaker is open, is decided by the callers.

Nothing is scheduled: a breaker closes because time passes or because of a success. Memory is bounded twice: a key keeps
no more failures than the policy's history, and no more than ``max_keys`` keys are kept, the ones that failed longest ago
making room (a key that has had no failure for a whole window is as good as unknown and goes first).
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable
from enum import StrEnum
from typing import Final

from attrs import frozen

from openrouter_pipe.ports.runtime import Clock

_EVICTIONS_PER_FAILURE: Final = 4


class Scope(StrEnum):
    """What a breaker is about; the first part of its key."""

    REQUEST = "request"
    TOOL = "tool"
    STORE = "store"


@frozen
class BreakerPolicy:
    """``max_failures`` within ``window_seconds`` open a breaker; ``history_size`` failures are remembered per key, but
    never fewer than ``max_failures``."""

    max_failures: int
    window_seconds: float
    history_size: int


@frozen
class _Window:
    """The times of the last failures, oldest first, and when the youngest of them stops counting."""

    failures: tuple[float, ...]
    expires: float


class Breakers:
    """All breakers of a process. Not for use by several threads at once."""

    def __init__(self, clock: Clock, max_keys: int = 100_000) -> None:
        self._clock = clock
        self._max_keys = max_keys
        self._windows: OrderedDict[Hashable, _Window] = OrderedDict()

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._windows)

    def allows(self, key: Hashable, policy: BreakerPolicy) -> bool:
        """Whether the thing may be tried."""
        return len(self._recent(key, policy)) < policy.max_failures

    def retry_after(self, key: Hashable, policy: BreakerPolicy) -> float:
        """Seconds until it may be tried again; 0 when it may be now."""
        recent = self._recent(key, policy)
        if len(recent) < policy.max_failures:
            return 0.0
        last_to_expire = recent[len(recent) - policy.max_failures]
        return max(0.0, last_to_expire + policy.window_seconds - self._clock.monotonic())

    def open(self, policy: BreakerPolicy) -> Counter[Hashable]:
        """How many breakers are open now, by scope."""
        oldest = self._clock.monotonic() - policy.window_seconds
        return Counter(
            key[0]
            for key, window in self._windows.items()
            if isinstance(key, tuple)
            and len(window.failures) >= policy.max_failures
            and window.failures[-policy.max_failures] > oldest
        )

    def failure(self, key: Hashable, policy: BreakerPolicy) -> None:
        """Remember a failure."""
        now = self._clock.monotonic()
        keep = max(policy.history_size, policy.max_failures)
        failures = (*self._recent(key, policy), now)[-keep:]
        self._windows[key] = _Window(failures, now + policy.window_seconds)
        self._windows.move_to_end(key)
        self._evict(now)

    def success(self, key: Hashable) -> None:
        """Forget the failures of ``key``: its breaker is closed."""
        self._windows.pop(key, None)

    def _recent(self, key: Hashable, policy: BreakerPolicy) -> tuple[float, ...]:
        window = self._windows.get(key)
        if window is None:
            return ()
        now = self._clock.monotonic()
        if window.failures[-1] > now:
            # The clock went back. Failures "of the future" would keep the breaker open for the length of the jump.
            window = _Window(tuple(min(then, now) for then in window.failures), now + policy.window_seconds)
            self._windows[key] = window
        recent = tuple(then for then in window.failures if now - then < policy.window_seconds)
        if not recent:
            del self._windows[key]
        return recent

    def _evict(self, now: float) -> None:
        # A few per failure are enough to keep up, and no call ever pays for a long queue of the forgotten.
        for _ in range(_EVICTIONS_PER_FAILURE):
            oldest, window = next(iter(self._windows.items()))
            if len(self._windows) <= self._max_keys and window.expires > now:
                return
            if len(self._windows) == 1:
                return
            del self._windows[oldest]
