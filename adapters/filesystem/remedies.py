"""What an operator can do when the disk refuses an archive, in words for the log. Not here: the checks of `doctor`."""

from __future__ import annotations

import errno
from typing import Final

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Codes of an `OSError` that mean: no room left."""

_ANOTHER: Final = "or name another directory in SESSION_LOG_DIR"
_SPACE: Final = "free some space, or shorten SESSION_LOG_RETENTION_DAYS and run `openrouter-pipe logs prune`"
_RIGHTS: Final = f"let Open WebUI's account write to SESSION_LOG_DIR, {_ANOTHER}"
_FOLDER: Final = f"a file is in the way of a folder: remove it, {_ANOTHER}"
_WORDS: Final = {
    errno.ENOSPC: f"the disk is full: {_SPACE}",
    errno.EDQUOT: f"the account's quota is used up: {_SPACE}",
    errno.EFBIG: "this process may not write files so large: raise its limit (ulimit -f), or lower SESSION_LOG_MAX_LINES",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: f"the disk is read-only: mount it for writing, {_ANOTHER}",
    errno.ENOTDIR: _FOLDER,
    errno.EEXIST: _FOLDER,
    errno.EISDIR: f"a folder is in the way of an archive: remove it, {_ANOTHER}",
    errno.ENOENT: f"SESSION_LOG_DIR cannot be made there: make it, {_ANOTHER}",
    errno.ELOOP: f"links lead in a circle: remove them, {_ANOTHER}",
    errno.ENAMETOOLONG: "the path is too long for this disk: name a shorter directory in SESSION_LOG_DIR",
}


def remedy(error: OSError) -> str:
    """What to do about it."""
    return _WORDS.get(error.errno or 0, "run `openrouter-pipe doctor`, which looks at SESSION_LOG_DIR")
