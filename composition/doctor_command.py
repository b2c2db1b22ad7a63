"""`openrouter-pipe doctor`: what the operator gives and sees. The checks themselves are in `composition.checks`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Final

from attrs import frozen
from rich.console import Console
from rich.table import Table
from rich.text import Text

from openrouter_pipe.adapters.openrouter import HttpClients
from openrouter_pipe.adapters.sql import health
from openrouter_pipe.composition.checks.gathering import Gathered, from_environment, from_host, has_host, host_version
from openrouter_pipe.composition.checks.result import Group, Status, Subject
from openrouter_pipe.composition.doctor import Report, examine
from openrouter_pipe.ports.host_models import HostModelError
from openrouter_pipe.ports.settings import SettingError

_PLACES: Final = ("DATABASE_URL", "DATA_DIR")
STYLES: Final = {
    Status.OK: "green",
    Status.WARNING: "yellow",
    Status.FAILED: "bold red",
    Status.SKIPPED: "dim",
}
"""How each status looks in a table, here and in `validate`."""


@frozen
class DoctorOptions:
    """What the command line said. ``source`` is auto, host or environment: auto takes the host where it can be imported."""

    pipe_id: str = "openrouter"
    settings: Mapping[str, str] = {}
    source: str = "auto"
    as_json: bool = False
    strict: bool = False


def run_doctor(
    options: DoctorOptions,
    environment: Mapping[str, str],
    console: Console,
    clients: Callable[[], HttpClients] = HttpClients,
    now: Callable[[], float] = time.time,
) -> int:
    """Run `openrouter-pipe doctor`; returns the exit status."""
    try:
        report = asyncio.run(_run(options, environment, console, clients(), now))
    except (SettingError, HostModelError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    if options.as_json:
        sys.stdout.write(json.dumps(report.as_json(), ensure_ascii=False, indent=1) + "\n")
    else:
        show(report, console)
    return report.exit_status(strict=options.strict)


async def gather(
    source: str, pipe_id: str, settings: Mapping[str, str], environment: Mapping[str, str]
) -> tuple[Gathered, str]:
    """The settings to examine, and a word on why they are not the host's; empty if they are or nobody asked for them.

    Raises:
        SettingError: see `from_environment`.
        HostModelError: the host was asked for and cannot be read.
    """
    if source == "host" and any(environment.get(name) for name in _PLACES) and not health.present(environment):
        # Importing the host where its database is not would make a new, empty one there.
        raise HostModelError(f"{' and '.join(_PLACES)} name no database of Open WebUI; set them as Open WebUI has them")
    if source == "host" or (source == "auto" and has_host() and health.present(environment)):
        try:
            return await from_host(pipe_id, settings, environment), ""
        except HostModelError as error:
            if source == "host":
                raise
            return from_environment(settings, environment), str(error)
    return from_environment(settings, environment), ""


async def _run(
    options: DoctorOptions,
    environment: Mapping[str, str],
    console: Console,
    clients: HttpClients,
    now: Callable[[], float],
) -> Report:
    try:
        found, why = await gather(options.source, options.pipe_id, options.settings, environment)
        subject = Subject(
            environment=environment,
            settings=found.settings,
            clients=clients,
            source=f"{found.source} ({why})" if why else found.source,
            pipe_id=options.pipe_id,
            problems=found.problems,
            stored=found.stored,
            chosen=found.chosen,
            host_version=host_version(),
            now=now,
        )
        if options.as_json or not console.is_terminal:
            return await examine(subject)
        with console.status("") as line:

            def begun(group: Group) -> None:
                line.update(f"checking: {group.value}")

            return await examine(subject, begun)
    finally:
        await clients.aclose()


def show(report: Report, console: Console) -> None:
    """The checklists as tables, then what to do about whatever is not right."""
    for group in Group:
        table = Table(title=group.value, title_justify="left", title_style="bold", show_header=False, box=None)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for check in report.checks:
            if check.group is group:
                seen = Text(check.evidence)
                if check.remedy:
                    seen.append(f"\n-> {check.remedy}", style="" if check.status is Status.SKIPPED else "bold")
                table.add_row(Text(check.status.value, style=STYLES[check.status]), Text(check.name), seen)
        console.print(table)
        console.print()
    console.print(f"Settings from {report.source}. {report.summary}", highlight=False, markup=False)
