"""The guard of the hot path: what one delta costs, counted and not timed, so that it is the same on every machine.

Counted are the bytecode instructions that run and the blocks of memory that are newly taken while a fixed stream goes
through; the cost of a longer stream minus that of a shorter one, divided by the deltas that it has more, is the cost of one
delta, free of everything that happens once a turn. Two paths: the in-memory build (provider events to chat events), and the
whole pipe (bytes of a response to host lines) over a transport without a socket.

A third count is of whole turns: objects in cycles that each leaves behind, which only a full garbage collection would free.

    python tests/benchmarks/guard.py              show the counts beside the committed ones
    python tests/benchmarks/guard.py --update     commit to the present counts (tests/benchmarks/guard.json)
    python tests/benchmarks/guard.py --json       only the counts, for the test that runs this in a process of its own
    python tests/benchmarks/guard.py --wasteful   the same with one allocation more per event, which must be told
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any

import attrs
import httpx
from dependency_injector import providers

sys.path.insert(0, str(Path(__file__).resolve().parent))

from bench_streams import catalogue

from openrouter_pipe.adapters.memory.provider import ScriptedProvider
from openrouter_pipe.adapters.openwebui import make_pipe_class
from openrouter_pipe.adapters.openwebui.host import Host
from openrouter_pipe.composition.in_memory import InMemoryContainer
from openrouter_pipe.composition.pipe import PipeContainer, PipeServices
from openrouter_pipe.ports.chat import ChatMessage, ChatRequest
from openrouter_pipe.ports.items import ItemKind, MessageItem, ReasoningItem, Role, TextPart
from openrouter_pipe.ports.provider import (
    FinishStatus,
    ItemStarted,
    ProviderEvent,
    ReasoningDelta,
    ResponseFinished,
    ResponseStarted,
    TextDelta,
)
from openrouter_pipe.ports.settings import read_settings

COMMITTED = Path(__file__).resolve().with_name("guard.json")
TOLERANCE = 0.10
_BLOCKS_IN_MEMORY = 0.5  # the in-memory counts are exact, so that not even one block more per delta passes there
_SHORT, _LONG = 20, 60  # counting blocks is slow: the interpreter looks at every pool each time
_WORD = "measured "

Counts = dict[str, float]


class Counter:
    """Counts instructions and newly taken blocks of memory while it is installed as the tracer."""

    def __init__(self) -> None:
        self.instructions = 0
        self.blocks = 0
        self._last = 0

    def __enter__(self) -> Counter:
        gc.collect()
        gc.disable()
        self._last = sys.getallocatedblocks()
        sys.settrace(self._enter)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)
        gc.enable()

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        if "site-packages" in frame.f_code.co_filename:
            return None  # another version of a library is no regression of ours
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._step

    def _step(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any]:
        now = sys.getallocatedblocks()
        if now > self._last:
            self.blocks += now - self._last
        self._last = now
        if event == "opcode":
            self.instructions += 1
        return self._step


async def per_delta(run: Callable[[int], Awaitable[int]]) -> Counts:
    """Instructions and blocks per delta of ``run``, which gets a number of deltas and returns how many came out."""
    for deltas in (_SHORT, _LONG, _LONG):  # fills caches and free lists
        await run(deltas)
    counted = []
    for deltas in (_SHORT, _LONG):
        with Counter() as counter:
            out = await run(deltas)
        if out != deltas:
            raise AssertionError(f"{out} of {deltas} deltas came out")
        counted.append(counter)
    short, long = counted
    more = _LONG - _SHORT
    return {
        "instructions": round((long.instructions - short.instructions) / more, 1),
        "blocks": round((long.blocks - short.blocks) / more, 2),
    }


def _script(deltas: int, *, reasoning: bool) -> list[ProviderEvent]:
    events: list[ProviderEvent] = [ResponseStarted("gen-1", "memory/echo")]
    if reasoning:
        events.append(ItemStarted(0, ItemKind.REASONING, ReasoningItem(id="rs_1")))
        events += [ReasoningDelta(0, 0, _WORD, summary=False) for _ in range(deltas)]
    else:
        events.append(ItemStarted(0, ItemKind.MESSAGE, MessageItem(Role.ASSISTANT, (), id="msg_1")))
        events += [TextDelta(0, 0, _WORD) for _ in range(deltas)]
    return [*events, ResponseFinished(FinishStatus.COMPLETED, model="memory/echo")]


class _Copying:
    """A provider's stream with one object more for every event: what the guard must see."""

    def __init__(self, provider: ScriptedProvider) -> None:
        self._provider = provider

    async def stream(self, *question: Any) -> AsyncIterator[ProviderEvent]:
        async for event in self._provider.stream(*question):
            yield attrs.evolve(event)


async def in_memory(*, reasoning: bool, wasteful: bool = False) -> Counts:
    """The in-memory build: provider events to chat events; ``wasteful`` copies every event on its way."""
    container = InMemoryContainer()
    provider: ScriptedProvider = container.provider()
    if wasteful:
        container.provider.override(providers.Object(_Copying(provider)))
    settings = read_settings({"API_KEY": "sk-or-guard", "STREAMING_DELTA_CHAR_LIMIT": 0})

    async def run(deltas: int) -> int:
        provider.queue(_script(deltas, reasoning=reasoning))
        message = ChatMessage(Role.USER, (TextPart("Count."),))
        request = ChatRequest("memory/echo", (message,), settings, "req_guard")
        wanted = "ReasoningAdded" if reasoning else "TextAdded"
        return sum([type(event).__name__ == wanted async for event in container.chat().respond(request)])

    return await per_delta(run)


class _Reads(httpx.AsyncByteStream):
    def __init__(self, reads: list[bytes]) -> None:
        self._reads = reads

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for read in self._reads:
            yield read


class _Transport(httpx.AsyncBaseTransport):
    """Answers with the reads it was given, one event each."""

    reads: list[bytes]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The catalogue, or the answer."""
        if request.url.path.endswith("/models"):
            return httpx.Response(200, content=catalogue(0))
        return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, stream=_Reads(self.reads))


def _reads(deltas: int, *, reasoning: bool) -> list[bytes]:
    kind = "reasoning_text" if reasoning else "output_text"
    item = (
        {"type": "reasoning", "id": "x_1", "summary": []}
        if reasoning
        else {"type": "message", "id": "x_1", "role": "assistant", "content": [], "status": "in_progress"}
    )
    where = {"item_id": "x_1", "output_index": 0, "content_index": 0}
    events: list[dict[str, Any]] = [{"type": "response.output_item.added", "output_index": 0, "item": item}]
    events += [{"type": f"response.{kind}.delta", **where, "delta": _WORD}] * deltas
    done = {"id": "gen-1", "object": "response", "status": "completed", "output": [], "model": "bench/burst"}
    events.append({"type": "response.completed", "response": done})
    return [f"data: {json.dumps(event)}\n\n".encode() for event in events]


@contextlib.asynccontextmanager
async def _piped(*, native: bool) -> AsyncIterator[tuple[_Transport, Callable[[], Awaitable[Any]]]]:
    """A pipe over a transport without a socket, and how to call it."""
    transport = _Transport()
    container = PipeContainer()
    container.transport_factory.override(lambda: transport)
    services = PipeServices(container)
    pipe = make_pipe_class(lambda _: services, "", lambda: Host(present=False, native_items=native))()
    pipe.valves = pipe.Valves(API_KEY="sk-or-guard", STREAMING_DELTA_CHAR_LIMIT=0)
    ids = {"chat_id": "local", "message_id": "message-1", "session_id": "session-1"} if native else {}
    body = {"model": "bench.burst", "stream": True, "messages": [{"role": "user", "content": "Count."}]}
    try:
        yield transport, lambda: pipe.pipe(body=body, __metadata__=ids)
    finally:
        await services.close()


async def whole_pipe(*, reasoning: bool, native: bool) -> Counts:
    """The pipe: bytes of a response to lines for the host, in a chat of 0.12 (``native``) or for a program."""
    async with _piped(native=native) as (transport, call):

        async def run(deltas: int) -> int:
            transport.reads = _reads(deltas, reasoning=reasoning)
            return sum(
                [_WORD in line and '"delta":' in line and "output_item" not in line async for line in await call()]
            )

        return await per_delta(run)


async def left_in_cycles(*, reasoning: bool, native: bool, turns: int = 25) -> float:
    """Objects that each turn leaves to the garbage collector."""
    async with _piped(native=native) as (transport, call):
        transport.reads = _reads(10, reasoning=reasoning)
        for _ in range(3):
            [line async for line in await call()]
        gc.collect()
        gc.disable()
        try:
            for _ in range(turns):
                [line async for line in await call()]
            return gc.collect() / turns
        finally:
            gc.enable()


async def measure(*, wasteful: bool = False) -> dict[str, Counts]:
    """Every path's counts; with ``wasteful`` those of the in-memory build alone."""
    if wasteful:
        return {
            "in-memory build, text": await in_memory(reasoning=False, wasteful=True),
            "in-memory build, reasoning": await in_memory(reasoning=True, wasteful=True),
        }
    return {
        "in-memory build, text": await in_memory(reasoning=False),
        "in-memory build, reasoning": await in_memory(reasoning=True),
        "pipe to program, text": await whole_pipe(reasoning=False, native=False),
        "pipe to chat, text": await whole_pipe(reasoning=False, native=True),
        "pipe to chat, reasoning": await whole_pipe(reasoning=True, native=True),
    }


def committed() -> dict[str, Any]:
    """The figures to hold, by the version of Python that they were counted on."""
    return json.loads(COMMITTED.read_text(encoding="utf-8")) if COMMITTED.is_file() else {}


def version() -> str:
    """Instructions are those of one version of Python."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def regressions(now: dict[str, Counts], then: dict[str, Counts]) -> list[str]:
    """What costs more than the committed figure and the tolerance allow."""
    return [
        f"{path}: {count:g} {what} per delta, {then[path][what]:g} committed (+{count / then[path][what] - 1:.0%})"
        for path, counts in now.items()
        for what, count in counts.items()
        if count > _limit(path, what, then[path][what])
    ]


def _limit(path: str, what: str, count: float) -> float:
    limit = count * (1 + TOLERANCE)
    return min(limit, count + _BLOCKS_IN_MEMORY) if what == "blocks" and path.startswith("in-memory") else limit


def main() -> int:
    """Show, print or update; 1 if something costs more than is committed."""
    asked = set(sys.argv[1:])
    if not {"--update", "--json", "--wasteful"}.issuperset(asked):
        print(__doc__)
        return 0 if "--help" in asked else 2
    now = asyncio.run(measure(wasteful="--wasteful" in asked))
    if "--json" in asked:
        print(json.dumps(now))
        return 0
    then = committed().get(version(), {})
    for path, counts in now.items():
        old = then.get(path, {})
        print(
            f"{path}: "
            + ", ".join(f"{value:g} {what} (committed {old.get(what, '-')})" for what, value in counts.items())
        )
    if "--update" in asked:
        text = json.dumps({**committed(), version(): now}, indent=2, sort_keys=True)
        COMMITTED.write_text(text + "\n", encoding="utf-8")
        return 0
    found = regressions(now, then) if then else [f"nothing is committed for Python {version()}; use --update"]
    print("\n".join(found) or "within 10 % of what is committed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
