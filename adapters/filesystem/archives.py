"""One archive: an AES-encrypted zip with ``meta.json`` and the record as ``logs.jsonl`` and/or ``logs.txt``.

A message that is answered again (regenerate, continue) keeps its earlier records in the same archive, as ``meta.1.json``,
``logs.1.jsonl``, … in order of age; the names without a number are the newest. An archive is written under a temporary name
and then renamed, one writer at a time for each chat, so that a reader finds a whole one or none.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import json
import logging
import lzma
import os
import re
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import attrs

from openrouter_pipe.adapters.filesystem.paths import ArchiveError, folder_of, root_of
from openrouter_pipe.ports.session_log import ArchivePolicy, LogEntry, SessionLog
from openrouter_pipe.ports.settings import Secret

_log = logging.getLogger(__name__)

MOST_EARLIER: Final = 20
"""Earlier records that an archive keeps."""
LONGEST_MEMBER: Final = 512 * 1024 * 1024
"""Bytes of one unpacked file; what is larger was not written by us."""
TEMPORARY: Final = ".tmp"

_MEMBER: Final = re.compile(r"(meta|logs)(?:\.(\d{1,6}))?\.(json|jsonl|txt)")
_METHODS: Final = {"stored": "ZIP_STORED", "deflated": "ZIP_DEFLATED", "bzip2": "ZIP_BZIP2", "lzma": "ZIP_LZMA"}
_LOCK_SECONDS: Final = 10.0
_LOCK_STEP: Final = 0.05


def is_available() -> bool:
    """Whether the library that encrypts archives is installed."""
    return importlib.util.find_spec("pyzipper") is not None


def write(log: SessionLog, policy: ArchivePolicy) -> Path:
    """Write the record of a turn, beside the earlier ones of its message. Blocks; returns where it is.

    Raises:
        ArchiveError: an id that is no name, a link on the way, a chat that others write to for too long, no library.
        OSError: the disk refuses: full, read-only, no permission.
    """
    folder, name = folder_of(root_of(policy.directory), log)
    members = _members(log, policy)
    with _only_writer(folder):
        target = folder / f"{name}.zip"
        if target.is_symlink():
            raise ArchiveError(f"{target} is a link; remove it, archives are not written through links")
        if target.exists():
            members = {**_earlier(target, policy.password), **members}
        temporary = folder / f".{name}.{os.getpid()}.{time.monotonic_ns()}{TEMPORARY}"
        try:
            _pack(temporary, members, policy)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    return target


def read(path: Path, password: Secret) -> dict[str, bytes]:
    """The files of an archive by name.

    Raises:
        ArchiveError: not an archive of ours, damaged, too large, or the password is another one.
        OSError: it cannot be opened.
    """
    library = _library()
    try:
        with library.AESZipFile(path) as archive:
            archive.setpassword(password.reveal().encode())
            return {info.filename: archive.read(info) for info in _ours(path, archive)}
    except RuntimeError as error:  # what zip libraries raise for passwords
        raise ArchiveError(f"{path}: the password does not fit") from error
    except (library.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, NotImplementedError) as error:
        raise ArchiveError(f"{path} is damaged or no zip file") from error


def _ours(path: Path, archive: Any) -> list[Any]:
    found = [info for info in archive.infolist() if _MEMBER.fullmatch(info.filename)]
    if not any(info.filename == "meta.json" for info in found):
        raise ArchiveError(f"{path} is not a session log: it has no meta.json")
    if any(info.file_size > LONGEST_MEMBER for info in found):
        raise ArchiveError(f"{path} holds a file of more than {LONGEST_MEMBER} bytes; it was not written here")
    return found


def _members(log: SessionLog, policy: ArchivePolicy) -> dict[str, bytes]:
    entries = log.entries()
    meta = {
        "created_at": _iso(log.created_at),
        "ids": {
            "user_id": log.user_id,
            "session_id": log.session_id,
            "chat_id": log.chat_id,
            "message_id": log.message_id,
        },
        "request_id": log.request_id,
        "log_format": policy.format,
    }
    members = {"meta.json": json.dumps(meta, ensure_ascii=False, indent=1).encode()}
    if policy.format != "text":
        members["logs.jsonl"] = "".join(_json_line(entry) for entry in entries).encode(errors="replace")
    if policy.format != "jsonl":
        members["logs.txt"] = "".join(_text_line(entry) for entry in entries).encode(errors="replace")
    return members


def _json_line(entry: LogEntry) -> str:
    record = attrs.asdict(entry)
    record["ts"] = _iso(entry.ts)
    if not entry.exception:
        del record["exception"]
    record["message"] = record.pop("message")  # the long one last, for whoever reads the raw lines
    return json.dumps(record, ensure_ascii=False) + "\n"


def _text_line(entry: LogEntry) -> str:
    lines = f"{_iso(entry.ts)} {entry.level:<8} {entry.logger} [{entry.event_type}] {entry.message}\n"
    return lines + "".join(f"    {line}\n" for line in entry.exception.splitlines())


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _earlier(path: Path, password: Secret) -> dict[str, bytes]:
    """What the archive already holds, under the names of earlier records.

    An archive that cannot be read (another password, damage) is put aside whole, so that nothing is lost.
    """
    try:
        held = read(path, password)
    except ArchiveError:
        aside = next(at for n in range(1, 10_000) if not (at := path.with_name(f"{path.stem}.{n}.zip")).exists())
        path.replace(aside)
        _log.warning("an earlier session log could not be opened and was kept beside the new one, as %s", aside.name)
        return {}
    numbers = sorted({int(found[2]) for name in held if (found := _MEMBER.fullmatch(name)) and found[2]})
    newest = (numbers[-1] if numbers else 0) + 1
    kept = set(numbers[-(MOST_EARLIER - 1) :])
    earlier: dict[str, bytes] = {}
    for name, data in held.items():
        found = _MEMBER.fullmatch(name)
        if found and found[2] is None:
            earlier[f"{found[1]}.{newest}.{found[3]}"] = data
        elif found and int(found[2]) in kept:
            earlier[name] = data
    return earlier


def _pack(path: Path, members: Mapping[str, bytes], policy: ArchivePolicy) -> None:
    library = _library()
    method = getattr(library, _METHODS[policy.compression])
    level = policy.compress_level if policy.compression in {"deflated", "bzip2"} else None
    if policy.compression == "bzip2" and level == 0:
        level = 1  # the least that bzip2 knows
    # In memory, where its members are already: on a full disk the library would be left with a half-written member, and
    # tell the host's standard error so.
    packed = io.BytesIO()
    with library.AESZipFile(packed, "w", method, compresslevel=level, encryption=library.WZ_AES) as archive:
        archive.setpassword(policy.password.reveal().encode())
        for name, data in members.items():
            archive.writestr(name, data)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(packed.getbuffer())
        file.flush()
        os.fsync(file.fileno())


def _library() -> Any:
    try:
        return importlib.import_module("pyzipper")
    except ImportError as error:
        raise ArchiveError("session logs need the Python package pyzipper; install it or switch them off") from error


@contextlib.contextmanager
def _only_writer(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which ends with the process that holds it; where there are no locks, go without."""
    try:
        import fcntl
    except ImportError:  # not on this platform: a rename is still whole or not at all
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _lock(fcntl, descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _lock(fcntl: Any, descriptor: int, folder: Path) -> None:
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise ArchiveError(f"{folder} was locked by another process for {_LOCK_SECONDS:.0f} s") from None
            time.sleep(_LOCK_STEP)
        except OSError:
            return  # a file system without locks
        else:
            return


def entries_of(data: bytes) -> Sequence[Mapping[str, Any]]:
    """The records of a ``logs.jsonl``; lines that cannot be read are left out."""
    found: list[Mapping[str, Any]] = []
    for line in data.splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            record = json.loads(line)
            if isinstance(record, dict):
                found.append(record)
    return found
