"""`openrouter-pipe logs`: find, read, check and remove the session logs that the pipe wrote."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from attrs import field, frozen
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from openrouter_pipe.adapters.filesystem import archives, search
from openrouter_pipe.adapters.filesystem.paths import ArchiveError, root_of
from openrouter_pipe.adapters.filesystem.retention import prune
from openrouter_pipe.adapters.filesystem.search import Found, Record, Wanted
from openrouter_pipe.adapters.terminal.timeline import safe, timeline
from openrouter_pipe.domain.redaction import Redactor
from openrouter_pipe.ports.settings import Secret

PASSWORD_VARIABLE: Final = "SESSION_LOG_ZIP_PASSWORD"  # noqa: S105 - the name, not the password
_COLOURS: Final = {
    "error": "bold red",
    "tool": "magenta",
    "sent": "cyan",
    "provider": "blue",
    "asked": "bold",
    "log": "dim",
    "known": "dim",
    "memory": "dim",
    "record": "dim",
}


class LogsError(Exception):
    """The command cannot go on; the message says why and what to do."""


@frozen
class LogsOptions:
    """What the command line said."""

    action: str
    directory: str
    target: str = ""
    wanted: Wanted = field(factory=Wanted)
    error_id: str = ""
    as_json: bool = False
    quiet: bool = False
    to: Path | None = None
    days: int = 0
    dry_run: bool = False
    password_file: Path | None = None
    ask: Callable[[str], str] | None = field(default=None, repr=False)


def run_logs(options: LogsOptions, environment: Mapping[str, str], console: Console) -> int:
    """Run one action; the exit status is 0, 1 for something that is wrong with an archive, 2 for a wrong call."""
    actions: dict[str, Callable[[LogsOptions, Mapping[str, str], Console], int]] = {
        "find": _find,
        "show": _show,
        "export": _export,
        "verify": _verify,
        "prune": _prune,
    }
    try:
        return actions[options.action](options, environment, console)
    except LogsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (ArchiveError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def read_time(text: str) -> float:
    """Seconds since the epoch of an ISO 8601 time (UTC where it names no zone) or of an age such as 30m, 12h, 7d.

    Raises:
        ValueError: it is neither.
    """
    units = {"m": 60, "h": 3_600, "d": 86_400}
    if text[-1:] in units and text[:-1].isdigit():
        return time.time() - int(text[:-1]) * units[text[-1]]
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _find(options: LogsOptions, environment: Mapping[str, str], console: Console) -> int:
    found = _all(options)
    if options.error_id:
        password = password_of(options, environment)
        found = [
            one
            for one in _progress(found, console, hidden=options.as_json)
            if any(options.error_id in record.error_ids for record in _readable(one, password))
        ]
    if options.as_json:
        for one in found:
            sys.stdout.write(json.dumps(_as_json(one)) + "\n")
        return 0
    if not found:
        console.print(f"No session log in {root_of(options.directory)} fits.", highlight=False, soft_wrap=True)
        return 0
    table = Table("time (UTC)", "user", "chat", "message")
    table.add_column("KiB", justify="right")
    for one in found:
        size = f"{one.size / 1024:.1f}"
        table.add_row(search.when(one.modified), Text(one.user), Text(one.chat), Text(one.message), size)
    console.print(table)
    return 0


def _as_json(one: Found) -> dict[str, object]:
    modified = search.when(one.modified).replace(" ", "T") + "Z"
    return {
        "path": str(one.path),
        "time": modified,
        "user": one.user,
        "chat": one.chat,
        "message": one.message,
        "bytes": one.size,
    }


def _show(options: LogsOptions, environment: Mapping[str, str], console: Console) -> int:
    path = archive_of(options)
    found = search.records(path, password_of(options, environment))
    if options.as_json:
        for record in found:
            sys.stdout.writelines(json.dumps(dict(entry), ensure_ascii=False) + "\n" for entry in record.entries)
        return 0
    for record in reversed(found):
        _print(record, console, logs=not options.quiet)
    return 0


def _print(record: Record, console: Console, *, logs: bool) -> None:
    ids = record.meta.get("ids")
    told = " ".join(f"{name}={value}" for name, value in ids.items()) if isinstance(ids, dict) else ""
    age = "newest answer" if record.number is None else f"earlier answer {record.number}"
    console.print(Text(safe(f"{record.meta.get('created_at', '?')} {age} {told}"), style="bold"), soft_wrap=True)
    if not record.entries:
        console.print("This record was kept as text only: see `logs export`.")
    redactor = Redactor()  # each delta was redacted as it came; what came in pieces is whole again only here
    for line in timeline(record.entries, logs=logs):
        text = Text(f"{line.at:9.3f} s  ")
        text.append(f"{line.who:<9}", style=_COLOURS.get(line.who, ""))
        text.append(redactor.text(line.what))
        console.print(text, soft_wrap=True)


def _export(options: LogsOptions, environment: Mapping[str, str], console: Console) -> int:
    path = archive_of(options)
    folder = options.to or Path(path.stem)
    held = archives.read(path, password_of(options, environment))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    taken = [name for name in held if (folder / name).exists()]
    if taken:
        raise LogsError(f"{folder / taken[0]} exists; name another folder with --to")
    for name, data in held.items():
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
    console.print(
        f"{len(held)} files in {folder}, decrypted: remove them when you are done.", highlight=False, soft_wrap=True
    )
    return 0


def _verify(options: LogsOptions, environment: Mapping[str, str], console: Console) -> int:
    found, password = _all(options), password_of(options, environment)
    bad: list[str] = []
    for one in _progress(found, console):
        try:
            archives.read(one.path, password)
        except (ArchiveError, OSError) as error:
            bad.append(str(error))
    for line in bad:
        console.print(Text(line, style="red"), soft_wrap=True)
    console.print(f"{len(found) - len(bad)} of {len(found)} session logs can be read.", highlight=False)
    return 1 if bad else 0


def _progress(found: list[Found], console: Console, *, hidden: bool = False) -> Iterable[Found]:
    """The same, with a bar to watch on terminals."""
    if hidden or not console.is_terminal:
        return found
    return track(found, "reading", console=console, transient=True)


def _prune(options: LogsOptions, environment: Mapping[str, str], console: Console) -> int:
    with console.status("counting" if options.dry_run else "removing"):
        done = prune(options.directory, options.days, time.time(), dry_run=options.dry_run)
    verb = "would be removed" if options.dry_run else "removed"
    freed = f"{done.bytes_freed / 1024:.1f} KiB"
    console.print(f"{done.removed} session logs older than {options.days} days {verb} ({freed}), {done.kept} kept.")
    return 0


def _all(options: LogsOptions) -> list[Found]:
    root = root_of(options.directory)
    if not root.is_dir():
        raise LogsError(f"{root} is no directory; name the directory of the session logs with --dir")
    return search.find(options.directory, options.wanted)


def archive_of(options: LogsOptions) -> Path:
    """The archive that was named, by path or message id. Raises `LogsError` when it is not exactly one."""
    path = Path(options.target)
    if path.suffix == ".zip":
        if not path.is_file():
            raise LogsError(f"{path}: there is no such file")
        return path
    found = search.find(options.directory, Wanted(message=options.target))
    if len(found) != 1:
        why = "no archive" if not found else f"{len(found)} archives"
        raise LogsError(f"{options.target}: {why} of this message in {root_of(options.directory)}; name its path")
    return found[0].path


def _readable(one: Found, password: Secret) -> list[Record]:
    try:
        return search.records(one.path, password)
    except (ArchiveError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return []


def password_of(options: LogsOptions, environment: Mapping[str, str]) -> Secret:
    """The password of the archives: from the file, the variable or the keyboard. Raises `LogsError` when there is none."""
    if options.password_file is not None:
        given = options.password_file.read_text(encoding="utf-8").rstrip("\r\n")
    elif environment.get(PASSWORD_VARIABLE):
        given = environment[PASSWORD_VARIABLE]
    elif options.ask is not None:
        given = options.ask("Password of the session logs: ")
    else:
        raise LogsError(f"the password is missing: set {PASSWORD_VARIABLE} or name a --password-file")
    if not given:
        raise LogsError("the password is empty")
    return Secret(given)
