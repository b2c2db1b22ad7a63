"""Turns that are stopped while their artifacts are on the way to the database cost nobody else the memory of a chat.

A driver that is cancelled in the middle of a transaction may leave its connection, and with it SQLite's one write lock,
to nobody. Whoever presses Stop would then cost every other user's turn its artifacts.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
import uuid
from pathlib import Path

import pytest

from openrouter_pipe.adapters.sql import SqlArtifactStore
from openrouter_pipe.adapters.sql.quiet import quiet_connection
from openrouter_pipe.ports.artifacts import Artifact, StorePolicy
from openrouter_pipe.ports.settings import Secret
from postgres_server import postgres_url

CHAT = "chat-1"


def some(first: int, count: int = 3) -> list[Artifact]:
    return [
        Artifact(f"{number:020d}", CHAT, "m", "a/b", "reasoning", {"n": number, "text": "word " * 2000})
        for number in range(first, first + count)
    ]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_stopped_turns_leave_no_lock_behind(tmp_path: Path, database: str, seed: int) -> None:
    environment = {"DATA_DIR": str(tmp_path)} if database == "sqlite" else {"DATABASE_URL": postgres_url()}
    chance = random.Random(seed)
    store, mine = SqlArtifactStore(environment, deadline=4.0), StorePolicy(f"p_{uuid.uuid4().hex}", Secret("key"))
    await store.save(some(1), mine)

    async def stopped(number: int) -> None:
        write = asyncio.ensure_future(store.save(some(number * 10), mine))
        await asyncio.sleep(chance.random() * 0.03)
        write.cancel()
        await asyncio.gather(write, return_exceptions=True)

    for burst in range(8):
        await asyncio.gather(*(stopped(burst * 10 + one) for one in range(1, 7)))
        started = time.monotonic()
        rows = some(900_000 + burst * 10)
        assert await store.save(rows, mine) == {row.id for row in rows}
        assert set(await store.load(CHAT, [row.id for row in rows], mine)) == {row.id for row in rows}
        assert time.monotonic() - started < 2
    await store.aclose()
    if database == "sqlite":
        other = sqlite3.connect(tmp_path / "webui.db", isolation_level=None, timeout=0)
        other.execute("BEGIN EXCLUSIVE")
        other.close()


async def test_a_write_that_was_begun_is_finished_although_nobody_waits_and_the_store_is_closed(tmp_path: Path) -> None:
    store, mine = SqlArtifactStore({"DATA_DIR": str(tmp_path)}), StorePolicy("pipe", Secret("key"))
    await store.save(some(1), mine)
    write = asyncio.ensure_future(store.save(some(500, 20), mine))
    await asyncio.sleep(0.002)
    write.cancel()
    await asyncio.gather(write, return_exceptions=True)
    await store.aclose()
    other = sqlite3.connect(tmp_path / "webui.db", isolation_level=None, timeout=0)
    other.execute("BEGIN EXCLUSIVE")
    other.close()


async def test_a_statement_that_is_given_up_and_then_gets_the_lock_gives_it_back(tmp_path: Path) -> None:
    path = tmp_path / "webui.db"
    connection = await quiet_connection(str(path), timeout=5)
    await connection.execute("CREATE TABLE t (n INTEGER)")
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    write = asyncio.ensure_future(connection.execute("INSERT INTO t VALUES (1), (2) RETURNING n"))
    await asyncio.wait([write], timeout=0.05)
    write.cancel()
    await asyncio.wait([write], timeout=0.05)
    blocker.execute("ROLLBACK")
    with pytest.raises(asyncio.CancelledError):
        await write
    other = sqlite3.connect(path, isolation_level=None, timeout=0)
    other.execute("BEGIN EXCLUSIVE")
    assert other.execute("SELECT count(*) FROM t").fetchone() == (0,)
    other.close()
    blocker.close()
    await connection.close()
