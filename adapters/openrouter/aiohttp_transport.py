"""An httpx transport over aiohttp: the same API and the same exceptions at a fraction of the CPU.

What lives here: requests out, bytes in, and the translation of whatever aiohttp raises into what httpx's own transport
raises in the same place, so that `faults` judges alike on both. Not here: when it is used (`client`), retries, redirects,
cookies, decoding of contents; each of them is switched off below, since httpx or the caller does it or nobody may.

Nothing is sent twice, and what arrived before a connection broke is delivered before the error is.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterable, Iterator
from typing import Any, Final, cast

import aiohttp
import httpx
from aiohttp import ConnectionTimeoutError, NonHttpUrlClientError, SocketTimeoutError  # new in 3.10
from yarl import URL

KEEPALIVE_SECONDS: Final = 60.0
"""How long an idle connection is kept."""

_LOOK_SECONDS: Final = 2.0
_PIECE_BYTES: Final = 64 * 1024
_BUFFER_BYTES: Final = 64 * 1024
_HEADER_BYTES: Final = 64 * 1024
_AUTOMATIC_HEADERS: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class _Response(aiohttp.ClientResponse):
    """A response that lets go of its socket at once when nobody waits for its headers any more.

    aiohttp would say goodbye politely, which over TLS means waiting for the other side's answer for up to 30 seconds.
    """

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        started = False
        try:
            await super().start(connection)
            started = True
        finally:
            if not started and connection.transport is not None:
                connection.transport.abort()
        return self


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Requests over one aiohttp session; make it inside the running event loop, and use it in no other.

    tls: the context for https. proxy: an ``http://`` proxy, asked to tunnel for https; none is read from the environment.
    Connections are not limited in number (admission limits turns) and are kept for `KEEPALIVE_SECONDS`.

    Time limits are those of the request's ``timeout`` extension. *connect* covers name, connection and TLS together.
    """

    def __init__(self, tls: ssl.SSLContext, proxy: httpx.Proxy | None = None) -> None:
        tls.set_alpn_protocols(["http/1.1"])
        self._loop = asyncio.get_running_loop()
        self._proxy = None if proxy is None else URL(str(proxy.url), encoded=True)
        self._proxy_headers = None if proxy is None else _proxy_headers(proxy)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                ssl=tls,
                keepalive_timeout=KEEPALIVE_SECONDS,
                # The system's own resolver, as httpx asks it; aiohttp prefers another one where it is installed.
                resolver=aiohttp.ThreadedResolver(),
            ),
            response_class=_Response,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_AUTOMATIC_HEADERS,
            read_bufsize=_BUFFER_BYTES,
            max_line_size=_HEADER_BYTES,
            max_field_size=_HEADER_BYTES,
        )
        # aiohttp sends a GET once more when a kept connection turns out to be dead; httpx does not, and who retries decides.
        self._session._retry_connection = False  # noqa: SLF001

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send and wait for the headers. Raises what `httpx.AsyncHTTPTransport` raises."""
        limits = request.extensions.get("timeout", {})
        # A stream is a large body that is meant not to be held whole.
        whole = isinstance(request.stream, httpx.ByteStream)
        body = await request.aread() if whole else cast("httpx.AsyncByteStream", request.stream)
        # The other side may have closed an idle connection while this loop was busy: two turns of the loop let it notice,
        # so that the pool does not hand out a dead connection.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with _translated():
            async with asyncio.timeout(None) as sending:
                answer = await self._session.request(
                    request.method,
                    _address(request.url),
                    headers=[(name.decode("ascii"), value.decode()) for name, value in self._headers(request)],
                    data=body
                    if isinstance(body, bytes) and len(body) <= _PIECE_BYTES
                    else _pieces(body, sending, limits.get("write")),
                    allow_redirects=False,
                    proxy=self._proxy,
                    proxy_headers=self._proxy_headers if request.url.scheme == "https" else None,
                    timeout=aiohttp.ClientTimeout(
                        total=None,
                        connect=limits.get("connect"),
                        sock_read=limits.get("read"),
                        ceil_threshold=float("inf"),
                    ),
                )
        return httpx.Response(
            answer.status,
            headers=answer.raw_headers,
            stream=AiohttpStream(answer, limits.get("read"), self._loop),
            extensions={
                "http_version": b"HTTP/1.1",
                "reason_phrase": (answer.reason or "").encode("latin-1", "replace"),
            },
        )

    def _headers(self, request: httpx.Request) -> Iterator[tuple[bytes, bytes]]:
        yield from request.headers.raw
        if self._proxy_headers is not None and request.url.scheme == "http":
            for name, value in self._proxy_headers.items():
                yield name.encode("ascii"), value.encode("ascii")

    async def aclose(self) -> None:
        """Close all connections; responses not read to their end fail."""
        await self._session.close()

    def discard(self) -> None:
        """Let go of everything where nothing can be awaited: when the loop has ended, or nobody closed the transport."""
        connector = self._session.connector
        self._session.detach()
        if connector is not None:
            with contextlib.suppress(StopIteration, RuntimeError):
                # What is there to do is done in the first step; only the other side's goodbye would be waited for.
                connector.close().__await__().__next__()

    def __del__(self) -> None:
        # A host that ends or loads another version may close nothing; aiohttp would complain of a session left open.
        with contextlib.suppress(AttributeError, RuntimeError):
            if self._session.closed:
                return
            if self._loop.is_running() and _running_loop() is not self._loop:
                self._loop.call_soon_threadsafe(self.discard)
            else:
                self.discard()


class AiohttpStream(httpx.AsyncByteStream):
    """The body of one answer, as it comes; its content may still be encoded.

    The time limit of a read is kept by one timer that looks, every two seconds, how long the read has waited, instead of
    a timer per read. It also sees that a broken frame has ended a connection, of which aiohttp says nothing to a reader.
    """

    __slots__ = (
        "_answer",
        "_connection",
        "_content",
        "_failure",
        "_limit",
        "_loop",
        "_protocol",
        "_since",
        "_step",
        "_timer",
    )

    def __init__(self, answer: aiohttp.ClientResponse, limit: float | None, loop: asyncio.AbstractEventLoop) -> None:
        self._answer = answer
        self._content = answer.content
        self._connection = answer.connection
        self._protocol = None if self._connection is None else self._connection.protocol
        self._limit = limit
        self._step = _LOOK_SECONDS if limit is None else min(limit, _LOOK_SECONDS)
        self._loop = loop
        self._since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._failure: Exception | None = None
        if self._protocol is not None:
            self._protocol.read_timeout = None
            self._protocol.start_timeout()  # which, without a limit, ends the one that is running

    def __aiter__(self) -> AiohttpStream:
        return self

    async def __anext__(self) -> bytes:
        data = await self.read()
        if not data:
            raise StopAsyncIteration
        return data

    async def read(self) -> bytes:
        """All that is there, at least one byte; nothing at the end."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            self._content.set_exception(failure)
        self._since = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(self._step, self._look)
        try:
            data = await self._content.readany()
        except (aiohttp.ClientError, OSError, RuntimeError, ValueError) as exc:
            if rest := self._rest():
                self._failure = exc
                return rest
            original = self._original(exc)
            raise _translation(original) from _cause(original)
        finally:
            self._since = None
        if not data:
            self._stop()
        return data

    async def aclose(self) -> None:
        """Close the connection unless the body was read to its end; then it serves the next request."""
        self._stop()
        connection, self._connection, self._protocol = self._connection, None, None
        if not self._content.is_eof() and connection is not None and connection.transport is not None:
            connection.transport.abort()
        self._answer.close()
        self._clear()

    def _look(self) -> None:
        self._timer = None
        if self._since is None:
            return  # nobody waits; the next read sets a new timer
        waited = self._loop.time() - self._since
        if self._limit is not None and waited >= self._limit:
            self._content.set_exception(SocketTimeoutError())
        elif self._protocol is not None and self._protocol.exception() is not None:
            # A frame that is none: aiohttp closes the connection and forgets the reader.
            self._content.set_exception(aiohttp.ClientPayloadError())
        else:
            left = self._step if self._limit is None else min(self._step, self._limit - waited)
            self._timer = self._loop.call_later(left, self._look)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _rest(self) -> bytes:
        """What arrived before the failure: aiohttp would keep it to itself."""
        self._clear()
        with contextlib.suppress(aiohttp.ClientError, OSError, RuntimeError):
            return self._content.read_nowait()
        return b""

    def _clear(self) -> None:
        # Also so that the exception and the frames that it passed do not keep each other alive.
        forget: Any = self._content.set_exception
        forget(None)

    def _original(self, exc: Exception) -> Exception:
        """What broke the connection, where all that aiohttp says is that the body is incomplete."""
        broken = None if self._protocol is None else self._protocol.exception()
        return broken if isinstance(exc, aiohttp.ClientPayloadError) and isinstance(broken, OSError) else exc


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def _pieces(
    body: bytes | AsyncIterable[bytes], sending: asyncio.Timeout, limit: float | None
) -> AsyncGenerator[bytes, None]:
    """A large body, piece by piece, each of which has its own time to be taken."""
    loop = asyncio.get_running_loop()
    async for piece in _cut(body) if isinstance(body, bytes) else body:
        _allow(sending, None if limit is None else loop.time() + limit)
        yield piece
    _allow(sending, None)


async def _cut(body: bytes) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(body), _PIECE_BYTES):
        yield body[start : start + _PIECE_BYTES]


def _allow(sending: asyncio.Timeout, when: float | None) -> None:
    # The answer may come before the request has left; then there is nobody any more who waits for the sending.
    with contextlib.suppress(RuntimeError):
        sending.reschedule(when)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except TimeoutError as exc:
        if isinstance(exc, aiohttp.ClientError):
            raise _translation(exc) from None
        raise httpx.WriteTimeout("") from None
    except (aiohttp.ClientError, OSError, RuntimeError, ValueError) as exc:
        raise _translation(exc) from _cause(exc)


def _translation(exc: Exception) -> httpx.TransportError:
    """The exception of httpx for the same event. Without words: those of aiohttp repeat headers and addresses."""
    match exc:
        case ConnectionTimeoutError():
            return httpx.ConnectTimeout("")
        case TimeoutError():
            return httpx.ReadTimeout("")
        case aiohttp.ClientHttpProxyError():
            return httpx.ProxyError(f"the proxy answered with status {exc.status}")
        case aiohttp.ClientConnectorError() | aiohttp.ServerFingerprintMismatch():
            return httpx.ConnectError("")
        case NonHttpUrlClientError():
            return httpx.UnsupportedProtocol("")
        case aiohttp.InvalidURL() | ValueError():
            return httpx.LocalProtocolError("")
        case aiohttp.ServerDisconnectedError():
            return httpx.RemoteProtocolError("the server disconnected without an answer")
        case aiohttp.ClientResponseError() | aiohttp.ClientPayloadError():
            return httpx.RemoteProtocolError("the answer breaks the rules of HTTP")
        case _:
            return httpx.ReadError("")


def _cause(exc: Exception) -> Exception:
    """The system's or TLS's own exception, whose words are safe to show; aiohttp puts whole addresses into its own."""
    for inner in (getattr(exc, "certificate_error", None), getattr(exc, "os_error", None), exc.__cause__):
        if isinstance(inner, OSError):
            return inner
    code = exc.errno if isinstance(exc, OSError) else None
    return exc if code is None else OSError(code, os.strerror(code))


def _address(url: httpx.URL) -> URL:
    # Credentials in an address are httpx's business (it makes a header of them); aiohttp would refuse them beside ours.
    return URL(str(url.copy_with(userinfo=b"") if url.userinfo else url), encoded=True)


def _proxy_headers(proxy: httpx.Proxy) -> dict[str, str]:
    headers = {name.decode("ascii"): value.decode("ascii") for name, value in proxy.headers.raw}
    if proxy.raw_auth is not None:
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(b':'.join(proxy.raw_auth)).decode('ascii')}"
    return headers
