"""`openrouter-pipe validate`: what the operator gives and sees. What is tried is told in `composition.validations`."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Final

import attrs
from attrs import frozen
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from openrouter_pipe.adapters.sql import health
from openrouter_pipe.adapters.sql.location import locate
from openrouter_pipe.composition.checks.result import Status
from openrouter_pipe.composition.doctor_command import STYLES, gather
from openrouter_pipe.composition.policies import store_policy
from openrouter_pipe.composition.trial import Trial
from openrouter_pipe.composition.validations import Line, Validation
from openrouter_pipe.domain.redaction import Redactor
from openrouter_pipe.ports.artifacts import ArtifactStoreError
from openrouter_pipe.ports.host_models import HostModelError
from openrouter_pipe.ports.settings import Secret, SettingError, Settings, secrets_of

SIMULATED_KEY: Final = "sk-or-simulated"
SIMULATED_ADDRESS: Final = "http://simulator.invalid/api/v1"


@frozen
class ValidateOptions:
    """What the command line said; ``source`` as for the doctor."""

    pipe_id: str = "openrouter"
    settings: Mapping[str, str] = {}
    source: str = "auto"
    simulate: bool = False
    model: str = ""
    as_json: bool = False


def run_validate(options: ValidateOptions, environment: Mapping[str, str], console: Console) -> int:
    """Run `openrouter-pipe validate`; returns the exit status."""
    try:
        lines = asyncio.run(_run(options, environment, console))
    except (SettingError, HostModelError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    failed = sum(line.status is Status.FAILED for line in lines)
    if options.as_json:
        told = [{"name": line.name, "status": line.status.value, "evidence": line.evidence} for line in lines]
        sys.stdout.write(json.dumps({"failed": failed, "lines": told}, ensure_ascii=False, indent=1) + "\n")
    else:
        _show(lines, console)
    return 1 if failed else 0


async def _run(options: ValidateOptions, environment: Mapping[str, str], console: Console) -> list[Line]:
    found, _ = await gather(options.source, options.pipe_id, options.settings, environment)
    if "MODEL_RULES" in found.problems:  # what it was to enforce is not known, and so nothing may be sent
        raise SettingError("MODEL_RULES", found.problems["MODEL_RULES"])
    settings = simulated(found.settings) if options.simulate else found.settings
    in_memory, why = await _store(settings, environment, options.pipe_id)
    redact = Redactor(secrets_of(settings)).text

    def failing() -> Trial:
        alone = attrs.evolve(
            simulated(settings),
            API_KEY=Secret(SIMULATED_KEY),
            MODEL_ID="auto",
            FREE_MODEL_FILTER="all",
            TOOL_CALLING_FILTER="all",
            SESSION_LOG_STORE_ENABLED=False,
            LOG_LEVEL="CRITICAL",
        )
        return Trial(alone, {}, options.pipe_id, simulated=True, in_memory=True, hurried=True)

    trial = Trial(settings, environment, options.pipe_id, simulated=options.simulate, in_memory=in_memory or bool(why))
    async with trial:
        validation = Validation(trial, failing, model=options.model, problems=found.problems, why_no_store=why)
        names = list(validation.lines)
        lines: list[Line] = []
        with _progress(console, hidden=options.as_json) as bar:
            task = bar.add_task("", total=len(names))
            try:
                for name in names:
                    bar.update(task, description=name)
                    line = await validation.run(name)
                    lines.append(attrs.evolve(line, evidence=_one_line(redact(line.evidence))))
                    bar.advance(task)
            except asyncio.CancelledError:  # Ctrl-C
                await validation.run("clean-up")
                raise
    return lines


def simulated(settings: Settings) -> Settings:
    """The same, with the simulator in the place of the provider."""
    return attrs.evolve(settings, BASE_URL=SIMULATED_ADDRESS, API_KEY=settings.API_KEY or Secret(SIMULATED_KEY))


async def _store(settings: Settings, environment: Mapping[str, str], pipe_id: str) -> tuple[bool, str]:
    """Whether artifacts are to be kept in memory, because no database is configured; and why a configured one is of no use."""
    try:
        locate(environment)
    except ArtifactStoreError as error:
        return not environment.get("DATABASE_URL"), str(error) if environment.get("DATABASE_URL") else ""
    try:
        await health.examine(environment, store_policy(settings, pipe_id))
    except ArtifactStoreError as error:
        return False, str(error)
    return False, ""


def _progress(console: Console, *, hidden: bool) -> Progress:
    columns = (TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=console, transient=True, disable=hidden or not console.is_terminal)


def _show(lines: list[Line], console: Console) -> None:
    table = Table("", "tried", "seen")
    for line in lines:
        table.add_row(Text(line.status.value, style=STYLES[line.status]), line.name, Text(line.evidence))
    console.print(table)
    failed = [line.name for line in lines if line.status is Status.FAILED]
    console.print(f"Failed: {', '.join(failed)}." if failed else "Nothing failed.", highlight=False, markup=False)


def _one_line(text: str) -> str:
    """Without anything that a terminal would obey."""
    return "".join(char if char.isprintable() else " " for char in text)[:600]
