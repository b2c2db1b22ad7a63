"""The host's model and function classes, as older and newer hosts have them, in order and failing half-way."""

from __future__ import annotations

import types
from typing import Any

import pytest

from host_tables import HostTables, Meta, Record
from openrouter_pipe.adapters.openwebui.companions import SEARCH_FILTER
from openrouter_pipe.adapters.openwebui.records import HostFunctionTable, HostRecords
from openrouter_pipe.ports.host_models import HostModel, HostModelError

THEIRS = "class Filter:\n    pass\n"


@pytest.fixture(params=[False, True], ids=["older", "newer"])
def host(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> HostTables:
    made = HostTables(newer=request.param)
    made.install(monkeypatch)
    return made


def private(host: HostTables) -> dict[str, Any]:
    return {"access_grants": None} if host.newer else {"access_control": {}}


async def test_a_new_record_is_private_and_an_administrators(host: HostTables) -> None:
    await HostRecords().create(HostModel("pipe.a", "A", {"x": 1}))
    found = host.records["pipe.a"].model_dump()
    assert {key: found[key] for key in ("user_id", "name", "meta")} == {
        "user_id": "admin-1",
        "name": "A",
        "meta": {"x": 1},
    }
    assert {key: found[key] for key in private(host)} == private(host)
    assert await HostRecords().all() == {"pipe.a": HostModel("pipe.a", "A", {"x": 1})}


async def test_an_update_keeps_owner_access_and_all_else(host: HostTables) -> None:
    access = {"access_grants": [{"principal_id": "*"}]} if host.newer else {"access_control": None}
    kept = {"user_id": "somebody", "is_active": False, "base_model_id": None, "params": {"temperature": 1}, **access}
    host.records["pipe.a"] = Record(id="pipe.a", name="A", meta=Meta(), **kept)
    await HostRecords().update(HostModel("pipe.a", "B", {"y": 2}))
    found = host.records["pipe.a"].model_dump()
    assert {key: found[key] for key in kept} == kept
    assert (found["name"], found["meta"]) == ("B", {"y": 2})


async def test_a_record_deleted_before_or_during_the_update_is_not_made_again(host: HostTables) -> None:
    await HostRecords().update(HostModel("pipe.a", "B"))
    host.records["pipe.a"] = Record(id="pipe.a", user_id="u", name="A", meta=Meta(), params={})
    host.after["get_model_by_id"] = host.records.clear
    await HostRecords().update(HostModel("pipe.a", "B"))
    assert host.records == {}


@pytest.mark.parametrize("method", ["insert_new_model", "get_first_user"])
async def test_an_insertion_that_fails_is_told(host: HostTables, method: str) -> None:
    host.fail = {method}
    with pytest.raises(HostModelError) as raised:
        await HostRecords().create(HostModel("pipe.a", "A"))
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("method", ["update_model_by_id", "get_model_by_id"])
async def test_an_update_that_fails_is_told(host: HostTables, method: str) -> None:
    await HostRecords().create(HostModel("pipe.a", "A"))
    host.fail = {method}
    with pytest.raises(HostModelError, match="the host did not change a model"):
        await HostRecords().update(HostModel("pipe.a", "B"))
    assert host.records["pipe.a"].name == "A"


async def test_without_an_administrator_nothing_is_added(host: HostTables) -> None:
    host.users = []
    with pytest.raises(HostModelError, match="no administrator"):
        await HostRecords().create(HostModel("pipe.a", "A"))


async def test_the_companion_is_installed_once_and_switched_on(host: HostTables) -> None:
    table = HostFunctionTable()
    assert await table.installed(SEARCH_FILTER) is None
    assert await table.install(SEARCH_FILTER) == "openrouter_search"
    assert await table.install(SEARCH_FILTER) == await table.installed(SEARCH_FILTER) == "openrouter_search"
    assert [(one.id, one.is_active, one.type, one.user_id) for one in host.functions.values()] == [
        ("openrouter_search", True, "filter", "admin-1")
    ]


async def test_a_companion_that_was_switched_off_stays_off_and_an_old_one_is_updated(host: HostTables) -> None:
    table = HostFunctionTable()
    await table.install(SEARCH_FILTER)
    function = host.functions["openrouter_search"]
    function.is_active = False
    await table.install(SEARCH_FILTER)
    function.content = function.content.replace("companion_version: 1", "companion_version: 0")
    await table.install(SEARCH_FILTER)
    assert (function.content, function.is_active) == (SEARCH_FILTER.source, False)


async def test_somebody_elses_function_of_that_id_is_left_alone(host: HostTables) -> None:
    theirs = types.SimpleNamespace(id="openrouter_search", content=THEIRS, type="filter", is_active=False)
    host.functions["openrouter_search"] = theirs
    assert await HostFunctionTable().install(SEARCH_FILTER) == "openrouter_search_2"
    assert (theirs.content, theirs.is_active) == (THEIRS, False)


async def test_two_workers_install_one_companion(host: HostTables) -> None:
    """The other one is quicker, after this one has looked and found none."""
    ours = types.SimpleNamespace(
        id="openrouter_search", content=SEARCH_FILTER.source, type="filter", user_id="admin-1", is_active=True
    )
    host.after["get_first_user"] = lambda: host.functions.setdefault("openrouter_search", ours)
    assert await HostFunctionTable().install(SEARCH_FILTER) == "openrouter_search"
    assert list(host.functions.values()) == [ours]


async def test_a_companion_that_cannot_be_switched_on_is_not_left_behind_switched_off(host: HostTables) -> None:
    host.fail = {"update_function_by_id"}
    with pytest.raises(HostModelError, match="did not switch a function on"):
        await HostFunctionTable().install(SEARCH_FILTER)
    assert host.functions == {}
    host.fail = set()
    await HostFunctionTable().install(SEARCH_FILTER)
    assert host.functions["openrouter_search"].is_active


@pytest.mark.parametrize("method", ["insert_new_function", "get_functions_by_type", "get_function_by_id"])
async def test_an_installation_that_fails_is_told(host: HostTables, method: str) -> None:
    host.fail = {method}
    with pytest.raises(HostModelError) as raised:
        await HostFunctionTable().install(SEARCH_FILTER)
    assert "secret" not in str(raised.value)
    assert host.functions == {}


async def test_an_update_of_the_companion_that_fails_is_told(host: HostTables) -> None:
    await HostFunctionTable().install(SEARCH_FILTER)
    old = SEARCH_FILTER.source.replace("companion_version: 1", "companion_version: 0")
    host.functions["openrouter_search"].content = old
    host.fail = {"update_function_by_id"}
    with pytest.raises(HostModelError):
        await HostFunctionTable().install(SEARCH_FILTER)
    assert host.functions["openrouter_search"].content == old
