"""httpx's own transport and ours over aiohttp, side by side over real sockets: the same answers, the same faults.

What must hold beyond that: nothing is sent twice, nothing leaks, a stopped answer lets go of its socket at once, and the
environment's proxies and certificates are obeyed.
"""

from __future__ import annotations

import asyncio
import gc
import gzip
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from attrs import evolve

from openrouter_pipe.adapters.openrouter import HttpClients, OpenRouterCatalog, OpenRouterProvider
from openrouter_pipe.adapters.openrouter.aiohttp_transport import AiohttpTransport
from openrouter_pipe.ports.items import MessageItem, Role, TextPart
from openrouter_pipe.ports.provider import (
    Connection,
    Endpoint,
    FaultKind,
    ProviderError,
    ProviderEvent,
    ProviderFault,
    ProviderRequest,
    TextDelta,
)
from openrouter_pipe.ports.settings import Secret

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'data: {"type":"response.output_text.delta","delta":"x","output_index":0,"content_index":0}\n\n'
DONE = b'data: {"type":"response.completed","response":{"status":"completed","output":[]}}\n\ndata: [DONE]\n\n'


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


WHOLE = HEAD + chunk(EVENT) + chunk(DONE) + b"0\r\n\r\n"


@pytest.fixture(params=["aiohttp", "httpx"])
async def clients(request: pytest.FixtureRequest) -> AsyncIterator[HttpClients]:
    shared = HttpClients(aiohttp=request.param == "aiohttp")
    yield shared
    await shared.aclose()


@asynccontextmanager
async def serving(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server of bytes; gives its port."""
    running: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            running.discard(task)
            writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0, ssl=tls)
    async with server:
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            for task in list(running):
                task.cancel()
            await asyncio.gather(*running)


async def request_of(reader: asyncio.StreamReader) -> bytes:
    """A request: headers and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    return head + await reader.readexactly(length)


def connection(port: int, scheme: str = "http") -> Connection:
    return Connection(
        f"{scheme}://127.0.0.1:{port}/v1", Secret("sk-or-secret"), "", "", connect_timeout=5, read_timeout=5
    )


def asking(text: str = "Hi") -> ProviderRequest:
    return ProviderRequest(Endpoint.RESPONSES, "m", (MessageItem(Role.USER, (TextPart(text),)),))


async def ask(
    clients: HttpClients, way: Connection, request: ProviderRequest | None = None
) -> tuple[list[ProviderEvent], ProviderFault | None]:
    return await taken(OpenRouterProvider(clients).stream(request or asking(), way))


async def taken(stream: AsyncIterator[ProviderEvent]) -> tuple[list[ProviderEvent], ProviderFault | None]:
    events: list[ProviderEvent] = []
    try:
        async for event in stream:
            events.append(event)  # noqa: PERF401 - what came before a fault counts
    except ProviderError as error:
        fault = error.fault
    else:
        return events, None
    assert "sk-or-secret" not in repr(fault)
    return events, fault


async def eventually(condition: Callable[[], bool], seconds: float = 2) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


def reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def saying(*pieces: bytes, then: str = "close", pause: float = 0.05) -> Serve:
    """A server that takes a request, says the pieces with pauses, and then closes, resets or falls silent."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
        if then == "reset":
            reset(writer)
        elif then == "silence":
            await reader.read()

    return serve


async def always(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers every request of a connection."""
    while True:
        await request_of(reader)
        writer.write(WHOLE)
        await writer.drain()


LENGTH = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 5000\r\n\r\n"
BAD = "connection: RemoteProtocolError"
FAULTS = [
    pytest.param(saying(), 0, BAD, id="closed before the headers"),
    pytest.param(
        saying(then="reset"), 0, "connection: ReadError: Connection reset by peer", id="reset before the headers"
    ),
    pytest.param(
        saying(HEAD, then="reset"), 0, "connection: ReadError: Connection reset by peer", id="reset, no event"
    ),
    pytest.param(
        saying(HEAD + chunk(EVENT), then="reset"), 1, "connection: ReadError: Connection reset by peer", id="reset"
    ),
    pytest.param(saying(HEAD + chunk(EVENT) * 3), 3, "truncated: ", id="cut off between chunks"),
    pytest.param(saying(HEAD + chunk(EVENT) * 3, pause=0), 3, "truncated: ", id="cut off in the same breath"),
    pytest.param(saying(HEAD + chunk(EVENT)[:-20]), 0, "connection: ", id="cut off inside the first event"),
    pytest.param(saying(LENGTH + EVENT * 2), 2, "truncated: ", id="shorter than its length"),
    pytest.param(saying(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"), 0, BAD, id="no HTTP"),
    pytest.param(saying(b"HTTP/1.1 abc OK\r\n\r\n"), 0, BAD, id="no status"),
    pytest.param(
        saying(then="silence"), 0, "read_timeout: no data within 0.3 seconds", id="silence before the headers"
    ),
    pytest.param(
        saying(HEAD + chunk(EVENT), then="silence"), 1, "read_timeout: no data within 0.3 seconds", id="silence"
    ),
    pytest.param(
        saying(b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + EVENT * 2),
        2,
        "truncated: ",
        id="HTTP/1.0",
    ),
    pytest.param(
        saying(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"),
        0,
        "status: OpenRouter answered with status 302 and no readable error",
        id="a redirect is not followed",
    ),
    pytest.param(
        saying(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + HEAD + chunk(EVENT)),
        1,
        "truncated: ",
        id="interim answers",
    ),
    pytest.param(
        saying(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n\r\nno gzip at all"),
        0,
        "malformed: the answer is not encoded as its headers say",
        id="not gzip",
    ),
]


@pytest.mark.parametrize(("serve", "events", "fault"), FAULTS)
async def test_faults_are_the_same_on_both(serve: Serve, events: int, fault: str, clients: HttpClients) -> None:
    async with serving(serve) as port:
        way = evolve(connection(port), read_timeout=0.3)
        came, found = await ask(clients, way)
    assert found is not None
    assert len(came) == events
    assert f"{found.kind.value}: {found.message}".startswith(fault)
    assert (found.kind is FaultKind.READ_TIMEOUT) == (found.timeout is not None)


async def test_what_came_before_the_end_is_not_lost_on_a_slow_reader(clients: HttpClients) -> None:
    async with serving(saying(HEAD + chunk(EVENT), chunk(EVENT) * 3)) as port:
        stream = OpenRouterProvider(clients).stream(asking(), connection(port))
        await anext(stream)
        await asyncio.sleep(0.2)  # the rest comes, and then the connection ends in the middle
        rest, fault = await taken(stream)
    assert len(rest) == 3
    assert fault is not None
    assert fault.kind is FaultKind.TRUNCATED


async def test_a_broken_frame_does_not_hang(clients: HttpClients) -> None:
    # aiohttp tells a reader nothing of it; ours looks every two seconds.
    async with serving(saying(HEAD + chunk(EVENT), b"no length\r\nfoo", then="silence")) as port:
        async with asyncio.timeout(8):
            came, found = await ask(clients, evolve(connection(port), read_timeout=100))
    assert len(came) == 1
    assert found is not None
    assert found.kind is FaultKind.TRUNCATED


async def test_nobody_listens_and_no_such_name(clients: HttpClients) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    _, refused = await ask(clients, connection(port))
    _, unknown = await ask(clients, evolve(connection(port), base_url="http://no-such-name.invalid/v1"))
    for fault in (refused, unknown):
        assert fault is not None
        assert fault.kind is FaultKind.CONNECTION
        assert fault.message.startswith("ConnectError: ")


async def test_a_connection_that_nobody_accepts_in_time(clients: HttpClients) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        held = []
        for _ in range(4):  # until the queue of the listener is full
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
            held.append(one)
        _, fault = await ask(clients, evolve(connection(port), connect_timeout=0.3))
        for one in held:
            one.close()
    assert fault is not None
    assert (fault.kind, fault.timeout) == (FaultKind.CONNECT_TIMEOUT, 0.3)


async def test_a_request_that_nobody_takes_in_time(clients: HttpClients) -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    async with serving(deaf) as port:
        way = evolve(connection(port), read_timeout=0.3)
        _, fault = await ask(clients, way, asking("x" * 20_000_000))
    assert fault is not None
    assert (fault.kind, fault.timeout) == (FaultKind.READ_TIMEOUT, 0.3)


async def test_a_large_request_arrives_whole_and_may_be_slow(clients: HttpClients) -> None:
    sizes = []

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"transfer-encoding" not in head.lower()
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        read = 0
        while read < length:
            read += len(await reader.read(1 << 20))
            await asyncio.sleep(0.01)
        sizes.append((length, read))
        writer.write(WHOLE)
        await writer.drain()

    async with serving(slow) as port:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            _, fault = await ask(clients, evolve(connection(port), read_timeout=0.5), asking("x" * 12_000_000))
    assert fault is None
    assert sizes[0][0] == sizes[0][1] > 12_000_000


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity"])
async def test_an_encoded_answer_is_decoded_once(clients: HttpClients, encoding: str) -> None:
    body = {"gzip": gzip.compress, "deflate": __import__("zlib").compress, "identity": bytes}[encoding](EVENT + DONE)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: %s\r\n" % encoding.encode()
    async with serving(saying(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)) as port:
        events, fault = await ask(clients, connection(port))
    assert fault is None
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["x"]


async def test_the_request_says_the_same_on_both() -> None:
    heads = []

    async def noting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await request_of(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\n" + WHOLE.partition(b"\r\n")[2])
        await writer.drain()
        heads.append(await request_of(reader))

    async with serving(noting) as port:
        for aiohttp in (True, False):
            shared = HttpClients(aiohttp=aiohttp)
            await ask(shared, connection(port))
            await ask(shared, evolve(connection(port), read_timeout=0.2))
            await shared.aclose()
    lines = [sorted(head.lower().split(b"\r\n")) for head in heads]
    assert len(lines) == 4
    assert lines == [lines[0]] * 4, "no cookie comes back, no header more or less"


async def test_one_connection_serves_request_after_request(clients: HttpClients) -> None:
    opened = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(writer)
        await always(reader, writer)

    async with serving(serve) as port:
        for _ in range(10):
            _, fault = await ask(clients, connection(port))
            assert fault is None
        assert len(opened) == 1
        results = await asyncio.gather(*(ask(clients, connection(port)) for _ in range(50)))
        assert [fault for _, fault in results] == [None] * 50
        assert len(opened) <= 50


@pytest.mark.parametrize("catalogue", [False, True], ids=["POST", "GET"])
async def test_nothing_is_sent_twice(clients: HttpClients, catalogue: bool) -> None:
    """A kept connection that dies under the second request: the fault is told, whether to try again is not ours."""
    requests = []
    body = b'{"data":[{"id":"a/b"}]}'

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await request_of(reader))
        length = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
        writer.write(length + body if catalogue else WHOLE)
        await writer.drain()
        requests.append(await request_of(reader))

    async def once() -> ProviderFault | None:
        try:
            if catalogue:
                await OpenRouterCatalog(clients).fetch(connection(port))
            else:
                return (await ask(clients, connection(port)))[1]
        except ProviderError as error:
            return error.fault
        return None

    async with serving(serve) as port:
        assert await once() is None
        fault = await once()
    assert fault is not None
    assert fault.kind is FaultKind.CONNECTION
    assert len(requests) == 2


async def test_a_kept_connection_that_the_server_closed_does_no_harm(clients: HttpClients) -> None:
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await request_of(reader)
        writer.write(WHOLE)
        await writer.drain()
        await reader.read()

    async with serving(serve) as port:
        assert (await ask(clients, connection(port)))[1] is None
        writers[0].get_extra_info("socket").shutdown(socket.SHUT_WR)  # it arrives while the loop is busy with this
        assert (await ask(clients, connection(port)))[1] is None
    assert len(writers) == 2


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 with its key in one file, signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    key, file = folder / "key.pem", folder / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(file), "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True)
    file.write_text(file.read_text() + key.read_text())
    return file


def server_tls(certificate: Path, *protocols: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


async def test_a_certificate_that_nobody_knows_is_not_accepted(clients: HttpClients, certificate: Path) -> None:
    async with serving(saying(WHOLE), server_tls(certificate)) as port:
        _, fault = await ask(clients, connection(port, "https"))
    assert fault is not None
    assert fault.message == "the certificate was not accepted (self-signed certificate)"


async def test_a_server_without_tls(clients: HttpClients) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with serving(plain) as port:
        _, fault = await ask(clients, connection(port, "https"))
    assert fault is not None
    assert fault.message == "TLS failed (WRONG_VERSION_NUMBER)"


@pytest.mark.parametrize("aiohttp", [True, False])
async def test_certificates_of_the_environment(
    aiohttp: bool, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    shared = HttpClients(aiohttp=aiohttp)
    async with serving(saying(WHOLE), server_tls(certificate)) as port:
        _, fault = await ask(shared, connection(port, "https"))
        await shared.aclose()
    assert fault is None


async def test_over_aiohttp_no_server_is_told_that_we_speak_http2(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    shared = HttpClients(aiohttp=True)
    async with serving(saying(WHOLE), server_tls(certificate, "h2", "http/1.1")) as port:
        _, fault = await ask(shared, connection(port, "https"))
        await shared.aclose()
    assert fault is None


@pytest.mark.parametrize("headers", [True, False], ids=["in the stream", "before the headers"])
@pytest.mark.parametrize("tls", [True, False], ids=["TLS", "plain"])
async def test_a_stopped_answer_lets_go_of_its_socket_at_once(
    clients: HttpClients, certificate: Path, monkeypatch: pytest.MonkeyPatch, tls: bool, headers: bool
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    seen: list[str] = []

    def serve_blocking(listener: socket.socket) -> None:
        # No asyncio: its TLS would answer the goodbye, which is what must not be waited for.
        with listener.accept()[0] as plain:
            plain.settimeout(5)
            wrapped = server_tls(certificate).wrap_socket(plain, server_side=True) if tls else plain
            wrapped.recv(65536)
            if headers:
                wrapped.sendall(HEAD + chunk(EVENT))
            seen.append("asked")
            raw = socket.socket(fileno=os.dup(wrapped.fileno()))
            raw.settimeout(5)
            try:
                while raw.recv(65536):
                    pass
                seen.append("closed")
            except ConnectionError:
                seen.append("closed")
            except TimeoutError:
                seen.append("still open")
            finally:
                raw.close()
                wrapped.close()

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=serve_blocking, args=(listener,))
        thread.start()
        way = connection(listener.getsockname()[1], "https" if tls else "http")
        task = asyncio.create_task(ask(clients, way))
        await eventually(lambda: seen == ["asked"])
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await eventually(lambda: seen == ["asked", "closed"], 1)
        await asyncio.to_thread(thread.join)


@asynccontextmanager
async def proxy(seen: list[bytes], status: bytes = b"200 OK") -> AsyncIterator[int]:
    """A proxy that tunnels, and answers plain requests itself."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head)
        if not head.startswith(b"CONNECT"):
            writer.write(WHOLE)
            await writer.drain()
            return
        writer.write(b"HTTP/1.1 %s\r\n\r\n" % status)
        await writer.drain()
        if status != b"200 OK":
            return
        host, _, port = head.split()[1].decode().partition(":")
        other_reader, other_writer = await asyncio.open_connection(host, int(port))

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
            sink.close()

        try:
            await asyncio.gather(pump(reader, other_writer), pump(other_reader, writer), return_exceptions=True)
        finally:
            other_writer.close()

    async with serving(serve) as port:
        yield port


def _only(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


async def test_a_tunnel_through_the_proxy_of_the_environment(
    clients: HttpClients, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []
    async with serving(saying(WHOLE), server_tls(certificate)) as port, proxy(seen) as proxy_port:
        _only(monkeypatch, HTTPS_PROXY=f"http://ada:secret@127.0.0.1:{proxy_port}", SSL_CERT_FILE=str(certificate))
        _, fault = await ask(clients, connection(port, "https"))
    assert fault is None
    assert seen[0].startswith(b"CONNECT 127.0.0.1:%d HTTP/1.1" % port)
    assert b"proxy-authorization: basic ywrhonnly3jlda==" in seen[0].lower()
    assert b"sk-or-secret" not in seen[0]


async def test_a_plain_request_through_the_proxy(clients: HttpClients, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    async with proxy(seen) as proxy_port:
        _only(monkeypatch, HTTP_PROXY=f"http://ada:secret@127.0.0.1:{proxy_port}", NO_PROXY="127.0.0.1")
        _, fault = await ask(clients, evolve(connection(1), base_url="http://openrouter.test/v1"))
        assert fault is None
        _, direct = await ask(clients, connection(1))
    assert seen[0].startswith(b"POST http://openrouter.test/v1/responses HTTP/1.1")
    assert b"proxy-authorization: basic ywrhonnly3jlda==" in seen[0].lower()
    assert direct is not None, "NO_PROXY is obeyed: nobody listens there"
    assert len(seen) == 1


async def test_a_proxy_that_refuses(clients: HttpClients, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with proxy([], b"403 Forbidden") as proxy_port:
        _only(monkeypatch, HTTPS_PROXY=f"http://127.0.0.1:{proxy_port}")
        _, fault = await ask(clients, connection(1, "https"))
    assert fault is not None
    assert (fault.kind, fault.message) == (FaultKind.CONNECTION, "ProxyError")


async def test_without_aiohttp_httpx_carries_the_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    monkeypatch.delitem(sys.modules, AiohttpTransport.__module__)
    monkeypatch.delattr("openrouter_pipe.adapters.openrouter.aiohttp_transport")
    shared = HttpClients()
    async with serving(saying(WHOLE)) as port:
        _, fault = await ask(shared, connection(port))
        assert fault is None
        lease = await shared.lease()
        transport = lease.transport(httpx.URL("https://openrouter.ai/"))
        assert isinstance(transport, httpx.AsyncHTTPTransport)
        lease.release()
        await shared.aclose()


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("aiohttp", [True, False])
async def test_nothing_is_left_when_the_clients_are_closed(aiohttp: bool) -> None:
    await asyncio.gather(*(asyncio.to_thread(lambda: None) for _ in range(40)))  # the pool of threads has its size
    gc.collect()
    threads, files = threading.active_count(), _descriptors()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        shared = HttpClients(aiohttp=aiohttp)
        halting = saying(HEAD + chunk(EVENT), then="silence")
        async with serving(always) as port, serving(halting) as halting_port:
            results = await asyncio.gather(*(ask(shared, connection(port)) for _ in range(20)))
            assert [fault for _, fault in results] == [None] * 20
            unread = OpenRouterProvider(shared).stream(asking(), connection(halting_port))
            await anext(unread)
            await unread.aclose()
            await shared.aclose()
        del shared, unread
        gc.collect()
    await eventually(lambda: _descriptors() <= files)
    assert threading.active_count() <= threads
    assert [str(one.message) for one in caught] == []


@pytest.mark.parametrize("elsewhere", [False, True], ids=["in the loop", "in another thread"])
async def test_clients_that_nobody_closes_leave_nothing_either(
    elsewhere: bool, caplog: pytest.LogCaptureFixture
) -> None:
    gc.collect()
    held = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        async with serving(always) as port:
            before = _descriptors()
            held.append(HttpClients(aiohttp=True))
            await ask(held[0], connection(port))
            assert _descriptors() > before
            await asyncio.to_thread(held.clear) if elsewhere else held.clear()
            await eventually(lambda: _descriptors() <= before)
        gc.collect()
    assert [str(one.message) for one in caught] == []
    assert not caplog.records


def test_clients_of_a_loop_that_is_gone_are_forgotten_silently(caplog: pytest.LogCaptureFixture) -> None:
    async def once(shared: HttpClients) -> None:
        async with serving(saying(WHOLE, then="silence")) as port:
            events, fault = await ask(shared, connection(port))
            assert fault is None
            assert events

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        shared = HttpClients(aiohttp=True)
        asyncio.run(once(shared))
        asyncio.run(once(shared))
        asyncio.run(shared.aclose())
        del shared
        gc.collect()
    assert [str(one.message) for one in caught if "transport" not in str(one.message)] == []
    assert not caplog.records


async def test_our_transport_is_the_default_and_httpx_knows_its_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `client` overrides in httpx is not its public interface: here one sees when that changes."""
    _only(monkeypatch, ALL_PROXY="http://127.0.0.1:9", NO_PROXY="direct.test")
    shared = HttpClients()
    lease = await shared.lease()
    through = lease.transport(httpx.URL("https://openrouter.ai/"))
    direct = lease.transport(httpx.URL("https://direct.test/"))
    assert isinstance(through, AiohttpTransport)
    assert isinstance(direct, AiohttpTransport)
    assert through is not direct
    lease.release()
    await shared.aclose()
    _only(monkeypatch, ALL_PROXY="https://127.0.0.1:9")
    shared = HttpClients()
    lease = await shared.lease()
    assert isinstance(lease.transport(httpx.URL("https://openrouter.ai/")), httpx.AsyncHTTPTransport)
    lease.release()
    await shared.aclose()
