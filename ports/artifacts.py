"""Artifacts: reasoning and tool items kept for later turns, and the store that keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Protocol, runtime_checkable

from attrs import field, frozen

from openrouter_pipe.ports.json import JsonObject
from openrouter_pipe.ports.settings import Secret

MARKER_END: Final = "]: #"
"""How the line of a marker ends: what a front end has to know of one that it carries. The grammar is the domain's."""


@frozen
class Artifact:
    """One stored item. ``id`` is the marker's 20 characters; ``payload`` is the item in the provider's JSON."""

    id: str
    chat_id: str
    message_id: str
    model_id: str
    item_type: str
    payload: JsonObject = field(repr=False)
    created_at: datetime | None = None


@frozen
class StorePolicy:
    """How to keep artifacts, read from the settings at the start of a turn.

    ``key`` encrypts when not empty, ``previous_keys`` are for reading only. Sizes in bytes, rows per transaction.
    """

    pipe_id: str
    key: Secret
    previous_keys: tuple[Secret, ...] = ()
    encrypt_all: bool = True
    compress: bool = True
    min_compress_bytes: int = 0
    batch_size: int = 10


class ArtifactStoreError(Exception):
    """The store could not do what was asked; the message holds no payload and no secret."""


class ArtifactStore(Protocol):
    """Keeps artifacts durably (driven port)."""

    async def save(self, artifacts: Sequence[Artifact], policy: StorePolicy) -> frozenset[str]:
        """Store what can be stored and return the ids that are durable now.

        A row that cannot be stored (duplicate of another chat, payload that no database takes) costs only itself.

        Raises:
            ArtifactStoreError: nothing could be stored because the store is out of reach.
        """

    async def load(self, chat_id: str, ids: Sequence[str], policy: StorePolicy) -> dict[str, Artifact]:
        """Read the artifacts of one chat in one query and refresh their age.

        Missing, foreign, undecryptable or broken rows are absent from the answer, each logged once.

        Raises:
            ArtifactStoreError: the store is out of reach.
        """

    async def delete(self, chat_id: str, ids: Sequence[str], policy: StorePolicy) -> int:
        """Delete artifacts of one chat; returns how many went. Raises `ArtifactStoreError`."""

    async def delete_chats(self, chat_ids: Sequence[str], policy: StorePolicy) -> int:
        """Delete everything of these chats; returns how many rows went. Raises `ArtifactStoreError`."""

    async def clean_up(self, older_than: datetime, policy: StorePolicy) -> int:
        """Delete rows not read since ``older_than`` (aware, UTC); returns how many went. Raises `ArtifactStoreError`."""


@runtime_checkable
class CachedReads(Protocol):
    """What a store with a cache in front can do besides: answer without going to what is behind the cache."""

    async def load_cached(self, chat_id: str, ids: Sequence[str], policy: StorePolicy) -> dict[str, Artifact]:
        """As `ArtifactStore.load`, but only what the cache holds; everything else is absent. Raises nothing."""
