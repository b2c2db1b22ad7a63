"""What a turn was given besides the provider's answers, recorded: stored artifacts and tools. In turns that have no record
nothing is in the way but one look for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from openrouter_pipe.adapters.observability.context import current
from openrouter_pipe.adapters.observability.recorder import TurnRecorder
from openrouter_pipe.ports.artifacts import Artifact, ArtifactStore, ArtifactStoreError, CachedReads, StorePolicy
from openrouter_pipe.ports.tools import Toolbox, ToolCall, ToolOutput, ToolSpec

LOADED: Final = "artifacts"
"""The artifacts that were read."""
SAVED: Final = "artifacts.saved"
"""For each artifact that was to be stored, whether it is durable."""
STORE_FAULT: Final = "artifacts.fault"
"""``[step, message]``: the store failed to load, save or delete."""
TOOLS: Final = "tools"
"""The specs of the tools on offer."""


class RecordedStore:
    """`ArtifactStore` around another one."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    async def save(self, artifacts: Sequence[Artifact], policy: StorePolicy) -> frozenset[str]:
        """Store; see `ArtifactStore.save`."""
        recorder = current().recorder
        if recorder is None:
            return await self._store.save(artifacts, policy)
        try:
            durable = await self._store.save(artifacts, policy)
        except ArtifactStoreError as error:
            recorder.note(STORE_FAULT, ("save", str(error)))
            raise
        recorder.note(SAVED, tuple(one.id in durable for one in artifacts))
        return durable

    async def load(self, chat_id: str, ids: Sequence[str], policy: StorePolicy) -> dict[str, Artifact]:
        """Read; see `ArtifactStore.load`."""
        recorder = current().recorder
        try:
            found = await self._store.load(chat_id, ids, policy)
        except ArtifactStoreError as error:
            if recorder is not None:
                recorder.note(STORE_FAULT, ("load", str(error)))
            raise
        if recorder is not None:
            recorder.note(LOADED, tuple(found.values()))
        return found

    async def delete(self, chat_id: str, ids: Sequence[str], policy: StorePolicy) -> int:
        """Delete; see `ArtifactStore.delete`."""
        try:
            return await self._store.delete(chat_id, ids, policy)
        except ArtifactStoreError as error:
            if (recorder := current().recorder) is not None:
                recorder.note(STORE_FAULT, ("delete", str(error)))
            raise

    async def delete_chats(self, chat_ids: Sequence[str], policy: StorePolicy) -> int:
        """Delete; see `ArtifactStore.delete_chats`. Belongs to no turn."""
        return await self._store.delete_chats(chat_ids, policy)

    async def clean_up(self, older_than: datetime, policy: StorePolicy) -> int:
        """Delete; see `ArtifactStore.clean_up`. Belongs to no turn."""
        return await self._store.clean_up(older_than, policy)


class RecordedCachedStore(RecordedStore):
    """The same around a store with a cache in front."""

    def __init__(self, store: ArtifactStore, cache: CachedReads) -> None:
        super().__init__(store)
        self._cache = cache

    async def load_cached(self, chat_id: str, ids: Sequence[str], policy: StorePolicy) -> dict[str, Artifact]:
        """Read from the cache; see `CachedReads.load_cached`."""
        found = await self._cache.load_cached(chat_id, ids, policy)
        if (recorder := current().recorder) is not None:
            recorder.note(LOADED, tuple(found.values()))
        return found


def recorded_store(store: ArtifactStore) -> ArtifactStore:
    """``store``, recorded; with a cache in front where it has one."""
    return RecordedCachedStore(store, store) if isinstance(store, CachedReads) else RecordedStore(store)


class RecordedToolbox:
    """`Toolbox` around another one, for a turn that has a record. What tools answer is recorded as the turn shows it."""

    def __init__(self, toolbox: Toolbox, recorder: TurnRecorder) -> None:
        self._toolbox = toolbox
        self._recorder = recorder

    def specs(self) -> Sequence[ToolSpec]:
        """What is on offer; see `Toolbox.specs`."""
        specs = self._toolbox.specs()
        self._recorder.note(TOOLS, tuple(specs))
        return specs

    async def run(self, call: ToolCall) -> ToolOutput:
        """Run one tool; see `Toolbox.run`."""
        return await self._toolbox.run(call)
