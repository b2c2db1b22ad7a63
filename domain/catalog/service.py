"""Keeping the catalogue fresh: one fetch in flight, back-off after failures, the last good list served meanwhile.

Theory of operation: a caller never waits while there is a list, however old. Only when there has never been one does it
await the single fetch in flight. A failure is remembered with the time of the next try. Before that time nobody tries, but
for one: where there has never been a list, the first chat request (``insist``) of each wait, unless the provider has named the
time itself. It lengthens no wait. Every other chat request is told why there is no list, and may still be sent without one
(`domain.catalog.unlisted`), so that a bad start locks nobody out.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Sequence
from typing import Final

from attrs import evolve, frozen

from openrouter_pipe.domain.catalog.cards import read_card
from openrouter_pipe.domain.catalog.catalog import Catalog
from openrouter_pipe.domain.redaction import Redactor
from openrouter_pipe.ports.catalog import CatalogMemory, CatalogSource, ModelCard, SharedCatalogSource
from openrouter_pipe.ports.json import JsonObject
from openrouter_pipe.ports.provider import Connection, FaultKind, ProviderError, ProviderFault
from openrouter_pipe.ports.runtime import Clock
from openrouter_pipe.ports.settings import Secret

_log = logging.getLogger(__name__)

_FIRST_DELAY: Final = 5.0
_MOST_DOUBLINGS: Final = 5
_LONGEST_RETRY_AFTER: Final = 86_400.0  # a provider may ask for patience, not for ever
_AT_ONCE: Final = 50
_EMPTY: Final = Catalog(())
_NOTHING_READABLE: Final = ProviderFault(FaultKind.MALFORMED, "the catalogue holds no readable model")


class CatalogUnavailableError(Exception):
    """There is no catalogue; carries the fault of the last attempt to get one, ``retry_after`` being the time to the next."""

    def __init__(self, fault: ProviderFault) -> None:
        super().__init__(f"{fault.kind.value}: {fault.message}")
        self.fault = fault


@frozen
class _Origin:
    """What a list depends on; a change of either makes it stale at once."""

    base_url: str
    api_key: Secret


class CatalogService:
    """Owns the list and its refreshing; one per composition, shared by all turns."""

    def __init__(self, source: CatalogSource, clock: Clock, memory: CatalogMemory | None = None) -> None:
        self._source = source
        self._clock = clock
        self._memory = memory
        self._catalog: Catalog | None = None
        self._origin: _Origin | None = None
        self._fetched_at = 0.0
        self._fault: ProviderFault | None = None
        self._failed_origin: _Origin | None = None
        self._failures = 0
        self._retry_at = 0.0
        self._once_more = False  # the one attempt within the present wait is made
        self._task: asyncio.Task[None] | None = None

    async def current(self, connection: Connection, refresh_seconds: float, *, insist: bool = False) -> Catalog:
        """The list, at most ``refresh_seconds`` old where that is possible.

        Without any list and in back-off an empty one, unless ``insist``.

        Raises:
            CatalogUnavailableError: ``insist``, and there is no list.
        """
        origin = _Origin(connection.base_url, connection.api_key)
        if self._is_fresh(origin, refresh_seconds):
            return self._catalog or _EMPTY
        task = self._in_flight()
        if task is None and self._may_try(origin):
            task = self._start(connection, origin, refresh_seconds)
        elif task is None and insist and self._may_try_once_more():
            self._once_more = True
            task = self._start(connection, origin, refresh_seconds)
        if self._catalog is not None:
            return self._catalog
        if task is not None:
            await asyncio.wait({task})
        return self._outcome(insist=insist)

    def known(self) -> Catalog | None:
        """The list as it is now; asks nobody."""
        return self._catalog

    def fault(self) -> ProviderFault | None:
        """Why the last attempt to fetch the list failed; None when it did not."""
        return self._fault

    def age(self) -> float | None:
        """Seconds since the list was fetched; None when there is none."""
        return None if self._catalog is None else self._clock.monotonic() - self._fetched_at

    async def close(self) -> None:
        """Cancel a running refresh and wait for its end."""
        task, self._task = self._task, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait({task})

    def _is_fresh(self, origin: _Origin, refresh_seconds: float) -> bool:
        age = self.age()
        return age is not None and self._origin == origin and age < refresh_seconds

    def _may_try(self, origin: _Origin) -> bool:
        return self._failed_origin != origin or self._clock.monotonic() >= self._retry_at

    def _may_try_once_more(self) -> bool:
        asked_to_wait = self._fault is not None and self._fault.retry_after is not None
        return self._catalog is None and not self._once_more and not asked_to_wait

    def _in_flight(self) -> asyncio.Task[None] | None:
        task = self._task
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            return None  # a task of a loop that is gone will never end
        return task

    def _start(self, connection: Connection, origin: _Origin, refresh_seconds: float) -> asyncio.Task[None]:
        # A context of its own: the list is everybody's, its log lines are not of the turn that happened to ask first.
        task = asyncio.get_running_loop().create_task(
            self._refresh(connection, origin, refresh_seconds), context=contextvars.Context()
        )
        task.add_done_callback(_report_crash)
        self._task = task
        return task

    async def _refresh(self, connection: Connection, origin: _Origin, refresh_seconds: float) -> None:
        settled = False
        try:
            entries, age = await self._fetch(connection, refresh_seconds)
            catalog = await _readable(entries)
            settled = True
            self._catalog, self._origin, self._fetched_at = catalog, origin, self._clock.monotonic() - age
            self._fault, self._failed_origin, self._failures = None, None, 0
            await self._remember(connection, entries)
        except ProviderError as error:
            await self._recall(connection, origin)
            self._failed(error.fault, origin, refresh_seconds)
            settled = True
        except asyncio.CancelledError:
            settled = True
            raise
        finally:
            if not settled:  # also when the source crashed, so that a fault of ours starts no storm of requests
                self._failed(_NOTHING_READABLE, origin, refresh_seconds)

    async def _remember(self, connection: Connection, entries: Sequence[JsonObject]) -> None:
        if self._memory is not None:
            await self._memory.save(connection, entries)

    async def _recall(self, connection: Connection, origin: _Origin) -> None:
        """A start without the provider: the list of the last time, stale as it is, until the next attempt succeeds."""
        if self._catalog is not None or self._memory is None:
            return
        found = await self._memory.load(connection)
        catalog = Catalog(await _cards(found[0])) if found is not None else _EMPTY
        if found is not None and catalog.cards:
            self._catalog, self._origin, self._fetched_at = catalog, origin, self._clock.monotonic() - found[1]

    async def _fetch(self, connection: Connection, refresh_seconds: float) -> tuple[tuple[JsonObject, ...], float]:
        if isinstance(self._source, SharedCatalogSource):
            return await self._source.fetch_shared(connection, refresh_seconds)
        return await self._source.fetch(connection), 0.0

    def _failed(self, fault: ProviderFault, origin: _Origin, refresh_seconds: float) -> None:
        now = self._clock.monotonic()
        asked = 0.0 if fault.retry_after is None else min(fault.retry_after, _LONGEST_RETRY_AFTER)
        if self._may_try(origin):
            self._failures = self._failures + 1 if self._failed_origin == origin else 1
            delay = min(_FIRST_DELAY * 2.0 ** min(self._failures - 1, _MOST_DOUBLINGS), refresh_seconds)
            self._retry_at, self._once_more = now + max(delay, asked), False
        else:
            self._retry_at = max(self._retry_at, now + asked)
        self._fault, self._failed_origin = fault, origin
        _log.warning(
            "The model catalogue could not be fetched (%s%s: %s); failure %d in a row, next attempt in %.0f s; %s",
            fault.kind.value,
            "" if fault.status is None else f" {fault.status}",
            Redactor((origin.api_key,)).text(fault.message)[:200],
            self._failures,
            self._retry_at - now,
            "no models until then: check BASE_URL, the API key and the network"
            if (age := self.age()) is None
            else f"the last good catalogue stays in use ({age / 3600:.1f} hours old)",
        )

    def _outcome(self, *, insist: bool) -> Catalog:
        if self._catalog is not None:
            return self._catalog
        if not insist:
            return _EMPTY
        fault = self._fault or ProviderFault(FaultKind.CONNECTION, "no catalogue was fetched")
        wait = self._retry_at - self._clock.monotonic()
        raise CatalogUnavailableError(evolve(fault, retry_after=wait) if wait > 0 else fault)


async def _readable(entries: Sequence[JsonObject]) -> Catalog:
    """The list of an answer. Raises `ProviderError` when there is no model in it."""
    catalog = Catalog(await _cards(entries))
    if not catalog.cards:
        raise ProviderError(_NOTHING_READABLE)
    return catalog


async def _cards(entries: Sequence[JsonObject]) -> list[ModelCard]:
    """The readable entries as cards, a few at a time, so that turns go on while hundreds are read."""
    cards: list[ModelCard] = []
    for start in range(0, len(entries), _AT_ONCE):
        if start:
            await asyncio.sleep(0)
        cards.extend(card for entry in entries[start : start + _AT_ONCE] if (card := read_card(entry)) is not None)
    return cards


def _report_crash(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("Reading the model catalogue failed unexpectedly: %s", type(error).__name__, exc_info=error)
