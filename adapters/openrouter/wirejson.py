"""JSON in and out: orjson with the two leniencies that the wire needs.

Lone surrogate halves are legal in JSON escapes (a model's emoji may be cut in two between deltas) but orjson refuses
them, so that the standard library has the second word when reading; when writing they become U+FFFD.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import orjson

from openrouter_pipe.ports.json import JsonValue

_STRIDE: Final = 64 * 1024
_BACKSLASH: Final = 0x5C
_STAND_IN: Final = b"\xee\x80\x80 cut out \xee\x80\x81"  # between characters of private use

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


def loads_around(data: bytes) -> Any:
    """Parse JSON that is little more than one very long string (an image), without parsing the string.

    A parser looks at every character, which takes milliseconds for megabytes, and holds the interpreter meanwhile. Here
    the string is looked for in strides, cut out, and what is left is parsed; the whole costs two copies of the string.
    Control characters inside of it are not refused.

    Raises:
        LookupError: there is no such string, or more than one, or it has escapes in it; `loads` must do it.
    """
    begin, end = _longest(data)
    rest = loads(b"%s%s%s" % (data[:begin], _STAND_IN, data[end:]))
    cut_out = str(memoryview(data)[begin:end], "utf-8")
    if not _put_back(rest, _STAND_IN.decode(), cut_out):
        raise LookupError("what was cut out is no string")
    return rest


def _longest(data: bytes) -> tuple[int, int]:
    """Where a string of at least two strides begins and ends, without its quotes."""
    for start in range(_STRIDE, len(data), _STRIDE):
        if data.find(b'"', start, start + _STRIDE) < 0:
            begin, end = data.rfind(b'"', 0, start) + 1, data.find(b'"', start)
            # After an escaped quote it would be the middle of a string. All but a stride must be inside.
            alone = begin > 1 and data[begin - 2] != _BACKSLASH and len(data) - (end - begin) < _STRIDE
            if alone and data.find(b"\\", begin, end) < 0:
                return begin, end
            break
    raise LookupError("no string that is nearly all of it")


def _put_back(value: Any, stand_in: str, cut_out: str, deepest: int = 32) -> bool:
    """Put the string where its stand-in is; says whether there was one."""
    for key, member in value.items() if isinstance(value, dict) else enumerate(listing(value)):
        if member == stand_in:
            value[key] = cut_out
            return True
        if deepest and isinstance(member, dict | list) and _put_back(member, stand_in, cut_out, deepest - 1):
            return True
    return False


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
