"""`openrouter-pipe rotate-key`: stored artifacts move from older keys to the present one, with a bar to watch.

Here: what the operator gives and sees. How rows move is told in `openrouter_pipe.adapters.sql.rotation`. Keys come from the
environment or a prompt, never from the command line, where the process list and the shell's history would keep them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Final

from attrs import frozen
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from openrouter_pipe.adapters.sql import RotationProgress, rotate
from openrouter_pipe.composition.keys_manual import KEY, PREVIOUS
from openrouter_pipe.composition.policies import store_policy
from openrouter_pipe.ports.artifacts import ArtifactStoreError, StorePolicy
from openrouter_pipe.ports.settings import SETTINGS, SettingError, read_settings

_SECRETS: Final = frozenset(setting.name for setting in SETTINGS if setting.secret)


@frozen
class RotateOptions:
    """What the command line asked for."""

    pipe_id: str = "openrouter"
    data_dir: Path | None = None
    dry_run: bool = False
    batch_size: int = 200
    settings: Mapping[str, str] = {}


def run_rotation(
    options: RotateOptions, environment: Mapping[str, str], console: Console, ask: Callable[[str], str] | None
) -> int:
    """Run `openrouter-pipe rotate-key`; returns the exit status. ``ask`` prompts for a secret, None where nobody sits."""
    try:
        policy = _policy(options, environment, ask)
    except SettingError as error:
        console.print(str(error), style="red", markup=False)
        return 2
    if options.data_dir is not None:
        where = {name: value for name, value in environment.items() if not name.startswith("DATABASE_")}
        environment = {**where, "DATA_DIR": str(options.data_dir)}
    try:
        return asyncio.run(_rotate(options, policy, environment, console))
    except ArtifactStoreError as error:
        console.print(f"{error}. Nothing is lost; run the command again.", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("Stopped. Nothing is lost; run the command again to go on.", style="yellow")
        return 130


def _policy(options: RotateOptions, environment: Mapping[str, str], ask: Callable[[str], str] | None) -> StorePolicy:
    """The keys and how to write; raises `SettingError` for what cannot be meant."""
    for name in options.settings:
        if name in _SECRETS:
            raise SettingError(
                name, "is a secret and must not stand on the command line; set the variable of this name"
            )
    # As they are, blanks at their ends included: the pipe makes another table of another key.
    given = {name: environment.get(name, "") for name in (KEY, PREVIOUS)}
    if not given[KEY].strip() and ask is not None:
        given[KEY] = ask(f"{KEY} (the present key): ")
        given[PREVIOUS] = given[PREVIOUS] or ask(f"{PREVIOUS} (older keys, comma-separated, may be empty): ")
    if not given[KEY].strip():
        raise SettingError(
            KEY, "is not set; without a key there is nothing to encrypt with. Set the variable to the key"
        )
    if options.data_dir is not None and not (options.data_dir / "webui.db").is_file():
        raise SettingError("--data-dir", f"{options.data_dir} holds no webui.db; give the host's data folder")
    policy = store_policy(read_settings({**options.settings, **given}, environment), options.pipe_id)
    if policy.key.reveal() in {key.reveal() for key in policy.previous_keys}:
        raise SettingError(PREVIOUS, f"names the present key; list only keys that {KEY} has replaced")
    return policy


async def _rotate(options: RotateOptions, policy: StorePolicy, environment: Mapping[str, str], console: Console) -> int:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    last = RotationProgress(0)
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("reading" if options.dry_run else "re-encrypting", total=None)
        async with aclosing(
            rotate(environment, policy, dry_run=options.dry_run, batch_size=options.batch_size)
        ) as steps:
            async for last in steps:
                bar.update(
                    task, total=last.total, completed=last.moved + last.present + last.unreadable + last.conflicts
                )
    console.print(summary(last, dry_run=options.dry_run), markup=False, highlight=False)
    return 1 if last.unreadable or last.conflicts else 0


def summary(last: RotationProgress, *, dry_run: bool) -> str:
    """The counts in words."""
    if not last.total:
        return (
            "No rows of older keys were found. If you expected some, check the keys, --pipe-id (the function's id in the "
            "host) and the database."
        )
    verb = "can be encrypted anew" if dry_run else "encrypted anew and verified"
    lines = [f"{last.total} rows of older keys: {last.moved} {verb}"]
    if last.present:
        lines.append(f"{last.present} were under the present key already")
    if last.unreadable:
        lines.append(f"{last.unreadable} unreadable, no key given opens them; they stay (a key may be missing)")
    if last.conflicts:
        lines.append(f"{last.conflicts} conflicts, another chat holds their id; they stay")
    ending = ""
    if not (dry_run or last.unreadable or last.conflicts):
        ending = (
            "\nTurns that began before the key was changed may still end with the old one: run this once more when they are "
            f"over. When it finds nothing, empty {PREVIOUS} in the pipe's valves."
        )
    elif dry_run:
        ending = "\nNothing was changed (dry run)."
    return "; ".join(lines) + "." + ending
