"""Answers that are not streamed: one completion for chats and programs, one plain text for the host's tasks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from openrouter_pipe.adapters.openwebui.joining import Joiner
from openrouter_pipe.adapters.openwebui.lines import citation_annotation, usage_fields
from openrouter_pipe.adapters.openwebui.rendering import finish_reason, image_markdown, open_call
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
)
from openrouter_pipe.ports.items import Citation, FunctionCallItem

NO_RESULT: Final = {
    "tags_generation": {"tags": []},
    "follow_up_generation": {"follow_ups": []},
    "query_generation": {"queries": []},
    "autocomplete_generation": {"text": ""},
    "function_calling": {"tool_calls": []},
}
"""What the host reads as "nothing came of it", per task; empty text for all others (a title then falls back to the
user's own words)."""


class WholeAnswer:
    """Collects the events of one turn."""

    def __init__(self, *, own_tools: bool) -> None:
        self._own_tools = own_tools
        self._segments: list[tuple[int | None, list[str]]] = []
        """Text of the item with that index, or a block of ours (None)."""
        self._growing: dict[int, list[str]] = {}
        """The text of each item since the last block: items may overlap, here nobody waits for the first word."""
        self._reasoning: list[str] = []
        self._part: tuple[int, int, bool] | None = None
        self._citations: list[Citation] = []
        self._calls: list[FunctionCallItem] = []
        self._end: Completed | Failed | None = None

    def add(self, event: ChatEvent) -> None:
        """Take one event."""
        match event:
            case TextAdded(index, text):
                self._add(index, text)
            case ReasoningAdded(index, part, text, summary):
                here = (index, part, summary)
                self._reasoning.append("\n\n" + text if self._part not in (None, here) else text)
                self._part = here
            case ImageProduced(url):
                self._block(image_markdown(url))
            case NoticeAdded(text) | MarkersIssued(text):
                self._block(text)
            case CitationsFound(citations):
                self._citations.extend(citations)
            case ItemClosed(_, FunctionCallItem() as call, _) if not self._own_tools:
                self._calls.append(call)
            case Completed() | Failed():
                self._end = event

    @property
    def failure(self) -> Failed | None:
        """The failure, if that is how the turn ended."""
        return self._end if isinstance(self._end, Failed) else None

    def completion(self, completion_id: str, model: str, created: int, notices: Sequence[str] = ()) -> dict[str, Any]:
        """A ``chat.completion``; a failure is part of the text, behind what there was before.

        ``notices`` stand beside the choices, for programs.
        """
        if self.failure and not self.failure.partial:
            self._block(self.failure.text)
        message: dict[str, Any] = {"role": "assistant", "content": self._text()}
        if self._reasoning:
            message["reasoning_content"] = "".join(self._reasoning)
        if self._calls:
            message["tool_calls"] = [open_call(call, index) for index, call in enumerate(self._calls)]
        if self._citations:
            message["annotations"] = [citation_annotation(citation) for citation in self._citations]
        result: dict[str, Any] = {
            "id": completion_id,
            "object": "chat.completion",
            "created": created,
            "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": finish_reason(self._end, len(self._calls))}],
        }
        if self._end and self._end.usage:
            result["usage"] = usage_fields(self._end.usage)
        if notices:
            result["notices"] = list(notices)
        return result

    def task_result(self, kind: str) -> str:
        """Plain text for the host to parse; a failure is no result and never words that the host would take for one."""
        if isinstance(self._end, Completed):
            return self._text()
        nothing = NO_RESULT.get(kind)
        return json.dumps(nothing) if nothing else ""

    def _add(self, index: int, text: str) -> None:
        growing = self._growing.get(index)
        if growing is None:
            growing = self._growing[index] = []
            self._segments.append((index, growing))
        growing.append(text)

    def _block(self, text: str) -> None:
        self._growing.clear()
        self._segments.append((None, [text]))

    def _text(self) -> str:
        joiner = Joiner()
        segments = ((index, "".join(pieces)) for index, pieces in self._segments)
        return "".join(joiner.block(text) if index is None else joiner.text(index, text) for index, text in segments)
