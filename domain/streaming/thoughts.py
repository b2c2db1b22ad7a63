"""Reasoning: summaries and raw text, as boxes, as statuses or both. Part of the reducer."""

from __future__ import annotations

import logging

import attrs

from openrouter_pipe.domain.streaming.stage import Stage
from openrouter_pipe.domain.streaming.state import Running, ThoughtState
from openrouter_pipe.domain.streaming.text import well_formed
from openrouter_pipe.ports.chat import ItemClosed, ReasoningAdded
from openrouter_pipe.ports.items import ItemKind, ReasoningItem

_log = logging.getLogger(__name__)


class Thoughts:
    """The reasoning blocks of one round, by the provider's index."""

    def __init__(self, stage: Stage) -> None:
        self.states: dict[int, ThoughtState] = {}
        self._stage = stage

    def state(self, index: int, known: ReasoningItem | None = None) -> ThoughtState:
        """The block at ``index``, opened if it was not seen before."""
        thought = self.states.get(index)
        if thought is None:
            known = known or ReasoningItem()
            shown_at = self._stage.open(ItemKind.REASONING, known.id) if self._stage.boxes else None
            thought = self.states[index] = ThoughtState(shown_at, known, self._stage.clock.monotonic())
        return thought

    def running(self, index: int, number: int, *, summary: bool) -> Running | None:
        """The paragraph that deltas may go on with by the short way: the thought is under way and shown as an item."""
        thought = self._stage.thinking
        if thought is None or thought.index is None or self.states.get(index) is not thought:
            return None
        part = thought.parts.get((summary, number))
        if part is None or thought.final is not None:
            return None
        return Running(index, number, summary, thought.index, part)

    def add(self, index: int, number: int, delta: str, *, summary: bool) -> None:
        """More reasoning."""
        thought = self.state(index)
        if thought.final is None:
            self._show(thought, number, thought.part(number, summary=summary).add(delta), summary)

    def snapshot(self, index: int, number: int, snapshot: str, *, summary: bool) -> None:
        """All of one paragraph; shows what deltas have not."""
        thought = self.state(index)
        if thought.final is None:
            self._catch_up(thought, number, well_formed(snapshot), summary)

    def finish(self, index: int, item: ReasoningItem) -> None:
        """The block is final. Repeated, it only supplies the proof (signature, encrypted content) that was missing."""
        thought = self.state(index, item)
        if thought.final is not None:
            if thought.final.encrypted is None and thought.final.signature is None:
                thought.final = item
            return
        for summary, paragraphs in ((True, item.summary), (False, item.text)):
            for number, paragraph in enumerate(paragraphs):
                self._catch_up(thought, number, paragraph, summary)
        self._end(thought)
        thought.final = item
        summary_text, raw_text = thought.shown(summary=True), thought.shown(summary=False)
        if (summary_text and not item.summary) or (raw_text and not item.text):
            item = attrs.evolve(item, summary=item.summary or summary_text, text=item.text or raw_text, payload={})
        self._close(thought, item)

    def close(self, thought: ThoughtState) -> None:
        """Close an open block as far as it was shown."""
        for (summary, number), part in sorted(thought.parts.items()):
            self._show(thought, number, part.flush(), summary)
        self._end(thought)
        thought.final = thought.as_shown()
        self._close(thought, thought.final)

    def _catch_up(self, thought: ThoughtState, number: int, snapshot: str, summary: bool) -> None:
        others = thought.shown(summary=not summary)
        if not thought.shown(summary=summary) and others and (snapshot in others or snapshot == "".join(others)):
            return  # the same words under the other name
        rest = thought.part(number, summary=summary).catch_up(snapshot)
        if rest is None:
            _log.warning("a snapshot contradicts the reasoning shown before; what was shown stands")
        else:
            self._show(thought, number, rest, summary)

    def _show(self, thought: ThoughtState, number: int, text: str, summary: bool) -> None:
        if not text:
            return
        self._stage.think(thought)
        if thought.index is not None:
            self._stage.out.append(ReasoningAdded(thought.index, number, text, summary))
        self._stage.say_thought(text)

    def _end(self, thought: ThoughtState) -> None:
        if self._stage.thinking is thought:
            self._stage.stop_thinking()
        thought.stop(self._stage.clock.monotonic())

    def _close(self, thought: ThoughtState, item: ReasoningItem) -> None:
        if thought.index is not None:
            self._stage.out.append(ItemClosed(thought.index, item, thought.seconds or 0.0))
