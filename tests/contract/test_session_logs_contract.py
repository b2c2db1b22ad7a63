"""One suite for everything that keeps session logs: memory and encrypted archives on disk."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from attrs import frozen

from openrouter_pipe.adapters.filesystem import archives
from openrouter_pipe.adapters.filesystem.writer import ArchiveWriter
from openrouter_pipe.adapters.memory import MemoryMetrics, MemorySessionLogs
from openrouter_pipe.ports.session_log import ArchivePolicy, LogEntry, SessionLog, SessionLogs
from openrouter_pipe.ports.settings import Secret

PASSWORD = Secret("correct horse battery staple")
CAPACITY = 3


def log(message: str, *said: str) -> SessionLog:
    entries = [
        LogEntry(1.0 + at, "INFO", "pipe", text, "r", "u", "s", "c", message, "log", "turn", "run", at)
        for at, text in enumerate(said)
    ]
    return SessionLog("u", "s", "c", message, "r", 1.0, lambda: entries)


@frozen
class Bench:
    """A keeper with room for three records, its policy, and what it has kept: messages by message id."""

    logs: SessionLogs
    policy: ArchivePolicy
    kept: Callable[[], Awaitable[dict[str, list[str]]]]


@pytest.fixture(params=["memory", "disk"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    policy = ArchivePolicy(str(tmp_path), PASSWORD)
    if request.param == "memory":
        memory = MemorySessionLogs(CAPACITY)

        async def remembered() -> dict[str, list[str]]:
            return {one.message_id: [entry.message for entry in entries] for one, entries in memory.kept}

        return Bench(memory, policy, remembered)
    writer = ArchiveWriter(MemoryMetrics(), CAPACITY)

    async def written() -> dict[str, list[str]]:
        await writer.aclose()
        return {
            path.stem: [
                str(entry["message"]) for entry in archives.entries_of(archives.read(path, PASSWORD)["logs.jsonl"])
            ]
            for path in tmp_path.rglob("*.zip")
        }

    return Bench(writer, policy, written)


async def test_a_record_is_kept_with_its_entries_in_order(bench: Bench) -> None:
    assert bench.logs.submit(log("m", "first", "second"), bench.policy)
    assert await bench.kept() == {"m": ["first", "second"]}


async def test_a_record_without_entries_is_kept(bench: Bench) -> None:
    assert bench.logs.submit(log("m"), bench.policy)
    assert await bench.kept() == {"m": []}


async def test_what_comes_when_there_is_no_room_is_refused_and_what_was_taken_stays(bench: Bench) -> None:
    told = [bench.logs.submit(log(f"m{at}", "x"), bench.policy) for at in range(CAPACITY + 2)]
    assert told == [True] * CAPACITY + [False] * 2
    assert sorted(await bench.kept()) == ["m0", "m1", "m2"]
