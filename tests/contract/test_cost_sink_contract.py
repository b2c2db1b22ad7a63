"""What every `CostSink` does alike: a real Redis, the twin in memory, and each of them made steady."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

import pytest
from attrs import evolve, frozen

from openrouter_pipe.adapters.memory import MemoryCostSink
from openrouter_pipe.adapters.redis import RedisCostSink, RedisLink, connect
from openrouter_pipe.adapters.redis.costs import read_costs
from openrouter_pipe.composition.steady_telemetry import SteadyCostSink
from openrouter_pipe.ports.json import JsonValue
from openrouter_pipe.ports.telemetry import CostSink, CostSnapshot
from redis_server import RedisServer

USAGE: dict[str, JsonValue] = {"input_tokens": 100, "cost": 0.25, "details": {"cached": [1, None]}}
SNAPSHOT = CostSnapshot("guid-1", "a@example.org", "Ada", "openai/gpt-5", USAGE, 1_700_000_000.0)


@frozen
class World:
    """A sink, and what it holds: (user id, model, usage) of each snapshot, in no order."""

    sink: CostSink
    held: Callable[[], Awaitable[list[tuple[JsonValue, JsonValue, JsonValue]]]]


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.remove()


@pytest.fixture(params=["memory", "memory, steady", "redis", "redis, steady"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    kind, _, steady = request.param.partition(", ")
    if kind == "memory":
        memory = MemoryCostSink()

        async def kept() -> list[tuple[JsonValue, JsonValue, JsonValue]]:
            return [(user, snapshot.model, dict(snapshot.usage)) for user, snapshot in memory.snapshots]

        yield World(SteadyCostSink(memory) if steady else memory, kept)
        return
    server = request.getfixturevalue("redis_server")
    link = RedisLink(lambda: connect({"REDIS_URL": server.url}))
    pipe = f"pipe-{request.node.name}"
    sink = RedisCostSink(link, pipe)

    async def stored() -> list[tuple[JsonValue, JsonValue, JsonValue]]:
        found: list[Mapping[str, JsonValue]] = [one async for one in read_costs(link, pipe)]
        return [(one["user_id"], one["model"], one["usage"]) for one in found]

    yield World(SteadyCostSink(sink) if steady else sink, stored)
    await link.aclose()


async def test_every_snapshot_is_kept(world: World) -> None:
    await world.sink.record("user-1", SNAPSHOT, 60)
    await world.sink.record("user-1", SNAPSHOT, 60)
    await world.sink.record("user:2", evolve(SNAPSHOT, model="b/c"), 60)
    assert sorted(await world.held(), key=str) == [
        ("user-1", "openai/gpt-5", USAGE),
        ("user-1", "openai/gpt-5", USAGE),
        ("user:2", "b/c", USAGE),
    ]


@pytest.mark.parametrize(
    "snapshot",
    [
        evolve(SNAPSHOT, guid=""),
        evolve(SNAPSHOT, email=""),
        evolve(SNAPSHOT, name=""),
        evolve(SNAPSHOT, model=""),
        evolve(SNAPSHOT, usage={}),
        evolve(SNAPSHOT, ts=math.nan),
        evolve(SNAPSHOT, ts=math.inf),
    ],
    ids=["guid", "email", "name", "model", "usage", "no time", "endless time"],
)
async def test_a_snapshot_that_lacks_something_is_dropped(world: World, snapshot: CostSnapshot) -> None:
    await world.sink.record("user-1", snapshot, 60)
    assert await world.held() == []


async def test_one_without_a_user_is_dropped(world: World) -> None:
    await world.sink.record("", SNAPSHOT, 60)
    assert await world.held() == []


async def test_many_at_once(world: World) -> None:
    await asyncio.gather(*(world.sink.record(f"user-{number}", SNAPSHOT, 60) for number in range(50)))
    assert len(await world.held()) == 50
