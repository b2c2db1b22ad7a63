"""Downloads without a network."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Final

from openrouter_pipe.ports.files import FetchPolicy, FileAccessError, FileBytes, FileStream

_PIECE: Final = 65536


class MemoryFetcher:
    """`RemoteFetcher` over a mapping of address to bytes, or to the error that fetching it raises.

    ``fetched`` lists what was asked for, oldest first. Judges no address.
    """

    def __init__(self, pages: Mapping[str, FileBytes | FileAccessError] | None = None) -> None:
        self.pages = dict(pages or {})
        self.fetched: list[str] = []

    async def fetch(self, url: str, policy: FetchPolicy) -> FileBytes:
        """Answer from the mapping; raises `FileAccessError` for an unknown address or too many bytes."""
        self.fetched.append(url)
        match self.pages.get(url):
            case None:
                raise FileAccessError("the address could not be fetched")
            case FileAccessError() as error:
                raise error
            case page if len(page.data) > policy.max_bytes:
                raise FileAccessError(f"the download is larger than {policy.max_bytes} bytes")
            case page:
                return page

    async def stream(self, url: str, policy: FetchPolicy) -> FileStream:
        """The same in pieces of 64 KiB."""
        page = await self.fetch(url, policy)

        async def pieces() -> AsyncGenerator[bytes, None]:
            for at in range(0, len(page.data), _PIECE):
                yield page.data[at : at + _PIECE]

        return FileStream(page.name, page.content_type, pieces())
