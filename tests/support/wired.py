"""A whole conversation over the real provider adapter and a simulator: what a front end hears, what the provider saw.

Lives here: the wiring and how answers are read. Not here: any expectation.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx

from openrouter_pipe.adapters.memory.artifacts import MemoryArtifactStore
from openrouter_pipe.adapters.memory.runtime import CountingIds, ManualClock, SteadyRandomness
from openrouter_pipe.adapters.memory.telemetry import MemoryCostSink, MemoryMetrics
from openrouter_pipe.adapters.memory.web import MemoryFetcher
from openrouter_pipe.adapters.openrouter import HttpClients, OpenRouterCatalog, OpenRouterItemCodec, OpenRouterProvider
from openrouter_pipe.adapters.simulator.app import create_app
from openrouter_pipe.adapters.simulator.config import SimulatorConfig
from openrouter_pipe.adapters.simulator.record import RecordedRequest
from openrouter_pipe.adapters.simulator.server import serve
from openrouter_pipe.adapters.simulator.transport import SimulatorTransport
from openrouter_pipe.composition.policies import turn_policies
from openrouter_pipe.domain.admission import Admission
from openrouter_pipe.domain.breakers import Breakers
from openrouter_pipe.domain.catalog.service import CatalogService
from openrouter_pipe.domain.conversation import Conversation
from openrouter_pipe.domain.tools.orchestration import ToolOrchestrator
from openrouter_pipe.ports.chat import (
    ChatEvent,
    ChatMessage,
    ChatRequest,
    Completed,
    Failed,
    Identity,
    NoticeAdded,
    TextAdded,
)
from openrouter_pipe.ports.items import Role, TextPart
from openrouter_pipe.ports.settings import read_settings

KEY = "sk-or-v1-0123456789abcdef"
MODEL = "openai.gpt-5.6-luna"


class ShortSleeps(ManualClock):
    """Back-offs pass at once and are noted; time limits (100 seconds and more) never strike."""

    async def sleep(self, seconds: float) -> None:
        if seconds >= 100:
            await super().sleep(seconds)
            return
        self.sleeps.append(seconds)
        await asyncio.sleep(0)
        self.advance(seconds)


class Wired:
    """A conversation and the simulator behind it."""

    def __init__(self, app: object, url: str, clients: HttpClients) -> None:
        self.app = app
        self.url = url
        self.refused = 0
        self.clock = ShortSleeps()
        breakers = Breakers(self.clock)
        self.costs = MemoryCostSink()
        self.store = MemoryArtifactStore()
        self.chat = Conversation(
            provider=OpenRouterProvider(clients),
            catalog=CatalogService(OpenRouterCatalog(clients), self.clock),
            admission=Admission(),
            breakers=breakers,
            store=self.store,
            codec=OpenRouterItemCodec(),
            clock=self.clock,
            ids=CountingIds(),
            randomness=SteadyRandomness(),
            policies=turn_policies,
            metrics=MemoryMetrics(),
            fetcher=MemoryFetcher(),
            costs=self.costs,
            tools=ToolOrchestrator(self.clock, breakers),
        )

    def request(self, text: str, *, model: str = MODEL, settings: dict | None = None, **more: object) -> ChatRequest:
        valves = {"BASE_URL": self.url, "API_KEY": KEY, "SHOW_FINAL_USAGE_STATUS": False, **(settings or {})}
        given = {
            "model": model,
            "messages": (ChatMessage(Role.USER, (TextPart(text),)),),
            "settings": read_settings(valves),
            "request_id": "r1",
            "identity": Identity("u1", "s1", "c1", "m1"),
            **more,
        }
        return ChatRequest(**given)

    def respond(self, text: str, **more: object):
        return self.chat.respond(self.request(text, **more))

    async def hear(self, text: str, **more: object) -> list[ChatEvent]:
        events = [event async for event in self.respond(text, **more)]
        assert [type(event) for event in events if isinstance(event, Completed | Failed)] == [type(events[-1])]
        assert KEY not in repr(events)
        return events

    def refuse_responses(self) -> None:
        """The next request to the responses endpoint is told that its model is not to be had there."""
        self.refused += 1

    @property
    def sent(self) -> list[RecordedRequest]:
        """The requests for an answer, oldest first."""
        return [one for one in self.app.requests if one.path.endswith(("responses", "completions"))]


def shown(events: list[ChatEvent]) -> str:
    """The answer's text as the user reads it, without our own notices."""
    return "".join(event.text for event in events if isinstance(event, TextAdded))


def notices(events: list[ChatEvent]) -> str:
    """Our own words in and instead of the answer."""
    said = [event.text for event in events if isinstance(event, NoticeAdded)]
    last = events[-1]
    return "\n".join([*said, *([last.text] if isinstance(last, Failed) else [])])


class Refusing(httpx.AsyncBaseTransport):
    """The simulator in process, whose responses endpoint can be made to refuse; the simulator records the request."""

    def __init__(self, inner: SimulatorTransport, wired: Wired) -> None:
        self._inner = inner
        self._wired = wired

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inner.handle_async_request(request)
        if not self._wired.refused or not request.url.path.endswith("/responses"):
            return answer
        self._wired.refused -= 1
        await answer.aclose()
        error = {"message": "This model is not supported on the Responses API; use chat completions.", "code": 400}
        return httpx.Response(400, json={"error": error})


@asynccontextmanager
async def over_socket(wrap: Callable | None = None) -> AsyncIterator[Wired]:
    """The simulator on a loopback socket; ``wrap`` puts an ASGI application around it."""
    app = create_app(SimulatorConfig())
    served = app if wrap is None else wrap(app)
    clients = HttpClients()
    async with serve(served) as server:
        try:
            yield Wired(app, server.url, clients)
        finally:
            await clients.aclose()


@asynccontextmanager
async def in_process() -> AsyncIterator[Wired]:
    """The same without a socket."""
    app = create_app(SimulatorConfig())
    clients = HttpClients(lambda: Refusing(SimulatorTransport(app), wired))
    wired = Wired(app, "http://simulator.test/api/v1", clients)
    try:
        yield wired
    finally:
        await clients.aclose()


def with_header(name: str, value: Callable[[], str]) -> Callable:
    """Puts a header over every error answer of the application that it wraps."""

    def wrap(app):
        async def wrapped(scope, receive, send):
            async def sending(message):
                if message["type"] == "http.response.start" and message["status"] >= 400:
                    kept = [(key, held) for key, held in message["headers"] if key.decode().lower() != name]
                    message = {**message, "headers": [*kept, (name.encode(), value().encode())]}
                await send(message)

            await app(scope, receive, sending)

        wrapped.hang_up = app.hang_up
        return wrapped

    return wrap


def answering(*pieces: bytes, content_type: str = "application/json", status: int = 200) -> httpx.MockTransport:
    """A provider that gives these bytes to every request."""
    head = {"content-type": content_type}
    return httpx.MockTransport(lambda request: httpx.Response(status, headers=head, content=b"".join(pieces)))
