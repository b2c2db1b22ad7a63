"""Mixed traffic and faults through the in-memory build at full speed: nothing unexplained, nothing that grows.

    SOAK_SECONDS=60 python tests/benchmarks/soak.py        (30 minutes when not told)

Every turn has one expected end; any other is an unexplained error. Memory is read after each tenth of the time.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path

from dependency_injector import providers

from openrouter_pipe.adapters.memory.artifacts import MemoryArtifactStore
from openrouter_pipe.adapters.memory.provider import ScriptedProvider, answer
from openrouter_pipe.adapters.memory.telemetry import NullMetrics
from openrouter_pipe.composition.in_memory import InMemoryContainer
from openrouter_pipe.ports.chat import ChatMessage, ChatRequest, Completed, Failed, Identity
from openrouter_pipe.ports.items import Role, TextPart
from openrouter_pipe.ports.provider import FaultKind, ProviderFault, ProviderRequest
from openrouter_pipe.ports.settings import read_settings

SECONDS = float(os.environ.get("SOAK_SECONDS", "1800"))
WORKERS, USERS = 50, 500
FAULTS = {
    "authentication": ProviderFault(FaultKind.STATUS, "no", 401),
    "insufficient_credits": ProviderFault(FaultKind.STATUS, "no", 402),
    "payload_too_large": ProviderFault(FaultKind.STATUS, "no", 413),
    "openrouter_error": ProviderFault(FaultKind.STATUS, "no", 400),
    "network_timeout": ProviderFault(FaultKind.READ_TIMEOUT, "no", timeout=1.0),
    "service_error": ProviderFault(FaultKind.MALFORMED, "no"),
}
SETTINGS = read_settings(
    {
        "API_KEY": "sk-or-soak",
        "MAX_CONCURRENT_REQUESTS": 20,
        "BREAKER_MAX_FAILURES": 50,
        "PERSIST_REASONING_TOKENS": "conversation",
    },
    {},
)


def script(request: ProviderRequest) -> tuple:
    """The wanted end stands in the user's text."""
    wanted = str(request.input[-1]).partition("want=")[2].split("'")[0].split(";")[0]
    if wanted == "cut":
        return (*answer("The beginning of", reasoning="Hm.")[:-2], ProviderFault(FaultKind.CONNECTION, "reset"))
    return (FAULTS[wanted],) if wanted in FAULTS else answer("A plain answer.", reasoning="Think first.")


def resident_kib() -> int:
    """What the process holds."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4


class Soak:
    """The traffic and what came of it."""

    def __init__(self) -> None:
        self.container = InMemoryContainer()
        self.provider = ScriptedProvider(fallback=script)
        self.container.provider.override(providers.Object(self.provider))
        self.container.metrics.override(providers.Singleton(NullMetrics))
        self.ends: Counter[str] = Counter()
        self.unexplained: list[str] = []
        self.chance = random.Random(1)

    async def turn(self, number: int) -> None:
        wanted = self.chance.choice(["completed"] * 6 + [*FAULTS, "cut", "leave"])
        who = Identity(f"user-{number % USERS}", "session", f"chat-{number}", f"message-{number}")
        message = ChatMessage(Role.USER, (TextPart(f"want={wanted};"),))
        request = ChatRequest("memory/echo", (message,), SETTINGS, f"req-{number}", identity=who, persistent=True)
        last: Completed | Failed | None = None
        events = self.container.chat().respond(request)
        async for event in events:
            if wanted == "leave" and self.chance.random() < 0.3:
                break
            last = event if isinstance(event, Completed | Failed) else None
        await events.aclose()
        got = "left" if last is None else "completed" if isinstance(last, Completed) else last.code
        self.ends[got] += 1
        fits = {"cut": {"stream_interrupted"}, "leave": {"left", "completed"}}.get(wanted, {wanted})
        if got not in fits and got != "breaker_open":
            self.unexplained.append(f"wanted {wanted}, got {got}")

    async def worker(self, until: float, first: int) -> None:
        number = first
        while time.monotonic() < until:
            await self.turn(number)
            number += WORKERS

    async def tenth(self, seconds: float, start: int) -> int:
        """Run for a while, then forget what the scripted ports keep for tests."""
        await asyncio.gather(*(self.worker(time.monotonic() + seconds, start + first) for first in range(WORKERS)))
        self.provider.requests.clear()
        store = self.container.store()
        if isinstance(store, MemoryArtifactStore):
            store._shelves.clear()
        return resident_kib()


async def main() -> int:
    """Print the numbers; 1 when anything is unexplained, held or growing."""
    logging.getLogger("openrouter_pipe").setLevel(logging.CRITICAL)
    soak, began, held = Soak(), time.monotonic(), []
    for part in range(10):
        held.append(await soak.tenth(SECONDS / 10, part * 10_000_000))
        print(
            f"{time.monotonic() - began:6.0f} s  {soak.ends.total():8d} turns  {held[-1] / 1024:6.1f} MiB", flush=True
        )
    admission = soak.container.admission()
    left = {"running": admission.running, "waiting": admission.waiting, "streams": soak.provider.open_streams}
    tasks = len(asyncio.all_tasks()) - 1
    growth = held[-1] - held[2]
    print(f"ends {dict(soak.ends)}\nunexplained {len(soak.unexplained)} {soak.unexplained[:5]}")
    print(f"left {left}, tasks {tasks}, growth since the third part {growth} KiB")
    return int(bool(soak.unexplained or any(left.values()) or tasks or growth > 8 * 1024))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
