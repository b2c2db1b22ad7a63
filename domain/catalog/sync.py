"""Bringing the host's records in line with the catalogue: once per catalogue, in the background, a few records at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from attrs import evolve, frozen

from openrouter_pipe.domain.catalog.catalog import Catalog, shown_id
from openrouter_pipe.domain.catalog.records import MEMORY, Change, RecordPolicy, cleared, plan
from openrouter_pipe.domain.catalog.selection import SelectionPolicy, exposed
from openrouter_pipe.domain.catalog.service import CatalogService
from openrouter_pipe.ports.catalog import ModelCard
from openrouter_pipe.ports.files import FetchPolicy
from openrouter_pipe.ports.host_models import (
    Companion,
    HostFunctions,
    HostModel,
    HostModelError,
    HostModels,
    IconSource,
)
from openrouter_pipe.ports.provider import Connection
from openrouter_pipe.ports.runtime import Clock

_log = logging.getLogger(__name__)

AT_ONCE: Final = 10
_LOOK_EVERY: Final = 3.0
_RETRY_AFTER: Final = 300.0


@frozen
class SyncPolicy:
    """What is synchronised, for which models; ``prefix`` is the host's prefix of our ids, without its dot."""

    prefix: str
    connection: Connection
    refresh_seconds: float
    selection: SelectionPolicy
    records: RecordPolicy
    install_filter: bool
    downloads: FetchPolicy | None = None
    """How icons may be downloaded; what it permits anew may bring icons that were refused."""

    @property
    def does_anything(self) -> bool:
        """Whether the host is looked at at all."""
        return self.records.writes or self.install_filter


@frozen
class Host:
    """The host as far as records go."""

    models: HostModels
    functions: HostFunctions
    icons: IconSource
    companion: Companion


@frozen
class _Done:
    catalog: Catalog
    policy: SyncPolicy


class ModelSync:
    """The worker; ``policy`` gives the latest settings' policy, None while there is nothing to go by."""

    def __init__(
        self, catalog: CatalogService, host: Host, clock: Clock, policy: Callable[[], SyncPolicy | None]
    ) -> None:
        self._catalog = catalog
        self._host = host
        self._clock = clock
        self._policy = policy
        self._done: _Done | None = None
        self._incomplete = False

    async def run(self) -> None:
        """Work until cancelled: look now and then whether catalogue or settings have changed."""
        while True:
            await self._clock.sleep(_LOOK_EVERY)
            policy = self._policy()
            if policy is None or not policy.does_anything:
                continue
            try:
                await self.sync(policy)
            except HostModelError as error:
                _log.warning("the host's models were not updated: %s; again in %.0f s", error, _RETRY_AFTER)
                self._incomplete = True
            if self._incomplete:
                await self._clock.sleep(_RETRY_AFTER)

    async def sync(self, policy: SyncPolicy) -> int:
        """Write what differs, if anything has changed since the last time; returns how many records were written.

        Raises:
            HostModelError: the host cannot be asked. A record that it refuses is told in the log and tried again later.
        """
        self._incomplete = False
        catalog = self._catalog.known()
        done = None if catalog is None else _Done(catalog, policy)
        if catalog is None or done == self._done:
            return 0
        cards = exposed(catalog, policy.selection)
        if not cards:
            return 0
        if policy.install_filter:
            await self._host.functions.install(self._host.companion)
        ready = await prepare(self._host, policy)
        todo = await planned(self._host, cards, ready)
        result = await write(self._host.models, todo, ready.policy)
        self._incomplete = result.refused > 0
        if not self._incomplete:
            self._done = done
        if result.written:
            _log.info("%d of the host's records of models were written", result.written)
        return result.written


@frozen
class Todo:
    """One record to write, and what it was made of; ``card`` is None for a model that is not on offer."""

    change: Change
    card: ModelCard | None
    icon: str | None = None

    def anew(self, present: HostModel, policy: RecordPolicy) -> Change | None:
        """The change on the record as it is now: an administrator may have been at it meanwhile."""
        if self.card is None:
            return cleared(present, policy)
        return plan(present.id, self.card, present, policy, self.icon)


@frozen
class Written:
    """How many records were written, and how many the host refused."""

    written: int
    refused: int


@frozen
class Ready:
    """The host's records, and the policy with what is known of its companion."""

    records: Mapping[str, HostModel]
    policy: RecordPolicy
    prefix: str


async def prepare(host: Host, policy: SyncPolicy) -> Ready:
    """Look at the host. Raises `HostModelError`."""
    installed = await host.functions.installed(host.companion)
    records = await host.models.all()
    known = evolve(policy.records, search_filter=installed, gone=_gone(records, policy.prefix, installed))
    return Ready(records, known, policy.prefix)


async def planned(host: Host, cards: Sequence[ModelCard], ready: Ready) -> list[Todo]:
    """What would be written, in the order of ``cards``; writes nothing."""
    icons: Mapping[str, str] = {}
    if ready.policy.images:
        icons = await host.icons.icons([card.id for card in cards])
    found: list[Todo] = []
    for number, card in enumerate(cards):
        if number % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
        model_id, icon = host_id(ready.prefix, card), icons.get(card.id)
        change = plan(model_id, card, ready.records.get(model_id), ready.policy, icon)
        if change is not None:
            found.append(Todo(change, card, icon))
    return [*found, *_cleared(cards, ready)]


async def write(models: HostModels, todo: Sequence[Todo], policy: RecordPolicy) -> Written:
    """Write, a few at a time. A record that the host refuses is told in the log and costs itself only."""
    done: list[bool | None] = []
    for start in range(0, len(todo), AT_ONCE):
        some = todo[start : start + AT_ONCE]
        done.extend(await asyncio.gather(*(_write(models, one, policy) for one in some)))
    return Written(done.count(True), done.count(None))


async def _write(models: HostModels, todo: Todo, policy: RecordPolicy) -> bool | None:
    """Whether it was written; None where the host refused. Others may add, change and delete records meanwhile."""
    model_id = todo.change.model.id
    try:
        present = await models.get(model_id)
        if present is None:
            if todo.change.is_new:
                present = await _created(models, todo.change.model)
            if present is None:
                return todo.change.is_new
        again = todo.anew(present, policy)
        if again is None:
            return False
        await models.update(again.model)
    except HostModelError as error:
        _log.warning("the record of %s was not written: %s", model_id, error)
        return None
    return True


async def _created(models: HostModels, model: HostModel) -> HostModel | None:
    """Nothing once it is added; the record of another worker that was quicker."""
    try:
        await models.create(model)
    except HostModelError:
        present = await models.get(model.id)
        if present is None:
            raise
        return present
    return None


def _cleared(cards: Sequence[ModelCard], ready: Ready) -> list[Todo]:
    """Our other records that name a companion which is gone: the host may refuse to start with them."""
    offered = {host_id(ready.prefix, card) for card in cards}
    others = (
        record
        for model_id, record in ready.records.items()
        if model_id.startswith(f"{ready.prefix}.") and model_id not in offered
    )
    return [Todo(change, None) for record in others if (change := cleared(record, ready.policy)) is not None]


def host_id(prefix: str, card: ModelCard) -> str:
    """The host's id of a model of ours."""
    return f"{prefix}.{shown_id(card)}"


def _gone(records: Mapping[str, HostModel], prefix: str, installed: str | None) -> frozenset[str]:
    """Companions that our records name and that are not installed any more."""
    named: set[str] = set()
    for model_id, record in records.items():
        memory = record.meta.get(MEMORY)
        if model_id.startswith(f"{prefix}.") and isinstance(memory, Mapping):
            named.add(str(memory.get("filter", "")))
    return frozenset(named - {"", installed or ""})
