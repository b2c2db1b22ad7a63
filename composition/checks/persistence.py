"""Persistence: encryption, retention, and the table in the host's database."""

from __future__ import annotations

from typing import Final

from openrouter_pipe.adapters.sql import health
from openrouter_pipe.adapters.sql.health import TableHealth
from openrouter_pipe.composition.checks.result import LATE_SECONDS, Check, Checklist, Group, Subject
from openrouter_pipe.composition.host_environment import with_database
from openrouter_pipe.composition.policies import store_policy
from openrouter_pipe.ports.artifacts import ArtifactStoreError
from openrouter_pipe.ports.settings import Settings

_LIST: Final = Checklist(Group.PERSISTENCE)
_SHORTEST_KEY: Final = 16
_TABLE_CHECKS: Final = ("table", "rows readable", "age of rows")


async def checks(subject: Subject) -> list[Check]:
    """The whole group."""
    settings = subject.settings
    return [_encryption(subject), _all_or_reasoning(settings), _retention(subject), *await _database(subject)]


def _encryption(subject: Subject) -> Check:
    name, settings = "encryption key", subject.settings
    if (problem := subject.problems.get("ARTIFACT_ENCRYPTION_KEY")) is not None:
        remedy = "Restore WEBUI_SECRET_KEY, or enter the same key again: another key means another, empty table."
        return _LIST.failed(name, f"ARTIFACT_ENCRYPTION_KEY {problem}", remedy)
    key = settings.ARTIFACT_ENCRYPTION_KEY.reveal()
    keeps = [
        what
        for what, kept in (
            ("reasoning", settings.PERSIST_REASONING_TOKENS != "disabled"),
            ("tool results", settings.PERSIST_TOOL_RESULTS),
        )
        if kept
    ]
    if not key and not keeps:
        return _LIST.ok(name, "it is not set, and nothing is kept for later turns")
    if not key:
        return _LIST.warning(
            name,
            f"it is not set: {' and '.join(keeps)} are stored unencrypted",
            "Set ARTIFACT_ENCRYPTION_KEY, or keep it empty on purpose where the database itself is encrypted.",
        )
    previous = store_policy(settings, subject.pipe_id).previous_keys
    if key in {one.reveal() for one in previous}:
        remedy = "List only keys that ARTIFACT_ENCRYPTION_KEY has replaced."
        return _LIST.warning(name, "ARTIFACT_ENCRYPTION_PREVIOUS_KEYS names the present key too", remedy)
    if len(key) < _SHORTEST_KEY:
        remedy = "Choose a long random key and move stored rows to it with `openrouter-pipe rotate-key`."
        return _LIST.warning(name, f"it has {len(key)} characters; {_SHORTEST_KEY} are the least", remedy)
    return _LIST.ok(name, f"it is set ({len(key)} characters), {len(previous)} older keys are listed for reading")


def _all_or_reasoning(settings: Settings) -> Check:
    if not settings.ARTIFACT_ENCRYPTION_KEY:
        return _LIST.skipped("ENCRYPT_ALL", "there is no encryption key")
    if not settings.ENCRYPT_ALL:
        told = "it is off: only reasoning is encrypted, tool calls and their results are not"
        return _LIST.warning("ENCRYPT_ALL", told, "Switch ENCRYPT_ALL on.")
    return _LIST.ok("ENCRYPT_ALL", "it is on: everything that is stored is encrypted")


def _retention(subject: Subject) -> Check:
    settings = subject.settings
    decided = "" if "ARTIFACT_CLEANUP_DAYS" in subject.chosen else " (the default: decide whether it fits)"
    hours = f"{settings.ARTIFACT_CLEANUP_INTERVAL_HOURS:g}"
    told = f"{settings.ARTIFACT_CLEANUP_DAYS} days after the last read{decided}, cleaned up every {hours} h"
    return _LIST.ok("retention", told)


async def _database(subject: Subject) -> list[Check]:
    try:
        found = await health.examine(
            with_database(subject.environment), store_policy(subject.settings, subject.pipe_id)
        )
    except ArtifactStoreError as error:
        remedy = (
            "Name the host's database as the host does (DATABASE_URL or DATA_DIR); check that it runs and admits us."
        )
        why = "the database is out of reach"
        return [_LIST.failed("database", str(error), remedy), *(_LIST.skipped(name, why) for name in _TABLE_CHECKS)]
    reached = _LIST.ok("database", f"{found.kind}: it answers")
    if not found.exists:
        return [reached, _absent(found), *(_LIST.skipped(name, "there is no table yet") for name in _TABLE_CHECKS[1:])]
    if found.missing:
        told = f"{found.table} lacks the columns {', '.join(found.missing)}"
        remedy = "Something else made or changed it: rename it; the pipe makes its own at the next save."
        skipped = (_LIST.skipped(name, "the table is not as expected") for name in _TABLE_CHECKS[1:])
        return [reached, _LIST.failed("table", told, remedy), *skipped]
    return [reached, _table(found), _readable(found), _ages(found, subject.now())]


def _absent(found: TableHealth) -> Check:
    if found.older_rows:
        told = f"{found.table} is not there, but {found.older_rows} rows lie under older keys"
        return _LIST.warning(
            "table", told, "Move them with `openrouter-pipe rotate-key` while the older keys are listed."
        )
    return _LIST.ok("table", f"{found.table} is not there yet; the first artifact makes it")


def _table(found: TableHealth) -> Check:
    told = f"{found.table}: columns as expected, {found.rows} rows"
    if found.older_rows:
        told = f"{told}, and {found.older_rows} rows under older keys"
        return _LIST.warning("table", told, "Move them to the present key with `openrouter-pipe rotate-key`.")
    return _LIST.ok("table", told)


def _readable(found: TableHealth) -> Check:
    if found.unreadable:
        return _LIST.failed(
            "rows readable",
            f"{found.unreadable} of the {found.sampled} newest rows cannot be opened with the keys given",
            "List the key that they were written under in ARTIFACT_ENCRYPTION_PREVIOUS_KEYS, or restore it.",
        )
    return _LIST.ok("rows readable", f"all of the {found.sampled} newest rows can be opened")


def _ages(found: TableHealth, now: float) -> Check:
    if found.newest is not None and found.newest > now + LATE_SECONDS:
        return _LIST.failed(
            "age of rows",
            f"the newest row is from {(found.newest - now) / 60:.0f} minutes in the future: this clock was set back",
            "Set the clock right; until then retention counts from the wrong day.",
        )
    return _LIST.ok("age of rows", "no row is from the future")
