"""`ArtifactStore` over the host's database.

Rows of one chat are read in one statement over every table that the policy's keys name, and written to the first of them.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import ColumnElement, Table, delete, exists, select, text, union_all, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from openrouter_pipe.adapters.sql import table as tables
from openrouter_pipe.adapters.sql.database import (
    Database,
    describe,
    is_about_data,
    is_missing_table,
    lock_number,
    translated,
)
from openrouter_pipe.adapters.sql.envelope import EnvelopeError, Place, seal, unseal
from openrouter_pipe.adapters.sql.joined import JoinedWrites, Row, Written
from openrouter_pipe.adapters.sql.rows import StoredRow, among, row_of, selection, size_of, stored, upsert
from openrouter_pipe.ports.artifacts import Artifact, ArtifactStoreError, StorePolicy

_T = TypeVar("_T")
_P = ParamSpec("_P")
_Store = TypeVar("_Store", bound="SqlArtifactStore")
_log = logging.getLogger(__name__)

_ID: Final = re.compile("[0-9A-HJKMNP-TV-Z]{20}")
_THREAD_BYTES: Final = 64 * 1024
"""Payload size from which sealing and opening leave the event loop."""

_REFRESH_AFTER: Final = timedelta(hours=1)
"""Rows read again sooner than this keep their age: retention counts in days, and every turn would write every row."""

_REFRESH_DEADLINE: Final = 2.0
_IN_ONE_STATEMENT: Final = 5_000
_CLEAN_UP_ROWS: Final = 1_000
_REMEMBERED_WARNINGS: Final = 4_096
_NAMED_PER_READ: Final = 20


def beside_the_host(
    method: Callable[Concatenate[_Store, _P], Coroutine[Any, Any, _T]],
) -> Callable[Concatenate[_Store, _P], Coroutine[Any, Any, _T]]:
    """Mark a public method that uses the database: it runs where a busy host cannot hold it up (see `own_loop`)."""

    @functools.wraps(method)
    async def moved(self: _Store, /, *args: _P.args, **options: _P.kwargs) -> _T:
        return await self.database.beside_the_host(method(self, *args, **options))

    return moved


class SqlArtifactStore:
    """`ArtifactStore` in the host's SQLite or PostgreSQL database, found from ``environment`` at each use.

    ``now`` is the wall clock, aware, UTC; ``deadline`` is in seconds per transaction. Nothing is opened before first use.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        deadline: float | None = None,
    ) -> None:
        self.database = Database(environment) if deadline is None else Database(environment, deadline=deadline)
        self._joined = JoinedWrites(self._write, self.database.deadline)
        self._now = now
        self._warned: OrderedDict[str, None] = OrderedDict()

    async def aclose(self) -> None:
        """Close every connection."""
        await self.database.aclose()

    async def preload(self) -> None:
        """See `Preloading.preload`: the drivers take twice as long to load as a turn may take."""
        await asyncio.to_thread(self.database.preload)

    @beside_the_host
    async def save(self, artifacts: Sequence[Artifact], policy: StorePolicy) -> frozenset[str]:
        """Store what can be stored; see `ArtifactStore.save`."""
        unique = list({artifact.id: artifact for artifact in reversed(artifacts)}.values())[::-1]
        if not unique:
            return frozenset()
        name = self._fitted(tables.table_name(policy.pipe_id, policy.key.reveal()))
        rows = await self._seal_all(unique, name, policy)
        durable: set[str] = set()
        size = max(1, policy.batch_size)
        for start in range(0, len(rows), size):
            written = await self._store(name, rows[start : start + size])
            durable |= written.durable
            if written.failure and not durable:
                raise ArtifactStoreError(written.failure)
            if written.failure:
                _log.warning("Only %d of %d artifacts were stored: %s", len(durable), len(rows), written.failure)
                break
        return frozenset(durable)

    @beside_the_host
    async def load(self, chat_id: str, ids: Sequence[str], policy: StorePolicy) -> dict[str, Artifact]:
        """Read the artifacts of one chat in one query; see `ArtifactStore.load`."""
        wanted = [one for one in dict.fromkeys(ids) if _ID.fullmatch(one)]
        if not wanted or not chat_id:
            return {}
        keys = tables.key_ring(policy)
        found = await self.database.existing([tables.table_name(policy.pipe_id, key) for key in keys])
        rows: list[StoredRow] = []
        for start in range(0, len(wanted), _IN_ONE_STATEMENT):
            if found:
                rows += await self._read(found, chat_id, wanted[start : start + _IN_ONE_STATEMENT])
        opened, broken = await in_thread_when_large(
            sum(len(row.payload) for row in rows), lambda: _open_all(rows, keys)
        )
        self._warn(wanted, opened, broken)
        await self._refresh(found, chat_id, [row for row in rows if row.id in opened])
        return opened

    @beside_the_host
    async def delete(self, chat_id: str, ids: Sequence[str], policy: StorePolicy) -> int:
        """Delete artifacts of one chat; see `ArtifactStore.delete`."""
        wanted = [one for one in dict.fromkeys(ids) if _ID.fullmatch(one)]
        return await self._delete_in_parts(
            wanted, policy, lambda table, part: (table.c.chat_id == chat_id) & table.c.id.in_(part)
        )

    @beside_the_host
    async def delete_chats(self, chat_ids: Sequence[str], policy: StorePolicy) -> int:
        """Delete everything of these chats; see `ArtifactStore.delete_chats`."""
        wanted = [one for one in dict.fromkeys(chat_ids) if _is_storable_name(one)]
        return await self._delete_in_parts(wanted, policy, lambda table, part: table.c.chat_id.in_(part))

    @beside_the_host
    async def clean_up(self, older_than: datetime, policy: StorePolicy) -> int:
        """Delete rows not read for long, a thousand at a time, while no other worker does; see `ArtifactStore.clean_up`.

        Under whatever key they were written: one that is no longer listed must not keep them for ever.
        A worker that finds another at work leaves it to that one and returns what it has deleted itself.
        """
        limit = _naive(older_than)
        return await self._sweep(policy, lambda table: table.c.created_at < limit)

    @beside_the_host
    async def delete_orphans(self, older_than: datetime, policy: StorePolicy) -> int:
        """Delete rows whose chat the host no longer has; see `ArtifactCleanUp.delete_orphans`.

        The host keeps its chats in the same database, in a table ``chat``. Without a table that looks like it, all stay.
        """
        chats = await self.database.host_chats()
        if chats is None:
            return 0
        limit = _naive(older_than)

        def orphaned(table: Table) -> ColumnElement[bool]:
            return (table.c.created_at < limit) & ~exists().where(chats.c.id == table.c.chat_id)

        return await self._sweep(policy, orphaned)

    async def _sweep(self, policy: StorePolicy, condition: Callable[[Table], ColumnElement[bool]]) -> int:
        total = 0
        for table in await self.database.of_pipe(policy.pipe_id):
            while True:
                chosen = select(table.c.id).where(condition(table)).limit(_CLEAN_UP_ROWS)
                with translated():
                    async with self.database.transaction() as connection:
                        await self.database.limit_statements(connection)
                        if not await _try_lock(connection, table):
                            return total
                        gone = (await connection.execute(delete(table).where(table.c.id.in_(chosen)))).rowcount
                total += gone
                if gone < _CLEAN_UP_ROWS:
                    break
        return total

    async def _existing(self, policy: StorePolicy) -> list[Table]:
        names = [tables.table_name(policy.pipe_id, key) for key in tables.key_ring(policy)]
        return await self.database.existing(names)

    def _fitted(self, name: str) -> str:
        return tables.fit(name, is_sqlite=self.database.location().is_sqlite)

    async def _seal_all(
        self, artifacts: Sequence[Artifact], table: str, policy: StorePolicy
    ) -> list[dict[str, object]]:
        def run() -> list[dict[str, object]]:
            return [row for artifact in artifacts if (row := self._sealed(artifact, table, policy)) is not None]

        return await in_thread_when_large(sum(size_of(artifact.payload, _THREAD_BYTES) for artifact in artifacts), run)

    def _sealed(self, artifact: Artifact, table: str, policy: StorePolicy) -> dict[str, object] | None:
        if not _ID.fullmatch(artifact.id) or not _is_storable_name(artifact.chat_id):
            _log.warning("Artifact %r was not stored: its id or chat id does not fit the table", artifact.id[:40])
            return None
        try:
            place = Place(table, artifact.id, artifact.chat_id)
            sealed = seal(artifact.payload, place, policy, is_reasoning=artifact.item_type == "reasoning")
        except EnvelopeError as error:
            _log.warning("Artifact %s was not stored: %s", artifact.id, error)
            return None
        return row_of(artifact, sealed, artifact.created_at or self._now())

    async def _store(self, table: str, rows: Sequence[Row]) -> Written:
        """Write a batch, on SQLite together with what else waits for the writer; say which rows were refused."""
        is_sqlite = self.database.location().is_sqlite
        written = await (self._joined.add(table, rows) if is_sqlite else self._write(table, rows))
        for one, reason in written.refused.items():
            _log.warning("Artifact %s was not stored: %s", one, reason)
        return written

    async def _write(self, name: str, rows: Sequence[Row]) -> Written:
        """Write rows of one table in one transaction; where a row spoils it, in two, and so on down to that row."""
        durable: set[str] = set()
        refused: dict[str, str] = {}
        parts = [rows]
        try:
            table = await self.database.ensure(name)
            while parts:
                part = parts.pop()
                try:
                    found = await self._upsert(table, part)
                except SQLAlchemyError as error:
                    if is_missing_table(error):
                        self.database.forget(table)
                        raise ArtifactStoreError("the table is gone; it is made again at the next turn") from None
                    if not is_about_data(error):
                        raise ArtifactStoreError(f"the database failed: {describe(error)}") from None
                    if len(part) == 1:
                        refused[str(part[0]["id"])] = describe(error)
                    else:
                        middle = len(part) // 2
                        parts += [part[middle:], part[:middle]]
                    continue
                durable |= found
                foreign = {str(row["id"]) for row in part} - found
                refused |= dict.fromkeys(foreign, "its id belongs to another chat")
        except ArtifactStoreError as error:
            return Written(frozenset(durable), refused, str(error))
        return Written(frozenset(durable), refused)

    async def _upsert(self, table: Table, rows: Sequence[Row]) -> set[str]:
        async with self.database.transaction() as connection:
            await self.database.limit_statements(connection)
            return await upsert(connection, table, rows)

    async def _read(self, found: Sequence[Table], chat_id: str, ids: Sequence[str]) -> list[StoredRow]:
        is_sqlite = self.database.location().is_sqlite
        parts = [
            selection(table, (table.c.chat_id == chat_id) & among(table.c.id, ids, is_sqlite=is_sqlite))
            for table in found
        ]
        statement = parts[0] if len(parts) == 1 else union_all(*parts)
        try:
            async with self.database.transaction() as connection:
                result = (await connection.execute(statement)).all()
        except SQLAlchemyError as error:
            if is_missing_table(error):
                for table in found:
                    self.database.forget(table)
                return []
            raise ArtifactStoreError(f"the database failed: {describe(error)}") from None
        return [stored(row) for row in result]

    async def _refresh(self, found: Sequence[Table], chat_id: str, rows: Sequence[StoredRow]) -> None:
        """Make the rows that were read young again. Failing that costs nothing today, so it must not cost the turn."""
        now = self._now()
        old = [row for row in rows if now - row.created_at > _REFRESH_AFTER]
        try:
            for table in found:
                ids = [row.id for row in old if row.table == table.name]
                if ids:
                    chosen = update(table).where((table.c.chat_id == chat_id) & table.c.id.in_(ids))
                    async with asyncio.timeout(_REFRESH_DEADLINE), self.database.hasty_transaction() as connection:
                        await connection.execute(chosen.values(created_at=_naive(now)))
        except (SQLAlchemyError, ArtifactStoreError, TimeoutError) as error:
            _log.warning("The age of %d artifacts could not be refreshed: %s", len(old), describe(error))

    async def _delete_in_parts(
        self,
        wanted: Sequence[str],
        policy: StorePolicy,
        condition: Callable[[Table, Sequence[str]], ColumnElement[bool]],
    ) -> int:
        if not wanted:
            return 0
        total = 0
        for table in await self._existing(policy):
            for start in range(0, len(wanted), _IN_ONE_STATEMENT):
                part = wanted[start : start + _IN_ONE_STATEMENT]
                with translated():
                    async with self.database.transaction() as connection:
                        await self.database.limit_statements(connection)
                        total += (await connection.execute(delete(table).where(condition(table, part)))).rowcount
        return total

    def _warn(self, wanted: Sequence[str], opened: Mapping[str, Artifact], broken: Mapping[str, str]) -> None:
        """Say in one warning what this read did not bring, each artifact once in the life of the store."""
        news = [one for one in wanted if one not in opened and one not in self._warned]
        for one in news:
            self._warned[one] = None
        while len(self._warned) > _REMEMBERED_WARNINGS:
            self._warned.popitem(last=False)
        if not news:
            return
        reasons: dict[str, list[str]] = {}
        for one in news[:_NAMED_PER_READ]:
            reasons.setdefault(broken.get(one, "not in this chat"), []).append(one)
        named = "; ".join(f"{', '.join(ids)}: {why}" for why, ids in reasons.items())
        more = f"; and {len(news) - _NAMED_PER_READ} more" if len(news) > _NAMED_PER_READ else ""
        _log.warning("Artifacts skipped on replay: %d (%s%s)", len(news), named, more)


def _open_all(rows: Iterable[StoredRow], keys: Sequence[str]) -> tuple[dict[str, Artifact], dict[str, str]]:
    opened: dict[str, Artifact] = {}
    broken: dict[str, str] = {}
    for row in rows:
        if row.id in opened:
            continue  # the table written today comes first
        try:
            payload = unseal(row.payload, Place(row.table, row.id, row.chat_id), keys, is_encrypted=row.is_encrypted)
        except EnvelopeError as error:
            broken[row.id] = str(error)
            continue
        opened[row.id] = Artifact(
            row.id, row.chat_id, row.message_id, row.model_id, row.item_type, payload, row.created_at
        )
    return opened, broken


async def in_thread_when_large(size: int, work: Callable[[], _T]) -> _T:
    """Seal or open away from the event loop when there is much of it."""
    return await asyncio.to_thread(work) if size > _THREAD_BYTES else work()


async def _try_lock(connection: AsyncConnection, table: Table) -> bool:
    """Whether this transaction may clean up. SQLite has one writer anyway, and statements of it do not overlap."""
    if connection.dialect.name != "postgresql":
        return True
    result = await connection.execute(text("SELECT pg_try_advisory_xact_lock(:n)"), {"n": lock_number(table)})
    return bool(result.scalar())


def _naive(moment: datetime) -> datetime:
    """UTC as the table has it."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def _is_storable_name(name: str) -> bool:
    return 0 < len(name) <= tables.CHAT_LENGTH and name.isprintable()
