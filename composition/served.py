"""The chat service of a build with background work: the first request starts it, and no list of models waits for ever."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Final

from openrouter_pipe.composition.supervisor import Supervisor
from openrouter_pipe.ports.chat import ChatEvent, ChatRequest, ChatService, ModelListing
from openrouter_pipe.ports.settings import Settings

_log: Final = logging.getLogger(__name__)

LONGEST_LISTING: Final = 15.0
"""Seconds that a list of models may take. The host waits for every pipe before it shows any model at all."""


class ServedChat:
    """`ChatService` around another one."""

    def __init__(self, chat: ChatService, supervisor: Supervisor, longest_listing: float = LONGEST_LISTING) -> None:
        self._chat = chat
        self._supervisor = supervisor
        self._longest_listing = longest_listing

    def respond(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Answer one turn; see `ChatService.respond`."""
        self._supervisor.start()
        return self._chat.respond(request)

    async def models(self, settings: Settings) -> tuple[ModelListing, ...]:
        """The models on offer; see `ChatService.models`. Without a catalogue in time there are none for now."""
        self._supervisor.start()
        try:
            async with asyncio.timeout(self._longest_listing):
                return await self._chat.models(settings)
        except TimeoutError:
            _log.warning("no models are listed: no catalogue arrived within %.0f s", self._longest_listing)
            return ()
