"""Many turns that end at once write to one SQLite file: their artifacts share transactions, and each turn hears of its own.

A transaction of their own for each would be a wait for the disk each, one after the other, and the last would wait longer
than the time that a turn has. Counted is what SQLite itself counts: the changes of the file, in its header.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sqlite3
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from openrouter_pipe.adapters.sql import SqlArtifactStore
from openrouter_pipe.adapters.sql.sealer import SealingSqlArtifactStore
from openrouter_pipe.adapters.sql.table import table_name
from openrouter_pipe.ports.artifacts import Artifact, ArtifactStoreError, StorePolicy
from openrouter_pipe.ports.settings import Secret

POLICY = StorePolicy("pipe", Secret("key"))
TABLE = table_name("pipe", "key")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SealingSqlArtifactStore]:
    made = SealingSqlArtifactStore({"DATA_DIR": str(tmp_path)})
    yield made
    await made.aclose()


def turn(number: int, rows: int = 4, message: str = "m", size: int = 1000) -> list[Artifact]:
    """What one turn stores: about two kilobytes a row that do not compress well, as reasoning does not."""
    chat = f"chat-{number}"
    return [
        Artifact(
            f"{number:016d}{row:04d}", chat, message, "a/b", "reasoning", {"n": row, "text": os.urandom(size).hex()}
        )
        for row in range(rows)
    ]


def ids(rows: Sequence[Artifact]) -> set[str]:
    return {row.id for row in rows}


def changes(folder: Path) -> int:
    """The transactions that changed the file so far (bytes 24 to 27 of its header, rollback journal)."""
    return int.from_bytes((folder / "webui.db").read_bytes()[24:28], "big")


def stored(folder: Path) -> list[str]:
    """The ids in the table, in the order in which they were written."""
    with sqlite3.connect(folder / "webui.db") as connection:
        return [one for (one,) in connection.execute(f"SELECT id FROM {TABLE} ORDER BY rowid")]


def refuse(folder: Path, message: str) -> None:
    """Have the database refuse every row of that message."""
    with sqlite3.connect(folder / "webui.db") as connection:
        connection.execute(
            f"CREATE TRIGGER refused BEFORE INSERT ON {TABLE} WHEN NEW.message_id = '{message}' "
            "BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )


@pytest.mark.parametrize("first", ["fresh file", "known table"])
async def test_a_thousand_turns_that_end_at_once_are_all_stored(
    tmp_path: Path, store: SealingSqlArtifactStore, first: str
) -> None:
    if first == "known table":
        await store.save(turn(5_000), POLICY)
    before = changes(tmp_path) if first == "known table" else 0
    turns = [turn(number) for number in range(1_000)]
    answers = await asyncio.gather(*(store.save(one, POLICY) for one in turns), return_exceptions=True)
    assert answers == [ids(one) for one in turns]
    assert set(stored(tmp_path)) >= {row.id for one in turns for row in one}
    assert changes(tmp_path) - before <= 100
    assert (await store.load("chat-77", sorted(ids(turns[77])), POLICY)).keys() == ids(turns[77])


async def test_the_rows_of_a_turn_stay_in_order_and_a_save_alone_is_one_transaction(
    tmp_path: Path, store: SealingSqlArtifactStore
) -> None:
    turns = [turn(number, rows=7) for number in range(60)]
    await asyncio.gather(*(store.save(one, POLICY) for one in turns))
    written = stored(tmp_path)
    for one in turns:
        places = [written.index(row.id) for row in one]
        assert places == sorted(places)
    before = changes(tmp_path)
    await store.save(turn(900), POLICY)
    assert changes(tmp_path) - before == 1


async def test_a_row_that_the_database_refuses_costs_only_itself(
    tmp_path: Path, store: SealingSqlArtifactStore, caplog: pytest.LogCaptureFixture
) -> None:
    await store.save(turn(5_000), POLICY)
    refuse(tmp_path, "bad")
    before = changes(tmp_path)
    turns = [turn(number) for number in range(100)]
    turns[40][2] = turn(40, message="bad")[2]
    turns[70] = turn(70, message="bad")
    odd = Artifact(f"{77:016d}0001", "chat-77", "m", "a/b", "reasoning", {"no": object()})  # type: ignore[dict-item]
    turns[77][1] = odd
    with caplog.at_level(logging.WARNING):
        answers = await asyncio.gather(*(store.save(one, POLICY) for one in turns))
    lost = {turns[40][2].id, *ids(turns[70]), odd.id}
    assert answers == [ids(one) - lost for one in turns]
    assert set(stored(tmp_path)) == {row.id for one in turns for row in one} - lost | ids(turn(5_000))
    assert changes(tmp_path) - before < 60
    assert all(caplog.text.count(one) == 1 for one in lost)


async def test_the_same_id_at_once_belongs_to_the_chat_that_came_first(
    tmp_path: Path, store: SealingSqlArtifactStore, caplog: pytest.LogCaptureFixture
) -> None:
    await store.save(turn(5_000), POLICY)
    mine, theirs = turn(1), [Artifact(row.id, "thief", "m", "a/b", row.item_type, {}) for row in turn(1)[:2]]
    both = await asyncio.gather(
        *(store.save(turn(number), POLICY) for number in range(10, 20)),
        store.save(mine, POLICY),
        store.save([*theirs, turn(2)[0]], POLICY),
        store.save(mine, POLICY),
    )
    assert both[-3:] == [ids(mine), {turn(2)[0].id}, ids(mine)]
    assert await store.load("thief", sorted(ids(mine)), POLICY) == {}
    assert (await store.load("chat-1", sorted(ids(mine)), POLICY)).keys() == ids(mine)


async def test_turns_that_are_stopped_while_they_wait_cost_nobody_else_anything(
    tmp_path: Path, store: SealingSqlArtifactStore
) -> None:
    await store.save(turn(5_000), POLICY)
    chance = random.Random(7)
    blocker = sqlite3.connect(tmp_path / "webui.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    turns = [turn(number) for number in range(200)]
    saves = [asyncio.ensure_future(store.save(one, POLICY)) for one in turns]
    await asyncio.sleep(0.2)
    stopped = set(chance.sample(range(200), 100))
    for number in stopped:
        saves[number].cancel()
    blocker.execute("ROLLBACK")
    blocker.close()
    answers = await asyncio.gather(*saves, return_exceptions=True)
    for number, answer in enumerate(answers):
        assert isinstance(answer, asyncio.CancelledError) if number in stopped else answer == ids(turns[number])
    await store.aclose()
    there = set(stored(tmp_path))
    assert all(len(ids(one) & there) in {0, 4} for one in turns)
    other = sqlite3.connect(tmp_path / "webui.db", isolation_level=None, timeout=0)
    other.execute("BEGIN EXCLUSIVE")
    other.close()


async def test_nobody_is_told_of_a_row_before_it_is_durable(tmp_path: Path, store: SealingSqlArtifactStore) -> None:
    await store.save(turn(5_000), POLICY)
    turns = [turn(number) for number in range(80)]

    async def told(one: Sequence[Artifact]) -> bool:
        durable = await store.save(one, POLICY)
        with sqlite3.connect(tmp_path / "webui.db") as connection:
            marks = ",".join("?" * len(one))
            rows = connection.execute(f"SELECT count(*) FROM {TABLE} WHERE id IN ({marks})", sorted(durable)).fetchone()
        return rows == (len(one),)

    assert all(await asyncio.gather(*(told(one) for one in turns)))


async def test_a_file_that_stays_locked_fails_all_of_them_in_time_and_the_next_are_stored(tmp_path: Path) -> None:
    store = SqlArtifactStore({"DATA_DIR": str(tmp_path)}, deadline=1.0)
    await store.save(turn(5_000), POLICY)
    blocker = sqlite3.connect(tmp_path / "webui.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    async with asyncio.timeout(8):
        answers = await asyncio.gather(*(store.save(turn(n), POLICY) for n in range(50)), return_exceptions=True)
    assert [type(one) for one in answers] == [ArtifactStoreError] * 50
    blocker.execute("ROLLBACK")
    blocker.close()
    answers = await asyncio.gather(*(store.save(turn(n), POLICY) for n in range(50)), return_exceptions=True)
    assert answers == [ids(turn(n)) for n in range(50)]
    await store.aclose()


async def test_a_table_that_is_dropped_in_between_is_made_again(tmp_path: Path, store: SealingSqlArtifactStore) -> None:
    await store.save(turn(5_000), POLICY)
    with sqlite3.connect(tmp_path / "webui.db") as connection:
        connection.execute(f"DROP TABLE {TABLE}")
    answers = await asyncio.gather(*(store.save(turn(n), POLICY) for n in range(50)), return_exceptions=True)
    assert ArtifactStoreError in {type(one) for one in answers}
    again = await asyncio.gather(*(store.save(turn(n), POLICY) for n in range(50)))
    assert again == [ids(turn(n)) for n in range(50)]


async def test_rows_that_a_queue_brings_and_rows_of_turns_share_transactions(
    tmp_path: Path, store: SealingSqlArtifactStore
) -> None:
    await store.save(turn(5_000), POLICY)
    before = changes(tmp_path)
    sealed = [await store.seal(turn(number), POLICY) for number in range(100)]
    answers = await asyncio.gather(
        *(store.save_sealed(rows, "pipe") for rows in sealed),
        *(store.save(turn(number), POLICY) for number in range(100, 200)),
    )
    assert answers == [ids(turn(number)) for number in range(200)]
    assert changes(tmp_path) - before <= 50


async def test_two_keys_at_once_write_to_two_tables(tmp_path: Path, store: SealingSqlArtifactStore) -> None:
    other = StorePolicy("pipe", Secret(uuid.uuid4().hex))
    answers = await asyncio.gather(
        *(store.save(turn(number), POLICY if number % 2 else other) for number in range(40)),
    )
    assert answers == [ids(turn(number)) for number in range(40)]
    assert set(stored(tmp_path)) == {row.id for number in range(1, 40, 2) for row in turn(number)}
