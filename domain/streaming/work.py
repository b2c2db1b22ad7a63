"""Function calls, images, provider-run tools and items nobody knows. Part of the reducer."""

from __future__ import annotations

import logging
from typing import TypeAlias

import attrs

from openrouter_pipe.domain.streaming.stage import Stage
from openrouter_pipe.domain.streaming.state import CallState, WorkState
from openrouter_pipe.domain.streaming.status import tool_done, tool_running
from openrouter_pipe.domain.streaming.text import well_formed
from openrouter_pipe.ports.chat import ItemClosed
from openrouter_pipe.ports.items import FunctionCallItem, ImageItem, ItemKind, OpaqueItem, ServerToolItem

_log = logging.getLogger(__name__)

WorkItem: TypeAlias = ImageItem | ServerToolItem | OpaqueItem


class Calls:
    """The function calls of one round, by the provider's index; each becomes visible when it is complete."""

    def __init__(self, stage: Stage) -> None:
        self.states: dict[int, CallState] = {}
        self._stage = stage

    def start(self, index: int, item: FunctionCallItem) -> None:
        """A call was announced; its arguments follow."""
        self._stage.stop_thinking()
        self.states.setdefault(index, CallState(item))

    def add(self, index: int, text: str) -> None:
        """More argument text."""
        if (call := self.states.get(index)) is not None:
            call.arguments.append(text)

    def finish(self, index: int, item: FunctionCallItem) -> None:
        """The call is complete; its own arguments count, streamed ones only where it has none."""
        self._stage.stop_thinking()
        call = self.states.setdefault(index, CallState(item))
        if call.final is not None:
            return
        streamed = well_formed("".join(call.arguments))
        if streamed and not item.arguments:
            item = attrs.evolve(item, arguments=streamed, payload={})
        call.repeated = any(
            other.final is not None and other.final.call_id == item.call_id for other in self.states.values()
        )
        call.final = item
        if call.repeated:
            _log.warning("a function call with the id of an earlier one of the same answer was dropped")
            return
        call.index = self._stage.open(ItemKind.FUNCTION_CALL, item.id)
        self._stage.out.append(ItemClosed(call.index, item))

    def close(self) -> None:
        """A completed response leaves no call open: those that never ended are complete as streamed."""
        for index, call in list(self.states.items()):
            if call.final is None and call.known.call_id and call.known.name:
                self.finish(index, call.known)

    def complete(self) -> tuple[tuple[int, FunctionCallItem], ...]:
        """The complete calls in the provider's order, each with the index where it is shown."""
        return tuple(
            (state.index, state.final)
            for _, state in sorted(self.states.items())
            if state.final is not None and not state.repeated
        )


class Work:
    """Images, provider-run tools and unknown items of one round, by the provider's index."""

    def __init__(self, stage: Stage) -> None:
        self.states: dict[int, WorkState] = {}
        self._stage = stage

    def start(self, index: int, item: WorkItem) -> None:
        """Work began; an unknown item is shown when it ends, if at all."""
        self._stage.stop_thinking()
        match item:
            case ImageItem():
                self._state(index, item)
                self._stage.say(tool_running("image"))
            case ServerToolItem(kind):
                self._state(index, item)
                self._stage.say(tool_running(kind))
            case OpaqueItem():
                pass

    def progress(self, kind: str, phase: str) -> None:
        """A provider-run tool moved on."""
        if phase != "completed":
            self._stage.say(tool_running(kind))

    def finish(self, index: int, item: WorkItem) -> None:
        """The work has ended, well or badly."""
        self._stage.stop_thinking()
        work = self._state(index, item)
        if work.final is not None:
            return
        work.final = item
        if isinstance(item, ImageItem) and item.url is not None:
            self._stage.picture(work.index, item)
            return
        if isinstance(item, ServerToolItem):
            self._stage.say(tool_done(item), item.sources)
        self._stage.out.append(ItemClosed(work.index, item))

    def close(self, work: WorkState, status: str) -> None:
        """Close open work as it stands."""
        known = work.known
        work.final = known if isinstance(known, OpaqueItem) else attrs.evolve(known, status=status)
        self._stage.out.append(ItemClosed(work.index, work.final))

    def _state(self, index: int, item: WorkItem) -> WorkState:
        work = self.states.get(index)
        if work is None:
            work = self.states[index] = WorkState(self._open(item), item)
        return work

    def _open(self, item: WorkItem) -> int:
        match item:
            case ImageItem(id=name):
                return self._stage.open(ItemKind.IMAGE, name)
            case ServerToolItem(id=name):
                return self._stage.open(ItemKind.SERVER_TOOL, name)
            case OpaqueItem():
                return self._stage.open(ItemKind.OPAQUE, None)
