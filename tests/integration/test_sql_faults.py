"""A database that is locked, read-only, full, gone: an error in time or part of the ids, never a hang, never a loss."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
import uuid
from pathlib import Path

import psycopg
import pytest

from openrouter_pipe.adapters.sql import SqlArtifactStore
from openrouter_pipe.adapters.sql.location import locate
from openrouter_pipe.adapters.sql.table import table_name
from openrouter_pipe.ports.artifacts import Artifact, ArtifactStoreError, StorePolicy
from openrouter_pipe.ports.settings import Secret
from postgres_server import postgres_url

CHAT = "chat-1"


def mid(number: int) -> str:
    return f"{number:020d}"


def artifacts(count: int, size: int = 10) -> list[Artifact]:
    return [Artifact(mid(n), CHAT, "m", "a/b", "reasoning", {"n": n, "secret": "s3cret" * size}) for n in range(count)]


def policy(**more: object) -> StorePolicy:
    return StorePolicy(f"pipe_{uuid.uuid4().hex}", Secret(""), **more)  # type: ignore[arg-type]


async def test_a_locked_sqlite_file_fails_in_time_and_reads_go_on(tmp_path: Path) -> None:
    store, mine = SqlArtifactStore({"DATA_DIR": str(tmp_path)}, deadline=1.0), policy()
    await store.save(artifacts(2), mine)
    blocker = sqlite3.connect(tmp_path / "webui.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    with pytest.raises(ArtifactStoreError):
        await store.save(artifacts(4), mine)
    assert len(await store.load(CHAT, [mid(0), mid(1)], mine)) == 2
    assert time.monotonic() - started < 9
    blocker.execute("ROLLBACK")
    blocker.close()
    assert len(await store.save(artifacts(4), mine)) == 4
    await store.aclose()


async def test_old_rows_in_a_locked_file_are_read_without_waiting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, mine = SqlArtifactStore({"DATA_DIR": str(tmp_path)}), policy()
    await store.save(artifacts(2), mine)
    blocker = sqlite3.connect(tmp_path / "webui.db", isolation_level=None)
    blocker.execute(f"UPDATE {table_name(mine.pipe_id, '')} SET created_at = '2020-01-01 00:00:00.000000'")
    blocker.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    with caplog.at_level(logging.WARNING):
        assert len(await store.load(CHAT, [mid(0), mid(1)], mine)) == 2
    assert time.monotonic() - started < 2
    assert "refreshed" in caplog.text
    blocker.close()
    await store.aclose()


async def test_artifacts_that_cannot_be_read_are_told_in_one_warning_a_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, mine = SqlArtifactStore({"DATA_DIR": str(tmp_path)}), policy()
    await store.save(artifacts(3), mine)
    with sqlite3.connect(tmp_path / "webui.db") as file:
        file.execute(f"UPDATE {table_name(mine.pipe_id, '')} SET payload = 'torn' WHERE id = ?", (mid(1),))
    file.close()
    with caplog.at_level(logging.WARNING):
        for known in (1, 2):
            wanted = [mid(0), mid(1), *(mid(100 + n) for n in range(3 * known))]
            assert set(await store.load(CHAT, wanted, mine)) == {mid(0)}
            assert await store.load("chat-2", [mid(0)], mine) == {}
    told = [record.getMessage() for record in caplog.records]
    assert [line.partition(" (")[0] for line in told] == [
        "Artifacts skipped on replay: 4",
        "Artifacts skipped on replay: 1",
        "Artifacts skipped on replay: 3",
    ]
    assert all(mid(n) in told[0] for n in (1, 100, 101, 102))
    assert "it is not JSON" in told[0]
    assert "not in this chat" in told[0]
    await store.load(CHAT, [mid(n) for n in range(200, 250)], mine)
    assert caplog.records[-1].getMessage().endswith("; and 30 more)")
    await store.aclose()


async def test_a_read_only_file_can_be_read_but_not_written(tmp_path: Path) -> None:
    first, mine = SqlArtifactStore({"DATA_DIR": str(tmp_path)}), policy()
    await first.save(artifacts(2), mine)
    await first.aclose()
    address = f"sqlite:///file:{tmp_path}/webui.db?mode=ro&uri=true"
    store = SqlArtifactStore({"DATABASE_URL": address})
    assert len(await store.load(CHAT, [mid(0), mid(1)], mine)) == 2
    with pytest.raises(ArtifactStoreError):
        await store.save(artifacts(4), mine)
    with pytest.raises(ArtifactStoreError):
        await store.save(artifacts(4), policy())
    await store.aclose()


async def test_a_full_disk_keeps_what_was_acknowledged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store, mine = SqlArtifactStore({"DATA_DIR": str(tmp_path)}), policy(batch_size=5)
    await store.save(artifacts(1), mine)
    limit = "PRAGMA max_page_count=40"

    def fill(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute(limit)

    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    event.listen(Engine, "connect", fill)
    try:
        full = SqlArtifactStore({"DATA_DIR": str(tmp_path)})
        with caplog.at_level(logging.WARNING):
            durable = await full.save(artifacts(60, size=500), mine)
        await full.aclose()
    finally:
        event.remove(Engine, "connect", fill)
    assert 0 < len(durable) < 60
    assert "s3cret" not in caplog.text
    assert set(await store.load(CHAT, [mid(n) for n in range(60)], mine)) >= durable
    assert len(await store.save(artifacts(60), mine)) == 60
    await store.aclose()


async def test_no_folder_no_server_no_driver_and_no_address(tmp_path: Path) -> None:
    environments = [
        {"DATA_DIR": str(tmp_path / "nowhere")},
        {"DATABASE_URL": "postgresql://u:s3cret@127.0.0.1:1/db"},
        {"DATABASE_URL": "mysql://u:s3cret@h/db"},
        {"DATABASE_URL": "sqlite+sqlcipher:///x.db"},
        {"DATABASE_URL": "s3cret nonsense"},
        {"DATABASE_URL": "postgresql://u:s3cret@h:port/db"},
        {},
    ]
    for environment in environments:
        store = SqlArtifactStore(environment, deadline=3.0)
        for action in (store.save(artifacts(1), policy()), store.load(CHAT, [mid(0)], policy())):
            with pytest.raises(ArtifactStoreError) as caught:
                await action
            assert "s3cret" not in str(caught.value)
        await store.aclose()


async def test_a_connection_dropped_between_turns_is_replaced() -> None:
    store, mine = SqlArtifactStore({"DATABASE_URL": postgres_url()}), policy()
    await store.save(artifacts(2), mine)
    kill_others()
    assert len(await store.save(artifacts(4), mine)) == 4
    await store.aclose()


def kill_others() -> None:
    with psycopg.connect(postgres_url(), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )


async def test_a_connection_dropped_in_the_middle_leaves_what_was_acknowledged() -> None:
    store, mine = SqlArtifactStore({"DATABASE_URL": postgres_url()}, deadline=5.0), policy(batch_size=5)
    await store.save(artifacts(1), mine)
    table = table_name(mine.pipe_id, "")
    with psycopg.connect(postgres_url()) as blocker:
        blocker.execute(f"INSERT INTO {table} SELECT '{mid(12)}', chat_id, message_id, model_id, item_type, payload, "
                        f"is_encrypted, created_at FROM {table} LIMIT 1")  # fmt: skip
        saving = asyncio.create_task(store.save(artifacts(20), mine))
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        with psycopg.connect(postgres_url(), autocommit=True) as watcher:
            while watcher.execute(waiting).fetchone() == (0,):
                await asyncio.sleep(0.01)
            watcher.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        durable = await saving
        blocker.rollback()
    assert durable == {mid(n) for n in range(10)}
    assert set(await store.load(CHAT, [mid(n) for n in range(20)], mine)) == durable
    assert len(await store.save(artifacts(20), mine)) == 20
    await store.aclose()


async def test_a_lock_that_is_never_released_ends_in_an_error() -> None:
    store, mine = SqlArtifactStore({"DATABASE_URL": postgres_url()}, deadline=1.0), policy()
    await store.save(artifacts(1), mine)
    with psycopg.connect(postgres_url()) as blocker:
        blocker.execute(f"LOCK TABLE {table_name(mine.pipe_id, '')} IN ACCESS EXCLUSIVE MODE")
        started = time.monotonic()
        with pytest.raises(ArtifactStoreError):
            await store.save(artifacts(2), mine)
        with pytest.raises(ArtifactStoreError):
            await store.load(CHAT, [mid(0)], mine)
        assert time.monotonic() - started < 6
    await store.aclose()


async def test_two_workers_do_not_clean_up_at_once() -> None:
    from datetime import UTC, datetime

    store, mine = SqlArtifactStore({"DATABASE_URL": postgres_url()}), policy()
    await store.save(artifacts(3), mine)
    future = datetime(2100, 1, 1, tzinfo=UTC)
    from openrouter_pipe.adapters.sql.database import lock_number
    from openrouter_pipe.adapters.sql.table import describe

    number = lock_number(describe(table_name(mine.pipe_id, ""), None))
    with psycopg.connect(postgres_url()) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (number,))
        assert await store.clean_up(future, mine) == 0
    assert await store.clean_up(future, mine) == 3
    await store.aclose()


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ({"DATA_DIR": "/data"}, "sqlite+aiosqlite:////data/webui.db"),
        ({"DATA_DIR": "/data", "DATABASE_URL": "sqlite:////x/y.db"}, "sqlite+aiosqlite:////x/y.db"),
        ({"DATABASE_URL": "postgres://u:p@h/d"}, "postgresql+psycopg://u:p@h/d"),
        ({"DATABASE_URL": "postgresql+psycopg2://u:p@h/d?sslmode=require"}, "postgresql+psycopg://u:p@h/d?sslmode=require"),
        (
            {
                "DATABASE_TYPE": "postgresql", "DATABASE_USER": "u", "DATABASE_PASSWORD": "p", "DATABASE_HOST": "h",
                "DATABASE_PORT": "5", "DATABASE_NAME": "d", "DATABASE_URL": "sqlite:////x",
            },
            "postgresql+psycopg://u:p@h:5/d",
        ),
        ({"DATABASE_TYPE": "postgresql", "DATABASE_HOST": "h", "DATABASE_URL": "sqlite:////x"}, "sqlite+aiosqlite:////x"),
    ],
)  # fmt: skip
def test_the_hosts_rules_find_the_database(environment: dict[str, str], address: str) -> None:
    assert locate(environment).url.render_as_string(hide_password=False) == address


def test_schema_and_wal_follow_the_environment() -> None:
    found = locate({"DATA_DIR": "/d", "DATABASE_SCHEMA": "s", "DATABASE_ENABLE_SQLITE_WAL": "True"})
    assert (found.schema, found.wal) == ("s", True)
    assert not locate({"DATA_DIR": "/d"}).wal
    assert "p4ss" not in repr(locate({"DATABASE_URL": "postgresql://u:p4ss@h/d"}))


async def test_sqlite_is_switched_to_wal_only_when_the_host_is(tmp_path: Path) -> None:
    for setting, mode in (({}, "delete"), ({"DATABASE_ENABLE_SQLITE_WAL": "true"}, "wal")):
        store = SqlArtifactStore({"DATA_DIR": str(tmp_path), **setting})
        await store.save(artifacts(1), policy())
        connection = sqlite3.connect(tmp_path / "webui.db")
        assert connection.execute("PRAGMA journal_mode").fetchone() == (mode,)
        connection.close()
        await store.aclose()


async def test_a_host_without_wal_opens_connections_while_we_have_ours(tmp_path: Path) -> None:
    """Open WebUI up to 0.8 asks for the rollback journal with every new connection; refused, it takes users for unknown."""
    store = SqlArtifactStore({"DATA_DIR": str(tmp_path)})
    await store.save(artifacts(1), policy())
    for _ in range(3):
        host = sqlite3.connect(tmp_path / "webui.db", timeout=0.5)
        host.execute("PRAGMA journal_mode=DELETE")  # "database is locked" would be raised here
        host.close()
    await store.aclose()


async def test_a_schema_of_its_own_on_postgres() -> None:
    with psycopg.connect(postgres_url(), autocommit=True) as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS webui")
    mine = policy()
    store = SqlArtifactStore({"DATABASE_URL": postgres_url(), "DATABASE_SCHEMA": "webui"})
    assert len(await store.save(artifacts(2), mine)) == 2
    assert len(await store.load(CHAT, [mid(0), mid(1)], mine)) == 2
    assert await store.delete_chats([CHAT], mine) == 2
    await store.aclose()


async def test_a_host_that_writes_synchronously_on_its_loop_never_waits_for_us(tmp_path: Path) -> None:
    """Open WebUI up to 0.8 does; a transaction of ours on that loop would hold a lock that only that loop can release."""
    host = sqlite3.connect(tmp_path / "webui.db", timeout=2.0)
    host.execute("PRAGMA journal_mode=DELETE")
    host.execute("CREATE TABLE theirs (n)")
    host.commit()
    store, mine = SqlArtifactStore({"DATA_DIR": str(tmp_path), "DATABASE_ENABLE_SQLITE_WAL": "false"}), policy()
    await store.save([Artifact("9" * 20, "c", "m", "a/b", "reasoning", {})], mine)

    async def save(worker: int) -> int:
        kept = 0
        for number in range(20):
            name = f"{worker * 1000 + number:020d}"
            kept += len(await store.save([Artifact(name, "c", "m", "a/b", "reasoning", {"n": number})], mine))
        return kept

    workers = [asyncio.ensure_future(save(worker)) for worker in range(3)]
    written = 0
    while not all(worker.done() for worker in workers):
        began = time.monotonic()
        with host:  # "database is locked" would be raised here
            host.execute("INSERT INTO theirs VALUES (1)")
        written += 1
        # A host does other things, too: one that writes nearly all the time starves anybody, on a slow disk as well.
        await asyncio.sleep(max(0.001, time.monotonic() - began))
    assert [worker.result() for worker in workers] == [20, 20, 20]
    assert written > 0
    host.close()
    await store.aclose()
