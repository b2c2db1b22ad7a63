"""Over-long conversations: asking the provider to take out the middle."""

from __future__ import annotations

from collections.abc import Sequence

from openrouter_pipe.domain.shaping.plugins import COMPRESSION, has_plugin
from openrouter_pipe.domain.shaping.policy import ShapingPolicy
from openrouter_pipe.ports.json import JsonObject, JsonValue
from openrouter_pipe.ports.provider import Endpoint

_ON: JsonObject = {"id": COMPRESSION, "engine": "middle-out"}
_OFF: JsonObject = {"id": COMPRESSION, "enabled": False}


def with_trimming(
    plugins: tuple[JsonObject, ...], parameters: JsonObject, endpoint: Endpoint, policy: ShapingPolicy
) -> tuple[JsonObject, ...]:
    """The plugins, and the one that trims unless the caller already said how.

    A caller says so by the plugin itself, by ``transforms`` (its older name) or by ``truncation``; the older name, and
    truncation where the endpoint does not know it, are put into today's form.
    """
    if has_plugin(plugins, COMPRESSION):
        return plugins
    transforms, truncation = parameters.get("transforms"), parameters.get("truncation")
    if transforms is not None:
        return (*plugins, _ON if _asks_for_trimming(transforms) else _OFF)
    if truncation in {"auto", "disabled"} if isinstance(truncation, str) else False:
        if endpoint is Endpoint.RESPONSES:
            return plugins
        return (*plugins, _ON if truncation == "auto" else _OFF)
    return (*plugins, _ON) if policy.auto_context_trimming else plugins


def _asks_for_trimming(transforms: JsonValue) -> bool:
    if isinstance(transforms, str):
        return "middle-out" in transforms
    return isinstance(transforms, Sequence) and "middle-out" in transforms
