"""What every `CatalogMemory` does alike: the file, and the twin in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import evolve, frozen

from openrouter_pipe.adapters.filesystem.catalogue import CatalogueFile
from openrouter_pipe.adapters.memory import ManualClock, MemoryCatalogueCopy
from openrouter_pipe.ports.catalog import CatalogMemory
from openrouter_pipe.ports.json import JsonObject
from openrouter_pipe.ports.provider import Connection
from openrouter_pipe.ports.settings import Secret

HERE = Connection("https://one.example/api/v1", Secret("sk-or-v1-key"), "", "")
THERE = evolve(HERE, base_url="https://two.example/api/v1")
MODELS: tuple[JsonObject, ...] = ({"id": "a/one", "deep": {"x": [1, None, "ü"]}}, {"id": "a/two"})


@frozen
class World:
    """A memory, and its time."""

    memory: CatalogMemory
    wait: Callable[[float], None]


@pytest.fixture(params=["memory", "file"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    clock = ManualClock()

    def now() -> float:
        return clock.now().timestamp()

    memory = MemoryCatalogueCopy(now) if request.param == "memory" else CatalogueFile(tmp_path / "new" / "cache", now)
    return World(memory, clock.advance)


async def test_what_was_kept_comes_back_with_its_age(world: World) -> None:
    assert await world.memory.load(HERE) is None
    await world.memory.save(HERE, MODELS)
    world.wait(90.0)
    assert await world.memory.load(HERE) == (MODELS, 90.0)


async def test_the_newest_counts(world: World) -> None:
    await world.memory.save(HERE, MODELS)
    world.wait(5.0)
    await world.memory.save(HERE, MODELS[:1])
    assert await world.memory.load(HERE) == (MODELS[:1], 0.0)


async def test_each_address_has_its_own(world: World) -> None:
    await world.memory.save(HERE, MODELS)
    assert await world.memory.load(THERE) is None
    assert await world.memory.load(evolve(HERE, api_key=Secret("another key"))) is not None


async def test_an_empty_list_is_no_catalogue(world: World) -> None:
    await world.memory.save(HERE, ())
    assert await world.memory.load(HERE) is None
