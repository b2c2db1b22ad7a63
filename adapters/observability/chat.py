"""A chat service whose turns are logged under their own identifiers, at the level that their settings ask for."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable

from openrouter_pipe.adapters.observability.console import PipeLogging, Redact
from openrouter_pipe.adapters.observability.context import LogContext, Scope, bound, current, enter
from openrouter_pipe.ports.chat import ChatEvent, ChatRequest, ChatService, ModelListing
from openrouter_pipe.ports.settings import Settings


class LoggedChat:
    """`ChatService` around another one; ``redact_for`` makes the redaction that fits the settings of a turn."""

    def __init__(self, chat: ChatService, console: PipeLogging, redact_for: Callable[[Settings], Redact]) -> None:
        self._chat = chat
        self._console = console
        self._redact_for = redact_for
        self._running = 0
        self._closed = False

    async def respond(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Answer one turn; see `ChatService.respond`."""
        level = self._configure(request.settings)
        who = request.identity
        context = LogContext(request.request_id, who.user_id, who.session_id, who.chat_id, who.message_id)
        scope = Scope(context, level)
        before = current()
        events = self._chat.respond(request)
        self._running += 1
        enter(scope)
        try:
            async for event in events:
                yield event
                enter(scope)  # the consumer may take every step in another task
        finally:
            enter(scope)
            try:
                await events.aclose()
            finally:
                enter(before)
                self._running -= 1
                self._give_back()

    async def models(self, settings: Settings) -> tuple[ModelListing, ...]:
        """The models on offer; see `ChatService.models`."""
        with bound(Scope(level=self._configure(settings))):
            return await self._chat.models(settings)

    def close(self) -> None:
        """Give the logger back; at the end of the last turn while turns run, so that they are redacted to their end."""
        self._closed = True
        self._give_back()

    def _give_back(self) -> None:
        if self._closed and not self._running:
            self._console.close()

    def _configure(self, settings: Settings) -> int:
        self._console.configure(settings.LOG_LEVEL, self._redact_for(settings))
        return logging.getLevelNamesMapping()[settings.LOG_LEVEL]
