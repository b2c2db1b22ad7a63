"""The events of one answer, read by read: from the bytes of an open answer to provider events.

Not here: how an answer comes to be open (`provider`), what an event means (the readers of either wire).

Where reads come one by one, every layer between socket and consumer is paid for with each event; so there are iterators
here and no generators, and none around another.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final, NoReturn, Protocol, TypeAlias

from attrs import frozen

from openrouter_pipe.adapters.openrouter import faults
from openrouter_pipe.adapters.openrouter.client import Lease
from openrouter_pipe.adapters.openrouter.exchange import RAISED, Body, ClosedEarlyError
from openrouter_pipe.adapters.openrouter.sse import EVENT_BYTES, Payload, SseDecoder
from openrouter_pipe.adapters.openrouter.wirejson import Wire, loads_around, loads_event
from openrouter_pipe.ports.provider import ProviderError, ProviderEvent

_log = logging.getLogger(__name__)

Batch: TypeAlias = Sequence[ProviderEvent]

THREAD_BYTES: Final = 64 * 1024
"""From this size on an event is decoded in a thread."""

_KEEPS_UP: Final = 10.0  # a reader that waits for more than a tenth of the time it holds events is not behind
_HELD_SECONDS: Final = 0.1  # a burst that is read within it bothers nobody
_TOLD_SKIPS: Final = 10


class Reader(Protocol):
    """What one wire's events mean; see `responses_reader` and `chat_reader`."""

    finished: bool

    def read(self, event: Wire) -> Iterable[ProviderEvent]:
        """The provider events of one wire event."""

    def whole(self, answer: Wire) -> Iterator[ProviderEvent]:
        """Those of an answer in one piece."""

    def done(self) -> None:
        """The stream said ``[DONE]``."""

    def end(self) -> Iterable[ProviderEvent]:
        """The stream is over; raises `ProviderError` if the answer is not."""


class EventStream:
    """The events of one answer: an asynchronous iterator that can tell whether its next event is there already.

    One read from the network often holds many events when the process or its consumer is busy. They are decoded together,
    so that `ready` is exact: True means that the next event costs no wait, and that nothing will be held back by it.

    ``opening`` sends the request, at the first step.
    """

    __slots__ = ("_answer", "_open", "_opening", "_waiting")

    def __init__(self, opening: Callable[[], Awaitable[Opened]]) -> None:
        self._opening: Callable[[], Awaitable[Opened]] | None = opening
        self._open: Opened | None = None
        self._answer: Answer | None = None
        self._waiting: deque[ProviderEvent] = deque()

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> ProviderEvent:
        if self._waiting:
            return self._waiting.popleft()
        batch: Batch | None = None
        try:
            answer = self._answer or await self._begin()
            batch = await answer.next()
        finally:
            if batch is None:
                await self.aclose()
        if len(batch) == 1:
            return batch[0]
        if not batch:
            await self._end()
        self._waiting.extend(batch)
        return self._waiting.popleft()

    def ready(self) -> bool:
        """Whether the next event will come without waiting."""
        return bool(self._waiting)

    async def aclose(self) -> None:
        """Close the connection at once; events not yet taken are dropped."""
        self._waiting.clear()
        self._opening = self._answer = None
        opened, self._open = self._open, None
        if opened is not None:
            opened.lease.release()
            await opened.body.aclose()

    async def _begin(self) -> Answer:
        opening, self._opening = self._opening, None  # with it goes the request, which no stream need keep
        if opening is None:
            raise StopAsyncIteration
        self._open = await opening()
        self._answer = self._open.answer
        return self._answer

    async def _end(self) -> NoReturn:
        try:
            if self._open is not None:
                await self._open.body.drain()
        finally:
            await self.aclose()
        raise StopAsyncIteration


class Answer(Protocol):
    async def next(self) -> Batch:
        """At least one more event; none at the end. Raises `ProviderError`, after the events that came before it."""


@frozen
class Opened:
    """An answer, and what is to be given back after it."""

    lease: Lease
    body: Body
    answer: Answer


class Whole:
    """An answer that came in one piece."""

    def __init__(self, events: Batch) -> None:
        self._events = events

    async def next(self) -> Batch:
        events, self._events = self._events, ()
        return events


class Backlog:
    """How many events of one stream were there before their reader asked for them.

    Nobody can count them: they wait in buffers of the system. But a reader that is hardly ever kept waiting, while it keeps
    the stream waiting, finds at each read what has piled up, so that what it finds in a row was a backlog of that length.
    """

    __slots__ = ("_held", "_limit", "_waited", "_waiting", "_warn", "growing")

    def __init__(self, limit: int, warn: Callable[[int], None]) -> None:
        self.growing = False
        self._limit = limit
        self._warn = warn
        self._waiting = 0
        self._waited = 0.0
        self._held = 0.0

    def count(self, events: int, waited: float, held: float) -> None:
        """Count a read of ``events``, for which the reader waited, and which it then held, so many seconds."""
        self._waited += waited
        self._held += held
        self.growing = self._waited * _KEEPS_UP <= self._held
        if not self.growing:
            self._waiting, self._waited, self._held = 0, 0.0, 0.0
            return
        self._waiting += events
        if self._waiting > self._limit and self._held > _HELD_SECONDS:
            self._warn(self._waiting)


class Reads:
    """A stream of events, read by read."""

    def __init__(
        self,
        first: bytes,
        body: Body,
        reader: Reader,
        context: faults.Context,
        backlog: Backlog,
        clock: Callable[[], float],
    ) -> None:
        self._first = first
        self._body = body
        self._pull = body.pull
        self._reader = reader
        self._context = context
        self._backlog = backlog
        self._clock = clock
        self._decoder = SseDecoder()
        self._over = False
        self._skipped = 0
        self._seen = False
        self._failure: ProviderError | None = None
        self._events = 0
        self._read_at = 0.0
        self._waited = float("inf")

    async def next(self) -> Batch:
        """See `Answer`."""
        clock, decoder = self._clock, self._decoder
        while not self._over:
            if self._failure is not None:
                raise self._failure
            asked = clock()
            held = asked - self._read_at
            # A reader that keeps up, as nearly all do, has nothing to be counted.
            if self._backlog.growing or self._waited * _KEEPS_UP <= held:
                self._backlog.count(self._events, self._waited, held)
            chunk = self._first
            if chunk:
                self._first = b""
            elif not decoder.done:
                try:
                    chunk = await self._pull()
                except (ProviderError, *RAISED) as exc:
                    self._broken(exc)
            self._read_at = read = clock()
            self._waited = read - asked
            payloads = decoder.feed(chunk) if chunk else self._last()
            self._events = len(payloads)
            batch = await self._decoded(payloads)
            if not chunk:
                self._finish(batch)
            if batch:
                self._seen = True
                return batch
        return ()

    def _broken(self, exc: Exception) -> None:
        """Raise what a failed read means, unless the connection was closed after a beginning: the reader judges that end."""
        error = exc if isinstance(exc, ProviderError) else self._body.translated(exc)
        if not (self._seen and isinstance(error, ClosedEarlyError)):
            raise error from None

    def _last(self) -> list[Payload]:
        if self._decoder.done:
            self._reader.done()
        return self._decoder.finish()

    def _finish(self, batch: list[ProviderEvent]) -> None:
        if self._failure is None:
            try:
                batch.extend(self._reader.end())
            except ProviderError as error:
                self._failure = error
        self._over = self._failure is None

    async def _decoded(self, payloads: list[Payload]) -> list[ProviderEvent]:
        """What the payloads of one read say.

        Small events are decoded where they are: the hop to a thread costs fifty times what decoding them does. Large ones
        (`THREAD_BYTES`) go to a thread, unless they are nearly all one string, an image, which need not be parsed. The
        thread's gain is modest, since orjson holds the interpreter's lock while it parses (0.7 ms a megabyte): other turns
        get their say before and after, and the slow second parse of broken JSON never runs on the loop.
        """
        reader = self._reader
        batch: list[ProviderEvent] = []
        for data in payloads:
            try:
                if type(data) is bytes and len(data) < THREAD_BYTES:
                    event = loads_event(data)
                else:
                    event = await _parsed_large(data)
                batch += reader.read(event)
            except ProviderError as error:
                self._failure = error
                break
            except (ValueError, KeyError, TypeError, AttributeError, IndexError) as exc:
                self._skip(exc)
            if reader.finished:
                self._over = True
                break
        if self._decoder.overrun and self._failure is None:
            message = f"one event of the stream is larger than {EVENT_BYTES // 1024**2} MiB"
            self._failure = ProviderError(faults.malformed(message, self._context, status=200))
        return batch

    def _skip(self, error: Exception) -> None:
        """Tell of an event that was skipped, by its kind only: the content is somebody's chat."""
        self._skipped += 1
        if self._skipped <= _TOLD_SKIPS:
            _log.warning("skipped an event that is not JSON of the documented shape (%s)", type(error).__name__)
        elif self._skipped == _TOLD_SKIPS + 1:
            _log.warning("further such events of this stream are skipped without a word")


async def _parsed_large(data: Payload) -> Any:
    if isinstance(data, tuple):
        with suppress(LookupError, ValueError):
            return await loads_around(data)
        data = await asyncio.to_thread(b"".join, data)
    return await asyncio.to_thread(loads_event, data)
