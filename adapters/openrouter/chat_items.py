"""Output items while the chunks of a chat completion build them up.

An item so made carries the payload that the responses endpoint would have given it, so that stores, hosts and later
requests need to know one form only; its chat-completions fragments ride along (`DETAILS_KEY`).
"""

from __future__ import annotations

from typing import Final, TypeAlias

from attrs import define, field

from openrouter_pipe.adapters.openrouter.decoding import DETAILS_KEY, input_item
from openrouter_pipe.adapters.openrouter.encoding import annotation
from openrouter_pipe.adapters.openrouter.wirejson import Wire, loads, text
from openrouter_pipe.ports.items import (
    Citation,
    FunctionCallItem,
    ImageItem,
    MessageItem,
    ReasoningItem,
)

_GROWING: Final = ("text", "summary", "data")
_WORDS: Final = {"reasoning.text": "text", "reasoning.summary": "summary"}


@define
class MessageDraft:
    """A message: its parts are text or refusal, in order of appearance."""

    id: str
    parts: list[tuple[str, list[str]]] = field(factory=list)
    citations: list[Citation] = field(factory=list)

    def add_text(self, words: str) -> int:
        """Add text; returns the number of its part."""
        return self._add("output_text", words)

    def add_refusal(self, words: str) -> int:
        """Add to a refusal; returns the number of its part."""
        return self._add("refusal", words)

    def add_citation(self, source: Citation) -> bool:
        """Add a source; False if the message has it already."""
        if source in self.citations:
            return False
        self.citations.append(source)
        return True

    def item(self, status: str) -> MessageItem:
        """The message so far."""
        content: list[Wire] = []
        for kind, words in self.parts:
            if kind == "refusal":
                content.append({"type": "refusal", "refusal": "".join(words)})
            else:
                content.append({"type": "output_text", "text": "".join(words), "annotations": []})
        for block in content:
            if "annotations" in block:
                block["annotations"] = [annotation(source) for source in self.citations]
                break
        payload: Wire = {
            "type": "message",
            "id": self.id,
            "role": "assistant",
            "status": status,
            "content": content,
        }
        made = input_item(payload)
        assert isinstance(made, MessageItem)  # noqa: S101 - the payload above says so
        return made

    def _add(self, kind: str, words: str) -> int:
        for number, (known, fragments) in enumerate(self.parts):
            if known == kind:
                fragments.append(words)
                return number
        self.parts.append((kind, [words]))
        return len(self.parts) - 1


@define
class _Detail:
    """One reasoning detail: its fragments merged, its words kept apart until they are joined."""

    merged: Wire
    growing: dict[str, list[str]]
    part: int

    def take(self, fragment: Wire) -> None:
        for key, member in fragment.items():
            if member is None or (key == "signature" and not text(member)):
                continue
            if key in _GROWING and isinstance(member, str):
                self.growing.setdefault(key, []).append(member)
            elif key not in self.merged or key in {"signature", "id", "format"}:
                self.merged[key] = member

    def joined(self) -> Wire:
        return {**self.merged, **{key: "".join(words) for key, words in self.growing.items()}}


@define
class ReasoningDraft:
    """A run of reasoning: details merged by their index, or plain words where the model gave no details."""

    id: str
    details: list[_Detail] = field(factory=list)
    words: list[str] = field(factory=list)

    def add_words(self, words: str) -> int:
        """Add reasoning that has no details; returns the number of its part."""
        self.words.append(words)
        return 0

    def completes(self, fragment: Wire) -> bool:
        """Whether a fragment without words belongs to a detail that this run already has."""
        return text(fragment.get("type")) in _WORDS and self._match(fragment) is not None

    def add_fragment(self, fragment: Wire) -> int:
        """Merge one fragment; returns the number of its part among those of its kind."""
        detail = self._match(fragment)
        if detail is None:
            kind = fragment.get("type")
            part = sum(1 for known in self.details if known.merged.get("type") == kind)
            detail = _Detail({}, {}, part)
            self.details.append(detail)
        detail.take(fragment)
        return detail.part

    def item(self, status: str) -> ReasoningItem:
        """The run so far."""
        details = [detail.joined() for detail in self.details]
        texts = [text(detail.get("text")) for detail in details if detail.get("type") == "reasoning.text"]
        if not any(texts) and self.words:
            texts = ["".join(self.words)]
        payload: Wire = {
            "type": "reasoning",
            "id": self.id,
            "summary": [
                {"type": "summary_text", "text": text(detail.get("summary"))}
                for detail in details
                if detail.get("type") == "reasoning.summary"
            ],
            "status": status,
        }
        if any(texts):
            payload["content"] = [{"type": "reasoning_text", "text": words} for words in texts]
        for key, member in (("encrypted_content", "data"), ("signature", "signature"), ("format", "format")):
            found = next((value for detail in details if (value := text(detail.get(member)))), "")
            if found:
                payload[key] = found
        if details:
            payload[DETAILS_KEY] = details
        made = input_item(payload)
        assert isinstance(made, ReasoningItem)  # noqa: S101 - the payload above says so
        return made

    def _match(self, fragment: Wire) -> _Detail | None:
        kind, index, detail_id = fragment.get("type"), fragment.get("index"), fragment.get("id")
        for detail in reversed(self.details):
            known = detail.merged
            if known.get("type") != kind or known.get("index") != index:
                continue
            if detail_id is None or known.get("id") is None or known["id"] == detail_id:
                return detail
        return None


@define
class CallDraft:
    """A function call; its arguments grow."""

    id: str
    call_id: str
    name: str
    index: int
    arguments: list[str] = field(factory=list)
    finished: bool = False

    def is_whole(self) -> bool:
        """Whether the arguments are a complete JSON object."""
        try:
            return isinstance(loads("".join(self.arguments)), dict)
        except ValueError:
            return False

    def item(self, status: str) -> FunctionCallItem:
        """The call so far."""
        payload: Wire = {
            "type": "function_call",
            "id": self.id,
            "call_id": self.call_id,
            "name": self.name,
            "arguments": "".join(self.arguments),
            "status": status,
        }
        return FunctionCallItem(
            call_id=self.call_id,
            name=self.name,
            arguments=payload["arguments"],
            id=self.id,
            status=status,
            payload=payload,
        )


@define
class ImageDraft:
    """An image; it comes whole."""

    id: str
    url: str

    def item(self, status: str) -> ImageItem:
        """The image."""
        payload: Wire = {"type": "image_generation_call", "id": self.id, "status": status, "result": self.url}
        return ImageItem(id=self.id, url=self.url, status=status, payload=payload)


Draft: TypeAlias = MessageDraft | ReasoningDraft | CallDraft | ImageDraft
