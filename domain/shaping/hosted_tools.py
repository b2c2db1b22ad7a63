"""The options of tools that the provider runs, and of those that are no functions: each read on its own.

An option of the wrong type costs the whole request at the provider; here it costs itself, and one warning. A tool without
what it cannot be without costs itself. Options that nobody documents pass as they are. Not here: functions (tools.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from openrouter_pipe.domain.shaping import values
from openrouter_pipe.domain.shaping.documented import EFFORTS, WEB_SEARCH_TOOLS
from openrouter_pipe.domain.shaping.parameters import read_cache_control
from openrouter_pipe.domain.shaping.plugins import PLACES, SEARCH_MODE, are_tools, read_few_tools, read_models
from openrouter_pipe.domain.shaping.values import Reader, UnusableError, Warn
from openrouter_pipe.ports.json import JsonObject, JsonValue
from openrouter_pipe.ports.provider import Endpoint

_PREFIX: Final = "openrouter:"
_NAME: Final = re.compile(r"[a-zA-Z0-9 _-]{1,64}")
_CONTAINER: Final = re.compile(r"[\w-]{1,20}")
_ONLY_ON_RESPONSES: Final = frozenset({"inherit_functions", "inherited_function_names"})


def read_hosted(entry: JsonObject, endpoint: Endpoint, place: int, warn: Warn) -> JsonObject:
    """A tool's JSON as it can be sent.

    ``entry`` has a documented type; ``place`` is where it stands among the caller's tools, for the warning.

    Raises:
        UnusableError: something is missing that the tool cannot be without.
    """
    kind = str(entry["type"])
    read = _options(entry, {**_FLAT.get(kind, {}), **_NEEDED.get(kind, {})}, f"tools[{place}]", warn)
    if missing := [name for name in _NEEDED.get(kind, {}) if name not in read]:
        raise UnusableError(f"a {kind} with {', '.join(missing)}")
    if kind not in _NESTED:
        return read
    options = read.pop("parameters", None)
    try:
        given = {} if options is None else values.json_object(options)
    except UnusableError as problem:
        warn(f"Parameter tools[{place}].parameters was left out: it must be {problem}, not {values.shown(options)}")
        given = {}
    if endpoint is Endpoint.CHAT_COMPLETIONS:
        given = {name: value for name, value in given.items() if name not in _ONLY_ON_RESPONSES}
    nested = _options(given, _NESTED[kind], f"tools[{place}].parameters", warn)
    return {**read, "parameters": nested} if nested or options == {} else read


def _options(given: JsonObject, readers: Mapping[str, Reader], where: str, warn: Warn) -> dict[str, JsonValue]:
    read: dict[str, JsonValue] = {}
    for name, value in given.items():
        if value is None or (name in readers and values.is_unset(value)):
            continue
        try:
            read[name] = readers[name](value) if name in readers else value
        except UnusableError as problem:
            warn(f"Parameter {where}.{name} was left out: it must be {problem}, not {values.shown(value)}")
    return read


def _name(value: JsonValue) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise UnusableError("a name of at most 64 letters, digits, blanks, _ and -")
    return value


def _tools(value: JsonValue) -> JsonValue:
    tools = values.json_list(value)
    if not are_tools(tools):
        raise UnusableError("a list of objects, each with a type")
    return tools


def _reasoning(value: JsonValue) -> JsonValue:
    wish = values.json_object(value)
    read: dict[str, JsonValue] = {}
    if not values.is_unset(effort := wish.get("effort")):
        read["effort"] = values.choice(*EFFORTS)(effort)
    if not values.is_unset(budget := wish.get("max_tokens")):
        read["max_tokens"] = values.integer(budget)
    return read


def _location(value: JsonValue) -> JsonValue:
    place = values.json_object(value)
    if place.get("type") not in (None, "approximate"):
        raise UnusableError("an object with type approximate and texts")
    named = {name: values.text(place[name]) for name in PLACES if not values.is_unset(place.get(name))}
    return {"type": "approximate", **named}


def _filters(value: JsonValue) -> JsonValue:
    filters = values.json_object(value)
    names = ("allowed_domains", "blocked_domains", "excluded_domains")
    return {name: values.words(filters[name]) for name in names if not values.is_unset(filters.get(name))}


def _environment(value: JsonValue) -> JsonValue:
    environment = values.json_object(value)
    known = environment.get("container_id")
    match environment.get("type"):
        case "container_auto":
            return {"type": "container_auto"}
        case "container_reference" if isinstance(known, str) and _CONTAINER.fullmatch(known):
            return {"type": "container_reference", "container_id": known}
    raise UnusableError("an object with type container_auto or container_reference (then with a container_id)")


def _container(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return values.text(value)
    container = values.json_object(value)
    if container.get("type") != "auto":
        raise UnusableError("a container's id or an object with type auto")
    return {name: member for name, member in container.items() if member is not None}


def _image_option(value: JsonValue) -> JsonValue:
    if isinstance(value, bool | Mapping):
        raise UnusableError("a text, a number or a list")
    return value


class _ImageOptions(dict[str, Reader]):
    """Every option of the image tool but its model is read alike; which there are depends on the model."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> Reader:
        return _image_option


_LEVEL: Final = values.choice("low", "medium", "high")
_SEARCH: Final[Mapping[str, Reader]] = {
    **dict.fromkeys(("max_results", "max_total_results", "max_uses", "max_characters"), values.positive),
    **dict.fromkeys(("allowed_domains", "excluded_domains"), values.words),
    "engine": values.choice("auto", "native", "exa", "parallel", "firecrawl", "perplexity"),
    "mode": SEARCH_MODE,
    "search_context_size": _LEVEL,
    "user_location": _location,
    "filters": _filters,
}
_MODEL: Final[Mapping[str, Reader]] = {
    **dict.fromkeys(("model", "instructions"), values.text),
    "name": _name,
    "max_completion_tokens": values.positive,
    "reasoning": _reasoning,
    "temperature": values.number,
}
_NESTED: Final[Mapping[str, Mapping[str, Reader]]] = {
    f"{_PREFIX}web_search": _SEARCH,
    f"{_PREFIX}web_fetch": {
        **dict.fromkeys(("max_uses", "max_content_tokens"), values.positive),
        **dict.fromkeys(("allowed_domains", "blocked_domains"), values.words),
        "engine": values.choice("auto", "native", "openrouter", "exa", "parallel", "firecrawl"),
    },
    f"{_PREFIX}datetime": {"timezone": values.text},
    f"{_PREFIX}image_generation": _ImageOptions(model=values.text),
    f"{_PREFIX}tool_search": {"max_results": values.positive},
    f"{_PREFIX}experimental__search_models": {"max_results": values.positive},
    f"{_PREFIX}shell": {
        "engine": values.choice("auto", "openrouter"),
        "environment": _environment,
        "sleep_after_seconds": values.positive,
    },
    f"{_PREFIX}apply_patch": {"engine": values.choice("auto", "native", "openrouter")},
    f"{_PREFIX}files": {},
    f"{_PREFIX}advisor": {**_MODEL, **dict.fromkeys(("forward_transcript", "stream"), values.boolean)},
    f"{_PREFIX}subagent": {
        **_MODEL,
        "max_tool_calls": values.within(1, 25, values.integer),
        "inherit_functions": values.boolean,
        "inherited_function_names": values.words,
        "tools": _tools,
    },
    f"{_PREFIX}fusion": {
        **_MODEL,
        "analysis_models": read_models,
        "cache_control": read_cache_control,
        "max_tool_calls": values.within(1, 16, values.integer),
        "tools": read_few_tools,
    },
}
"""Tools whose options stand under ``parameters``."""

_FLAT: Final[Mapping[str, Mapping[str, Reader]]] = {
    **dict.fromkeys((tool for tool in WEB_SEARCH_TOOLS if not tool.startswith(_PREFIX)), _SEARCH),
    "image_generation": {
        "background": values.choice("transparent", "opaque", "auto"),
        "input_fidelity": values.choice("high", "low"),
        "model": values.text,
        "moderation": values.choice("auto", "low"),
        "output_compression": values.integer,
        "output_format": values.choice("png", "webp", "jpeg"),
        "partial_images": values.integer,
        "quality": values.choice("low", "medium", "high", "auto"),
        "size": values.text,
    },
    "file_search": {"max_num_results": values.positive},
}
"""Tools whose options stand beside the type."""

_NEEDED: Final[Mapping[str, Mapping[str, Reader]]] = {
    "code_interpreter": {"container": _container},
    "computer_use_preview": {
        "display_height": values.integer,
        "display_width": values.integer,
        "environment": values.choice("windows", "mac", "linux", "ubuntu", "browser"),
    },
    "custom": {"name": values.text},
    "file_search": {"vector_store_ids": values.words},
    "mcp": {"server_label": values.text},
    "namespace": {"name": values.text, "description": values.text, "tools": _tools},
}
"""What the schema requires of a tool beside its type."""
