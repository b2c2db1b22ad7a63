"""Answers as chat-completion chunks: for programs on every host, and for chats of hosts that keep text.

Literal ``<think>`` in a model's own text is left to the host, which may fold it away (``reasoning_tags``), except where that
would damage an answer (see `tags`). ``<details>`` is Markdown like any other.

A failure is told to a program as an OpenAI error object, which its library raises; in a chat it is text, because the host
neither saves nor formats what it is told as an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from openrouter_pipe.adapters.openwebui.joining import Joiner
from openrouter_pipe.adapters.openwebui.lines import (
    DONE,
    ChunkWriter,
    citation_annotation,
    error_fields,
    tool_card,
    usage_fields,
)
from openrouter_pipe.adapters.openwebui.rendering import finish_reason, image_markdown, open_call
from openrouter_pipe.adapters.openwebui.tags import TagGuard
from openrouter_pipe.adapters.openwebui.thoughts import Thoughts
from openrouter_pipe.ports.chat import (
    ChatEvent,
    CitationsFound,
    Completed,
    Failed,
    ImageProduced,
    ItemClosed,
    MarkersIssued,
    NoticeAdded,
    ReasoningAdded,
    TextAdded,
    ToolFinished,
)
from openrouter_pipe.ports.items import FunctionCallItem


class _Thoughts:
    """Sets paragraphs of reasoning apart."""

    def __init__(self) -> None:
        self._last: tuple[int, int, bool] | None = None

    def text(self, event: ReasoningAdded) -> str:
        here = (event.index, event.part, event.summary)
        apart = self._last is not None and here != self._last
        self._last = here
        return "\n\n" + event.text if apart else event.text


class ChatChunks:
    """For a chat of a host that keeps text; ``own_tools``: the pipe runs the tools, else the host does."""

    def __init__(self, writer: ChunkWriter, *, own_tools: bool) -> None:
        self._writer = writer
        self._own_tools = own_tools
        self._joiner = Joiner()
        self._thoughts = Thoughts()
        self._guard: TagGuard | None = None
        self._calls = 0

    def lines(self, event: ChatEvent) -> Iterable[str]:
        """See `Renderer`."""
        if type(event) is TextAdded and self._guard is None:  # the hot path
            text = self._joiner.text(event.index, event.text)
            return (self._writer.content(text),) if text else ()
        return self._lines(event)

    def _lines(self, event: ChatEvent) -> Iterator[str]:
        if not isinstance(event, TextAdded):
            yield from self._flush()
        write = self._writer
        match event:
            case TextAdded(index, text):
                yield from self._text(self._joiner.text(index, text))
            case ReasoningAdded():
                self._guard = self._guard or TagGuard()
                if thought := self._thoughts.text(event):
                    yield write.reasoning(thought)
            case ImageProduced(url):
                yield self._block(image_markdown(url))
            case NoticeAdded(text) | MarkersIssued(text):
                yield self._block(text)
            case ToolFinished(_, call, output):
                card = tool_card(
                    call.call_id, call.name, call.arguments, output.text, [file.url for file in output.files]
                )
                yield self._block(card)
            case ItemClosed(_, FunctionCallItem() as call, _) if not self._own_tools:
                yield write.delta({"tool_calls": [open_call(call, self._calls)]})
                self._calls += 1
            case Failed():
                if not event.partial:
                    yield self._block(event.text)
                if event.usage:
                    yield write.usage(usage_fields(event.usage))
            case Completed(usage=usage) if usage:
                yield write.usage(usage_fields(usage))

    def finish(self) -> Iterator[str]:
        """Nothing more: the host ends a chat's answer when the generator ends."""
        yield from self._flush()

    def _text(self, text: str) -> Iterator[str]:
        shown = self._guard.text(text) if self._guard else text
        if shown:
            yield self._content(shown)

    def _flush(self) -> Iterator[str]:
        held = self._guard.rest() if self._guard else ""
        if held:
            yield self._content(held)

    def _block(self, text: str) -> str:
        return self._content(self._joiner.block(text))

    def _content(self, text: str) -> str:
        self._thoughts.interrupted()
        return self._writer.content(text)


class ApiChunks:
    """For a program; ``closes_stream``: the host adds a finish chunk and ``[DONE]`` of its own.

    ``notices``, read at the end, is what the program must know beside the answer; it stands beside the choices.
    """

    def __init__(
        self, writer: ChunkWriter, *, own_tools: bool, closes_stream: bool, notices: Sequence[str] = ()
    ) -> None:
        self._writer = writer
        self._own_tools = own_tools
        self._closes_stream = closes_stream
        self._notices = notices
        self._joiner = Joiner()
        self._thoughts = _Thoughts()
        self._calls = 0
        self._end: Completed | Failed | None = None

    def lines(self, event: ChatEvent) -> Iterable[str]:
        """See `Renderer`."""
        if type(event) is TextAdded:  # the hot path
            return (self._writer.content(self._joiner.text(event.index, event.text)),)
        if type(event) is ReasoningAdded:
            return (self._writer.reasoning(self._thoughts.text(event)),)
        return self._lines(event)

    def _lines(self, event: ChatEvent) -> Iterator[str]:
        write = self._writer
        match event:
            case ImageProduced(url):
                yield write.delta({"images": [{"type": "image_url", "image_url": {"url": url}}]})
            case NoticeAdded(text) | MarkersIssued(text):
                yield write.content(self._joiner.block(text))
            case CitationsFound(citations):
                yield write.delta({"annotations": [citation_annotation(citation) for citation in citations]})
            case ItemClosed(_, FunctionCallItem() as call, _) if not self._own_tools:
                yield write.delta({"tool_calls": [open_call(call, self._calls)]})
                self._calls += 1
            case Completed() | Failed():
                self._end = event

    def finish(self) -> Iterator[str]:
        """Usage and notices once, then the end as far as the host does not say it."""
        end = self._end
        extra: dict[str, Any] = {"usage": usage_fields(end.usage)} if end and end.usage else {}
        if self._notices:
            extra["notices"] = list(self._notices)
        reason = finish_reason(end, self._calls)
        if isinstance(end, Failed):
            yield self._writer.finish(reason, error=error_fields(end), **extra)
        elif reason != "stop" or not self._closes_stream:
            yield self._writer.finish(reason, **extra)
        elif extra:
            yield self._writer.delta({}, **extra)
        if not self._closes_stream:
            yield DONE
