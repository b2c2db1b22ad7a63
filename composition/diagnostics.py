"""The doctor's report in a chat: one more model, for administrators, where the environment asks for it.

The host knows only models that are listed, and a list has no reader: so the model is listed for all, and who asks decides
what is answered. It is off unless OPENROUTER_PIPE_DIAGNOSTICS is true, so that no list of models changes by itself.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Final

from openrouter_pipe.adapters.openrouter import HttpClients
from openrouter_pipe.adapters.openwebui.records import is_running, stored_valves
from openrouter_pipe.ports.chat import (
    ChatEvent,
    ChatRequest,
    ChatService,
    Completed,
    Failed,
    ModelListing,
    NoticeAdded,
    StatusChanged,
)
from openrouter_pipe.ports.host_models import HostModelError
from openrouter_pipe.ports.runtime import Ids
from openrouter_pipe.ports.settings import SETTINGS, Settings

if TYPE_CHECKING:
    from openrouter_pipe.composition.checks.result import Subject

_log: Final = logging.getLogger(__name__)

VARIABLE: Final = "OPENROUTER_PIPE_DIAGNOSTICS"
"""Environment variable that lists the model: ``true``, ``1``, ``yes`` or ``on``."""
MODEL: Final = ModelListing("diagnostics", "OpenRouter: diagnostics (administrators)", "Examines this installation.")
ADMINISTRATOR: Final = "admin"
_TRUE: Final = frozenset({"true", "1", "yes", "on"})


class DiagnosticsChat:
    """`ChatService` around another one, which answers for every other model."""

    def __init__(
        self, chat: ChatService, environment: Mapping[str, str], pipe_id: str, clients: HttpClients, ids: Ids
    ) -> None:
        self._chat = chat
        self._environment = environment
        self._pipe_id = pipe_id
        self._clients = clients
        self._ids = ids

    def respond(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Answer one turn; see `ChatService.respond`."""
        asked = request.model.removeprefix(f"{request.host_prefix}.") if request.host_prefix else request.model
        if asked == MODEL.id and self._is_on():
            return self._diagnosed(request)
        return self._chat.respond(request)

    async def models(self, settings: Settings) -> tuple[ModelListing, ...]:
        """The models on offer; see `ChatService.models`."""
        offered = await self._chat.models(settings)
        return (*offered, MODEL) if self._is_on() else offered

    def _is_on(self) -> bool:
        return self._environment.get(VARIABLE, "").strip().lower() in _TRUE

    async def _diagnosed(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        who = request.identity
        if request.task is not None:
            yield Completed()  # titles and tags of such a chat are nobody's business
            return
        if who.role != ADMINISTRATOR:
            error_id = self._ids.error_id()
            _log.warning("diagnostics refused (error %s): user_id=%s is no administrator", error_id, who.user_id)
            yield Failed(error_id, "diagnostics_refused", _refusal(error_id), 403)
            return
        _log.info("diagnostics asked for: user_id=%s", who.user_id)
        yield StatusChanged("Examining this installation…")
        # Almost nobody asks: the checks are imported by whoever does.
        from openrouter_pipe.composition.doctor import examine

        report = await examine(await self._subject(request.settings))
        yield NoticeAdded(report.as_markdown())
        yield StatusChanged(report.summary, done=True)
        yield Completed()

    async def _subject(self, settings: Settings) -> Subject:
        from openrouter_pipe.composition.checks.gathering import host_version
        from openrouter_pipe.composition.checks.result import Subject

        stored: Mapping[str, object] | None = None
        if is_running():
            try:
                stored = await stored_valves(self._pipe_id)
            except HostModelError as error:
                _log.warning("the stored valves could not be read: %s", error)
        chosen = (one.name for one in SETTINGS if getattr(settings, one.name) != one.default)
        return Subject(
            environment=self._environment,
            settings=settings,
            clients=self._clients,
            source="this pipe's valves",
            pipe_id=self._pipe_id,
            stored=stored,
            chosen=frozenset(chosen),
            host_version=host_version(),
        )


def _refusal(error_id: str) -> str:
    return (
        "### Diagnostics are for administrators\n\nThis model examines the server. It answers administrators only.\n\n"
        f"**What to do:** choose another model, or ask an administrator.\n\n- Error ID: `{error_id}`\n"
    )
