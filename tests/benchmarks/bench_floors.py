"""The floors: the least that any client in Python must do with the same bytes. Receive, split into events, decode JSON.

``httpx`` and ``httpx+aiohttp`` offer the httpx API, which is what the pipe's provider speaks; the faster of the two is
the floor. Bare ``aiohttp`` is shown beside them for reference.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import AsyncIterator
from typing import Any, Protocol

import httpx
import orjson

_HEADERS = {"Authorization": "Bearer sk-or-bench", "Content-Type": "application/json", "Accept": "text/event-stream"}


class Floor(Protocol):
    """A bare client."""

    name: str

    def events(self, scenario: str, body: bytes | None = None) -> AsyncIterator[list[Any]]:
        """The decoded events of one answer, read by read."""

    async def close(self) -> None:
        """Close connections."""


def request_body(scenario: str, more: str = "") -> bytes:
    """The least request."""
    return orjson.dumps({"model": f"bench/{scenario}", "stream": True, "input": "Say it." + more})


class HttpxFloor:
    """httpx over its own transport, or over aiohttp's."""

    def __init__(self, base_url: str, *, aiohttp: bool = False) -> None:
        self.name = "httpx+aiohttp" if aiohttp else "httpx"
        self._base = base_url
        self._url = f"{base_url}/responses"
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=500)
        transport = None
        if aiohttp:
            library = importlib.import_module("httpx_aiohttp")
            # None would mean aiohttp's own default of 100 connections, 0 means no limit
            transport = library.AiohttpTransport(limits=httpx.Limits(max_connections=0))
        self._client = httpx.AsyncClient(limits=limits, transport=transport, timeout=60)

    async def events(self, scenario: str, body: bytes | None = None) -> AsyncIterator[list[Any]]:
        """See `Floor`."""
        content = body or request_body(scenario)
        async with self._client.stream("POST", self._url, content=content, headers=_HEADERS) as response:
            rest = b""
            async for chunk in response.aiter_raw():
                *blocks, rest = (rest + chunk).split(b"\n\n")
                yield [orjson.loads(block[6:]) for block in blocks if block.startswith(b"data: {")]

    async def models(self) -> Any:
        """The list of models, decoded."""
        return orjson.loads((await self._client.get(f"{self._base}/models")).content)

    async def seen(self) -> dict[str, int]:
        """What the source has seen; see `bench_source`."""
        return (await self._client.get(f"{self._base}/seen")).json()

    async def close(self) -> None:
        """See `Floor`."""
        await self._client.aclose()


class AiohttpFloor:
    """aiohttp, bare."""

    name = "aiohttp"

    def __init__(self, base_url: str) -> None:
        aiohttp = importlib.import_module("aiohttp")
        self._url = f"{base_url}/responses"
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def events(self, scenario: str, body: bytes | None = None) -> AsyncIterator[list[Any]]:
        """See `Floor`."""
        content = body or request_body(scenario)
        async with self._session.post(self._url, data=content, headers=_HEADERS) as response:
            rest = b""
            async for chunk in response.content.iter_any():
                *blocks, rest = (rest + chunk).split(b"\n\n")
                yield [orjson.loads(block[6:]) for block in blocks if block.startswith(b"data: {")]

    async def close(self) -> None:
        """See `Floor`."""
        await self._session.close()


def floors(base_url: str) -> list[Floor]:
    """Every bare client that can be had here; call it inside the event loop."""
    found: list[Floor] = [HttpxFloor(base_url)]
    if importlib.util.find_spec("httpx_aiohttp") and importlib.util.find_spec("aiohttp"):
        found.append(HttpxFloor(base_url, aiohttp=True))
    if importlib.util.find_spec("aiohttp"):
        found.append(AiohttpFloor(base_url))
    return found


def counts(floor: Floor) -> bool:
    """Whether it speaks the httpx API, so that it is a floor and not only a reference."""
    return floor.name.startswith("httpx")
