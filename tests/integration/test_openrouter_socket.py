"""The OpenRouter adapter over real sockets: faults of the network, limits, cancelling, connection reuse, catalogue."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from attrs import evolve

from openrouter_pipe.adapters.openrouter import HttpClients, OpenRouterCatalog, OpenRouterProvider
from openrouter_pipe.adapters.simulator.app import create_app
from openrouter_pipe.adapters.simulator.server import SimulatorServer, serve
from openrouter_pipe.ports.items import MessageItem, Role, TextPart
from openrouter_pipe.ports.provider import (
    Connection,
    Endpoint,
    FaultKind,
    FinishStatus,
    ProviderError,
    ProviderEvent,
    ProviderFault,
    ProviderRequest,
    ResponseFinished,
    TextDelta,
)
from openrouter_pipe.ports.settings import Secret

KEY = "sk-or-v1-secret"
ENDPOINTS = pytest.mark.parametrize("endpoint", list(Endpoint))


@pytest.fixture
async def server() -> AsyncIterator[SimulatorServer]:
    async with serve(create_app()) as running:
        yield running


@pytest.fixture(params=["aiohttp", "httpx"])
async def clients(request: pytest.FixtureRequest) -> AsyncIterator[HttpClients]:
    shared = HttpClients(aiohttp=request.param == "aiohttp")
    yield shared
    await shared.aclose()


def connection(url: str) -> Connection:
    return Connection(url, Secret(KEY), "https://example.org/", "Tests", connect_timeout=5, read_timeout=5)


def asking(knobs: str, endpoint: Endpoint = Endpoint.RESPONSES, *, stream: bool = True) -> ProviderRequest:
    words = TextPart(f"[[sim: {knobs}]]\nGo.")
    return ProviderRequest(endpoint, "openai/gpt-5.6-luna", (MessageItem(Role.USER, (words,)),), stream=stream)


async def run(
    clients: HttpClients, request: ProviderRequest, way: Connection
) -> tuple[list[ProviderEvent], ProviderFault | None]:
    events: list[ProviderEvent] = []
    try:
        async for event in OpenRouterProvider(clients).stream(request, way):
            events.append(event)  # noqa: PERF401 - what came before a fault counts
    except ProviderError as exc:
        fault = exc.fault
    else:
        return events, None
    assert KEY not in repr(fault)
    return events, fault


def text(events: list[ProviderEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


@ENDPOINTS
@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer(server: SimulatorServer, clients: HttpClients, endpoint: Endpoint, stream: bool) -> None:
    events, fault = await run(clients, asking("scenario=plain", endpoint, stream=stream), connection(server.url))
    assert fault is None
    assert isinstance(events[-1], ResponseFinished)
    assert events[-1].status is FinishStatus.COMPLETED
    assert text(events) == "Hello" or not stream


@ENDPOINTS
@pytest.mark.parametrize(
    ("knobs", "kinds"),
    [
        ("fault=reset;after=0", {FaultKind.CONNECTION}),
        ("fault=reset;after=5", {FaultKind.CONNECTION}),
        ("fault=truncate;after=5", {FaultKind.TRUNCATED}),
        ("fault=truncate;after=1", {FaultKind.TRUNCATED}),
    ],
)
async def test_broken_connections(
    server: SimulatorServer, clients: HttpClients, endpoint: Endpoint, knobs: str, kinds: set[FaultKind]
) -> None:
    events, fault = await run(clients, asking(f"scenario=long;{knobs}", endpoint), connection(server.url))
    assert fault is not None
    assert fault.kind in kinds
    assert not any(isinstance(event, ResponseFinished) for event in events)


@ENDPOINTS
async def test_garbage_in_the_middle_costs_only_itself(
    server: SimulatorServer, clients: HttpClients, endpoint: Endpoint
) -> None:
    knobs = "scenario=long;text=50;fault=garbage;after=10"
    events, fault = await run(clients, asking(knobs, endpoint), connection(server.url))
    assert fault is None
    assert text(events) == "".join(f"word{place} " for place in range(50))


@ENDPOINTS
@pytest.mark.parametrize("after", [0, 5])
async def test_silence_ends_at_the_read_timeout(
    server: SimulatorServer, clients: HttpClients, endpoint: Endpoint, after: int
) -> None:
    way = evolve(connection(server.url), read_timeout=0.2)
    _, fault = await run(clients, asking(f"scenario=long;fault=silence;after={after}", endpoint), way)
    assert fault is not None
    assert (fault.kind, fault.timeout) == (FaultKind.READ_TIMEOUT, 0.2)


async def test_the_total_timeout_ends_a_stream_that_still_speaks(server: SimulatorServer, clients: HttpClients) -> None:
    """The limit is long enough for the first words on a machine that is busy with other things, and a tenth of what the
    stream would take, so that nothing but the limit can have ended it."""
    way = evolve(connection(server.url), total_timeout=2.0)
    began = time.monotonic()
    events, fault = await run(clients, asking("scenario=long;text=1000;speed=50"), way)
    assert fault is not None
    assert (fault.kind, fault.timeout) == (FaultKind.TOTAL_TIMEOUT, 2.0)
    assert 1.9 < time.monotonic() - began < 2 + 2.7
    assert text(events)


async def test_the_total_timeout_never_cancels_the_consumer(server: SimulatorServer, clients: HttpClients) -> None:
    way = evolve(connection(server.url), total_timeout=0.2)
    events = OpenRouterProvider(clients).stream(asking("scenario=long;text=300;speed=200"), way)
    await anext(events)
    await asyncio.sleep(0.4)  # longer than the limit; the consumer must get through
    with pytest.raises(ProviderError) as raised:
        async for _ in events:
            pass
    assert raised.value.fault.kind is FaultKind.TOTAL_TIMEOUT


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 413, 422, 429, 500, 502, 503, 524, 529])
async def test_error_statuses(server: SimulatorServer, clients: HttpClients, status: int) -> None:
    events, fault = await run(clients, asking(f"status={status};retry_after=7"), connection(server.url))
    assert not events
    assert fault is not None
    assert (fault.kind, fault.status) == (FaultKind.STATUS, status)
    assert fault.message
    assert fault.request_id
    assert fault.body
    if status == 429:
        assert fault.retry_after == 7.0


async def test_a_wrong_key(server: SimulatorServer, clients: HttpClients) -> None:
    way = evolve(connection(server.url), api_key=Secret("sk-or-wrong"))
    _, fault = await run(clients, asking("scenario=plain"), way)
    assert fault is not None
    assert fault.status == 401
    with pytest.raises(ProviderError) as raised:
        await OpenRouterCatalog(clients).fetch(evolve(way, base_url=server.origin + "/nowhere"))
    assert raised.value.fault.status in {401, 404}


async def test_nobody_listens(clients: HttpClients) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    way = connection(f"http://user:hidden@127.0.0.1:{port}/api/v1?token=hidden")
    _, fault = await run(clients, asking("scenario=plain"), way)
    assert fault is not None
    assert fault.kind is FaultKind.CONNECTION
    assert fault.endpoint_url == f"http://127.0.0.1:{port}/api/v1/responses"
    assert "hidden" not in repr(fault)


async def _eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(2):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def raw_server(answer: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[tuple[str, list[str]]]:
    """A server of bytes; notes each connection that opens and closes."""
    seen: list[str] = []

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append("open")
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await answer(writer)
                if not await reader.read(65536):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            seen.append("closed")
            writer.close()

    listener = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    async with listener:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1", seen


_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_CREATED = b'data: {"type":"response.created","response":{"id":"g","model":"m"}}\n\n'


async def _one_event_and_no_more(writer: asyncio.StreamWriter) -> None:
    writer.write(_HEAD + b"%x\r\n%s\r\n" % (len(_CREATED), _CREATED))
    await writer.drain()


async def test_closing_the_generator_closes_the_connection(clients: HttpClients) -> None:
    async with raw_server(_one_event_and_no_more) as (url, seen):
        events = OpenRouterProvider(clients).stream(asking(""), connection(url))
        await anext(events)
        assert seen == ["open"]
        await events.aclose()
        await _eventually(lambda: seen == ["open", "closed"])


async def test_cancelling_the_consumer_closes_the_connection(clients: HttpClients) -> None:
    async with raw_server(_one_event_and_no_more) as (url, seen):
        task = asyncio.create_task(run(clients, asking(""), connection(url)))
        await _eventually(lambda: seen == ["open"])
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await _eventually(lambda: seen == ["open", "closed"])


def _pouring(first: bytes, piece: bytes, times: int) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    async def pour(writer: asyncio.StreamWriter) -> None:
        writer.write(_HEAD + b"%x\r\n%s\r\n" % (len(first), first))
        for _ in range(times):
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()

    return pour


async def test_blanks_without_end_are_no_answer(clients: HttpClients) -> None:
    async with raw_server(_pouring(b" ", b" \n" * 32768, 20)) as (url, _):
        events, fault = await run(clients, asking(""), connection(url))
    assert events == []
    assert fault is not None
    assert (fault.kind, fault.message) == (FaultKind.MALFORMED, "the answer is nothing but blanks")


async def run_against(
    before: Callable[[asyncio.StreamWriter], Awaitable[None]], last: bytes, clients: HttpClients
) -> tuple[list[ProviderEvent], ProviderFault | None]:
    async def both(writer: asyncio.StreamWriter) -> None:
        await before(writer)
        writer.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(last), last))
        await writer.drain()

    async with raw_server(both) as (url, _):
        return await run(clients, asking(""), connection(url))


async def test_blanks_before_an_answer_do_no_harm(clients: HttpClients) -> None:
    events, fault = await run_against(_pouring(b"\n \r\n", b" " * 1000, 100), _CREATED, clients)
    assert [type(event).__name__ for event in events] == ["ResponseStarted"]
    assert fault is not None
    assert fault.kind is FaultKind.TRUNCATED


async def test_an_event_without_end_ends_the_stream(clients: HttpClients) -> None:
    async with raw_server(_pouring(_CREATED + b"data: ", b"x" * 2**20, 65)) as (url, _):
        events, fault = await run(clients, asking(""), connection(url))
    assert [type(event).__name__ for event in events] == ["ResponseStarted"]
    assert fault is not None
    assert (fault.kind, fault.message) == (FaultKind.MALFORMED, "one event of the stream is larger than 64 MiB")


async def test_a_finished_answer_leaves_its_connection_for_the_next(clients: HttpClients) -> None:
    ports: set[int] = set()
    app = create_app()

    async def noting(scope, receive, send):  # type: ignore[no-untyped-def]
        ports.add(scope["client"][1])
        await app(scope, receive, send)

    noting.hang_up = app.hang_up  # type: ignore[attr-defined]
    async with serve(noting) as server:  # type: ignore[arg-type]
        for endpoint in (*Endpoint, *Endpoint):
            _, fault = await run(clients, asking("scenario=plain", endpoint), connection(server.url))
            assert fault is None
    assert len(ports) == 1


async def test_hundreds_of_streams_at_once(server: SimulatorServer, clients: HttpClients) -> None:
    way = connection(server.url)
    request = asking("scenario=long;text=5;delay_ms=100")
    results = await asyncio.gather(*(run(clients, request, way) for _ in range(150)))
    assert [fault for _, fault in results] == [None] * 150
    assert {text(events) for events, _ in results} == {"word0 word1 word2 word3 word4 "}


async def test_logs_hold_no_content_and_no_key(
    server: SimulatorServer, clients: HttpClients, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "openrouter_pipe.adapters.openrouter")
    await run(clients, asking("scenario=long;text=20;fault=garbage;after=5"), connection(server.url))
    await run(clients, asking("status=429"), connection(server.url))
    ours = [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("openrouter_pipe.adapters.openrouter")
    ]
    assert ours, "the garbage is mentioned"
    assert not any(KEY in line or "word" in line for line in ours)


async def test_the_catalogue(server: SimulatorServer, clients: HttpClients) -> None:
    entries = await OpenRouterCatalog(clients).fetch(connection(server.url))
    assert len(entries) >= 300
    assert all(isinstance(entry["id"], str) for entry in entries)


@pytest.mark.parametrize("body", [b"{}", b'{"data":[]}', b'{"data":7}', b"[]", b"<html>", b"", b'{"data":[1,null]}'])
async def test_a_catalogue_that_is_none(clients: HttpClients, body: bytes) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()

    async with raw_server(answer) as (url, _):
        with pytest.raises(ProviderError) as raised:
            await OpenRouterCatalog(clients).fetch(connection(url))
    assert raised.value.fault.kind is FaultKind.MALFORMED


async def test_pages_of_a_catalogue_are_followed_on_the_same_server_only(clients: HttpClients) -> None:
    bodies = [
        b'{"data":[{"id":"a/1"}],"links":{"next":"?offset=1"}}',
        b'{"data":[{"id":"a/2"}],"links":{"next":"http://127.0.0.2:9/steal"}}',
    ]

    async def answer(writer: asyncio.StreamWriter) -> None:
        body = bodies.pop(0)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()

    async with raw_server(answer) as (url, _):
        entries = await OpenRouterCatalog(clients).fetch(connection(url))
    assert [entry["id"] for entry in entries] == ["a/1", "a/2"]


async def test_closed_clients_take_no_more_requests(server: SimulatorServer, clients: HttpClients) -> None:
    await run(clients, asking("scenario=plain"), connection(server.url))
    await clients.aclose()
    await clients.aclose()
    _, fault = await run(clients, asking("scenario=plain"), connection(server.url))
    assert fault is not None
    assert fault.kind is FaultKind.CONNECTION
