"""What the parts of the reducer share: the turn's indices, clock, names, statuses, sources, and the events going out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from attrs import frozen

from openrouter_pipe.domain.streaming.citations import CitationBook
from openrouter_pipe.domain.streaming.state import Fragments, ThoughtState
from openrouter_pipe.domain.streaming.status import THINKING, StatusLine, ThoughtLine
from openrouter_pipe.ports.chat import ChatEvent, CitationsFound, ItemOpened, TextAdded
from openrouter_pipe.ports.items import Citation, ImageItem, ItemKind, MessageItem, RefusalPart, TextPart
from openrouter_pipe.ports.runtime import Clock, Ids

_PREFIXES: Final = {
    ItemKind.MESSAGE: "msg_",
    ItemKind.REASONING: "rs_",
    ItemKind.FUNCTION_CALL: "fc_",
    ItemKind.IMAGE: "ig_",
    ItemKind.SERVER_TOOL: "st_",
    ItemKind.OPAQUE: "it_",
}


@frozen
class ImageReady:
    """An image is complete; the turn stores it and then tells the front end. ``index`` None: it belongs to a message."""

    index: int | None
    item: ImageItem


ReducerEvent: TypeAlias = ChatEvent | ImageReady


class Stage:
    """One per turn; `take` hands over the events gathered since the last time."""

    def __init__(self, clock: Clock, ids: Ids, thinking: str, *, quiet: bool) -> None:
        self.clock = clock
        self.thinking: ThoughtState | None = None
        self.boxes = thinking in {"boxes", "both"}
        self.status = StatusLine(clock)
        self.next_index = 0
        self.out: list[ReducerEvent] = []
        self._ids = ids
        self._quiet = quiet
        self.lines = thinking in {"status", "both"}
        self._thought_about = False
        self._thought_line = ThoughtLine()
        self._citations = CitationBook()
        self._images: set[str] = set()

    def take(self) -> list[ReducerEvent]:
        """The gathered events, with the waiting status if its time has come."""
        if self.status.waiting and (line := self.status.due()) is not None:
            self.out.append(line)
        out, self.out = self.out, []
        return out

    def take_index(self) -> int:
        """The next index of the turn."""
        index = self.next_index
        self.next_index += 1
        return index

    def open(self, kind: ItemKind, name: str | None) -> int:
        """Open an item at the next index."""
        index = self.take_index()
        self.out.append(ItemOpened(index, kind, name or self._ids.item_id(_PREFIXES[kind])))
        return index

    def think(self, thought: ThoughtState) -> None:
        """Thinking goes on in this block; any other block has ended."""
        if self.thinking is not thought and thought.seconds is None:
            self.stop_thinking()
            thought.began = self.clock.monotonic()
            self.thinking = thought

    def stop_thinking(self) -> None:
        """Something else than thought became visible."""
        if self.thinking is not None:
            self.thinking.stop(self.clock.monotonic())
            self.thinking = None
            self._thought_line.end_line()
            if (line := self.status.due(at_once=True)) is not None:
                self.out.append(line)

    def say_thought(self, text: str) -> None:
        """Thought as a status line, where the settings ask for it."""
        if self.lines:
            if not self._thought_about:
                self.say(THINKING)
                self._thought_about = True
            self.say(self._thought_line.add(text))

    def say(self, text: str, sources: tuple[Citation, ...] = ()) -> None:
        """A status line, as soon as its pace allows."""
        if text and not self._quiet and (line := self.status.show(text, sources)) is not None:
            self.out.append(line)

    def cite(self, citations: Iterable[Citation]) -> None:
        """Sources; those seen before are dropped."""
        if fresh := self._citations.add(citations):
            self.out.append(CitationsFound(fresh))

    def picture(self, index: int | None, item: ImageItem) -> None:
        """An image. One that belongs to a message is handed on once, however often it is repeated."""
        if item.url is None or (index is None and item.url in self._images):
            return
        self._images.add(item.url)
        self.out.append(ImageReady(index, item))

    def flush(self, index: int, parts: Iterable[Fragments]) -> None:
        """Show a replacement for every half character that is still held."""
        self.out.extend(TextAdded(index, text) for part in parts if (text := part.flush()))


def told(item: MessageItem) -> str:
    """All readable text of a message."""
    return "".join(part.text for part in item.parts if isinstance(part, TextPart | RefusalPart))
