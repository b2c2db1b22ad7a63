"""Rows: artifacts as columns, and columns as they come back."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from attrs import field, frozen
from sqlalchemy import ColumnElement, Select, String, Table, Text, any_, cast, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningInsert

from openrouter_pipe.adapters.sql import table as tables
from openrouter_pipe.adapters.sql.envelope import Sealed
from openrouter_pipe.ports.artifacts import Artifact


@frozen
class StoredRow:
    """One row as read, not yet opened; ``payload`` is the column's text, ``created_at`` is aware, UTC."""

    table: str
    id: str
    chat_id: str
    message_id: str
    model_id: str
    item_type: str
    payload: str = field(repr=False)
    is_encrypted: bool
    created_at: datetime


def selection(table: Table, condition: ColumnElement[bool]) -> Select[Any]:
    """All columns of the rows that match, in the order `stored` expects."""
    columns = table.c
    return select(
        literal(table.name),
        columns.id,
        columns.chat_id,
        columns.message_id,
        columns.model_id,
        columns.item_type,
        # The payload as text: one row that is no JSON must not cost the others.
        cast(columns.payload, Text),
        columns.is_encrypted,
        columns.created_at,
    ).where(condition)


def among(identifier: ColumnElement[str], ids: Sequence[str], *, is_sqlite: bool) -> ColumnElement[bool]:
    """Whether the id is one of many; to PostgreSQL they travel as one value, which is cheaper than a placeholder each."""
    if is_sqlite:
        return identifier.in_(ids)
    return identifier == any_(literal(list(ids), postgresql.ARRAY(String)))


def stored(row: Sequence[Any]) -> StoredRow:
    """A row of `selection`; whatever an older writer left empty is blank."""
    table, one, chat_id, message_id, model_id, item_type, payload, is_encrypted, created_at = row
    return StoredRow(
        table,
        one,
        chat_id,
        message_id or "",
        model_id or "",
        item_type or "",
        payload or "",
        bool(is_encrypted),
        _aware(created_at),
    )


def row_of(artifact: Artifact, sealed: Sealed, created_at: datetime) -> dict[str, object]:
    """The columns of an artifact; what only describes it is cut to fit."""
    return {
        "id": artifact.id,
        "chat_id": artifact.chat_id,
        "message_id": _cut(artifact.message_id, tables.MESSAGE_LENGTH),
        "model_id": _cut(artifact.model_id, tables.MODEL_LENGTH),
        "item_type": _cut(artifact.item_type, tables.TYPE_LENGTH),
        "payload": sealed.payload,
        "is_encrypted": sealed.is_encrypted,
        "created_at": created_at.astimezone(UTC).replace(tzinfo=None),
    }


def weight(row: Mapping[str, object]) -> int:
    """About how many bytes of payload a row writes."""
    return size_of(row["payload"])


def size_of(value: object, limit: int | None = None) -> int:
    """Characters of text in a value, roughly and quickly; stops counting at the limit."""
    total = 0
    waiting = [value]
    while waiting and (limit is None or total <= limit):
        match waiting.pop():
            case str() as text_value:
                total += len(text_value)
            case Mapping() as mapping:
                waiting.extend(mapping.values())
                total += 8 * len(mapping)
            case Sequence() as sequence:
                waiting.extend(sequence)
                total += 2 * len(sequence)
            case _:
                total += 8
    return total


async def upsert(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, object]]) -> set[str]:
    """Insert or replace rows in one statement; a row whose id lives in another chat stays as it is. The ids written."""
    result = await connection.execute(_upsert(connection.dialect.name, table), rows)
    return {str(one) for one in result.scalars()}


@functools.lru_cache(maxsize=64)
def _upsert(dialect: str, table: Table) -> ReturningInsert[tuple[str]]:
    """The statement for one row. SQLAlchemy keeps its compiled form, and itself writes as many rows at once as fit; with
    the rows inside the statement it would compile anew each time, which takes longer than the database does."""
    statement = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(table)
    changes = {
        name: statement.excluded[name] for name in ("message_id", "model_id", "item_type", "payload", "is_encrypted")
    }
    statement = statement.on_conflict_do_update(
        index_elements=[table.c.id], set_=changes, where=table.c.chat_id == statement.excluded.chat_id
    )
    return statement.returning(table.c.id)


def _cut(value: str, length: int) -> str:
    """A descriptive column that every database takes."""
    return value.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")[:length]


def _aware(moment: object) -> datetime:
    if not isinstance(moment, datetime):
        return datetime.now(UTC)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
