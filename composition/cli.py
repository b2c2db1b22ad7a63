"""The command line: `openrouter-pipe SUBCOMMAND`. Each subcommand imports what it needs when it runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from openrouter_pipe.composition import cli_examining
from openrouter_pipe.composition.assignments import assignments

_DESCRIPTION: Final = """\
The pipe between Open WebUI and OpenRouter, on the command line.

  openrouter-pipe chat                      talk to a model (simulated unless OPENROUTER_API_KEY is set)
  openrouter-pipe chat --once "2+2?" --json one answer as JSON lines, for scripts
  openrouter-pipe models gemini             what is on offer
  openrouter-pipe simulate --port 8080      a local OpenRouter for tests
  openrouter-pipe bundle                    write dist/openrouter_pipe.py for Open WebUI
  openrouter-pipe valves                    every setting with its default and bounds
  openrouter-pipe rotate-key                encrypt stored reasoning and tool results with a new key
  openrouter-pipe logs find --chat ID       the encrypted records of turns: find, show, verify, prune
  openrouter-pipe replay MESSAGE_ID         run a recorded turn again, offline, and compare
  openrouter-pipe doctor                    what is wrong with this installation, and what to do
  openrouter-pipe validate --simulate       try what users do, with this configuration

Settings go by the names of the valves: --set REASONING_EFFORT=high, or the environment variables named in docs/valves.md.
"""


_SYNC: Final = """\
Shows what the pipe would write into Open WebUI's records of models, and writes it.

  openrouter-pipe sync --dry-run     a table of what would change; writes nothing
  openrouter-pipe sync               writes it

The pipe does this by itself in the running server. Run it with the Python of Open WebUI, in its environment (DATA_DIR,
DATABASE_URL, WEBUI_SECRET_KEY): settings are the pipe's valves as stored there.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    return command(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="openrouter-pipe", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="SUBCOMMAND")
    _add_chat(commands.add_parser("chat", help="talk to a model in the terminal"))
    _add_models(commands.add_parser("models", help="list the models on offer"))
    _add_run(commands.add_parser("run", help="load the bundle as Open WebUI does and chat through it"))
    _add_simulate(commands.add_parser("simulate", help="serve a local, simulated OpenRouter"))
    _add_bundle(commands.add_parser("bundle", help="write the one-file function for Open WebUI"))
    _add_valves(commands.add_parser("valves", help="print, write or check the table of settings"))
    _add_costs(commands.add_parser("costs", help="add up the costs that the pipe exports to Redis"))
    _add_metrics(commands.add_parser("metrics", help="serve the workers' metrics on the loopback interface"))
    _add_sync(
        commands.add_parser("sync", help="show or write what the pipe would write into Open WebUI's model records")
    )
    _add_logs(commands.add_parser("logs", help="find, read, check and remove session logs"))
    _add_replay(commands.add_parser("replay", help="run a recorded turn again and compare what it shows"))
    cli_examining.add_doctor(
        commands.add_parser("doctor", help="examine this installation: what is wrong, and what to do")
    )
    cli_examining.add_validate(
        commands.add_parser("validate", help="try what users do: chat, tools, files, replay, errors")
    )
    _add_rotate_key(commands.add_parser("rotate-key", help="encrypt stored artifacts anew with the present key"))
    return parser


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="settings", help="set a setting; repeatable"
    )
    parser.add_argument("--simulate", action="store_true", help="use the simulated OpenRouter even when a key is set")


def _add_chat(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--once", metavar="TEXT", help="ask once, print the answer, exit (status 1 if it failed)")
    parser.add_argument(
        "--model", help="model id, for example openai/gpt-5 (default: openrouter/auto, simulated: sim/echo)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line for every event")
    _add_settings(parser)
    parser.set_defaults(command=_chat)


def _add_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("word", nargs="?", default="", help="only models whose id or name holds this word")
    _add_settings(parser)
    parser.set_defaults(command=_models)


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", type=Path, default=Path("dist/openrouter_pipe.py"), help="the function file")
    parser.set_defaults(command=_run)


def _add_simulate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="port, 0 for any free one (default: %(default)s)")
    parser.add_argument(
        "--schema", type=Path, help="OpenRouter's OpenAPI document; requests that do not fit it are answered with 400"
    )
    parser.set_defaults(command=_simulate)


def _add_bundle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, default=Path("dist/openrouter_pipe.py"), help="where to write it")
    parser.set_defaults(command=_bundle)


def _add_valves(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--write", type=Path, metavar="FILE", help="write the table")
    group.add_argument("--check", type=Path, metavar="FILE", help="exit with 1 when the file differs from the table")
    parser.set_defaults(command=_valves)


def _add_costs(parser: argparse.ArgumentParser) -> None:
    from openrouter_pipe.composition import costs

    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = costs.DESCRIPTION
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_const", const="json", dest="form", help="one JSON object a line")
    form.add_argument("--csv", action="store_const", const="csv", dest="form", help="for a spreadsheet")
    parser.add_argument("--pipe-id", help="only this pipe (default: all of them)")
    parser.set_defaults(command=_costs, form="table")


def _add_metrics(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dir", type=Path, help="the workers' folder (default: OPENROUTER_PIPE_METRICS_DIR)")
    parser.add_argument("--port", type=int, default=9464, help="port, 0 for any free one (default: %(default)s)")
    parser.set_defaults(command=_metrics)


def _add_sync(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = _SYNC
    parser.add_argument("--dry-run", action="store_true", help="print the plan, write nothing")
    parser.add_argument("--pipe-id", default="openrouter", help="the function's id in the host (default: %(default)s)")
    parser.set_defaults(command=_sync)


def _add_logs(parser: argparse.ArgumentParser) -> None:
    from openrouter_pipe.composition import logs

    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = logs.DESCRIPTION, logs.EPILOG
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--dir", help="directory of the archives (default: SESSION_LOG_DIR, else session_logs)")
    locked = argparse.ArgumentParser(add_help=False)
    locked.add_argument("--password-file", type=Path, help="file that holds the password")
    sought = argparse.ArgumentParser(add_help=False)
    for name, what in (("user", "user"), ("chat", "chat"), ("message", "message")):
        sought.add_argument(f"--{name}", default="", metavar="ID", help=f"only of this {what}")
    for name, what in (("since", "not before"), ("until", "not after")):
        sought.add_argument(
            f"--{name}", type=logs.read_time, metavar="TIME", help=f"{what} this time: ISO 8601 or 30m, 12h, 7d"
        )
    actions = parser.add_subparsers(required=True, metavar="ACTION", dest="action")
    finding = actions.add_parser("find", parents=[common, locked, sought], help="list archives, newest first")
    finding.add_argument("--error-id", default="", metavar="ID", help="only the turn that showed this error")
    finding.add_argument("--json", action="store_true", help="one JSON object a line")
    showing = actions.add_parser("show", parents=[common, locked], help="a turn as a timeline")
    showing.add_argument("target", metavar="MESSAGE_ID|PATH")
    showing.add_argument("--json", action="store_true", help="the records as they are, one JSON object a line")
    showing.add_argument("--quiet", action="store_true", help="without what was logged in words below WARNING")
    exporting = actions.add_parser("export", parents=[common, locked], help="write the decrypted files of an archive")
    exporting.add_argument("target", metavar="MESSAGE_ID|PATH")
    exporting.add_argument(
        "--to", type=Path, metavar="FOLDER", help="where to (default: a folder named like the message)"
    )
    actions.add_parser(
        "verify", parents=[common, locked, sought], help="open every archive (status 1 if one cannot be read)"
    )
    pruning = actions.add_parser("prune", parents=[common], help="remove old archives")
    pruning.add_argument("--days", type=int, required=True, help="remove what was last written longer ago")
    pruning.add_argument("--dry-run", action="store_true", help="count only")
    parser.set_defaults(command=_logs)


def _add_replay(parser: argparse.ArgumentParser) -> None:
    from openrouter_pipe.composition import logs, replay_command

    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = replay_command.DESCRIPTION, logs.EPILOG
    parser.add_argument("target", metavar="ARCHIVE", help="message id or path")
    parser.add_argument("--dir", help="directory of the archives (default: SESSION_LOG_DIR, else session_logs)")
    parser.add_argument("--password-file", type=Path, help="file that holds the password")
    parser.add_argument("--record", type=int, metavar="N", help="an earlier answer (default: the newest)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.set_defaults(command=_replay)


def _add_rotate_key(parser: argparse.ArgumentParser) -> None:
    from openrouter_pipe.composition import keys_manual

    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = keys_manual.DESCRIPTION, keys_manual.EPILOG
    parser.add_argument("--dry-run", action="store_true", help="open and count every row, change nothing")
    parser.add_argument(
        "--data-dir", type=Path, help="the host's data folder with webui.db (default: as the host does)"
    )
    parser.add_argument("--pipe-id", default="openrouter", help="the function's id in the host (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=200, help="rows in one transaction (default: %(default)s)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="settings",
        help="a setting without secret as in the valves, for example ENCRYPT_ALL=false; repeatable",
    )
    parser.set_defaults(command=_rotate_key)


def _chat(options: argparse.Namespace) -> int:
    from openrouter_pipe.composition.terminal import ChatOptions, run_chat

    return run_chat(
        ChatOptions(
            once=options.once,
            model=options.model,
            as_json=options.json,
            simulate=options.simulate,
            settings=assignments(options.settings),
        )
    )


def _models(options: argparse.Namespace) -> int:
    from openrouter_pipe.composition.terminal import ChatOptions, run_chat

    return run_chat(ChatOptions(models=options.word, simulate=options.simulate, settings=assignments(options.settings)))


def _run(options: argparse.Namespace) -> int:
    from openrouter_pipe.composition import run

    return run.main(options.bundle)


def _simulate(options: argparse.Namespace) -> int:
    from openrouter_pipe.adapters.simulator.config import SimulatorConfig, find_schema
    from openrouter_pipe.adapters.simulator.server import serve_forever

    if options.schema is not None and not options.schema.is_file():
        _complain(f"--schema {options.schema}: there is no such file")
        return 2
    config = SimulatorConfig(schema_path=options.schema or find_schema())
    try:
        return serve_forever(options.host, options.port, config, announce=_announce)
    except OSError as error:
        _complain(f"{options.host}:{options.port} cannot be used: {error.strerror}; choose another with --port")
        return 1


def _bundle(options: argparse.Namespace) -> int:
    from openrouter_pipe.composition import bundle

    return bundle.main(["--output", str(options.output)])


def _valves(options: argparse.Namespace) -> int:
    from openrouter_pipe.composition.documents import settings_document

    document = settings_document()
    if options.write is not None:
        options.write.write_text(document, encoding="utf-8")
        return 0
    if options.check is not None:
        if options.check.is_file() and options.check.read_text(encoding="utf-8") == document:
            return 0
        _complain(f"{options.check} differs from ports/settings.py; run `make format`")
        return 1
    sys.stdout.write(document)
    return 0


def _costs(options: argparse.Namespace) -> int:
    import os

    from openrouter_pipe.composition.costs import run_costs

    return run_costs(os.environ, form=options.form, pipe_id=options.pipe_id)


def _metrics(options: argparse.Namespace) -> int:
    import os

    from openrouter_pipe.composition.metrics import FOLDER_VARIABLE, serve

    folder = options.dir or Path(os.environ.get(FOLDER_VARIABLE, ""))
    if folder == Path():
        _complain(f"--dir is missing, and {FOLDER_VARIABLE} is not set")
        return 2
    return serve(folder, options.port)


def _sync(options: argparse.Namespace) -> int:
    from rich.console import Console

    from openrouter_pipe.composition.sync_command import run_sync

    return run_sync(options.pipe_id, Console(), dry_run=options.dry_run)


def _logs(options: argparse.Namespace) -> int:
    import getpass
    import os

    from rich.console import Console

    from openrouter_pipe.adapters.filesystem.search import Wanted
    from openrouter_pipe.composition.logs import LogsOptions, run_logs

    said = vars(options)
    if options.action == "prune" and options.days < 1:
        _complain(f"--days {options.days}: at least one day")
        return 2
    chosen = LogsOptions(
        action=options.action,
        directory=options.dir or os.environ.get("SESSION_LOG_DIR") or "session_logs",
        target=said.get("target", ""),
        wanted=Wanted(
            said.get("user", ""), said.get("chat", ""), said.get("message", ""), said.get("since"), said.get("until")
        ),
        error_id=said.get("error_id", ""),
        as_json=said.get("json", False),
        quiet=said.get("quiet", False),
        to=said.get("to"),
        days=said.get("days", 0),
        dry_run=said.get("dry_run", False),
        password_file=said.get("password_file"),
        ask=getpass.getpass if sys.stdin.isatty() else None,
    )
    return run_logs(chosen, os.environ, Console())


def _replay(options: argparse.Namespace) -> int:
    import getpass
    import os

    from rich.console import Console

    from openrouter_pipe.composition.logs import LogsOptions
    from openrouter_pipe.composition.replay_command import ReplayOptions, run_replay

    sought = LogsOptions(
        action="replay",
        directory=options.dir or os.environ.get("SESSION_LOG_DIR") or "session_logs",
        target=options.target,
        password_file=options.password_file,
        ask=getpass.getpass if sys.stdin.isatty() else None,
    )
    return run_replay(ReplayOptions(sought, options.record, options.json), os.environ, Console())


def _rotate_key(options: argparse.Namespace) -> int:
    import getpass
    import os

    from rich.console import Console

    from openrouter_pipe.composition.keys import RotateOptions, run_rotation

    if options.batch_size < 1:
        _complain(f"--batch-size {options.batch_size}: at least one row is needed")
        return 2
    chosen = RotateOptions(
        options.pipe_id, options.data_dir, options.dry_run, options.batch_size, assignments(options.settings)
    )
    return run_rotation(chosen, os.environ, Console(), getpass.getpass if sys.stdin.isatty() else None)


def _announce(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _complain(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
