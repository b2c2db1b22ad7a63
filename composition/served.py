"""The chat service of a build with background work: the first request starts it, and no list of models waits for ever."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Final

from openrouter_pipe.composition.policies import clean_up_policy
from openrouter_pipe.composition.supervisor import Supervisor
from openrouter_pipe.domain.clean_up import CleanUpPolicy
from openrouter_pipe.ports.chat import ChatEvent, ChatRequest, ChatService, ModelListing
from openrouter_pipe.ports.settings import Settings

_log: Final = logging.getLogger(__name__)

LONGEST_LISTING: Final = 15.0
"""Seconds that a list of models may take. The host waits for every pipe before it shows any model at all."""


class LatestSettings:
    """The settings of the latest request, for work that no request asks for; None before the first."""

    def __init__(self, pipe_id: str) -> None:
        self._pipe_id = pipe_id
        self.settings: Settings | None = None

    def clean_up(self) -> CleanUpPolicy | None:
        """What they say about deleting artifacts."""
        return None if self.settings is None else clean_up_policy(self.settings, self._pipe_id)


class ServedChat:
    """`ChatService` around another one."""

    def __init__(
        self,
        chat: ChatService,
        supervisor: Supervisor,
        latest: LatestSettings,
        longest_listing: float = LONGEST_LISTING,
    ) -> None:
        self._chat = chat
        self._supervisor = supervisor
        self._latest = latest
        self._longest_listing = longest_listing

    def respond(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Answer one turn; see `ChatService.respond`."""
        self._begin(request.settings)
        return self._chat.respond(request)

    async def models(self, settings: Settings) -> tuple[ModelListing, ...]:
        """The models on offer; see `ChatService.models`. Without a catalogue in time there are none for now."""
        self._begin(settings)
        try:
            async with asyncio.timeout(self._longest_listing):
                return await self._chat.models(settings)
        except TimeoutError:
            _log.warning("no models are listed: no catalogue arrived within %.0f s", self._longest_listing)
            return ()

    def _begin(self, settings: Settings) -> None:
        self._latest.settings = settings
        self._supervisor.start()
