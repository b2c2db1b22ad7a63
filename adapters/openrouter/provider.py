"""`ResponsesProvider` over HTTP: one request, one answer, streamed or whole, on either endpoint.

No retries, no judgement, no queues. Pulling an event pulls bytes, so that a consumer that does not pull lets the socket's
own flow control hold the provider back; what is buffered is one read, the events that it held and one unfinished event of
bounded size. There is no queue that could fill up and stall, and the order of events is the order of bytes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from types import ModuleType
from typing import Any, Final, Protocol, TypeAlias

import httpx

from openrouter_pipe.adapters.openrouter import chat, faults, responses
from openrouter_pipe.adapters.openrouter.chat_reader import ChatReader
from openrouter_pipe.adapters.openrouter.client import HttpClients, Lease
from openrouter_pipe.adapters.openrouter.exchange import Body, ClosedEarlyError, Limits
from openrouter_pipe.adapters.openrouter.large_body import LargeBody, render
from openrouter_pipe.adapters.openrouter.request import address, headers
from openrouter_pipe.adapters.openrouter.responses_reader import ResponsesReader
from openrouter_pipe.adapters.openrouter.sse import EVENT_BYTES, Payload, SseDecoder
from openrouter_pipe.adapters.openrouter.wirejson import Wire, dumps, loads_around, loads_event
from openrouter_pipe.ports.items import AudioPart, FilePart, ImagePart, MessageItem, VideoPart
from openrouter_pipe.ports.provider import (
    Connection,
    Endpoint,
    ProviderError,
    ProviderEvent,
    ProviderRequest,
)

_log = logging.getLogger(__name__)

_Batch: TypeAlias = Sequence[ProviderEvent]

THREAD_BYTES: Final = 64 * 1024
"""From this size on an event is decoded in a thread."""

_ERROR_BODY_BYTES: Final = 64 * 1024
_WHOLE_BODY_BYTES: Final = 256 * 1024 * 1024
_BLANK_BYTES: Final = 1024 * 1024
_WARN_SECONDS: Final = 30.0
_KEEPS_UP: Final = 10.0  # a reader that waits for more than a tenth of the time it holds events is not behind
_HELD_SECONDS: Final = 0.1  # a burst that is read within it bothers nobody
_TOLD_SKIPS: Final = 10
_SSE_STARTS: Final = (b"d", b":", b"e", b"i", b"r")


class _Reader(Protocol):
    finished: bool

    def read(self, event: Wire) -> Iterable[ProviderEvent]: ...

    def whole(self, answer: Wire) -> Iterator[ProviderEvent]: ...

    def done(self) -> None: ...

    def end(self) -> Iterable[ProviderEvent]: ...


class OpenRouterProvider:
    """OpenRouter's two endpoints behind one port.

    ``now`` is the wall clock in epoch seconds (for Retry-After dates), ``monotonic`` tells readers that fall behind.
    """

    def __init__(
        self,
        clients: HttpClients,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clients = clients
        self._now = now
        self._monotonic = monotonic
        self._warned_at = float("-inf")

    def stream(self, request: ProviderRequest, connection: Connection) -> EventStream:
        """Run one round; see `ResponsesProvider.stream`."""
        return EventStream(self._answer(request, connection))

    async def _answer(self, request: ProviderRequest, connection: Connection) -> AsyncGenerator[_Batch, None]:
        wire: ModuleType = chat if request.endpoint is Endpoint.CHAT_COMPLETIONS else responses
        lease = await self._clients.lease()
        answer: Body | None = None
        try:
            status, received, answer = await _sent(lease, wire, request, connection)
            context = faults.Context(now=self._now(), model=request.model, headers=received)
            if status >= 300:
                body, _ = await answer.read_bounded(_ERROR_BODY_BYTES)
                raise ProviderError(faults.from_status(status, body, context))
            reader: _Reader = ChatReader(context) if wire is chat else ResponsesReader(context)
            first, shape = await _peek(answer, context)
            if shape == "sse":
                reads = _Reads(first, answer, reader, context)
                backlog = _Backlog(connection.event_queue_warn_size)
                clock = self._monotonic
                back = clock()
                while not reads.over:
                    batch = await reads.next()
                    read = clock()
                    waited = read - back
                    back = read
                    if batch:
                        yield batch
                        back = clock()
                    if backlog.grows_too_long(reads.waiting, waited, back - read):
                        self._warn(backlog.waiting)
            elif shape == "json":
                yield await _whole(first, answer, reader, context)
            else:
                body, _ = await answer.read_bounded(_ERROR_BODY_BYTES)
                message = "the answer is neither a stream of events nor JSON"
                raise ProviderError(faults.malformed(message, context, status=status, body=first + body))
            await answer.drain()
        finally:
            lease.release()
            if answer is not None:
                await answer.aclose()

    def _warn(self, waiting: int) -> None:
        now = self._monotonic()
        if now - self._warned_at >= _WARN_SECONDS:
            self._warned_at = now
            _log.warning(
                "%d events of one stream are waiting to be read; the consumer is slower than the model", waiting
            )


class EventStream:
    """The events of one answer: an asynchronous iterator that can tell whether its next event is there already.

    One read from the network often holds many events when the process or its consumer is busy. They are decoded together,
    so that `ready` is exact: True means that the next event costs no wait, and that nothing will be held back by it.
    """

    __slots__ = ("_batches", "_next", "_waiting")

    def __init__(self, batches: AsyncGenerator[_Batch, None]) -> None:
        self._batches = batches
        self._next = batches.__anext__
        self._waiting: deque[ProviderEvent] = deque()

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> ProviderEvent:
        if not self._waiting:
            batch = await self._next()
            if len(batch) == 1:
                return batch[0]
            self._waiting.extend(batch)
        return self._waiting.popleft()

    def ready(self) -> bool:
        """Whether the next event will come without waiting."""
        return bool(self._waiting)

    async def aclose(self) -> None:
        """Close the connection at once; events not yet taken are dropped."""
        self._waiting.clear()
        await self._batches.aclose()


class _Backlog:
    """How many events of one stream were there before their reader asked for them.

    Nobody can count them: they wait in buffers of the system. But a reader that is hardly ever kept waiting, while it keeps
    the stream waiting, finds at each read what has piled up, so that what it finds in a row was a backlog of that length.
    """

    __slots__ = ("_held", "_limit", "_waited", "waiting")

    def __init__(self, limit: int) -> None:
        self.waiting = 0
        self._limit = limit
        self._waited = 0.0
        self._held = 0.0

    def grows_too_long(self, events: int, waited: float, held: float) -> bool:
        """Count a read of ``events``, for which the reader waited, and which it then held, so many seconds."""
        self._waited += waited
        self._held += held
        if self._waited * _KEEPS_UP > self._held:
            self.waiting, self._waited, self._held = 0, 0.0, 0.0
            return False
        self.waiting += events
        return self.waiting > self._limit and self._held > _HELD_SECONDS


class _Reads:
    """A stream of events read by read. ``waiting`` counts the wire events of the last read, ``over`` ends it."""

    def __init__(self, first: bytes, answer: Body, reader: _Reader, context: faults.Context) -> None:
        self.over = False
        self.waiting = 0
        self._first = first
        self._answer = answer
        self._reader = reader
        self._context = context
        self._decoder = SseDecoder()
        self._seen = False
        self._skipped = 0
        self._failure: ProviderError | None = None

    async def next(self) -> _Batch:
        """The events of the next read, possibly none. Raises `ProviderError`, after the events that came before it."""
        if self._failure is not None:
            raise self._failure
        chunk = self._first
        if chunk:
            self._first = b""
        elif not self._decoder.done:
            chunk = await self._read()
        if not chunk:
            return await self._last()
        batch = await self._decoded(self._decoder.feed(chunk))
        if self._decoder.overrun and self._failure is None:
            message = f"one event of the stream is larger than {EVENT_BYTES // 1024**2} MiB"
            self._failure = ProviderError(faults.malformed(message, self._context, status=200))
        return batch

    async def _read(self) -> bytes:
        try:
            return await self._answer.read()
        except ClosedEarlyError:
            if not self._seen:
                raise
            return b""  # an end like any other early end: the reader judges whether the answer is whole

    async def _last(self) -> _Batch:
        if self._decoder.done:
            self._reader.done()
        batch = await self._decoded(self._decoder.finish())
        if self._failure is None:
            try:
                batch.extend(self._reader.end())
            except ProviderError as error:
                self._failure = error
        self.over = self._failure is None
        return batch

    async def _decoded(self, payloads: list[Payload]) -> list[ProviderEvent]:
        """What the payloads of one read say.

        Small events are decoded where they are: the hop to a thread costs fifty times what decoding them does. Large ones
        (`THREAD_BYTES`) go to a thread, unless they are nearly all one string, an image, which need not be parsed. The
        thread's gain is modest, since orjson holds the interpreter's lock while it parses (0.7 ms a megabyte): other turns
        get their say before and after, and the slow second parse of broken JSON never runs on the loop.
        """
        self.waiting = len(payloads)
        reader = self._reader
        read = reader.read
        batch: list[ProviderEvent] = []
        for data in payloads:
            try:
                if type(data) is bytes and len(data) < THREAD_BYTES:
                    event = loads_event(data)
                else:
                    event = await _parsed_large(data)
                batch += read(event)
            except ProviderError as error:
                self._failure = error
                break
            except (ValueError, KeyError, TypeError, AttributeError, IndexError) as exc:
                self._skip(exc)
            if reader.finished:
                self.over = True
                break
        self._seen = self._seen or bool(batch)
        return batch

    def _skip(self, error: Exception) -> None:
        """Tell of an event that was skipped, by its kind only: the content is somebody's chat."""
        self._skipped += 1
        if self._skipped <= _TOLD_SKIPS:
            _log.warning("skipped an event that is not JSON of the documented shape (%s)", type(error).__name__)
        elif self._skipped == _TOLD_SKIPS + 1:
            _log.warning("further such events of this stream are skipped without a word")


async def _sent(
    lease: Lease, wire: ModuleType, request: ProviderRequest, connection: Connection
) -> tuple[int, httpx.Headers, Body]:
    """Send the request and wait for the answer's headers. The request's body is not kept while the answer streams."""
    url = address(connection.base_url, wire.PATH)
    sent_headers = headers(request, connection)
    content = await _rendered(wire, request)
    if isinstance(content, LargeBody):
        sent_headers.append((b"Content-Length", b"%d" % content.length))
    limits = Limits(connection, url, request.model)
    outgoing = lease.request("POST", url, sent_headers, content=content, extensions=limits.extensions)
    response = await limits.wait(lease.send(outgoing))
    return response.status_code, response.headers, Body(response, limits)


async def _rendered(wire: ModuleType, asked: ProviderRequest) -> bytes | LargeBody:
    """The request's body. Attachments make it large: then a thread renders it, and it leaves as a stream."""
    try:
        if _attached(asked) < THREAD_BYTES:
            return dumps(wire.body(asked))
        return await asyncio.to_thread(lambda: render(wire.body(asked)))
    except ValueError as exc:
        context = faults.Context(now=0.0, model=asked.model)
        raise ProviderError(faults.malformed(f"the request {exc}", context)) from None


def _attached(asked: ProviderRequest) -> int:
    size = 0
    for item in asked.input:
        for part in item.parts if isinstance(item, MessageItem) else ():
            match part:
                case ImagePart(url=data) | VideoPart(url=data) | AudioPart(data=data):
                    size += len(data)
                case FilePart(data_url=str() as data):
                    size += len(data)
                case _:
                    pass
    return size


async def _peek(answer: Body, context: faults.Context) -> tuple[bytes, str]:
    """The first bytes that are not blank, and whether they begin a stream (sse), one object (json) or neither.

    What the server sends counts, not what was asked: a streamed request may be answered whole, with an error in a 200,
    or by a gateway's page. Gateways keep a connection alive with blanks; a megabyte of them is no answer any more.
    """
    blanks = 0
    while True:
        chunk = await answer.read()
        first = chunk.lstrip()
        if first or not chunk:
            break
        blanks += len(chunk)
        if blanks > _BLANK_BYTES:
            raise ProviderError(faults.malformed("the answer is nothing but blanks", context, status=200))
    start = first[:1]
    if start == b"{":
        return first, "json"
    if "event-stream" in context.headers.get("content-type", ""):
        return first, "sse"
    return first, "sse" if start in _SSE_STARTS else "other"


async def _whole(first: bytes, answer: Body, reader: _Reader, context: faults.Context) -> list[ProviderEvent]:
    rest, complete = await answer.read_bounded(_WHOLE_BODY_BYTES)
    body = first + rest
    whole: Any = None
    if complete:
        with suppress(ValueError):
            whole = loads_event(body) if len(body) < THREAD_BYTES else await asyncio.to_thread(loads_event, body)
    if not isinstance(whole, dict):
        cut = body[: faults.BODY_LIMIT]
        raise ProviderError(faults.malformed("the answer is not complete JSON", context, status=200, body=cut))
    try:
        return list(reader.whole(whole))
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        message = f"the answer does not have the documented shape ({type(exc).__name__})"
        raise ProviderError(faults.malformed(message, context, status=200)) from None


async def _parsed_large(data: Payload) -> Any:
    if isinstance(data, tuple):
        with suppress(LookupError, ValueError):
            return await loads_around(data)
        data = await asyncio.to_thread(b"".join, data)
    return await asyncio.to_thread(loads_event, data)
