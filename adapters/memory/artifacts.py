"""Artifacts in memory: what the database store promises, without a database."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, TypeAlias

from attrs import evolve

from openrouter_pipe.ports.artifacts import Artifact, ArtifactStoreError, StorePolicy
from openrouter_pipe.ports.json import JsonObject, JsonValue

_ID: Final = re.compile("[0-9A-HJKMNP-TV-Z]{20}")
_LONGEST_CHAT_ID: Final = 64
_Shelf: TypeAlias = dict[str, Artifact]


class MemoryArtifactStore:
    """`ArtifactStore` in dictionaries, one per pipe and key: rows of another key are out of sight, as in the database.

    ``now`` is the wall clock, aware, UTC. Set ``failure`` to have every call raise `ArtifactStoreError` with that message.
    Set ``chats`` to the ids that the host has; None means that nobody knows.
    """

    def __init__(self, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._shelves: dict[tuple[str, str], _Shelf] = {}
        self.failure = ""
        self.chats: set[str] | None = None

    async def aclose(self) -> None:
        """Nothing to close."""

    async def save(self, artifacts: Sequence[Artifact], policy: StorePolicy) -> frozenset[str]:
        """See `ArtifactStore.save`."""
        self._check()
        shelf = self._shelves.setdefault((policy.pipe_id, policy.key.reveal()), {})
        durable: set[str] = set()
        for artifact in artifacts:
            payload = _copied(artifact.payload)
            earlier = shelf.get(artifact.id)
            fits = _ID.fullmatch(artifact.id) is not None and 0 < len(artifact.chat_id) <= _LONGEST_CHAT_ID
            foreign = earlier is not None and earlier.chat_id != artifact.chat_id
            if payload is None or not fits or foreign or not artifact.chat_id.isprintable() or artifact.id in durable:
                continue
            created_at = earlier.created_at if earlier is not None else artifact.created_at or self._now()
            shelf[artifact.id] = evolve(artifact, payload=payload, created_at=created_at)
            durable.add(artifact.id)
        return frozenset(durable)

    async def load(self, chat_id: str, ids: Sequence[str], policy: StorePolicy) -> dict[str, Artifact]:
        """See `ArtifactStore.load`."""
        self._check()
        found: dict[str, Artifact] = {}
        for shelf in self._in_sight(policy):
            for one in ids:
                artifact = shelf.get(one)
                if artifact is not None and artifact.chat_id == chat_id and one not in found:
                    found[one] = evolve(artifact, payload=_copied(artifact.payload) or {})
                    shelf[one] = evolve(artifact, created_at=self._now())
        return found

    async def delete(self, chat_id: str, ids: Sequence[str], policy: StorePolicy) -> int:
        """See `ArtifactStore.delete`."""
        wanted = set(ids)
        shelves = self._in_sight(policy)
        return self._remove(shelves, lambda artifact: artifact.chat_id == chat_id and artifact.id in wanted)

    async def delete_chats(self, chat_ids: Sequence[str], policy: StorePolicy) -> int:
        """See `ArtifactStore.delete_chats`."""
        wanted = set(chat_ids)
        return self._remove(self._in_sight(policy), lambda artifact: artifact.chat_id in wanted)

    async def clean_up(self, older_than: datetime, policy: StorePolicy) -> int:
        """See `ArtifactStore.clean_up`."""
        shelves = self._of_pipe(policy)
        return self._remove(
            shelves, lambda artifact: artifact.created_at is not None and artifact.created_at < older_than
        )

    async def delete_orphans(self, older_than: datetime, policy: StorePolicy) -> int:
        """See `ArtifactCleanUp.delete_orphans`."""
        self._check()
        known = self.chats
        if known is None:
            return 0
        return self._remove(
            self._of_pipe(policy),
            lambda artifact: (
                artifact.chat_id not in known and artifact.created_at is not None and artifact.created_at < older_than
            ),
        )

    def _check(self) -> None:
        if self.failure:
            raise ArtifactStoreError(self.failure)

    def _in_sight(self, policy: StorePolicy) -> list[_Shelf]:
        keys = dict.fromkeys([policy.key.reveal(), *(key.reveal() for key in policy.previous_keys), ""])
        return [self._shelves[policy.pipe_id, key] for key in keys if (policy.pipe_id, key) in self._shelves]

    def _of_pipe(self, policy: StorePolicy) -> list[_Shelf]:
        """Those of every key: clean-up is not to keep what no key reads any more."""
        return [shelf for (pipe_id, _), shelf in self._shelves.items() if pipe_id == policy.pipe_id]

    def _remove(self, shelves: Sequence[_Shelf], matches: Callable[[Artifact], bool]) -> int:
        self._check()
        removed = 0
        for shelf in shelves:
            gone = [one for one, artifact in shelf.items() if matches(artifact)]
            removed += len(gone)
            for one in gone:
                del shelf[one]
        return removed


def _copied(payload: JsonObject) -> dict[str, JsonValue] | None:
    """A copy through JSON text, None for what is no JSON: callers cannot change what is stored."""
    try:
        value: JsonValue = json.loads(json.dumps(payload, default=_plain))
    except (TypeError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return list(value)
    raise TypeError("not a JSON value")
