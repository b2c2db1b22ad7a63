"""Files: where the host keeps them, and how remote ones are fetched."""

from __future__ import annotations

from collections.abc import AsyncGenerator
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


@frozen(eq=False)
class FileStream:
    """A file as it is read: ``chunks`` ends with the file, and raises `FileAccessError` where it turns out too large. Whoever
    reads closes it."""

    name: str
    content_type: str
    chunks: AsyncGenerator[bytes, None]


class FileAccessError(Exception):
    """A file is missing, may not be read by this user, or is too large; the message can be shown to the user."""


class FileStore(Protocol):
    """The host's file storage on behalf of one user."""

    async def save(self, content: FileBytes) -> StoredFile:
        """Store bytes; raises `FileAccessError`."""

    async def keep(self, key: str, content: FileBytes) -> StoredFile:
        """Store bytes once for this user and chat, however often it is asked under the same ``key``; raises
        `FileAccessError`."""

    async def kept(self, key: str) -> str | None:
        """The id of what this user and chat have under ``key``; ``sha256:…`` also finds what the chat shows otherwise.
        Raises `FileAccessError`."""

    def locate(self, address: str) -> str | None:
        """The id of the host's own file that an address (a URL, a path or a bare id) names; None for any other."""

    async def limit(self) -> int | None:
        """The size in bytes up to which the host takes files, None where it has no limit."""

    async def read(self, file_id: str, max_bytes: int, chunk_bytes: int) -> FileStream:
        """Read a file the user may read, ``chunk_bytes`` at a time; raises `FileAccessError`."""


@frozen
class FetchPolicy:
    """Rules for one download. Sizes in bytes, times in seconds.

    ``guard_addresses`` refuses whatever is not globally reachable. ``insecure_hosts`` are the names, in lower case, that may
    be reached by http:// too. Retries begin only within ``max_retry_time`` after the start; ``max_time`` ends everything.
    A server must send its headers within ``answer_time``, and ``least_bytes`` of the body in every ``answer_time``.
    """

    max_bytes: int
    guard_addresses: bool = True
    insecure_hosts: frozenset[str] = frozenset()
    max_retries: int = 3
    first_retry_delay: float = 5.0
    max_retry_time: float = 45.0
    max_redirects: int = 5
    max_time: float = 180.0
    lookup_time: float = 5.0
    connect_time: float = 10.0
    answer_time: float = 15.0
    least_bytes: int = 4096


@frozen
class WebTarget:
    """A judged address: what to ask, of which host, by name. A judgement of the name's addresses is still to come.

    ``host`` is what the certificate and the Host header say: a name in lower-case ASCII, or an address without brackets.
    ``is_address`` tells them apart. ``path`` begins with a slash and carries the query.
    """

    scheme: str
    host: str
    port: int
    path: str = field(repr=False)
    is_address: bool = False

    @property
    def authority(self) -> str:
        """The Host header: brackets around IPv6, the port unless it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The address in full, to resolve a redirect against; may carry secrets in its query."""
        return f"{self.scheme}://{self.authority}{self.path}"


class AddressGuard(Protocol):
    """Which addresses may be fetched. Pure: nothing is looked up."""

    def target(self, url: str, policy: FetchPolicy) -> WebTarget:
        """Read and judge a URL; raises `FileAccessError` with a reason that can be shown."""

    def admits(self, address: str, policy: FetchPolicy) -> bool:
        """Whether a connection to this IP address, as a resolver spells it, may be made."""


class RemoteFetcher(Protocol):
    """Guarded downloads (driven port)."""

    async def fetch(self, url: str, policy: FetchPolicy) -> FileBytes:
        """Download; raises `FileAccessError` with a reason that can be shown.

        The content type is what the server says, to be believed by nobody; the name comes from the server or the URL.
        """

    async def stream(self, url: str, policy: FetchPolicy) -> FileStream:
        """The same for whoever needs no whole: complete when this returns, each piece let go once it is read."""
