"""Coalescing: deltas of text and of reasoning that are already there are merged into one; nothing is ever waited for.

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
from typing import TypeAlias

from openrouter_pipe.ports.provider import LookAhead, ProviderEvent, ReasoningDelta, TextDelta
from openrouter_pipe.ports.runtime import Clock

_Delta: TypeAlias = TextDelta | ReasoningDelta


class Coalescer:
    """Merges neighbouring deltas of one text, up to ``limit`` characters; 0 switches it off."""

    __slots__ = ("_ahead", "_clock", "_first", "_held", "_length", "_limit", "_longest", "_since")

    def __init__(self, ahead: LookAhead, limit: int, longest_seconds: float, clock: Clock) -> None:
        self._ahead = ahead
        self._limit = limit
        self._longest = longest_seconds
        self._clock = clock
        self._first: _Delta | None = None
        self._held: list[str] = []
        self._length = 0
        self._since = 0.0

    def push(self, event: ProviderEvent) -> Sequence[ProviderEvent]:
        """The events to pass on now, in order."""
        first = self._first
        if first is None and not self._ahead.ready():
            return (event,)
        if type(event) is not TextDelta and type(event) is not ReasoningDelta:
            return (event,) if first is None else (*self.flush(), event)
        more, text = self._ahead.ready(), event.text
        before: Sequence[ProviderEvent] = ()
        if first is not None and not _continues(first, event):
            before, first = self.flush(), None
        if first is None:
            if not more or len(text) >= self._limit:
                return (*before, event) if before else (event,)
            self._first = event
            self._since = self._clock.monotonic()
        self._held.append(text)
        self._length += len(text)
        if more and self._length < self._limit and self._clock.monotonic() - self._since < self._longest:
            return before
        return (*before, *self.flush())

    def flush(self) -> Sequence[ProviderEvent]:
        """What is held, because nothing follows."""
        first = self._first
        if first is None:
            return ()
        text = "".join(self._held)
        self._first = None
        self._held.clear()
        self._length = 0
        if isinstance(first, TextDelta):
            return (TextDelta(first.index, first.part, text),)
        return (ReasoningDelta(first.index, first.part, text, first.summary),)


def _continues(first: _Delta, event: _Delta) -> bool:
    """Whether both belong to the same text."""
    if first.index != event.index or first.part != event.part:
        return False
    if isinstance(first, TextDelta):
        return isinstance(event, TextDelta)
    return isinstance(event, ReasoningDelta) and first.summary is event.summary
