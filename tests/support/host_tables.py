"""The host's model, function and user classes as older and newer hosts have them, over dictionaries.

Lives here: what their methods answer and how they fail. Not here: the rest of a host, see `fake_host`.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict


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


class HostTables:
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

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make them this process's host until the test ends."""
        for name, content in self.modules().items():
            module = types.ModuleType(name)
            module.__path__ = []
            module.__dict__.update(content)
            monkeypatch.setitem(sys.modules, name, module)
