"""Removes archives that are older than they may be, and what unfinished writers left behind."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from attrs import frozen

from openrouter_pipe.adapters.filesystem.archives import TEMPORARY
from openrouter_pipe.adapters.filesystem.paths import root_of

DAY: Final = 86_400.0
_ABANDONED: Final = 3_600.0


@frozen
class Pruned:
    """What one clean-up did."""

    removed: int
    kept: int
    bytes_freed: int


def prune(directory: str, retention_days: int, now: float, *, dry_run: bool = False) -> Pruned:
    """Remove archives not modified for ``retention_days``; ``now`` in seconds since the epoch. Blocks.

    Only files where archives lie (two folders deep) are looked at and no link is followed; a directory that is not there
    holds nothing. What cannot be removed is left for the next time.
    """
    root = root_of(directory)
    removed = kept = freed = 0
    for folder in _chat_folders(root):
        for entry in _listed(folder):
            age = _ABANDONED if entry.name.endswith(TEMPORARY) else retention_days * DAY
            if not entry.name.endswith((".zip", TEMPORARY)) or not entry.is_file(follow_symlinks=False):
                continue
            try:
                status = entry.stat(follow_symlinks=False)
                if now - status.st_mtime <= age:
                    kept += entry.name.endswith(".zip")
                    continue
                if not dry_run:
                    Path(entry.path).unlink()
            except OSError:
                continue
            if entry.name.endswith(".zip"):
                removed, freed = removed + 1, freed + status.st_size
        if not dry_run:
            _remove_empty(folder, root)
    return Pruned(removed, kept, freed)


def _chat_folders(root: Path) -> list[Path]:
    users = (entry for entry in _listed(root) if entry.is_dir(follow_symlinks=False))
    return [
        Path(chat.path) for user in users for chat in _listed(Path(user.path)) if chat.is_dir(follow_symlinks=False)
    ]


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _remove_empty(folder: Path, root: Path) -> None:
    for one in (folder, folder.parent):
        if one == root:
            return
        with contextlib.suppress(OSError):  # not empty, or somebody is about to write into it
            one.rmdir()
