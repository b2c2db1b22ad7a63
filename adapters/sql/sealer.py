"""`SealingArtifactStore`: the store that also gives its rows away sealed, and takes them back, for a queue in front of it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, cast

from openrouter_pipe.adapters.sql import table as tables
from openrouter_pipe.adapters.sql.envelope import EnvelopeError, Place, unseal
from openrouter_pipe.adapters.sql.store import SqlArtifactStore, beside_the_host, in_thread_when_large
from openrouter_pipe.ports.artifacts import Artifact, ArtifactStoreError, StorePolicy
from openrouter_pipe.ports.json import JsonObject
from openrouter_pipe.ports.sealing import SealedArtifact

_ID: Final = re.compile("[0-9A-HJKMNP-TV-Z]{20}")


class SealingSqlArtifactStore(SqlArtifactStore):
    """The database store, with its sealed form at hand. Sealing and opening need the settings, not the database."""

    async def seal(self, artifacts: Sequence[Artifact], policy: StorePolicy) -> list[SealedArtifact]:
        """See `SealingArtifactStore.seal`."""
        unique = list({artifact.id: artifact for artifact in reversed(artifacts)}.values())[::-1]
        name = self._fitted(tables.table_name(policy.pipe_id, policy.key.reveal()))
        return [_from_columns(name, row) for row in await self._seal_all(unique, name, policy)]

    async def unseal(self, rows: Sequence[SealedArtifact], policy: StorePolicy) -> dict[str, Artifact]:
        """See `SealingArtifactStore.unseal`."""
        keys = tables.key_ring(policy)
        names = {self._fitted(tables.table_name(policy.pipe_id, key)) for key in keys}
        texts = [(row, json.dumps(dict(row.payload))) for row in rows if row.table in names]
        return await in_thread_when_large(sum(len(text) for _, text in texts), lambda: _open(texts, keys))

    @beside_the_host
    async def save_sealed(self, rows: Sequence[SealedArtifact], pipe_id: str) -> frozenset[str]:
        """See `SealingArtifactStore.save_sealed`."""
        durable: set[str] = set()
        good = [row for row in rows if _ID.fullmatch(row.id) and self._is_table_of(row.table, pipe_id)]
        for name in dict.fromkeys(row.table for row in good):
            batch = {row.id: _columns(row) for row in good if row.table == name}
            written = await self._store(name, list(batch.values()))
            if written.failure:
                raise ArtifactStoreError(written.failure)
            durable |= written.durable
        return frozenset(durable)

    def _is_table_of(self, name: str, pipe_id: str) -> bool:
        """Whether it is a table of this pipe, of whatever key: a queue must not make us write anywhere else."""
        return tables.belongs(name, pipe_id, is_sqlite=self.database.location().is_sqlite)


def _open(texts: Sequence[tuple[SealedArtifact, str]], keys: Sequence[str]) -> dict[str, Artifact]:
    opened: dict[str, Artifact] = {}
    for row, text in texts:
        try:
            payload = unseal(text, Place(row.table, row.id, row.chat_id), keys, is_encrypted=row.is_encrypted)
        except EnvelopeError:
            continue  # the caller asks the database next, which says what is wrong with it
        opened[row.id] = Artifact(
            row.id, row.chat_id, row.message_id, row.model_id, row.item_type, payload, row.created_at
        )
    return opened


def _from_columns(table: str, row: dict[str, object]) -> SealedArtifact:
    created_at = row["created_at"]
    if not isinstance(created_at, datetime):
        raise ArtifactStoreError("a row without time")
    return SealedArtifact(
        table=table,
        id=str(row["id"]),
        chat_id=str(row["chat_id"]),
        message_id=str(row["message_id"]),
        model_id=str(row["model_id"]),
        item_type=str(row["item_type"]),
        payload=cast("JsonObject", row["payload"]),
        is_encrypted=bool(row["is_encrypted"]),
        created_at=created_at.replace(tzinfo=UTC),
    )


def _columns(row: SealedArtifact) -> dict[str, object]:
    return {
        "id": row.id,
        "chat_id": row.chat_id,
        "message_id": row.message_id,
        "model_id": row.model_id,
        "item_type": row.item_type,
        "payload": dict(row.payload),
        "is_encrypted": row.is_encrypted,
        "created_at": row.created_at.astimezone(UTC).replace(tzinfo=None),
    }
