"""Finding archives: by the ids in their path, by time, or by what a record holds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from openrouter_pipe.adapters.filesystem import archives
from openrouter_pipe.adapters.filesystem.paths import component, root_of
from openrouter_pipe.ports.settings import Secret

_ERROR_IDS: Final = {
    "event": re.compile(r'"error_id": "([0-9a-f]{16})"'),
    "log": re.compile(r"\berror_id=([0-9a-f]{16})\b"),
}
"""Where an error's id stands, by the kind of entry."""

_TEXT_LINE: Final = re.compile(r"^\S+ [A-Z]+ +\S+ \[(\w+)\] (.*)$", re.MULTILINE)
"""A line of a record that was kept as text: the kind of the entry, and its message."""


@frozen
class Wanted:
    """What to look for; empty means all. Ids are given as the host knows them; times are seconds since the epoch."""

    user: str = ""
    chat: str = ""
    message: str = ""
    since: float | None = None
    until: float | None = None


@frozen
class Found:
    """An archive, by its place; ``modified`` is in seconds since the epoch."""

    path: Path
    user: str
    chat: str
    message: str
    modified: float
    size: int


@frozen
class Record:
    """One answer's record: ``number`` None for the newest of its message, else as in the archive.

    ``text`` is what a record has that was kept as text only; ``damaged`` counts the lines that cannot be read.
    """

    number: int | None
    meta: Mapping[str, Any]
    entries: tuple[Mapping[str, Any], ...] = field(repr=False)
    text: str = field(default="", repr=False)
    damaged: int = 0

    @property
    def error_ids(self) -> frozenset[str]:
        """The ids of the errors that were shown in it, in the end or in the words of the answer.

        Every failure that is told is logged with its id as well, so that both kinds are found in one way.
        """
        told = ((str(entry.get("event_type")), str(entry.get("message", ""))) for entry in self.entries)
        written = ((match[1], match[2]) for match in _TEXT_LINE.finditer(self.text))
        return frozenset(
            one
            for kind, message in (*told, *written)
            if (pattern := _ERROR_IDS.get(kind)) is not None
            for one in pattern.findall(message)
        )


def find(directory: str, wanted: Wanted) -> list[Found]:
    """The archives that fit, newest first; an archive counts by the time of its newest record."""
    found = [one for one in _all(root_of(directory)) if _fits(one, wanted)]
    return sorted(found, key=lambda one: one.modified, reverse=True)


def records(path: Path, password: Secret) -> list[Record]:
    """The records of an archive, newest first; those kept as text only have no entries.

    Raises:
        ArchiveError: see `archives.read`.
        OSError: it cannot be opened.
    """
    held = archives.read(path, password)
    numbers = sorted({int(name.split(".")[1]) for name in held if name.count(".") == 2}, reverse=True)
    return [_record(held, number) for number in (None, *numbers)]


def _record(held: Mapping[str, bytes], number: int | None) -> Record:
    infix = "" if number is None else f".{number}"
    meta = archives.entries_of(held.get(f"meta{infix}.json", b"{}").replace(b"\n", b" "))
    kept = held.get(f"logs{infix}.jsonl", b"")
    lines = archives.entries_of(kept)
    text = "" if lines else held.get(f"logs{infix}.txt", b"").decode("utf-8", "replace")
    return Record(number, meta[0] if meta else {}, tuple(lines), text, len(kept.splitlines()) - len(lines))


def _all(root: Path) -> Iterator[Found]:
    for path in root.glob("*/*/*.zip"):
        if path.is_symlink() or not path.is_file():
            continue
        status = path.stat()
        message = path.name.split(".zip")[0]
        yield Found(path, path.parent.parent.name, path.parent.name, message, status.st_mtime, status.st_size)


def _fits(found: Found, wanted: Wanted) -> bool:
    ids = ((wanted.user, found.user), (wanted.chat, found.chat), (wanted.message, found.message))
    if any(asked and component(asked) != name and asked != name for asked, name in ids):
        return False
    return (wanted.since is None or found.modified >= wanted.since) and (
        wanted.until is None or found.modified <= wanted.until
    )


def when(seconds: float) -> str:
    """A time for people: UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
