"""Clean-up: what is deleted of stored artifacts when nobody is chatting."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol, runtime_checkable

from openrouter_pipe.ports.artifacts import StorePolicy


class ArtifactCleanUp(Protocol):
    """Deletes what nobody will read again (driven port). Both are safe in several processes at once."""

    async def clean_up(self, older_than: datetime, policy: StorePolicy) -> int:
        """Delete rows not read since ``older_than`` (aware, UTC); returns how many went. Raises `ArtifactStoreError`."""

    async def delete_orphans(self, older_than: datetime, policy: StorePolicy) -> int:
        """Delete rows not read since ``older_than`` (aware, UTC) whose chat the host no longer has; returns how many went.

        Where it cannot be told which chats the host has, nothing is deleted. Raises `ArtifactStoreError`.
        """


@runtime_checkable
class Preloading(Protocol):
    """What a store with heavy libraries can do besides: load them before the first turn needs them."""

    async def preload(self) -> None:
        """Load what the first use would have to load, beside the event loop. Opens nothing, raises nothing."""
