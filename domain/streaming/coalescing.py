"""Coalescing: text deltas that are already there are merged into one; nothing is ever waited for.

A delta is held only while the provider's stream says that its next event is ready without waiting (`LookAhead`), that is,
while several events came out of one read from the network. On an idle stream that is never the case, so a delta passes at
once, in the same turn of the event loop. When the process is saturated, or the front end slow, reads grow larger, more
events are ready and the updates become fewer: coalescing follows the load by itself. There is no timer and no task; the
longest time text can be held is the time it takes to decode what is already in memory, and ``longest_seconds`` bounds
even that.

Looking ahead by polling the stream from here was tried on paper and rejected: it would leave the provider suspended inside
its own time-outs while the front end works, and those time-outs would strike the front end.
"""

from __future__ import annotations

from collections.abc import Sequence

from openrouter_pipe.ports.provider import LookAhead, ProviderEvent, TextDelta
from openrouter_pipe.ports.runtime import Clock


class Coalescer:
    """Merges neighbouring text deltas of one message part, up to ``limit`` characters; 0 switches it off."""

    def __init__(self, ahead: LookAhead, limit: int, longest_seconds: float, clock: Clock) -> None:
        self._ahead = ahead
        self._limit = limit
        self._longest = longest_seconds
        self._clock = clock
        self._held: list[str] = []
        self._length = 0
        self._place = (0, 0)
        self._since = 0.0

    def push(self, event: ProviderEvent) -> Sequence[ProviderEvent]:
        """The events to pass on now, in order."""
        if type(event) is not TextDelta:
            return (*self.flush(), event) if self._held else (event,)
        more = self._ahead.ready()
        if not self._held and (not more or len(event.text) >= self._limit):
            return (event,)
        before: Sequence[ProviderEvent] = ()
        if self._held and self._place != (event.index, event.part):
            before = self.flush()
        if not self._held:
            self._since = self._clock.monotonic()
            self._place = (event.index, event.part)
        self._held.append(event.text)
        self._length += len(event.text)
        if more and self._length < self._limit and self._clock.monotonic() - self._since < self._longest:
            return before
        return (*before, *self.flush())

    def flush(self) -> Sequence[ProviderEvent]:
        """What is held, because nothing follows."""
        if not self._held:
            return ()
        index, part = self._place
        merged = TextDelta(index, part, "".join(self._held))
        self._held.clear()
        self._length = 0
        return (merged,)
