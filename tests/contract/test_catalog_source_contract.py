"""What every `CatalogSource` does alike: over HTTP (in process, aiohttp, httpx), shared between workers, and in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from attrs import evolve, frozen

from openrouter_pipe.adapters.memory import ScriptedCatalog
from openrouter_pipe.adapters.openrouter import HttpClients, OpenRouterCatalog
from openrouter_pipe.adapters.redis import RedisLink, SharedCatalog, connect
from openrouter_pipe.adapters.redis.keys import Keys
from openrouter_pipe.adapters.simulator.app import create_app
from openrouter_pipe.adapters.simulator.config import Knobs
from openrouter_pipe.adapters.simulator.server import serve
from openrouter_pipe.adapters.simulator.transport import SimulatorTransport
from openrouter_pipe.ports.catalog import CatalogSource
from openrouter_pipe.ports.provider import Connection, FaultKind, ProviderError, ProviderFault
from openrouter_pipe.ports.settings import Secret
from redis_server import RedisServer

WAY = Connection("http://sim.test/api/v1", Secret("sk-or-test"), "", "")


@frozen
class World:
    """A source, the way to its provider, and how to make its next answer an error of this status."""

    source: CatalogSource
    way: Connection
    fail: Callable[[int], object]


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.remove()


@pytest.fixture(params=["memory", "in process", "aiohttp", "httpx", "shared"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        memory = ScriptedCatalog()

        def fail(status: int) -> None:
            memory.fault = ProviderFault(FaultKind.STATUS, "scripted", status)

        yield World(memory, WAY, fail)
        return
    app = create_app()

    def fail_once(status: int) -> None:
        app.queue_faults(Knobs(status=status, path="/models"))

    if request.param == "in process":
        clients = HttpClients(lambda: SimulatorTransport(app))
        yield World(OpenRouterCatalog(clients), WAY, fail_once)
        await clients.aclose()
        return
    async with serve(app) as server:
        clients = HttpClients(aiohttp=request.param != "httpx")
        source: CatalogSource = OpenRouterCatalog(clients)
        way = evolve(WAY, base_url=server.url)
        if request.param != "shared":
            yield World(source, way, fail_once)
        else:
            link = RedisLink(lambda: connect({"REDIS_URL": request.getfixturevalue("redis_server").url}))
            yield World(SharedCatalog(source, link, Keys("p"), lambda: True), way, fail_once)
            await link.aclose()
        await clients.aclose()


async def test_entries_arrive_as_published(world: World) -> None:
    entries = await world.source.fetch(world.way)
    assert isinstance(entries, tuple)
    assert entries
    for entry in entries:
        assert isinstance(entry["id"], str)
        assert isinstance(entry["name"], str)
        assert isinstance(entry["architecture"], dict)
        assert isinstance(entry["supported_parameters"], list)


async def test_each_fetch_is_a_look_of_its_own(world: World) -> None:
    first = await world.source.fetch(world.way)
    world.fail(503)
    with pytest.raises(ProviderError):
        await world.source.fetch(world.way)
    assert first


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_an_error_status_is_told(world: World, status: int) -> None:
    world.fail(status)
    with pytest.raises(ProviderError) as raised:
        await world.source.fetch(world.way)
    assert (raised.value.fault.kind, raised.value.fault.status) == (FaultKind.STATUS, status)
    assert "sk-or-test" not in f"{raised.value} {raised.value.fault!r}"


async def test_many_ask_at_once(world: World) -> None:
    found = await asyncio.gather(*(world.source.fetch(world.way) for _ in range(5)))
    assert all(entries == found[0] for entries in found)


async def test_a_catalogue_without_entries_is_no_catalogue() -> None:
    with pytest.raises(ProviderError) as raised:
        await ScriptedCatalog([]).fetch(WAY)
    assert raised.value.fault.kind is FaultKind.MALFORMED
