"""A chat service whose turns are logged under their own identifiers, at the level that their settings ask for, and
recorded whole where their settings ask for a session log."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Final

import attrs

from openrouter_pipe.adapters.observability.console import PipeLogging, Redact
from openrouter_pipe.adapters.observability.context import LogContext, Scope, bound, current, enter
from openrouter_pipe.adapters.observability.memory import RecordedToolbox
from openrouter_pipe.adapters.observability.recorder import TurnRecorder
from openrouter_pipe.adapters.observability.values import plain, settings_changed
from openrouter_pipe.ports.chat import ChatEvent, ChatRequest, ChatService, ModelListing
from openrouter_pipe.ports.json import JsonValue
from openrouter_pipe.ports.session_log import ArchivePolicy, LogEntry, SessionLog, SessionLogs
from openrouter_pipe.ports.settings import Settings

REQUEST: Final = "request"
EVENT: Final = "event"

_HALVES: Final = re.compile("[\ud800-\udfff]")


@attrs.frozen
class Archiving:
    """Session logs of turns: which turns have one, where they go, and how structures in them are redacted.

    ``known`` tells before the first event of a turn what it was given besides, by event type; it never fails.
    """

    policy_for: Callable[[ChatRequest], ArchivePolicy | None]
    logs: SessionLogs
    redact_for: Callable[[Settings], Callable[[JsonValue], JsonValue]]
    known: Callable[[ChatRequest], Iterable[tuple[str, object]]] = lambda _: ()


class LoggedChat:
    """`ChatService` around another one; ``redact_for`` makes the redaction that fits the settings of a turn."""

    def __init__(
        self,
        chat: ChatService,
        console: PipeLogging,
        redact_for: Callable[[Settings], Redact],
        archiving: Archiving | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._chat = chat
        self._console = console
        self._redact_for = redact_for
        self._archiving = archiving
        self._now = now
        self._running = 0
        self._recording = 0
        self._closed = False

    async def respond(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Answer one turn; see `ChatService.respond`."""
        policy = self._archiving.policy_for(request) if self._archiving is not None else None
        recorder = TurnRecorder(request.settings.SESSION_LOG_MAX_LINES, self._now) if policy is not None else None
        self._recording += recorder is not None
        level = self._configure(request.settings)
        who = request.identity
        context = LogContext(request.request_id, who.user_id, who.session_id, who.chat_id, who.message_id)
        scope = Scope(context, level, recorder)
        before = current()
        began = self._now()
        events = self._chat.respond(request if recorder is None else _with_recorded_tools(request, recorder))
        self._running += 1
        first = True
        enter(scope)
        try:
            if recorder is not None:
                recorder.note(REQUEST, request)
            async for event in events:
                if recorder is not None:
                    if first:
                        first = False
                        self._note_known(recorder, request)
                    recorder.note(EVENT, event)
                yield event
                enter(scope)  # the consumer may take every step in another task
        finally:
            enter(scope)
            try:
                await events.aclose()
            finally:
                enter(before)
                self._running -= 1
                if recorder is not None and policy is not None:
                    self._recording -= 1
                    self._hand_over(recorder, policy, request, context, began)
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
        self._console.configure(settings.LOG_LEVEL, self._redact_for(settings), capture=self._recording > 0)
        return logging.getLevelNamesMapping()[settings.LOG_LEVEL]

    def _note_known(self, recorder: TurnRecorder, request: ChatRequest) -> None:
        if self._archiving is not None:
            for kind, value in self._archiving.known(request):
                recorder.note(kind, value)

    def _hand_over(
        self, recorder: TurnRecorder, policy: ArchivePolicy, request: ChatRequest, context: LogContext, began: float
    ) -> None:
        if self._archiving is None:
            return
        redact = self._archiving.redact_for(request.settings)

        def told(ts: float, event_type: str, value: object) -> LogEntry:
            shown = _asked(value) if isinstance(value, ChatRequest) else plain(value)
            text = _json(redact(shown))
            return LogEntry(
                ts=ts,
                level="DEBUG",
                logger=__name__,
                message=text,
                event_type=event_type,
                module="chat",
                func="respond",
                lineno=0,
                **attrs.asdict(context),
            )

        log = SessionLog(**attrs.asdict(context), created_at=began, entries=lambda: recorder.entries(told))
        self._archiving.logs.submit(log, policy)


def _with_recorded_tools(request: ChatRequest, recorder: TurnRecorder) -> ChatRequest:
    toolbox = request.toolbox
    return request if toolbox is None else attrs.evolve(request, toolbox=RecordedToolbox(toolbox, recorder))


def _json(value: JsonValue) -> str:
    """``value`` as text that can be written: half a character, which a delta may end in, is told by its number."""
    text = json.dumps(value, ensure_ascii=False)
    return text if _HALVES.search(text) is None else json.dumps(value)


def _asked(request: ChatRequest) -> JsonValue:
    """The request as it is shown: the settings that count, and nothing about the user beyond ids."""
    nobody = attrs.evolve(request.identity, email="", name="")
    shown = plain(attrs.evolve(request, identity=nobody, settings=Settings()))
    return {**shown, "settings": settings_changed(request.settings)} if isinstance(shown, dict) else shown
