"""`ResponsesProvider` over HTTP: one request, one answer, streamed or whole, on either endpoint.

No retries, no judgement, no queues. Pulling an event pulls bytes, so that a consumer that does not pull lets the socket's
own flow control hold the provider back; what is buffered is one read, the events that it held and one unfinished event of
bounded size. There is no queue that could fill up and stall, and the order of events is the order of bytes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from types import ModuleType
from typing import Any, Final

import httpx

from openrouter_pipe.adapters.openrouter import chat, faults, responses
from openrouter_pipe.adapters.openrouter.chat_reader import ChatReader
from openrouter_pipe.adapters.openrouter.client import HttpClients, Lease
from openrouter_pipe.adapters.openrouter.exchange import Body, Limits
from openrouter_pipe.adapters.openrouter.large_body import LargeBody, render
from openrouter_pipe.adapters.openrouter.request import address, headers
from openrouter_pipe.adapters.openrouter.responses_reader import ResponsesReader
from openrouter_pipe.adapters.openrouter.stream import (
    THREAD_BYTES,
    Answer,
    Backlog,
    EventStream,
    Opened,
    Reader,
    Reads,
    Whole,
)
from openrouter_pipe.adapters.openrouter.wirejson import dumps, loads_event
from openrouter_pipe.ports.items import AudioPart, FilePart, ImagePart, MessageItem, VideoPart
from openrouter_pipe.ports.provider import (
    Connection,
    Endpoint,
    ProviderError,
    ProviderEvent,
    ProviderRequest,
)

_log = logging.getLogger(__name__)

_ERROR_BODY_BYTES: Final = 64 * 1024
_WHOLE_BODY_BYTES: Final = 256 * 1024 * 1024
_BLANK_BYTES: Final = 1024 * 1024
_WARN_SECONDS: Final = 30.0
_SSE_STARTS: Final = (b"d", b":", b"e", b"i", b"r")


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
        return EventStream(partial(self._open, request, connection))

    async def _open(self, request: ProviderRequest, connection: Connection) -> Opened:
        """Send the request and read the answer's beginning."""
        wire: ModuleType = chat if request.endpoint is Endpoint.CHAT_COMPLETIONS else responses
        async with AsyncExitStack() as unless_open:
            lease = await self._clients.lease()
            unless_open.callback(lease.release)
            status, received, body = await _sent(lease, wire, request, connection)
            unless_open.push_async_callback(body.aclose)
            context = faults.Context(now=self._now(), model=request.model, headers=received)
            answer = await self._answer(wire, status, body, context, connection.event_queue_warn_size)
            unless_open.pop_all()
        return Opened(lease, body, answer)

    async def _answer(
        self, wire: ModuleType, status: int, body: Body, context: faults.Context, warn_size: int
    ) -> Answer:
        if status >= 300:
            told, _ = await body.read_bounded(_ERROR_BODY_BYTES)
            raise ProviderError(faults.from_status(status, told, context))
        reader: Reader = ChatReader(context) if wire is chat else ResponsesReader(context)
        first, shape = await _peek(body, context)
        if shape == "sse":
            return Reads(first, body, reader, context, Backlog(warn_size, self._warn), self._monotonic)
        if shape == "json":
            return Whole(await _whole(first, body, reader, context))
        told, _ = await body.read_bounded(_ERROR_BODY_BYTES)
        message = "the answer is neither a stream of events nor JSON"
        raise ProviderError(faults.malformed(message, context, status=status, body=first + told))

    def _warn(self, waiting: int) -> None:
        now = self._monotonic()
        if now - self._warned_at >= _WARN_SECONDS:
            self._warned_at = now
            _log.warning(
                "%d events of one stream are waiting to be read; the consumer is slower than the model", waiting
            )


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


async def _whole(first: bytes, answer: Body, reader: Reader, context: faults.Context) -> list[ProviderEvent]:
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
