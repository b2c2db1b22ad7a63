"""Redis and the database failing in turn, workers dying, foreign hands in the queue: what was acknowledged is not lost."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import uuid
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from attrs import evolve

from openrouter_pipe.adapters.memory import MemoryMetrics
from openrouter_pipe.adapters.redis import CachedArtifactStore, RedisAway, RedisLink, connect
from openrouter_pipe.adapters.redis.keys import GROUP, Keys
from openrouter_pipe.adapters.sql.sealer import SealingSqlArtifactStore
from openrouter_pipe.ports.artifacts import Artifact, ArtifactStoreError, StorePolicy
from openrouter_pipe.ports.sealing import SealedArtifact, SharedStorePolicy
from openrouter_pipe.ports.settings import Secret
from redis_server import RedisServer

CHAT = "chat-1"
IDLE = 3600.0
"""A flush interval that leaves the queue to the test."""


class MovableStore(SealingSqlArtifactStore):
    """A database that can be taken away: every write and read then fails as a dead server's would."""

    away = False
    sizes: list[int]

    async def save(self, artifacts: Sequence[Artifact], policy: StorePolicy) -> frozenset[str]:
        self._check()
        return await super().save(artifacts, policy)

    async def load(self, chat_id: str, ids: Sequence[str], policy: StorePolicy) -> dict[str, Artifact]:
        self._check()
        return await super().load(chat_id, ids, policy)

    async def save_sealed(self, rows: Sequence[SealedArtifact], pipe_id: str) -> frozenset[str]:
        self._check()
        self.sizes.append(len(rows))
        return await super().save_sealed(rows, pipe_id)

    def _check(self) -> None:
        if self.away:
            raise ArtifactStoreError("the database is out of reach")


class Worker:
    """One worker of a deployment: its own connections, the deployment's Redis and database."""

    def __init__(self, url: str, folder: Path, pipe: str, **more: object) -> None:
        self.wall = datetime(2026, 1, 1, tzinfo=UTC)
        self.seconds = 0.0
        self.environment = {"DATA_DIR": str(folder)}
        self.database = MovableStore(self.environment, now=lambda: self.wall)
        self.database.sizes = []
        self.keys = Keys(pipe)
        self.metrics = MemoryMetrics()
        link = RedisLink(lambda: connect({"REDIS_URL": url}), clock=lambda: self.seconds)
        options = {"flush_interval": IDLE, "claim_after": 0.0, **more}
        self.store = CachedArtifactStore(
            self.database,
            link,
            self.keys,
            self.metrics,
            now=lambda: self.wall,
            **options,  # type: ignore[arg-type]
        )
        self.policy = SharedStorePolicy(pipe, Secret("the key"))

    async def in_database(self, ids: Sequence[str]) -> set[str]:
        other = SealingSqlArtifactStore(self.environment)
        found = await other.load(CHAT, ids, self.policy)
        await other.aclose()
        return set(found)

    async def carry(self) -> None:
        while await self.store.backlog():
            await self.store.flush()


def mid(number: int) -> str:
    return f"{number:020d}"


def artifacts(*numbers: int, size: int = 10) -> list[Artifact]:
    payload = {"type": "reasoning", "secret": "s3cret" * size}
    return [Artifact(mid(one), CHAT, "m", "a/b", "reasoning", {**payload, "n": one}) for one in numbers]


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    one = RedisServer("appendonly yes", "appendfsync always")
    yield one
    one.remove()


@pytest.fixture
def raw(server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis(port=server.port) as client:
        yield client


@pytest.fixture
async def start(server: RedisServer, tmp_path: Path) -> AsyncIterator[Callable[..., Worker]]:
    workers: list[Worker] = []
    carrying: list[asyncio.Task[None]] = []
    pipe = f"pipe_{uuid.uuid4().hex}"

    def make(**more: object) -> Worker:
        pipe_id = str(more.pop("pipe", pipe))
        workers.append(Worker(str(more.pop("url", server.url)), tmp_path, pipe_id, **more))
        carrying.append(asyncio.create_task(workers[-1].store.run()))
        return workers[-1]

    yield make
    for worker in workers:
        worker.database.away = False
        await worker.store.aclose()
    await asyncio.gather(*carrying)


@pytest.fixture
async def worker(start: Callable[..., Worker]) -> Worker:
    """A worker whose own flusher has had its first look and sleeps now."""
    one = start()
    await one.store.load(CHAT, [mid(0)], one.policy)
    await until(lambda: ("artifact_backlog", ()) in one.metrics.gauges)
    return one


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def hold(worker: Worker, *numbers: int) -> None:
    """Put rows into the queue and leave them there, whatever the flusher would like."""
    worker.database.away = True
    assert len(await worker.store.save(artifacts(*numbers), worker.policy)) == len(numbers)


async def test_rows_are_sealed_in_redis_and_everything_bears_the_name_of_the_pipe(
    worker: Worker, raw: redis.Redis
) -> None:
    raw.set("db-flush", "host")
    before = set(raw.keys("*"))
    await hold(worker, 1, 2)
    new = set(raw.keys("*")) - before
    assert new
    assert all(key.startswith(worker.keys.pipe_id.encode() + b":") for key in new)
    texts = [raw.get(key) or b"" for key in new if raw.type(key) == b"string"]
    texts += [value for _, fields in raw.xrange(worker.keys.stream) for value in fields.values()]
    assert len(texts) == 4
    assert not any(b"s3cret" in text for text in texts)
    assert raw.get("db-flush") == b"host"
    assert raw.pubsub_channels() == []


async def test_database_away_for_long_then_everything_arrives_once(worker: Worker) -> None:
    await hold(worker, *range(1, 31))
    for _ in range(3):
        with pytest.raises(ArtifactStoreError):
            await worker.store.flush()
    found = await worker.store.load(CHAT, [mid(one) for one in range(1, 31)], worker.policy)
    assert len(found) == 30
    worker.database.away = False
    await worker.carry()
    assert len(await worker.in_database([mid(one) for one in range(1, 31)])) == 30


async def test_too_many_failures_write_directly_until_the_queue_is_empty(
    start: Callable[..., Worker], caplog: pytest.LogCaptureFixture
) -> None:
    worker = start(flush_interval=0.005)
    worker.policy = evolve(worker.policy, flush_failure_limit=2)
    await hold(worker, 1)
    await until(lambda: "REDIS_FLUSH_FAILURE_LIMIT" in caplog.text)
    with pytest.raises(ArtifactStoreError):
        await worker.store.save(artifacts(2), worker.policy)
    worker.database.away = False
    await until(lambda: "written behind again" in caplog.text)
    assert await worker.in_database([mid(1), mid(2)]) == {mid(1)}
    assert await worker.store.save(artifacts(3), worker.policy) == {mid(3)}


async def test_what_a_dead_worker_held_is_claimed(
    start: Callable[..., Worker], worker: Worker, raw: redis.Redis
) -> None:
    await hold(worker, 1, 2)
    with pytest.raises(ArtifactStoreError):
        await worker.store.flush()
    assert raw.xpending(worker.keys.stream, GROUP)["pending"] == 2
    other = start()
    await other.store.load(CHAT, [mid(1)], other.policy)
    await other.carry()
    assert await other.in_database([mid(1), mid(2)]) == {mid(1), mid(2)}
    assert raw.xpending(worker.keys.stream, GROUP)["pending"] == 0
    assert raw.xlen(worker.keys.stream) == 0


async def test_a_frozen_worker_that_wakes_up_does_no_harm(start: Callable[..., Worker], worker: Worker) -> None:
    await hold(worker, 1)
    with pytest.raises(ArtifactStoreError):
        await worker.store.flush()
    other = start()
    await other.store.load(CHAT, [mid(1)], other.policy)
    await other.carry()
    worker.database.away = False
    await worker.store.flush()
    assert await other.in_database([mid(1)]) == {mid(1)}


async def test_entries_that_nobody_holds_and_a_lost_group_are_found_again(worker: Worker, raw: redis.Redis) -> None:
    await hold(worker, 1, 2)
    with pytest.raises(ArtifactStoreError):
        await worker.store.flush()
    for consumer in raw.xinfo_consumers(worker.keys.stream, GROUP):
        raw.xgroup_delconsumer(worker.keys.stream, GROUP, consumer["name"])
    worker.database.away = False
    await worker.carry()
    await hold(worker, 3)
    raw.xgroup_destroy(worker.keys.stream, GROUP)
    worker.database.away = False
    await worker.carry()
    assert await worker.in_database([mid(1), mid(2), mid(3)]) == {mid(1), mid(2), mid(3)}


async def test_deleted_rows_do_not_come_back_from_the_queue(worker: Worker) -> None:
    await hold(worker, 1, 2, 3)
    with pytest.raises(ArtifactStoreError):
        await worker.store.flush()
    # the rest of deleting needs the database, and finds nothing there
    worker.database.__dict__["away"] = True
    assert await worker.store.delete(CHAT, [mid(1)], worker.policy) == 0
    assert set(await worker.store.load(CHAT, [mid(2)], worker.policy)) == {mid(2)}
    worker.database.away = False
    await worker.carry()
    assert await worker.in_database([mid(1), mid(2), mid(3)]) == {mid(2), mid(3)}


async def test_a_deleted_chat_does_not_come_back(worker: Worker) -> None:
    await hold(worker, 1, 2)
    assert await worker.store.delete_chats([CHAT], worker.policy) == 0
    with pytest.raises(ArtifactStoreError):
        await worker.store.load(CHAT, [mid(1)], worker.policy)
    worker.database.away = False
    await worker.carry()
    assert await worker.in_database([mid(1), mid(2)]) == set()
    assert await worker.store.save(artifacts(3), worker.policy) == {mid(3)}
    assert set(await worker.store.load(CHAT, [mid(3)], worker.policy)) == {mid(3)}


async def test_a_poisoned_queue_is_emptied_and_writes_nothing_foreign(
    worker: Worker, raw: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    await hold(worker, 1)
    good = raw.xrange(worker.keys.stream)[0][1][b"row"]
    row = json.loads(good)
    stream = worker.keys.stream
    raw.xadd(stream, {"something": "else"})
    raw.xadd(stream, {"row": good[: len(good) // 2]})
    raw.xadd(stream, {"row": b"\xff\x00"})
    raw.xadd(stream, {"row": "[" * 500})
    raw.xadd(stream, {"row": json.dumps({**row, "created": 1e400})})
    raw.xadd(stream, {"row": json.dumps({**row, "id": "x" * 20})})
    raw.xadd(stream, {"row": json.dumps({**row, "id": mid(9), "table": "chat"})})
    raw.xadd(stream, {"row": json.dumps({**row, "id": mid(8), "table": "response_items_other_00000000"})})
    raw.xadd(stream, {"row": json.dumps({**row, "id": mid(7), "chat": "x" * 65})})
    await worker.store.save(artifacts(2), worker.policy)
    worker.database.away = False
    with caplog.at_level(logging.WARNING):
        await worker.carry()
    assert await worker.in_database([mid(1), mid(2), mid(7), mid(8), mid(9)]) == {mid(1), mid(2)}
    assert raw.xlen(worker.keys.rejected) > 0
    assert "set aside" in caplog.text
    assert "s3cret" not in caplog.text


async def test_a_key_of_another_type_in_our_place_costs_the_queue_not_the_turn(
    worker: Worker, raw: redis.Redis
) -> None:
    raw.delete(worker.keys.stream)
    raw.set(worker.keys.stream, "foreign")
    assert await worker.store.save(artifacts(1), worker.policy) == {mid(1)}
    assert await worker.in_database([mid(1)]) == {mid(1)}
    raw.delete(worker.keys.stream)


async def test_garbage_in_the_cache_is_a_miss(worker: Worker, raw: redis.Redis) -> None:
    await worker.store.save(artifacts(1, 2, 3), worker.policy)
    await worker.carry()
    raw.set(worker.keys.row(mid(1)), b"\x00garbage")
    raw.set(worker.keys.row(mid(2)), raw.get(worker.keys.row(mid(3))) or b"")
    raw.set(worker.keys.generation(CHAT), "no number")
    found = await worker.store.load(CHAT, [mid(1), mid(2), mid(3)], worker.policy)
    assert {one: artifact.payload["n"] for one, artifact in found.items()} == {mid(1): 1, mid(2): 2, mid(3): 3}


async def test_two_pipes_on_one_redis_do_not_meet(start: Callable[..., Worker], worker: Worker) -> None:
    other = start(pipe="another pipe")
    await hold(worker, 1)
    await hold(other, 1)
    other.database.away = False
    await other.carry()
    assert await worker.store.backlog() == 1
    assert await worker.in_database([mid(1)]) == set()
    assert await other.in_database([mid(1)]) == {mid(1)}


async def test_clocks_that_differ_cost_cache_hits_only(start: Callable[..., Worker], worker: Worker) -> None:
    other = start()
    other.wall += timedelta(days=400)
    await hold(worker, 1)
    assert set(await other.store.load(CHAT, [mid(1)], other.policy)) == {mid(1)}
    worker.database.away = False
    await worker.carry()
    assert set(await other.store.load(CHAT, [mid(1)], other.policy)) == {mid(1)}
    assert set(await worker.store.load(CHAT, [mid(1)], worker.policy)) == {mid(1)}


async def test_settings_hold_from_the_next_call(
    worker: Worker, raw: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    worker.policy = evolve(worker.policy, cache_ttl_seconds=60)
    await worker.store.save(artifacts(1), worker.policy)
    await worker.carry()
    assert 0 < int(str(raw.ttl(worker.keys.row(mid(1))))) <= 60
    worker.policy = evolve(worker.policy, cache_ttl_seconds=3600, pending_warn_threshold=1)
    worker.database.away = True
    await worker.store.save(artifacts(2), worker.policy)
    assert "REDIS_PENDING_WARN_THRESHOLD" not in caplog.text
    await worker.store.save(artifacts(3), worker.policy)
    assert caplog.text.count("REDIS_PENDING_WARN_THRESHOLD") == 1
    worker.database.away = False
    await worker.carry()
    assert 60 < int(str(raw.ttl(worker.keys.row(mid(3))))) <= 3600
    raw.delete(worker.keys.row(mid(3)))
    worker.policy = evolve(worker.policy, cache_ttl_seconds=90)
    assert set(await worker.store.load(CHAT, [mid(3)], worker.policy)) == {mid(3)}
    assert 60 < int(str(raw.ttl(worker.keys.row(mid(3))))) <= 90
    worker.policy = evolve(worker.policy, shared=False)
    assert await worker.store.save(artifacts(4), worker.policy) == {mid(4)}
    assert await worker.in_database([mid(4)]) == {mid(4)}
    assert raw.get(worker.keys.row(mid(4))) is None


async def test_the_size_of_a_batch_holds_without_reload(server: RedisServer, tmp_path: Path) -> None:
    worker = Worker(server.url, tmp_path, f"pipe_{uuid.uuid4().hex}")  # nothing but the test carries its queue
    for size, first in ((5, 1), (20, 101), (7, 201)):
        worker.policy = evolve(worker.policy, batch_size=size)
        await hold(worker, *range(first, first + 40))
        worker.database.sizes.clear()
        worker.database.away = False
        await worker.carry()
        assert worker.database.sizes == [size] * (40 // size) + [40 % size] * (40 % size > 0)
    await worker.store.aclose()


async def test_the_limit_of_failures_holds_without_reload(
    start: Callable[..., Worker], caplog: pytest.LogCaptureFixture
) -> None:
    other = start(flush_interval=0.002, pipe=f"limits_{uuid.uuid4().hex}")
    other.policy = evolve(other.policy, flush_failure_limit=50)
    await hold(other, 1)
    failed = ("artifact_flushes", (("outcome", "failed"),))
    await until(lambda: other.metrics.counters.get(failed, 0) >= 2)
    assert "REDIS_FLUSH_FAILURE_LIMIT" not in caplog.text
    other.policy = evolve(other.policy, flush_failure_limit=2)
    await other.store.load(CHAT, [mid(1)], other.policy)
    await until(lambda: "REDIS_FLUSH_FAILURE_LIMIT" in caplog.text)


async def test_one_row_of_a_batch_that_is_another_chats_costs_itself_only(
    worker: Worker, raw: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    direct = SealingSqlArtifactStore(worker.environment)
    theirs = Artifact(mid(2), "another chat", "m", "a/b", "reasoning", {"n": "theirs"})
    await direct.save([theirs], worker.policy)
    await hold(worker, 1, 2, 3)
    await hold(worker, 3)  # and one of them twice
    worker.database.away = False
    await worker.carry()
    assert await worker.in_database([mid(1), mid(2), mid(3)]) == {mid(1), mid(3)}
    found = await direct.load("another chat", [mid(2)], worker.policy)
    assert found[mid(2)].payload == theirs.payload
    assert raw.xpending(worker.keys.stream, GROUP)["pending"] == 0
    assert mid(2) in caplog.text
    await direct.aclose()


async def test_a_redis_that_forgets_loses_what_was_not_carried_over_and_nothing_else(tmp_path: Path) -> None:
    own = RedisServer('save ""')
    worker = Worker(own.url, tmp_path, "pipe")
    try:
        assert await worker.store.save(artifacts(1), worker.policy) == {mid(1)}
        await worker.carry()
        await hold(worker, 2)
        own.stop(kill=True)
        own.start()
        worker.database.away = False
        assert set(await worker.store.load(CHAT, [mid(1), mid(2)], worker.policy)) == {mid(1)}
        assert await worker.store.save(artifacts(3), worker.policy) == {mid(3)}
        await worker.carry()
        assert await worker.in_database([mid(1), mid(2), mid(3)]) == {mid(1), mid(3)}
    finally:
        await worker.store.aclose()
        own.remove()


async def test_a_redis_that_begins_to_evict_is_no_longer_trusted_with_rows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = RedisServer("maxmemory 100mb", "maxmemory-policy volatile-lru")
    worker = Worker(own.url, tmp_path, "pipe")
    try:
        await hold(worker, 1)
        with redis.Redis(port=own.port) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
        worker.seconds += 40
        worker.database.away = False
        assert await worker.store.save(artifacts(2), worker.policy) == {mid(2)}
        assert await worker.in_database([mid(1), mid(2)]) == {mid(2)}
        assert caplog.text.count("Redis may evict") == 1
        await worker.carry()
        assert await worker.in_database([mid(1), mid(2)]) == {mid(1), mid(2)}
    finally:
        await worker.store.aclose()
        own.remove()


async def test_cache_hits_are_served_while_the_database_is_away(worker: Worker) -> None:
    await worker.store.save(artifacts(1, 2), worker.policy)
    await worker.carry()
    worker.database.away = True
    assert len(await worker.store.load(CHAT, [mid(1), mid(2), mid(3)], worker.policy)) == 2
    with pytest.raises(ArtifactStoreError):
        await worker.store.load(CHAT, [mid(3)], worker.policy)


async def test_large_rows_go_to_the_database(worker: Worker, raw: redis.Redis) -> None:
    big = Artifact(mid(1), CHAT, "m", "a/b", "message", {"text": uuid.uuid4().hex * 70_000})
    plain = evolve(worker.policy, key=Secret(""))
    assert await worker.store.save([big], plain) == {mid(1)}
    assert raw.keys(worker.keys.base + ":row:*") == []
    assert (await worker.store.load(CHAT, [mid(1)], plain))[mid(1)].payload == big.payload


@pytest.mark.parametrize("deletion", ["rows", "chat", "clean-up"])
async def test_what_was_deleted_while_redis_was_away_does_not_come_back_with_it(tmp_path: Path, deletion: str) -> None:
    server = RedisServer("appendonly yes", "appendfsync always")
    worker = Worker(server.url, tmp_path, f"pipe_{uuid.uuid4().hex}")
    store, policy, ids = worker.store, worker.policy, [mid(1), mid(2)]
    await store.save(artifacts(1, 2), policy)
    await worker.carry()
    foreign = [Artifact(mid(3), "chat-2", "m", "a/b", "reasoning", {"n": 3})]
    await store.save(foreign, policy)
    server.stop(kill=True)
    assert set(await store.load(CHAT, ids, policy)) == set(ids)
    if deletion == "rows":
        assert await store.delete(CHAT, [*ids, mid(3)], policy) == 2
    elif deletion == "chat":
        assert await store.delete_chats([CHAT], policy) == 2
    else:
        assert await store.clean_up(worker.wall + timedelta(days=1), policy) == 2
    server.start()
    worker.seconds += 3600
    assert await store.load(CHAT, ids, policy) == {}
    assert await store.load_cached(CHAT, ids, policy) == {}
    await worker.carry()
    assert await worker.in_database(ids) == set()
    assert set(await store.load("chat-2", [mid(3)], policy)) == {mid(3)}
    await store.aclose()
    server.remove()


async def test_redis_gone_and_back_with_what_it_held(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    own = RedisServer("appendonly yes", "appendfsync always")
    worker = Worker(own.url, tmp_path, "pipe")
    try:
        await worker.store.load(CHAT, [mid(0)], worker.policy)
        await hold(worker, 1, 2)
        worker.database.away = False
        own.stop(kill=True)
        assert await worker.store.save(artifacts(3), worker.policy) == {mid(3)}
        assert await worker.in_database([mid(1), mid(2), mid(3)]) == {mid(3)}
        own.start()
        with pytest.raises(RedisAway):
            await worker.store.backlog()
        worker.seconds += 10
        await worker.carry()
        assert await worker.in_database([mid(1), mid(2), mid(3)]) == {mid(1), mid(2), mid(3)}
        assert caplog.text.count("Redis cannot be used") == 1
        assert caplog.text.count("Redis is back") == 1
    finally:
        await worker.store.aclose()
        own.remove()


@pytest.mark.parametrize(
    ("options", "address", "word"),
    [
        (("requirepass right",), "redis://:wr0ng@127.0.0.1:{port}/0", "password"),
        (("requirepass right",), "redis://127.0.0.1:{port}/0", "password"),
        ((), "redis://127.0.0.1:{port}/99", "database number"),
        (("replicaof 127.0.0.1 1",), "redis://127.0.0.1:{port}/0", "read-only replica"),
        (("maxmemory 1mb", "maxmemory-policy noeviction"), "redis://127.0.0.1:{port}/0", "maxmemory"),
        (("maxmemory 100mb", "maxmemory-policy allkeys-lru"), "redis://127.0.0.1:{port}/0", "evict"),
        ((), "redis://127.0.0.1:1/0", "ConnectionError"),
        ((), "http://127.0.0.1/0", "ValueError"),
    ],
    ids=["wrong password", "no password", "wrong database", "replica", "full", "evicting", "nobody there", "no Redis"],
)
async def test_a_redis_that_does_not_fit_costs_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, options: tuple[str, ...], address: str, word: str
) -> None:
    own = RedisServer(*options)
    worker = Worker(address.format(port=own.port), tmp_path, "pipe")
    try:
        with caplog.at_level(logging.WARNING):
            many = artifacts(*range(1, 40), size=3000)
            policy = evolve(worker.policy, compress=False)
            assert len(await worker.store.save(many, policy)) == 39
        assert len(await worker.in_database([one.id for one in many])) == 39
        assert len(await worker.store.load(CHAT, [one.id for one in many], policy)) == 39
        assert word in caplog.text
        assert "wr0ng" not in caplog.text
    finally:
        await worker.store.aclose()
        own.remove()


async def test_through_sentinels_and_in_a_cluster(tmp_path: Path) -> None:
    master = RedisServer()
    watch = RedisServer(f"sentinel monitor Main 127.0.0.1 {master.port} 1", sentinel=True)
    cluster = RedisServer("cluster-enabled yes")
    with redis.Redis(port=cluster.port) as client:
        client.execute_command("CLUSTER ADDSLOTS", *range(16384))
    environments = [
        {
            "REDIS_URL": "redis://Main:6379/0",
            "REDIS_SENTINEL_HOSTS": "127.0.0.1",
            "REDIS_SENTINEL_PORT": str(watch.port),
        },
        {"REDIS_URL": cluster.url, "REDIS_CLUSTER": "true"},
    ]
    try:
        for number, environment in enumerate(environments):
            worker = Worker("", tmp_path, f"pipe{number}")
            link = RedisLink(lambda one=environment: connect(one))  # type: ignore[misc]
            store = CachedArtifactStore(worker.database, link, worker.keys, worker.metrics, flush_interval=IDLE)
            worker.store = store
            await until_ready(store, worker.policy)
            await hold(worker, *range(1, 30))
            assert len(await store.load(CHAT, [mid(one) for one in range(1, 30)], worker.policy)) == 29
            worker.database.away = False
            await worker.carry()
            assert len(await worker.in_database([mid(one) for one in range(1, 30)])) == 29
            assert await store.delete(CHAT, [mid(1)], worker.policy) == 1
            assert not await store.load(CHAT, [mid(1)], worker.policy)
            await store.aclose()
    finally:
        for one in (master, watch, cluster):
            one.remove()


@pytest.mark.parametrize("sentinel_wants", ["", "requirepass pw"], ids=["open sentinel", "protected sentinel"])
async def test_a_password_for_the_master_and_perhaps_for_the_sentinels(tmp_path: Path, sentinel_wants: str) -> None:
    master = RedisServer("requirepass pw")
    lines = [f"sentinel monitor Main 127.0.0.1 {master.port} 1", "sentinel auth-pass Main pw", sentinel_wants]
    watch = RedisServer(*lines, sentinel=True)
    environment = {
        "REDIS_URL": "redis://:pw@Main:6379/0",
        "REDIS_SENTINEL_HOSTS": "127.0.0.2, 127.0.0.1",  # nobody is at the first
        "REDIS_SENTINEL_PORT": str(watch.port),
    }
    link = RedisLink(lambda: connect(environment))
    try:
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(RedisAway):
                    async with link.use() as client:
                        assert await client.set("k", "v")
                        break
                await asyncio.sleep(0.2)
    finally:
        await link.aclose()
        left = await still_connected(watch, "pw" if sentinel_wants else None)
        for one in (master, watch):
            one.remove()
    assert left == 1, "closing leaves no connection to a sentinel"


async def still_connected(server: RedisServer, password: str | None) -> int:
    """How many clients a server has once it has noticed who left; whoever asks is one."""
    with redis.Redis(port=server.port, password=password) as asking:
        for _ in range(50):
            if len(asking.client_list()) == 1:
                break
            await asyncio.sleep(0.02)
        return len(asking.client_list())


async def until_ready(store: CachedArtifactStore, policy: StorePolicy) -> None:
    """The cluster needs a moment until it believes in itself."""
    async with asyncio.timeout(20):
        while True:
            try:
                await store.load(CHAT, [mid(0)], policy)
                await store.backlog()
            except RedisAway:
                await asyncio.sleep(0.1)
            else:
                return


def test_another_event_loop_starts_afresh(server: RedisServer, tmp_path: Path) -> None:
    async def turn(worker: Worker, number: int) -> int:
        await worker.store.save(artifacts(number), worker.policy)
        return len(await worker.store.load(CHAT, [mid(number)], worker.policy))

    def turns() -> list[int]:
        worker = Worker(server.url, tmp_path, f"pipe_{uuid.uuid4().hex}")
        worker.database.away = True
        return [asyncio.run(turn(worker, number)) for number in (1, 2, 3)]

    with warnings.catch_warnings():
        # The library's connections of a loop that is gone cannot be closed: redis-py says so of each, and so do its sockets.
        warnings.simplefilter("ignore", ResourceWarning)
        assert turns() == [1, 1, 1]
        gc.collect()  # all of them here, and none in another test


async def test_a_clean_up_says_nothing_about_sharing_and_changes_nothing(worker: Worker, raw: redis.Redis) -> None:
    worker.policy = evolve(worker.policy, shared=False)
    await worker.store.load(CHAT, [mid(0)], worker.policy)
    plain = StorePolicy(worker.keys.pipe_id, Secret("the key"))
    assert await worker.store.clean_up(worker.wall, plain) == 0
    assert await worker.store.save(artifacts(1), plain) == {mid(1)}
    assert raw.get(worker.keys.row(mid(1))) is None
