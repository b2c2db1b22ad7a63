"""When old session logs are removed: soon after the start, then at the interval that is set now, by the rules set now."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from openrouter_pipe.adapters.memory.runtime import ManualClock, SteadyRandomness
from openrouter_pipe.composition.served import LatestSettings
from openrouter_pipe.composition.session_logs import LogRetention
from openrouter_pipe.ports.settings import read_settings

DAY = 86_400.0


class Cleaned:
    """A clean-up at work over a folder of archives, on a clock of its own."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.clock = ManualClock()
        self._latest = LatestSettings("pipe")
        self.worker = LogRetention(self._latest, self.clock, SteadyRandomness())

    def set(self, **values: object) -> None:
        given = {"SESSION_LOG_STORE_ENABLED": True, "SESSION_LOG_DIR": str(self._root), **values}
        self._latest.settings = read_settings(given, {})

    def archive(self, name: str, *, days: float) -> Path:
        """An archive that was written so many days ago."""
        path = self._root / "user" / "chat" / f"{name}.zip"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"PK")
        then = self.clock.now().timestamp() - days * DAY
        os.utime(path, (then, then))
        return path

    async def gone(self, path: Path, *, within: float) -> bool:
        """Whether it is removed while so many seconds pass, in steps of five."""
        for _ in range(int(within / 5)):
            self.clock.advance(5)
            for _ in range(40):
                await asyncio.sleep(0.0005)
                if not path.exists():
                    return True
        return False


@pytest.fixture
async def cleaned(tmp_path: Path) -> AsyncIterator[Cleaned]:
    made = Cleaned(tmp_path)
    made.set()
    task = asyncio.create_task(made.worker.run())
    await asyncio.sleep(0)
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_first_comes_soon_after_the_start(cleaned: Cleaned) -> None:
    old, young = cleaned.archive("old", days=91), cleaned.archive("young", days=89)
    assert await cleaned.gone(old, within=60)
    assert young.exists()


async def test_a_changed_interval_counts_at_once(cleaned: Cleaned) -> None:
    assert await cleaned.gone(cleaned.archive("first", days=91), within=60)
    later = cleaned.archive("later", days=91)
    assert not await cleaned.gone(later, within=120)
    cleaned.set(SESSION_LOG_CLEANUP_INTERVAL_SECONDS=60)
    assert await cleaned.gone(later, within=30)


async def test_a_changed_retention_counts_at_the_next(cleaned: Cleaned) -> None:
    cleaned.set(SESSION_LOG_CLEANUP_INTERVAL_SECONDS=60)
    kept = cleaned.archive("kept", days=3)
    assert not await cleaned.gone(kept, within=60)
    cleaned.set(SESSION_LOG_CLEANUP_INTERVAL_SECONDS=60, SESSION_LOG_RETENTION_DAYS=2)
    assert await cleaned.gone(kept, within=90)


async def test_while_they_are_off_nothing_is_removed(cleaned: Cleaned) -> None:
    cleaned.set(SESSION_LOG_STORE_ENABLED=False)
    old = cleaned.archive("old", days=91)
    assert not await cleaned.gone(old, within=120)
    cleaned.set()
    assert await cleaned.gone(old, within=60)
