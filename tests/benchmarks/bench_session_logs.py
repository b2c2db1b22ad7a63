"""What a session log costs the answer: CPU milliseconds of the event loop's thread per turn, with logs off, on, and with a
full queue.

In memory, over a scripted model; the writer's own work is done in another thread and not counted. The three take turns, so
that whatever else the machine does meets all of them. Run alone it prints a table:
``python tests/benchmarks/bench_session_logs.py``.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import attrs
from dependency_injector import providers

from openrouter_pipe.adapters.filesystem.writer import ArchiveWriter
from openrouter_pipe.adapters.memory.artifacts import MemoryArtifactStore
from openrouter_pipe.adapters.memory.provider import ScriptedCatalog, ScriptedProvider, answer, card_entry
from openrouter_pipe.adapters.memory.telemetry import NullMetrics
from openrouter_pipe.adapters.observability.provider import RecordedProvider
from openrouter_pipe.composition.pipe import PipeContainer
from openrouter_pipe.ports.chat import ChatMessage, ChatRequest, ChatService, Completed, Identity
from openrouter_pipe.ports.items import Role, TextPart
from openrouter_pipe.ports.settings import read_settings

DELTAS = 300
ROUNDS = 40
TEXT = " ".join(f"word{number}" for number in range(DELTAS))


@attrs.frozen
class Case:
    """A pipe and the settings of its turns."""

    name: str
    chat: ChatService
    settings: dict[str, Any]


def case(name: str, writer: ArchiveWriter, folder: str) -> Case:
    container = PipeContainer()
    container.pipe_id.override("bench")
    container.environment.override(providers.Object({}))
    for port, made in {
        "provider": RecordedProvider(ScriptedProvider(fallback=lambda _: answer(TEXT, model="vendor/model"))),
        "catalog_source": ScriptedCatalog((card_entry("vendor/model"),)),
        "store": MemoryArtifactStore(),
        "session_logs": writer,
    }.items():
        getattr(container, port).override(providers.Object(made))
    on = {"SESSION_LOG_STORE_ENABLED": True, "SESSION_LOG_DIR": folder, "SESSION_LOG_ZIP_PASSWORD": "a long password"}
    settings = {"API_KEY": "sk-or-bench", "LOG_LEVEL": "ERROR", **(on if folder else {})}
    return Case(name, container.chat(), settings)


async def turn(one: Case, number: int) -> float:
    """CPU milliseconds of this thread for one answer."""
    request = ChatRequest(
        "vendor/model",
        (ChatMessage(Role.USER, (TextPart("Hi"),)),),
        read_settings(one.settings),
        f"request-{number}",
        identity=Identity("user", "session", "chat", f"message-{number}"),
        persistent=True,
    )
    began = time.thread_time()
    events = [event async for event in one.chat.respond(request)]
    took = (time.thread_time() - began) * 1e3
    assert isinstance(events[-1], Completed)
    return took


async def measure(rounds: int = ROUNDS) -> dict[str, Sequence[float]]:
    """The times of each case; the writer of ``on`` works, that of ``full`` has no room and nobody who empties it."""
    with tempfile.TemporaryDirectory() as folder:
        working, full = ArchiveWriter(NullMetrics()), ArchiveWriter(NullMetrics(), capacity=0)
        cases = [case("off", full, ""), case("on", working, folder), case("full", full, folder)]
        times: dict[str, list[float]] = {one.name: [] for one in cases}
        for number in range(rounds + 5):
            for one in cases:
                took = await turn(one, number)
                if number >= 5:  # the first ones import and cache
                    times[one.name].append(took)
            await working.aclose()
    return dict(times)


def main() -> None:
    """Print a table."""
    times = asyncio.run(measure())
    off = statistics.median(times["off"])
    for name, found in times.items():
        middle = statistics.median(found)
        print(
            f"{name:5} {middle:7.3f} ms per turn of {DELTAS} deltas  {(middle - off) / DELTAS * 1e3:+7.2f} us per delta"
        )


if __name__ == "__main__":
    main()
