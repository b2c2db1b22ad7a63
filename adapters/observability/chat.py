"""A chat service whose turns are logged under their own identifiers, at the level that their settings ask for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from openrouter_pipe.adapters.observability.console import PipeLogging, Redact
from openrouter_pipe.adapters.observability.context import LogContext, Scope, bound
from openrouter_pipe.ports.chat import ChatEvent, ChatRequest, ChatService, ModelListing
from openrouter_pipe.ports.settings import Settings


class LoggedChat:
    """`ChatService` around another one; ``redact_for`` makes the redaction that fits the settings of a turn."""

    def __init__(self, chat: ChatService, console: PipeLogging, redact_for: Callable[[Settings], Redact]) -> None:
        self._chat = chat
        self._console = console
        self._redact_for = redact_for

    async def respond(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Answer one turn; see `ChatService.respond`."""
        self._configure(request.settings)
        who = request.identity
        context = LogContext(request.request_id, who.user_id, who.session_id, who.chat_id, who.message_id)
        with bound(Scope(context)):
            async with aclosing(self._chat.respond(request)) as events:
                async for event in events:
                    yield event

    async def models(self, settings: Settings) -> tuple[ModelListing, ...]:
        """The models on offer; see `ChatService.models`."""
        self._configure(settings)
        return await self._chat.models(settings)

    def _configure(self, settings: Settings) -> None:
        self._console.configure(settings.LOG_LEVEL, self._redact_for(settings))
