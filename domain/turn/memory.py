"""What a turn reads from earlier ones and leaves for later ones. Stored first, marked afterwards.

A store that fails costs the memory of the turn, never its answer.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import evolve

from openrouter_pipe.domain import retention
from openrouter_pipe.domain.breakers import Scope
from openrouter_pipe.domain.policies import TurnPolicies
from openrouter_pipe.domain.turn.services import Services
from openrouter_pipe.ports.artifacts import Artifact, ArtifactStore, ArtifactStoreError, CachedReads
from openrouter_pipe.ports.chat import ChatRequest
from openrouter_pipe.ports.items import InputItem, ReasoningItem

_log = logging.getLogger(__name__)

TROUBLE: Final = "The memory of this chat is out of reach: the answer does without earlier reasoning and tool results."
"""Told to the user once a turn."""


class Memory:
    """The artifacts of one turn. ``trouble`` is set when the store failed or is being spared after failures."""

    def __init__(self, services: Services, request: ChatRequest, policies: TurnPolicies) -> None:
        self.trouble = False
        self._services = services
        self._identity = request.identity
        self._policies = policies
        self._key = (Scope.STORE, request.identity.user_id)
        self._loaded: Mapping[str, InputItem] = {}
        lasting = request.persistent and request.task is None
        known = bool(request.identity.chat_id and request.identity.message_id)
        self._store: ArtifactStore | None = services.store if lasting and known else None

    async def load(self, ids: Sequence[str]) -> Mapping[str, InputItem]:
        """The stored items by marker id, in one query; those that cannot be read are absent.

        A cache in front of the store is asked first, and alone while the store is spared. What it answers says nothing
        about the store: only the store's own answers count for its breaker.
        """
        if self._store is None or not ids:
            return {}
        artifacts: dict[str, Artifact] = {}
        if isinstance(self._store, CachedReads):
            artifacts |= await self._store.load_cached(self._identity.chat_id, ids, self._policies.store)
        if missing := [one for one in ids if one not in artifacts]:
            artifacts |= await self._load_stored(self._store, missing)
        self._services.metrics.count("artifact_reads", len(artifacts))
        self._loaded = {
            one: item for one, artifact in artifacts.items() if (item := self._decode(artifact)) is not None
        }
        return self._loaded

    async def save(self, items: Sequence[InputItem], model_id: str) -> tuple[str, ...]:
        """Store what is worth keeping of ``items``; returns the ids of what is durable, in order."""
        kept = retention.keep(items, self._policies.history) if self._store is not None else ()
        if self._store is None or not kept:
            return ()
        if self._is_spared():
            self.trouble = True
            return ()
        artifacts = [self._artifact(item, model_id) for item in kept]
        try:
            durable = await self._store.save(artifacts, self._policies.store)
        except ArtifactStoreError as error:
            self._failed("written", error)
            return ()
        if not isinstance(self._store, CachedReads):  # what took the artifacts may have been a queue in front of it
            self._services.breakers.success(self._key)
        self._services.metrics.count("artifact_writes", len(durable))
        return tuple(artifact.id for artifact in artifacts if artifact.id in durable)

    async def forget(self) -> None:
        """Delete what was kept for one reply only, now that this reply has succeeded.

        Not while the store is spared: the rows go with a later reply, or when they are too old.
        """
        expired = retention.expired(self._loaded, self._policies.history)
        if self._store is None or not expired or self._is_spared():
            return
        try:
            await self._store.delete(self._identity.chat_id, expired, self._policies.store)
        except ArtifactStoreError as error:
            self._failed("deleted", error)

    def _is_spared(self) -> bool:
        return not self._services.breakers.allows(self._key, self._policies.breaker)

    async def _load_stored(self, store: ArtifactStore, ids: Sequence[str]) -> dict[str, Artifact]:
        if self._is_spared():
            self.trouble = True
            return {}
        try:
            artifacts = await store.load(self._identity.chat_id, ids, self._policies.store)
        except ArtifactStoreError as error:
            self._failed("read", error)
            return {}
        self._services.breakers.success(self._key)
        return artifacts

    def _artifact(self, item: InputItem, model_id: str) -> Artifact:
        return Artifact(
            id=self._services.ids.artifact_id(),
            chat_id=self._identity.chat_id,
            message_id=self._identity.message_id,
            model_id=model_id,
            item_type=self._services.codec.kind_of(item),
            payload=self._services.codec.encode(item),
            created_at=self._services.clock.now(),
        )

    def _decode(self, artifact: Artifact) -> InputItem | None:
        try:
            item = self._services.codec.decode(artifact.payload)
        except ValueError:
            _log.warning("stored item %s cannot be read and is left out", artifact.id)
            return None
        return evolve(item, made_by=artifact.model_id) if isinstance(item, ReasoningItem) else item

    def _failed(self, what: str, error: ArtifactStoreError) -> None:
        self.trouble = True
        self._services.breakers.failure(self._key, self._policies.breaker)
        self._services.metrics.count("artifact_store_failures")
        _log.warning("artifacts could not be %s: %s", what, error)
