"""A provider whose rounds are recorded, in turns that have a record; in all others it is not in the way at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from openrouter_pipe.adapters.observability.context import current
from openrouter_pipe.adapters.observability.recorder import TurnRecorder
from openrouter_pipe.ports.provider import (
    Connection,
    LookAhead,
    ProviderError,
    ProviderEvent,
    ProviderRequest,
    ProviderStream,
    ResponsesProvider,
)

ASKED: Final = "provider.request"
ANSWERED: Final = "provider.event"
FAULT: Final = "provider.fault"


class RecordedProvider:
    """`ResponsesProvider` around another one."""

    def __init__(self, provider: ResponsesProvider) -> None:
        self._provider = provider

    def stream(self, request: ProviderRequest, connection: Connection) -> ProviderStream:
        """Run one round; see `ResponsesProvider.stream`."""
        recorder = current().recorder
        events = self._provider.stream(request, connection)
        if recorder is None:
            return events
        recorder.note(ASKED, request)
        if isinstance(events, LookAhead):
            return _RecordedLookAhead(events, recorder, events)
        return _Recorded(events, recorder)


class _Recorded:
    def __init__(self, events: ProviderStream, recorder: TurnRecorder) -> None:
        self._events = events
        self._recorder = recorder

    def __aiter__(self) -> AsyncIterator[ProviderEvent]:
        return self

    async def __anext__(self) -> ProviderEvent:
        try:
            event = await anext(self._events)
        except ProviderError as error:
            self._recorder.note(FAULT, error.fault)
            raise
        self._recorder.note(ANSWERED, event)
        return event

    async def aclose(self) -> None:
        await self._events.aclose()


class _RecordedLookAhead(_Recorded):
    def __init__(self, events: ProviderStream, recorder: TurnRecorder, ahead: LookAhead) -> None:
        super().__init__(events, recorder)
        self._ahead = ahead

    def ready(self) -> bool:
        return self._ahead.ready()
