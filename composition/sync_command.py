"""`openrouter-pipe sync`: what the pipe would write into the host's records of models, as a table, and writing it."""

from __future__ import annotations

import asyncio
import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from openrouter_pipe.adapters.openrouter import HttpClients, OpenRouterCatalog
from openrouter_pipe.adapters.openwebui import make_valves, settings_from
from openrouter_pipe.adapters.openwebui.records import stored_valves
from openrouter_pipe.adapters.system import SystemClock
from openrouter_pipe.composition.model_sync import host_of, sync_policy
from openrouter_pipe.domain.catalog.selection import exposed
from openrouter_pipe.domain.catalog.service import CatalogService, CatalogUnavailableError
from openrouter_pipe.domain.catalog.sync import Todo, planned, prepare
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
    host = host_of()
    valves = make_valves(password_inputs=False)(**await stored_valves(pipe_id))
    policy = sync_policy(settings_from(valves), pipe_id)
    clients = HttpClients()
    try:
        catalog = CatalogService(OpenRouterCatalog(clients), SystemClock())
        cards = exposed(await catalog.current(policy.connection, policy.refresh_seconds, insist=True), policy.selection)
    except CatalogUnavailableError as error:
        raise ProviderError(error.fault) from error
    finally:
        await clients.aclose()
    if not dry_run and policy.install_filter:
        await host.functions.install(host.companion)
    ready = await prepare(host, policy)
    todo = await planned(host, cards, ready)
    _print(todo, console)
    if not dry_run:
        for one in todo:
            await (host.models.create if one.change.is_new else host.models.update)(one.change.model)
    console.print(f"{len(todo)} records {'would be' if dry_run else 'were'} written, {len(cards)} models are on offer.")
    return 0


def _print(todo: list[Todo], console: Console) -> None:
    table = Table("model", "record", "fields")
    for one in todo:
        fields = ", ".join(one.change.fields)
        table.add_row(Text(one.change.model.id), "new" if one.change.is_new else "changed", fields)
    if todo:
        console.print(table)
