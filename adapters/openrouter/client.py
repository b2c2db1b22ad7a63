"""The HTTP clients that every request of one composition shares, and time limits on single awaits.

One client holds at most `STREAMS_PER_CLIENT` running answers, then the next client is used or made. Two reasons, both in
httpx's own pool: it lets the 101st stream of an HTTP/2 connection wait instead of connecting anew, and it scans all its
connections for every request and every end of one. Idle clients keep their connections alive for the next turn.
"""

from __future__ import annotations

import asyncio
import importlib.util
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import httpx
from attrs import define

from openrouter_pipe.adapters.openrouter import faults
from openrouter_pipe.ports.provider import Connection, FaultKind, ProviderError

T = TypeVar("T")

STREAMS_PER_CLIENT: Final = 64
_KEEPALIVE_SECONDS: Final = 60.0
_HTTP2: Final = importlib.util.find_spec("h2") is not None


class ClosedEarlyError(ProviderError):
    """The other side closed the connection in the middle of an answer."""


@define(eq=False)
class _Shared:
    client: httpx.AsyncClient
    loop: asyncio.AbstractEventLoop
    running: int = 0


class HttpClients:
    """Shared clients, made lazily inside the running event loop and released by `aclose`.

    Time limits belong to the request, not to the client, so that a changed setting needs no new client. Proxies and
    certificates are taken from the environment, as httpx does.

    ``transport_factory`` gives each client its transport (tests, or a faster one); then HTTP/2 and proxies are its business.
    """

    def __init__(self, transport_factory: Callable[[], httpx.AsyncBaseTransport] | None = None) -> None:
        self._transport_factory = transport_factory
        self._shared: list[_Shared] = []
        self._tls: ssl.SSLContext | None = None
        self._closed = False

    @asynccontextmanager
    async def lease(self) -> AsyncGenerator[httpx.AsyncClient, None]:
        """A client for one request; leave the context when its answer is over.

        Raises:
            ProviderError: the clients are closed.
        """
        shared = await self._free()
        shared.running += 1
        try:
            yield shared.client
        finally:
            shared.running -= 1

    async def aclose(self) -> None:
        """Close every client and its connections; may be called again."""
        self._closed = True
        shared, self._shared = self._shared, []
        loop = asyncio.get_running_loop()
        for one in shared:
            if one.loop is loop:
                await one.client.aclose()

    async def _free(self) -> _Shared:
        loop = asyncio.get_running_loop()
        if self._transport_factory is None and self._tls is None:
            # Reading the certificate store takes tens of milliseconds; two first requests may both do it, harmlessly.
            self._tls = await asyncio.to_thread(httpx.create_ssl_context)
        if self._closed:
            raise ProviderError(faults.no_connection("the connections are closed; the pipe is shutting down", "", ""))
        # A client is bound to the loop that it ran in; those of a loop that is gone are of no use to anybody.
        self._shared = [one for one in self._shared if not one.loop.is_closed()]
        for one in self._shared:
            if one.loop is loop and one.running < STREAMS_PER_CLIENT:
                return one
        shared = _Shared(self._make(), loop)
        self._shared.append(shared)
        return shared

    def _make(self) -> httpx.AsyncClient:
        limits = httpx.Limits(
            max_connections=None,
            max_keepalive_connections=STREAMS_PER_CLIENT,
            keepalive_expiry=_KEEPALIVE_SECONDS,
        )
        if self._transport_factory is not None:
            return httpx.AsyncClient(transport=self._transport_factory(), limits=limits)
        return httpx.AsyncClient(verify=self._tls or True, http2=_HTTP2, limits=limits)


class Limits:
    """The time limits of one request, and the translation of what httpx raises into faults.

    The total limit counts from construction. It is put around single awaits only, never around a ``yield``: a limit that
    fires while the consumer runs would cancel the consumer.
    """

    def __init__(self, connection: Connection, url: httpx.URL, model: str) -> None:
        self._connection = connection
        self._url = faults.bare_url(url)
        self._model = model
        self._loop = asyncio.get_running_loop()
        self._deadline: float | None = None
        if connection.total_timeout is not None:
            self._deadline = self._loop.time() + connection.total_timeout

    @property
    def timeout(self) -> httpx.Timeout:
        """The limits that httpx itself keeps."""
        connection = self._connection
        return httpx.Timeout(
            connect=connection.connect_timeout,
            read=connection.read_timeout,
            write=connection.read_timeout,
            pool=connection.connect_timeout,
        )

    async def wait(self, awaitable: Awaitable[T]) -> T:
        """Await within the limits. Raises `ProviderError` in the place of everything that httpx raises."""
        try:
            if self._deadline is None:
                return await awaitable
            async with asyncio.timeout_at(self._deadline) as scope:
                return await awaitable
        except TimeoutError:
            if self._deadline is None or not scope.expired():
                raise self._timed_out(FaultKind.READ_TIMEOUT, self._connection.read_timeout) from None
            raise self._timed_out(FaultKind.TOTAL_TIMEOUT, self._connection.total_timeout) from None
        except (httpx.ConnectTimeout, httpx.PoolTimeout):
            raise self._timed_out(FaultKind.CONNECT_TIMEOUT, self._connection.connect_timeout) from None
        except httpx.TimeoutException:
            raise self._timed_out(FaultKind.READ_TIMEOUT, self._connection.read_timeout) from None
        except httpx.DecodingError:
            context = faults.Context(now=0.0, model=self._model)
            raise ProviderError(faults.malformed("the answer is not encoded as its headers say", context)) from None
        except httpx.RemoteProtocolError as exc:
            raise ClosedEarlyError(faults.no_connection(_reason(exc), self._url, self._model)) from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as exc:
            # Not chained and not quoted: the text of some (h11's) repeats header values, the key among them.
            raise ProviderError(faults.no_connection(_reason(exc), self._url, self._model)) from None

    def check(self) -> None:
        """Raise `ProviderError` if the total limit has passed; for awaits that may finish without waiting."""
        if self._deadline is not None and self._loop.time() >= self._deadline:
            raise self._timed_out(FaultKind.TOTAL_TIMEOUT, self._connection.total_timeout)

    def _timed_out(self, kind: FaultKind, limit: float | None) -> ProviderError:
        return ProviderError(faults.timed_out(kind, limit, self._url, self._model))


async def read_bounded(chunks: AsyncIterator[bytes], limits: Limits, most: int) -> tuple[bytes, bool]:
    """Read a body up to about ``most`` bytes; says whether that was all of it."""
    read: list[bytes] = []
    size = 0
    while size < most:
        limits.check()
        chunk = await limits.wait(anext(chunks, None))
        if chunk is None:
            return b"".join(read), True
        read.append(chunk)
        size += len(chunk)
    return b"".join(read)[:most], False


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
