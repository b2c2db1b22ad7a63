"""Files: where the host keeps them, and how remote ones are fetched."""

from __future__ import annotations

from typing import Protocol

from attrs import field, frozen


@frozen
class StoredFile:
    """A file kept by the host; ``url`` is its address inside the host."""

    id: str
    url: str
    name: str
    content_type: str
    size: int


@frozen
class FileBytes:
    """Bytes with what is known of them."""

    data: bytes = field(repr=False)
    content_type: str
    name: str = ""


class FileAccessError(Exception):
    """A file is missing, may not be read by this user, or is too large; the message can be shown to the user."""


class FileStore(Protocol):
    """The host's file storage on behalf of one user."""

    async def save(self, content: FileBytes) -> StoredFile:
        """Store bytes; raises `FileAccessError`."""

    async def read(self, file_id: str, max_bytes: int, chunk_bytes: int) -> FileBytes:
        """Read a file the user may read, ``chunk_bytes`` at a time; raises `FileAccessError`."""


@frozen
class FetchPolicy:
    """Rules for one download. Sizes in bytes, times in seconds."""

    max_bytes: int
    guard_addresses: bool = True
    insecure_hosts: frozenset[str] = frozenset()
    max_retries: int = 3
    first_retry_delay: float = 5.0
    max_retry_time: float = 45.0


class RemoteFetcher(Protocol):
    """Guarded downloads (driven port)."""

    async def fetch(self, url: str, policy: FetchPolicy) -> FileBytes:
        """Download; raises `FileAccessError` with a reason that can be shown."""
