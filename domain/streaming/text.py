"""Text that can leave: surrogate halves joined or replaced. Nothing else about text is decided here.

Providers cut their streams anywhere, also between the two halves of a character outside the basic plane. A half on its
own cannot be encoded as UTF-8, so it must never reach a front end, a store or the next request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from openrouter_pipe.ports.items import (
    FunctionCallItem,
    FunctionOutputItem,
    MessageItem,
    OutputItem,
    Part,
    ReasoningItem,
    RefusalPart,
    TextPart,
)
from openrouter_pipe.ports.json import JsonObject, JsonValue

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def well_formed(text: str) -> str:
    """``text`` with surrogate pairs joined and lone halves replaced by U+FFFD."""
    if text.isascii() or _SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class Joiner:
    """Joins surrogate halves over the fragments of one text; holds back at most one half."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = ""

    def add(self, fragment: str) -> str:
        """What may be shown now of ``fragment`` and what was held."""
        if not self._held and (fragment.isascii() or _SURROGATE.search(fragment) is None):
            return fragment
        text = self._held + fragment
        self._held = ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            self._held = text[-1]
            text = text[:-1]
        return well_formed(text)

    def flush(self) -> str:
        """U+FFFD if a half is still held, else nothing."""
        held, self._held = self._held, ""
        return "\ufffd" if held else ""

    def forget(self) -> None:
        """Drop the held half, because its text arrives otherwise."""
        self._held = ""


def well_formed_item(item: OutputItem) -> OutputItem:
    """``item`` without lone surrogates in its readable fields and its payload."""
    payload = _well_formed_object(item.payload)
    match item:
        case MessageItem():
            return attrs.evolve(item, parts=tuple(_well_formed_part(part) for part in item.parts), payload=payload)
        case ReasoningItem():
            return attrs.evolve(
                item,
                summary=tuple(map(well_formed, item.summary)),
                text=tuple(map(well_formed, item.text)),
                details=tuple(map(_well_formed_object, item.details)),
                payload=payload,
            )
        case FunctionCallItem():
            return attrs.evolve(item, arguments=well_formed(item.arguments), payload=payload)
        case _:
            return item if payload is item.payload else attrs.evolve(item, payload=payload)


def well_formed_output(item: FunctionOutputItem) -> FunctionOutputItem:
    """The same for what a function answered."""
    output = item.output
    if isinstance(output, str):
        return attrs.evolve(item, output=well_formed(output))
    return attrs.evolve(item, output=tuple(_well_formed_part(part) for part in output))


def _well_formed_part(part: Part) -> Part:
    if isinstance(part, TextPart | RefusalPart):
        return attrs.evolve(part, text=well_formed(part.text))
    return part


def _well_formed_object(value: JsonObject) -> JsonObject:
    if not _broken(value):
        return value
    return {well_formed(key): _well_formed_value(entry) for key, entry in value.items()}


def _well_formed_value(value: JsonValue) -> JsonValue:
    match value:
        case str():
            return well_formed(value)
        case Mapping():
            return {well_formed(key): _well_formed_value(entry) for key, entry in value.items()}
        case Sequence():
            return [_well_formed_value(entry) for entry in value]
        case _:
            return value


def _broken(value: JsonValue) -> bool:
    match value:
        case str():
            return not value.isascii() and _SURROGATE.search(value) is not None
        case Mapping():
            return any(_broken(key) or _broken(entry) for key, entry in value.items())
        case Sequence():
            return any(map(_broken, value))
        case _:
            return False
