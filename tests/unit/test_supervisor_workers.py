"""Background workers: when they run, what follows a failure, and how they end."""

import asyncio
import contextvars
import logging

import pytest

from openrouter_pipe.adapters.memory.runtime import ManualClock
from openrouter_pipe.composition import supervisor
from openrouter_pipe.composition.supervisor import Supervisor, Worker


class Diligent:
    """A worker that notes its starts, fails as often as told and then runs until it is ended."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.starts = 0
        self.ended = 0

    async def run(self) -> None:
        self.starts += 1
        if self.starts <= self.failures:
            raise RuntimeError("planted")
        try:
            await asyncio.Event().wait()
        finally:
            self.ended += 1


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_nothing_runs_before_start_and_one_task_each_after_many():
    worker = Diligent()
    under = Supervisor(ManualClock(), Worker("w", worker.run))
    await settle()
    assert worker.starts == under.running == 0
    for _ in range(3):
        under.start()
        await settle()
    assert worker.starts == under.running == 1
    await under.close()
    assert worker.ended == 1
    assert under.running == 0


async def test_a_failure_is_told_and_tried_again_later_and_later(caplog):
    clock, worker = ManualClock(), Diligent(failures=12)
    under = Supervisor(clock, Worker("clean-up", worker.run))
    with caplog.at_level(logging.ERROR):
        under.start()
        for start in range(1, 13):
            await settle()
            assert worker.starts == start
            clock.advance(clock.sleeps[-1])
        await settle()
    assert clock.sleeps[:4] == [1.0, 2.0, 4.0, 8.0]
    assert max(clock.sleeps) == supervisor.LONGEST_DELAY
    assert worker.starts == 13
    assert len(caplog.records) == 12
    assert "clean-up failed (RuntimeError), failure 1 in a row; it runs again in 1 s" in caplog.text
    await under.close()


async def test_a_failure_after_a_long_steady_run_is_the_first_again():
    clock = ManualClock()
    fail = asyncio.Event()

    async def run() -> None:
        await fail.wait()
        fail.clear()
        raise RuntimeError("now and then")

    under = Supervisor(clock, Worker("w", run))
    under.start()
    for _ in range(4):
        await settle()
        clock.advance(supervisor.STEADY_SECONDS)
        fail.set()
        await settle()
        clock.advance(clock.sleeps[-1])
    assert clock.sleeps == [1.0] * 4
    await under.close()


async def test_a_clock_that_jumps_neither_storms_nor_stops_a_worker():
    class Jumping(ManualClock):
        def monotonic(self) -> float:
            return -1e12 if self.sleeps else 1e12

    clock, worker = Jumping(), Diligent(failures=3)
    under = Supervisor(clock, Worker("w", worker.run))
    under.start()
    for _ in range(3):
        await settle()
        clock.advance(clock.sleeps[-1])
    await settle()
    assert clock.sleeps == [1.0, 2.0, 4.0]
    assert worker.starts == 4
    await under.close()


async def test_one_failing_worker_disturbs_no_other():
    clock, bad, good = ManualClock(), Diligent(failures=99), Diligent()
    under = Supervisor(clock, Worker("bad", bad.run), Worker("good", good.run))
    under.start()
    await settle()
    assert (bad.starts, good.starts) == (1, 1)
    await under.close()
    assert good.ended == 1


async def test_a_worker_that_is_done_stays_done():
    starts = []

    async def once() -> None:
        starts.append(1)

    under = Supervisor(ManualClock(), Worker("w", once))
    under.start()
    await settle()
    under.start()
    await settle()
    assert starts == [1]
    await under.close()


async def test_close_waits_a_bounded_time_for_a_worker_that_will_not_end(caplog):
    enough = asyncio.Event()

    async def stubborn() -> None:
        while not enough.is_set():
            try:
                await enough.wait()
            except asyncio.CancelledError:
                continue

    under = Supervisor(ManualClock(), Worker("stubborn", stubborn), end_seconds=0.05)
    under.start()
    await settle()
    async with asyncio.timeout(1):
        await under.close()
    assert "stubborn has not ended" in caplog.text
    enough.set()
    await settle()
    assert under.running == 0


async def test_nothing_starts_after_close():
    worker = Diligent()
    under = Supervisor(ManualClock(), Worker("w", worker.run))
    await under.close()
    under.start()
    await settle()
    assert worker.starts == 0


async def test_workers_do_not_inherit_the_context_of_the_first_request():
    who = contextvars.ContextVar("who", default="nobody")
    seen = []

    async def run() -> None:
        seen.append(who.get())

    who.set("first user")
    under = Supervisor(ManualClock(), Worker("w", run))
    under.start()
    await settle()
    assert seen == ["nobody"]


def test_a_loop_that_is_gone_does_not_stop_the_next():
    worker = Diligent()
    under = Supervisor(ManualClock(), Worker("w", worker.run))

    async def begin() -> None:
        under.start()
        await settle()

    for _ in range(2):
        asyncio.run(begin())
    assert worker.starts == 2
    asyncio.run(under.close())


class Broken(ManualClock):
    """A clock of which everything fails once the first worker has run."""

    broken = False

    def monotonic(self) -> float:
        if self.broken:
            raise RuntimeError("no time")
        return super().monotonic()

    async def sleep(self, seconds: float) -> None:
        if self.broken:
            raise RuntimeError("no sleep")
        await super().sleep(seconds)


@pytest.mark.parametrize("from_the_start", [True, False])
async def test_a_clock_that_fails_ends_no_worker(from_the_start):
    clock, worker = Broken(), Diligent(failures=3)
    clock.broken = from_the_start

    async def run() -> None:
        clock.broken = True
        await worker.run()

    under = Supervisor(clock, Worker("w", run), first_delay=0.001)
    under.start()
    async with asyncio.timeout(5):
        while worker.starts < 4:
            await asyncio.sleep(0.001)
    assert under.running == 1
    await under.close()
    assert worker.ended == 1


async def test_a_cancellation_that_nobody_asked_for_is_a_failure_like_any_other(caplog):
    clock, worker = ManualClock(), Diligent()

    async def run() -> None:
        if worker.starts == 0:
            worker.starts += 1
            gone = asyncio.get_running_loop().create_future()
            gone.cancel()
            await gone
        await worker.run()

    under = Supervisor(clock, Worker("w", run))
    under.start()
    await settle()
    assert "w failed (CancelledError)" in caplog.text
    clock.advance(1)
    await settle()
    assert (worker.starts, under.running) == (2, 1)
    await under.close()
