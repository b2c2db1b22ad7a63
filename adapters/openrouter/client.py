"""The HTTP clients that every request of one composition shares; what happens to one request is in `exchange`.

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
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import httpx
from attrs import define, field

from openrouter_pipe.adapters.openrouter import faults
from openrouter_pipe.ports.provider import ProviderError

if TYPE_CHECKING:
    from openrouter_pipe.adapters.openrouter.aiohttp_transport import AiohttpTransport

STREAMS_PER_CLIENT: Final = 64
_KEEPALIVE_SECONDS: Final = 60.0
_HTTP2: Final = importlib.util.find_spec("h2") is not None


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
        return await self.transport(request.url).handle_async_request(request)

    def transport(self, url: httpx.URL) -> httpx.AsyncBaseTransport:
        """What carries requests to this address."""
        return self._shared.client.transport_for(url)

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
    ``aiohttp`` False keeps to httpx's own transport, as it is where no aiohttp of 3.10 or newer is installed.
    """

    def __init__(
        self, transport_factory: Callable[[], httpx.AsyncBaseTransport] | None = None, *, aiohttp: bool = True
    ) -> None:
        self._transport_factory = transport_factory
        self._wants_aiohttp = aiohttp
        self._aiohttp: type[AiohttpTransport] | None = None
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
            await asyncio.to_thread(self._prepare)
        if self._closed:
            raise ProviderError(faults.no_connection("the connections are closed; the pipe is shutting down", "", ""))
        most = STREAMS_PER_CLIENT if self._aiohttp is None else sys.maxsize
        for one in self._shared:
            if one.loop is loop and one.running < most:
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

    def _prepare(self) -> None:
        # Reading the certificate store takes tens of milliseconds, which of many first requests only one should spend.
        with self._loading:
            if self._tls is not None:
                return
            if self._wants_aiohttp:
                # Importing it takes a tenth of a second, unless the host has done so.
                with suppress(ImportError):
                    from openrouter_pipe.adapters.openrouter.aiohttp_transport import AiohttpTransport

                    self._aiohttp = AiohttpTransport
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
        tls = self._tls or httpx.create_ssl_context()
        if self._aiohttp is not None:
            return _AiohttpClient(self._aiohttp, tls)
        return _Client(verify=tls, http2=_HTTP2, limits=limits)


class _Client(httpx.AsyncClient):
    """httpx's client, for what it knows of proxies in the environment and of the transport for an address."""

    def transport_for(self, url: httpx.URL) -> httpx.AsyncBaseTransport:
        return self._transport_for_url(url)

    def discard(self) -> None:
        """Nothing can be closed in a loop that does not run."""


class _AiohttpClient(_Client):
    """The same over aiohttp. Proxies that it cannot speak to (https, SOCKS) are left to httpx, with HTTP/1.1 as well."""

    def __init__(self, kind: type[AiohttpTransport], tls: ssl.SSLContext) -> None:
        self._kind = kind
        self._tls = tls
        self._own: list[AiohttpTransport] = []
        super().__init__(verify=tls)

    def _init_transport(self, *args: Any, **options: Any) -> httpx.AsyncBaseTransport:
        return self._over_aiohttp(None)

    def _init_proxy_transport(self, proxy: httpx.Proxy, *args: Any, **options: Any) -> httpx.AsyncBaseTransport:
        if proxy.url.scheme == "http":
            return self._over_aiohttp(proxy)
        return super()._init_proxy_transport(proxy, *args, **options)

    def _over_aiohttp(self, proxy: httpx.Proxy | None) -> httpx.AsyncBaseTransport:
        transport = self._kind(self._tls, proxy)
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
