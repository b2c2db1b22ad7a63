"""A writer of session logs that hangs: answers come as if it were not there, and what is lost is counted exactly.

No time is measured: the gate is closed while every answer is awaited to its end, so an answer that waited for the writer
would never come.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from dependency_injector import providers

from openrouter_pipe.adapters.filesystem.writer import CAPACITY, ArchiveWriter
from openrouter_pipe.adapters.memory.telemetry import MemoryMetrics
from openrouter_pipe.adapters.observability.chat import Archiving, LoggedChat
from openrouter_pipe.adapters.observability.console import PipeLogging
from openrouter_pipe.composition.policies import log_redaction
from openrouter_pipe.composition.session_logs import archive_policy
from openrouter_pipe.ports.chat import Completed
from openrouter_pipe.ports.json import JsonValue
from remembering import Remembering

PASSWORD = "zip password of the archives"
ROOM = 5


@define
class Gate:
    """Stops the writer's thread in the first record that it tells, until it is opened."""

    entered: threading.Event = field(factory=threading.Event)
    opened: threading.Event = field(factory=threading.Event)

    def passing(self, value: JsonValue) -> JsonValue:
        self.entered.set()
        if not self.opened.wait(60):
            raise TimeoutError
        return value


@define
class Jam:
    """A pipe whose writer stands at the gate, with room for ``ROOM`` records."""

    pipe: Remembering
    writer: ArchiveWriter
    metrics: MemoryMetrics
    gate: Gate
    settings: dict[str, Any]

    async def answers(self, turns: int) -> None:
        for _ in range(turns):
            self.pipe.history.clear()
            events = await self.pipe.ask("[[sim: scenario=plain]] Hi", **self.settings)
            assert isinstance(events[-1], Completed)

    def counted(self) -> dict[str, int]:
        found = self.metrics.counters.items()
        return {dict(labels)["outcome"]: int(count) for (name, labels), count in found if name == "session_logs"}


@asynccontextmanager
async def jammed(tmp_path: Path) -> AsyncIterator[Jam]:
    gate, metrics = Gate(), MemoryMetrics()
    writer = ArchiveWriter(metrics, ROOM)
    settings = {
        "SESSION_LOG_STORE_ENABLED": True,
        "SESSION_LOG_DIR": str(tmp_path / "logs"),
        "SESSION_LOG_ZIP_PASSWORD": PASSWORD,
        "SESSION_LOG_ZIP_COMPRESSION": "stored",
    }
    async with Remembering({"DATA_DIR": str(tmp_path)}) as pipe:
        archiving = Archiving(archive_policy, writer, lambda _: gate.passing)
        console = PipeLogging("openrouter_pipe")
        chat = LoggedChat(pipe.container.core.conversation(), console, log_redaction, archiving)
        pipe.container.chat.override(providers.Object(chat))
        worker = asyncio.create_task(writer.run())
        jam = Jam(pipe, writer, metrics, gate, settings)
        try:
            await jam.answers(1)
            assert await asyncio.to_thread(gate.entered.wait, 60)
            yield jam
        finally:
            gate.opened.set()
            worker.cancel()
            await asyncio.wait({worker})
            await writer.aclose()
            chat.close()


def archives(tmp_path: Path) -> int:
    return len(list((tmp_path / "logs").rglob("*.zip")))


async def test_answers_do_not_wait_for_a_writer_that_hangs_and_losses_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with jammed(tmp_path) as jam:
        await jam.answers(ROOM)
        assert (jam.counted(), "session logs are dropped" in caplog.text) == ({}, False)
        await jam.answers(20)
        assert jam.counted() == {"dropped": 20}
        assert caplog.text.count("session logs are dropped") == 1, "one line for the whole jam"
        assert f"{ROOM} wait to be written to {tmp_path / 'logs'}" in caplog.text
        assert archives(tmp_path) == 0, "nothing has been written all the while"
        jam.gate.opened.set()
        await jam.writer.aclose()
        assert jam.counted() == {"dropped": 20, "written": ROOM + 1}
        await jam.answers(1)
        await jam.writer.aclose()
        assert jam.counted() == {"dropped": 20, "written": ROOM + 2}


async def test_a_jam_holds_one_thread_and_turns_add_none(tmp_path: Path) -> None:
    async with jammed(tmp_path) as jam:
        await jam.answers(ROOM)
        threads, tasks = threading.active_count(), len(asyncio.all_tasks())
        await jam.answers(3)
        assert (threading.active_count(), len(asyncio.all_tasks())) == (threads, tasks)
        assert jam.counted() == {"dropped": 3}


def test_five_hundred_may_wait() -> None:
    assert CAPACITY == 500
