"""Every setting at its bounds: a turn with reasoning, a tool and a second round still works; beyond them the field is named.

Through the real class ``Pipe``, the real provider adapter and a simulated OpenRouter.
"""

from __future__ import annotations

import asyncio
from functools import partial

import attrs
import pytest
from dependency_injector import providers

from openrouter_pipe.adapters.memory import MemoryToolbox
from openrouter_pipe.adapters.simulator.app import Simulator
from openrouter_pipe.adapters.simulator.config import SimulatorConfig
from openrouter_pipe.adapters.simulator.transport import SimulatorTransport
from openrouter_pipe.ports.settings import SETTINGS, Kind, Setting
from openrouter_pipe.ports.tools import ToolSpec
from pipe_house import House

HUGE = 10**9
MODEL = "router.openai.gpt-5.6-luna"
TOOLS = "[[sim: scenario=tool-loop]]\nCall it."
NUMBERS = [setting for setting in SETTINGS if setting.kind in (Kind.INT, Kind.FLOAT)]
SIMULATOR = Simulator(SimulatorConfig(max_recorded=10))


def bounds(setting: Setting) -> list[object]:
    """The least, the most (a thousand million where there is none), and none where that is a value."""
    most = HUGE if setting.high is None else setting.high
    whole = int if setting.kind is Kind.INT else float
    return [whole(setting.low), whole(most), *([None] if setting.optional else [])]


def beyond(setting: Setting) -> list[object]:
    step = 1 if setting.kind is Kind.INT else 0.01
    return [setting.low - step, *([] if setting.high is None else [setting.high + step]), "many", float("nan")]


class Equipped:
    """Gives every request a toolbox: the fake host has none."""

    def __init__(self, chat: object) -> None:
        self._chat = chat

    async def respond(self, request):
        toolbox = MemoryToolbox()
        toolbox.add(ToolSpec("weather", "", {"type": "object", "properties": {"city": {"type": "string"}}}), _weather)
        async for event in self._chat.respond(attrs.evolve(request, toolbox=toolbox)):
            yield event


async def _weather(_: object) -> str:
    return "sunny"


async def house_with(recent: bool, **valves: object) -> House:
    house = House(recent=recent, overrides={"provider": None, "catalog_source": None}, **valves)
    house.container.transport_factory.override(providers.Object(partial(SimulatorTransport, SIMULATOR)))
    await house.host.models()  # makes the services
    if house.services is not None:
        house.services.chat = Equipped(house.services.chat)
    return house


async def assert_works(house: House) -> None:
    """A turn with tools, and then three at once."""
    async with asyncio.timeout(20):
        text = await house.ask(TOOLS, model=MODEL)
        assert "Error ID" not in text
        assert "sunny" in text
        plain = await asyncio.gather(*(house.ask("[[sim: scenario=plain]]\nhi", model=MODEL) for _ in range(3)))
    assert all("Hello" in one for one in plain)
    assert house.nothing_held()
    assert house.outcomes() == {"completed": 4}
    await house.close()


@pytest.mark.parametrize("recent", [True, False], ids=["0.12.4", "0.6.28"])
@pytest.mark.parametrize(("name", "value"), [(setting.name, value) for setting in NUMBERS for value in bounds(setting)])
async def test_a_turn_works_at_every_bound(name, value, recent):
    await assert_works(await house_with(recent, **{name: value}))


@pytest.mark.parametrize("recent", [True, False], ids=["0.12.4", "0.6.28"])
@pytest.mark.parametrize("which", [0, 1])
async def test_a_turn_works_with_all_of_them_at_once(which, recent):
    await assert_works(await house_with(recent, **{setting.name: bounds(setting)[which] for setting in NUMBERS}))


@pytest.mark.parametrize(
    ("name", "value"),
    [(setting.name, value) for setting in SETTINGS if setting.kind is Kind.CHOICE for value in setting.choices]
    + [(setting.name, value) for setting in SETTINGS if setting.kind is Kind.BOOL for value in (True, False)],
)
async def test_a_turn_works_with_every_choice(name, value):
    if (name, value) == ("FREE_MODEL_FILTER", "only") or (name, value) == ("TOOL_CALLING_FILTER", "exclude"):
        house = await house_with(True, **{name: value})
        assert "may not be used here" in await house.read("hi", model=MODEL)
        return
    await assert_works(await house_with(True, **{name: value}))


@pytest.mark.parametrize(("name", "value"), [(setting.name, value) for setting in NUMBERS for value in beyond(setting)])
async def test_beyond_its_bounds_a_setting_is_named(name, value):
    house = await house_with(True, **{name: value})
    text = await house.read()
    assert text.startswith("### Configuration error")
    assert f"{name}: must be" in text
    assert "at least" in text or "between" in text
