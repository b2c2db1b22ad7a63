"""Key rotation: rows written under older keys move into the table of the present key, sealed anew.

Each batch is one transaction that writes to the present table, reads back what it wrote, and only then deletes from the
older one: whatever interrupts it, every row is in exactly one of the two, and running it again goes on where it stopped.
The pipe may run meanwhile; it reads all tables of its keys in one statement.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence, Set
from typing import Final

from attrs import evolve, frozen
from sqlalchemy import Table, Text, cast, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from openrouter_pipe.adapters.sql import table as tables
from openrouter_pipe.adapters.sql.database import Database, translated
from openrouter_pipe.adapters.sql.envelope import EnvelopeError, Place, seal, unseal
from openrouter_pipe.adapters.sql.rows import StoredRow, row_of, selection, stored, upsert
from openrouter_pipe.ports.artifacts import Artifact, StorePolicy

_DEADLINE: Final = 60.0


@frozen
class RotationProgress:
    """Counts of rows so far. ``total`` were found in older tables at the start of this run; ``moved`` are sealed anew and
    verified; ``present`` were in the present table already and only left the older one; ``unreadable`` stay where they
    are, no key opens them; ``conflicts`` stay because another chat holds their id."""

    total: int
    moved: int = 0
    present: int = 0
    unreadable: int = 0
    conflicts: int = 0
    table: str = ""
    done: bool = False


async def rotate(
    environment: Mapping[str, str], policy: StorePolicy, *, dry_run: bool = False, batch_size: int = 200
) -> AsyncGenerator[RotationProgress, None]:
    """Move every row of the policy's older keys (and plain rows stored before there was a key) to its present key.

    Yields after each batch; the last progress has ``done`` set. ``dry_run`` opens and counts, and changes nothing.

    Raises:
        ArtifactStoreError: the database is out of reach; nothing of the batch was changed. Run it again.
    """
    database = Database(environment, deadline=_DEADLINE)
    try:
        keys = tables.key_ring(policy)
        older_names = [tables.table_name(policy.pipe_id, key) for key in keys[1:]]
        older = await database.existing(older_names)
        progress = RotationProgress(await _count(database, older))
        target = None if dry_run else await database.ensure(tables.table_name(policy.pipe_id, keys[0]))
        for table in older:
            progress = evolve(progress, table=table.name)
            last = ""
            while True:
                with translated():
                    async with database.transaction() as connection:
                        rows = await _batch(connection, table, last, batch_size)
                        if rows:
                            progress = await _move(connection, rows, table, target, policy, keys, progress)
                if not rows:
                    break
                last = rows[-1].id
                yield progress
        yield evolve(progress, done=True)
    finally:
        await database.aclose()


async def _count(database: Database, older: Sequence[Table]) -> int:
    total = 0
    for table in older:
        with translated():
            async with database.transaction() as connection:
                total += (await connection.execute(select(func.count()).select_from(table))).scalar_one()
    return total


async def _batch(connection: AsyncConnection, table: Table, last: str, size: int) -> Sequence[StoredRow]:
    statement = selection(table, table.c.id > last).order_by(table.c.id).limit(size)
    return [stored(row) for row in (await connection.execute(statement)).all()]


async def _move(
    connection: AsyncConnection,
    rows: Sequence[StoredRow],
    source: Table,
    target: Table | None,
    policy: StorePolicy,
    keys: Sequence[str],
    progress: RotationProgress,
) -> RotationProgress:
    fresh = await asyncio.to_thread(_reseal, rows, source.name, target.name if target is not None else "", policy, keys)
    unreadable = len(rows) - len(fresh)
    if target is None:
        return evolve(progress, moved=progress.moved + len(fresh), unreadable=progress.unreadable + unreadable)
    ids = list(fresh)
    chats = {row.id: row.chat_id for row in rows}
    holders = await connection.execute(select(target.c.id, target.c.chat_id).where(target.c.id.in_(ids)))
    here = {row.id: row.chat_id for row in holders}
    conflicts = {one for one, chat_id in here.items() if chat_id != chats[one]}
    # What is there already counts only if the present key opens it; otherwise it is written again.
    present = await _verified(connection, target, here.keys() - conflicts, chats, keys[0])
    new = [fresh[one] for one in ids if one not in present and one not in conflicts]
    if new:
        await upsert(connection, target, new)
    moved = await _verified(connection, target, {str(row["id"]) for row in new}, chats, keys[0])
    await connection.execute(delete(source).where(source.c.id.in_(moved | present)))
    return evolve(
        progress,
        moved=progress.moved + len(moved),
        present=progress.present + len(present),
        conflicts=progress.conflicts + len(conflicts),
        unreadable=progress.unreadable + unreadable + len(new) - len(moved),
    )


async def _verified(
    connection: AsyncConnection, target: Table, ids: Set[str], chats: Mapping[str, str], key: str
) -> set[str]:
    """The ids whose rows, read back, open with the present key alone."""
    statement = select(target.c.id, cast(target.c.payload, Text).label("payload"), target.c.is_encrypted)
    rows = (await connection.execute(statement.where(target.c.id.in_(ids)))).all()

    def check() -> set[str]:
        good = set()
        for row in rows:
            place = Place(target.name, row.id, chats[row.id])
            try:
                unseal(row.payload, place, (key,), is_encrypted=bool(row.is_encrypted))
            except EnvelopeError:
                continue
            good.add(row.id)
        return good

    return await asyncio.to_thread(check)


def _reseal(
    rows: Sequence[StoredRow], source: str, target: str, policy: StorePolicy, keys: Sequence[str]
) -> dict[str, dict[str, object]]:
    fresh: dict[str, dict[str, object]] = {}
    for row in rows:
        try:
            payload = unseal(row.payload, Place(source, row.id, row.chat_id), keys, is_encrypted=row.is_encrypted)
            place = Place(target, row.id, row.chat_id)
            sealed = seal(payload, place, policy, is_reasoning=row.item_type == "reasoning")
        except EnvelopeError:
            continue
        artifact = Artifact(row.id, row.chat_id, row.message_id, row.model_id, row.item_type, payload)
        fresh[row.id] = row_of(artifact, sealed, row.created_at)
    return fresh
