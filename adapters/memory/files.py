"""Files without a disk."""

from __future__ import annotations

import itertools

from openrouter_pipe.ports.files import FileAccessError, FileBytes, StoredFile


class MemoryFileStore:
    """`FileStore` in a dictionary; ``files`` is what was saved, by id."""

    def __init__(self) -> None:
        self.files: dict[str, FileBytes] = {}
        self._counter = itertools.count(1)

    async def save(self, content: FileBytes) -> StoredFile:
        """Keep the bytes; raises `FileAccessError` for an empty file, as hosts do."""
        if not content.data:
            raise FileAccessError("the file is empty")
        file_id = f"file-{next(self._counter)}"
        self.files[file_id] = content
        name = content.name or file_id
        return StoredFile(file_id, f"/api/v1/files/{file_id}/content", name, content.content_type, len(content.data))

    async def read(self, file_id: str, max_bytes: int, chunk_bytes: int) -> FileBytes:
        """Hand back what was saved; raises `FileAccessError` when missing or larger than ``max_bytes``."""
        content = self.files.get(file_id)
        if content is None:
            raise FileAccessError("the file does not exist or may not be read")
        if len(content.data) > max_bytes:
            raise FileAccessError(f"the file is larger than {max_bytes} bytes")
        return content
