"""JSON in and out: orjson with the two leniencies that the wire needs.

Lone surrogate halves are legal in JSON escapes (a model's emoji may be cut in two between deltas) but orjson refuses
them, so that the standard library has the second word when reading; when writing they become U+FFFD.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import orjson

from openrouter_pipe.ports.json import JsonValue

DEPTH: Final = 128
"""How deep a value may be nested. What walks through values does so by recursion, and no answer comes near it."""

_REST_BYTES: Final = 64 * 1024
_STEP_BYTES: Final = 1024 * 1024
_QUOTE: Final = b'"'
_BACKSLASH: Final = b"\\"
_STAND_IN: Final = b"\xee\x80\x80 cut out \xee\x80\x81"  # between characters of private use

Wire: TypeAlias = dict[str, Any]
"""A JSON object as parsed from the wire, or about to leave; the outermost edge, where nothing is known of its shape."""


def loads(data: bytes | str) -> Any:
    """Parse JSON. Raises `ValueError` for anything that is not JSON in UTF-8, nesting beyond reason included.

    Numbers that are none (``NaN``, ``Infinity``), which some writers of JSON let through, are null.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(data, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def loads_event(data: bytes | str) -> Any:
    """As `loads`, for what becomes part of an answer: what is nested deeper than `DEPTH` is null."""
    try:
        value = orjson.loads(data)  # and not by way of `loads`: this is done for every event
    except orjson.JSONDecodeError:
        value = loads(data)
    if len(data) > 2 * DEPTH:
        opened = data.count("[") + data.count("{") if isinstance(data, str) else data.count(b"[") + data.count(b"{")
        if opened > DEPTH:
            _cut(value)
    return value


def _cut(value: object) -> None:
    """Take away what is nested deeper than `DEPTH`, level by level."""
    level = [value]
    for _ in range(DEPTH):
        level = [member for one in level for member in _members(one) if isinstance(member, dict | list)]
        if not level:
            return
    for one in level:
        if isinstance(one, dict):
            one.update(dict.fromkeys(one))
        elif isinstance(one, list):
            one[:] = [None] * len(one)


def _members(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


async def loads_around(pieces: Sequence[bytes]) -> Any:
    """Parse JSON that is little more than one very long string (an image), without parsing the string.

    A parser looks at every character, and holds the interpreter meanwhile; and every copy of megabytes costs milliseconds
    as well, most of them for memory that the system gives out page by page. Here the rest is parsed, and the string is put
    together from the pieces in which it came, a megabyte at a time: others run in between. Control characters inside of
    it are not refused.

    Raises:
        LookupError: there is no such string, or more than one, or it has escapes in it; `loads` must do it.
        ValueError: it is not JSON in UTF-8.
    """
    inside = [number for number, piece in enumerate(pieces) if _QUOTE not in piece]
    if not inside or inside[0] == 0 or inside[-1] + 1 == len(pieces) or len(inside) != inside[-1] - inside[0] + 1:
        raise LookupError("no string that is nearly all of it")
    head, tail = pieces[inside[0] - 1], pieces[inside[-1] + 1]
    begin, end = head.rfind(_QUOTE) + 1, tail.find(_QUOTE)
    before, after = pieces[: inside[0] - 1], pieces[inside[-1] + 2 :]
    parts = [head[begin:], *pieces[inside[0] : inside[-1] + 1], tail[:end]]
    if head[begin - 2 : begin - 1] == _BACKSLASH or any(_BACKSLASH in part for part in parts):
        raise LookupError("escapes")
    rest = b"".join([*before, head[:begin], _STAND_IN, tail[end:], *after])
    if len(rest) > _REST_BYTES:
        raise LookupError("too much beside the string")
    value = loads_event(rest)
    text, size, first = "", 0, 0
    for number, part in enumerate(parts, 1):
        size += len(part)
        if size >= _STEP_BYTES or number == len(parts):
            text += str(b"".join(parts[first:number]), "ascii")
            size, first = 0, number
            await asyncio.sleep(0)
    if not _put_back(value, _STAND_IN.decode(), text):
        raise LookupError("what was cut out is no string")
    return value


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


def arguments_text(value: object) -> str:
    """A call's arguments as JSON text. Some gateways send the object itself: a call must not lose them for that."""
    return dumps(value).decode() if isinstance(value, dict) else text(value)


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


def _no_number(_: str) -> None:
    return None
