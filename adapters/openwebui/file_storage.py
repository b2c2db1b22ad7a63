"""Bytes in and out of whichever storage the host has, through the host's own API. Not here: records and rights.

The host's storage hands out a local path, to which it downloads first where the storage is remote; something else in its
place (bytes, an open file) is read too.
"""

from __future__ import annotations

import asyncio
import importlib
import io
import logging
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, BinaryIO, Final
from weakref import WeakValueDictionary

from openrouter_pipe.ports.files import FileAccessError

_log = logging.getLogger(__name__)
_GONE: Final = "the host's storage does not have the file any more"
_MIB: Final = 1024 * 1024
_LEFT: Final[set[asyncio.Future[None]]] = set()
_TURNS: Final[WeakValueDictionary[tuple[int, str], asyncio.Lock]] = WeakValueDictionary()


def host_module(name: str, *, missing_ok: bool = False) -> Any:
    """A module of the host, imported when a file is first touched. Raises `FileAccessError` where there is no host."""
    try:
        return importlib.import_module(f"open_webui.{name}")
    except ImportError as error:
        if missing_ok:
            return None
        raise FileAccessError("there is no host to keep files") from error


async def read_stored(
    path: str, max_bytes: int, chunk_bytes: int, patience: float, size: int | None = None
) -> AsyncGenerator[bytes, None]:
    """The content behind a record's ``path``, piece by piece. Raises `FileAccessError`, and nothing else.

    ``size`` is what the record says. The host downloads remote files to one place each, over what another reader has open
    there: ours wait for each other, and where somebody else of the host was in between the size tells.
    """
    place: Any = None
    file: BinaryIO | None = None
    fetch: asyncio.Future[Any] | None = None
    remote = _is_remote()
    turn = _turn(path) if remote else asyncio.Lock()
    locked = False
    try:
        async with asyncio.timeout(patience):
            locked = await turn.acquire()
            fetch = asyncio.ensure_future(asyncio.to_thread(host_module("storage.provider").Storage.get_file, path))
            place = await asyncio.shield(fetch)
            file = await asyncio.to_thread(_open, place, max_bytes)
        found = 0
        while True:
            async with asyncio.timeout(patience):
                chunk = await asyncio.to_thread(file.read, chunk_bytes)
            if not chunk:
                break
            found += len(chunk)
            _bound(found, max_bytes)
            yield chunk
        _compare(found, size if remote else None)
    except FileAccessError:
        raise
    except Exception as error:
        _log.warning("the host did not deliver a file's content: %s", type(error).__name__)
        raise FileAccessError("the host did not deliver the file") from error
    finally:
        if fetch is not None and not fetch.done():
            _leave(fetch, turn, remote)
        else:
            try:
                await asyncio.to_thread(_put_away, file, place, remote)
            finally:
                if locked:
                    turn.release()


def _leave(fetch: asyncio.Future[Any], turn: asyncio.Lock, remote: bool) -> None:
    """The reader has gone while a thread still writes the copy: the next reader's turn comes when the thread has ended."""

    async def end() -> None:
        try:
            await asyncio.to_thread(_put_away, None, await fetch, remote)
        except Exception as error:  # noqa: BLE001 - nobody waits for the file any more
            _log.info("a file that nobody waits for was not delivered: %s", type(error).__name__)
        finally:
            turn.release()

    task = asyncio.ensure_future(end())
    _LEFT.add(task)
    task.add_done_callback(_LEFT.discard)


def write_stored(data: bytes, name: str, tags: dict[str, str]) -> str:
    """Hand bytes to the host's storage; returns the path for the record. Blocks; raises what the host raises."""
    _, path = host_module("storage.provider").Storage.upload_file(io.BytesIO(data), name, tags)
    return str(path)


def remove_stored(path: str) -> None:
    """Take back what no record names; a failure leaves a stray file behind and is logged."""
    try:
        host_module("storage.provider").Storage.delete_file(path)
    except Exception as error:  # noqa: BLE001 - the answer does not depend on it
        _log.warning("a file without a record stays in the host's storage: %s", type(error).__name__)


def too_large(max_bytes: int) -> FileAccessError:
    """The refusal of a file over the limit."""
    limit = f"{max_bytes // _MIB} MB" if max_bytes >= _MIB else f"{max_bytes} bytes"
    return FileAccessError(f"the file is larger than {limit}")


def _open(place: Any, max_bytes: int) -> BinaryIO:
    if isinstance(place, bytes | bytearray):
        return io.BytesIO(place)
    if hasattr(place, "read"):
        found: BinaryIO = place
        return found
    if not isinstance(place, str | os.PathLike):
        raise FileAccessError("the host's storage hands out nothing that can be read")
    path = Path(place)
    if not path.is_file():  # neither gone, nor a folder, nor a device
        raise FileAccessError(_GONE)
    _bound(path.stat().st_size, max_bytes)
    return path.open("rb")


def _bound(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise too_large(max_bytes)


def _compare(found: int, size: int | None) -> None:
    if size is not None and found != size:
        raise FileAccessError("the host's storage gave it in another size than when it was stored")


def _turn(path: str) -> asyncio.Lock:
    """The one lock for this path and this event loop."""
    key = (id(asyncio.get_running_loop()), path)
    lock = _TURNS.get(key)
    if lock is None:
        lock = _TURNS[key] = asyncio.Lock()
    return lock


def _is_remote() -> bool:
    config = host_module("config", missing_ok=True)
    return bool(getattr(config, "STORAGE_PROVIDER", "local") != "local")


def _put_away(file: BinaryIO | None, place: Any, remote: bool) -> None:
    """Close it, and remove the local copy of a remote file where the host is told to keep none, as the host itself does."""
    if file is not None:
        file.close()
    config = host_module("config", missing_ok=True)
    if not isinstance(place, str) or not remote or getattr(config, "STORAGE_LOCAL_CACHE", True):
        return
    try:
        Path(place).unlink(missing_ok=True)
    except OSError as error:
        _log.warning("the local copy of a stored file was not removed: %s", type(error).__name__)
