"""A ChatService by hand: plays the events it was given and remembers what it was asked."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping, Sequence

from openrouter_pipe.adapters.memory.runtime import CountingIds, ManualClock
from openrouter_pipe.ports.chat import ChatEvent, ChatRequest, ModelListing
from openrouter_pipe.ports.settings import Settings


class ScriptedChat:
    """Plays ``events`` for each turn; an exception among them is raised; ``pause`` holds the turn there until cancelled."""

    def __init__(self, events: Sequence[ChatEvent | Exception] = (), models: Sequence[ModelListing] = ()) -> None:
        self.events = list(events)
        self.listing = tuple(models)
        self.requests: list[ChatRequest] = []
        self.settings: list[Settings] = []
        self.ended = 0
        self.pause = False
        self.broken: Exception | None = None

    async def respond(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """One turn."""
        self.requests.append(request)
        try:
            for event in self.events:
                if isinstance(event, Exception):
                    raise event
                yield event
            if self.pause:
                await asyncio.Event().wait()
        finally:
            self.ended += 1

    async def models(self, settings: Settings) -> tuple[ModelListing, ...]:
        """The listing."""
        self.settings.append(settings)
        if self.broken:
            raise self.broken
        return self.listing


class ScriptedServices:
    """`PipeServices` around a scripted chat."""

    def __init__(self, chat: ScriptedChat, environment: Mapping[str, str] | None = None) -> None:
        self.chat = chat
        self.environment = os.environ if environment is None else environment
        self.clock = ManualClock()
        self.ids = CountingIds()
        self.closed = 0

    async def close(self) -> None:
        """Count."""
        self.closed += 1
