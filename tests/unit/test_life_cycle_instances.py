"""Instances of a function: what neither a clock nor an older instance that fails can do to the one in use."""

from __future__ import annotations

import asyncio
import logging
import uuid

import pytest

from openrouter_pipe.adapters.memory.runtime import ManualClock
from openrouter_pipe.adapters.openwebui.instances import Tenure, enter, next_age


class Services:
    def __init__(self, clock: object) -> None:
        self.clock = clock
        self.closed = 0

    async def close(self) -> None:
        self.closed += 1


class NoSleep(ManualClock):
    async def sleep(self, seconds: float) -> None:
        raise RuntimeError("no sleep")


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_clock_that_fails_cuts_no_running_turn_short():
    services = Services(NoSleep())
    tenure = Tenure(services)
    tenure.begin()
    tenure.retire()
    await settle()
    assert services.closed == 0
    tenure.end()
    await settle()
    assert services.closed == 1


async def test_and_the_limit_holds_all_the_same():
    services = Services(NoSleep())
    tenure = Tenure(services, drain_seconds=0.01)
    tenure.begin()
    tenure.retire()
    async with asyncio.timeout(5):
        while not services.closed:
            await asyncio.sleep(0.005)


def test_an_older_instance_that_cannot_be_retired_does_not_hinder_the_newer(caplog: pytest.LogCaptureFixture):
    function = f"test-{uuid.uuid4().hex}"
    retired = []

    def broken() -> None:
        raise RuntimeError("Event loop is closed")

    _, leave_broken = enter(function, next_age(), broken)
    _, leave_old = enter(function, next_age(), lambda: retired.append("old"))
    with caplog.at_level(logging.WARNING):
        newest, leave = enter(function, next_age(), lambda: None)
    assert newest
    assert retired == ["old"]
    assert "could not be retired" in caplog.text
    for one in (leave_broken, leave_old, leave):
        one()


def test_a_loop_that_is_gone_is_no_obstacle_to_retiring():
    services = Services(ManualClock())

    async def make() -> Tenure:
        return Tenure(services)

    asyncio.run(make()).retire()
    assert services.closed == 0
