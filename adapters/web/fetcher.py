"""Guarded downloads over httpx."""

from __future__ import annotations

from openrouter_pipe.ports.files import AddressGuard, FetchPolicy, FileAccessError, FileBytes
from openrouter_pipe.ports.runtime import Clock


class GuardedFetcher:
    """`RemoteFetcher` that connects only to what its guard admits."""

    def __init__(self, guard: AddressGuard, clock: Clock) -> None:
        self._guard = guard
        self._clock = clock

    async def fetch(self, url: str, policy: FetchPolicy) -> FileBytes:
        """Download; see `RemoteFetcher.fetch`."""
        self._guard.target(url, policy)
        raise FileAccessError("downloads are not available")

    async def aclose(self) -> None:
        """End what is under way; may be called again."""
