"""The caller's plugins: those that can be sent, each id once."""

from __future__ import annotations

from collections.abc import Mapping

from openrouter_pipe.domain.shaping import documented, values
from openrouter_pipe.domain.shaping.values import Warn
from openrouter_pipe.ports.json import JsonObject

WEB = "web"
COMPRESSION = "context-compression"


def read_plugins(parameters: JsonObject, warn: Warn) -> tuple[JsonObject, ...]:
    """Known plugins in the caller's order, nulls removed; a later one of the same id wins."""
    given = values.take(parameters, "plugins", values.json_list, warn)
    chosen: dict[str, JsonObject] = {}
    for entry in given if isinstance(given, tuple) else ():
        plugin: JsonObject = (
            {"id": entry.strip()} if isinstance(entry, str) else entry if isinstance(entry, Mapping) else {}
        )
        plugin_id = plugin.get("id")
        if not isinstance(plugin_id, str) or plugin_id not in documented.PLUGINS:
            warn(f"Parameter plugins: {values.shown(plugin_id or entry)} is no plugin; it was left out")
            continue
        chosen[plugin_id] = {name: value for name, value in plugin.items() if value is not None}
    return tuple(chosen.values())


def has_plugin(plugins: tuple[JsonObject, ...], plugin_id: str) -> bool:
    """Whether a plugin of this id is there, switched on or off."""
    return any(plugin.get("id") == plugin_id for plugin in plugins)
