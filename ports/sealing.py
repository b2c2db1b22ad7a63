"""Artifacts in the form in which they are stored, so that they can pass through other hands without being readable there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from attrs import field, frozen

from openrouter_pipe.ports.artifacts import Artifact, ArtifactStore, StorePolicy
from openrouter_pipe.ports.clean_up import ArtifactCleanUp
from openrouter_pipe.ports.json import JsonObject


@frozen
class SealedArtifact:
    """One row as the database will hold it: encrypted where the policy says so, bound to its table, id and chat.

    ``created_at`` is aware, UTC.
    """

    table: str
    id: str
    chat_id: str
    message_id: str
    model_id: str
    item_type: str
    payload: JsonObject = field(repr=False)
    is_encrypted: bool
    created_at: datetime


@frozen
class SharedStorePolicy(StorePolicy):
    """A `StorePolicy` where several workers share a cache and a write-behind queue.

    ``shared`` off writes directly. ``cache_ttl_seconds`` is how long a row stays in the cache once it is in the database.
    A queue longer than ``pending_warn_threshold`` is logged; after ``flush_failure_limit`` failures in a row rows are
    written directly until the queue is empty.
    """

    shared: bool = True
    cache_ttl_seconds: int = 600
    pending_warn_threshold: int = 100
    flush_failure_limit: int = 5


class SealingArtifactStore(ArtifactStore, ArtifactCleanUp, Protocol):
    """A store whose rows can be made, opened and written separately (driven port)."""

    async def seal(self, artifacts: Sequence[Artifact], policy: StorePolicy) -> list[SealedArtifact]:
        """The stored form of what can be stored, in order, the first of each id; no I/O.

        Raises:
            ArtifactStoreError: it cannot be told how the store keeps rows (its configuration is wrong).
        """

    async def unseal(self, rows: Sequence[SealedArtifact], policy: StorePolicy) -> dict[str, Artifact]:
        """Open rows that belong to this policy's tables; those that do not open are absent. No I/O."""

    async def save_sealed(self, rows: Sequence[SealedArtifact], pipe_id: str) -> frozenset[str]:
        """Write rows of this pipe in one transaction; returns what is durable. Absent are only rows that never will be.

        Raises:
            ArtifactStoreError: the store is out of reach; writing the same rows again does no harm.
        """

    async def aclose(self) -> None:
        """Close every connection."""
