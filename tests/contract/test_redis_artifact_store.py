"""The suite of the artifact store over Redis: on SQLite and on PostgreSQL, written behind by the store itself."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from openrouter_pipe.adapters.memory import MemoryMetrics
from openrouter_pipe.adapters.redis import CachedArtifactStore, RedisLink, connect
from openrouter_pipe.adapters.redis.keys import Keys
from openrouter_pipe.adapters.sql.sealer import SealingSqlArtifactStore
from openrouter_pipe.ports.artifacts import CachedReads
from openrouter_pipe.ports.settings import Secret

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "support")]
import test_artifact_store_contract as suite  # noqa: E402
from test_artifact_store_contract import *  # noqa: E402, F403 - the suite runs again, over the fixture below

from postgres_server import postgres_url  # noqa: E402
from redis_server import RedisServer  # noqa: E402


@pytest.fixture(scope="module")
def redis_server() -> RedisServer:
    return RedisServer()


@pytest.fixture(params=["sqlite", "postgres"])
async def bench(
    request: pytest.FixtureRequest, tmp_path: Path, redis_server: RedisServer
) -> AsyncIterator[suite.Bench]:
    wall = suite.Wall()
    policy = suite.StorePolicy(f"Pipe {uuid.uuid4().hex}", Secret("first key"))
    environment = {"DATA_DIR": str(tmp_path)} if request.param == "sqlite" else {"DATABASE_URL": postgres_url()}
    link = RedisLink(lambda: connect({"REDIS_URL": redis_server.url}))
    inner = SealingSqlArtifactStore(environment, now=wall)
    store = CachedArtifactStore(inner, link, Keys(policy.pipe_id), MemoryMetrics(), now=wall, flush_interval=0.02)
    carrying = asyncio.create_task(store.run())
    yield suite.Bench(store, wall, policy, environment)
    await store.aclose()
    await carrying


async def settled(bench: suite.Bench) -> None:
    """Until everything is in the database; what waits in the queue is read there and keeps its age."""
    assert isinstance(bench.store, CachedArtifactStore)
    while await bench.store.backlog():
        await bench.store.flush()
        await asyncio.sleep(0)


async def test_clean_up_counts_from_the_last_read(bench: suite.Bench) -> None:
    mid = suite.mid
    await bench.store.save([suite.artifact(number) for number in range(30)], bench.policy)
    await settled(bench)
    bench.wall.time = suite.START + timedelta(days=80)
    await bench.store.load(suite.CHAT, [mid(1), mid(2)], bench.policy)
    bench.wall.time = suite.START + timedelta(days=100)
    limit = bench.wall.time - timedelta(days=90)
    assert await bench.store.clean_up(limit, bench.policy) == 28
    assert await bench.store.clean_up(limit, bench.policy) == 0
    assert set(await bench.store.load(suite.CHAT, [mid(1), mid(2), mid(3)], bench.policy)) == {mid(1), mid(2)}


async def test_cached_reads_answer_from_cache_and_queue_and_never_from_the_database(bench: suite.Bench) -> None:
    assert isinstance(bench.store, CachedReads)
    mid = suite.mid
    await bench.store.save([suite.artifact(1)], bench.policy)
    assert set(await bench.store.load_cached(suite.CHAT, [mid(1), mid(2)], bench.policy)) == {mid(1)}
    assert await bench.store.load_cached("another chat", [mid(1)], bench.policy) == {}
    assert await bench.store.load_cached(suite.CHAT, [], bench.policy) == {}
