"""Looking names up, without letting a resolver that never answers hold up anything else."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Final, Protocol

_PERMANENT: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
_MOST_AT_ONCE: Final = 32


class LookupFailedError(Exception):
    """A name could not be looked up; ``permanent`` when asking again is of no use."""

    def __init__(self, reason: str, *, permanent: bool) -> None:
        super().__init__(reason)
        self.permanent = permanent


class Resolver(Protocol):
    """From a name to addresses."""

    async def addresses(self, host: str, port: int) -> tuple[str, ...]:
        """The IP addresses of a name, in order of preference; raises `LookupFailedError`. May never return."""


class SystemResolver:
    """`Resolver` of the machine, one thread of its own for each lookup.

    A lookup cannot be interrupted. In the shared pool of threads a few that hang would hold up the host; here they only count
    against the limit of lookups under way, and as daemons they do not delay the end of the process.
    """

    def __init__(self, lookup: Callable[..., list[tuple[object, ...]]] | None = None) -> None:
        self._lookup = lookup or socket.getaddrinfo
        self._running = threading.BoundedSemaphore(_MOST_AT_ONCE)

    async def addresses(self, host: str, port: int) -> tuple[str, ...]:
        """See `Resolver.addresses`."""
        if not self._running.acquire(blocking=False):
            raise LookupFailedError("too many names are being looked up", permanent=False)
        loop = asyncio.get_running_loop()
        found: asyncio.Future[tuple[str, ...]] = loop.create_future()

        def deliver(addresses: tuple[str, ...] | None, error: LookupFailedError | None) -> None:
            if found.done():
                return
            if addresses is not None:
                found.set_result(addresses)
            elif error is not None:
                found.set_exception(error)

        def work() -> None:
            addresses, error = self._looked_up(host, port)
            self._running.release()
            if not loop.is_closed():
                loop.call_soon_threadsafe(deliver, addresses, error)

        threading.Thread(target=work, name="openrouter-pipe-lookup", daemon=True).start()
        return await found

    def _looked_up(self, host: str, port: int) -> tuple[tuple[str, ...] | None, LookupFailedError | None]:
        try:
            entries = self._lookup(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        except OSError as error:
            return None, LookupFailedError("the host name is not known", permanent=error.errno in _PERMANENT)
        except UnicodeError:
            return None, LookupFailedError("the host name is not valid", permanent=True)
        addresses = [entry[4][0] for entry in entries if isinstance(entry[4], tuple)]
        return tuple(dict.fromkeys(address for address in addresses if isinstance(address, str))), None
