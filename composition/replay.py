"""Runs a recording through the domain again, over the in-memory build: no network, no host, no disk.

The provider says what it said, in the recorded rounds and merged as it was; tools and store answer what they answered; the
clock shows the time of what the provider says. Ids are new ones of a form that nobody else uses, so that a comparison can
tell them. How the events are compared is told in `openrouter_pipe.composition.replay_compare`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from attrs import evolve, frozen
from dependency_injector import providers

from openrouter_pipe.adapters.memory import ScriptedCatalog
from openrouter_pipe.adapters.observability.values import TAG, plain
from openrouter_pipe.adapters.system import SystemClock
from openrouter_pipe.composition.in_memory import InMemoryContainer
from openrouter_pipe.composition.recordings import CannotReplayError, Recording, Step
from openrouter_pipe.composition.replay_compare import Difference, compare
from openrouter_pipe.composition.session_logs import archive_redaction
from openrouter_pipe.domain.catalog.catalog import Catalog
from openrouter_pipe.domain.catalog.service import CatalogService, CatalogUnavailableError
from openrouter_pipe.domain.tools.orchestration import ToolOrchestrator
from openrouter_pipe.ports.artifacts import Artifact, ArtifactStoreError, StorePolicy
from openrouter_pipe.ports.chat import ChatEvent, ToolFinished, ToolStarted
from openrouter_pipe.ports.provider import (
    Connection,
    FaultKind,
    ProviderError,
    ProviderEvent,
    ProviderFault,
    ProviderRequest,
    ProviderStream,
)
from openrouter_pipe.ports.runtime import Clock
from openrouter_pipe.ports.tools import ToolCall, ToolOutput, ToolSpec

LONGEST_SECONDS: Final = 120.0
"""A replay waits for nobody: one that takes longer hangs."""
_LONGEST_GATE: Final = 2.0
_NO_ROUND: Final = ProviderFault(FaultKind.MALFORMED, "the record holds no further round", retryable=False)
_NO_OUTPUT: Final = "[the record holds no output of this call]"


@frozen
class Outcome:
    """What a replay found: how many events were compared, and where they differ."""

    events: int
    rounds_recorded: int
    rounds_asked: int
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]


async def replay(recording: Recording) -> Outcome:
    """Run ``recording`` again and compare. Raises `CannotReplayError` when the run does not come to an end."""
    clock = _RecordedClock(recording.began)
    provider = _RecordedRounds(recording.rounds, clock)
    container = InMemoryContainer()
    container.clock.override(providers.Object(clock))
    container.provider.override(providers.Object(provider))
    container.ids.override(providers.Object(_NewIds()))
    container.store.override(providers.Object(_RecordedStore(recording)))
    container.core.catalog.override(providers.Object(_KnownCatalog(recording, clock)))
    # Recorded tools answer at once: limits measured by a real clock never strike.
    container.core.tools.override(providers.Object(ToolOrchestrator(SystemClock(), container.breakers())))
    toolbox = _RecordedTools(recording)
    request = evolve(recording.request, toolbox=toolbox) if recording.has_tools else recording.request
    redact = archive_redaction(request.settings)
    shown: list[Mapping[str, Any]] = []
    answer = container.chat().respond(request)
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            async for event in answer:
                toolbox.saw(event)
                told = redact(plain(event))
                shown.append(told if isinstance(told, dict) else {})
    except TimeoutError as error:
        raise CannotReplayError(f"the replay did not come to an end within {LONGEST_SECONDS:.0f} s") from error
    finally:
        await answer.aclose()
    differences = compare(recording, shown)
    return Outcome(len(recording.shown), len(recording.rounds), provider.asked, differences, recording.notes)


class _RecordedClock:
    """`Clock` that stands where the record is; waiting takes no time."""

    def __init__(self, began: float) -> None:
        self._at = began

    def move(self, at: float) -> None:
        self._at = max(self._at, at)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._at, UTC)

    def monotonic(self) -> float:
        return self._at

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


class _NewIds:
    """`Ids` whose ids `replay_compare.NEW_ID` finds again."""

    def __init__(self) -> None:
        self._counter = itertools.count(1)

    def artifact_id(self) -> str:
        return f"ZZREP1AY{next(self._counter):012d}"

    def error_id(self) -> str:
        return f"5e91a75e{next(self._counter):08d}"

    def item_id(self, prefix: str) -> str:
        return f"{prefix}zzreplay{next(self._counter):012d}"


class _KnownCatalog(CatalogService):
    """The catalogue as far as the record holds it."""

    def __init__(self, recording: Recording, clock: Clock) -> None:
        super().__init__(ScriptedCatalog(()), clock)
        self._card = recording.card
        self._why_none = recording.catalogue_fault

    async def current(self, connection: Connection, refresh_seconds: float, *, insist: bool = False) -> Catalog:
        if self._why_none is not None:
            raise CatalogUnavailableError(self._why_none)
        return Catalog(() if self._card is None else (self._card,))


class _RecordedRounds:
    """`ResponsesProvider` that says what it said; ``asked`` counts rounds."""

    def __init__(self, rounds: Sequence[Sequence[Step]], clock: _RecordedClock) -> None:
        self._rounds = deque(rounds)
        self._clock = clock
        self.asked = 0

    def stream(self, request: ProviderRequest, connection: Connection) -> ProviderStream:
        self.asked += 1
        steps = self._rounds.popleft() if self._rounds else (Step(0.0, _NO_ROUND, more=False),)
        return _RecordedStream(steps, self._clock)


class _RecordedStream:
    """One round; looks ahead as far as the recorded one did, so that it is merged as it was."""

    def __init__(self, steps: Sequence[Step], clock: _RecordedClock) -> None:
        self._steps = deque(steps)
        self._clock = clock
        self._more = False

    def __aiter__(self) -> AsyncIterator[ProviderEvent]:
        return self

    async def __anext__(self) -> ProviderEvent:
        if not self._steps:
            raise StopAsyncIteration
        step = self._steps.popleft()
        self._clock.move(step.at)
        self._more = step.more
        if isinstance(step.value, ProviderFault):
            raise ProviderError(step.value)
        value: Any = step.value
        event: ProviderEvent = value
        return event

    async def aclose(self) -> None:
        self._steps.clear()

    def ready(self) -> bool:
        return self._more


class _RecordedStore:
    """`ArtifactStore` that holds what the turn read, and fails where it failed."""

    def __init__(self, recording: Recording) -> None:
        self._held = {artifact.id: artifact for artifact in recording.artifacts}
        self._saved = deque(recording.saved)
        self._faults = recording.store_faults

    async def save(self, artifacts: Sequence[Artifact], policy: StorePolicy) -> frozenset[str]:
        self._check("save")
        durable = self._saved.popleft() if self._saved else ()
        kept = itertools.zip_longest(artifacts, durable[: len(artifacts)], fillvalue=True)
        return frozenset(one.id for one, is_durable in kept if isinstance(one, Artifact) and is_durable)

    async def load(self, chat_id: str, ids: Sequence[str], policy: StorePolicy) -> dict[str, Artifact]:
        self._check("load")
        return {one: self._held[one] for one in ids if one in self._held}

    async def delete(self, chat_id: str, ids: Sequence[str], policy: StorePolicy) -> int:
        self._check("delete")
        return len(ids)

    async def delete_chats(self, chat_ids: Sequence[str], policy: StorePolicy) -> int:
        return 0

    async def clean_up(self, older_than: datetime, policy: StorePolicy) -> int:
        return 0

    def _check(self, step: str) -> None:
        if step in self._faults:
            raise ArtifactStoreError(self._faults[step])


class _RecordedTools:
    """`Toolbox` that answers what was answered, in the recorded order of starts and ends.

    A tool ends when as many others have started and ended before it as in the record.
    """

    def __init__(self, recording: Recording) -> None:
        self._specs = recording.specs
        self._seen = (0, 0)
        self._news = asyncio.Event()
        self._outputs: dict[str, deque[tuple[tuple[int, int], ToolOutput]]] = {}
        started = ended = 0
        outputs = iter(recording.outputs)
        for shown in recording.shown:
            match shown.event.get(TAG):
                case "ToolStarted":
                    started += 1
                case "ToolFinished":
                    output = next(outputs)
                    self._outputs.setdefault(output.call_id, deque()).append(((started, ended), output))
                    ended += 1
        self._all = (started, ended)

    def specs(self) -> Sequence[ToolSpec]:
        return self._specs

    def saw(self, event: ChatEvent) -> None:
        """Take notice of what was shown."""
        started, ended = self._seen
        self._seen = (started + isinstance(event, ToolStarted), ended + isinstance(event, ToolFinished))
        self._news.set()
        self._news = asyncio.Event()

    async def run(self, call: ToolCall) -> ToolOutput:
        waiting = self._outputs.get(call.call_id)
        # A call that the turn did not live to see ended comes after all others.
        turn, output = waiting.popleft() if waiting else (self._all, ToolOutput(call.call_id, _NO_OUTPUT, ok=False))
        await self._wait_for(turn)
        return output

    async def _wait_for(self, turn: tuple[int, int]) -> None:
        """Until it is this call's turn; a record that was changed may make it wait in vain, which is bounded."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_GATE):
                while self._seen[0] < turn[0] or self._seen[1] < turn[1]:
                    await self._news.wait()
