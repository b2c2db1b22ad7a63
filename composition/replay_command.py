"""`openrouter-pipe replay`: a turn of a session log, run again offline, and whether it shows the same."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Mapping
from typing import Final

import attrs
from attrs import frozen
from rich.console import Console
from rich.table import Table
from rich.text import Text

from openrouter_pipe.adapters.filesystem import search
from openrouter_pipe.adapters.filesystem.paths import ArchiveError
from openrouter_pipe.adapters.filesystem.search import Record
from openrouter_pipe.adapters.terminal.timeline import safe
from openrouter_pipe.composition.logs import LogsError, LogsOptions, archive_of, password_of
from openrouter_pipe.composition.recordings import CannotReplayError, read_recording
from openrouter_pipe.composition.replay import Outcome, replay

_ROOT: Final = __name__.partition(".composition")[0]


@frozen
class ReplayOptions:
    """What the command line said; ``record`` None is the newest answer."""

    logs: LogsOptions
    record: int | None = None
    as_json: bool = False


def run_replay(options: ReplayOptions, environment: Mapping[str, str], console: Console) -> int:
    """Replay one record; the exit status is 0 for the same, 1 for different, 2 for not at all."""
    try:
        found = search.records(archive_of(options.logs), password_of(options.logs, environment))
        outcome = _replayed(_chosen(found, options.record))
    except (LogsError, ArchiveError, CannotReplayError, OSError) as error:
        if options.as_json:
            sys.stdout.write(json.dumps({"same": None, "reason": str(error)}, ensure_ascii=False) + "\n")
        sys.stderr.write(f"{error}\n")
        return 2
    if options.as_json:
        told = {"same": not outcome.differences, **attrs.asdict(outcome)}
        sys.stdout.write(json.dumps(told, ensure_ascii=False) + "\n")
    else:
        _print(outcome, console)
    return 1 if outcome.differences else 0


def _chosen(found: list[Record], number: int | None) -> Record:
    for record in found:
        if record.number == number:
            return record
    known = ", ".join(str(record.number) for record in found if record.number is not None) or "none"
    raise LogsError(f"--record {number}: there is no such earlier answer in the archive (there are: {known})")


def _replayed(record: Record) -> Outcome:
    logger = logging.getLogger(_ROOT)
    before = logger.level
    logger.setLevel(logging.CRITICAL)  # what the turn logged is in the record; saying it again would only mislead
    try:
        return asyncio.run(replay(read_recording(record)))
    finally:
        logger.setLevel(before)


def _print(outcome: Outcome, console: Console) -> None:
    for note in outcome.notes:
        console.print(note, highlight=False, soft_wrap=True)
    if outcome.rounds_asked != outcome.rounds_recorded:
        asked = (
            f"The replay asked the provider {outcome.rounds_asked} times, the record {outcome.rounds_recorded} times."
        )
        console.print(asked, highlight=False, soft_wrap=True)
    if not outcome.differences:
        console.print(f"The same: {outcome.events} recorded events.", highlight=False)
        return
    table = Table("line", "event", "field", "recorded", "replayed")
    for one in outcome.differences:
        line = "" if one.line is None else str(one.line)
        table.add_row(line, *(Text(safe(cell)) for cell in (one.event, one.field, one.recorded, one.replayed)))
    console.print(table)
    console.print(
        f"Different: {len(outcome.differences)} differences in {outcome.events} recorded events.", highlight=False
    )
