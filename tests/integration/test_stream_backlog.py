"""A reader that falls behind the model is told to the operator, whatever holds the events meanwhile: nothing else is lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from openrouter_pipe.adapters.openrouter import HttpClients, OpenRouterProvider
from openrouter_pipe.adapters.simulator.app import create_app
from openrouter_pipe.adapters.simulator.server import SimulatorServer, serve
from openrouter_pipe.ports.items import MessageItem, Role, TextPart
from openrouter_pipe.ports.provider import Connection, Endpoint, ProviderRequest, TextDelta
from openrouter_pipe.ports.settings import Secret
from transports import TRANSPORTS

EVENTS = 5000


class Watch:
    """Seconds that pass only where a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def server() -> AsyncIterator[SimulatorServer]:
    async with serve(create_app()) as running:
        yield running


@pytest.fixture(params=TRANSPORTS)
async def clients(request: pytest.FixtureRequest) -> AsyncIterator[HttpClients]:
    shared = HttpClients(**TRANSPORTS[request.param])
    yield shared
    await shared.aclose()


def asking(knobs: str) -> ProviderRequest:
    words = TextPart(f"[[sim: scenario=long;{knobs}]]\nGo.")
    return ProviderRequest(Endpoint.RESPONSES, "openai/gpt-5.6-luna", (MessageItem(Role.USER, (words,)),), stream=True)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if "waiting to be read" in one.getMessage()]


async def read(
    provider: OpenRouterProvider, server: SimulatorServer, knobs: str, warn_size: int, seconds: float, watch: Watch
) -> int:
    """Read a stream with ``seconds`` of the watch for each event; returns how many pieces of text came."""
    way = Connection(server.url, Secret("sk-or-test"), "", "", event_queue_warn_size=warn_size)
    pieces = 0
    async for event in provider.stream(asking(knobs), way):
        pieces += isinstance(event, TextDelta)
        watch.now += seconds
        if pieces == 1:  # from here on the model is far ahead
            async with asyncio.timeout(20):
                while "speed" not in knobs and not server.app.requests[-1].finished:
                    await asyncio.sleep(0)
    return pieces


@pytest.mark.parametrize("warn_size", [100, 1000])
async def test_a_backlog_beyond_the_size_is_told_once_in_thirty_seconds(
    server: SimulatorServer, clients: HttpClients, warn_size: int, caplog: pytest.LogCaptureFixture
) -> None:
    watch = Watch()
    provider = OpenRouterProvider(clients, monotonic=watch)
    with caplog.at_level(logging.WARNING):
        assert await read(provider, server, f"text={EVENTS}", warn_size, 0.001, watch) == EVENTS
        assert len(warnings(caplog)) == 1
        watch.now += 25
        await read(provider, server, f"text={EVENTS}", warn_size, 0.001, watch)
        assert len(warnings(caplog)) == 2  # the second begins after 25 seconds and reaches 30
        assert int(warnings(caplog)[0].split()[0]) > warn_size


async def test_a_reader_that_keeps_up_is_not_blamed(
    server: SimulatorServer, clients: HttpClients, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        provider = OpenRouterProvider(clients)
        assert await read(provider, server, "text=400;speed=1000", 100, 0.0, Watch()) == 400
        assert await read(provider, server, f"text={EVENTS}", EVENTS + 100, 0.0, Watch()) == EVENTS
    assert warnings(caplog) == []
