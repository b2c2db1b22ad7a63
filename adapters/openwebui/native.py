"""Answers as Responses events, for chats of hosts that keep output items: reasoning, text and tools in true order.

The host rebuilds the message from these events, so the rules of its reducer are obeyed here: indices are positions in the
list as the host has it at that moment; every text part is announced as ``output_text`` (others are not replayed to the
model later); a function call that the pipe ran itself never lacks its output (the host would run it); the final event
carries no list, not even an empty one (before 0.12 it would replace the items). Reasoning goes into one part with blank
lines between paragraphs because the browser shows parts without a break between them.

A failure is text of the message: the host's error box neither formats nor wraps.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import Any, Final, TypeAlias

from attrs import define, field

from openrouter_pipe.adapters.openwebui.joining import Joiner
from openrouter_pipe.adapters.openwebui.lines import encode, line, usage_fields
from openrouter_pipe.adapters.openwebui.rendering import image_markdown, output_files
from openrouter_pipe.adapters.openwebui.steady import SteadyClock, SteadyIds
from openrouter_pipe.ports.chat import (
    ChatEvent,
    Completed,
    Failed,
    ImageProduced,
    ItemClosed,
    MarkersIssued,
    NoticeAdded,
    ReasoningAdded,
    TextAdded,
    ToolFinished,
    ToolStarted,
)
from openrouter_pipe.ports.items import FunctionCallItem, MessageItem, ReasoningItem, ServerToolItem
from openrouter_pipe.ports.telemetry import Usage
from openrouter_pipe.ports.tools import ToolOutput

_Place: TypeAlias = tuple[int, int]
"""Index in the turn, and the order of what we insert behind that index."""

_MESSAGE: Final = "message"
_REASONING: Final = "reasoning"
_LONGEST_STEM: Final = 54
"""Of a call id that gets a number."""

_UNFINISHED: Final = ToolOutput("", "The tool did not finish.", ok=False)


@define
class _Slot:
    """One item as the host has it."""

    place: _Place
    kind: str
    id: str
    started: float
    joiner: Joiner = field(factory=Joiner)
    text: list[str] = field(factory=list)
    summary: list[str] = field(factory=list)
    part: tuple[int, bool] | None = None
    closed: bool = False
    head_at: int = -1
    head: str = ""


class NativeItems:
    """See `Renderer`. ``own_tools``: the pipe runs the tools; else calls are left open for the host to run."""

    def __init__(self, ids: SteadyIds, clock: SteadyClock, *, own_tools: bool) -> None:
        self._ids = ids
        self._clock = clock
        self._own_tools = own_tools
        self._slots: list[_Slot] = []
        self._running: dict[str, ToolStarted] = {}
        self._called: dict[str, str] = {}
        """Call ids of the model to those shown: the host takes an equal id for the same call and overwrites it."""
        self._shown: set[str] = set()
        self._usage: Usage | None = None
        self._growing: _Slot | None = None
        """The message or the thought that the last event was a piece of."""

    def lines(self, event: ChatEvent) -> Iterable[str]:
        """See `Renderer`."""
        slot = self._growing
        if slot is not None:  # the hot path: more of what the last event was a piece of
            if type(event) is TextAdded:
                if event.index == slot.place[0]:
                    text = slot.joiner.text(event.index, event.text)
                    slot.text.append(text)
                    return (f"{slot.head}{encode(text)}}}",)
            elif (
                type(event) is ReasoningAdded
                and event.index == slot.place[0]
                and slot.part == (event.part, event.summary)
            ):
                (slot.summary if event.summary else slot.text).append(event.text)
                return (f"{slot.head}{encode(event.text)}}}",)
            self._growing = None
        return self._lines(event)

    def _lines(self, event: ChatEvent) -> Iterator[str]:
        match event:
            case TextAdded(index, text):
                slot = yield from self._open_message((index, 0))
                yield self._text_delta(slot, slot.joiner.text(index, text))
                self._growing = slot
            case ReasoningAdded():
                yield from self._reasoning(event)
            case ItemClosed(index, item, seconds):
                yield from self._closed(index, item, seconds)
            case ImageProduced(url):
                yield from self._block(image_markdown(url))
            case NoticeAdded(text):
                yield from self._block(text)
            case MarkersIssued(text, apart):
                yield from self._block(text if apart is None else apart)
            case ToolStarted(index, call):
                self._running[call.call_id] = event
                yield from self._add_call(index, call)
            case ToolFinished(index, call, output):
                if self._running.pop(call.call_id, None) is None:
                    # It never began (no such tool, bad arguments, ...), and an output without its call is shown nowhere.
                    yield from self._add_call(index, call)
                yield from self._add_output((index, 0), call, output)
            case Failed(text=text, partial=partial, usage=usage):
                self._usage = usage
                if not partial:
                    yield from self._block(text)
            case Completed(usage=usage):
                self._usage = usage

    def finish(self) -> Iterator[str]:
        """Close what is open, then usage, once."""
        for started in self._running.values():
            yield from self._add_output(self._behind(), started.call, _UNFINISHED)
        self._running.clear()
        for slot in self._slots:
            if not slot.closed and slot.kind == _REASONING:
                yield self._done(slot, self._reasoning_item(slot, self._clock.monotonic() - slot.started))
            elif not slot.closed and slot.kind == _MESSAGE:
                yield self._done(slot, self._message_item(slot))
        response: dict[str, Any] = {"id": self._ids.item_id("resp_"), "status": "completed"}
        if self._usage:
            response["usage"] = usage_fields(self._usage)
        yield line({"type": "response.completed", "response": response})

    # Text

    def _open_message(self, place: _Place) -> Generator[str, None, _Slot]:
        slot = self._at(place, _MESSAGE)
        if slot is None:
            slot = self._insert(place, _MESSAGE, "msg_")
            yield self._added(slot, {**self._base(slot), "role": "assistant", "content": []})
            part = {"type": "output_text", "text": "", "annotations": []}
            yield line({"type": "response.content_part.added", **self._where(slot), "content_index": 0, "part": part})
        return slot

    def _block(self, text: str) -> Iterator[str]:
        last = self._slots[-1] if self._slots else None
        place = last.place if last and last.kind == _MESSAGE else self._behind()
        slot = yield from self._open_message(place)
        yield self._text_delta(slot, slot.joiner.block(text))

    def _text_delta(self, slot: _Slot, text: str) -> str:
        slot.text.append(text)
        slot.closed = False
        return self._delta(slot, "response.output_text.delta", text)

    # Reasoning

    def _reasoning(self, event: ReasoningAdded) -> Iterator[str]:
        place = (event.index, 0)
        slot = self._at(place, _REASONING)
        if slot is None:
            slot = self._insert(place, _REASONING, "rs_")
            yield self._added(slot, {**self._base(slot), "summary": [], "content": []})
        target = slot.summary if event.summary else slot.text
        part = (event.part, event.summary)
        text = "\n\n" + event.text if target and slot.part != part else event.text
        slot.part = part
        target.append(text)
        kind = "response.reasoning_summary_text.delta" if event.summary else "response.reasoning_text.delta"
        yield self._delta(slot, kind, text)
        self._growing = slot

    # Ends

    def _closed(self, index: int, item: object, seconds: float) -> Iterator[str]:
        match item:
            case ReasoningItem():
                slot = self._at((index, 0), _REASONING)
                if slot:
                    yield self._done(slot, self._reasoning_item(slot, seconds))
            case MessageItem(phase=phase):
                slot = self._at((index, 0), _MESSAGE)
                if slot:
                    yield self._done(slot, self._message_item(slot, phase))
            case FunctionCallItem() if not self._own_tools:
                yield from self._add_call(index, item)
            case ServerToolItem(kind=kind) if "web_search" in kind:
                slot = self._insert((index, 0), "web_search_call", "ws_")
                action = {"type": "search", "query": item.query}
                shown = {**self._base(slot), "status": "completed", "action": action}
                yield self._added(slot, shown)
                yield self._done(slot, shown)

    def _reasoning_item(self, slot: _Slot, seconds: float) -> dict[str, Any]:
        summary, text = "".join(slot.summary), "".join(slot.text)
        return {
            **self._base(slot),
            "status": "completed",
            "summary": [{"type": "summary_text", "text": summary}] if summary else [],
            "content": [{"type": "reasoning_text", "text": text}] if text else [],
            "duration": max(0, round(seconds)),
        }

    def _message_item(self, slot: _Slot, phase: str | None = None) -> dict[str, Any]:
        part = {"type": "output_text", "text": "".join(slot.text), "annotations": []}
        item = {**self._base(slot), "status": "completed", "role": "assistant", "content": [part]}
        return {**item, "phase": phase} if phase else item

    # Tools

    def _add_call(self, index: int, call: FunctionCallItem) -> Iterator[str]:
        if self._at((index, 0), "function_call"):
            return
        self._called[call.call_id] = self._free_id(call.call_id)
        slot = self._insert((index, 0), "function_call", "fc_")
        item = {
            **self._base(slot),
            "status": "completed",
            "call_id": self._called[call.call_id],
            "name": call.name,
            "arguments": call.arguments,
        }
        yield self._added(slot, item)
        yield self._done(slot, item)

    def _free_id(self, wanted: str) -> str:
        """``wanted``, or with the number that the stored call gets: by its id the host's record is known as the same."""
        free, number = wanted, 1
        while free in self._shown:
            number += 1
            free = f"{wanted[:_LONGEST_STEM]}_{number}"
        self._shown.add(free)
        return free

    def _add_output(self, place: _Place, call: FunctionCallItem, output: ToolOutput) -> Iterator[str]:
        slot = self._insert(place, "function_call_output", "fco_")
        item: dict[str, Any] = {
            **self._base(slot),
            "status": "completed" if output.ok else "failed",
            "call_id": self._called.get(call.call_id, call.call_id),
            "output": [{"type": "input_text", "text": output.text}],
        }
        if output.files:
            item["files"] = output_files(output)
        if output.embeds:
            item["embeds"] = list(output.embeds)
        yield self._added(slot, item)
        yield self._done(slot, item)

    # The host's list

    def _at(self, place: _Place, kind: str) -> _Slot | None:
        # Deltas nearly always belong to one of the last items.
        for slot in reversed(self._slots):
            if slot.place == place and slot.kind == kind:
                return slot
        return None

    def _behind(self) -> _Place:
        index, order = self._slots[-1].place if self._slots else (-1, 0)
        return index, order + 1

    def _insert(self, place: _Place, kind: str, prefix: str) -> _Slot:
        slot = _Slot(place, kind, self._ids.item_id(prefix), self._clock.monotonic())
        position = len(self._slots)
        while position and self._slots[position - 1].place > place:
            position -= 1
        self._slots.insert(position, slot)
        return slot

    def _position(self, slot: _Slot) -> int:
        last = len(self._slots) - 1
        return last if self._slots[last] is slot else self._slots.index(slot)

    def _where(self, slot: _Slot) -> dict[str, Any]:
        return {"item_id": slot.id, "output_index": self._position(slot)}

    def _base(self, slot: _Slot) -> dict[str, Any]:
        return {"id": slot.id, "type": slot.kind, "status": "in_progress"}

    def _added(self, slot: _Slot, item: dict[str, Any]) -> str:
        position = self._position(slot)
        return line({"type": "response.output_item.added", "output_index": position, "item": item})

    def _done(self, slot: _Slot, item: dict[str, Any]) -> str:
        slot.closed = True
        return line({"type": "response.output_item.done", "output_index": self._position(slot), "item": item})

    def _delta(self, slot: _Slot, kind: str, text: str) -> str:
        # The head is the same for nearly all deltas of an item, so it is encoded once per position and kind.
        position = self._position(slot)
        if slot.head_at != position or kind not in slot.head:
            head: dict[str, Any] = {"type": kind, "item_id": slot.id, "output_index": position}
            head["summary_index" if "summary" in kind else "content_index"] = 0
            slot.head, slot.head_at = "data: " + encode(head)[:-1] + ',"delta":', position
        return slot.head + encode(text) + "}"
