"""Tool specs made fit for the provider: valid names, strict schemas without change of meaning, no duplicates.

Strict calling wants closed objects whose properties are all required. An optional property is therefore sent as required
and nullable, and ``restoring.py`` takes the nulls out again before the tool sees them. What strict calling cannot say
(maps, free-form objects, keywords it does not know) is sent unchanged and non-strict. Definitions (``$defs``) and
references are never rewritten: a definition that is not strict already makes the whole schema non-strict.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from functools import lru_cache
from typing import Final

from attrs import frozen

from openrouter_pipe.domain.tools.restoring import kinds_of
from openrouter_pipe.ports.json import JsonObject, JsonValue
from openrouter_pipe.ports.provider import FunctionTool
from openrouter_pipe.ports.tools import ToolSpec

_log: Final = logging.getLogger(__name__)

_VALID_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_INVALID_CHARS: Final = re.compile(r"[^a-zA-Z0-9_-]+")
_MAX_NAME: Final = 64
_DEEPEST: Final = 200  # levels; JSON writers give up beyond 250, and the request around it has some of its own
_MAX_DEPTH: Final = 10  # the deepest nesting that strict calling takes
_NULL: Final[JsonObject] = {"type": "null"}
_DEFINED: Final = re.compile(
    r"#|#/(?:\$defs|definitions)/.+"
)  # any other reference leads to what is rewritten, or away
_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
)  # a provider refuses strict schemas with others
_SPOKEN: Final = frozenset({"title", "description"})
_SILENT: Final = frozenset(
    {"default", "examples", "example", "deprecated", "readOnly", "writeOnly", "$schema", "$comment"}
)
_CHECKS: Final = frozenset(
    {"type", "enum", "const", "pattern", "format", "multipleOf", "minimum", "maximum"}
    | {"exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems"}
)
_STRUCTURE: Final = frozenset({"properties", "required", "additionalProperties", "items", "anyOf", "$ref"})
_DEFINITIONS: Final = frozenset({"$defs", "definitions"})
_KNOWN: Final = _SPOKEN | _SILENT | _CHECKS | _STRUCTURE


@frozen
class Offer:
    """What the model is offered, and how its calls map back: valid function name to spec."""

    functions: tuple[FunctionTool, ...] = ()
    specs: Mapping[str, ToolSpec] = {}


def offer(specs: Sequence[ToolSpec], strict: bool) -> Offer:
    """Make specs fit for the provider.

    Of several specs of one (kind, name) the last wins. Names become valid (``^[a-zA-Z0-9_-]{1,64}$``) and unique; one that
    is valid already is changed only where another kind has the same. A tool whose parameters are no JSON or nested
    deeper than 200 levels is left out, because nothing could be sent with it.
    """
    chosen = {(spec.kind, spec.name): spec for spec in specs}
    kept = {spec.name for spec in chosen.values() if _VALID_NAME.fullmatch(spec.name)}
    functions: list[FunctionTool] = []
    by_name: dict[str, ToolSpec] = {}
    for spec in chosen.values():
        canonical = _canonical(spec.parameters)
        if canonical is None:
            _log.warning("A tool was left out: the schema of its parameters is no JSON, or too deep")
            continue
        own = spec.name in kept and spec.name not in by_name
        name = spec.name if own else _unique(_valid(spec.name), kept | by_name.keys())
        by_name[name] = spec
        closed = _strict_of(canonical) if strict else None
        functions.append(
            FunctionTool(
                name=name,
                description=spec.description,
                parameters=spec.parameters if closed is None else closed,
                strict=closed is not None if strict else None,
            )
        )
    return Offer(tuple(functions), by_name)


class _NotStrictError(Exception):
    """The schema says something that strict calling cannot say."""


def _valid(name: str) -> str:
    if _VALID_NAME.fullmatch(name):
        return name
    return _INVALID_CHARS.sub("_", name).strip("_")[:_MAX_NAME] or "tool"


def _unique(name: str, taken: Set[str]) -> str:
    candidate, number = name, 2
    while candidate in taken:
        ending = f"_{number}"
        candidate, number = name[: _MAX_NAME - len(ending)] + ending, number + 1
    return candidate


def _canonical(parameters: JsonObject) -> str | None:
    try:
        canonical = json.dumps(parameters)
    except (TypeError, ValueError, RecursionError):
        return None
    deep = canonical.count("{") + canonical.count("[") > _DEEPEST and _is_deep(parameters)
    return None if deep else canonical


def _is_deep(value: JsonValue) -> bool:
    level: list[JsonValue] = [value]
    for _ in range(_DEEPEST):
        level = [part for one in level if isinstance(one, Mapping | list) for part in _parts(one)]
    return bool(level)


def _parts(value: Mapping[str, JsonValue] | Sequence[JsonValue]) -> Iterable[JsonValue]:
    return value.values() if isinstance(value, Mapping) else value


def _strict_of(canonical: str) -> JsonObject | None:
    try:
        return _strict_cached(canonical)
    except (TypeError, ValueError, RecursionError):
        return None


@lru_cache(maxsize=2048)
def _strict_cached(canonical: str) -> JsonObject | None:
    """Keyed by content, not by tool: a host makes new specs for every request, nearly all of them equal."""
    schema: dict[str, JsonValue] = json.loads(canonical)
    definitions = {key: schema.pop(key) for key in _DEFINITIONS & schema.keys()}
    try:
        for group in definitions.values():
            if not isinstance(group, dict) or any(not _already_strict(part) for part in group.values()):
                return None
        return {**_object(schema, 1, root=True), **definitions}
    except _NotStrictError:
        return None


def _already_strict(definition: JsonValue) -> bool:
    return _schema(definition, 1) == definition


def _schema(schema: JsonValue, depth: int) -> JsonObject:
    if not isinstance(schema, dict) or depth > _MAX_DEPTH or not schema.keys() <= _KNOWN:
        raise _NotStrictError
    if "$ref" in schema:
        return _reference(schema)
    if schema.get("format", "date") not in _FORMATS:
        raise _NotStrictError
    if "anyOf" in schema:
        return _any_of(schema, depth)
    kinds = kinds_of(schema)
    if "object" in kinds:
        return _object(schema, depth, root=False)
    if "array" in kinds:
        if "items" not in schema:
            raise _NotStrictError
        return {**_spoken(schema), "items": _schema(schema["items"], depth + 1)}
    if not kinds and "enum" not in schema and "const" not in schema:
        raise _NotStrictError
    return _spoken(schema)


def _reference(schema: Mapping[str, JsonValue]) -> JsonObject:
    reference = schema["$ref"]
    if not isinstance(reference, str) or not _DEFINED.fullmatch(reference):
        raise _NotStrictError
    if len(schema) == 1:
        return schema
    if not schema.keys() <= _SPOKEN | _SILENT | {"$ref"}:
        raise _NotStrictError
    rest = _spoken({key: value for key, value in schema.items() if key != "$ref"})
    return {**rest, "anyOf": [{"$ref": schema["$ref"]}]}


def _any_of(schema: Mapping[str, JsonValue], depth: int) -> JsonObject:
    branches = schema["anyOf"]
    if not isinstance(branches, list) or not schema.keys() <= _SPOKEN | _SILENT | {"anyOf"}:
        raise _NotStrictError
    return {**_spoken(schema), "anyOf": [_schema(branch, depth) for branch in branches]}


def _object(schema: Mapping[str, JsonValue], depth: int, *, root: bool) -> JsonObject:
    if depth > _MAX_DEPTH or not schema.keys() <= _KNOWN or "anyOf" in schema or "$ref" in schema:
        raise _NotStrictError
    properties = schema.get("properties", {} if root else None)
    required = schema.get("required", [])
    if schema.get("additionalProperties", False) is not False or not isinstance(required, list):
        raise _NotStrictError
    if not isinstance(properties, dict) or not set(map(str, required)) <= properties.keys():
        raise _NotStrictError
    if root and schema.get("type", "object") != "object":
        raise _NotStrictError
    if not properties and not root and "additionalProperties" not in schema:
        raise _NotStrictError
    closed: dict[str, JsonValue] = {}
    for name, part in properties.items():
        strict = _schema(part, depth + 1)
        closed[name] = strict if name in required else _nullable(strict)
    fixed: dict[str, JsonValue] = dict(_spoken(schema))
    fixed |= {"properties": closed, "required": list(closed), "additionalProperties": False}
    fixed.setdefault("type", "object")
    return fixed


def _nullable(schema: JsonObject) -> JsonObject:
    if "$ref" in schema or "const" in schema:
        return {"anyOf": [schema, _NULL]}
    branches = schema.get("anyOf")
    if isinstance(branches, list):
        return schema if _NULL in branches else {**schema, "anyOf": [*branches, _NULL]}
    kinds = kinds_of(schema)
    wider = dict(schema)
    if kinds and "null" not in kinds:
        wider["type"] = [*kinds, "null"]
    options = schema.get("enum")
    if isinstance(options, list) and None not in options:
        wider["enum"] = [*options, None]
    return wider


def _spoken(schema: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The schema without annotations that strict calling refuses; a default is told in the description instead."""
    kept = {key: value for key, value in schema.items() if key not in _SILENT}
    default = schema.get("default")
    if default is not None and "$ref" not in schema:
        words = schema.get("description")
        told = f"Default: {json.dumps(default)}"
        kept["description"] = f"{words} ({told})" if isinstance(words, str) and words else told
    return kept
