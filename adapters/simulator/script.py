"""The vocabulary of scripts: the steps of an answer and the usual runs of events.

What lives here: step classes and builders that give the Responses events of one item each, without sequence numbers.
Not here: which scenario uses them (``scenarios``), numbering and the response object (``responses_wire``).
"""

from collections.abc import Iterable
from typing import Any

from attrs import field, frozen

Json = dict[str, Any]


@frozen
class Comment:
    """A keep-alive line, without the colon."""

    text: str


@frozen
class Prelude:
    """``response.created`` and ``response.in_progress`` (the contract's @PRE)."""


@frozen
class Event:
    """One event as sent. numbered: whether it takes a sequence number. last: nothing follows; done: then [DONE]."""

    data: Json
    numbered: bool = True
    last: bool = False
    done: bool = True


@frozen
class Terminal:
    """The last event ``response.<status>`` (the contract's @POST), ``extra`` merged into its response."""

    status: str = "completed"
    extra: Json = field(factory=dict)


Step = Comment | Prelude | Event | Terminal


def events(rows: Iterable[Json]) -> list[Step]:
    """Steps that send these events."""
    return [Event(row) for row in rows]


def message_open(index: int, item_id: str, part: str = "output_text") -> list[Json]:
    """A message begins, with its first part."""
    first: Json = {"type": part, "refusal": ""} if part == "refusal" else {"type": part, "text": "", "annotations": []}
    item = {"type": "message", "id": item_id, "role": "assistant", "status": "in_progress", "content": []}
    return [
        {"type": "response.output_item.added", "output_index": index, "item": item},
        {"type": "response.content_part.added", **_place(index, item_id), "content_index": 0, "part": first},
    ]


def text_delta(index: int, item_id: str, delta: str) -> Json:
    """More of its text."""
    place = {"item_id": item_id, "output_index": index, "content_index": 0}
    return {"type": "response.output_text.delta", **place, "delta": delta, "logprobs": []}


def message_close(
    index: int,
    item_id: str,
    text: str,
    *,
    annotations: Iterable[Json] = (),
    status: str = "completed",
    phase: str | None = None,
) -> list[Json]:
    """A message ends."""
    place = _place(index, item_id) | {"content_index": 0}
    part = {"type": "output_text", "text": text, "annotations": list(annotations)}
    item: Json = {"type": "message", "id": item_id, "role": "assistant", "status": status, "content": [part]}
    if phase:
        item["phase"] = phase
    return [
        {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": part},
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


def message(index: int, item_id: str, deltas: Iterable[str], *, phase: str | None = None) -> list[Json]:
    """A whole message in pieces."""
    pieces = list(deltas)
    return [
        *message_open(index, item_id),
        *(text_delta(index, item_id, piece) for piece in pieces),
        *message_close(index, item_id, "".join(pieces), phase=phase),
    ]


def refusal(index: int, item_id: str, text: str) -> list[Json]:
    """A whole refusal."""
    place = _place(index, item_id) | {"content_index": 0}
    part = {"type": "refusal", "refusal": text}
    item = {"type": "message", "id": item_id, "role": "assistant", "status": "completed", "content": [part]}
    return [
        *message_open(index, item_id, "refusal"),
        {"type": "response.refusal.delta", **place, "delta": text},
        {"type": "response.refusal.done", **place, "refusal": text},
        {"type": "response.content_part.done", **place, "part": part},
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


def citation(index: int, item_id: str, annotation: Json, place: int = 0) -> Json:
    """A source for a message."""
    at = _place(index, item_id) | {"content_index": 0, "annotation_index": place}
    return {"type": "response.output_text.annotation.added", **at, "annotation": annotation}


def reasoning_open(index: int, item_id: str) -> list[Json]:
    """Reasoning begins."""
    item = {"type": "reasoning", "id": item_id, "summary": [], "status": "in_progress"}
    return [{"type": "response.output_item.added", "output_index": index, "item": item}]


def summary(index: int, item_id: str, deltas: Iterable[str], part: int = 0) -> list[Json]:
    """A whole part of its summary, in pieces."""
    pieces = list(deltas)
    place = _place(index, item_id) | {"summary_index": part}
    whole = "".join(pieces)
    name = "response.reasoning_summary"
    return [
        {"type": f"{name}_part.added", **place, "part": {"type": "summary_text", "text": ""}},
        *({"type": f"{name}_text.delta", **place, "delta": piece} for piece in pieces),
        {"type": f"{name}_text.done", **place, "text": whole},
        {"type": f"{name}_part.done", **place, "part": {"type": "summary_text", "text": whole}},
    ]


def raw_open(index: int, item_id: str) -> list[Json]:
    """Raw reasoning begins."""
    part = {"type": "reasoning_text", "text": ""}
    place = _place(index, item_id) | {"content_index": 0}
    return [*reasoning_open(index, item_id), {"type": "response.content_part.added", **place, "part": part}]


def raw_delta(index: int, item_id: str, delta: str) -> Json:
    """More of it."""
    return {"type": "response.reasoning_text.delta", **_place(index, item_id), "content_index": 0, "delta": delta}


def raw_close(index: int, item_id: str, text: str, **extra: str) -> list[Json]:
    """It ends."""
    part = {"type": "reasoning_text", "text": text}
    place = _place(index, item_id) | {"content_index": 0}
    return [
        {"type": "response.reasoning_text.done", **place, "text": text},
        {"type": "response.content_part.done", **place, "part": part},
        *reasoning_close(index, item_id, (), content=[part], **extra),
    ]


def reasoning_close(index: int, item_id: str, summaries: Iterable[str] = (), **extra: Any) -> list[Json]:
    """Reasoning ends, with its summaries."""
    parts = [{"type": "summary_text", "text": text} for text in summaries]
    item = {"type": "reasoning", "id": item_id, "summary": parts, "status": "completed", **extra}
    return [{"type": "response.output_item.done", "output_index": index, "item": item}]


def call_open(index: int, item_id: str, call_id: str, name: str) -> list[Json]:
    """A function call begins."""
    item = _call(item_id, call_id, name, "", "in_progress")
    return [{"type": "response.output_item.added", "output_index": index, "item": item}]


def call_delta(index: int, item_id: str, delta: str) -> Json:
    """More of its arguments."""
    return {"type": "response.function_call_arguments.delta", **_place(index, item_id), "delta": delta}


def call_close(index: int, item_id: str, call_id: str, name: str, arguments: str) -> list[Json]:
    """A function call ends."""
    done = {"type": "response.function_call_arguments.done", **_place(index, item_id), "name": name}
    item = _call(item_id, call_id, name, arguments, "completed")
    return [
        done | {"arguments": arguments},
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


def _call(item_id: str, call_id: str, name: str, arguments: str, status: str) -> Json:
    call = {"type": "function_call", "id": item_id, "call_id": call_id, "name": name}
    return call | {"arguments": arguments, "status": status}


def _place(index: int, item_id: str) -> Json:
    return {"item_id": item_id, "output_index": index}
