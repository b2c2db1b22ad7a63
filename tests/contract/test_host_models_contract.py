"""What `HostModels` and `HostFunctions` do alike: the adapter over older and newer hosts' classes, and the twins in memory."""

from __future__ import annotations

import pytest
from attrs import evolve

from host_tables import HostTables
from openrouter_pipe.adapters.memory import MemoryHostFunctions, MemoryHostModels
from openrouter_pipe.adapters.openwebui.companions import SEARCH_FILTER
from openrouter_pipe.adapters.openwebui.records import HostFunctionTable, HostRecords
from openrouter_pipe.ports.host_models import HostFunctions, HostModel, HostModelError, HostModels

A, B = HostModel("pipe.a", "A", {"x": 1, "deep": {"y": [1, None]}}), HostModel("pipe.b", "B")
NEWER = evolve(
    SEARCH_FILTER, version=2, source=SEARCH_FILTER.source.replace("companion_version: 1", "companion_version: 2")
)
THEIRS = evolve(SEARCH_FILTER, marker="somebody_elses: thing", source='"""\nsomebody_elses: thing\n"""\n')


@pytest.fixture(params=["memory", "older host", "newer host"])
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[HostModels, HostFunctions]:
    if request.param == "memory":
        return MemoryHostModels(), MemoryHostFunctions()
    HostTables(newer=request.param == "newer host").install(monkeypatch)
    return HostRecords(), HostFunctionTable()


@pytest.fixture
def models(world: tuple[HostModels, HostFunctions]) -> HostModels:
    return world[0]


@pytest.fixture
def functions(world: tuple[HostModels, HostFunctions]) -> HostFunctions:
    return world[1]


async def test_what_was_added_is_read_whole(models: HostModels) -> None:
    assert dict(await models.all()) == {}
    assert await models.get("pipe.a") is None
    await models.create(A)
    await models.create(B)
    assert dict(await models.all()) == {"pipe.a": A, "pipe.b": B}
    assert await models.get("pipe.a") == A


async def test_what_is_there_already_is_not_added_again(models: HostModels) -> None:
    await models.create(A)
    with pytest.raises(HostModelError, match="did not add a model"):
        await models.create(evolve(A, name="Other"))
    assert await models.get("pipe.a") == A


async def test_an_update_writes_name_and_meta(models: HostModels) -> None:
    await models.create(A)
    changed = HostModel("pipe.a", "Renamed", {"z": True})
    await models.update(changed)
    assert dict(await models.all()) == {"pipe.a": changed}


async def test_an_update_of_what_is_gone_makes_nothing(models: HostModels) -> None:
    await models.update(A)
    assert dict(await models.all()) == {}


async def test_a_list_that_was_handed_out_does_not_change(models: HostModels) -> None:
    await models.create(A)
    before = await models.all()
    await models.create(B)
    assert set(before) == {"pipe.a"}


async def test_a_companion_is_installed_once(functions: HostFunctions) -> None:
    assert await functions.installed(SEARCH_FILTER) is None
    first = await functions.install(SEARCH_FILTER)
    assert first == SEARCH_FILTER.suggested_id
    assert await functions.install(SEARCH_FILTER) == await functions.installed(SEARCH_FILTER) == first


async def test_a_newer_companion_takes_its_place(functions: HostFunctions) -> None:
    first = await functions.install(SEARCH_FILTER)
    assert await functions.install(NEWER) == first
    assert await functions.install(SEARCH_FILTER) == first
    assert await functions.installed(NEWER) == first


async def test_what_others_wrote_keeps_its_id(functions: HostFunctions) -> None:
    taken = await functions.install(THEIRS)
    ours = await functions.install(SEARCH_FILTER)
    assert (taken, ours) == ("openrouter_search", "openrouter_search_2")
    assert await functions.installed(THEIRS) == taken
    assert await functions.installed(SEARCH_FILTER) == ours
