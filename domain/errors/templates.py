"""The template language."""

from __future__ import annotations

from collections.abc import Mapping

from openrouter_pipe.ports.json import JsonValue


def render(template: str, values: Mapping[str, JsonValue]) -> str:
    """Fill a template."""
    for name, value in values.items():
        template = template.replace("{" + name + "}", str(value))
    return template
