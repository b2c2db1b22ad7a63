"""Reading what callers send: numbers as text, blanks, JSON as text, and what cannot be used at all.

Every reader returns a usable value or raises `UnusableError` with a few words that say what would be right.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias, cast

from openrouter_pipe.ports.json import JsonObject, JsonValue

Warn: TypeAlias = Callable[[str], None]
"""Where a reader's caller puts one line for the log and the user."""

Reader: TypeAlias = Callable[[JsonValue], JsonValue]

_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})


class UnusableError(ValueError):
    """A value that means nothing here; the message completes the sentence "it must be …"."""


def is_unset(value: JsonValue) -> bool:
    """Null and blank text mean that nothing was set."""
    return value is None or (isinstance(value, str) and not value.strip())


def shown(value: JsonValue) -> str:
    """A value in a warning: short, and never a long text of the user."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def take(parameters: JsonObject, name: str, reader: Reader, warn: Warn) -> JsonValue:
    """The parameter ``name`` as ``reader`` understands it; None when unset or, after one warning, unusable."""
    value = parameters.get(name)
    if is_unset(value):
        return None
    try:
        return reader(value)
    except UnusableError as problem:
        warn(f"Parameter {name} was left out: it must be {problem}, not {shown(value)}")
        return None


def number(value: JsonValue) -> int | float:
    """A finite number, also as text; whole numbers stay whole."""
    read = _from_text(value.strip()) if isinstance(value, str) else value
    if isinstance(read, int | float) and not isinstance(read, bool) and _is_finite(read):
        return read
    raise UnusableError("a number")


def integer(value: JsonValue) -> int:
    """A whole number, also as text or as a float without fraction."""
    try:
        read = number(value)
    except UnusableError:
        raise UnusableError("a whole number") from None
    if isinstance(read, float):
        if not read.is_integer():
            raise UnusableError("a whole number")
        return int(read)
    return read


def positive(value: JsonValue) -> int:
    """A whole number above zero."""
    if (read := integer(value)) <= 0:
        raise UnusableError("a whole number above 0")
    return read


def within(least: float, most: float, reader: Callable[[JsonValue], int | float] = number) -> Reader:
    """A reader of a number between two bounds, both included."""

    def read(value: JsonValue) -> int | float:
        if least <= (found := reader(value)) <= most:
            return found
        raise UnusableError(f"a number from {least:g} to {most:g}")

    return read


def boolean(value: JsonValue) -> bool:
    """True or false, also as text."""
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else str(value)
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise UnusableError("true or false")


def text(value: JsonValue) -> str:
    """Text that can be sent (no lone surrogates)."""
    if not isinstance(value, str):
        raise UnusableError("text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise UnusableError("valid Unicode text") from None
    return value


def choice(*choices: str) -> Reader:
    """A reader of one of these words, in any case."""

    def read(value: JsonValue) -> str:
        word = value.strip().lower() if isinstance(value, str) else ""
        if word not in choices:
            raise UnusableError(f"one of {', '.join(choices)}")
        return word

    return read


def json_object(value: JsonValue) -> JsonObject:
    """An object, also as JSON text."""
    read = _parsed(value) if isinstance(value, str) else value
    if not isinstance(read, Mapping):
        raise UnusableError("an object")
    return read


def json_list(value: JsonValue) -> tuple[JsonValue, ...]:
    """A list, also as JSON text."""
    read = _parsed(value) if isinstance(value, str) else value
    if isinstance(read, str) or not isinstance(read, Sequence):
        raise UnusableError("a list")
    return tuple(read)


def words(value: JsonValue) -> tuple[str, ...]:
    """A list of texts, also as JSON text or separated by commas; blanks and repetitions vanish."""
    if isinstance(value, str) and not value.lstrip().startswith("["):
        entries: tuple[JsonValue, ...] = tuple(value.split(","))
    else:
        entries = json_list(value)
    if not all(isinstance(entry, str) for entry in entries):
        raise UnusableError("a list of texts")
    return tuple(dict.fromkeys(entry.strip() for entry in entries if isinstance(entry, str) and entry.strip()))


def _from_text(written: str) -> int | float | None:
    for kind in (int, float):
        try:
            return kind(written)
        except ValueError:
            continue
    return None


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _parsed(written: str) -> JsonValue:
    try:
        return cast("JsonValue", json.loads(written))
    except (ValueError, RecursionError):
        return None
