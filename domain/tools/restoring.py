"""Arguments back from strict calling: nulls that stand for absent optional properties are taken out. Not here: making
schemas strict (``schemas.py``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from openrouter_pipe.ports.json import JsonObject, JsonValue

_TYPES: Final[Mapping[str, type | tuple[type, ...]]] = {
    "object": Mapping,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def restore(arguments: Mapping[str, JsonValue], parameters: JsonObject) -> dict[str, JsonValue]:
    """Arguments as the original schema means them.

    Raises:
        RecursionError: arguments nested as deep as a recursive schema.
    """
    return _Restorer(parameters).object(arguments, parameters)


class _Restorer:
    """One schema's arguments. What was found to fit is remembered, so that alternatives within alternatives cost no more
    than the value and the schema are large."""

    def __init__(self, root: JsonObject) -> None:
        self._root = root
        self._known: dict[tuple[int, int], bool] = {}

    def object(self, value: Mapping[str, JsonValue], schema: JsonObject) -> dict[str, JsonValue]:
        properties, needed = schema.get("properties"), _needed(schema)
        if not isinstance(properties, Mapping):
            return dict(value)
        restored: dict[str, JsonValue] = {}
        for name, item in value.items():
            part = properties.get(name)
            if item is None and name not in needed and part is not None and not self._takes_null(part):
                continue
            restored[name] = self._value(item, part)
        return restored

    def _value(self, value: JsonValue, schema: JsonValue) -> JsonValue:
        if isinstance(value, Mapping):
            chosen = self._chosen(value, schema, "properties")
            return value if chosen is None else self.object(value, chosen)
        if isinstance(value, list):
            chosen = self._chosen(value, schema, "items")
            return value if chosen is None else [self._value(item, chosen["items"]) for item in value]
        return value

    def _chosen(self, value: JsonValue, schema: JsonValue, keyword: str) -> JsonObject | None:
        """Of the alternatives with ``keyword`` the first that fits, else the first; None when there is none."""
        candidates = [one for one in _plain(schema, self._root) if keyword in one]
        if len(candidates) < 2:
            return candidates[0] if candidates else None
        return next((one for one in candidates if self._fits_plain(value, one)), candidates[0])

    def _takes_null(self, schema: JsonValue) -> bool:
        return any(self._fits_plain(None, one) or one.get("nullable") is True for one in _plain(schema, self._root))

    def _fits(self, value: JsonValue, schema: JsonValue) -> bool:
        key = (id(value), id(schema))
        if key not in self._known:
            self._known[key] = True  # until it is known: a schema that leads back to itself decides nothing
            plain = _plain(schema, self._root)
            self._known[key] = not isinstance(schema, Mapping) or any(self._fits_plain(value, one) for one in plain)
        return self._known[key]

    def _fits_plain(self, value: JsonValue, schema: JsonObject) -> bool:
        """Whether strict calling may have made ``value`` for ``schema``, as far as types and names tell."""
        if "const" in schema and not _equal(value, schema["const"]):
            return False
        options = schema.get("enum")
        if isinstance(options, Sequence) and not any(_equal(value, option) for option in options):
            return False
        kinds = kinds_of(schema)
        if kinds and not any(_is_a(value, kind) for kind in kinds):
            return False
        items = schema.get("items")
        if isinstance(value, list) and items is not None:
            return all(self._fits(item, items) for item in value)
        properties = schema.get("properties")
        if isinstance(value, Mapping) and isinstance(properties, Mapping):
            return self._fits_object(value, schema, properties)
        return True

    def _fits_object(
        self, value: Mapping[str, JsonValue], schema: JsonObject, properties: Mapping[str, JsonValue]
    ) -> bool:
        needed = _needed(schema)
        if not needed <= value.keys():
            return False
        if schema.get("additionalProperties") is False and not value.keys() <= properties.keys():
            return False
        return all(
            (item is None and name not in needed) or self._fits(item, properties[name])
            for name, item in value.items()
            if name in properties
        )


def kinds_of(schema: JsonObject) -> list[str]:
    """The types that a schema names, as a list."""
    kind = schema.get("type")
    if isinstance(kind, str):
        return [kind]
    return [str(item) for item in kind] if isinstance(kind, list) else []


def _needed(schema: JsonObject) -> frozenset[str]:
    required = schema.get("required")
    return frozenset(map(str, required)) if isinstance(required, list) else frozenset()


def _is_a(value: JsonValue, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(kind, ()))


def _equal(one: JsonValue, other: JsonValue) -> bool:
    """Equal as JSON: true is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _plain(schema: JsonValue, root: JsonObject) -> list[JsonObject]:
    """The plain schemas that a value may be meant for: references followed, alternatives spread out.

    Each reference is followed once, so that definitions which name each other cost no more than their own size.
    """
    found: list[JsonObject] = []
    followed: set[str] = set()
    waiting: list[JsonValue] = [schema]
    while waiting:
        candidate = waiting.pop()
        if not isinstance(candidate, Mapping):
            continue
        reference = candidate.get("$ref")
        branches = next((part for key in ("anyOf", "oneOf") if isinstance(part := candidate.get(key), list)), None)
        if isinstance(reference, str):
            if reference not in followed:
                followed.add(reference)
                waiting.append(_resolve(reference, root))
        elif branches is not None:
            waiting.extend(reversed(branches))
        else:
            found.append(candidate)
    return found


def _resolve(reference: str, root: JsonObject) -> JsonValue:
    if reference == "#":
        return root
    if not reference.startswith("#/"):
        return None
    found: JsonValue = root
    for step in reference[2:].split("/"):
        if not isinstance(found, Mapping):
            return None
        found = found.get(step.replace("~1", "/").replace("~0", "~"))
    return found
