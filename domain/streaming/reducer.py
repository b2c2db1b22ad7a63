"""Provider events in, chat events and output items out. No input, no output, no await.

Theory of operation
-------------------

One `TurnReducer` lives as long as a turn and is told where each provider round begins. Within a round every output item
has its own state, found by the provider's index *and* the kind of the item, because items overlap: reasoning may close
after the message that follows it, a call may be complete before its reasoning is. There is no "current item". The states
and their transitions are in `messages`, `thoughts` and `work`; what they share is the `Stage`.

The provider's indices start at 0 in every round. The indices of chat events count over the whole turn in the order in
which items become visible, so an item opened later never gets a smaller one. An item becomes visible when the provider
starts it; a function call when it is complete, since half a call can be neither shown nor run.

Text arrives up to four times: as deltas, as snapshots, with the finished item, with the finished response. Deltas are
shown as they come. Each later form shows only what it has beyond the text shown before; if it contradicts that text,
what was shown stands and the contradiction is logged. So every word is shown once, in order, whichever forms are missing.

::

    item:      (unseen) --start|delta--> open --finish--> closed          a repeated finish shows nothing again
    response:  running --ResponseFinished--> finished                     later events are ignored
               running --abort()-----------> finished                     open items close as they stand

`TurnReducer.items` are the round's output items in the provider's order and as the provider gave them, for the next round
and for the store; the items inside `ItemClosed` are the same except where that would take back what the user has seen.

Time: a thought lasts from its first delta to its end or to the first other output, whichever comes first.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence, Set
from typing import assert_never

from openrouter_pipe.domain.streaming.messages import Messages
from openrouter_pipe.domain.streaming.stage import ImageReady, ReducerEvent, Stage, told
from openrouter_pipe.domain.streaming.state import CallState, MessageState, Running, ThoughtState, WorkState
from openrouter_pipe.domain.streaming.text import well_formed_item
from openrouter_pipe.domain.streaming.thoughts import Thoughts
from openrouter_pipe.domain.streaming.work import Calls, Work
from openrouter_pipe.ports.chat import ReasoningAdded, StatusChanged, TextAdded
from openrouter_pipe.ports.items import (
    FunctionCallItem,
    ImageItem,
    ItemKind,
    MessageItem,
    OpaqueItem,
    OutputItem,
    ReasoningItem,
    ServerToolItem,
)
from openrouter_pipe.ports.provider import (
    ArgumentsDelta,
    ArgumentsSnapshot,
    CitationAdded,
    FinishStatus,
    ItemFinished,
    ItemStarted,
    ProviderEvent,
    ReasoningDelta,
    ReasoningSnapshot,
    RefusalDelta,
    RefusalSnapshot,
    ResponseFinished,
    ResponseStarted,
    ServerToolProgress,
    TextDelta,
    TextSnapshot,
)
from openrouter_pipe.ports.runtime import Clock, Ids

__all__ = ["ImageReady", "ReducerEvent", "TurnReducer"]

_log = logging.getLogger(__name__)


class TurnReducer:
    """The state of one turn's output.

    ``thinking`` says where reasoning is shown: in ``boxes`` of its own, as ``status`` lines, ``both`` or ``none``.
    ``quiet`` suppresses every status line, for turns that nobody watches.
    """

    def __init__(self, clock: Clock, ids: Ids, thinking: str = "boxes", *, quiet: bool = False) -> None:
        self._stage = Stage(clock, ids, thinking, quiet=quiet)
        self._round_index = 0
        self._finish: ResponseFinished | None = None
        self._running: Running | None = None
        self._messages = Messages(self._stage)
        self._thoughts = Thoughts(self._stage)
        self._calls = Calls(self._stage)
        self._work = Work(self._stage)

    def begin_round(self) -> None:
        """A new provider round begins; its items get indices after all earlier ones."""
        self._round_index = self._stage.next_index
        self._finish = None
        self._running = None
        self._stage.thinking = None
        self._messages = Messages(self._stage)
        self._thoughts = Thoughts(self._stage)
        self._calls = Calls(self._stage)
        self._work = Work(self._stage)

    def rewind(self) -> None:
        """The round is tried again; nothing that it brought so far was passed on, so its indices are free again."""
        self._stage.next_index = self._round_index
        self.begin_round()

    def take_index(self) -> int:
        """The next index, for something that the turn itself shows (a tool's output)."""
        return self._stage.take_index()

    @property
    def finish(self) -> ResponseFinished | None:
        """How the round ended; None while it runs."""
        return self._finish

    @property
    def status_shown(self) -> bool:
        """Whether a status line was shown in this turn, which then needs a last one."""
        return self._stage.status.shown

    def items(self) -> tuple[OutputItem, ...]:
        """The round's complete items, in the provider's order."""
        found: list[tuple[int, OutputItem]] = []
        states: tuple[Mapping[int, _State], ...] = (
            self._thoughts.states,
            self._messages.states,
            self._calls.states,
            self._work.states,
        )
        for mapping in states:
            for position, state in mapping.items():
                if state.final is not None and not (isinstance(state, CallState) and state.repeated):
                    found.append((position, state.final))
        return tuple(item for _, item in sorted(found, key=lambda entry: entry[0]))

    def calls(self) -> tuple[tuple[int, FunctionCallItem], ...]:
        """The round's complete function calls in the provider's order, each with the index where it is shown."""
        return self._calls.complete()

    def say(self, text: str) -> Sequence[StatusChanged]:
        """A status line of the turn's own, at the common pace; nothing for an empty one."""
        self._running = None
        self._stage.say(text)
        return [event for event in self._stage.take() if isinstance(event, StatusChanged)]

    def feed(self, event: ProviderEvent) -> Sequence[ReducerEvent]:
        """What one provider event means to the front end; often nothing, mostly one event."""
        running = self._running
        if running is not None:  # the hot path: one more piece of what the last event was a piece of
            if type(event) is TextDelta:
                if running.summary is None and event.index == running.index and event.part == running.part:
                    text = running.fragments.add(event.text)
                    return (TextAdded(running.shown_at, text),) if text else ()
            elif (
                type(event) is ReasoningDelta
                and event.summary is running.summary
                and event.index == running.index
                and event.part == running.part
            ):
                text = running.fragments.add(event.text)
                return (ReasoningAdded(running.shown_at, event.part, text, event.summary),) if text else ()
            self._running = None
        if self._finish is not None:
            _log.debug("event after the end of the response ignored: %s", type(event).__name__)
            return ()
        self._dispatch(event)
        self._running = self._more_of(event)
        return self._stage.take()

    def _more_of(self, event: ProviderEvent) -> Running | None:
        """What further events like this one may go on with by the short way: nothing but text comes of them."""
        if not self._stage.status.waiting:
            if type(event) is TextDelta and self._stage.thinking is None:
                return self._messages.running(event.index, event.part)
            if type(event) is ReasoningDelta and not self._stage.lines:
                return self._thoughts.running(event.index, event.part, summary=event.summary)
        return None

    def abort(self) -> Sequence[ReducerEvent]:
        """The round broke off: open items close as they stand. Does nothing after the end."""
        if self._finish is not None:
            return ()
        self._running = None
        self._close_open("incomplete")
        self._finish = ResponseFinished(FinishStatus.FAILED)
        return self._stage.take()

    def _dispatch(self, event: ProviderEvent) -> None:
        match event:
            case TextDelta(index, part, text):
                self._messages.add(index, part, text)
            case TextSnapshot(index, part, text):
                self._messages.snapshot(index, part, text)
            case RefusalDelta(index, part, text):
                self._messages.add(index, part, text, refusal=True)
            case RefusalSnapshot(index, part, text):
                self._messages.snapshot(index, part, text, refusal=True)
            case ReasoningDelta(index, part, text, summary):
                self._thoughts.add(index, part, text, summary=summary)
            case ReasoningSnapshot(index, part, text, summary):
                self._thoughts.snapshot(index, part, text, summary=summary)
            case ArgumentsDelta(index, text):
                self._calls.add(index, text)
            case ArgumentsSnapshot(index, text):
                self._calls.snapshot(index, text)
            case CitationAdded(_, citation):
                self._stage.cite((citation,))
            case ServerToolProgress(_, kind, phase):
                self._work.progress(kind, phase)
            case ItemStarted(index, _, item):
                self._start(index, item)
            case ItemFinished(index, item):
                self._finish_item(index, item)
            case ResponseFinished():
                self._finish_response(event)
            case ResponseStarted():
                pass
            case _:
                assert_never(event)

    def _start(self, index: int, item: OutputItem) -> None:
        match item:
            case MessageItem():
                self._stage.stop_thinking()
                self._messages.state(index, item)
            case ReasoningItem():
                self._thoughts.state(index, item)
            case FunctionCallItem():
                self._calls.start(index, item)
            case ImageItem() | ServerToolItem() | OpaqueItem():
                self._work.start(index, item)
            case _:
                assert_never(item)

    def _finish_item(self, index: int, received: OutputItem) -> None:
        item = well_formed_item(received)
        match item:
            case MessageItem():
                self._messages.finish(index, item)
            case ReasoningItem():
                self._thoughts.finish(index, item)
            case FunctionCallItem():
                self._calls.finish(index, item)
            case ImageItem() | ServerToolItem() | OpaqueItem():
                self._work.finish(index, item)
            case _:
                assert_never(item)

    def _finish_response(self, event: ResponseFinished) -> None:
        if event.status is not FinishStatus.FAILED:
            claimed: set[tuple[ItemKind, int]] = set()
            for position, item in enumerate(map(well_formed_item, event.output)):
                place = self._locate(position, item, claimed)
                claimed.add((_kind_of(item), place))
                self._finish_item(place, item)
        if event.status is FinishStatus.COMPLETED:
            self._calls.close()
        self._close_open("completed" if event.status is FinishStatus.COMPLETED else "incomplete")
        self._finish = event

    def _locate(self, position: int, item: OutputItem, claimed: Set[tuple[ItemKind, int]]) -> int:
        """Where the item at ``position`` of the final list was seen before, or a free place for a new one.

        By name where it has one, then by place, then by its words; what an earlier item of the list has ``claimed`` is
        out of the question.
        """
        kind = _kind_of(item)
        states = {at: state for at, state in self._states_like(item).items() if (kind, at) not in claimed}
        named = [at for at, state in states.items() if _same(state, item)]
        if named:
            return position if position in named else named[0]
        if position in states:
            return position
        for at, state in states.items():
            if isinstance(item, MessageItem) and isinstance(state, MessageState) and state.text == told(item):
                return at
        taken = {
            *self._messages.states,
            *self._thoughts.states,
            *self._calls.states,
            *self._work.states,
        }
        return position if position not in taken else max(taken) + 1

    def _states_like(self, item: OutputItem) -> Mapping[int, _State]:
        match item:
            case MessageItem():
                return self._messages.states
            case ReasoningItem():
                return self._thoughts.states
            case FunctionCallItem():
                return self._calls.states
            case _:
                return self._work.states

    def _close_open(self, status: str) -> None:
        self._stage.stop_thinking()
        states: list[MessageState | ThoughtState | WorkState] = [
            *self._thoughts.states.values(),
            *self._messages.states.values(),
            *self._work.states.values(),
        ]
        for state in sorted(states, key=_place):
            if state.final is not None:
                continue
            match state:
                case MessageState():
                    self._messages.close(state, status)
                case ThoughtState():
                    self._thoughts.close(state)
                case WorkState():
                    self._work.close(state, status)


_State = MessageState | ThoughtState | CallState | WorkState


def _place(state: MessageState | ThoughtState | WorkState) -> int:
    return -1 if state.index is None else state.index


def _kind_of(item: OutputItem) -> ItemKind:
    match item:
        case MessageItem():
            return ItemKind.MESSAGE
        case ReasoningItem():
            return ItemKind.REASONING
        case FunctionCallItem():
            return ItemKind.FUNCTION_CALL
        case _:
            return ItemKind.OPAQUE  # images, provider-run tools and the unknown share one numbering here


def _same(state: _State, item: OutputItem) -> bool:
    """Whether the two carry the same name."""
    if isinstance(state, CallState) and isinstance(item, FunctionCallItem):
        return state.known.call_id == item.call_id
    return not isinstance(item, OpaqueItem) and bool(item.id) and state.id == item.id
