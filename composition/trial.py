"""A pipe on trial: the pipe's own build, with one chat of nobody's, and a look at what the provider is asked.

Here: making it, one turn through it, ending it. Not here: what is tried and how it is judged (`composition.validations`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from attrs import frozen
from dependency_injector import providers

from openrouter_pipe.adapters.memory.artifacts import MemoryArtifactStore
from openrouter_pipe.adapters.simulator.app import create_app
from openrouter_pipe.adapters.simulator.config import Knobs
from openrouter_pipe.adapters.simulator.transport import SimulatorTransport
from openrouter_pipe.composition.pipe import PipeContainer, PipeServices
from openrouter_pipe.ports.chat import (
    ChatEvent,
    ChatMessage,
    ChatRequest,
    Failed,
    Identity,
    MarkersIssued,
    NoticeAdded,
    TextAdded,
)
from openrouter_pipe.ports.items import Part, Role, TextPart
from openrouter_pipe.ports.provider import Connection, ProviderRequest, ProviderStream, ResponsesProvider
from openrouter_pipe.ports.runtime import Clock
from openrouter_pipe.ports.settings import Settings
from openrouter_pipe.ports.tools import Toolbox

USER: Final = "openrouter-pipe-validate"
"""The user of every trial's chat: a folder of this name holds its archives."""
_LONGEST_BACK_OFF: Final = 90.0


@frozen
class Turn:
    """One turn: what was asked, what was heard, what the provider was asked. Times in seconds."""

    request: ChatRequest
    events: tuple[ChatEvent, ...]
    requests: tuple[ProviderRequest, ...]
    first: float
    seconds: float

    @property
    def question(self) -> ChatMessage:
        """The user's message."""
        return self.request.messages[-1]

    @property
    def failed(self) -> Failed | None:
        """The failure, if it ended in one."""
        return next((event for event in self.events if isinstance(event, Failed)), None)

    @property
    def text(self) -> str:
        """The model's words."""
        return "".join(event.text for event in self.events if isinstance(event, TextAdded))

    @property
    def pieces(self) -> int:
        """In how many pieces they came."""
        return sum(isinstance(event, TextAdded) for event in self.events)

    @property
    def markers(self) -> str:
        """The markers of what was stored."""
        return "".join(event.text for event in self.events if isinstance(event, MarkersIssued))

    @property
    def rounds(self) -> int:
        """How often the provider was asked."""
        return len(self.requests)


def user(text: str, *attached: Part) -> ChatMessage:
    """A message of the user."""
    return ChatMessage(Role.USER, (TextPart(text), *attached))


def said(turn: Turn) -> ChatMessage:
    """The answer of a turn as a host stores it."""
    shown = TextAdded | NoticeAdded | MarkersIssued
    return ChatMessage(
        Role.ASSISTANT, (TextPart("".join(event.text for event in turn.events if isinstance(event, shown))),)
    )


class Trial:
    """One build; an async context manager. ``simulated``: a simulator stands in for the provider, nothing leaves.

    ``in_memory`` keeps artifacts out of the database. ``hurried``: pauses between attempts take no time.
    """

    def __init__(
        self,
        settings: Settings,
        environment: Mapping[str, str],
        pipe_id: str,
        *,
        simulated: bool,
        in_memory: bool,
        hurried: bool = False,
        knobs: Knobs | None = None,
    ) -> None:
        self.settings = settings
        self.pipe_id = pipe_id
        self.simulated = simulated
        self.store_name = "memory (no database is configured)" if in_memory else "the database"
        self.turns: list[Turn] = []
        self._asked: list[ProviderRequest] = []
        self.container = PipeContainer()
        self.container.pipe_id.override(pipe_id)
        self.container.environment.override(providers.Object(environment))
        self.container.catalog_memory.override(providers.Object(None))  # what was true yesterday proves nothing
        if simulated:
            app = create_app()
            if knobs is not None:
                app.queue_faults(knobs)
            self.container.transport_factory.override(providers.Object(lambda: SimulatorTransport(app)))
        if in_memory:
            self.container.store.override(providers.Object(MemoryArtifactStore()))
        if hurried:
            self.container.clock.override(providers.Object(_Hurried(self.container.clock())))
        self.container.provider.override(providers.Object(_Watched(self.container.provider(), self._asked.append)))
        self.ids = self.container.ids()
        self.user_id = USER
        self.chat_id = self.ids.item_id("validate-")
        self._services = PipeServices(self.container)

    async def __aenter__(self) -> Trial:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._services.close()

    async def turn(
        self,
        model: str,
        question: ChatMessage,
        *,
        history: Sequence[ChatMessage] = (),
        toolbox: Toolbox | None = None,
    ) -> Turn:
        """Ask once; never raises."""
        message_id = self.ids.item_id("message-")
        request = ChatRequest(
            model=model,
            messages=(*history, question),
            settings=self.settings,
            request_id=self.ids.item_id("req_"),
            identity=Identity(USER, self.ids.item_id("session-"), self.chat_id, message_id),
            persistent=True,
            toolbox=toolbox,
        )
        before, began, first = len(self._asked), time.monotonic(), 0.0
        events: list[ChatEvent] = []
        async for event in self._services.chat.respond(request):
            if isinstance(event, TextAdded) and not first:
                first = time.monotonic() - began
            events.append(event)
        turn = Turn(request, tuple(events), tuple(self._asked[before:]), first, time.monotonic() - began)
        self.turns.append(turn)
        return turn


class _Watched:
    """`ResponsesProvider` around another one; ``asked`` hears of every request."""

    def __init__(self, provider: ResponsesProvider, asked: Callable[[ProviderRequest], None]) -> None:
        self._provider = provider
        self._asked = asked

    def stream(self, request: ProviderRequest, connection: Connection) -> ProviderStream:
        """Run one round; see `ResponsesProvider.stream`."""
        self._asked(request)
        return self._provider.stream(request, connection)


class _Hurried:
    """`Clock` whose short pauses take no time; time limits stay what they are."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.now = clock.now
        self.monotonic = clock.monotonic

    async def sleep(self, seconds: float) -> None:
        """Wait, unless it is a pause between attempts."""
        await self._clock.sleep(0 if seconds <= _LONGEST_BACK_OFF else seconds)
