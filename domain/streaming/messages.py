"""Messages: answer text and refusals, shown once whichever forms they arrive in. Part of the reducer."""

from __future__ import annotations

import logging

import attrs

from openrouter_pipe.domain.streaming.stage import Stage, told
from openrouter_pipe.domain.streaming.state import MessageState, Running
from openrouter_pipe.domain.streaming.text import well_formed
from openrouter_pipe.ports.chat import ItemClosed, TextAdded
from openrouter_pipe.ports.items import ImageItem, ImagePart, ItemKind, MessageItem, Role

_log = logging.getLogger(__name__)


class Messages:
    """The messages of one round, by the provider's index."""

    def __init__(self, stage: Stage) -> None:
        self.states: dict[int, MessageState] = {}
        self._stage = stage

    def state(self, index: int, known: MessageItem | None = None) -> MessageState:
        """The message at ``index``, opened if it was not seen before."""
        message = self.states.get(index)
        if message is None:
            known = known or MessageItem(Role.ASSISTANT, ())
            message = self.states[index] = MessageState(self._stage.open(ItemKind.MESSAGE, known.id), known)
        return message

    def add(self, index: int, number: int, delta: str, *, refusal: bool = False) -> None:
        """More text."""
        message = self.state(index)
        if message.final is not None:
            _log.warning("text after the end of its message ignored (%d characters)", len(delta))
            return
        self._show(message, message.part(number, refusal=refusal).add(delta))

    def running(self, index: int, number: int) -> Running | None:
        """The part that deltas may go on with by the short way; None where the message is not open."""
        message = self.states.get(index)
        if message is None or message.final is not None or number not in message.parts:
            return None
        return Running(index, number, None, message.index, message.parts[number])

    def snapshot(self, index: int, number: int, snapshot: str, *, refusal: bool = False) -> None:
        """All text of one part; shows what deltas have not, unless a later part has begun."""
        message = self.state(index)
        if message.final is not None:
            return
        snapshot = well_formed(snapshot)
        part = message.part(number, refusal=refusal)
        if any(later > number and other.shown for later, other in message.parts.items()):
            if part.text != snapshot:
                _log.warning("a snapshot came too late to be shown in order; the finished item decides")
            return
        rest = part.catch_up(snapshot)
        if rest is None:
            _log.warning("a snapshot contradicts the text shown before; what was shown stands")
        else:
            self._show(message, rest)

    def finish(self, index: int, item: MessageItem) -> None:
        """The message is final; repeated for a closed one, only new sources and images count."""
        message = self.state(index, item)
        if message.final is None:
            closing = self._settle(message, item)
            self._extras(item)
            self._stage.out.append(ItemClosed(message.index, closing))
        else:
            self._extras(item)

    def close(self, message: MessageState, status: str) -> None:
        """Close an open message as far as it was shown."""
        self._stage.flush(message.index, message.parts.values())
        message.final = message.as_shown(status)
        self._stage.out.append(ItemClosed(message.index, message.final))

    def _settle(self, message: MessageState, item: MessageItem) -> MessageItem:
        """Show what is missing and return the item as the front end may see it."""
        text, shown = told(item), message.text
        if not text.startswith(shown):
            _log.warning("a finished message contradicts the text shown before; what was shown stands")
            self._stage.flush(message.index, message.parts.values())
            kept = attrs.evolve(item, parts=message.shown_parts(), payload={})
            message.final = item if text else kept
            return kept
        for part in message.parts.values():
            part.joiner.forget()
        rest = text[len(shown) :]
        if rest:
            message.part(max(message.parts, default=0)).shown.append(rest)
            self._show(message, rest)
        message.final = item
        return item

    def _show(self, message: MessageState, text: str) -> None:
        if text:
            self._stage.stop_thinking()
            self._stage.out.append(TextAdded(message.index, text))

    def _extras(self, item: MessageItem) -> None:
        for part in item.parts:
            if isinstance(part, ImagePart):
                self._stage.picture(None, ImageItem(url=part.url))
        self._stage.cite(item.citations)
