"""Key rotation: every row ends up under the new key alone, whatever interrupts it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from attrs import evolve

from openrouter_pipe.adapters.sql import RotationProgress, SqlArtifactStore, rotate
from openrouter_pipe.adapters.sql.table import table_name
from openrouter_pipe.ports.artifacts import Artifact, StorePolicy
from openrouter_pipe.ports.settings import Secret
from postgres_server import postgres_url

CHAT = "chat-1"
START = datetime(2026, 1, 1, tzinfo=UTC)


def mid(number: int) -> str:
    return f"{number:020d}"


def rows(start: int, count: int) -> list[Artifact]:
    return [Artifact(mid(n), CHAT, "m", "a/b", "reasoning", {"n": n}) for n in range(start, start + count)]


@pytest.fixture(params=["sqlite", "postgres"])
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    return {"DATA_DIR": str(tmp_path)} if request.param == "sqlite" else {"DATABASE_URL": postgres_url()}


def policies() -> tuple[StorePolicy, StorePolicy, StorePolicy]:
    """Before, after with the old key listed, and after with the new key alone."""
    old = StorePolicy(f"pipe_{uuid.uuid4().hex}", Secret("old"), batch_size=2000)
    new = evolve(old, key=Secret("new"))
    return old, evolve(new, previous_keys=(Secret("old"),)), new


async def run(environment: dict[str, str], policy: StorePolicy, **more: object) -> RotationProgress:
    seen = [progress async for progress in rotate(environment, policy, **more)]  # type: ignore[arg-type]
    last = seen[-1]
    assert last.done
    return last


async def test_rows_move_with_their_age_and_a_dry_run_changes_nothing(environment: dict[str, str]) -> None:
    old, listed, new = policies()
    store = SqlArtifactStore(environment, now=lambda: START)
    await store.save(rows(0, 30), old)
    await store.save(rows(100, 10), evolve(old, key=Secret("")))
    await store.save(rows(200, 5), new)
    trial = await run(environment, listed, dry_run=True, batch_size=7)
    assert (trial.total, trial.moved, trial.unreadable) == (40, 40, 0)
    assert len(await store.load(CHAT, [one.id for one in rows(0, 30)], old)) == 30
    done = await run(environment, listed, batch_size=7)
    assert (done.total, done.moved, done.present, done.unreadable, done.conflicts) == (40, 40, 0, 0, 0)
    ids = [one.id for one in rows(0, 30) + rows(100, 10) + rows(200, 5)]
    found = await store.load(CHAT, ids, new)
    assert len(found) == 45
    assert all(one.created_at == START for one in found.values())
    assert await store.load(CHAT, ids, old) == {}
    again = await run(environment, listed)
    assert (again.total, again.moved) == (0, 0)
    assert await store.clean_up(START + timedelta(days=1), new) == 45
    await store.aclose()


async def test_what_another_worker_wrote_meanwhile_without_a_key_is_read_under_the_next_one(
    environment: dict[str, str],
) -> None:
    old, _, new = policies()
    here, there = SqlArtifactStore(environment), SqlArtifactStore(environment)
    await here.save(rows(0, 1), old)
    assert len(await here.load(CHAT, [mid(0), mid(1)], old)) == 1  # sees that there is no table without a key
    await there.save(rows(1, 1), evolve(old, key=Secret("")))
    assert set(await here.load(CHAT, [mid(1)], new)) == {mid(1)}
    await here.aclose()
    await there.aclose()


async def test_clean_up_leaves_tables_alone_that_are_not_the_pipes(environment: dict[str, str]) -> None:
    mine, _, _ = policies()
    others = [evolve(mine, pipe_id=f"{mine.pipe_id}{end}") for end in ("_0123abcd", "b")]
    store = SqlArtifactStore(environment, now=lambda: START)
    for number, one in enumerate(others):
        await store.save(rows(number, 1), one)
    taken = await store.clean_up(START + timedelta(days=1), mine)
    left = [len(await store.load(CHAT, [mid(number)], one)) for number, one in enumerate(others)]
    await store.aclose()
    assert (taken, left) == (0, [1, 1])


async def test_rows_nobody_can_open_and_ids_of_other_chats_stay(tmp_path: Path) -> None:
    environment = {"DATA_DIR": str(tmp_path)}
    old, listed, new = policies()
    store = SqlArtifactStore(environment)
    await store.save(rows(0, 4), old)
    await store.save([Artifact(mid(1), "chat-2", "m", "", "x", {"mine": True})], new)
    await store.save([Artifact(mid(2), CHAT, "m", "", "x", {"newer": True})], new)
    with sqlite3.connect(tmp_path / "webui.db") as connection:
        table = table_name(old.pipe_id, "old")
        connection.execute(
            f'UPDATE {table} SET payload = \'{{"ciphertext": "x", "enc_v": 2}}\' WHERE id = \'{mid(0)}\''
        )
    connection.close()
    done = await run(environment, listed)
    assert (done.moved, done.present, done.unreadable, done.conflicts) == (1, 1, 1, 1)
    found = await store.load(CHAT, [mid(n) for n in range(4)], new)
    assert {key: one.payload for key, one in found.items()} == {mid(2): {"newer": True}, mid(3): {"n": 3}}
    assert (await store.load("chat-2", [mid(1)], new))[mid(1)].payload == {"mine": True}
    await store.aclose()


ROTATE = """
import asyncio, json, sys
from openrouter_pipe.adapters.sql import rotate
from openrouter_pipe.ports.artifacts import StorePolicy
from openrouter_pipe.ports.settings import Secret

async def main():
    environment, pipe_id = json.loads(sys.argv[1])
    policy = StorePolicy(pipe_id, Secret("new"), previous_keys=(Secret("old"),))
    async for progress in rotate(environment, policy, batch_size=100):
        print(progress.moved, flush=True)

asyncio.run(main())
"""


@pytest.mark.slow
async def test_ten_thousand_rows_killed_twice_and_resumed(environment: dict[str, str]) -> None:
    old, listed, new = policies()
    store = SqlArtifactStore(environment)
    assert len(await store.save(rows(0, 10_000), old)) == 10_000
    for _ in range(2):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", ROTATE, json.dumps([environment, old.pipe_id]), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        while int(await process.stdout.readline()) < 2_000:
            pass
        process.kill()
        await process.wait()
        ids = [mid(n) for n in range(10_000)]
        assert len(await store.load(CHAT, ids, listed)) == 10_000
    last = await run(environment, listed, batch_size=500)
    assert last.total == last.moved
    assert 0 < last.moved <= 6_000
    found = await store.load(CHAT, ids, new)
    assert [found[one].payload for one in ids] == [{"n": n} for n in range(10_000)]
    assert await store.load(CHAT, ids, old) == {}
    print(f"rotated 10000 rows, the last run moved {last.moved}")
    await store.aclose()
