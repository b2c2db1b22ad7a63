"""What state the directory of the archives is in, for diagnostics: nothing is kept, a file that proves writing goes at once."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from openrouter_pipe.adapters.filesystem.paths import root_of
from openrouter_pipe.adapters.filesystem.remedies import FULL


@frozen
class DirectoryCondition:
    """``problem`` says why nothing can be written, empty when something can or when only room is lacking (``full``).
    ``link`` is the folder of an archive that is a link, empty if none is. ``others`` tells whether other accounts of the
    machine may enter it; ``free`` is in bytes; ``newest`` is when the newest archive was written, in seconds since the epoch.
    """

    path: Path
    exists: bool
    problem: str = ""
    full: bool = False
    link: str = ""
    others: bool = False
    free: int = 0
    archives: int = 0
    newest: float | None = None


def examine(directory: str) -> DirectoryCondition:
    """Look at a directory of archives. Blocks; never raises for what the disk does."""
    root = root_of(directory)
    try:
        return _examined(root)
    except OSError as error:
        return DirectoryCondition(root, exists=False, problem=error.strerror or type(error).__name__)


def _examined(root: Path) -> DirectoryCondition:
    exists = root.is_dir()
    if not exists and (root.exists() or root.is_symlink()):
        return DirectoryCondition(root, exists=False, problem="it is not a directory")
    # What is not there yet is made by the pipe, below the nearest folder that is.
    nearest = root if exists else next(folder for folder in root.parents if folder.exists())
    problem, full = _why_not_writable(nearest)
    times = [entry.stat(follow_symlinks=False).st_mtime for entry in _archives(root)] if exists else []
    return DirectoryCondition(
        path=root,
        exists=exists,
        problem=problem,
        full=full,
        link=str(root) if root.is_symlink() else _first_link(root) if exists else "",
        others=exists and bool(stat.S_IMODE(root.stat().st_mode) & 0o077),
        free=shutil.disk_usage(nearest).free,
        archives=len(times),
        newest=max(times, default=None),
    )


def _why_not_writable(folder: Path) -> tuple[str, bool]:
    """What keeps this account from writing there, and whether it is lack of room alone."""
    if not folder.is_dir():
        return f"{folder} is not a directory", False
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"this account may not write to {folder}", False
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * 4096)
            file.flush()
    except OSError as error:
        if error.errno in FULL:
            return "", True
        return f"{folder}: {error.strerror or type(error).__name__}", False
    return "", False


def _first_link(root: Path) -> str:
    for user in _listed(root):
        if user.is_symlink():
            return user.path
        if user.is_dir(follow_symlinks=False):
            for chat in _listed(Path(user.path)):
                if chat.is_symlink():
                    return chat.path
    return ""


def _archives(root: Path) -> Iterator[os.DirEntry[str]]:
    for user in _listed(root):
        for chat in _listed(Path(user.path)) if user.is_dir(follow_symlinks=False) else ():
            for entry in _listed(Path(chat.path)) if chat.is_dir(follow_symlinks=False) else ():
                if entry.name.endswith(".zip") and entry.is_file(follow_symlinks=False):
                    yield entry


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return list(entries)
    return []
