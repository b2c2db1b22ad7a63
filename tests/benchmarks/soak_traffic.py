"""The traffic of the soak: what users ask, what the provider, the tools and the database do then, and which ends fit.

A chat has two turns, the second with the first one's markers. Ports that fail are the in-memory ones with a fault in
front of them, told what to do by the words of the request; nothing here keeps anything of a turn that is over.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from dependency_injector import providers

from openrouter_pipe.adapters.memory.artifacts import MemoryArtifactStore
from openrouter_pipe.adapters.memory.provider import Script, answer
from openrouter_pipe.adapters.memory.telemetry import NullMetrics
from openrouter_pipe.adapters.memory.tools import MemoryToolbox
from openrouter_pipe.adapters.system import SystemClock
from openrouter_pipe.composition.in_memory import InMemoryContainer
from openrouter_pipe.composition.policies import turn_policies
from openrouter_pipe.ports.artifacts import Artifact, ArtifactStoreError, StorePolicy
from openrouter_pipe.ports.chat import (
    ChatMessage,
    ChatRequest,
    Completed,
    Failed,
    Identity,
    MarkersIssued,
    Task,
    TextAdded,
)
from openrouter_pipe.ports.items import FunctionCallItem, FunctionOutputItem, Role, TextPart
from openrouter_pipe.ports.provider import (
    Connection,
    FaultKind,
    FinishStatus,
    ItemFinished,
    ProviderError,
    ProviderEvent,
    ProviderFault,
    ProviderRequest,
    ResponseFinished,
)
from openrouter_pipe.ports.settings import Settings, read_settings
from openrouter_pipe.ports.tools import ToolSpec

WORKERS, USERS = 50, 500
FAULTS: Final = {
    "authentication": ProviderFault(FaultKind.STATUS, "no", 401),
    "insufficient_credits": ProviderFault(FaultKind.STATUS, "no", 402),
    "payload_too_large": ProviderFault(FaultKind.STATUS, "no", 413),
    "openrouter_error": ProviderFault(FaultKind.STATUS, "no", 400),
    "rate_limit": ProviderFault(FaultKind.STATUS, "no", 429, retry_after=2.0),
    "service_error": ProviderFault(FaultKind.MALFORMED, "no"),
    "network_timeout": ProviderFault(FaultKind.READ_TIMEOUT, "no", timeout=1.0),
    "connection_error": ProviderFault(FaultKind.CONNECTION, "refused"),
}
_COMPLETED: Final = {"completed"}
FITTING: Final[Mapping[str, set[str]]] = {
    "plain": _COMPLETED,
    "tools": _COMPLETED,
    "broken tool": _COMPLETED,
    "task": _COMPLETED,
    "database down": _COMPLETED,
    "overloaded once": _COMPLETED,
    "cut": {"stream_interrupted"},
    "crash": {"internal_error"},
    "no such model": {"model_not_found"},
    "leave": {"left", "completed"},
    "cancel": {"left", "completed"},
    **{code: {code} for code in FAULTS},
}
"""Which ends fit what was wanted; an open breaker fits everything."""


def _settings(running: int) -> Settings:
    return read_settings(
        {
            "API_KEY": "sk-or-soak",
            "MAX_CONCURRENT_REQUESTS": running,
            "BREAKER_MAX_FAILURES": 50,
            "BREAKER_HISTORY_SIZE": 50,
            "PERSIST_REASONING_TOKENS": "conversation",
            "TOOL_TIMEOUT_SECONDS": 600,
            "TOOL_BATCH_TIMEOUT_SECONDS": 1200,
            "TOOL_SHUTDOWN_TIMEOUT_SECONDS": 0,
        },
        {},
    )


SETTINGS: Final = (_settings(20), _settings(10))
"""The limit of running turns goes up and down under the traffic."""


class HurriedClock(SystemClock):
    """Delays between attempts take no time; limits of many seconds stay what they are. `skip` lets time pass."""

    def __init__(self) -> None:
        self._skipped = 0.0

    def skip(self, seconds: float) -> None:
        """Let time pass at once."""
        self._skipped += seconds

    def monotonic(self) -> float:
        return super().monotonic() + self._skipped

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds if seconds > 10 else 0)


class Provider:
    """Plays what the last user text wants; keeps nothing."""

    def __init__(self) -> None:
        self.open_streams = 0

    async def stream(self, request: ProviderRequest, connection: Connection) -> AsyncGenerator[ProviderEvent, None]:
        self.open_streams += 1
        try:
            await asyncio.sleep(0)
            for step in _script(request):
                if isinstance(step, ProviderFault):
                    raise ProviderError(step)
                yield step
        finally:
            self.open_streams -= 1


_OVERLOADED: set[str] = set()


def _script(request: ProviderRequest) -> Script:
    said = str(request.input)
    wanted = said.rpartition("want=")[2].partition(";")[0]
    if wanted in FAULTS:
        return (FAULTS[wanted],)
    match wanted:
        case "cut":
            return (*answer("The beginning of", reasoning="Hm.")[:-2], ProviderFault(FaultKind.CONNECTION, "reset"))
        case "crash":
            raise RuntimeError("an adapter that breaks its promise")
        case "overloaded once":
            key = said.rpartition("number=")[2].partition(";")[0]
            if key not in _OVERLOADED:
                _OVERLOADED.add(key)
                return (ProviderFault(FaultKind.STATUS, "no", 503),)
            _OVERLOADED.discard(key)
        case "tools" | "broken tool" if not isinstance(request.input[-1], FunctionOutputItem):
            name = "look" if wanted == "tools" else "break"
            calls = tuple(FunctionCallItem(f"call_{n}", name, f'{{"n": {n}}}', id=f"fc_{n}") for n in range(2))
            events = tuple(ItemFinished(place, call) for place, call in enumerate(calls))
            return (*events, ResponseFinished(FinishStatus.COMPLETED, output=calls))
    return answer("A plain answer.", reasoning="Think first.")


class Store(MemoryArtifactStore):
    """The store; out of reach for chats whose id says so."""

    async def save(self, artifacts: Sequence[Artifact], policy: StorePolicy) -> frozenset[str]:
        _reach(artifacts[0].chat_id)
        return await super().save(artifacts, policy)

    async def load(self, chat_id: str, ids: Sequence[str], policy: StorePolicy) -> dict[str, Artifact]:
        _reach(chat_id)
        return await super().load(chat_id, ids, policy)


def _reach(chat_id: str) -> None:
    if "database down" in chat_id:
        raise ArtifactStoreError("connection refused")


async def _look(arguments: Mapping[str, object]) -> str:
    await asyncio.sleep(0)
    return f"Seen {arguments}."


async def _break(arguments: Mapping[str, object]) -> str:
    raise RuntimeError("no")


def _toolbox() -> MemoryToolbox:
    toolbox = MemoryToolbox()
    for name, function in (("look", _look), ("break", _break)):
        toolbox.add(ToolSpec(name, "", {"type": "object", "properties": {"n": {"type": "integer"}}}), function)
    return toolbox


class Soak:
    """The traffic and what came of it: ``ends`` of turns, how often each kind was ``wanted``, what was ``unexplained``."""

    def __init__(self) -> None:
        self.container = InMemoryContainer()
        self.provider = Provider()
        self.store = Store()
        self.container.provider.override(providers.Object(self.provider))
        self.container.store.override(providers.Object(self.store))
        self.clock = HurriedClock()
        self.container.clock.override(providers.Object(self.clock))
        self.container.metrics.override(providers.Singleton(NullMetrics))
        self.ends: Counter[str] = Counter()
        self.wanted: Counter[str] = Counter()
        self.unexplained: Counter[str] = Counter()
        self.slowest = 0.0
        self._chance = random.Random(1)
        self._numbers = iter(range(10**12))

    async def run_for(self, seconds: float) -> None:
        """Let all users ask for a while; then let time pass, so that what is kept for a time is gone."""
        until = time.monotonic() + seconds
        janitor = asyncio.create_task(self._clean())
        await asyncio.gather(*(self._user(until) for _ in range(WORKERS)))
        janitor.cancel()
        await asyncio.wait({janitor})
        await self._forget()
        self.clock.skip(1000)
        policy = turn_policies(SETTINGS[0]).breaker
        for user in (f"user-{number}" for number in range(USERS)):
            for key in (("request", user), ("store", user), ("tool", user, "local", "break")):
                self.container.breakers().allows(key, policy)  # forgets what is out of its window

    def left(self) -> dict[str, int]:
        """What is still held when no turn runs."""
        admission = self.container.admission()
        return {
            "running": admission.running,
            "waiting": admission.waiting,
            "streams": self.provider.open_streams,
            "breakers": len(self.container.breakers()),
        }

    def missing(self) -> list[str]:
        """Kinds of turns that never came."""
        return [kind for kind in FITTING if not self.wanted[kind]]

    async def _clean(self) -> None:
        while True:
            await asyncio.sleep(1)
            await self._forget(5)

    async def _forget(self, seconds: float = -1) -> None:
        policy = turn_policies(SETTINGS[0]).store
        await self.store.clean_up(datetime.now(UTC) - timedelta(seconds=seconds), policy)

    async def _user(self, until: float) -> None:
        while time.monotonic() < until:
            wanted = self._chance.choice(["plain"] * 4 + list(FITTING))
            number = next(self._numbers)
            first = ChatMessage(Role.USER, (TextPart(f"want={wanted};number={number};"),))
            said = await self._turn(wanted, number, (first,))
            if said:
                again = ChatMessage(Role.USER, (TextPart(f"want={wanted};number={number};again"),))
                await self._turn(wanted, number, (first, ChatMessage(Role.ASSISTANT, (TextPart(said),)), again))

    async def _turn(self, wanted: str, number: int, messages: tuple[ChatMessage, ...]) -> str:
        """One turn; returns what the host would have stored of a whole answer."""
        began = time.monotonic()
        said: list[str] = []
        last: Completed | Failed | None = None

        async def listen() -> None:
            nonlocal last
            events = self.container.chat().respond(self._request(wanted, number, messages))
            try:
                async for event in events:
                    if wanted == "leave" and self._chance.random() < 0.2:
                        return
                    match event:
                        case TextAdded(_, text):
                            said.append(text)
                        case MarkersIssued(text):
                            said.append(f"\n\n{text}")
                        case Completed() | Failed():
                            last = event
            finally:
                await events.aclose()

        if wanted == "cancel":
            listening = asyncio.create_task(listen())
            for _ in range(self._chance.randrange(40)):
                await asyncio.sleep(0)
            listening.cancel()
            await asyncio.wait({listening})
        else:
            await listen()
        self.slowest = max(self.slowest, time.monotonic() - began)
        self._judge(wanted, "left" if last is None else "completed" if isinstance(last, Completed) else last.code)
        return "".join(said) if isinstance(last, Completed) else ""

    def _judge(self, wanted: str, got: str) -> None:
        self.ends[got] += 1
        self.wanted[wanted] += 1
        if got not in FITTING[wanted] and got != "breaker_open":
            self.unexplained[f"wanted {wanted}, got {got}"] += 1

    def _request(self, wanted: str, number: int, messages: tuple[ChatMessage, ...]) -> ChatRequest:
        who = Identity(f"user-{number % USERS}", "session", f"chat {wanted} {number}", f"message-{number}")
        return ChatRequest(
            "memory/none" if wanted == "no such model" else "memory/echo",
            messages,
            SETTINGS[int(time.monotonic()) % len(SETTINGS)],
            f"req-{number}",
            identity=who,
            persistent=True,
            task=Task("title_generation") if wanted == "task" else None,
            toolbox=_toolbox(),
        )
