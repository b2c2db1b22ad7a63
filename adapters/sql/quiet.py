"""Connections to SQLite that keep what they carry out of the log.

The driver writes every statement with its parameters to the host's log wherever that shows DEBUG: conversations, and with
plain rows all of them. The host's loggers are the host's business; so our connections give theirs nothing to tell.

And they finish each call: one that is cancelled while the driver's thread works on it would leave the statement, and the
file's one write lock, to a connection that nobody knows any more.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any

import aiosqlite

_PATIENCE = 6.0
"""Seconds that a cancelled call is waited for: more than SQLite waits for a lock."""


class _Unspoken:
    """A call that does not tell its arguments, and remembers the cursor that it led to."""

    __slots__ = ("_call", "cursor")

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self.cursor: sqlite3.Cursor | None = None

    def __call__(self) -> Any:
        result = self._call()
        if isinstance(result, sqlite3.Cursor):
            self.cursor = result
        return result

    def __repr__(self) -> str:
        return "<a statement of openrouter-pipe>"


class QuietConnection(aiosqlite.Connection):
    """A connection of the driver whose work has no name. Everything that it does passes through this one method."""

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        work = _Unspoken(partial(fn, *args, **kwargs))
        call = self._called(work)
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            # A statement that got the lock after all would keep it until nobody refers to its rows any more.
            undone = self._called(_Unspoken(partial(self._give_up, work)))
            await asyncio.wait([call, undone], timeout=_PATIENCE)
            raise

    def _called(self, work: _Unspoken) -> asyncio.Future[Any]:
        """Have the connection's thread do it, after what it does already, whether or not somebody waits for it."""
        call = asyncio.ensure_future(super()._execute(work))  # type: ignore[no-untyped-call]
        call.add_done_callback(_heard)
        return call

    def _give_up(self, work: _Unspoken) -> None:
        if work.cursor is not None:
            work.cursor.close()
        self._conn.rollback()


def _heard(call: asyncio.Future[Any]) -> None:
    """What a call raises after its caller has gone is nobody's."""
    if not call.cancelled():
        call.exception()


def quiet_connection(database: str, **options: Any) -> QuietConnection:
    """A connection for SQLAlchemy to await; ``options`` are those of `sqlite3.connect`."""
    connection = QuietConnection(partial(sqlite3.connect, database, **options), iter_chunk_size=64)
    # Before version 0.22 a connection was its thread, now it has one. Neither may keep the host's process alive.
    thread: Any = getattr(connection, "_thread", connection)
    thread.daemon = True
    return connection
