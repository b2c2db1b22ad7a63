"""One suite for every artifact store: memory, SQLite file, PostgreSQL."""

from __future__ import annotations

import asyncio
import itertools
import sys
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from attrs import evolve, field, frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from openrouter_pipe.adapters.memory.artifacts import MemoryArtifactStore
from openrouter_pipe.adapters.sql import SqlArtifactStore
from openrouter_pipe.adapters.sql.database import Database
from openrouter_pipe.ports.artifacts import Artifact, StorePolicy
from openrouter_pipe.ports.settings import Secret
from postgres_server import postgres_url

START = datetime(2026, 1, 1, tzinfo=UTC)
CHAT, OTHER = "chat-1", "chat-2"


class Wall:
    """A wall clock that a test moves."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> datetime:
        return self.time


@frozen
class Bench:
    """A store, its clock, and a policy of its own."""

    store: MemoryArtifactStore | SqlArtifactStore
    wall: Wall
    policy: StorePolicy
    environment: dict[str, str] = field(factory=dict)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    wall = Wall()
    policy = StorePolicy(f"Pipe {uuid.uuid4().hex}", Secret("first key"))
    if request.param == "memory":
        yield Bench(MemoryArtifactStore(now=wall), wall, policy)
        return
    environment = {"DATA_DIR": str(tmp_path)} if request.param == "sqlite" else {"DATABASE_URL": postgres_url()}
    store = SqlArtifactStore(environment, now=wall)
    yield Bench(store, wall, policy, environment)
    await store.aclose()


def mid(number: int) -> str:
    return f"{number:020d}"


def artifact(number: int, payload: object = None, **more: object) -> Artifact:
    content = {"type": "reasoning", "id": f"rs_{number}", "encrypted_content": "x" * 50} if payload is None else payload
    fields = {"chat_id": CHAT, "message_id": "m", "model_id": "a/b", "item_type": "reasoning", **more}
    return Artifact(mid(number), payload=content, **fields)  # type: ignore[arg-type]


async def test_what_is_saved_is_loaded(bench: Bench) -> None:
    some = [artifact(number) for number in range(25)]
    assert await bench.store.save(some, bench.policy) == {one.id for one in some}
    found = await bench.store.load(CHAT, [one.id for one in some] + [mid(99)], bench.policy)
    assert {one.id: evolve(one, created_at=START) for one in some} == {
        key: evolve(one, created_at=START) for key, one in found.items()
    }
    assert found[mid(3)].created_at == START


async def test_nothing_in_and_nothing_out(bench: Bench) -> None:
    assert await bench.store.save([], bench.policy) == frozenset()
    assert await bench.store.load(CHAT, [], bench.policy) == {}
    assert await bench.store.load(CHAT, [mid(1)], bench.policy) == {}
    assert await bench.store.load(CHAT, ["no id", "'; DROP TABLE x; --", "\x00"], bench.policy) == {}
    assert await bench.store.delete(CHAT, [mid(1)], bench.policy) == 0
    assert await bench.store.delete_chats([CHAT, "\x00"], bench.policy) == 0
    assert await bench.store.clean_up(START, bench.policy) == 0


async def test_a_row_is_readable_only_for_its_own_chat(bench: Bench) -> None:
    await bench.store.save([artifact(1)], bench.policy)
    assert await bench.store.load(OTHER, [mid(1)], bench.policy) == {}
    assert await bench.store.load("", [mid(1)], bench.policy) == {}
    assert await bench.store.delete(OTHER, [mid(1)], bench.policy) == 0


async def test_an_id_of_another_chat_is_never_overwritten(bench: Bench) -> None:
    await bench.store.save([artifact(1)], bench.policy)
    thief = artifact(1, {"stolen": True}, chat_id=OTHER)
    assert await bench.store.save([thief, artifact(2, chat_id=OTHER)], bench.policy) == {mid(2)}
    assert (await bench.store.load(CHAT, [mid(1)], bench.policy))[mid(1)].payload["id"] == "rs_1"


async def test_saving_again_replaces_and_duplicates_cost_nobody(bench: Bench) -> None:
    first, again = artifact(1, {"n": 1}), artifact(1, {"n": 2})
    assert await bench.store.save([first, again, artifact(2)], bench.policy) == {mid(1), mid(2)}
    assert (await bench.store.load(CHAT, [mid(1)], bench.policy))[mid(1)].payload == {"n": 1}
    assert await bench.store.save([again], bench.policy) == {mid(1)}
    assert (await bench.store.load(CHAT, [mid(1)], bench.policy))[mid(1)].payload == {"n": 2}


@pytest.mark.parametrize(
    "bad",
    [
        artifact(7, {"x": object()}),
        artifact(7, {"x": b"bytes"}),
        artifact(7, chat_id=""),
        artifact(7, chat_id="c" * 65),
        artifact(7, chat_id="a\x00b"),
        evolve(artifact(7), id="short"),
        evolve(artifact(7), id="i" * 20),
    ],
    ids=["object", "bytes", "no chat", "long chat", "NUL in chat", "short id", "not Crockford"],
)
async def test_a_row_that_cannot_be_stored_costs_only_itself(bench: Bench, bad: Artifact) -> None:
    assert await bench.store.save([artifact(1), bad, artifact(2)], bench.policy) == {mid(1), mid(2)}


async def test_descriptions_that_are_too_long_or_odd_are_stored(bench: Bench) -> None:
    odd = artifact(1, message_id="m" * 100, model_id="v/\x00\ud800" + "x" * 200, item_type="t" * 100)
    assert await bench.store.save([odd], bench.policy) == {mid(1)}
    assert (await bench.store.load(CHAT, [mid(1)], bench.policy))[mid(1)].payload == odd.payload


async def test_another_key_sees_nothing_and_a_previous_key_reads(bench: Bench) -> None:
    await bench.store.save([artifact(1)], bench.policy)
    changed = evolve(bench.policy, key=Secret("second key"))
    assert await bench.store.load(CHAT, [mid(1)], changed) == {}
    await bench.store.save([artifact(2)], changed)
    both = evolve(changed, previous_keys=(Secret("unrelated"), Secret("first key")))
    assert set(await bench.store.load(CHAT, [mid(1), mid(2)], both)) == {mid(1), mid(2)}
    assert await bench.store.delete_chats([CHAT], both) == 2
    assert await bench.store.load(CHAT, [mid(1)], bench.policy) == {}


async def test_what_was_stored_before_there_was_a_key_stays_readable(bench: Bench) -> None:
    keyless = evolve(bench.policy, key=Secret(""))
    await bench.store.save([artifact(1)], keyless)
    assert set(await bench.store.load(CHAT, [mid(1)], bench.policy)) == {mid(1)}
    assert await bench.store.load(CHAT, [mid(1)], evolve(bench.policy, pipe_id="another")) == {}


async def test_deleting(bench: Bench) -> None:
    await bench.store.save([artifact(1), artifact(2), artifact(3, chat_id=OTHER), artifact(4)], bench.policy)
    assert await bench.store.delete(CHAT, [mid(1), mid(1), mid(3)], bench.policy) == 1
    assert set(await bench.store.load(CHAT, [mid(1), mid(2), mid(4)], bench.policy)) == {mid(2), mid(4)}
    assert await bench.store.delete_chats([CHAT, "unknown"], bench.policy) == 2
    assert set(await bench.store.load(OTHER, [mid(3)], bench.policy)) == {mid(3)}


async def test_clean_up_counts_from_the_last_read(bench: Bench) -> None:
    await bench.store.save([artifact(number) for number in range(30)], bench.policy)
    bench.wall.time = START + timedelta(days=80)
    await bench.store.load(CHAT, [mid(1), mid(2)], bench.policy)
    bench.wall.time = START + timedelta(days=100)
    limit = bench.wall.time - timedelta(days=90)
    assert await bench.store.clean_up(limit, bench.policy) == 28
    assert await bench.store.clean_up(limit, bench.policy) == 0
    assert set(await bench.store.load(CHAT, [mid(1), mid(2), mid(3)], bench.policy)) == {mid(1), mid(2)}


async def test_rows_of_a_key_that_is_no_longer_listed_are_cleaned_up_too(bench: Bench) -> None:
    forgotten = evolve(bench.policy, key=Secret("a key that nobody lists"))
    await bench.store.save([artifact(1), artifact(2, chat_id=OTHER)], forgotten)
    await host_has(bench, OTHER)
    try:
        assert await bench.store.delete_orphans(START + timedelta(hours=1), bench.policy) == 1
        assert set(await bench.store.load(OTHER, [mid(2)], forgotten)) == {mid(2)}
    finally:
        await forget_host(bench)
    assert await bench.store.clean_up(START + timedelta(days=9), bench.policy) == 1


async def host_has(bench: Bench, *chats: str) -> None:
    """The host keeps these chats, in the table that Open WebUI makes for them."""
    if isinstance(bench.store, MemoryArtifactStore):
        bench.store.chats = set(chats)
        return
    database = Database(bench.environment)
    async with database.transaction() as connection:
        columns = "id VARCHAR PRIMARY KEY, user_id VARCHAR, title TEXT, chat TEXT"
        await connection.execute(text(f"CREATE TABLE IF NOT EXISTS chat ({columns})"))
        await connection.execute(text("DELETE FROM chat"))
        for chat in chats:
            await connection.execute(text("INSERT INTO chat (id) VALUES (:id)"), {"id": chat})
    await database.aclose()


async def forget_host(bench: Bench, table: str = "chat") -> None:
    if isinstance(bench.store, MemoryArtifactStore):
        bench.store.chats = None
        return
    database = Database(bench.environment)
    async with database.transaction() as connection:
        await connection.execute(text(f"DROP TABLE IF EXISTS {table}"))
    await database.aclose()


async def test_artifacts_of_a_deleted_chat_go_too(bench: Bench) -> None:
    one = [artifact(1), artifact(2, chat_id=OTHER), artifact(3, created_at=START + timedelta(minutes=90))]
    await bench.store.save(one, bench.policy)
    await bench.store.save([artifact(4)], evolve(bench.policy, key=Secret("")))
    limit = START + timedelta(hours=1)
    await host_has(bench, CHAT, OTHER)
    try:
        assert await bench.store.delete_orphans(limit, bench.policy) == 0
        await host_has(bench, OTHER)
        assert await bench.store.delete_orphans(limit, bench.policy) == 2
        assert set(await bench.store.load(CHAT, [mid(1), mid(3), mid(4)], bench.policy)) == {mid(3)}
        assert set(await bench.store.load(OTHER, [mid(2)], bench.policy)) == {mid(2)}
    finally:
        await forget_host(bench)


async def test_without_a_list_of_chats_nothing_is_an_orphan(bench: Bench) -> None:
    await forget_host(bench)
    await bench.store.save([artifact(1)], bench.policy)
    assert await bench.store.delete_orphans(START + timedelta(days=9), bench.policy) == 0
    if bench.environment:
        database = Database(bench.environment)
        async with database.transaction() as connection:
            await connection.execute(text("CREATE TABLE chat (id VARCHAR, of_somebody_else TEXT)"))
        assert await bench.store.delete_orphans(START + timedelta(days=9), bench.policy) == 0
        await database.aclose()
        await forget_host(bench)
    assert set(await bench.store.load(CHAT, [mid(1)], bench.policy)) == {mid(1)}


HOSTILE = {
    "nul": "a\x00b",
    "half": "\ud800 and \udc00",
    "emoji": "\U0001f600",
    "key \ud83d\x00": [None, True, {"deep": ["\x00"]}],
    "big": 10**400,
    "negative": -(2**63) - 1,
    "small": 5e-324,
    "float": 1.7976931348623157e308,
    "infinite": float("inf"),
    "escaped": "\\u0000 \\ud800",
}


@pytest.mark.parametrize("key", ["", "a key"])
@pytest.mark.parametrize("encrypt_all", [True, False])
@pytest.mark.parametrize("payload", [HOSTILE, {"json_text": "{}"}, {"ciphertext": "x", "enc_v": 3}, {}])
async def test_values_that_databases_refuse_come_back(
    bench: Bench, key: str, encrypt_all: bool, payload: object
) -> None:
    policy = evolve(bench.policy, key=Secret(key), encrypt_all=encrypt_all)
    some = [artifact(1, payload), artifact(2, payload, item_type="function_call_output")]
    assert len(await bench.store.save(some, policy)) == 2
    found = await bench.store.load(CHAT, [mid(1), mid(2)], policy)
    assert [found[one.id].payload for one in some] == [payload, payload]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters()), inner, max_size=3),
    max_leaves=8,
)
numbers = itertools.count(1000)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(st.characters()), json_values, max_size=4), st.sampled_from(["", "k"]), st.booleans())
async def test_any_json_object_comes_back(bench: Bench, payload: dict[str, object], key: str, compress: bool) -> None:
    policy = evolve(bench.policy, key=Secret(key), compress=compress)
    one = artifact(next(numbers), payload)
    assert await bench.store.save([one], policy) == {one.id}
    assert (await bench.store.load(CHAT, [one.id], policy))[one.id].payload == payload


async def test_what_was_loaded_can_be_changed_without_changing_the_store(bench: Bench) -> None:
    await bench.store.save([artifact(1, {"list": [1]})], bench.policy)
    (await bench.store.load(CHAT, [mid(1)], bench.policy))[mid(1)].payload["list"].append(2)  # type: ignore[union-attr]
    assert (await bench.store.load(CHAT, [mid(1)], bench.policy))[mid(1)].payload == {"list": [1]}


async def test_writers_and_readers_at_once(bench: Bench) -> None:
    async def write(start: int) -> None:
        for number in range(start, start + 20, 5):
            await bench.store.save([artifact(one) for one in range(number, number + 5)], bench.policy)

    await asyncio.gather(*(write(start) for start in range(0, 200, 20)))
    assert len(await bench.store.load(CHAT, [mid(number) for number in range(200)], bench.policy)) == 200


WRITER = """
import asyncio, json, sys
from openrouter_pipe.adapters.sql import SqlArtifactStore
from openrouter_pipe.ports.artifacts import Artifact, StorePolicy
from openrouter_pipe.ports.settings import Secret

async def main():
    environment, pipe_id, worker = json.loads(sys.argv[1])
    store = SqlArtifactStore(environment)
    policy = StorePolicy(pipe_id, Secret("first key"))
    print("ready", flush=True)
    sys.stdin.readline()
    total = 0
    for batch in range(10):
        own = [Artifact(f"{worker}{batch:02d}{n:017d}", "chat-1", "m", "a/b", "reasoning", {"n": n}) for n in range(5)]
        shared = [Artifact(f"9{batch:02d}{n:017d}", "chat-1", "m", "a/b", "reasoning", {"n": n}) for n in range(5)]
        total += len(await store.save(own + shared, policy))
    await store.aclose()
    print(total)

asyncio.run(main())
"""


async def test_four_processes_create_the_table_and_write_at_once(bench: Bench) -> None:
    if not bench.environment:
        pytest.skip("a store in memory has one process")
    import json

    async def start(worker: int) -> asyncio.subprocess.Process:
        arguments = json.dumps([bench.environment, bench.policy.pipe_id, worker])
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            sys.executable, "-c", WRITER, arguments, stdin=pipe, stdout=pipe, stderr=pipe
        )

    processes = [await start(worker) for worker in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert (await process.stdout.readline()).strip() == b"ready"
    results = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    assert [out.strip() for out, _ in results] == [b"100"] * 4, [err[-2000:] for _, err in results]
    ids = [f"{worker}{batch:02d}{n:017d}" for worker in (0, 1, 2, 3, 9) for batch in range(10) for n in range(5)]
    assert len(await bench.store.load(CHAT, ids, bench.policy)) == 250
