"""Guarded downloads over httpx: redirects, retries and budgets.

Here: one download from its URL to its bytes. Not here: the connection (`web.connecting`), the body (`web.body`), and which
addresses may be reached (an injected `AddressGuard`).

Every hop is judged anew, and whatever is connected to was judged in the same call. There are no cookies, no credentials, no
referer and no proxies: a proxy would look names up itself, and our look would be worth nothing.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Final
from urllib.parse import urljoin

import httpx
from attrs import frozen

from openrouter_pipe.adapters.web.body import read_body
from openrouter_pipe.adapters.web.connecting import Connector, TransportFactory
from openrouter_pipe.adapters.web.faults import TemporaryError, of_status
from openrouter_pipe.adapters.web.naming import content_type, file_name
from openrouter_pipe.adapters.web.resolver import Resolver
from openrouter_pipe.ports.files import AddressGuard, FetchPolicy, FileAccessError, FileBytes, FileStream, WebTarget
from openrouter_pipe.ports.runtime import Clock

_log: Final = logging.getLogger(__name__)

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_WITH_BODY: Final = frozenset({200, 203})
_PIECE: Final = 1024 * 1024


@frozen(eq=False)
class _File:
    pieces: deque[bytes]
    content_type: str
    name: str


class GuardedFetcher:
    """`RemoteFetcher` that connects only to what its guard admits.

    Holds no connection between downloads: two names may lead to one address, and a connection kept for the one must never
    carry the other's request. ``resolver``, ``transport`` and ``trust``, which makes the TLS context, replace the machine's
    own (tests).
    """

    def __init__(
        self,
        guard: AddressGuard,
        clock: Clock,
        resolver: Resolver | None = None,
        transport: TransportFactory | None = None,
        trust: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self._guard = guard
        self._clock = clock
        self._connector = Connector(guard, resolver, transport, trust)

    async def fetch(self, url: str, policy: FetchPolicy) -> FileBytes:
        """Download; see `RemoteFetcher.fetch`."""
        file = await self._download(url, policy, policy.max_bytes)
        return FileBytes(file.pieces[0], file.content_type, file.name)

    async def stream(self, url: str, policy: FetchPolicy) -> FileStream:
        """Download; see `RemoteFetcher.stream`."""
        file = await self._download(url, policy, _PIECE)
        return FileStream(file.name, file.content_type, _let_go(file.pieces))

    async def _download(self, url: str, policy: FetchPolicy, piece: int) -> _File:
        target = self._guard.target(url, policy)
        try:
            async with asyncio.timeout(policy.max_time):
                return await self._persistently(target, policy, piece)
        except TimeoutError:
            raise self._noted(target, FileAccessError("the download takes too long")) from None
        except FileAccessError as error:
            raise self._noted(target, error) from None

    async def aclose(self) -> None:
        """End what is under way, which fails, and refuse whatever comes; may be called again."""
        await self._connector.aclose()

    def _noted(self, target: WebTarget, error: FileAccessError) -> FileAccessError:
        _log.info("no download from %s: %s", target.host, error)
        return error

    async def _persistently(self, target: WebTarget, policy: FetchPolicy, piece: int) -> _File:
        """One attempt after another while the budget lasts."""
        begun = self._clock.monotonic()
        delay = policy.first_retry_delay
        retries = policy.max_retries
        while True:
            try:
                return await self._attempt(target, policy, piece)
            except TemporaryError as fault:
                wait = fault.retry_after or delay
                spent = self._clock.monotonic() - begun
                if self._connector.closed or retries <= 0 or spent + wait > policy.max_retry_time:
                    raise FileAccessError(fault.reason) from None
            retries -= 1
            delay *= 2
            await self._clock.sleep(wait)

    async def _attempt(self, target: WebTarget, policy: FetchPolicy, piece: int) -> _File:
        """Follow redirects to a file."""
        first = target
        for _ in range(policy.max_redirects + 1):
            async with self._connector.opened(target, policy) as response:
                if response.status_code in _REDIRECTS:
                    target = self._next(target, response, policy)
                    continue
                if response.status_code not in _WITH_BODY:
                    raise of_status(response.status_code, response.headers.get("retry-after", ""), self._clock.now())
                pieces = await read_body(response, policy, piece)
                kind = content_type(response.headers.get("content-type", ""))
                return _File(pieces, kind, file_name(response.headers.get("content-disposition", ""), first.path))
        raise FileAccessError(f"the address redirects more than {policy.max_redirects} times")

    def _next(self, target: WebTarget, response: httpx.Response, policy: FetchPolicy) -> WebTarget:
        """Where a redirect leads, judged like any other URL, and never from https to http."""
        found = [value for name, value in response.headers.raw if name.lower() == b"location"]
        if len(found) != 1:
            raise FileAccessError("the address redirects to nowhere")
        try:
            location = found[0].decode("utf-8")
        except UnicodeDecodeError:
            location = found[0].decode("latin-1")
        try:
            following = self._guard.target(urljoin(target.url, location), policy)
        except (FileAccessError, ValueError) as error:
            reason = f": {error}" if isinstance(error, FileAccessError) else ""
            raise FileAccessError(f"the address redirects to one that is refused{reason}") from None
        if target.scheme == "https" and following.scheme != "https":
            raise FileAccessError("the address redirects from https:// to http://")
        return following


async def _let_go(pieces: deque[bytes]) -> AsyncGenerator[bytes, None]:
    while pieces:
        yield pieces.popleft()
