"""Where the archive of a turn lies: ``<directory>/<user>/<chat>/<message>.zip``, and nowhere else.

Ids come from outside. They become names of files only after everything but ``0-9A-Za-z._-`` is gone, and a folder on the
way that is a link is refused: an archive never leaves the directory that the operator named.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from openrouter_pipe.ports.session_log import SessionLog

LONGEST_COMPONENT: Final = 128
_UNSAFE: Final = re.compile(r"[^0-9A-Za-z._-]")
_EDGES: Final = "._-"


class ArchiveError(Exception):
    """An archive cannot be written or read; the message says why and what to do."""


def component(value: str) -> str:
    """``value`` as the name of a file or folder; empty when nothing of it can be used."""
    return _UNSAFE.sub("_", value).strip(_EDGES)[:LONGEST_COMPONENT].rstrip(_EDGES)


def root_of(directory: str) -> Path:
    """The archives' directory; a relative one is below the working directory of the process."""
    return Path(directory).expanduser().absolute()


def folder_of(root: Path, log: SessionLog) -> tuple[Path, str]:
    """The folder of the turn's chat, made if need be, and the name of its archive without ``.zip``.

    Raises:
        ArchiveError: an id gives no name, or a folder on the way is a link.
        OSError: the disk refuses.
    """
    user, chat, message = component(log.user_id), component(log.chat_id), component(log.message_id)
    if not (user and chat and message):
        raise ArchiveError("the ids of this turn give no file name; no archive is written")
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = root
    for name in (user, chat):
        folder = folder / name
        if folder.is_symlink():
            raise ArchiveError(f"{folder} is a link; remove it, archives are not written through links")
        folder.mkdir(mode=0o700, exist_ok=True)
    return folder, message
