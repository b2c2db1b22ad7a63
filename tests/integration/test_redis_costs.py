"""Cost snapshots in a real Redis: their shape, their life, and what the reader makes of them and of garbage."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator

import pytest
import redis
from attrs import evolve

from openrouter_pipe.adapters.redis import RedisCostSink, RedisLink, connect
from openrouter_pipe.composition.costs import add_up, as_csv, run_costs
from openrouter_pipe.composition.redis import cost_sink
from openrouter_pipe.ports.telemetry import CostSnapshot
from redis_server import RedisServer

SEVERAL = {"UVICORN_WORKERS": "2", "WEBSOCKET_MANAGER": "redis"}
USAGE = {"input_tokens": 100, "output_tokens": 20, "cost": 0.25, "details": {"cached": 1}}
SNAPSHOT = CostSnapshot("guid-1", "a@example.org", "Ada", "openai/gpt-5", USAGE, 1_700_000_000.9)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    one = RedisServer()
    yield one
    one.remove()


@pytest.fixture
def raw(server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis(port=server.port) as client:
        client.flushall()
        yield client


def record(server: RedisServer, *snapshots: CostSnapshot, pipe: str = "openrouter", ttl: int = 900) -> None:
    async def run() -> None:
        sink = RedisCostSink(RedisLink(lambda: connect({"REDIS_URL": server.url})), pipe)
        for snapshot in snapshots:
            await sink.record("user-1", snapshot, ttl)
        await sink.aclose()

    asyncio.run(run())


def test_the_key_and_the_value_are_as_collectors_know_them(server: RedisServer, raw: redis.Redis) -> None:
    record(server, SNAPSHOT, ttl=61)
    [key] = raw.keys("*")
    assert re.fullmatch(rb"costs:openrouter:user-1:[0-9a-f-]{36}:1700000000", key)
    assert 0 < int(str(raw.ttl(key))) <= 61
    assert json.loads(str((raw.get(key) or b"").decode())) == {
        "guid": "guid-1",
        "email": "a@example.org",
        "name": "Ada",
        "model": "openai/gpt-5",
        "usage": USAGE,
        "ts": 1_700_000_000,
    }


@pytest.mark.parametrize("missing", ["guid", "email", "name", "model", "usage"])
def test_a_snapshot_with_a_missing_field_is_skipped(server: RedisServer, raw: redis.Redis, missing: str) -> None:
    record(server, evolve(SNAPSHOT, **{missing: {} if missing == "usage" else ""}))
    assert raw.keys("*") == []


def test_without_redis_nothing_is_raised() -> None:
    async def run() -> None:
        sink = RedisCostSink(RedisLink(lambda: connect({"REDIS_URL": "redis://127.0.0.1:1/0"})), "p")
        await sink.record("u", SNAPSHOT, 60)
        await sink.aclose()

    asyncio.run(run())


def test_a_redis_that_hangs_holds_a_turn_up_for_a_second_at_most_and_not_again_at_once() -> None:
    frozen = RedisServer()

    async def run() -> list[float]:
        sink = cost_sink({**SEVERAL, "REDIS_URL": frozen.url, "WEBSOCKET_REDIS_URL": frozen.url}, "p")
        assert isinstance(sink, RedisCostSink)
        await sink.record("u", SNAPSHOT, 60)
        frozen.freeze()
        waits = []
        for _ in range(2):
            began = time.monotonic()
            await sink.record("u", SNAPSHOT, 60)
            waits.append(time.monotonic() - began)
        frozen.freeze(on=False)
        await sink.aclose()
        return waits

    try:
        first, second = asyncio.run(run())
    finally:
        frozen.remove()
    assert first < 1.5
    assert second < 0.1


def test_the_reader_adds_up_and_steps_over_garbage(
    server: RedisServer, raw: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    record(server, SNAPSHOT, SNAPSHOT, evolve(SNAPSHOT, model="=cmd\x1b[31m", ts=1_700_100_000.0))
    record(server, SNAPSHOT, pipe="other")
    raw.set("costs:openrouter:u:x:1", "{broken")
    raw.set("costs:openrouter:u:y:1", json.dumps({"usage": {}, "ts": 1e300, "model": "m"}))
    raw.set("costs:openrouter:u:z:1", json.dumps({"usage": {"cost": "free"}, "ts": True, "model": 3}))
    raw.lpush("costs:openrouter:u:l:1", "a list")
    environment = {"REDIS_URL": server.url}
    assert run_costs(environment, form="json", pipe_id="openrouter") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["day"], line["rounds"], line["cost"], line["input_tokens"]) for line in lines] == [
        ("2023-11-14", 2, 0.5, 200),
        ("2023-11-16", 1, 0.25, 100),
    ]
    assert run_costs(environment, form="csv") == 0
    out = capsys.readouterr().out
    assert "'=cmd" in out
    assert "\x1b" not in out
    assert out.splitlines()[1] == "2023-11-14,user-1,a@example.org,openai/gpt-5,3,300,60,0.75000000"
    assert run_costs(environment) == 0
    out = capsys.readouterr().out
    assert "█" in out
    assert "total" in out


def test_nothing_there_and_nobody_there(
    server: RedisServer, raw: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_costs({"REDIS_URL": server.url}) == 0
    assert "No cost snapshots" in capsys.readouterr().out
    assert run_costs({}) == 2
    assert "REDIS_URL" in capsys.readouterr().err
    assert run_costs({"REDIS_URL": "redis://:s3cret@127.0.0.1:1/0"}) == 1
    assert "s3cret" not in capsys.readouterr().err
    assert add_up([]) == []
    assert len(as_csv([]).splitlines()) == 1
