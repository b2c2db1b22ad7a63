"""One request and its answer over HTTP: time limits, what is raised in the place of what httpx raises, the body's bytes.

Not here: where connections come from (`client`), and what the bytes mean.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import httpx

from openrouter_pipe.adapters.openrouter import faults
from openrouter_pipe.ports.provider import Connection, FaultKind, ProviderError

T = TypeVar("T")

_DRAIN_SECONDS: Final = 0.2

RAISED: Final = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError)
"""Everything that httpx, its transports and the system raise (time-outs are among the system's)."""


class ClosedEarlyError(ProviderError):
    """The other side closed the connection in the middle of an answer."""


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

    @property
    def pull(self) -> Callable[[], Awaitable[bytes]]:
        """`read` by the shortest way, which may also raise one of `RAISED`; see `translated`."""
        return self._read if self._limits.deadline is None else self.read

    def translated(self, exc: Exception) -> ProviderError:
        """What an exception of `pull` is to the turn."""
        return self._limits.translated(exc)

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
