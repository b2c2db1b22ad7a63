"""The host's file storage on behalf of the asking user, on every version. Not here: what is stored, and why.

New files go through the host's own handler or, where they must be found again, its own records, so that its storage backend
and limits apply; reading asks the host whether this user may. The host is imported when a file is first touched, never before.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import inspect
import io
import logging
import mimetypes
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

from attrs import frozen

from openrouter_pipe.adapters.openwebui import file_addresses, file_storage
from openrouter_pipe.adapters.openwebui.file_storage import host_module, too_large
from openrouter_pipe.adapters.openwebui.finishing import Finishing
from openrouter_pipe.adapters.openwebui.host import mapping, maybe_await, text
from openrouter_pipe.ports.chat import Identity
from openrouter_pipe.ports.files import FileAccessError, FileBytes, FileStream, StoredFile

_log = logging.getLogger(__name__)
_REFUSED: Final = "the file does not exist or may not be read"
_NOT_STORED: Final = "the host did not store the file"
_NOT_DELIVERED: Final = "the host did not deliver the file"
_PATIENCE: Final = 60.0
"""Seconds that the host may take over one step with a file; an answer waits for it."""
_OURS: Final = uuid.UUID("6f1b6cf1-5a53-5d0e-9e0b-0d7b4d1f7a51")
_DIGEST: Final = "sha256:"
_MIB: Final = 1024 * 1024
_FINISHING: Final = Finishing()
"""What was begun is finished although the turn has gone: bytes without a record would stay where nobody finds them."""


@frozen
class FallbackOwner:
    """The account that owns what is stored for nobody; made when it is first needed."""

    email: str
    name: str
    role: str


class HostFileStore:
    """`FileStore` of one call. ``request`` is the host's request object, ``patience`` in seconds.

    ``fallback`` owns uploads without a user; it never reads.
    """

    def __init__(
        self, request: Any, identity: Identity, patience: float = _PATIENCE, fallback: FallbackOwner | None = None
    ) -> None:
        self._request = request
        self._identity = identity
        self._patience = patience
        self._fallback = fallback
        self._own_hosts: frozenset[str] | None = None
        self._shown: dict[str, str] | None = None

    async def save(self, content: FileBytes) -> StoredFile:
        """Upload without indexing, and link the file to the chat where the host keeps such links."""
        name = _checked_name(content)
        async with _edge(_NOT_STORED, self._patience):
            owner = await self._owner()
            record = await _FINISHING.run(self._upload(content, name, owner))
            file_id = text(mapping(record).get("id")) or text(getattr(record, "id", None))
            if not file_id:
                raise FileAccessError(_NOT_STORED)
        await self._link(file_id)
        return _stored(file_id, name, content)

    async def keep(self, key: str, content: FileBytes) -> StoredFile:
        """Store under an id that user, chat and ``key`` make, so that no worker stores it a second time."""
        name = _checked_name(content)
        file_id = self._id_of(key)
        limit = await self.limit()
        if limit is not None and len(content.data) > limit:
            raise too_large(limit)
        async with _edge(_NOT_STORED, self._patience):
            if await self._own_record(file_id) is None:
                owner = await self._owner()
                await _FINISHING.run(self._insert(file_id, name, content, owner))
        await self._link(file_id)
        return _stored(file_id, name, content)

    async def kept(self, key: str) -> str | None:
        """Look for the id that ``key`` makes, then for the same content among the files that the chat's messages show."""
        file_id = self._id_of(key)
        async with _edge(_NOT_DELIVERED, self._patience):
            if await self._own_record(file_id) is not None:
                return file_id
            if key.startswith(_DIGEST):
                return (await self._shown_files()).get(key.removeprefix(_DIGEST))
        return None

    def locate(self, address: str) -> str | None:
        """The id in an address of this host."""
        if self._own_hosts is None:
            self._own_hosts = file_addresses.own_hosts(self._request)
        return file_addresses.locate(address, self._own_hosts)

    async def limit(self) -> int | None:
        """What an administrator set as the largest upload."""
        try:
            async with asyncio.timeout(self._patience):
                config = host_module("models.config", missing_ok=True)
                if config is not None and hasattr(config, "Config"):
                    megabytes = await maybe_await(config.Config.get("rag.file.max_size"))
                else:
                    state = getattr(getattr(self._request, "app", None), "state", None)
                    megabytes = getattr(getattr(state, "config", None), "FILE_MAX_SIZE", None)
                return int(megabytes) * _MIB if megabytes else None
        except Exception as error:  # noqa: BLE001 - the host's handler applies its limit itself; ours is the first of two
            _log.warning("the host did not tell how large files may be: %s", type(error).__name__)
            return None

    async def read(self, file_id: str, max_bytes: int, chunk_bytes: int) -> FileStream:
        """Read a file that the user owns or was given access to; administrators may read all, as in the host."""
        if not file_addresses.is_file_id(file_id):
            raise FileAccessError(_REFUSED)
        async with _edge(_NOT_DELIVERED, self._patience):
            user = await self._user()
            if user is None:
                raise FileAccessError("files need a user, and the host names none")
            record = await self._record(file_id)
            if record is None or not await self._allowed(record, user):
                raise FileAccessError(_REFUSED)
            path, meta = text(record.path), mapping(record.meta)
            if not path:
                raise FileAccessError("the file has no content")
            name = text(meta.get("name")) or text(record.filename)
            guessed = mimetypes.guess_type(name)[0] or "application/octet-stream"
            size = meta.get("size")
            size = size if isinstance(size, int) and not isinstance(size, bool) else None
            chunks = file_storage.read_stored(path, max_bytes, chunk_bytes, self._patience, size)
            return FileStream(name, text(meta.get("content_type")) or guessed, chunks)

    async def _user(self) -> Any:
        if not self._identity.user_id:
            return None
        return await maybe_await(host_module("models.users").Users.get_user_by_id(self._identity.user_id))

    async def _owner(self) -> Any:
        """Who owns what is stored: the user, or the fallback account where the host knows no user."""
        owner = await self._user()
        if owner is None and self._fallback is not None:
            owner = await self._fallback_owner(self._fallback)
        if owner is None:
            raise FileAccessError("files need a user, and the host names none")
        return owner

    async def _fallback_owner(self, fallback: FallbackOwner) -> Any:
        users = host_module("models.users").Users
        found = await maybe_await(users.get_user_by_email(fallback.email))
        if found is None:
            # The id follows from the address: of two workers that make the account at once, one succeeds.
            known = str(uuid.uuid5(_OURS, f"owner\n{fallback.email}"))
            try:
                made = users.insert_new_user(known, name=fallback.name, email=fallback.email, role=fallback.role)
                await _FINISHING.run(maybe_await(made))
            except Exception as error:  # noqa: BLE001 - the other worker's account is as good; without one, the next line tells
                _log.warning("the account for files without a user was not made: %s", type(error).__name__)
            found = await maybe_await(users.get_user_by_email(fallback.email))
        return found

    async def _record(self, file_id: str) -> Any:
        return await maybe_await(host_module("models.files").Files.get_file_by_id(file_id))

    async def _own_record(self, file_id: str) -> Any:
        """The record, if it belongs to the one who stores."""
        record = await self._record(file_id)
        if record is None or (self._identity.user_id and record.user_id != self._identity.user_id):
            return None
        return record

    def _id_of(self, key: str) -> str:
        whole = "\n".join((self._identity.user_id, self._identity.chat_id, key))
        return str(uuid.uuid5(_OURS, hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()))

    async def _upload(self, content: FileBytes, name: str, user: Any) -> Any:
        structures: Any = importlib.import_module("starlette.datastructures")
        handler = host_module("routers.files").upload_file_handler
        headers = structures.Headers({"content-type": content.content_type})
        file = structures.UploadFile(file=io.BytesIO(content.data), filename=name, headers=headers)
        options = {"file": file, "metadata": self._origin(), "process": False, "user": user}
        if inspect.iscoroutinefunction(handler):
            return await handler(self._request, **options)
        return await asyncio.to_thread(handler, self._request, **options)

    async def _insert(self, file_id: str, name: str, content: FileBytes, owner: Any) -> None:
        module = host_module("models.files")
        tags = {
            "OpenWebUI-User-Email": text(getattr(owner, "email", "")),
            "OpenWebUI-User-Id": text(owner.id),
            "OpenWebUI-User-Name": text(getattr(owner, "name", "")),
            "OpenWebUI-File-Id": file_id,
        }
        digest = await asyncio.to_thread(lambda: hashlib.sha256(content.data).hexdigest())
        meta = {
            "name": name,
            "content_type": content.content_type,
            "size": len(content.data),
            "file_hash": digest,
            "data": self._origin(),
        }
        path = await asyncio.to_thread(file_storage.write_stored, content.data, f"{file_id}_{name}", tags)
        record = None
        try:
            form = module.FileForm(id=file_id, filename=name, path=path, data={}, meta=meta)
            record = await maybe_await(module.Files.insert_new_file(owner.id, form))
        except Exception as error:  # noqa: BLE001 - another worker may have been faster: the next line tells
            _log.info("the host made no record of a file: %s", type(error).__name__)
        # A faster worker has written the same bytes to the same place.
        if record is None and await self._record(file_id) is None:
            await asyncio.to_thread(file_storage.remove_stored, path)
            raise FileAccessError(_NOT_STORED)

    def _origin(self) -> dict[str, str]:
        return {"chat_id": self._identity.chat_id, "message_id": self._identity.message_id}

    async def _shown_files(self) -> dict[str, str]:
        """The files of the chat's messages by their SHA-256, on hosts that keep both; read once per call."""
        if self._shown is None:
            self._shown = {}
            chats, files = host_module("models.chats").Chats, host_module("models.files").Files
            messages_of = getattr(chats, "get_messages_map_by_chat_id", None)
            records_of = getattr(files, "get_files_by_ids", None)
            if messages_of is None or records_of is None or not self._identity.chat_id:
                return self._shown
            messages = mapping(await maybe_await(messages_of(self._identity.chat_id)))
            shown = {
                file_id
                for message in messages.values()
                for entry in mapping(message).get("files") or ()
                for address in (text(mapping(entry).get("id")), text(mapping(entry).get("url")))
                if (file_id := self.locate(address)) is not None
            }
            for record in await maybe_await(records_of(sorted(shown))) if shown else ():
                digest = text(mapping(record.meta).get("file_hash"))
                if digest and record.user_id == self._identity.user_id:
                    self._shown[digest] = record.id
        return self._shown

    async def _link(self, file_id: str) -> None:
        identity = self._identity
        if not (identity.chat_id and identity.message_id):
            return
        try:
            insert = getattr(host_module("models.chats").Chats, "insert_chat_files", None)
            if insert is not None:
                async with asyncio.timeout(self._patience):
                    link = insert(identity.chat_id, identity.message_id, [file_id], identity.user_id)
                    await _FINISHING.run(maybe_await(link))
        except Exception as error:  # noqa: BLE001 - the file is stored; a missing link costs sharing, not the answer
            _log.warning("the host did not link a file to its chat: %s", type(error).__name__)

    async def _allowed(self, record: Any, user: Any) -> bool:
        if record.user_id == user.id or user.role == "admin":
            return True
        for place in ("utils.access_control.files", "routers.files"):
            check = getattr(host_module(place, missing_ok=True), "has_access_to_file", None)
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
        _log.warning("%s: %s", failure, type(error).__name__)
        raise FileAccessError(failure) from error


def _checked_name(content: FileBytes) -> str:
    """The name to store under, without any folder. Raises `FileAccessError` for an empty file."""
    if not content.data:
        raise FileAccessError("the file is empty")
    last = content.name.replace("\\", "/").rpartition("/")[2].replace("\0", "")
    # File systems count bytes, and the storage puts an id before the name.
    short = last.encode("utf-8", "ignore")[-150:].decode("utf-8", "ignore")
    return short or "file" + (mimetypes.guess_extension(content.content_type) or "")


def _stored(file_id: str, name: str, content: FileBytes) -> StoredFile:
    return StoredFile(file_id, file_addresses.file_url(file_id), name, content.content_type, len(content.data))
