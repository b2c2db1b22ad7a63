"""One engine on the host's database, and what is known of its tables.

Every transaction is short, has a deadline, and says what failed without repeating statements, parameters or addresses.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import sqlite3
import time
import zlib
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import TableClause, column, event, inspect, text
from sqlalchemy import table as table_clause
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.schema import CreateIndex, CreateTable, Table

from openrouter_pipe.adapters.sql import table as tables
from openrouter_pipe.adapters.sql.location import Location, locate
from openrouter_pipe.adapters.sql.own_loop import OwnLoop
from openrouter_pipe.ports.artifacts import ArtifactStoreError

_T = TypeVar("_T")

DEADLINE: Final = 10.0
"""Seconds that one transaction may take, waiting for a connection and for locks included."""

_LOG_NAME: Final = "openrouter-pipe"
"""Part of the names of our engines' own loggers: SQLAlchemy would write every row that it reads to the log at DEBUG."""

_FINISH_SECONDS: Final = 2.0
_BUSY_TIMEOUT_MS: Final = 5_000
_HASTY_TIMEOUT_MS: Final = 200
_ABSENT_FOR: Final = 60.0
_CREATE_ATTEMPTS: Final = 5
_SWEPT_COLUMNS: Final = {"id", "chat_id", "created_at"}
_HOST_CHATS: Final = "chat"
_HOST_CHAT_COLUMNS: Final = {"id", "user_id", "title", "chat"}


class Database:
    """Opens the engine at first use; one per store. ``deadline`` is in seconds per transaction."""

    def __init__(self, environment: Mapping[str, str], *, deadline: float = DEADLINE) -> None:
        self._environment = environment
        self._deadline = deadline
        self._engines: dict[Location, AsyncEngine] = {}
        self._present: dict[tuple[Location, str], Table] = {}
        self._absent: dict[tuple[Location, tuple[str, ...], str], float] = {}
        self._own = OwnLoop("openrouter-pipe sqlite")
        self._closed = False

    @property
    def deadline(self) -> float:
        """Seconds per transaction."""
        return self._deadline

    async def aclose(self) -> None:
        """Close every connection; the database cannot be used afterwards."""
        self._closed = True
        await self._own.finish(_FINISH_SECONDS)
        engines, self._engines = dict(self._engines), {}
        self._present.clear()
        for location, engine in engines.items():
            if location.is_sqlite and self._own.started:
                await self._own.run(engine.dispose())
            else:
                await engine.dispose()
        await self._own.aclose()

    def preload(self) -> None:
        """Load driver and dialect, which takes a while; opens nothing and raises nothing. Safe in any thread."""
        with contextlib.suppress(ArtifactStoreError, SQLAlchemyError):
            _open(self.location(), self._deadline)

    async def beside_the_host(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Await ``work`` on a loop of our own where the database is SQLite, here where it is not (see `own_loop`)."""
        try:
            is_sqlite = self.location().is_sqlite
        except ArtifactStoreError:
            work.close()
            raise
        return await (self._own.run(work) if is_sqlite else work)

    def location(self) -> Location:
        """The host's database as the environment names it now; raises `ArtifactStoreError`."""
        return locate(self._environment)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncGenerator[AsyncConnection, None]:
        """A short transaction; committed at the end, rolled back on any error.

        Raises:
            ArtifactStoreError: the database is out of reach or too slow. Errors about the data come out as they are.
        """
        try:
            async with asyncio.timeout(self._deadline), self._engine().begin() as connection:
                yield connection
        except TimeoutError:
            raise ArtifactStoreError(f"the database did not answer within {self._deadline:g} s") from None
        except PoolTimeoutError:
            raise ArtifactStoreError("no database connection became free in time") from None
        except OSError as error:
            raise ArtifactStoreError(f"the database is out of reach ({type(error).__name__})") from None

    @contextlib.asynccontextmanager
    async def hasty_transaction(self) -> AsyncGenerator[AsyncConnection, None]:
        """As `transaction`, but one that would rather fail than wait for SQLite's writer."""
        async with self.transaction() as connection:
            is_sqlite = connection.dialect.name == "sqlite"
            if is_sqlite:
                await connection.exec_driver_sql(f"PRAGMA busy_timeout={_HASTY_TIMEOUT_MS}")
            try:
                yield connection
            finally:
                if is_sqlite:
                    await connection.exec_driver_sql(f"PRAGMA busy_timeout={_busy_ms(self._deadline)}")

    async def limit_statements(self, connection: AsyncConnection) -> None:
        """Let the server give up by itself, too, should we die while it works (PostgreSQL)."""
        if connection.dialect.name == "postgresql":
            milliseconds = str(int(self._deadline * 1000))
            await connection.execute(
                text("SELECT set_config('statement_timeout', :ms, true), set_config('lock_timeout', :ms, true)"),
                {"ms": milliseconds},
            )

    async def existing(self, names: Sequence[str]) -> list[Table]:
        """Those of the tables that exist, in the order given; raises `ArtifactStoreError`."""
        location = self.location()
        fitted = tuple(tables.fit(name, is_sqlite=location.is_sqlite) for name in names)
        now = time.monotonic()
        unknown = [
            name
            for number, name in enumerate(fitted)
            if (location, name) not in self._present
            # The first table is the one written: another worker may create it at any moment. And where the keys have
            # changed, another worker may have written with those of before.
            and (number == 0 or now - self._absent.get((location, fitted, name), -_ABSENT_FOR) >= _ABSENT_FOR)
        ]
        if unknown:
            with translated():
                async with self.transaction() as connection:
                    found = await connection.run_sync(_existing_names, unknown, location.schema)
            for name in unknown:
                if name in found:
                    self._present[location, name] = tables.describe(name, location.schema)
                else:
                    self._absent[location, fitted, name] = now
        return [self._present[location, name] for name in fitted if (location, name) in self._present]

    async def of_pipe(self, pipe_id: str) -> list[Table]:
        """Every table of a pipe, of whatever key; raises `ArtifactStoreError`."""
        location = self.location()
        with translated():
            async with self.transaction() as connection:
                names = await connection.run_sync(_table_names, location.schema)
                own = sorted(name for name in names if tables.belongs(name, pipe_id, is_sqlite=location.is_sqlite))
                columns = [await connection.run_sync(_column_names, name, location.schema) for name in own]
        known = [name for name, has in zip(own, columns, strict=True) if has >= _SWEPT_COLUMNS]
        return [tables.describe(name, location.schema) for name in known]

    async def ensure(self, name: str) -> Table:
        """The table of that name, created if need be; several workers may do so at once. Raises `ArtifactStoreError`."""
        found = await self.existing([name])
        if found:
            return found[0]
        location = self.location()
        fitted = tables.fit(name, is_sqlite=location.is_sqlite)
        table = tables.describe(fitted, location.schema)
        for attempt in range(1, _CREATE_ATTEMPTS + 1):
            try:
                async with self.transaction() as connection:
                    await _create(connection, table)
                break
            except SQLAlchemyError as error:
                if await self.existing([name]):
                    break  # another worker was faster
                if attempt == _CREATE_ATTEMPTS or isinstance(error, OperationalError):
                    raise ArtifactStoreError(f"the table could not be created: {describe(error)}") from None
                await asyncio.sleep(0.05)
        self._present[location, fitted] = table
        return table

    async def host_chats(self) -> TableClause | None:
        """The host's own table of chats, None where there is none that looks like it; raises `ArtifactStoreError`."""
        schema = self.location().schema
        with translated():
            async with self.transaction() as connection:
                names = await connection.run_sync(_column_names, _HOST_CHATS, schema)
        return table_clause(_HOST_CHATS, column("id"), schema=schema) if names >= _HOST_CHAT_COLUMNS else None

    def forget(self, table: Table) -> None:
        """Look again before the next use: the table turned out not to be there."""
        for known in [key for key in self._present if key[1] == table.name]:
            del self._present[known]

    def _engine(self) -> AsyncEngine:
        if self._closed:
            raise ArtifactStoreError("the store is closed")
        location = self.location()
        if location not in self._engines:
            self._engines[location] = _open(location, self._deadline)
        return self._engines[location]


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn any database error into `ArtifactStoreError`."""
    try:
        yield
    except SQLAlchemyError as error:
        raise ArtifactStoreError(f"the database failed: {describe(error)}") from None


def describe(error: BaseException | None) -> str:
    """What failed, by class and code only: messages of databases repeat data."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        code = getattr(error.orig, "sqlite_errorname", None) or getattr(error.orig, "sqlstate", None)
        return f"{type(error.orig).__name__} {code}" if code else type(error.orig).__name__
    return type(error).__name__


def is_about_data(error: SQLAlchemyError) -> bool:
    """Whether a statement failed for what it carried, not for the state of the database."""
    if not isinstance(error, DBAPIError):
        return True  # raised before the database was asked: a value that no driver takes
    if error.connection_invalidated:
        return False
    names = {kind.__name__ for kind in type(error.orig).__mro__}
    return bool(
        names & {"DataError", "IntegrityError", "OverflowError", "UnicodeEncodeError", "ValueError", "TypeError"}
    )


def is_missing_table(error: SQLAlchemyError) -> bool:
    """Whether a statement failed because the table is not there."""
    if not isinstance(error, DBAPIError):
        return False
    return getattr(error.orig, "sqlstate", None) == "42P01" or "no such table" in str(error.orig)


def lock_number(table: Table) -> int:
    """The advisory lock that stands for a table, on PostgreSQL."""
    return zlib.crc32(f"openrouter-pipe {table.schema}.{table.name}".encode())


def _existing_names(connection: Any, names: Sequence[str], schema: str | None) -> set[str]:
    inspector = inspect(connection)
    return {name for name in names if inspector.has_table(name, schema=schema)}


def _table_names(connection: Any, schema: str | None) -> list[str]:
    return list(inspect(connection).get_table_names(schema=schema))


def _column_names(connection: Any, name: str, schema: str | None) -> set[str]:
    inspector = inspect(connection)
    if not inspector.has_table(name, schema=schema):
        return set()
    return {one["name"] for one in inspector.get_columns(name, schema=schema)}


async def _create(connection: AsyncConnection, table: Table) -> None:
    if connection.dialect.name == "postgresql":
        # IF NOT EXISTS is no protection against a creator that has not committed yet.
        await connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": lock_number(table)})
    await connection.execute(CreateTable(table, if_not_exists=True))
    for index in sorted(table.indexes, key=lambda one: str(one.name)):
        await connection.execute(CreateIndex(index, if_not_exists=True))


def _busy_ms(deadline: float) -> int:
    return min(_BUSY_TIMEOUT_MS, int(deadline * 1000))


def _open(location: Location, deadline: float) -> AsyncEngine:
    options: dict[str, Any] = {"hide_parameters": True, "logging_name": _LOG_NAME, "pool_logging_name": _LOG_NAME}
    logging.getLogger(f"sqlalchemy.engine.Engine.{_LOG_NAME}").setLevel(logging.WARNING)
    if location.is_sqlite:
        options["connect_args"] = {"timeout": _busy_ms(deadline) / 1000, "async_creator_fn": _sqlite_driver()}
        if location.url.database and location.url.database != ":memory:":
            options |= {"pool_size": 4, "max_overflow": 4, "pool_timeout": deadline}
    else:
        # Without prepared statements the connection may pass through a pooler that changes servers.
        options["connect_args"] = {"connect_timeout": max(2, int(deadline / 2)), "prepare_threshold": None}
        options |= {"pool_size": 5, "max_overflow": 10, "pool_timeout": deadline, "pool_recycle": 3600}
        options["pool_pre_ping"] = True
    with _driver():
        engine = create_async_engine(location.url, **options)
    if location.is_sqlite:
        event.listen(
            engine.sync_engine, "connect", functools.partial(_prepare_sqlite, location.wal, _busy_ms(deadline))
        )
    return engine


def _sqlite_driver() -> Callable[..., Any]:
    """What opens a connection; imported where it is needed, a host with PostgreSQL may be without it."""
    with _driver():
        from openrouter_pipe.adapters.sql.quiet import quiet_connection

    return quiet_connection


@contextlib.contextmanager
def _driver() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ArtifactStoreError(f"the database driver {error.name!r} is not installed") from None


def _prepare_sqlite(wal: bool, busy_ms: int, connection: Any, _record: object) -> None:
    """Readers and the one writer do not block each other in WAL mode; it is a property of the file, set once."""
    cursor = connection.cursor()
    try:
        cursor.execute(f"PRAGMA busy_timeout={_HASTY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode")
        mode = cursor.fetchone()
        if wal and mode and mode[0] != "wal":
            cursor.execute("PRAGMA journal_mode=WAL")
    except sqlite3.Error:
        pass  # read-only, or in use by somebody who will not let us switch: slower, not wrong
    finally:
        cursor.execute(f"PRAGMA busy_timeout={busy_ms}")
        cursor.close()
