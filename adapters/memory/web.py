"""Downloads without a network."""

from __future__ import annotations

from collections.abc import Mapping

from openrouter_pipe.ports.files import FetchPolicy, FileAccessError, FileBytes


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
