"""The guard of the hot path: what one delta costs, counted and not timed, so that it is the same on every machine.

Counted are the bytecode instructions that run and the blocks of memory that are newly taken while a fixed stream goes
through; the cost of a longer stream minus that of a shorter one, divided by the deltas that it has more, is the cost of one
delta, free of everything that happens once a turn. Two paths: the in-memory build (provider events to chat events), and the
whole pipe (bytes of a response to host lines) over a transport without a socket.

    python tests/benchmarks/guard.py            show the counts beside the committed ones
    python tests/benchmarks/guard.py --update   commit to the present counts (tests/benchmarks/guard.json)
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any

import httpx

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


async def in_memory(*, reasoning: bool) -> Counts:
    """The in-memory build: provider events to chat events."""
    container = InMemoryContainer()
    provider: ScriptedProvider = container.provider()
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


async def whole_pipe(*, reasoning: bool, native: bool) -> Counts:
    """The pipe: bytes of a response to lines for the host, in a chat of 0.12 (``native``) or for a program."""
    transport = _Transport()
    container = PipeContainer()
    container.transport_factory.override(lambda: transport)
    services = PipeServices(container)
    pipe = make_pipe_class(lambda _: services, "", lambda: Host(present=False, native_items=native))()
    pipe.valves = pipe.Valves(API_KEY="sk-or-guard", STREAMING_DELTA_CHAR_LIMIT=0)
    ids = {"chat_id": "local", "message_id": "message-1", "session_id": "session-1"} if native else {}
    body = {"model": "bench.burst", "stream": True, "messages": [{"role": "user", "content": "Count."}]}

    async def run(deltas: int) -> int:
        transport.reads = _reads(deltas, reasoning=reasoning)
        lines = await pipe.pipe(body=body, __metadata__=ids)
        return sum([_WORD in line and '"delta":' in line and "output_item" not in line async for line in lines])

    try:
        return await per_delta(run)
    finally:
        await services.close()


async def measure() -> dict[str, Counts]:
    """Every path's counts."""
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
    """Show or update."""
    if not {"--update"}.issuperset(sys.argv[1:]):
        print(__doc__)
        return 0 if "--help" in sys.argv else 2
    now = asyncio.run(measure())
    then = committed().get(version(), {})
    for path, counts in now.items():
        old = then.get(path, {})
        print(
            f"{path}: "
            + ", ".join(f"{value:g} {what} (committed {old.get(what, '-')})" for what, value in counts.items())
        )
    if "--update" in sys.argv:
        text = json.dumps({**committed(), version(): now}, indent=2, sort_keys=True)
        COMMITTED.write_text(text + "\n", encoding="utf-8")
        return 0
    found = regressions(now, then) if then else [f"nothing is committed for Python {version()}; use --update"]
    print("\n".join(found) or "within 10 % of what is committed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
