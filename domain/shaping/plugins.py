"""The caller's plugins: those that can be sent, each id once, with the fields that can be sent.

A field of the wrong type costs the whole request at the provider; here it costs itself, and one warning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from openrouter_pipe.domain.shaping import values
from openrouter_pipe.domain.shaping.values import Reader, UnusableError, Warn
from openrouter_pipe.ports.json import JsonObject, JsonValue

WEB = "web"
COMPRESSION = "context-compression"

_MOST_TOOLS: Final = 8
_MOST_MODELS: Final = 8

PLACES: Final = ("city", "country", "region", "timezone")
"""What the location of a search consists of."""

SEARCH_MODE: Final = values.choice(
    "instant", "fast", "auto", "deep-lite", "deep", "deep-reasoning", "turbo", "basic", "advanced"
)


def read_plugins(parameters: JsonObject, warn: Warn) -> tuple[JsonObject, ...]:
    """Known plugins in the caller's order, without fields that cannot be sent; a later one of the same id wins."""
    given = values.take(parameters, "plugins", values.json_list, warn)
    chosen: dict[str, JsonObject] = {}
    for entry in given if isinstance(given, tuple) else ():
        plugin: JsonObject = (
            {"id": entry.strip()} if isinstance(entry, str) else entry if isinstance(entry, Mapping) else {}
        )
        plugin_id = plugin.get("id")
        if not isinstance(plugin_id, str) or plugin_id not in FIELDS:
            warn(f"Parameter plugins: {values.shown(plugin_id or entry)} is no plugin; it was left out")
            continue
        chosen[plugin_id] = {"id": plugin_id, **_fields(plugin_id, plugin, warn)}
    return tuple(chosen.values())


def has_plugin(plugins: tuple[JsonObject, ...], plugin_id: str) -> bool:
    """Whether a plugin of this id is there, switched on or off."""
    return any(plugin.get("id") == plugin_id for plugin in plugins)


def _fields(plugin_id: str, plugin: JsonObject, warn: Warn) -> dict[str, JsonValue]:
    kept: dict[str, JsonValue] = {}
    for name, value in plugin.items():
        if name == "id" or values.is_unset(value):
            continue
        reader = FIELDS[plugin_id].get(name)
        if reader is None:
            warn(f"Parameter plugins: {plugin_id} has no field called {values.shown(name)}; it was left out")
            continue
        try:
            kept[name] = reader(value)
        except UnusableError as problem:
            warn(f"Parameter plugins.{plugin_id}.{name} was left out: it must be {problem}, not {values.shown(value)}")
    return kept


def _pdf(value: JsonValue) -> JsonValue:
    engine = values.json_object(value).get("engine")
    if values.is_unset(engine):
        return {}
    try:
        return {"engine": values.choice("mistral-ocr", "native", "cloudflare-ai", "pdf-text")(engine)}
    except UnusableError as problem:
        raise UnusableError(f"an object whose engine is {problem}") from None


def _location(value: JsonValue) -> JsonValue:
    place = values.json_object(value)
    if place.get("type") != "approximate" or not all(isinstance(place.get(name) or "", str) for name in PLACES):
        raise UnusableError("an object with type approximate and texts")
    return {"type": "approximate", **{name: place[name] for name in PLACES if place.get(name)}}


def read_models(value: JsonValue) -> JsonValue:
    """The models that one plugin or tool asks."""
    models = values.words(value)
    if not 1 <= len(models) <= _MOST_MODELS:
        raise UnusableError(f"a list of 1 to {_MOST_MODELS} models")
    return models


def are_tools(value: JsonValue) -> bool:
    """Whether it is a list of tools as those models take them."""
    return all(
        isinstance(tool, Mapping)
        and isinstance(tool.get("type"), str)
        and isinstance(tool.get("parameters", {}), Mapping)
        for tool in values.json_list(value)
    )


def read_few_tools(value: JsonValue) -> JsonValue:
    """The tools that those models have."""
    tools = values.json_list(value)
    if len(tools) > _MOST_TOOLS or not are_tools(tools):
        raise UnusableError(f"a list of at most {_MOST_TOOLS} objects, each with a type")
    return tools


_SWITCH: Final[Mapping[str, Reader]] = {"enabled": values.boolean}
_ROUTER: Final[Mapping[str, Reader]] = {
    **_SWITCH,
    "allowed_models": values.words,
    "excluded_models": values.words,
    "cost_tier": values.choice("low", "medium", "high", "xhigh", "max"),
    "cost_quality_tradeoff": values.within(0, 10, values.integer),
}

FIELDS: Final[Mapping[str, Mapping[str, Reader]]] = {
    "auto-beta-router": _ROUTER,
    "auto-router": {**_ROUTER, "pin_model": values.boolean},
    COMPRESSION: {**_SWITCH, "engine": values.choice("middle-out")},
    "file-parser": {**_SWITCH, "pdf": _pdf},
    "fusion": {
        **_SWITCH,
        "analysis_models": read_models,
        "max_tool_calls": values.within(1, 16, values.integer),
        "model": values.text,
        "preset": values.choice("general-high", "general-budget", "general-fast"),
        "tools": read_few_tools,
    },
    "moderation": {},
    "pareto-router": {
        **_SWITCH,
        "max_price": values.within(0, float("inf")),
        "min_coding_score": values.within(0, 1),
        "price_source": values.choice("prompt", "weighted_avg"),
    },
    "response-healing": _SWITCH,
    WEB: {
        **_SWITCH,
        "engine": values.choice("native", "exa", "firecrawl", "parallel", "perplexity"),
        "exclude_domains": values.words,
        "include_domains": values.words,
        "max_results": values.positive,
        "max_uses": values.positive,
        "mode": SEARCH_MODE,
        "search_prompt": values.text,
        "user_location": _location,
    },
    "web-fetch": {
        "allowed_domains": values.words,
        "blocked_domains": values.words,
        "max_content_tokens": values.positive,
        "max_uses": values.positive,
    },
}
"""Every plugin that the schema knows (any other id costs the whole request) and its fields but ``id``."""
