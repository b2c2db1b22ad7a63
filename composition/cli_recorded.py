"""The subcommands over recorded turns: logs and replay."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Final

from openrouter_pipe.composition.cli_parts import Parser, Subcommands, add_command, asking, complain

LOGS: Final = """\
Session logs: one encrypted archive per turn, written when SESSION_LOG_STORE_ENABLED, SESSION_LOG_DIR and
SESSION_LOG_ZIP_PASSWORD are set.

  openrouter-pipe logs find --chat CHAT_ID            which archives there are, newest first
  openrouter-pipe logs find --error-id ERROR_ID       the turn that showed this error
  openrouter-pipe logs show MESSAGE_ID                the turn as a timeline (also a path)
  openrouter-pipe logs show MESSAGE_ID --json         its records, one JSON object a line
  openrouter-pipe logs export MESSAGE_ID --to FOLDER  the decrypted files into a new folder
  openrouter-pipe logs verify                         open every archive and say which cannot be read
  openrouter-pipe logs prune --days 30 --dry-run      what is older; without --dry-run it is removed
"""
EPILOG: Final = """\
The directory is --dir, else SESSION_LOG_DIR, else ./session_logs. The password is asked for, or read from
--password-file or the variable SESSION_LOG_ZIP_PASSWORD; it is never an argument, where other users of the machine see it.
Exit status: 0 done, 1 something is wrong with an archive, 2 the command was wrong.
"""
FIND: Final = """\
Lists archives, newest first: time (UTC), user, chat, message, size in KiB.

  openrouter-pipe logs find --user USER_ID --since 7d
  openrouter-pipe logs find --since 2026-01-31T08:00 --until 2026-01-31T09:00
  openrouter-pipe logs find --error-id ERROR_ID --json

Without an error id no password is needed: ids and times are names of folders and files.
"""
SHOW: Final = """\
Shows a turn as a timeline: seconds since its beginning, who, what.

  openrouter-pipe logs show MESSAGE_ID
  openrouter-pipe logs show MESSAGE_ID --quiet
  openrouter-pipe logs show session_logs/USER_ID/CHAT_ID/MESSAGE_ID.zip --json
"""
EXPORT: Final = """\
Writes the decrypted files of an archive into a new folder (0700, files 0600).

  openrouter-pipe logs export MESSAGE_ID --to FOLDER
"""
VERIFY: Final = """\
Opens every archive and names those that cannot be read; in a terminal with a bar to watch.

  openrouter-pipe logs verify
  openrouter-pipe logs verify --since 24h --password-file FILE
"""
PRUNE: Final = """\
Removes archives that were last written more than so many days ago; the pipe does this by itself, too.

  openrouter-pipe logs prune --days 30 --dry-run     counts only
  openrouter-pipe logs prune --days 30
"""
REPLAY: Final = """\
Runs a recorded turn again, without network and host: the provider, the tools and the store answer as they did, and what
the user is shown is compared with the record.

  openrouter-pipe replay MESSAGE_ID             the newest answer of a message (also a path)
  openrouter-pipe replay MESSAGE_ID --record 2  an earlier answer, numbered as in the archive
  openrouter-pipe replay MESSAGE_ID --json      one JSON object

Exit status: 0 the same, 1 different, 2 it cannot be run again; what is wrong is told.
"""
REPLAY_EPILOG: Final = EPILOG.partition("Exit status")[0]


def add(commands: Subcommands) -> None:
    """The subcommands of this module."""
    _add_logs(commands)
    replay = add_command(
        commands,
        "replay",
        _replay,
        help="run a recorded turn again and compare what it shows",
        description=REPLAY,
        epilog=REPLAY_EPILOG,
    )
    replay.add_argument("target", metavar="ARCHIVE", help="message id or path")
    _add_place(replay)
    _add_password(replay)
    replay.add_argument("--record", type=int, metavar="N", help="number of an earlier answer (default: the newest)")
    replay.add_argument("--json", action="store_true", help="one JSON object")


def _add_logs(commands: Subcommands) -> None:
    parser = add_command(
        commands, "logs", _logs, help="find, read, check and remove session logs", description=LOGS, epilog=EPILOG
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION", dest="action")
    find = add_command(actions, "find", None, help="list archives, newest first", description=FIND, epilog=EPILOG)
    _add_place(find)
    _add_password(find)
    _add_sought(find)
    find.add_argument("--error-id", default="", metavar="ID", help="only the turn that showed this error")
    find.add_argument("--json", action="store_true", help="one JSON object a line")
    show = add_command(actions, "show", None, help="a turn as a timeline", description=SHOW, epilog=EPILOG)
    _add_place(show)
    _add_password(show)
    show.add_argument("target", metavar="MESSAGE_ID|PATH", help="the message, or its archive")
    show.add_argument("--json", action="store_true", help="the records as they are, one JSON object a line")
    show.add_argument("--quiet", action="store_true", help="without what was logged in words below WARNING")
    export = add_command(
        actions, "export", None, help="write the decrypted files of an archive", description=EXPORT, epilog=EPILOG
    )
    _add_place(export)
    _add_password(export)
    export.add_argument("target", metavar="MESSAGE_ID|PATH", help="the message, or its archive")
    export.add_argument("--to", type=Path, metavar="FOLDER", help="where to (default: a folder named like the message)")
    verify = add_command(
        actions,
        "verify",
        None,
        help="open every archive (status 1 if one cannot be read)",
        description=VERIFY,
        epilog=EPILOG,
    )
    _add_place(verify)
    _add_password(verify)
    _add_sought(verify)
    prune = add_command(actions, "prune", None, help="remove old archives", description=PRUNE, epilog=EPILOG)
    _add_place(prune)
    prune.add_argument(
        "--days", type=int, required=True, help="remove what was last written more days ago than this number"
    )
    prune.add_argument("--dry-run", action="store_true", help="count only")


def _add_place(parser: Parser) -> None:
    parser.add_argument("--dir", help="directory of the archives (default: SESSION_LOG_DIR, else session_logs)")


def _add_password(parser: Parser) -> None:
    parser.add_argument("--password-file", type=Path, help="file that holds the password")


def _add_sought(parser: Parser) -> None:
    for name in ("user", "chat", "message"):
        parser.add_argument(f"--{name}", default="", metavar="ID", help=f"only of this {name}")
    for name, what in (("since", "not before"), ("until", "not after")):
        parser.add_argument(
            f"--{name}", type=_time, metavar="TIME", help=f"{what} this time: ISO 8601 (UTC), or an age as 30m, 12h, 7d"
        )


def _time(text: str) -> float:
    from openrouter_pipe.composition.logs import read_time

    try:
        return read_time(text)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time; write 2026-01-31T08:00 (UTC), or an age as 30m, 12h, 7d"
        ) from error


def _directory(options: argparse.Namespace) -> str:
    return options.dir or os.environ.get("SESSION_LOG_DIR") or "session_logs"


def _logs(options: argparse.Namespace) -> int:
    from openrouter_pipe.adapters.filesystem.search import Wanted
    from openrouter_pipe.composition.cli_console import make_console
    from openrouter_pipe.composition.logs import LogsOptions, run_logs

    said = vars(options)
    if options.action == "prune" and options.days < 1:
        complain(f"--days {options.days}: at least one day")
        return 2
    chosen = LogsOptions(
        action=options.action,
        directory=_directory(options),
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
        ask=asking(),
    )
    return run_logs(chosen, os.environ, make_console())


def _replay(options: argparse.Namespace) -> int:
    from openrouter_pipe.composition.cli_console import make_console
    from openrouter_pipe.composition.logs import LogsOptions
    from openrouter_pipe.composition.replay_command import ReplayOptions, run_replay

    sought = LogsOptions(
        action="replay",
        directory=_directory(options),
        target=options.target,
        password_file=options.password_file,
        ask=asking(),
    )
    return run_replay(ReplayOptions(sought, options.record, options.json), os.environ, make_console())
