"""The tools of a request: the host's functions, a caller's own tools, and which of them the model must use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from attrs import frozen

from openrouter_pipe.domain.shaping import documented, values
from openrouter_pipe.domain.shaping.hosted_tools import read_hosted
from openrouter_pipe.domain.shaping.values import UnusableError, Warn
from openrouter_pipe.ports.json import JsonObject, JsonValue
from openrouter_pipe.ports.provider import Endpoint, FunctionTool, HostedTool, ProviderTool

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_SEARCHES_TOOLS: Final = "openrouter:tool_search"
_MODES: Final = ("auto", "none", "required")
_FORCED_ON_RESPONSES: Final = frozenset({"apply_patch", "shell", "web_search_preview", "web_search_preview_2025_03_11"})


@frozen
class ToolUse:
    """The tools, which to use (flat form), and whether several at once."""

    tools: tuple[ProviderTool, ...] = ()
    choice: JsonValue = None
    parallel: bool | None = None


def read_own_tools(
    parameters: JsonObject, endpoint: Endpoint, warn: Warn, *, functions: bool
) -> tuple[ProviderTool, ...]:
    """The caller's ``tools``, nested or flat; a later one of the same name wins.

    Without ``functions`` only the tools that the provider runs: the functions are then the host's own list, repeated.
    """
    given = values.take(parameters, "tools", values.json_list, warn)
    chosen: dict[str, ProviderTool] = {}
    for place, entry in enumerate(given if isinstance(given, tuple) else ()):
        try:
            tool = _tool(values.json_object(entry), endpoint, place, warn)
        except UnusableError as problem:
            warn(f"Parameter tools: entry {place} was left out; it must be {problem}")
            continue
        if isinstance(tool, FunctionTool):
            if functions:
                chosen[f"function {tool.name}"] = tool
        else:
            chosen[f"hosted {place}"] = tool
    return tuple(chosen.values())


def choose_tool_use(parameters: JsonObject, tools: tuple[ProviderTool, ...], endpoint: Endpoint, warn: Warn) -> ToolUse:
    """``tool_choice`` and ``parallel_tool_calls`` for these tools; without tools neither means anything."""
    if not tools:
        return ToolUse()
    choice = values.take(parameters, "tool_choice", lambda value: _choice(value, tools, endpoint), warn)
    if _SEARCHES_TOOLS in _hosted_kinds(tools) and not _goes_with_searched_tools(choice):
        warn(f"Parameter tool_choice was left out: beside {_SEARCHES_TOOLS} it must be auto or name allowed tools")
        choice = None
    parallel = values.take(parameters, "parallel_tool_calls", values.boolean, warn)
    return ToolUse(tools, choice, parallel if isinstance(parallel, bool) else None)


def _tool(entry: JsonObject, endpoint: Endpoint, place: int, warn: Warn) -> ProviderTool:
    kind = entry.get("type")
    if kind != "function" and not (kind is None and "function" in entry):
        if not isinstance(kind, str) or kind not in documented.HOSTED_TOOLS[endpoint]:
            raise UnusableError("a function or a tool that this endpoint documents")
        return HostedTool(read_hosted(entry, endpoint, place, warn))
    nested = entry.get("function")
    fields = nested if isinstance(nested, Mapping) else entry
    name, description = fields.get("name"), fields.get("description")
    parameters, strict = fields.get("parameters"), fields.get("strict")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UnusableError("a function with a name of at most 64 letters, digits, _ and -")
    if not (parameters is None or isinstance(parameters, Mapping)):
        raise UnusableError("a function whose parameters are a JSON Schema object")
    if endpoint is Endpoint.RESPONSES and entry.get("defer_loading") is True:
        flat: dict[str, JsonValue] = {"type": "function", "name": name, "parameters": parameters, "defer_loading": True}
        return HostedTool(flat | ({"description": description} if isinstance(description, str) else {}))
    return FunctionTool(
        name=name,
        description=description if isinstance(description, str) else "",
        parameters=parameters,
        strict=strict if isinstance(strict, bool) else None,
    )


def _choice(value: JsonValue, tools: tuple[ProviderTool, ...], endpoint: Endpoint) -> JsonValue:
    if isinstance(value, str) and not value.lstrip().startswith("{"):
        return values.choice(*_MODES)(value)
    wanted = values.json_object(value)
    kind = wanted.get("type")
    if kind == "function":
        nested = wanted.get("function")
        name = nested.get("name") if isinstance(nested, Mapping) else wanted.get("name")
        if not isinstance(name, str) or name not in _names(tools):
            raise UnusableError("the name of a function that is on offer")
        return {"type": "function", "name": name}
    if not isinstance(kind, str):
        raise UnusableError(f"one of {', '.join(_MODES)} or an object that names a tool")
    if endpoint is Endpoint.RESPONSES and (kind in _FORCED_ON_RESPONSES or _is_allowed_tools(wanted)):
        return wanted
    if endpoint is Endpoint.CHAT_COMPLETIONS and kind in _hosted_kinds(tools):
        return {"type": kind}
    raise UnusableError(f"one of {', '.join(_MODES)} or an object that names a tool")


def _hosted_kinds(tools: tuple[ProviderTool, ...]) -> list[JsonValue]:
    return [tool.payload.get("type") for tool in tools if isinstance(tool, HostedTool)]


def _goes_with_searched_tools(choice: JsonValue) -> bool:
    return choice in (None, "auto") or (isinstance(choice, Mapping) and choice.get("type") == "allowed_tools")


def _is_allowed_tools(wanted: JsonObject) -> bool:
    tools = wanted.get("tools")
    return (
        wanted.get("type") == "allowed_tools"
        and wanted.get("mode") in ("auto", "required")
        and isinstance(tools, list | tuple)
        and all(isinstance(tool, Mapping) for tool in tools)
    )


def _names(tools: tuple[ProviderTool, ...]) -> frozenset[JsonValue]:
    return frozenset(tool.name if isinstance(tool, FunctionTool) else tool.payload.get("name") for tool in tools)
