"""The host's file storage on behalf of the asking user, on every version. Not here: what is stored, and why.

Uploads go through the host's own handler, so that its storage backend, limits and records apply; reading asks the host
whether this user may. The host is imported when a file is first touched, never before.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import io
import logging
import mimetypes
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from openrouter_pipe.adapters.openwebui.host import mapping, maybe_await, text
from openrouter_pipe.ports.chat import Identity
from openrouter_pipe.ports.files import FileAccessError, FileBytes, StoredFile

_LOG = logging.getLogger(__name__)
_REFUSED = "the file does not exist or may not be read"
_PATIENCE: Final = 60.0
"""Seconds that the host may take over one file; an answer waits for it."""


class HostFileStore:
    """`FileStore` of one call. ``request`` is the host's request object, ``patience`` in seconds."""

    def __init__(self, request: Any, identity: Identity, patience: float = _PATIENCE) -> None:
        self._request = request
        self._identity = identity
        self._patience = patience

    async def save(self, content: FileBytes) -> StoredFile:
        """Upload without indexing, and link the file to the chat where the host keeps such links."""
        if not content.data:
            raise FileAccessError("the file is empty")
        name = content.name or "file" + (mimetypes.guess_extension(content.content_type) or "")
        async with _edge("the host did not store the file", self._patience):
            record = await self._upload(content, name, await self._user())
            file_id = text(mapping(record).get("id")) or text(getattr(record, "id", None))
            if not file_id:
                raise FileAccessError("the host did not store the file")
        await self._link(file_id)
        return StoredFile(file_id, f"/api/v1/files/{file_id}/content", name, content.content_type, len(content.data))

    async def read(self, file_id: str, max_bytes: int, chunk_bytes: int) -> FileBytes:
        """Read a file that the user owns or was given access to; administrators may read all, as in the host."""
        async with _edge("the host did not deliver the file", self._patience):
            user = await self._user()
            record = await maybe_await(_module("models.files").Files.get_file_by_id(file_id))
            if record is None or not await self._allowed(record, user):
                raise FileAccessError(_REFUSED)
            path = await asyncio.to_thread(_module("storage.provider").Storage.get_file, record.path)
            data = await asyncio.to_thread(_read, Path(path), max_bytes, chunk_bytes)
            meta = mapping(record.meta)
            name = text(meta.get("name")) or text(record.filename)
            guessed = mimetypes.guess_type(name)[0] or "application/octet-stream"
            return FileBytes(data, text(meta.get("content_type")) or guessed, name)

    async def _user(self) -> Any:
        user = None
        if self._identity.user_id:
            user = await maybe_await(_module("models.users").Users.get_user_by_id(self._identity.user_id))
        if user is None:
            raise FileAccessError("files need a user, and the host names none")
        return user

    async def _upload(self, content: FileBytes, name: str, user: Any) -> Any:
        structures: Any = importlib.import_module("starlette.datastructures")
        handler = _module("routers.files").upload_file_handler
        headers = structures.Headers({"content-type": content.content_type})
        file = structures.UploadFile(file=io.BytesIO(content.data), filename=name, headers=headers)
        metadata = {"chat_id": self._identity.chat_id, "message_id": self._identity.message_id}
        options = {"file": file, "metadata": metadata, "process": False, "user": user}
        if inspect.iscoroutinefunction(handler):
            return await handler(self._request, **options)
        return await asyncio.to_thread(handler, self._request, **options)

    async def _link(self, file_id: str) -> None:
        identity = self._identity
        if not (identity.chat_id and identity.message_id):
            return
        try:
            insert = getattr(_module("models.chats").Chats, "insert_chat_files", None)
            if insert is not None:
                async with asyncio.timeout(self._patience):
                    await maybe_await(insert(identity.chat_id, identity.message_id, [file_id], identity.user_id))
        except Exception as error:  # noqa: BLE001 - the file is stored; a missing link costs sharing, not the answer
            _LOG.warning("the host did not link a file to its chat: %s", type(error).__name__)

    async def _allowed(self, record: Any, user: Any) -> bool:
        if record.user_id == user.id or user.role == "admin":
            return True
        for place in ("utils.access_control.files", "routers.files"):
            check = getattr(_module(place, missing_ok=True), "has_access_to_file", None)
            if check is not None:
                return bool(await maybe_await(check(record.id, "read", user)))
        return False


@asynccontextmanager
async def _edge(failure: str, patience: float) -> AsyncGenerator[None, None]:
    """Whatever the host raises, or does not do in time, is a `FileAccessError`: callers know no other error."""
    try:
        async with asyncio.timeout(patience):
            yield
    except FileAccessError:
        raise
    except Exception as error:
        _LOG.warning("%s: %s", failure, type(error).__name__)
        raise FileAccessError(failure) from error


def _module(name: str, *, missing_ok: bool = False) -> Any:
    try:
        return importlib.import_module(f"open_webui.{name}")
    except ImportError as error:
        if missing_ok:
            return None
        raise FileAccessError("there is no host to keep files") from error


def _read(path: Path, max_bytes: int, chunk_bytes: int) -> bytes:
    found = bytearray()
    with path.open("rb") as file:
        while chunk := file.read(chunk_bytes):
            found += chunk
            if len(found) > max_bytes:
                raise FileAccessError(f"the file is larger than {max_bytes} bytes")
    return bytes(found)
