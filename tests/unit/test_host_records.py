"""The host's model and function classes, as older and newer hosts have them, in order and failing half-way."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from openrouter_pipe.adapters.openwebui.companions import SEARCH_FILTER
from openrouter_pipe.adapters.openwebui.records import HostFunctionTable, HostRecords
from openrouter_pipe.ports.host_models import HostModel, HostModelError

THEIRS = "class Filter:\n    pass\n"


class Meta(BaseModel):
    model_config = ConfigDict(extra="allow")


class Params(BaseModel):
    model_config = ConfigDict(extra="allow")


class OldForm(BaseModel):
    """Up to 0.8: access rules are a column of the record."""

    id: str
    base_model_id: str | None = None
    name: str
    meta: Meta
    params: Params
    access_control: dict[str, Any] | None = None
    is_active: bool = True


class NewForm(BaseModel):
    """After 0.8: access rules are records of their own, handed over where they are to change."""

    id: str
    base_model_id: str | None = None
    name: str
    meta: Meta
    params: Params
    access_grants: list[dict[str, Any]] | None = None
    is_active: bool = True
    commit_message: str | None = None


class Record(BaseModel):
    model_config = ConfigDict(extra="allow")
    id: str
    user_id: str
    name: str
    meta: Meta


class FunctionForm(BaseModel):
    model_config = ConfigDict(extra="allow")
    id: str
    name: str
    content: str


class FakeHost:
    """``newer`` raises where it fails, is asynchronous and has access grants; the older one returns nothing.

    ``fail`` names methods that fail, ``after`` is called by name after a method has worked.
    """

    def __init__(self, *, newer: bool) -> None:
        self.newer = newer
        self.records: dict[str, Record] = {}
        self.functions: dict[str, Any] = {}
        self.fail: set[str] = set()
        self.after: dict[str, Callable[[], object]] = {}
        self.users = [types.SimpleNamespace(id="admin-1", role="admin")]

    def modules(self) -> dict[str, dict[str, Any]]:
        offered = self._class
        return {
            "open_webui": {},
            "open_webui.models": {},
            "open_webui.models.models": {
                "Models": offered("get_all_models", "get_model_by_id", "insert_new_model", "update_model_by_id"),
                "ModelForm": NewForm if self.newer else OldForm,
                "ModelMeta": Meta,
                "ModelParams": Params,
            },
            "open_webui.models.functions": {
                "Functions": offered(
                    "get_functions_by_type",
                    "get_function_by_id",
                    "insert_new_function",
                    "update_function_by_id",
                    "delete_function_by_id",
                ),
                "FunctionForm": FunctionForm,
                "FunctionMeta": Meta,
            },
            "open_webui.models.users": {"Users": offered("get_first_user")},
        }

    def _class(self, *names: str) -> types.SimpleNamespace:
        return types.SimpleNamespace(**{name: self._method(name) for name in names})

    def _method(self, name: str) -> Callable[..., Any]:
        work = getattr(self, f"_{name}")

        def call(*arguments: Any) -> Any:
            if name in self.fail:
                if self.newer or name.startswith("get_"):
                    raise RuntimeError("the database says something secret")
                return None
            found = work(*arguments)
            self.after.pop(name, lambda: None)()
            return found

        async def awaited(*arguments: Any) -> Any:
            return call(*arguments)

        return awaited if self.newer else call

    def _get_first_user(self) -> Any:
        return self.users[0] if self.users else None

    def _get_all_models(self) -> list[Record]:
        return list(self.records.values())

    def _get_model_by_id(self, model_id: str) -> Record | None:
        return self.records.get(model_id)

    def _insert_new_model(self, form: Any, user_id: str) -> Record | None:
        if form.id in self.records:
            if self.newer:
                raise RuntimeError("UNIQUE constraint failed")
            return None
        self.records[form.id] = Record(user_id=user_id, **form.model_dump())
        return self.records[form.id]

    def _update_model_by_id(self, model_id: str, form: Any) -> Record | None:
        before = self.records.get(model_id)
        if before is None:
            return None
        values = form.model_dump(exclude={"commit_message"})
        if values.get("access_grants", ...) is None:
            values.pop("access_grants")
        self.records[model_id] = Record(**{**before.model_dump(), **values})
        return self.records[model_id]

    def _get_functions_by_type(self, kind: str) -> list[Any]:
        return [one for one in self.functions.values() if one.type == kind]

    def _get_function_by_id(self, function_id: str) -> Any:
        return self.functions.get(function_id)

    def _insert_new_function(self, owner: str, kind: str, form: FunctionForm) -> Any:
        if form.id in self.functions:
            if self.newer:
                raise RuntimeError("UNIQUE constraint failed")
            return None
        made = types.SimpleNamespace(id=form.id, content=form.content, type=kind, user_id=owner, is_active=False)
        self.functions[form.id] = made
        return made

    def _update_function_by_id(self, function_id: str, values: dict[str, Any]) -> Any:
        self.functions[function_id].__dict__.update(values)
        return self.functions[function_id]

    def _delete_function_by_id(self, function_id: str) -> bool:
        return self.functions.pop(function_id, None) is not None


@pytest.fixture(params=[False, True], ids=["older", "newer"])
def host(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    made = FakeHost(newer=request.param)
    for name, content in made.modules().items():
        module = types.ModuleType(name)
        module.__path__ = []
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    return made


def private(host: FakeHost) -> dict[str, Any]:
    return {"access_grants": None} if host.newer else {"access_control": {}}


async def test_a_new_record_is_private_and_an_administrators(host: FakeHost) -> None:
    await HostRecords().create(HostModel("pipe.a", "A", {"x": 1}))
    found = host.records["pipe.a"].model_dump()
    assert {key: found[key] for key in ("user_id", "name", "meta")} == {
        "user_id": "admin-1",
        "name": "A",
        "meta": {"x": 1},
    }
    assert {key: found[key] for key in private(host)} == private(host)
    assert await HostRecords().all() == {"pipe.a": HostModel("pipe.a", "A", {"x": 1})}


async def test_an_update_keeps_owner_access_and_all_else(host: FakeHost) -> None:
    access = {"access_grants": [{"principal_id": "*"}]} if host.newer else {"access_control": None}
    kept = {"user_id": "somebody", "is_active": False, "base_model_id": None, "params": {"temperature": 1}, **access}
    host.records["pipe.a"] = Record(id="pipe.a", name="A", meta=Meta(), **kept)
    await HostRecords().update(HostModel("pipe.a", "B", {"y": 2}))
    found = host.records["pipe.a"].model_dump()
    assert {key: found[key] for key in kept} == kept
    assert (found["name"], found["meta"]) == ("B", {"y": 2})


async def test_a_record_deleted_before_or_during_the_update_is_not_made_again(host: FakeHost) -> None:
    await HostRecords().update(HostModel("pipe.a", "B"))
    host.records["pipe.a"] = Record(id="pipe.a", user_id="u", name="A", meta=Meta(), params={})
    host.after["get_model_by_id"] = host.records.clear
    await HostRecords().update(HostModel("pipe.a", "B"))
    assert host.records == {}


@pytest.mark.parametrize("method", ["insert_new_model", "get_first_user"])
async def test_an_insertion_that_fails_is_told(host: FakeHost, method: str) -> None:
    host.fail = {method}
    with pytest.raises(HostModelError) as raised:
        await HostRecords().create(HostModel("pipe.a", "A"))
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("method", ["update_model_by_id", "get_model_by_id"])
async def test_an_update_that_fails_is_told(host: FakeHost, method: str) -> None:
    await HostRecords().create(HostModel("pipe.a", "A"))
    host.fail = {method}
    with pytest.raises(HostModelError, match="the host did not change a model"):
        await HostRecords().update(HostModel("pipe.a", "B"))
    assert host.records["pipe.a"].name == "A"


async def test_without_an_administrator_nothing_is_added(host: FakeHost) -> None:
    host.users = []
    with pytest.raises(HostModelError, match="no administrator"):
        await HostRecords().create(HostModel("pipe.a", "A"))


async def test_the_companion_is_installed_once_and_switched_on(host: FakeHost) -> None:
    table = HostFunctionTable()
    assert await table.installed(SEARCH_FILTER) is None
    assert await table.install(SEARCH_FILTER) == "openrouter_search"
    assert await table.install(SEARCH_FILTER) == await table.installed(SEARCH_FILTER) == "openrouter_search"
    assert [(one.id, one.is_active, one.type, one.user_id) for one in host.functions.values()] == [
        ("openrouter_search", True, "filter", "admin-1")
    ]


async def test_a_companion_that_was_switched_off_stays_off_and_an_old_one_is_updated(host: FakeHost) -> None:
    table = HostFunctionTable()
    await table.install(SEARCH_FILTER)
    function = host.functions["openrouter_search"]
    function.is_active = False
    await table.install(SEARCH_FILTER)
    function.content = function.content.replace("companion_version: 1", "companion_version: 0")
    await table.install(SEARCH_FILTER)
    assert (function.content, function.is_active) == (SEARCH_FILTER.source, False)


async def test_somebody_elses_function_of_that_id_is_left_alone(host: FakeHost) -> None:
    theirs = types.SimpleNamespace(id="openrouter_search", content=THEIRS, type="filter", is_active=False)
    host.functions["openrouter_search"] = theirs
    assert await HostFunctionTable().install(SEARCH_FILTER) == "openrouter_search_2"
    assert (theirs.content, theirs.is_active) == (THEIRS, False)


async def test_two_workers_install_one_companion(host: FakeHost) -> None:
    """The other one is quicker, after this one has looked and found none."""
    ours = types.SimpleNamespace(
        id="openrouter_search", content=SEARCH_FILTER.source, type="filter", user_id="admin-1", is_active=True
    )
    host.after["get_first_user"] = lambda: host.functions.setdefault("openrouter_search", ours)
    assert await HostFunctionTable().install(SEARCH_FILTER) == "openrouter_search"
    assert list(host.functions.values()) == [ours]


async def test_a_companion_that_cannot_be_switched_on_is_not_left_behind_switched_off(host: FakeHost) -> None:
    host.fail = {"update_function_by_id"}
    with pytest.raises(HostModelError, match="did not switch a function on"):
        await HostFunctionTable().install(SEARCH_FILTER)
    assert host.functions == {}
    host.fail = set()
    await HostFunctionTable().install(SEARCH_FILTER)
    assert host.functions["openrouter_search"].is_active


@pytest.mark.parametrize("method", ["insert_new_function", "get_functions_by_type", "get_function_by_id"])
async def test_an_installation_that_fails_is_told(host: FakeHost, method: str) -> None:
    host.fail = {method}
    with pytest.raises(HostModelError) as raised:
        await HostFunctionTable().install(SEARCH_FILTER)
    assert "secret" not in str(raised.value)
    assert host.functions == {}


async def test_an_update_of_the_companion_that_fails_is_told(host: FakeHost) -> None:
    await HostFunctionTable().install(SEARCH_FILTER)
    old = SEARCH_FILTER.source.replace("companion_version: 1", "companion_version: 0")
    host.functions["openrouter_search"].content = old
    host.fail = {"update_function_by_id"}
    with pytest.raises(HostModelError):
        await HostFunctionTable().install(SEARCH_FILTER)
    assert host.functions["openrouter_search"].content == old
