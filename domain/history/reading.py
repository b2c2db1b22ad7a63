"""What a host's assistant message says: text, markers, and the host's own records of tools and reasoning, in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from attrs import frozen

from openrouter_pipe.domain.history import markers
from openrouter_pipe.domain.history.details import reasoning_items
from openrouter_pipe.domain.history.images import without_images
from openrouter_pipe.domain.history.notices import without_ids
from openrouter_pipe.ports.chat import ChatMessage, HostRecords, HostToolRecord
from openrouter_pipe.ports.items import (
    FunctionCallItem,
    FunctionOutputItem,
    InputItem,
    OpaquePart,
    Part,
    RefusalPart,
    TextPart,
)


@frozen
class Prose:
    """A piece of assistant text (or another part an assistant message may hold) as the host shows it."""

    part: Part
    phase: str | None
    message: int

    @property
    def text(self) -> str:
        """The words, empty for parts that are not text."""
        return self.part.text if isinstance(self.part, TextPart) else ""


@frozen
class Marker:
    """The place of a stored item."""

    id: str


@frozen
class HostRecord:
    """A call, an output or reasoning as the host recorded it, or a user message that shows tool images."""

    item: InputItem


Entry: TypeAlias = Prose | Marker | HostRecord


class NoRecords:
    """`HostRecords` of a host that writes none into its text."""

    def split(self, text: str, code: Sequence[tuple[int, int]]) -> tuple[str | HostToolRecord, ...]:
        """See `HostRecords.split`."""
        return (text,) if text else ()

    def without_echoes(self, text: str, outputs: Sequence[str]) -> str:
        """See `HostRecords.without_echoes`."""
        return text


def read_assistant(number: int, message: ChatMessage, records: HostRecords) -> list[Entry]:
    """The entries of one assistant message: reasoning, then text with records and markers in place, then calls."""
    entries: list[Entry] = [HostRecord(item) for item in reasoning_items(message.reasoning_details)]
    for part in message.parts:
        match part:
            case TextPart():
                entries.extend(_read_text(number, part, message.phase, records))
            case RefusalPart() | OpaquePart():
                entries.append(Prose(part, message.phase, number))
            case _:
                pass  # an assistant message cannot carry media; images are chosen elsewhere
    entries.extend(
        HostRecord(FunctionCallItem(call.call_id, call.name, call.arguments or "{}")) for call in message.tool_calls
    )
    return entries


def _read_text(number: int, part: TextPart, phase: str | None, records: HostRecords) -> Iterable[Entry]:
    for segment in markers.split(part.text):
        if isinstance(segment, markers.MarkerSegment):
            yield Marker(segment.id)
            continue
        for piece in records.split(segment.text, markers.fenced_spans(segment.text)):
            if isinstance(piece, str):
                text = without_ids(without_images(piece))
                if text.strip():
                    yield Prose(part if text == part.text else TextPart(text, part.cache_control), phase, number)
                continue
            call = piece.call
            call_id = call.call_id or f"call_card_{number}_{_fingerprint(call.name + call.arguments)}"
            yield HostRecord(FunctionCallItem(call_id, call.name, call.arguments))
            if piece.result is not None:
                yield HostRecord(FunctionOutputItem(call_id, piece.result))


def _fingerprint(text: str) -> int:
    """A small number that names ``text``, the same in every process."""
    value = 0
    for character in text[:256]:
        value = (value * 31 + ord(character)) & 0xFFFFFFFF
    return value
