"""Session logs: everything that an archive needs to be written, safe and kept."""

from __future__ import annotations

import asyncio
from typing import Final

from openrouter_pipe.adapters.filesystem import archives, condition
from openrouter_pipe.adapters.filesystem.condition import DirectoryCondition
from openrouter_pipe.composition.checks.result import LATE_SECONDS, Check, Checklist, Group, Subject

_LIST: Final = Checklist(Group.SESSION_LOGS)
_NAMES: Final = ("enabled", "password", "library", "directory", "private", "free space", "age of archives", "retention")
_SHORTEST_PASSWORD: Final = 12
_MIB: Final = 1024 * 1024
_WARN_FREE, _FAIL_FREE = 1024 * _MIB, 50 * _MIB


async def checks(subject: Subject) -> list[Check]:
    """The whole group."""
    settings = subject.settings
    if not settings.SESSION_LOG_STORE_ENABLED:
        return [_LIST.skipped(name, "SESSION_LOG_STORE_ENABLED is off") for name in _NAMES]
    first = [_LIST.ok("enabled", "SESSION_LOG_STORE_ENABLED is on"), _password(subject), _library()]
    days = f"{settings.SESSION_LOG_RETENTION_DAYS} days"
    decided = "" if "SESSION_LOG_RETENTION_DAYS" in subject.chosen else " (the default: decide whether it fits)"
    return [*first, *await _directory(subject), _LIST.ok("retention", f"{days}{decided}")]


def _password(subject: Subject) -> Check:
    problem = subject.problems.get("SESSION_LOG_ZIP_PASSWORD")
    if problem is not None:
        remedy = "Restore WEBUI_SECRET_KEY, or enter the password again."
        return _LIST.failed("password", f"SESSION_LOG_ZIP_PASSWORD {problem}", remedy)
    password = subject.settings.SESSION_LOG_ZIP_PASSWORD.reveal()
    if not password:
        remedy = "Set SESSION_LOG_ZIP_PASSWORD, or switch SESSION_LOG_STORE_ENABLED off."
        return _LIST.failed("password", "SESSION_LOG_ZIP_PASSWORD is not set: no archive is written", remedy)
    if len(password) < _SHORTEST_PASSWORD:
        told = f"it has {len(password)} characters; {_SHORTEST_PASSWORD} are the least"
        return _LIST.warning("password", told, "Choose a longer SESSION_LOG_ZIP_PASSWORD; older archives keep theirs.")
    return _LIST.ok("password", f"it is set ({len(password)} characters)")


def _library() -> Check:
    if archives.is_available():
        return _LIST.ok("library", "pyzipper is installed")
    return _LIST.failed("library", "the Python package pyzipper is not installed", "python -m pip install pyzipper")


async def _directory(subject: Subject) -> list[Check]:
    wanted = subject.settings.SESSION_LOG_DIR.strip()
    if not wanted:
        remedy = "Set SESSION_LOG_DIR to a directory that only Open WebUI's account may read."
        others = (_LIST.skipped(name, "there is no directory") for name in _NAMES[4:7])
        return [_LIST.failed("directory", "SESSION_LOG_DIR is empty: no archive is written", remedy), *others]
    found = await asyncio.to_thread(condition.examine, wanted)
    return [_writable(found), _private(found), _space(found), _ages(found, subject.now())]


def _writable(found: DirectoryCondition) -> Check:
    if found.problem:
        remedy = (
            f"Make {found.path} a directory that Open WebUI's account may write to, or name another in SESSION_LOG_DIR."
        )
        return _LIST.failed("directory", f"{found.path} cannot be used: {found.problem}", remedy)
    if found.link == str(found.path):
        remedy = f"Name the directory itself in SESSION_LOG_DIR: {found.path.resolve()}"
        return _LIST.warning("directory", f"{found.path} is a link: whoever may change it moves the archives", remedy)
    if found.link:
        remedy = "Remove the link; archives are not written through links below SESSION_LOG_DIR."
        return _LIST.failed("directory", f"{found.link} is a link", remedy)
    if found.full:
        return _LIST.skipped("directory", f"{found.path} has no room left: see free space")
    state = f"{found.archives} archives" if found.exists else "it will be made at the first record"
    return _LIST.ok("directory", f"{found.path} can be written: {state}")


def _private(found: DirectoryCondition) -> Check:
    if not found.exists:
        return _LIST.skipped("private", "there is no directory yet; it is made for its owner only")
    if found.others:
        return _LIST.warning(
            "private", f"other accounts of this machine may enter {found.path}", f"chmod 700 {found.path}"
        )
    return _LIST.ok("private", "only its owner may enter the directory")


def _space(found: DirectoryCondition) -> Check:
    told = f"{found.free // _MIB} MiB free"
    remedy = "Free some space, shorten SESSION_LOG_RETENTION_DAYS, or `openrouter-pipe logs prune --days N`."
    if found.problem and not found.free:
        return _LIST.skipped("free space", "the directory cannot be used")
    if found.full:
        return _LIST.failed("free space", f"nothing more can be written to {found.path}: no room left", remedy)
    if found.free < _FAIL_FREE:
        return _LIST.failed("free space", told, remedy)
    if found.free < _WARN_FREE:
        return _LIST.warning("free space", told, remedy)
    return _LIST.ok("free space", told)


def _ages(found: DirectoryCondition, now: float) -> Check:
    if found.newest is None:
        return _LIST.skipped("age of archives", "there are no archives yet")
    if found.newest > now + LATE_SECONDS:
        ahead = (found.newest - now) / 60
        told = f"the newest archive is from {ahead:.0f} minutes in the future: this clock was set back"
        return _LIST.failed(
            "age of archives", told, "Set the clock right; until then retention counts from the wrong day."
        )
    return _LIST.ok("age of archives", "no archive is from the future")
