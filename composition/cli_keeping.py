"""The subcommands for what is kept: costs, metrics, the host's model records, the keys of stored artifacts."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Final

from openrouter_pipe.composition.assignments import assignments
from openrouter_pipe.composition.cli_parts import Subcommands, add_command, add_setting, asking, complain

COSTS: Final = """\
Adds up the cost snapshots that the pipe exports to Redis (valves COSTS_REDIS_DUMP and COSTS_REDIS_TTL_SECONDS).

  openrouter-pipe costs                  a table by user, model and day, and a bar per day
  openrouter-pipe costs --csv > c.csv    for a spreadsheet
  openrouter-pipe costs --json           one JSON object a line

Redis is found as Open WebUI finds it: REDIS_URL, REDIS_SENTINEL_HOSTS, REDIS_CLUSTER. Snapshots expire (an hour at most);
collect them at least that often.
"""
METRICS: Final = """\
Serves the metrics of all workers as one page on the loopback interface, for Prometheus, until Ctrl-C.

  openrouter-pipe metrics --dir /run/openrouter-pipe
  openrouter-pipe metrics --dir /run/openrouter-pipe --port 9464

The workers write there every 10 seconds when OPENROUTER_PIPE_METRICS_DIR names the folder.
"""
SYNC: Final = """\
Shows what the pipe would write into Open WebUI's records of models, and writes it.

  openrouter-pipe sync --dry-run     a table of what would change; writes nothing
  openrouter-pipe sync               writes it

The pipe does this by itself in the running server. Run it with the Python of Open WebUI, in its environment (DATA_DIR,
DATABASE_URL, WEBUI_SECRET_KEY): settings are the pipe's valves as stored there.
"""


def add(commands: Subcommands) -> None:
    """The subcommands of this module."""
    _add_costs(commands)
    metrics = add_command(
        commands,
        "metrics",
        _metrics,
        help="serve the workers' metrics on the loopback interface",
        description=METRICS,
    )
    metrics.add_argument("--dir", type=Path, help="the workers' folder (default: OPENROUTER_PIPE_METRICS_DIR)")
    metrics.add_argument(
        "--port", type=int, default=9464, help="port number, 0 for any free one (default: %(default)s)"
    )
    sync = add_command(
        commands,
        "sync",
        _sync,
        help="show or write what the pipe would write into Open WebUI's model records",
        description=SYNC,
    )
    sync.add_argument("--dry-run", action="store_true", help="print the plan, write nothing")
    _add_pipe_id(sync)
    _add_rotate_key(commands)


def _add_costs(commands: Subcommands) -> None:
    parser = add_command(
        commands, "costs", _costs, help="add up the costs that the pipe exports to Redis", description=COSTS
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_const", const="json", dest="form", help="one JSON object a line")
    form.add_argument("--csv", action="store_const", const="csv", dest="form", help="for a spreadsheet")
    parser.add_argument("--pipe-id", help="only this pipe (default: all of them)")
    parser.set_defaults(form="table")


def _add_rotate_key(commands: Subcommands) -> None:
    from openrouter_pipe.composition import keys_manual

    parser = add_command(
        commands,
        "rotate-key",
        _rotate_key,
        help="encrypt stored artifacts anew with the present key",
        description=keys_manual.DESCRIPTION,
        epilog=keys_manual.EPILOG,
    )
    parser.add_argument("--dry-run", action="store_true", help="open and count every row, change nothing")
    parser.add_argument(
        "--data-dir", type=Path, help="the host's data folder with webui.db (default: as the host does)"
    )
    _add_pipe_id(parser)
    parser.add_argument("--batch-size", type=int, default=200, help="rows in one transaction (default: %(default)s)")
    add_setting(parser, "a setting without secret as in the valves, for example ENCRYPT_ALL=false; repeatable")


def _add_pipe_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pipe-id", default="openrouter", help="the function's id in the host (default: %(default)s)")


def _costs(options: argparse.Namespace) -> int:
    from openrouter_pipe.composition.costs import run_costs

    return run_costs(os.environ, form=options.form, pipe_id=options.pipe_id)


def _metrics(options: argparse.Namespace) -> int:
    from openrouter_pipe.composition.metrics import FOLDER_VARIABLE, serve

    folder = options.dir or Path(os.environ.get(FOLDER_VARIABLE, ""))
    if folder == Path():
        complain(f"--dir is missing, and {FOLDER_VARIABLE} is not set")
        return 2
    return serve(folder, options.port)


def _sync(options: argparse.Namespace) -> int:
    from openrouter_pipe.composition.cli_console import make_console
    from openrouter_pipe.composition.sync_command import run_sync

    return run_sync(options.pipe_id, make_console(), dry_run=options.dry_run)


def _rotate_key(options: argparse.Namespace) -> int:
    from openrouter_pipe.composition.cli_console import make_console
    from openrouter_pipe.composition.keys import RotateOptions, run_rotation

    if options.batch_size < 1:
        complain(f"--batch-size {options.batch_size}: at least one row is needed")
        return 2
    chosen = RotateOptions(
        options.pipe_id, options.data_dir, options.dry_run, options.batch_size, assignments(options.settings)
    )
    return run_rotation(chosen, os.environ, make_console(), asking())
