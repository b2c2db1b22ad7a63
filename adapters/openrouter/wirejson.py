"""JSON in and out: orjson with the two leniencies that the wire needs.

Lone surrogate halves are legal in JSON escapes (a model's emoji may be cut in two between deltas) but orjson refuses
them, so that the standard library has the second word when reading; when writing they become U+FFFD.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import orjson

from openrouter_pipe.ports.json import JsonValue

Wire: TypeAlias = dict[str, Any]
"""A JSON object as parsed from the wire, or about to leave; the outermost edge, where nothing is known of its shape."""


def loads(data: bytes | str) -> Any:
    """Parse JSON. Raises `ValueError` for anything that is not JSON in UTF-8, nesting beyond reason included."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(data, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def dumps(value: object) -> bytes:
    """Render JSON as UTF-8. Raises `ValueError` for what JSON cannot hold."""
    try:
        return orjson.dumps(value, default=_plain)
    except orjson.JSONEncodeError:
        pass
    # Lone surrogates, whole numbers beyond 64 bits or deep nesting: rare, so that only they pay for the slow way.
    try:
        text = json.dumps(_mended(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, RecursionError) as exc:
        raise ValueError(f"cannot be written as JSON: {type(exc).__name__}") from None
    return text.encode("utf-8", "replace")


def mapping(value: object) -> Wire:
    """The value if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def listing(value: object) -> list[Any]:
    """The value if it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []


def text(value: object) -> str:
    """The value if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def text_or_none(value: object) -> str | None:
    """The value if it is a string that is not empty, else None."""
    return value if isinstance(value, str) and value else None


def whole(value: object) -> int | None:
    """The value as a whole number, None if it is none (true and false are none)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return int(value)
    except (ValueError, OverflowError):
        return None


def without_nulls(value: JsonValue) -> Any:
    """A plain copy without object members that are null; arrays keep theirs, since there null can mean something."""
    if isinstance(value, Mapping):
        return {key: without_nulls(member) for key, member in value.items() if member is not None}
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        return [without_nulls(member) for member in value]
    return value


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return list(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _mended(value: object) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Mapping):
        return {_mended(key): _mended(member) for key, member in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [_mended(member) for member in value]
    if isinstance(value, float) and value != value:
        return None
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
