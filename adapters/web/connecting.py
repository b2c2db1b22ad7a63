"""One connection for one request: the name is looked up once, every address is judged, and one of those is connected to.

The URL that httpx sees carries the address, the Host header and TLS the name; the certificate is verified against the name.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final

import httpx

from openrouter_pipe.adapters.web.faults import TemporaryError, of_network
from openrouter_pipe.adapters.web.resolver import LookupFailedError, Resolver, SystemResolver
from openrouter_pipe.ports.files import AddressGuard, FetchPolicy, FileAccessError, WebTarget

TransportFactory = Callable[[ssl.SSLContext], httpx.AsyncBaseTransport]
"""Makes the transport of one connection."""

_MOST_ADDRESSES: Final = 4
"""Addresses of one name that are tried before it counts as unreachable."""

_HEADERS: Final = {
    "User-Agent": "Mozilla/5.0 (compatible; openrouter-pipe)",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "Connection": "close",
}


def direct_transport(tls: ssl.SSLContext) -> httpx.AsyncBaseTransport:
    """HTTP/1.1 without proxies and without anything from the environment."""
    limits = httpx.Limits(max_connections=1, max_keepalive_connections=0)
    return httpx.AsyncHTTPTransport(verify=tls, trust_env=False, http1=True, http2=False, limits=limits)


class Connector:
    """Opens answers; each on a connection of its own."""

    def __init__(
        self,
        guard: AddressGuard,
        resolver: Resolver | None,
        transport: TransportFactory | None,
        trust: Callable[[], ssl.SSLContext] | None,
    ) -> None:
        self.closed = False
        self._trust = trust or httpx.create_ssl_context
        self._guard = guard
        self._resolver = resolver or SystemResolver()
        self._transport = transport or direct_transport
        self._tls: ssl.SSLContext | None = None
        self._open: set[httpx.AsyncBaseTransport] = set()

    async def aclose(self) -> None:
        """Cut every connection; whoever reads from one hears that it was lost."""
        self.closed = True
        for transport in tuple(self._open):
            await transport.aclose()

    @asynccontextmanager
    async def opened(self, target: WebTarget, policy: FetchPolicy) -> AsyncGenerator[httpx.Response, None]:
        """The answer to a GET of ``target``, its body unread.

        Raises:
            FileAccessError: an address of the host is refused, or its certificate is not valid.
            TemporaryError: it cannot be looked up or reached now.
        """
        addresses = await self._judged(target, policy)
        tls = await self._context()
        for address in addresses[:-1]:
            try:
                transport, response = await self._asked(address, target, policy, tls)
                break
            except _UnreachableError:
                continue
        else:
            transport, response = await self._asked(addresses[-1], target, policy, tls)
        try:
            yield response
        finally:
            await response.aclose()
            await self._release(transport)

    async def _judged(self, target: WebTarget, policy: FetchPolicy) -> tuple[str, ...]:
        """The addresses to connect to; one bad address condemns the name, because the name's owner chose it."""
        if self.closed:
            raise FileAccessError("the server is shutting down")
        found = (target.host,) if target.is_address else await self._looked_up(target, policy)
        if not found:
            raise FileAccessError("the host name of the address is not known")
        if not all(self._guard.admits(address, policy) for address in found):
            raise FileAccessError("the address does not lead to the public internet")
        # One of each family in turn, as the resolver prefers: a network without the one must not use up all attempts.
        preferred = [address for address in found if (":" in address) == (":" in found[0])]
        other = [address for address in found if (":" in address) != (":" in found[0])]
        in_turn = [one for pair in itertools.zip_longest(preferred, other) for one in pair if one is not None]
        return tuple(in_turn[:_MOST_ADDRESSES])

    async def _looked_up(self, target: WebTarget, policy: FetchPolicy) -> tuple[str, ...]:
        try:
            async with asyncio.timeout(policy.lookup_time):
                return await self._resolver.addresses(target.host, target.port)
        except TimeoutError:
            raise TemporaryError("the host name of the address could not be looked up in time") from None
        except LookupFailedError as error:
            if error.permanent:
                raise FileAccessError("the host name of the address is not known") from None
            raise TemporaryError("the host name of the address could not be looked up") from None

    async def _asked(
        self, address: str, target: WebTarget, policy: FetchPolicy, tls: ssl.SSLContext
    ) -> tuple[httpx.AsyncBaseTransport, httpx.Response]:
        """The head of the answer, and the transport to release after its body."""
        transport = self._transport(tls)
        self._open.add(transport)
        response: httpx.Response | None = None
        try:
            async with asyncio.timeout(policy.connect_time + policy.answer_time):
                response = await transport.handle_async_request(_request(address, target, policy))
        except TimeoutError:
            raise TemporaryError("the server did not answer in time") from None
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            fault = of_network(error)
            raise _UnreachableError(fault.reason) if isinstance(fault, TemporaryError) else fault from error
        except (httpx.HTTPError, OSError) as error:
            raise of_network(error) from error
        finally:
            if response is None:
                await self._release(transport)
        return transport, response

    async def _release(self, transport: httpx.AsyncBaseTransport) -> None:
        self._open.discard(transport)
        await transport.aclose()

    async def _context(self) -> ssl.SSLContext:
        """Whose certificates are believed: httpx's list, or what SSL_CERT_FILE or SSL_CERT_DIR name. Reading takes a while."""
        if self._tls is None:
            self._tls = await asyncio.to_thread(self._trust)
        return self._tls


class _UnreachableError(TemporaryError):
    """No connection to this address; the next one may do."""


def _request(address: str, target: WebTarget, policy: FetchPolicy) -> httpx.Request:
    host = f"[{address}]" if ":" in address else address
    timeouts = {
        "connect": policy.connect_time,
        "read": policy.answer_time,
        "write": policy.answer_time,
        "pool": policy.connect_time,
    }
    return httpx.Request(
        "GET",
        f"{target.scheme}://{host}:{target.port}{target.path}",
        headers={"Host": target.authority, **_HEADERS},
        extensions={"timeout": timeouts, "sni_hostname": target.host},
    )
