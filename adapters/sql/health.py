"""Looking at the table of stored items, for diagnostics: reads only, and creates nothing, not even an empty database file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Table, func, inspect, select
from sqlalchemy.ext.asyncio import AsyncConnection

from openrouter_pipe.adapters.sql import table as tables
from openrouter_pipe.adapters.sql.database import Database, translated
from openrouter_pipe.adapters.sql.envelope import EnvelopeError, Place, unseal
from openrouter_pipe.adapters.sql.location import Location, locate
from openrouter_pipe.adapters.sql.rows import StoredRow, selection, stored
from openrouter_pipe.ports.artifacts import ArtifactStoreError, StorePolicy

SAMPLE: Final = 50
"""Newest rows that are opened to see whether the keys fit."""

_DEADLINE: Final = 10.0


@frozen
class TableHealth:
    """``kind`` is sqlite or postgresql. ``table`` is the one written to; it may not be there yet. ``missing`` are columns
    that it lacks. ``older_rows`` are rows under previous keys. ``newest`` is in seconds since the epoch."""

    kind: str
    table: str
    exists: bool = False
    missing: tuple[str, ...] = ()
    rows: int = 0
    older_rows: int = 0
    sampled: int = 0
    unreadable: int = 0
    newest: float | None = None


async def examine(environment: Mapping[str, str], policy: StorePolicy) -> TableHealth:
    """Look at the tables of this pipe and these keys.

    Raises:
        ArtifactStoreError: the database is out of reach, or cannot be written to.
    """
    database = Database(environment, deadline=_DEADLINE)
    try:
        location = database.location()
        await asyncio.to_thread(_check_file, location)
        return await database.beside_the_host(_examined(database, policy, location))
    finally:
        await database.aclose()


def present(environment: Mapping[str, str]) -> bool:
    """Whether the environment names a database, and, where it is a file, the file is there; nothing is opened."""
    try:
        path = _file(locate(environment))
    except ArtifactStoreError:
        return False
    return path is None or path.is_file()


def _file(location: Location) -> Path | None:
    name = location.url.database
    return Path(name) if location.is_sqlite and name and name != ":memory:" else None


def _check_file(location: Location) -> None:
    """SQLite makes a file for whoever asks for one that is not there; nobody shall believe that it is the host's."""
    path = _file(location)
    if path is None:
        return
    if not path.is_file():
        raise ArtifactStoreError(f"there is no database file {path}")
    if not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        raise ArtifactStoreError(f"this account may not write to {path} and its folder")


async def _examined(database: Database, policy: StorePolicy, location: Location) -> TableHealth:
    keys = tables.key_ring(policy)
    names = [tables.table_name(policy.pipe_id, key) for key in keys]
    written = tables.fit(names[0], is_sqlite=location.is_sqlite)
    kind = "sqlite" if location.is_sqlite else "postgresql"
    found = await database.existing(names)
    present = next((table for table in found if table.name == written), None)
    with translated():
        async with database.transaction() as connection:
            older = [await _count(connection, table) for table in found if table is not present]
            if present is None:
                return TableHealth(kind, written, older_rows=sum(older))
            there = await connection.run_sync(_columns, written, location.schema)
            missing = tuple(column.name for column in present.columns if column.name not in there)
            if missing:
                return TableHealth(kind, written, exists=True, missing=missing, older_rows=sum(older))
            rows = await _count(connection, present)
            newest = selection(present, present.c.id.is_not(None)).order_by(present.c.created_at.desc()).limit(SAMPLE)
            sample = [stored(row) for row in (await connection.execute(newest)).all()]
    unreadable = await asyncio.to_thread(_unreadable, sample, keys)
    age = max((row.created_at for row in sample), default=None)
    return TableHealth(
        kind,
        written,
        exists=True,
        rows=rows,
        older_rows=sum(older),
        sampled=len(sample),
        unreadable=unreadable,
        newest=age.timestamp() if isinstance(age, datetime) else None,
    )


async def _count(connection: AsyncConnection, table: Table) -> int:
    return int((await connection.execute(select(func.count()).select_from(table))).scalar_one())


def _columns(connection: Any, name: str, schema: str | None) -> set[str]:
    return {one["name"] for one in inspect(connection).get_columns(name, schema=schema)}


def _unreadable(rows: Sequence[StoredRow], keys: Sequence[str]) -> int:
    failed = 0
    for row in rows:
        try:
            unseal(row.payload, Place(row.table, row.id, row.chat_id), keys, is_encrypted=row.is_encrypted)
        except EnvelopeError:
            failed += 1
    return failed
