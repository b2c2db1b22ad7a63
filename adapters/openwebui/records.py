"""The host's records of models and its functions, through the host's own classes, on every version.

Model classes are synchronous up to 0.8 and asynchronous after; access rules are a column of the record up to 0.8 (an update
writes every column, so what is there is read first and handed back) and records of their own after (an update leaves them
alone). A record that we add is private on both. The host is imported when it is first asked, never before.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
import re
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from openrouter_pipe.adapters.openwebui.host import text
from openrouter_pipe.ports.host_models import Companion, HostModel, HostModelError

_log = logging.getLogger(__name__)

_PATIENCE: Final = 60.0
_MOST_IDS: Final = 100
_COMMIT: Final = "openrouter-pipe: brought in line with OpenRouter's catalogue"
_VERSION: Final = re.compile(r"^companion_version:[ ]*(\d{1,9})[ ]*$", re.MULTILINE)


class HostRecords:
    """`HostModels` of the host that runs in this process."""

    async def all(self) -> Mapping[str, HostModel]:
        """All records by id; see `HostModels.all`."""
        async with _edge("the host's models could not be read"):
            table = _module("models.models").Models
            found = await _call(table.get_all_models)
            return {record.id: _read(record) for record in found or ()}

    async def get(self, model_id: str) -> HostModel | None:
        """One record as it is now; see `HostModels.get`."""
        async with _edge("a model of the host could not be read"):
            record = await _call(_module("models.models").Models.get_model_by_id, model_id)
            return None if record is None else _read(record)

    async def create(self, model: HostModel) -> None:
        """Add a private record; see `HostModels.create`."""
        async with _edge("the host did not add a model"):
            module = _module("models.models")
            access: dict[str, Any] = {"access_control": {}} if "access_control" in module.ModelForm.model_fields else {}
            form = module.ModelForm(
                id=model.id,
                base_model_id=None,
                name=model.name,
                meta=module.ModelMeta(**model.meta),
                params=module.ModelParams(),
                is_active=True,
                **access,
            )
            owner = await _owner()
            if await _call(module.Models.insert_new_model, form, owner) is None:
                raise _refused("the host did not add a model")

    async def update(self, model: HostModel) -> None:
        """Write name and meta; see `HostModels.update`."""
        async with _edge("the host did not change a model"):
            module = _module("models.models")
            present = await _call(module.Models.get_model_by_id, model.id)
            if present is None:
                return
            kept = {
                name: value
                for name, value in present.model_dump().items()
                if name in module.ModelForm.model_fields and name not in {"access_grants", "meta", "name"}
            }
            if "commit_message" in module.ModelForm.model_fields:
                kept["commit_message"] = _COMMIT
            form = module.ModelForm(**kept, name=model.name, meta=module.ModelMeta(**model.meta))
            if await _call(module.Models.update_model_by_id, model.id, form) is not None:
                return
            # Up to 0.8 the host says the same of a record that is gone and of a failure.
            if await _call(module.Models.get_model_by_id, model.id) is not None:
                raise _refused("the host did not change a model")


class HostFunctionTable:
    """`HostFunctions` of the host that runs in this process."""

    async def installed(self, companion: Companion) -> str | None:
        """The companion's id; see `HostFunctions.installed`."""
        async with _edge("the host's functions could not be read"):
            found = await self._find(companion)
            return None if found is None else str(found.id)

    async def install(self, companion: Companion) -> str:
        """Install or update it; see `HostFunctions.install`."""
        async with _edge("the host did not install a function"):
            module = _module("models.functions")
            found = await self._find(companion)
            if found is not None:
                if _version_of(text(found.content)) < companion.version:
                    content = {"content": companion.source}
                    if await _call(module.Functions.update_function_by_id, found.id, content) is None:
                        raise _refused("the host did not update a function")
                return str(found.id)
            return await self._insert(companion)

    async def _insert(self, companion: Companion) -> str:
        module = _module("models.functions")
        function_id = await self._free_id(companion.suggested_id)
        manifest = {"title": companion.name, "version": str(companion.version)}
        form = module.FunctionForm(
            id=function_id,
            name=companion.name,
            content=companion.source,
            meta=module.FunctionMeta(description=companion.description, manifest=manifest),
        )
        owner = await _owner()
        try:
            async with _edge("the host did not install a function"):
                if await _call(module.Functions.insert_new_function, owner, "filter", form) is None:
                    raise _refused("the host did not install a function")
        except HostModelError:
            found = await self._find(companion)
            if found is None:
                raise
            return str(found.id)  # another worker was quicker
        try:
            async with _edge("the host did not switch a function on"):
                if await _call(module.Functions.update_function_by_id, function_id, {"is_active": True}) is None:
                    raise _refused("the host did not switch a function on")
        except HostModelError:
            # Found again it would count as switched off by an administrator, and stay so.
            await _call(module.Functions.delete_function_by_id, function_id)
            raise
        return function_id

    async def _find(self, companion: Companion) -> Any:
        functions = await _call(_module("models.functions").Functions.get_functions_by_type, "filter")
        ours = [one for one in functions or () if companion.marker in text(one.content)[:2000]]
        return min(ours, key=lambda one: str(one.id), default=None)

    async def _free_id(self, wanted: str) -> str:
        table = _module("models.functions").Functions
        for number in range(1, _MOST_IDS):
            name = wanted if number == 1 else f"{wanted}_{number}"
            if await _call(table.get_function_by_id, name) is None:
                return name
        raise HostModelError(f"the host has functions of every id from {wanted} on")


def _refused(what: str) -> HostModelError:
    """The host's older classes return nothing where they fail."""
    return HostModelError(f"{what}: it gave no reason")


def _read(record: Any) -> HostModel:
    meta = record.meta
    plain = meta if isinstance(meta, dict) else meta.model_dump() if meta is not None else {}
    return HostModel(str(record.id), text(record.name), plain)


def _version_of(source: str) -> int:
    found = _VERSION.search(source)
    return int(found[1]) if found else 0


async def _owner() -> str:
    """The administrator in whose name records are added: the first one of the host."""
    table = _module("models.users").Users
    for name in ("get_super_admin_user", "get_first_user"):
        user = await _call(find) if (find := getattr(table, name, None)) is not None else None
        if user is not None and getattr(user, "role", "") == "admin":
            return str(user.id)
    raise HostModelError("the host has no administrator yet")


async def _call(method: Callable[..., Any], *arguments: Any) -> Any:
    """The host's method: awaited where it is asynchronous, in a thread where it would block the event loop."""
    if inspect.iscoroutinefunction(method):
        return await method(*arguments)
    found = await asyncio.to_thread(method, *arguments)
    return await found if inspect.isawaitable(found) else found


@asynccontextmanager
async def _edge(failure: str) -> AsyncGenerator[None, None]:
    """Whatever the host raises, or does not do in time, is a `HostModelError`: callers know no other error."""
    try:
        async with asyncio.timeout(_PATIENCE):
            yield
    except HostModelError:
        raise
    except Exception as error:
        raise HostModelError(f"{failure}: {type(error).__name__}") from error


def _module(name: str) -> Any:
    try:
        return importlib.import_module(f"open_webui.{name}")
    except ImportError as error:
        raise HostModelError("there is no host in this process") from error


async def stored_valves(function_id: str) -> dict[str, Any]:
    """The valves that the host holds for a function. Raises `HostModelError`, also when there is no such function."""
    async with _edge("the host's functions could not be read"):
        table = _module("models.functions").Functions
        if await _call(table.get_function_by_id, function_id) is None:
            raise HostModelError(f"the host has no function {function_id!r}; name the pipe's with --pipe-id")
        return dict(await _call(table.get_function_valves_by_id, function_id) or {})


def is_running() -> bool:
    """Whether a host runs in this process; nothing is imported to find out."""
    return "open_webui.main" in sys.modules and "open_webui.models.models" in sys.modules
