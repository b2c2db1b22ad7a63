"""`CatalogSource` over HTTP: the list of models as published. What an entry means is the domain's business."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import httpx

from openrouter_pipe.adapters.openrouter import faults, request
from openrouter_pipe.adapters.openrouter.client import HttpClients, Lease
from openrouter_pipe.adapters.openrouter.exchange import Body, Limits
from openrouter_pipe.adapters.openrouter.wirejson import Wire, listing, loads, mapping, text
from openrouter_pipe.ports.json import JsonObject
from openrouter_pipe.ports.provider import Connection, ProviderError

_PATH: Final = "models"
_THREAD_BYTES: Final = 64 * 1024
_ERROR_BODY_BYTES: Final = 64 * 1024
_BODY_BYTES: Final = 64 * 1024 * 1024
_MAX_PAGES: Final = 20


class OpenRouterCatalog:
    """Fetches ``GET {base}/models`` with the key, so that an account's own restrictions can show."""

    def __init__(self, clients: HttpClients, now: Callable[[], float] = time.time) -> None:
        self._clients = clients
        self._now = now

    async def fetch(self, connection: Connection) -> tuple[JsonObject, ...]:
        """All entries as published, of every page.

        Raises:
            ProviderError: no answer, an error status, or a body without a non-empty list of entries.
        """
        url = request.address(connection.base_url, _PATH)
        headers = [*request.base_headers(connection), (b"Accept", b"application/json")]
        entries: list[JsonObject] = []
        visited: set[str] = set()
        lease = await self._clients.lease()
        try:
            limits = Limits(connection, url, "")
            page: httpx.URL | None = url
            while page is not None and str(page) not in visited and len(visited) < _MAX_PAGES:
                visited.add(str(page))
                body = await self._get(lease, page, headers, limits)
                entries += [entry for entry in listing(body.get("data")) if isinstance(entry, dict)]
                page = _next_page(page, body)
        finally:
            lease.release()
        if not entries:
            context = faults.Context(now=self._now())
            raise ProviderError(faults.malformed("the catalogue has no entries", context, status=200))
        return tuple(entries)

    async def _get(self, lease: Lease, url: httpx.URL, headers: list[tuple[bytes, bytes]], limits: Limits) -> Wire:
        outgoing = lease.request("GET", url, headers, extensions=limits.extensions)
        response = await limits.wait(lease.send(outgoing))
        answer = Body(response, limits)
        try:
            context = faults.Context(now=self._now(), headers=response.headers)
            if response.status_code >= 300:
                body, _ = await answer.read_bounded(_ERROR_BODY_BYTES)
                raise ProviderError(faults.from_status(response.status_code, body, context))
            body, complete = await answer.read_bounded(_BODY_BYTES)
        finally:
            await answer.aclose()
        parsed: Any = None
        if complete:
            with suppress(ValueError):
                parsed = loads(body) if len(body) < _THREAD_BYTES else await asyncio.to_thread(loads, body)
        if not isinstance(parsed, dict):
            message = "the catalogue is not a JSON object"
            raise ProviderError(faults.malformed(message, context, status=response.status_code, body=body))
        if parsed.get("error") is not None:
            raise ProviderError(faults.from_event(parsed, context))
        return parsed


def _next_page(page: httpx.URL, body: Wire) -> httpx.URL | None:
    """The next page, if the answer names one on the same server: our key goes nowhere else."""
    link = text(mapping(body.get("links")).get("next"))
    if not link:
        return None
    try:
        following = page.join(link)
    except (httpx.InvalidURL, ValueError):
        return None
    same = (following.scheme, following.host, following.port) == (page.scheme, page.host, page.port)
    return following if same else None
