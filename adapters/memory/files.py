"""Files without a disk."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator
from typing import Final

from openrouter_pipe.ports.files import FileAccessError, FileBytes, FileStream, StoredFile

_PREFIX: Final = "/api/v1/files/"


class MemoryFileStore:
    """`FileStore` in a dictionary; ``files`` is what was saved, by id, and ``reads`` what was read, oldest first."""

    def __init__(self, most_bytes: int | None = None) -> None:
        self.files: dict[str, FileBytes] = {}
        self.reads: list[str] = []
        self._keys: dict[str, str] = {}
        self._most_bytes = most_bytes
        self._counter = itertools.count(1)

    async def save(self, content: FileBytes) -> StoredFile:
        """Keep the bytes; raises `FileAccessError` for an empty file and one over the limit, as hosts do."""
        if not content.data:
            raise FileAccessError("the file is empty")
        if self._most_bytes is not None and len(content.data) > self._most_bytes:
            raise FileAccessError("the file is larger than the host takes")
        file_id = f"file-{next(self._counter)}"
        self.files[file_id] = content
        return self._stored(file_id)

    async def keep(self, key: str, content: FileBytes) -> StoredFile:
        """Keep the bytes once under ``key``."""
        if key not in self._keys:
            self._keys[key] = (await self.save(content)).id
        return self._stored(self._keys[key])

    async def kept(self, key: str) -> str | None:
        """The id of what was kept under ``key``."""
        return self._keys.get(key)

    def locate(self, address: str) -> str | None:
        """The id in an address as `StoredFile` has it, or a known id itself."""
        file_id = address.removeprefix(_PREFIX).removesuffix("/content")
        return file_id if address.startswith(_PREFIX) or address in self.files else None

    async def limit(self) -> int | None:
        """The limit given at construction."""
        return self._most_bytes

    async def read(self, file_id: str, max_bytes: int, chunk_bytes: int) -> FileStream:
        """Hand back what was saved; raises `FileAccessError` when missing or larger than ``max_bytes``."""
        content = self.files.get(file_id)
        if content is None:
            raise FileAccessError("the file does not exist or may not be read")
        if len(content.data) > max_bytes:
            raise FileAccessError(f"the file is larger than {max_bytes} bytes")
        self.reads.append(file_id)
        return FileStream(content.name, content.content_type, _pieces(content.data, chunk_bytes))

    def _stored(self, file_id: str) -> StoredFile:
        content = self.files[file_id]
        url = f"{_PREFIX}{file_id}/content"
        return StoredFile(file_id, url, content.name or file_id, content.content_type, len(content.data))


async def _pieces(data: bytes, chunk_bytes: int) -> AsyncGenerator[bytes, None]:
    for at in range(0, len(data), chunk_bytes):
        yield data[at : at + chunk_bytes]
