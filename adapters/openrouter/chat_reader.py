"""The chunks of a chat completion as provider events.

A chunk knows no items: text, reasoning, calls and images come as members of one delta. Items are made here in the order
in which they first appear, and what resumes after something else came between is a new item, so that the interleaving of
reasoning and text survives. Items are finished together at the end of the answer, because signatures, encrypted reasoning
and citations may arrive after the next item has begun.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

from attrs import evolve

from openrouter_pipe.adapters.openrouter import faults
from openrouter_pipe.adapters.openrouter.chat_items import CallDraft, Draft, ImageDraft, MessageDraft, ReasoningDraft
from openrouter_pipe.adapters.openrouter.decoding import citation, kind_of
from openrouter_pipe.adapters.openrouter.structures import chat_usage
from openrouter_pipe.adapters.openrouter.wirejson import (
    Wire,
    arguments_text,
    listing,
    mapping,
    text,
    text_or_none,
    whole,
)
from openrouter_pipe.ports.provider import (
    ArgumentsDelta,
    CitationAdded,
    FinishStatus,
    ItemFinished,
    ItemStarted,
    ProviderError,
    ProviderEvent,
    ReasoningDelta,
    RefusalDelta,
    ResponseFinished,
    ResponseStarted,
    TextDelta,
)
from openrouter_pipe.ports.telemetry import Usage

_Events: TypeAlias = list[ProviderEvent]
_REASONS: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
_WORDS_OF: Final = {"reasoning.text": "text", "reasoning.summary": "summary"}


class ChatReader:
    """Reads the chunks of one answer; the same three calls as `ResponsesReader`, raising the same errors."""

    def __init__(self, context: faults.Context) -> None:
        self.finished = False
        self._context = context
        self._started = False
        self._response_id: str | None = None
        self._model: str | None = None
        self._usage: Usage | None = None
        self._finish: str | None = None
        self._native: str | None = None
        self._last: Wire = {}
        self._drafts: list[Draft] = []
        self._calls: dict[int, CallDraft] = {}
        self._done = False

    def read(self, event: Wire) -> _Events:
        """The provider events that one chunk stands for."""
        events: _Events = []
        choices = event.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        self._refuse_error(event, mapping(choice))
        if not self._started:
            self._start(event, events)
        if event.get("usage") is not None:
            self._usage = chat_usage(event["usage"]) or self._usage
        if not isinstance(choice, dict):
            return events
        delta = choice.get("delta")
        if isinstance(delta, dict):
            self._read_delta(delta, events)
        if choice.get("finish_reason") is not None:
            self._finish = text(choice["finish_reason"])
            self._native = text_or_none(choice.get("native_finish_reason")) or self._native
            self._last = event
        return events

    def whole(self, answer: Wire) -> Iterator[ProviderEvent]:
        """The events of an answer that came in one piece."""
        choice = mapping(next(iter(listing(answer.get("choices"))), None))
        self._refuse_error(answer, choice)
        if not isinstance(choice.get("message"), dict):
            raise ProviderError(faults.malformed("the answer has no message", self._context, status=200))
        yield from self.read({**answer, "choices": [{**choice, "delta": choice["message"]}]})
        yield from self.end()

    def done(self) -> None:
        """The stream said ``[DONE]``: what has come is the whole answer, even without a finish reason."""
        self._done = True

    def end(self) -> _Events:
        """The stream is over: finishes the items. Raises `ProviderError` if the answer is not complete."""
        if self.finished:
            return []
        if self._finish is None and not (self._done and self._drafts):
            raise ProviderError(faults.truncated(self._context))
        self.finished = True
        status, reason = self._outcome()
        fault = None
        output = []
        events: _Events = []
        if status is FinishStatus.FAILED:
            fault = faults.from_event({**self._last, "error": {"message": ""}}, self._context)
        else:
            item_status = "completed" if status is FinishStatus.COMPLETED else "incomplete"
            for index, draft in enumerate(self._drafts):
                item = draft.item(item_status)
                output.append(item)
                if not isinstance(draft, ImageDraft) and not (isinstance(draft, CallDraft) and draft.finished):
                    events.append(ItemFinished(index, item))
        finished = ResponseFinished(
            status=status,
            usage=self._usage,
            reason=reason,
            output=tuple(output),
            model=self._model,
            response_id=self._response_id,
            native_finish_reason=self._native,
            fault=fault,
        )
        events.append(finished)
        return events

    def _refuse_error(self, event: Wire, choice: Wire) -> None:
        error = event.get("error")
        if error is None:
            error = choice.get("error")
        if error is not None:
            raise ProviderError(faults.from_event({**event, "error": error}, self._context))

    def _outcome(self) -> tuple[FinishStatus, str | None]:
        if self._finish == "error":
            return FinishStatus.FAILED, None
        reason = _REASONS.get(self._finish or "")
        return (FinishStatus.INCOMPLETE, reason) if reason else (FinishStatus.COMPLETED, None)

    def _start(self, event: Wire, events: _Events) -> None:
        self._started = True
        self._response_id = text_or_none(event.get("id"))
        self._model = text_or_none(event.get("model"))
        self._context = evolve(self._context, provider=text(event.get("provider")))
        events.append(ResponseStarted(self._response_id, self._model))

    def _read_delta(self, delta: Wire, events: _Events) -> None:
        details = delta.get("reasoning_details")
        reasoning = delta.get("reasoning")
        if details or reasoning:
            self._read_reasoning(listing(details), text(reasoning), events)
        content = delta.get("content")
        if content and isinstance(content, str):
            index, message = self._message(events)
            events.append(TextDelta(index, message.add_text(content), content))
        elif isinstance(content, list):
            self._read_blocks(content, events)
        if delta.get("audio"):
            self._read_blocks([{"text": mapping(delta["audio"]).get("transcript")}], events)  # spoken, never written
        refusal = delta.get("refusal")
        if refusal and isinstance(refusal, str):
            index, message = self._message(events)
            events.append(RefusalDelta(index, message.add_refusal(refusal), refusal))
        if delta.get("images"):
            self._read_images(listing(delta["images"]), events)
        if delta.get("tool_calls"):
            self._read_calls(listing(delta["tool_calls"]), events)
        if delta.get("annotations"):
            self._read_annotations(listing(delta["annotations"]), events)

    def _open(self, draft: Draft, events: _Events) -> int:
        if not isinstance(draft, CallDraft):
            self._finish_calls(events)
        index = len(self._drafts)
        self._drafts.append(draft)
        item = draft.item("in_progress")
        events.append(ItemStarted(index, kind_of(item), item))
        return index

    def _finish_calls(self, events: _Events) -> None:
        """A call whose arguments are a whole object can grow no more: it ends where the next thing begins, so that it
        is shown between the thoughts that it stood between."""
        for draft in self._drafts:
            if isinstance(draft, CallDraft) and not draft.finished and draft.is_whole():
                draft.finished = True
                events.append(ItemFinished(draft.index, draft.item("completed")))

    def _name(self, prefix: str) -> str:
        # The answer's own id and the place in it: the same bytes give the same ids, and no two answers share any.
        return f"{prefix}_{self._response_id or 'gen'}_{len(self._drafts)}"

    # -- text

    def _message(self, events: _Events) -> tuple[int, MessageDraft]:
        if self._drafts and isinstance(self._drafts[-1], MessageDraft):
            return len(self._drafts) - 1, self._drafts[-1]
        draft = MessageDraft(self._name("msg"))
        return self._open(draft, events), draft

    def _read_blocks(self, blocks: list[object], events: _Events) -> None:
        # Not documented for answers, but some upstreams give content as blocks.
        for block in blocks:
            words = text(mapping(block).get("text"))
            if words:
                index, message = self._message(events)
                events.append(TextDelta(index, message.add_text(words), words))

    def _read_annotations(self, annotations: list[object], events: _Events) -> None:
        for annotation in annotations:
            source = citation(annotation)
            if source is None:
                continue
            found = next(
                ((i, d) for i, d in reversed(list(enumerate(self._drafts))) if isinstance(d, MessageDraft)), None
            )
            index, message = found or self._message(events)
            if message.add_citation(source):
                events.append(CitationAdded(index, source))

    # -- reasoning

    def _read_reasoning(self, details: list[object], words: str, events: _Events) -> None:
        fragments = [fragment for fragment in details if isinstance(fragment, dict)]
        # ``reasoning`` repeats the words of the details; it counts only where they have none.
        speaking = any(text(f.get(_WORDS_OF.get(text(f.get("type")), ""))) for f in fragments)
        if words and not speaking:
            index, draft = self._reasoning(events)
            events.append(ReasoningDelta(index, draft.add_words(words), words, summary=False))
        for fragment in fragments:
            self._read_fragment(fragment, events)

    def _read_fragment(self, fragment: Wire, events: _Events) -> None:
        kind = text(fragment.get("type"))
        if not kind:
            return
        words = text(fragment.get(_WORDS_OF.get(kind, "")))
        if not words:
            # A late signature belongs to the words that it signs, even when text came between.
            for draft in reversed(self._drafts):
                if isinstance(draft, ReasoningDraft) and draft.completes(fragment):
                    draft.add_fragment(fragment)
                    return
            if not text(fragment.get("signature")) and not text(fragment.get("data")) and kind in _WORDS_OF:
                return
        index, draft = self._reasoning(events)
        part = draft.add_fragment(fragment)
        if words:
            events.append(ReasoningDelta(index, part, words, summary=kind == "reasoning.summary"))

    def _reasoning(self, events: _Events) -> tuple[int, ReasoningDraft]:
        if self._drafts and isinstance(self._drafts[-1], ReasoningDraft):
            return len(self._drafts) - 1, self._drafts[-1]
        draft = ReasoningDraft(self._name("rs"))
        return self._open(draft, events), draft

    # -- calls and images

    def _read_calls(self, calls: list[object], events: _Events) -> None:
        for position, call in enumerate(calls):
            members = mapping(call)
            function = mapping(members.get("function"))
            call_id, name = text(members.get("id")), text(function.get("name"))
            slot = whole(members.get("index"))
            slot = position if slot is None else slot
            draft = self._calls.get(slot)
            # Some upstreams number every parallel call 0; a new id with a name is a new call all the same.
            if draft is None or (call_id and name and call_id != draft.call_id):
                draft = CallDraft(self._name("fc"), call_id or self._name("call"), name, index=len(self._drafts))
                self._calls[slot] = draft
                self._open(draft, events)
            elif name and not draft.name:
                draft.name = name
            if arguments := arguments_text(function.get("arguments")):
                draft.arguments.append(arguments)
                events.append(ArgumentsDelta(draft.index, arguments))

    def _read_images(self, images: list[object], events: _Events) -> None:
        for image in images:
            address = mapping(image).get("image_url")
            url = text(address) or text(mapping(address).get("url"))
            # The last chunk may repeat what was streamed.
            if not url or any(isinstance(draft, ImageDraft) and draft.url == url for draft in self._drafts):
                continue
            draft = ImageDraft(self._name("ig"), url)
            index = self._open(draft, events)
            events.append(ItemFinished(index, draft.item("completed")))
