"""One provider round: the attempts before anything is seen, the stream after that.

Until the first visible event everything is held back, so that a failed attempt leaves no trace and may be repeated. From
then on each event passes at once and nothing is ever sent again.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Iterable
from typing import cast

import attrs

from openrouter_pipe.domain import usage as usages
from openrouter_pipe.domain.policies import StreamingPolicy
from openrouter_pipe.domain.streaming.coalescing import Coalescer
from openrouter_pipe.domain.streaming.reducer import ImageReady, ReducerEvent, TurnReducer
from openrouter_pipe.domain.turn.attempts import Attempts, GiveUp, Repeat, Resend
from openrouter_pipe.domain.turn.images import keep_image
from openrouter_pipe.domain.turn.services import Services
from openrouter_pipe.ports.chat import ChatEvent, ItemClosed, ItemOpened
from openrouter_pipe.ports.files import FileStore
from openrouter_pipe.ports.items import ItemKind
from openrouter_pipe.ports.provider import (
    Connection,
    FaultKind,
    FinishStatus,
    LookAhead,
    ProviderError,
    ProviderFault,
    ProviderRequest,
    ProviderStream,
)
from openrouter_pipe.ports.telemetry import Usage

_SEEN_WHEN_OPENED = frozenset({ItemKind.IMAGE, ItemKind.SERVER_TOOL})


class Round:
    """One round. After `events` has ended, ``fault`` says whether it failed and ``request`` what was sent last."""

    def __init__(
        self,
        services: Services,
        reducer: TurnReducer,
        attempts: Attempts,
        request: ProviderRequest,
        connection: Connection,
        streaming: StreamingPolicy,
        files: FileStore | None,
    ) -> None:
        self.request = request
        self.fault: ProviderFault | None = None
        self.seen = False
        self.seconds = 0.0
        self.usage: Usage | None = None
        self._services = services
        self._reducer = reducer
        self._attempts = attempts
        self._connection = connection
        self._total_timeout = connection.total_timeout
        self._streaming = streaming
        self._files = files
        self._held: list[ChatEvent] = []

    async def events(self) -> AsyncGenerator[ChatEvent, None]:
        """Run the round; one delta passes here without a task, a queue or a wait."""
        feed = self._reducer.feed
        while True:
            began = self._services.clock.monotonic()
            stream = self._services.provider.stream(self.request, self._connection)
            coalescer = self._coalescer(stream)
            fault = None
            try:
                try:
                    async for event in stream:
                        for piece in (event,) if coalescer is None else coalescer.push(event):
                            for out in feed(piece):
                                if self.seen and type(out) is not ImageReady:
                                    yield out  # type: ignore[misc]  # type() is the cheap form of isinstance
                                else:
                                    for ready in await self._pass(out):
                                        yield ready
                finally:
                    await stream.aclose()
            except ProviderError as error:
                fault = error.fault
            for out in self._rest(coalescer, fault):
                for ready in await self._pass(out):
                    yield ready
            self.seconds += self._services.clock.monotonic() - began
            self.fault = self._outcome(fault)
            if self.fault is None or self.seen:
                for ready in self._release():
                    yield ready
                return
            self._held.clear()
            self._reducer.rewind()
            match self._attempts.after(self.fault, self.request):
                case GiveUp():
                    return
                case Repeat(delay):
                    await self._services.clock.sleep(delay)
                case Resend(request, status):
                    self.request = request
                    for line in self._reducer.say(status):
                        yield line
            self._connection = attrs.evolve(self._connection, total_timeout=self._attempts.time_left)

    def _coalescer(self, stream: ProviderStream) -> Coalescer | None:
        policy = self._streaming
        if policy.delta_char_limit <= 0 or not _looks_ahead(type(stream)):
            return None
        return Coalescer(
            cast("LookAhead", stream), policy.delta_char_limit, policy.idle_flush_seconds, self._services.clock
        )

    async def _pass(self, out: ReducerEvent) -> Iterable[ChatEvent]:
        """What may be shown of this event now: nothing while nothing visible has come."""
        visible = _is_visible(out)
        self._held.extend(await keep_image(out, self._files) if isinstance(out, ImageReady) else (out,))
        if not (visible or self.seen):
            return ()
        self.seen = True
        return self._release()

    def _release(self) -> Iterable[ChatEvent]:
        held, self._held = self._held, []
        return held

    def _rest(self, coalescer: Coalescer | None, fault: ProviderFault | None) -> Iterable[ReducerEvent]:
        """What is still held when the stream has ended, and the closing of open items when it broke off."""
        rest: list[ReducerEvent] = []
        for piece in () if coalescer is None else coalescer.flush():
            rest.extend(self._reducer.feed(piece))
        if self.seen or any(map(_is_visible, rest)):
            rest.extend(self._reducer.abort())
        return rest

    def _outcome(self, fault: ProviderFault | None) -> ProviderFault | None:
        finish = self._reducer.finish
        if finish is not None:
            self.usage = usages.add(self.usage, finish.usage)
        if finish is not None and finish.status is not FinishStatus.FAILED:
            return None  # the answer is whole, whatever happened to the connection behind it
        if fault is not None and fault.kind is FaultKind.TOTAL_TIMEOUT:
            return attrs.evolve(fault, timeout=self._total_timeout)  # the last attempt had less of it
        if fault is not None:
            return fault
        if finish is not None and finish.fault is not None:
            return finish.fault
        return ProviderFault(FaultKind.TRUNCATED, "the stream ended without a terminal event")


@functools.cache
def _looks_ahead(kind: type) -> bool:
    """Once for each kind of stream: asking a protocol costs more than a round has to spend."""
    return issubclass(kind, LookAhead)


def _is_visible(out: ReducerEvent) -> bool:
    match out:
        case ItemOpened(kind=kind):
            return kind in _SEEN_WHEN_OPENED
        case ItemClosed():
            return False
        case _:
            return True
