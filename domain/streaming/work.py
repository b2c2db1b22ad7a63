"""Function calls, images, provider-run tools and items nobody knows. Part of the reducer."""

from __future__ import annotations

import json
import logging
from itertools import count
from typing import Final, TypeAlias

import attrs

from openrouter_pipe.domain.streaming.stage import Stage
from openrouter_pipe.domain.streaming.state import CallState, WorkState
from openrouter_pipe.domain.streaming.status import tool_done, tool_running
from openrouter_pipe.domain.streaming.text import well_formed
from openrouter_pipe.ports.chat import ItemClosed
from openrouter_pipe.ports.items import FunctionCallItem, ImageItem, ItemKind, OpaqueItem, ServerToolItem

_log = logging.getLogger(__name__)

_LONGEST_STEM: Final = 54  # of an id that gets a number; ids have at most 64 characters

WorkItem: TypeAlias = ImageItem | ServerToolItem | OpaqueItem


class Calls:
    """The function calls of one round, by the provider's index; each becomes visible when it is complete.

    Some providers give calls side by side the same id. A second call that asks for something else gets an id of its own;
    one that asks for the same, or may be the same in part, is taken for the first one told again: nothing runs twice.
    """

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

    def snapshot(self, index: int, text: str) -> None:
        """All argument text, which takes the place of what came in pieces."""
        if (call := self.states.get(index)) is not None:
            call.arguments = [text]

    def finish(self, index: int, item: FunctionCallItem) -> None:
        """The call is complete; its own arguments count, streamed ones only where it has none."""
        self._stage.stop_thinking()
        call = self.states.setdefault(index, CallState(item))
        if call.final is not None:
            return
        streamed = well_formed("".join(call.arguments))
        if streamed and not item.arguments:
            item = attrs.evolve(item, arguments=streamed, payload={})
        twins = [other.final for other in self.states.values() if other.known.call_id == item.call_id and other.final]
        call.repeated = any(not _differ(twin, item) for twin in twins)
        if twins and not call.repeated:
            item = attrs.evolve(item, call_id=self._free_id(item.call_id), id=None, payload={})
        call.final = item
        if call.repeated:
            _log.warning("a function call that was made before in the same answer, under the same id, was dropped")
            return
        call.index = self._stage.open(ItemKind.FUNCTION_CALL, item.id)
        self._stage.out.append(ItemClosed(call.index, item))

    def _free_id(self, taken: str) -> str:
        used = {state.final.call_id for state in self.states.values() if state.final is not None}
        return next(free for number in count(2) if (free := f"{taken[:_LONGEST_STEM]}_{number}") not in used)

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


def _differ(one: FunctionCallItem, other: FunctionCallItem) -> bool:
    """Whether two calls of one id ask for different things beyond doubt."""
    if one.name != other.name:
        return True
    try:
        first, second = json.loads(one.arguments), json.loads(other.arguments)
    except (ValueError, RecursionError):
        return False
    return bool(first != second)
