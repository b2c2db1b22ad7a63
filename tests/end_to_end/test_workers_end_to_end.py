"""Open WebUI with two workers over a real Redis and PostgreSQL: each worker knows what the other one's turns stored.

The tool that the model calls runs inside the worker that answers and writes down its process id: that is the proof of who
answered. The provider's record of its requests is the proof of what was replayed.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
import venvs
import webui_setup
from tool_servers import Counter
from webui_host import WebUIHost
from webui_setup import FUNCTION_ID, Provider, model_id
from webui_tab import JsonDict, Turn
from worker_processes import ChoosyTab, workers

from postgres_server import postgres_url
from redis_server import RedisServer

CLAUDE = model_id("anthropic/claude-sonnet-4.5")
LOOP = "[[sim: scenario=tool-loop]] "
NATIVE = {"function_calling": "native"}
MARKER = re.compile(r"\[([0-9A-HJKMNP-TV-Z]{20})\]: #")
REMEMBERED = ("reasoning", "function_call", "function_call_output")
TOOL = '''"""
title: Dice
"""
import os


class Tools:
    async def roll_dice(self, sides: int) -> str:
        """
        Rolls a die.

        :param sides: how many sides it has
        """
        with open({log!r}, "a") as log:
            log.write(f"{{os.getpid()}}\\n")
        return f"the die with {{sides}} sides shows four"
'''


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """A provider for this deployment alone, whose requests can be counted."""
    with webui_setup.simulated_provider() as running:
        yield running


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    one = RedisServer("appendonly yes")
    yield one
    one.remove()


@pytest.fixture(scope="module")
def deployment(
    tmp_path_factory: pytest.TempPathFactory, provider: Provider, redis_server: RedisServer
) -> Iterator[WebUIHost]:
    """Open WebUI with two workers."""
    venvs.ensure(venvs.MAIN_VERSION)
    environment = {
        "REDIS_URL": redis_server.url,
        "WEBSOCKET_MANAGER": "redis",
        "WEBSOCKET_REDIS_URL": redis_server.url,
        "DATABASE_URL": postgres_url(),
    }
    folder = tmp_path_factory.mktemp("webui-workers")
    # The first start fills the database. Two workers would insert the same rows of settings, and the one that comes second
    # fails while it starts, upon which uvicorn ends the whole server.
    with WebUIHost(venvs.MAIN_VERSION, folder, environment=environment):
        pass
    with WebUIHost(venvs.MAIN_VERSION, folder, environment=environment | {"UVICORN_WORKERS": "2"}) as host:
        valves = {"BASE_URL": provider.url, "API_KEY": webui_setup.SIMULATOR_KEY, "ARTIFACT_ENCRYPTION_KEY": "a key"}
        webui_setup.install_pipe(host, valves | {"COSTS_REDIS_DUMP": True})
        yield host


@pytest.fixture(scope="module")
def runs(deployment: WebUIHost, tmp_path_factory: pytest.TempPathFactory) -> Counter:
    """Process ids, one for each call of the tool."""
    counter = Counter(tmp_path_factory.mktemp("dice") / "runs")
    form = {"id": "worker_dice", "name": "worker_dice", "meta": {"description": "dice", "manifest": {}}}
    deployment.post("/api/v1/tools/create", form | {"content": TOOL.format(log=str(counter.path))})
    return counter


@pytest.fixture
async def tab(deployment: WebUIHost) -> AsyncIterator[ChoosyTab]:
    async with ChoosyTab(deployment) as one:
        yield one


def both(host: WebUIHost) -> list[int]:
    """The two workers, once both are there."""
    deadline = time.monotonic() + 60
    while len(found := workers(host)) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(found) == 2
    return found


def sent(provider: Provider, since: int) -> list[list[JsonDict]]:
    """The input items of every answer's request from number ``since`` on, without tasks."""
    bodies = [request["body"] for request in provider.turns()[since:]]
    return [body["input"] for body in bodies if "### Task:" not in json.dumps(body)]


def remembered(items: list[JsonDict]) -> list[JsonDict]:
    return [item for item in items if item.get("type") in REMEMBERED]


async def roll(tab: ChoosyTab, pid: int, runs: Counter, **extra: Any) -> Turn:
    """A turn with reasoning and a call, answered by worker ``pid``."""
    before = len(runs.runs)
    await tab.choose(pid)
    turn = await tab.ask(CLAUDE, LOOP + "Roll it.", params=NATIVE, tool_ids=["worker_dice"], **extra)
    assert not turn.message.get("error")
    assert runs.runs[before:] == [str(pid)], "another worker answered"
    return turn


def rows(chat_id: str) -> set[str]:
    with psycopg.connect(postgres_url()) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE tablename LIKE 'response_items_%'").fetchall()
        return {
            one
            for (name,) in names
            for (one,) in connection.execute(f'SELECT id FROM "{name}" WHERE chat_id = %s', [chat_id])
        }


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.1)


def command(redis_server: RedisServer, *arguments: str) -> str:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "openrouter-pipe"), "costs", *arguments],
        env={**os.environ, "REDIS_URL": redis_server.url},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


async def test_turns_of_one_chat_in_different_workers(
    deployment: WebUIHost, provider: Provider, runs: Counter, tab: ChoosyTab, redis_server: RedisServer
) -> None:
    first, second = both(deployment)
    before = len(provider.turns())
    one = await roll(tab, first, runs)
    made = remembered(sent(provider, before)[1])
    assert [item["type"] for item in made] == list(REMEMBERED)

    before = len(provider.turns())
    two = await roll(tab, second, runs, chat_id=one.chat_id)
    asked, answered = sent(provider, before)
    assert remembered(asked) == made, "the second worker replays what the first one stored, verbatim"
    made_too = remembered(answered)
    assert made_too[:3] == made
    assert len(made_too) == 6
    markers = set(MARKER.findall(json.dumps([one.message, two.message])))
    assert len(markers) >= 6
    await until(lambda: markers <= rows(one.chat_id))
    with redis.Redis(port=redis_server.port) as client:
        keys = [key.decode() for key in client.keys("*artifacts:*")]
        assert keys
        assert all(key.startswith(f"{FUNCTION_ID}:") for key in keys)
        (stream,) = [key for key in keys if key.endswith(":pending")]
        await until(lambda: client.xlen(stream) == 0)
    fetches = [request for request in provider.requests() if str(request["path"]).endswith("/models")]
    assert len(fetches) == 1, "one worker fetched the catalogue for both"
    log = deployment.log_text()
    assert log.count("Redis active") >= 2, "each worker says so"
    assert "Redis cannot be used" not in log


async def test_costs_of_rounds_and_tasks_are_exported(
    deployment: WebUIHost, provider: Provider, runs: Counter, tab: ChoosyTab, redis_server: RedisServer
) -> None:
    with redis.Redis(port=redis_server.port) as client:
        for key in client.keys("costs:*"):
            client.delete(key)
        turn = await roll(tab, both(deployment)[0], runs, background_tasks={"title_generation": True})
        await until(lambda: len(client.keys("costs:*")) >= 3)
        found = [(key.decode(), json.loads(client.get(key) or b"")) for key in client.keys("costs:*")]
    assert turn.chat_id
    me = deployment.get("/api/v1/auths/")
    for key, value in found:
        assert re.fullmatch(rf"costs:{FUNCTION_ID}:{me['id']}:[0-9a-f-]{{36}}:{value['ts']}", key)
        assert {name: value[name] for name in ("guid", "email", "name")} == {
            "guid": me["id"],
            "email": me["email"],
            "name": me["name"],
        }
        assert abs(time.time() - value["ts"]) < 60
    lines = [json.loads(line) for line in command(redis_server, "--json").splitlines()]
    assert sum(line["rounds"] for line in lines) == len(found) == 3, "two rounds and the title"
    assert {line["email"] for line in lines} == {me["email"]}
    assert command(redis_server, "--csv").count("\n") == len(lines) + 1
    assert "█" in command(redis_server)


async def test_what_a_worker_stored_outlives_it(
    deployment: WebUIHost, provider: Provider, runs: Counter, tab: ChoosyTab
) -> None:
    first, second = both(deployment)
    before = len(provider.turns())
    one = await roll(tab, second, runs)
    made = remembered(sent(provider, before)[1])
    os.kill(second, signal.SIGKILL)
    before = len(provider.turns())
    async with ChoosyTab(deployment) as other:
        other.chats[one.chat_id] = tab.chats[one.chat_id]
        await other.choose(first)
        two = await other.ask(CLAUDE, "And now?", chat_id=one.chat_id)
    assert not two.message.get("error")
    (items,) = sent(provider, before)
    assert remembered(items) == made
