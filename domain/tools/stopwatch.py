"""Time that counts against a tool: it stands still while the tool waits for a person. Not here: what happens when it is up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from openrouter_pipe.ports.runtime import Clock

PERSON_LIMIT: Final = 600.0
"""Seconds that one call may wait for people, all its questions together."""

_GLANCE: Final = 1.0  # seconds between looks at a person's answer: it comes when it comes, a second is soon enough


class Stopwatch:
    """Seconds since it was made or restarted, without those in `paused`. Pausing one pauses those it belongs to."""

    def __init__(self, clock: Clock, whole: Stopwatch | None = None) -> None:
        self._clock = clock
        self._whole = whole
        self._asking = 0
        self._began = self._asked_since = clock.monotonic()
        self._asked = 0.0

    def restart(self) -> None:
        """Count from now; a pause that is under way goes on."""
        self._began = self._asked_since = self._clock.monotonic()
        self._asked = 0.0

    @property
    def asked(self) -> float:
        """Seconds spent in pauses."""
        return self._asked + (self._clock.monotonic() - self._asked_since if self._asking else 0.0)

    def left(self, limit: float) -> float:
        """Seconds until ``limit`` is up; zero or less when it is."""
        return limit - (self._clock.monotonic() - self._began - self.asked)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """A person is being asked; pauses may overlap."""
        if not self._asking:
            self._asked_since = self._clock.monotonic()
        self._asking += 1
        try:
            if self._whole is None:
                yield
            else:
                with self._whole.paused():
                    yield
        finally:
            self._asking -= 1
            if not self._asking:
                self._asked += self._clock.monotonic() - self._asked_since

    async def expire(self, limit: float) -> None:
        """Return when ``limit`` is up, or when people have had their `PERSON_LIMIT`."""
        while (left := self.left(limit)) > 0 and self.asked < PERSON_LIMIT:
            await self.sleep(left)

    async def sleep(self, seconds: float) -> None:
        """Sleep so long, or only until it is time to look at a pause again."""
        await self._clock.sleep(min(seconds, _GLANCE) if self._asking else seconds)
