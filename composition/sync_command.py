"""`openrouter-pipe sync`: what the pipe would write into the host's records of models, as a table, and writing it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from attrs import evolve
from rich.console import Console
from rich.table import Table
from rich.text import Text

from openrouter_pipe.adapters.openrouter import HttpClients, OpenRouterCatalog
from openrouter_pipe.adapters.openwebui import make_valves, settings_from
from openrouter_pipe.adapters.openwebui.records import stored_valves
from openrouter_pipe.adapters.system import SystemClock
from openrouter_pipe.adapters.web import GuardedFetcher, WebIcons
from openrouter_pipe.composition.model_sync import host_of, icon_place_of, sync_policy
from openrouter_pipe.domain.catalog.records import IMAGE
from openrouter_pipe.domain.catalog.selection import exposed
from openrouter_pipe.domain.catalog.service import CatalogService, CatalogUnavailableError
from openrouter_pipe.domain.catalog.sync import Host, Ready, SyncPolicy, Todo, planned, prepare, write
from openrouter_pipe.domain.media.addresses import OutboundGuard
from openrouter_pipe.ports.catalog import ModelCard
from openrouter_pipe.ports.host_models import HostModelError
from openrouter_pipe.ports.provider import ProviderError


def run_sync(pipe_id: str, console: Console, *, dry_run: bool) -> int:
    """Plan, print and, unless ``dry_run``, write; returns the exit status."""
    try:
        return asyncio.run(_run_sync(pipe_id, console, dry_run=dry_run))
    except (HostModelError, ProviderError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


async def _run_sync(pipe_id: str, console: Console, *, dry_run: bool) -> int:
    settings = settings_from(make_valves(password_inputs=False)(**await stored_valves(pipe_id)))
    clock = SystemClock()
    fetcher = GuardedFetcher(OutboundGuard(), clock)
    host = host_of(WebIcons(fetcher, lambda: icon_place_of(settings), clock))
    policy = sync_policy(settings, pipe_id)
    try:
        cards = await _offered(policy, clock)
        if not dry_run and policy.install_filter:
            await host.functions.install(host.companion)
        ready = await _ready(host, policy, console, dry_run=dry_run)
        todo = await planned(host, cards, ready)
    finally:
        await fetcher.aclose()
    print_plan(todo, console)
    on_offer = f"{len(cards)} models are on offer."
    if dry_run:
        console.print(f"{len(todo)} records would be written, {on_offer}")
        return 0
    result = await write(host.models, todo, ready.policy)
    refused = f"{result.refused} were refused by the host (see the log), " if result.refused else ""
    console.print(f"{result.written} records were written, {refused}{on_offer}")
    return 1 if result.refused else 0


async def _offered(policy: SyncPolicy, clock: SystemClock) -> tuple[ModelCard, ...]:
    clients = HttpClients()
    try:
        catalog = CatalogService(OpenRouterCatalog(clients), clock)
        return exposed(await catalog.current(policy.connection, policy.refresh_seconds, insist=True), policy.selection)
    except CatalogUnavailableError as error:
        raise ProviderError(error.fault) from error
    finally:
        await clients.aclose()


async def _ready(host: Host, policy: SyncPolicy, console: Console, *, dry_run: bool) -> Ready:
    """The host as it is; for a dry run as it would be with the companion that would be installed."""
    ready = await prepare(host, policy)
    if not dry_run or not policy.install_filter or ready.policy.search_filter is not None:
        return ready
    console.print(f"The function {host.companion.name!r} would be installed.")
    return evolve(ready, policy=evolve(ready.policy, search_filter=host.companion.suggested_id))


def print_plan(todo: Sequence[Todo], console: Console) -> None:
    """The plan as a table; an icon is shown as the size of what is written."""
    table = Table("model", "record", "icon", "fields")
    for one in todo:
        fields = [field for field in one.change.fields if field != IMAGE]
        icon = f"{len(one.icon) / 1024:.1f} KiB" if one.icon is not None and IMAGE in one.change.fields else ""
        kind = "new" if one.change.is_new else "changed"
        table.add_row(Text(one.change.model.id), kind, icon, ", ".join(fields))
    if todo:
        console.print(table)
