"""The HTTP clients that every request of one composition shares, and time limits on single awaits.

Where aiohttp is installed (Open WebUI always brings it), requests go over it: see `aiohttp_transport`. One client per event
loop is enough then. Otherwise httpx's own transport carries them, and a client holds at most `STREAMS_PER_CLIENT` running
answers before the next one is used or made. Two reasons, both in httpx's own pool: it lets the 101st stream of an HTTP/2
connection wait instead of connecting anew, and it scans all its connections for every request and every end of one. Idle
clients keep their connections alive for the next turn.
"""

from __future__ import annotations

import asyncio
import importlib.util
import ssl
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import httpx
from attrs import define, field

from openrouter_pipe.adapters.openrouter import faults
from openrouter_pipe.ports.provider import Connection, FaultKind, ProviderError

T = TypeVar("T")

STREAMS_PER_CLIENT: Final = 64
_KEEPALIVE_SECONDS: Final = 60.0
_DRAIN_SECONDS: Final = 0.2
_HTTP2: Final = importlib.util.find_spec("h2") is not None
_AIOHTTP: Final = importlib.util.find_spec("aiohttp") is not None

RAISED: Final = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError)
"""Everything that httpx, its transports and the system raise (time-outs are among the system's)."""


class ClosedEarlyError(ProviderError):
    """The other side closed the connection in the middle of an answer."""


class Lease:
    """The right to send one request after the other over a shared client; `release` it when the last answer is over."""

    __slots__ = ("_shared",)

    def __init__(self, shared: _Shared) -> None:
        self._shared = shared
        shared.running += 1

    async def send(self, request: httpx.Request) -> httpx.Response:
        """The answer's headers; its body is still to be read from ``stream``, and to be closed by the caller.

        Straight to the transport: of what `httpx.AsyncClient.send` does beside (cookies, redirects, authentication from
        addresses, a log line per request) nothing is wanted here.
        """
        return await self._shared.client.transport_for(request.url).handle_async_request(request)

    def request(self, method: str, url: httpx.URL, headers: list[tuple[bytes, bytes]], **options: Any) -> httpx.Request:
        """A request with httpx's usual headers beside the given ones."""
        given = {name.lower() for name, _ in headers}
        usual = [(name, value) for name, value in self._shared.headers if name.lower() not in given]
        return httpx.Request(method, url, headers=usual + headers, **options)

    def release(self) -> None:
        """Give the client back."""
        self._shared.running -= 1


class HttpClients:
    """Shared clients, made lazily inside the running event loop and released by `aclose`.

    Time limits belong to the request, not to the client, so that a changed setting needs no new client. Proxies and
    certificates are taken from the environment, as httpx does.

    ``transport_factory`` gives each client its transport (tests, or another one); then HTTP/2 and proxies are its business.
    ``aiohttp`` False keeps to httpx's own transport.
    """

    def __init__(
        self, transport_factory: Callable[[], httpx.AsyncBaseTransport] | None = None, *, aiohttp: bool = _AIOHTTP
    ) -> None:
        self._transport_factory = transport_factory
        self._aiohttp = aiohttp and transport_factory is None
        self._most = sys.maxsize if self._aiohttp else STREAMS_PER_CLIENT
        self._shared: list[_Shared] = []
        self._tls: ssl.SSLContext | None = None
        self._loading = threading.Lock()
        self._closed = False

    async def lease(self) -> Lease:
        """A client for the requests of one answer.

        Raises:
            ProviderError: the clients are closed.
        """
        loop = asyncio.get_running_loop()
        if self._transport_factory is None and self._tls is None:
            await asyncio.to_thread(self._load_certificates)
        if self._closed:
            raise ProviderError(faults.no_connection("the connections are closed; the pipe is shutting down", "", ""))
        for one in self._shared:
            if one.loop is loop and one.running < self._most:
                return Lease(one)
        self._forget_dead_loops()
        shared = _Shared(self._make(), loop)
        self._shared.append(shared)
        return Lease(shared)

    async def aclose(self) -> None:
        """Close every client and its connections; may be called again."""
        self._closed = True
        self._forget_dead_loops()
        shared, self._shared = self._shared, []
        loop = asyncio.get_running_loop()
        for one in shared:
            if one.loop is loop:
                await one.client.aclose()
            elif one.loop.is_running():
                asyncio.run_coroutine_threadsafe(one.client.aclose(), one.loop)
            else:
                one.client.discard()

    def _load_certificates(self) -> None:
        # Reading the certificate store takes tens of milliseconds, which of many first requests only one should spend.
        with self._loading:
            if self._tls is None:
                self._tls = httpx.create_ssl_context()

    def _forget_dead_loops(self) -> None:
        # A client is bound to the loop that it ran in; those of a loop that is gone are of no use to anybody.
        for one in self._shared:
            if one.loop.is_closed():
                one.client.discard()
        self._shared = [one for one in self._shared if not one.loop.is_closed()]

    def _make(self) -> _Client:
        limits = httpx.Limits(
            max_connections=None,
            max_keepalive_connections=STREAMS_PER_CLIENT,
            keepalive_expiry=_KEEPALIVE_SECONDS,
        )
        if self._transport_factory is not None:
            return _Client(transport=self._transport_factory(), limits=limits)
        if self._aiohttp:
            return _AiohttpClient(self._tls or httpx.create_ssl_context())
        return _Client(verify=self._tls or True, http2=_HTTP2, limits=limits)


class _Client(httpx.AsyncClient):
    """httpx's client, for what it knows of proxies in the environment and of the transport for an address."""

    def transport_for(self, url: httpx.URL) -> httpx.AsyncBaseTransport:
        return self._transport_for_url(url)

    def discard(self) -> None:
        """Nothing can be closed in a loop that does not run."""


class _AiohttpClient(_Client):
    """The same over aiohttp. Proxies that it cannot speak to (https, SOCKS) are left to httpx, with HTTP/1.1 as well."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._own: list[Any] = []
        super().__init__(verify=tls)

    def _init_transport(self, *args: Any, **options: Any) -> httpx.AsyncBaseTransport:
        return self._over_aiohttp(None)

    def _init_proxy_transport(self, proxy: httpx.Proxy, *args: Any, **options: Any) -> httpx.AsyncBaseTransport:
        if proxy.url.scheme == "http":
            return self._over_aiohttp(proxy)
        return super()._init_proxy_transport(proxy, *args, **options)

    def _over_aiohttp(self, proxy: httpx.Proxy | None) -> httpx.AsyncBaseTransport:
        from openrouter_pipe.adapters.openrouter.aiohttp_transport import AiohttpTransport

        transport = AiohttpTransport(self._tls, proxy)
        self._own.append(transport)
        return transport

    def discard(self) -> None:
        for transport in self._own:
            transport.discard()


@define(eq=False)
class _Shared:
    client: _Client
    loop: asyncio.AbstractEventLoop
    running: int = 0
    headers: list[tuple[bytes, bytes]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.headers = self.client.headers.raw


class Limits:
    """The time limits of one request, and the translation of what httpx raises into faults.

    The total limit counts from construction. It is put around single awaits only, never around a ``yield``: a limit that
    fires while the consumer runs would cancel the consumer.
    """

    def __init__(self, connection: Connection, url: httpx.URL, model: str) -> None:
        self._connection = connection
        self._address = url
        self._model = model
        self._loop = asyncio.get_running_loop()
        self.deadline: float | None = None
        if connection.total_timeout is not None:
            self.deadline = self._loop.time() + connection.total_timeout

    @property
    def extensions(self) -> dict[str, Any]:
        """The limits that the transport keeps, as httpx hands them to it."""
        connect, read = self._connection.connect_timeout, self._connection.read_timeout
        return {"timeout": {"connect": connect, "read": read, "write": read, "pool": connect}}

    @property
    def _url(self) -> str:
        return faults.bare_url(self._address)

    async def wait(self, awaitable: Awaitable[T]) -> T:
        """Await within the limits. Raises `ProviderError` in the place of everything that httpx raises."""
        scope: asyncio.Timeout | None = None
        try:
            if self.deadline is None:
                return await awaitable
            async with asyncio.timeout_at(self.deadline) as scope:
                return await awaitable
        except RAISED as exc:
            if scope is not None and scope.expired():
                raise self._timed_out(FaultKind.TOTAL_TIMEOUT, self._connection.total_timeout) from None
            # Not chained and not quoted: the text of some (h11's) repeats header values, the key among them.
            raise self.translated(exc) from None

    def translated(self, exc: Exception) -> ProviderError:
        """The fault in the place of what httpx raised."""
        match exc:
            case httpx.ConnectTimeout() | httpx.PoolTimeout():
                return self._timed_out(FaultKind.CONNECT_TIMEOUT, self._connection.connect_timeout)
            case httpx.TimeoutException() | TimeoutError():
                return self._timed_out(FaultKind.READ_TIMEOUT, self._connection.read_timeout)
            case httpx.DecodingError():
                context = faults.Context(now=0.0, model=self._model)
                return ProviderError(faults.malformed("the answer is not encoded as its headers say", context))
            case httpx.RemoteProtocolError():
                return ClosedEarlyError(faults.no_connection(_reason(exc), self._url, self._model))
            case _:
                return ProviderError(faults.no_connection(_reason(exc), self._url, self._model))

    def check(self) -> None:
        """Raise `ProviderError` if the total limit has passed; for awaits that may finish without waiting."""
        if self.deadline is not None and self._loop.time() >= self.deadline:
            raise self._timed_out(FaultKind.TOTAL_TIMEOUT, self._connection.total_timeout)

    def _timed_out(self, kind: FaultKind, limit: float | None) -> ProviderError:
        return ProviderError(faults.timed_out(kind, limit, self._url, self._model))


class Body:
    """The body of one answer, decoded as its headers say, read by read.

    There are as few layers between a read and the socket as there can be: what a stream of events costs is paid per read.
    """

    __slots__ = ("_limits", "_read", "_stream")

    def __init__(self, response: httpx.Response, limits: Limits) -> None:
        stream: Any = response.stream
        self._stream = stream
        self._limits = limits
        self._read: Callable[[], Awaitable[bytes]]
        if "content-encoding" in response.headers:
            self._read = _reading(response.aiter_bytes())
        else:
            self._read = getattr(stream, "read", None) or _reading(aiter(stream))

    async def read(self) -> bytes:
        """What is there, at least one byte; nothing at the end. Raises `ProviderError`."""
        limits = self._limits
        if limits.deadline is not None:
            limits.check()
            return await limits.wait(self._read())
        try:
            return await self._read()
        except RAISED as exc:
            raise limits.translated(exc) from None

    async def read_bounded(self, most: int) -> tuple[bytes, bool]:
        """Read up to about ``most`` bytes; says whether that was all of it."""
        read: list[bytes] = []
        size = 0
        while size < most:
            chunk = await self.read()
            if not chunk:
                return b"".join(read), True
            read.append(chunk)
            size += len(chunk)
        return b"".join(read)[:most], False

    async def drain(self) -> None:
        """Read the few bytes after the answer, so that the connection can serve the next request; not for long."""
        with suppress(TimeoutError, *RAISED):
            async with asyncio.timeout(_DRAIN_SECONDS):
                while await self._read():
                    pass

    async def aclose(self) -> None:
        """Close the connection, unless the body was read to its end."""
        await self._stream.aclose()


def _reading(chunks: AsyncIterator[bytes]) -> Callable[[], Awaitable[bytes]]:
    async def read() -> bytes:
        async for chunk in chunks:
            if chunk:
                return chunk
        return b""

    return read


def _reason(exc: Exception) -> str:
    # The names say it: ConnectError, ReadError, RemoteProtocolError, …; the system's own words follow where they are safe.
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the certificate was not accepted ({cause.verify_message})"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed ({cause.reason or type(cause).__name__})"
        if isinstance(cause, OSError) and cause.strerror:
            return f"{type(exc).__name__}: {cause.strerror}"
        cause = cause.__cause__ or cause.__context__
    return type(exc).__name__
