"""The events of the responses endpoint as provider events; request bodies are in `responses`.

One wire event gives its provider events by itself, from a table by type: the wire names the item in every event, so that
overlapping items, late endings and snapshots need no bookkeeping here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import ClassVar, Final

from openrouter_pipe.adapters.openrouter import faults
from openrouter_pipe.adapters.openrouter.decoding import citation, kind_of, output_item, tool_kind
from openrouter_pipe.adapters.openrouter.structures import responses_usage
from openrouter_pipe.adapters.openrouter.wirejson import Wire, arguments_text, listing, mapping, text_or_none
from openrouter_pipe.ports.items import (
    MessageItem,
    OutputItem,
    ReasoningItem,
    RefusalPart,
    TextPart,
)
from openrouter_pipe.ports.provider import (
    ArgumentsDelta,
    ArgumentsSnapshot,
    CitationAdded,
    FinishStatus,
    ItemFinished,
    ItemStarted,
    ProviderError,
    ProviderEvent,
    ReasoningDelta,
    ReasoningSnapshot,
    RefusalDelta,
    RefusalSnapshot,
    ResponseFinished,
    ResponseStarted,
    ServerToolProgress,
    TextDelta,
    TextSnapshot,
)

_NOTHING: Final[tuple[ProviderEvent, ...]] = ()
_Reader = Callable[[Wire], Iterable[ProviderEvent]]


class ResponsesReader:
    """Reads the events of one answer. Almost without state: every event names the item it belongs to.

    Any of the calls may raise `ProviderError` (the provider reported an error), and `ValueError`, `KeyError` or `TypeError`
    for an event whose shape is not the documented one; the caller skips such an event.
    """

    def __init__(self, context: faults.Context) -> None:
        self.finished = False
        self._context = context
        self._started = False

    def read(self, event: Wire) -> Iterable[ProviderEvent]:
        """The provider events that one wire event stands for; unknown types give none."""
        kind = event.get("type")
        # The commonest event by far is looked at first.
        if kind == "response.output_text.delta":
            delta, index, part = event["delta"], event["output_index"], event["content_index"]
            if type(delta) is not str or type(index) is not int or type(part) is not int:
                raise TypeError("a text delta without text or indices")
            return (TextDelta(index, part, delta),) if delta else _NOTHING
        if type(kind) is str:
            reader = _READERS.get(kind)
            if reader is not None:
                return reader(event)
            own = self._OWN.get(kind)
            if own is not None:
                return own(self, event)
            if kind.endswith("_call", 0, kind.rfind(".")) and kind.startswith("response."):
                return _tool_progress(kind, event)
        if kind in {"error", "response.error"} or ("error" in event and kind is None):
            raise ProviderError(faults.from_event(event, self._context))
        return _NOTHING

    def whole(self, answer: Wire) -> Iterator[ProviderEvent]:
        """The events of an answer that came in one piece."""
        if answer.get("object") != "response" and "output" not in answer:
            if answer.get("error") is not None:
                raise ProviderError(faults.from_event(answer, self._context))
            raise ProviderError(faults.malformed("the answer has no output", self._context, status=200))
        yield from self._created({"response": answer})
        for index, item in enumerate(_items(answer)):
            yield ItemStarted(index, kind_of(item), item)
            yield from _snapshots(index, item)
            yield ItemFinished(index, item)
        yield from self._terminal({"type": "response.done", "response": answer})

    def done(self) -> None:
        """The stream said ``[DONE]``; that alone ends no answer here, the terminal event does."""

    def end(self) -> Iterable[ProviderEvent]:
        """The stream is over. Raises `ProviderError` if the answer is not."""
        if not self.finished:
            raise ProviderError(faults.truncated(self._context))
        return _NOTHING

    def _created(self, event: Wire) -> Iterable[ProviderEvent]:
        if self._started:
            return _NOTHING
        self._started = True
        response = mapping(event.get("response"))
        return (ResponseStarted(text_or_none(response.get("id")), text_or_none(response.get("model"))),)

    def _terminal(self, event: Wire) -> Iterable[ProviderEvent]:
        response = mapping(event.get("response"))  # whatever it holds, the answer has ended
        status = _finish_status(event["type"], response.get("status"))
        fault = None
        if status is FinishStatus.FAILED:
            fault = faults.from_failed_response(response, self._context)
        reason = text_or_none(mapping(response.get("incomplete_details")).get("reason"))
        finished = ResponseFinished(
            status=status,
            usage=responses_usage(response.get("usage")),
            reason=(reason or "unknown") if status is FinishStatus.INCOMPLETE else None,
            output=tuple(_items(response)),
            model=text_or_none(response.get("model")),
            response_id=text_or_none(response.get("id")),
            fault=fault,
        )
        self.finished = True
        return (finished,)

    # Functions and not bound methods in the instance: those would be a cycle, which only a garbage collection takes apart.
    _OWN: ClassVar[Mapping[str, Callable[[ResponsesReader, Wire], Iterable[ProviderEvent]]]] = {
        "response.created": _created,
        "response.in_progress": _created,
        "response.completed": _terminal,
        "response.incomplete": _terminal,
        "response.failed": _terminal,
        "response.cancelled": _terminal,
        "response.done": _terminal,
    }


def _finish_status(event_type: str, status: object) -> FinishStatus:
    word = event_type.removeprefix("response.")
    if word == "done":
        word = str(status)
    match word:
        case "completed":
            return FinishStatus.COMPLETED
        case "incomplete":
            return FinishStatus.INCOMPLETE
        case _:
            return FinishStatus.FAILED


def _items(response: Wire) -> list[OutputItem]:
    items: list[OutputItem] = []
    for payload in listing(response.get("output")):
        try:
            items.append(output_item(payload))
        except ValueError:
            continue
    return items


def _snapshots(index: int, item: OutputItem) -> Iterator[ProviderEvent]:
    match item:
        case MessageItem(parts=parts):
            for number, part in enumerate(parts):
                if isinstance(part, TextPart) and part.text:
                    yield TextSnapshot(index, number, part.text)
                elif isinstance(part, RefusalPart) and part.text:
                    yield RefusalSnapshot(index, number, part.text)
            for source in item.citations:
                yield CitationAdded(index, source)
        case ReasoningItem(summary=summary, text=texts):
            for number, line in enumerate(summary):
                yield ReasoningSnapshot(index, number, line, summary=True)
            for number, line in enumerate(texts):
                yield ReasoningSnapshot(index, number, line, summary=False)
        case _:
            pass


def _index(event: Wire, key: str = "output_index") -> int:
    value = event[key]
    if type(value) is not int or value < 0:
        raise TypeError(f"{key} is not an index")
    return value


def _words(event: Wire, key: str) -> str:
    value = event[key]
    if type(value) is not str:
        raise TypeError(f"{key} is not text")
    return value


def _item_added(event: Wire) -> Iterable[ProviderEvent]:
    item = output_item(event["item"])
    return (ItemStarted(_index(event), kind_of(item), item),)


def _item_done(event: Wire) -> Iterable[ProviderEvent]:
    return (ItemFinished(_index(event), output_item(event["item"])),)


def _content_part(event: Wire) -> Iterable[ProviderEvent]:
    part = event["part"]
    index, number = _index(event), _index(event, "content_index")
    match part.get("type"):
        case "output_text" if part["text"]:
            return (TextSnapshot(index, number, _words(part, "text")),)
        case "refusal" if part["refusal"]:
            return (RefusalSnapshot(index, number, _words(part, "refusal")),)
        case "reasoning_text" if part["text"]:
            return (ReasoningSnapshot(index, number, _words(part, "text"), summary=False),)
    return _NOTHING


def _text_done(event: Wire) -> Iterable[ProviderEvent]:
    return (TextSnapshot(_index(event), _index(event, "content_index"), _words(event, "text")),)


def _annotation_added(event: Wire) -> Iterable[ProviderEvent]:
    source = citation(event["annotation"])
    return _NOTHING if source is None else (CitationAdded(_index(event), source),)


def _refusal_delta(event: Wire) -> Iterable[ProviderEvent]:
    delta = _words(event, "delta")
    return (RefusalDelta(_index(event), _index(event, "content_index"), delta),) if delta else _NOTHING


def _refusal_done(event: Wire) -> Iterable[ProviderEvent]:
    return (RefusalSnapshot(_index(event), _index(event, "content_index"), _words(event, "refusal")),)


def _reasoning_delta(event: Wire) -> Iterable[ProviderEvent]:
    delta, index, part = event["delta"], event["output_index"], event["content_index"]
    if type(delta) is not str or type(index) is not int or type(part) is not int:
        raise TypeError("a reasoning delta without text or indices")
    return (ReasoningDelta(index, part, delta, False),) if delta else _NOTHING


def _reasoning_done(event: Wire) -> Iterable[ProviderEvent]:
    number = _index(event, "content_index")
    return (ReasoningSnapshot(_index(event), number, _words(event, "text"), summary=False),)


def _summary_delta(event: Wire) -> Iterable[ProviderEvent]:
    delta, index, part = event["delta"], event["output_index"], event["summary_index"]
    if type(delta) is not str or type(index) is not int or type(part) is not int:
        raise TypeError("a delta of a summary without text or indices")
    return (ReasoningDelta(index, part, delta, True),) if delta else _NOTHING


def _summary_done(event: Wire) -> Iterable[ProviderEvent]:
    number = _index(event, "summary_index")
    return (ReasoningSnapshot(_index(event), number, _words(event, "text"), summary=True),)


def _summary_part(event: Wire) -> Iterable[ProviderEvent]:
    words = _words(event["part"], "text")
    number = _index(event, "summary_index")
    return (ReasoningSnapshot(_index(event), number, words, summary=True),) if words else _NOTHING


def _arguments_delta(event: Wire) -> Iterable[ProviderEvent]:
    delta = _words(event, "delta")
    return (ArgumentsDelta(_index(event), delta),) if delta else _NOTHING


def _arguments_done(event: Wire) -> Iterable[ProviderEvent]:
    whole = arguments_text(event.get("arguments"))
    return (ArgumentsSnapshot(_index(event), whole),) if whole else _NOTHING


def _tool_progress(kind: str, event: Wire) -> Iterable[ProviderEvent]:
    name, _, phase = kind.removeprefix("response.").rpartition(".")
    if phase == "partial_image":
        return _NOTHING
    return (ServerToolProgress(_index(event), tool_kind(name), phase),)


_READERS: Final[Mapping[str, _Reader]] = {
    "response.output_item.added": _item_added,
    "response.output_item.done": _item_done,
    "response.content_part.added": _content_part,
    "response.content_part.done": _content_part,
    "response.output_text.done": _text_done,
    "response.output_text.annotation.added": _annotation_added,
    "response.refusal.delta": _refusal_delta,
    "response.refusal.done": _refusal_done,
    "response.reasoning_text.delta": _reasoning_delta,
    "response.reasoning_text.done": _reasoning_done,
    "response.reasoning_summary_text.delta": _summary_delta,
    "response.reasoning_summary_text.done": _summary_done,
    "response.reasoning_summary_part.added": _summary_part,
    "response.reasoning_summary_part.done": _summary_part,
    "response.function_call_arguments.delta": _arguments_delta,
    "response.function_call_arguments.done": _arguments_done,
}
