"""Bringing the host's records in line with the catalogue: once per catalogue, in the background, a few records at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from attrs import evolve, frozen

from openrouter_pipe.domain.catalog.catalog import Catalog, shown_id
from openrouter_pipe.domain.catalog.records import MEMORY, Change, RecordPolicy, plan
from openrouter_pipe.domain.catalog.selection import SelectionPolicy, exposed
from openrouter_pipe.domain.catalog.service import CatalogService
from openrouter_pipe.ports.catalog import ModelCard
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
    selection: SelectionPolicy
    records: RecordPolicy
    install_filter: bool


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
                await self._clock.sleep(_RETRY_AFTER)

    async def sync(self, policy: SyncPolicy) -> int:
        """Write what differs, if anything has changed since the last time; returns how many records were written.

        Raises:
            HostModelError: the host cannot be asked. A single record that it refuses is told in the log and left.
        """
        catalog = self._catalog.known()
        done = None if catalog is None else _Done(catalog, policy.selection, policy.records, policy.install_filter)
        if catalog is None or done == self._done:
            return 0
        cards = exposed(catalog, policy.selection)
        if not cards:
            return 0
        if policy.install_filter:
            await self._host.functions.install(self._host.companion)
        ready = await prepare(self._host, policy)
        todo = await planned(self._host, cards, ready)
        written = 0
        for start in range(0, len(todo), AT_ONCE):
            some = todo[start : start + AT_ONCE]
            written += sum(await asyncio.gather(*(self._write(one, ready.policy) for one in some)))
        self._done = done
        if written:
            _log.info("%d of the host's records of models were written", written)
        return written

    async def _write(self, todo: Todo, policy: RecordPolicy) -> int:
        """The change, made anew on the record as it is now: an administrator may have been at it meanwhile."""
        models = self._host.models
        try:
            if todo.change.is_new:
                await models.create(todo.change.model)
                return 1
            present = await models.get(todo.change.model.id)
            again = None if present is None else plan(present.id, todo.card, present, policy, todo.icon)
            if again is None:
                return 0
            await models.update(again.model)
        except HostModelError as error:
            _log.warning("the record of %s was not written: %s", todo.change.model.id, error)
            return 0
        return 1


@frozen
class Todo:
    """One record to write, and what it was made of."""

    change: Change
    card: ModelCard
    icon: str | None


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
    return found


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
