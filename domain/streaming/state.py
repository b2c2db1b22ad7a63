"""What the reducer remembers of each output item of one round. Transitions live in `domain.streaming.reducer`."""

from __future__ import annotations

from attrs import frozen

from openrouter_pipe.domain.streaming.text import Joiner
from openrouter_pipe.ports.items import (
    FunctionCallItem,
    ImageItem,
    MessageItem,
    OpaqueItem,
    Part,
    ReasoningItem,
    RefusalPart,
    Role,
    ServerToolItem,
    TextPart,
)


class Fragments:
    """One growing text and what of it was shown."""

    __slots__ = ("joiner", "refusal", "shown")

    def __init__(self, *, refusal: bool = False) -> None:
        self.shown: list[str] = []
        self.joiner = Joiner()
        self.refusal = refusal

    @property
    def text(self) -> str:
        """All that was shown."""
        return "".join(self.shown)

    def add(self, delta: str) -> str:
        """What is to be shown now; may be empty while half a character is missing."""
        text = self.joiner.add(delta)
        if text:
            self.shown.append(text)
        return text

    def catch_up(self, snapshot: str) -> str | None:
        """What ``snapshot`` has beyond the shown text, now counted as shown; None when it is not a continuation."""
        shown = self.text
        if not snapshot.startswith(shown):
            return None
        rest = snapshot[len(shown) :]
        self.joiner.forget()
        if rest:
            self.shown.append(rest)
        return rest

    def flush(self) -> str:
        """A replacement character if half a character is still held."""
        text = self.joiner.flush()
        if text:
            self.shown.append(text)
        return text


@frozen
class Running:
    """The part of an open item that grows: the provider's numbers of both, and where the item is shown.

    ``summary`` is None in a message; in reasoning it says which kind of text grows.
    """

    index: int
    part: int
    summary: bool | None
    shown_at: int
    fragments: Fragments


class MessageState:
    """A message: its parts by number; ``final`` is set when it is closed."""

    def __init__(self, index: int, known: MessageItem) -> None:
        self.index = index
        self.known = known
        self.parts: dict[int, Fragments] = {}
        self.final: MessageItem | None = None

    @property
    def id(self) -> str | None:
        """The provider's name for it."""
        return (self.final or self.known).id

    @property
    def text(self) -> str:
        """All shown text, in the order of the parts."""
        return "".join(self.parts[number].text for number in sorted(self.parts))

    def part(self, number: int, *, refusal: bool = False) -> Fragments:
        """The part of this number, begun if need be."""
        part = self.parts.get(number)
        if part is None:
            part = self.parts[number] = Fragments(refusal=refusal)
        return part

    def shown_parts(self) -> tuple[Part, ...]:
        """The shown text as parts of a message."""
        parts = [self.parts[number] for number in sorted(self.parts)]
        return tuple(RefusalPart(part.text) if part.refusal else TextPart(part.text) for part in parts if part.text)

    def as_shown(self, status: str) -> MessageItem:
        """The message as far as it was shown."""
        return MessageItem(Role.ASSISTANT, self.shown_parts(), self.known.id, self.known.phase, status)


class ThoughtState:
    """A block of reasoning. ``began`` and ``seconds`` time the thinking itself, not what happens beside it.

    ``index`` is None when reasoning is not shown as an item of its own.
    """

    def __init__(self, index: int | None, known: ReasoningItem, now: float) -> None:
        self.index = index
        self.known = known
        self.parts: dict[tuple[bool, int], Fragments] = {}
        self.began = now
        self.seconds: float | None = None
        self.final: ReasoningItem | None = None

    @property
    def id(self) -> str | None:
        """The provider's name for it."""
        return (self.final or self.known).id

    def part(self, number: int, *, summary: bool) -> Fragments:
        """The paragraph of this number and kind, begun if need be."""
        part = self.parts.get((summary, number))
        if part is None:
            part = self.parts[summary, number] = Fragments()
        return part

    def shown(self, *, summary: bool) -> tuple[str, ...]:
        """The shown paragraphs of one kind."""
        return tuple(part.text for (kind, _), part in sorted(self.parts.items()) if kind is summary and part.text)

    def stop(self, now: float) -> None:
        """Thinking ends here, unless it ended before."""
        if self.seconds is None:
            self.seconds = max(0.0, now - self.began)

    def as_shown(self) -> ReasoningItem:
        """The block as far as it was shown."""
        return ReasoningItem(self.known.id, self.shown(summary=True), self.shown(summary=False))


class CallState:
    """A function call; nothing of it is shown before it is complete, then at ``index``.

    ``repeated`` marks a second call with the same call id, which must neither run nor be sent back.
    """

    def __init__(self, known: FunctionCallItem) -> None:
        self.known = known
        self.arguments: list[str] = []
        self.final: FunctionCallItem | None = None
        self.index = -1
        self.repeated = False

    @property
    def id(self) -> str | None:
        """The provider's name for the item, which is not the call id."""
        return (self.final or self.known).id


class WorkState:
    """An image or a provider-run tool, from its start to its end; or an item nobody knows, which has only an end."""

    def __init__(self, index: int, known: ImageItem | ServerToolItem | OpaqueItem) -> None:
        self.index = index
        self.known = known
        self.final: ImageItem | ServerToolItem | OpaqueItem | None = None

    @property
    def id(self) -> str | None:
        """The provider's name for it."""
        item = self.final or self.known
        return None if isinstance(item, OpaqueItem) else item.id
