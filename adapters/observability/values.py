"""Values of the ports as JSON: what a record shows of requests and events.

A value becomes an object with its class under ``_`` and the fields that differ from their defaults. Secrets become
``[redacted]``, whatever is no value (a toolbox, a file store) the name of its class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final

import attrs

from openrouter_pipe.ports.json import JsonValue
from openrouter_pipe.ports.settings import Secret, Settings

TAG: Final = "_"
_DEEPEST: Final = 60


def plain(value: object, depth: int = _DEEPEST) -> JsonValue:
    """``value`` as JSON."""
    match value:
        case Enum():
            return plain(value.value)
        case None | bool() | int() | float() | str():
            return value
        case Secret():
            return "[redacted]" if value else ""
        case bytes() | bytearray() | memoryview():
            return f"[{len(value)} bytes]"
    if depth == 0:
        return "[nested too deep]"
    if attrs.has(type(value)):
        return {TAG: type(value).__name__, **_fields(value, depth - 1)}
    if isinstance(value, Mapping):
        return {str(key): plain(inner, depth - 1) for key, inner in value.items()}
    if isinstance(value, Sequence | set | frozenset):
        return [plain(inner, depth - 1) for inner in value]
    return f"[{type(value).__name__}]"


def _fields(value: Any, depth: int) -> dict[str, JsonValue]:
    shown: dict[str, JsonValue] = {}
    for field in attrs.fields(type(value)):
        inner = getattr(value, field.name)
        if not _is_default(field, inner):
            shown[field.name] = plain(inner, depth)
    return shown


def _is_default(field: attrs.Attribute[Any], value: object) -> bool:
    default = field.default
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        return value is None or (isinstance(value, Mapping | Sequence) and not value)
    return default is not attrs.NOTHING and type(value) is type(default) and bool(value == default)


def settings_changed(settings: Settings) -> JsonValue:
    """The settings that are not at their defaults, secrets redacted."""
    return dict(_fields(settings, _DEEPEST))
