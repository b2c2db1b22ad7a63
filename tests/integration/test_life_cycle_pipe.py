"""The pipe's life: nothing at import, what starts with the first call, hot reloads, warm-up and the list of models."""

from __future__ import annotations

import asyncio
import gc
import statistics
import subprocess
import sys
import threading
import time
import weakref
from datetime import timedelta
from functools import partial

import pytest
from dependency_injector import providers

from fake_host import HOST_06, HOST_12, FakeHost
from openrouter_pipe.adapters.memory.artifacts import MemoryArtifactStore
from openrouter_pipe.adapters.memory.runtime import ManualClock
from openrouter_pipe.adapters.openwebui import instances, make_pipe_class
from openrouter_pipe.adapters.simulator.app import Simulator
from openrouter_pipe.adapters.simulator.config import Knobs, SimulatorConfig
from openrouter_pipe.adapters.simulator.transport import SimulatorTransport
from openrouter_pipe.adapters.system import SystemClock
from openrouter_pipe.composition.pipe import PipeContainer, PipeServices
from openrouter_pipe.composition.supervisor import Supervisor, Worker
from openrouter_pipe.ports.chat import Completed, TextAdded
from scripted_chat import ScriptedChat, ScriptedServices


async def settle(rounds: int = 8) -> None:
    for _ in range(rounds):
        await asyncio.sleep(0)


class Generation:
    """One load of the function: a class of its own, an instance, and the services that it made."""

    def __init__(self, function: str = "router", *, recent: bool = True, pause: bool = False, **options: float) -> None:
        self.made: list[ScriptedServices] = []
        self.pause = pause
        profile = HOST_12 if recent else HOST_06
        suffix = f"_{len(self.made):032x}" if recent else ""
        made = make_pipe_class(self._build, f"function_{function}{suffix}", lambda: profile, **options)
        self.host = FakeHost(made(), recent=recent, function_id=function)

    def _build(self, pipe_id: str) -> ScriptedServices:
        chat = ScriptedChat((TextAdded(0, "x"), TextAdded(0, "y"), Completed()))
        self.made.append(ScriptedServices(chat))
        return self.made[-1]

    @property
    def open(self) -> int:
        return sum(not services.closed for services in self.made)

    async def ask(self) -> str:
        return (await self.host.chat()).text


@pytest.fixture(params=[True, False], ids=["0.12.4", "0.6.28"])
def recent(request):
    return request.param


async def test_the_new_instance_retires_the_old_one_of_the_same_function(recent):
    old, new = Generation(recent=recent), Generation(recent=recent)
    assert await old.ask() == "xy"
    assert old.open == 1
    assert await new.ask() == "xy"
    await settle()
    assert (old.open, new.open) == (0, 1)
    assert old.made[0].closed == 1


async def test_functions_of_other_ids_are_left_alone(recent):
    one, two = Generation("one", recent=recent), Generation("two", recent=recent)
    for _ in range(2):
        await one.ask()
        await two.ask()
        await settle()
    assert (one.open, two.open) == (1, 1)
    assert len(one.made) == len(two.made) == 1


async def test_a_running_turn_ends_on_the_old_instance_which_then_releases(recent):
    old, new = Generation(recent=recent), Generation(recent=recent)
    running = await old.host.call(stream=True)
    lines = [await anext(running)]
    await new.ask()
    await settle()
    assert old.open == 1
    lines += [line async for line in running]
    await settle()
    assert old.open == 0
    assert "y" in "".join(map(str, lines))


async def test_a_turn_that_never_ends_holds_the_old_services_no_longer_than_the_limit(recent):
    old, new = Generation(recent=recent), Generation(recent=recent)
    running = await old.host.call(stream=True)
    await anext(running)
    await new.ask()
    await settle()
    clock = old.made[0].clock
    clock.advance(instances.DRAIN_SECONDS - 1)
    await settle()
    assert old.open == 1
    clock.advance(1)
    await settle()
    assert old.open == 0
    await running.aclose()


async def test_a_call_that_begins_to_stream_after_the_retirement_is_answered(recent):
    old, new = Generation(recent=recent), Generation(recent=recent)
    waiting = await old.host.call(stream=True)
    await new.ask()
    await settle()
    assert old.open == 0
    assert "y" in "".join([str(line) async for line in waiting])
    assert len(old.made) == 2


async def test_an_old_instance_that_is_used_again_heals_itself_and_leaves_soon(recent):
    old, new = Generation(recent=recent, grace_seconds=0.01), Generation(recent=recent)
    await old.ask()
    await new.ask()
    await settle()
    assert await old.ask() == "xy"
    await asyncio.sleep(0.05)
    await settle()
    assert (old.open, new.open) == (0, 1)
    assert await new.ask() == "xy"
    assert len(new.made) == 1


async def test_the_two_instances_that_0_6_28_makes_at_create_are_one_in_the_end():
    first, second = Generation(recent=False), Generation(recent=False)
    await first.host.models()
    await second.host.models()
    await second.ask()
    await settle()
    assert (first.open, second.open) == (0, 1)


async def test_twenty_reloads_under_traffic_lose_no_turn_and_leave_one_instance(recent):
    answers: list[str] = []
    generations = [Generation(recent=recent)]

    async def user(turns: int) -> None:
        for _ in range(turns):
            answers.append(await generations[-1].ask())
            await asyncio.sleep(0)

    users = [asyncio.create_task(user(30)) for _ in range(10)]
    for _ in range(20):
        await settle(3)
        generations.append(Generation(recent=recent))
    await asyncio.gather(*users)
    await generations[-1].ask()
    await settle()
    assert answers == ["xy"] * 300
    assert [generation.open for generation in generations] == [0] * 20 + [1]


async def test_an_instance_that_is_dropped_is_forgotten(recent):
    lone = Generation("lone", recent=recent)
    await lone.ask()
    services, watched = lone.made[0], weakref.ref(lone.host.pipe)
    del lone
    gc.collect()
    await settle()
    assert watched() is None
    assert services.closed == 1
    assert "lone" not in sys.modules["_openrouter_pipe_instances"].live


async def test_close_closes_once_and_a_later_call_begins_anew(recent):
    case = Generation(recent=recent)
    await case.ask()
    await case.host.pipe.close()
    await case.host.pipe.close()
    assert case.made[0].closed == 1
    assert await case.ask() == "xy"
    assert case.open == 1


def test_an_instance_of_a_loop_that_is_gone_hinders_nobody(recent):
    old, new = Generation("twice", recent=recent), Generation("twice", recent=recent)
    assert asyncio.run(old.ask()) == "xy"
    assert asyncio.run(new.ask()) == "xy"


def test_import_and_construction_start_nothing():
    script = (
        "import sys, threading, socket\n"
        "made = []\n"
        "class Watched(socket.socket):\n"
        "    def __init__(self, *a, **k):\n"
        "        made.append(1); super().__init__(*a, **k)\n"
        "socket.socket = Watched\n"
        "import openrouter_pipe.composition.pipe as pipe\n"
        "before = set(sys.modules)\n"
        "instance = pipe.pipe_class('function_router_' + 'a' * 32)()\n"
        "import logging\n"
        "logger = logging.getLogger('openrouter_pipe')\n"
        "print(threading.active_count(), len(made), logger.handlers, logging.getLogger().handlers)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["1", "0", "[]", "[]"]


# --- over the simulator --------------------------------------------------------------------------------------------


class Leaping(SystemClock):
    """The system's clock, which can be put forward."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


class House:
    """The pipe over a simulated OpenRouter in process."""

    def __init__(self, *, longest_listing: float = 15.0) -> None:
        self.simulator = Simulator(SimulatorConfig())
        self.container = PipeContainer()
        self.container.transport_factory.override(providers.Object(partial(SimulatorTransport, self.simulator)))
        self.container.store.override(providers.Singleton(MemoryArtifactStore))
        self.clock = Leaping()
        self.container.clock.override(providers.Object(self.clock))
        self.container.chat.add_kwargs(longest_listing=longest_listing)
        self.services = PipeServices(self.container)
        made = make_pipe_class(lambda _: self.services, "function_router_" + "0" * 32, lambda: HOST_12)
        self.host = FakeHost(made(), valves={"API_KEY": "sk-or-test", "BASE_URL": "http://sim.test/api/v1"})
        self.host.valves["MODEL_CATALOG_REFRESH_SECONDS"] = 60

    async def ask(self, text: str = "Hello") -> str:
        stored = await self.host.chat(text, model="router.sim.echo")
        return stored.text


@pytest.fixture
async def house():
    made = House()
    yield made
    await made.services.close()


async def test_a_bad_warm_up_locks_nobody_out(house):
    house.simulator.queue_faults(Knobs(status=500, path="/models"))
    assert await house.host.models() == []
    assert (await house.ask()).startswith("Hello")
    assert len(await house.host.models()) > 5


async def test_a_warm_up_that_keeps_failing_locks_nobody_out(house):
    """Requests go out with the model's name alone; the list is asked for once more in the wait, and not by each of them."""
    house.simulator.queue_faults(Knobs(status=500, path="/models", times=100))
    assert await house.host.models() == []
    for _ in range(3):
        assert (await house.ask()).startswith("Hello")
    assert [seen.path for seen in house.simulator.requests].count("/models") == 2


async def test_the_list_comes_from_memory_at_once_while_a_refresh_runs(house):
    full = await house.host.models()
    house.clock.ahead = 3600.0
    house.simulator.queue_faults(Knobs(delay_ms=3_600_000, path="/models"))
    took = []
    for _ in range(20):
        started = time.perf_counter()
        assert await house.host.models() == full
        took.append(time.perf_counter() - started)
        await asyncio.sleep(0.001)
    assert statistics.median(took) < 0.05
    assert [seen.path for seen in house.simulator.requests].count("/models") == 2


async def test_the_first_list_does_not_wait_for_ever_and_the_fetch_goes_on(caplog):
    house = House(longest_listing=0.05)
    house.simulator.queue_faults(Knobs(delay_ms=1000, path="/models"))
    started = time.perf_counter()
    assert await house.host.models() == []
    assert time.perf_counter() - started < 1
    assert "no catalogue arrived" in caplog.text
    assert (await house.ask()).startswith("Hello")
    assert len(await house.host.models()) > 5
    assert [seen.path for seen in house.simulator.requests].count("/models") == 1
    await house.services.close()


async def test_workers_start_with_the_first_call_and_everything_ends_within_five_seconds():
    house = House()
    started: list[str] = []

    async def work() -> None:
        started.append("worker")
        await asyncio.Event().wait()

    async def slow_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(60)

    container = PipeContainer()
    container.transport_factory.override(providers.Object(partial(SimulatorTransport, house.simulator)))
    container.store.override(providers.Singleton(MemoryArtifactStore))
    workers = Supervisor(container.clock(), Worker("good", work), Worker("slow", slow_end))
    container.supervisor.override(providers.Object(workers))
    services = PipeServices(container)
    made = make_pipe_class(lambda _: services, "function_fresh_" + "0" * 32, lambda: HOST_12)
    host = FakeHost(made(), function_id="fresh", valves=house.host.valves)
    threads, tasks = threading.active_count(), len(asyncio.all_tasks())
    assert not started
    await host.models()
    await settle()
    assert started == ["worker"]
    assert workers.running == 2
    began = time.perf_counter()
    await services.close()
    assert time.perf_counter() - began < 5
    for task in asyncio.all_tasks():
        if "slow" in task.get_name():
            task.cancel()
    await settle()
    assert len(asyncio.all_tasks()) == tasks
    assert threading.active_count() <= threads + 1
    await house.services.close()


async def test_one_part_that_cannot_be_closed_hinders_no_other(caplog):
    class Stuck(MemoryArtifactStore):
        async def aclose(self) -> None:
            raise RuntimeError("planted")

    house = House()
    house.container.store.override(providers.Singleton(Stuck))
    services = PipeServices(house.container)
    await services.close()
    await services.close()
    assert "the store could not be closed" in caplog.text


async def test_a_turn_cut_short_by_close_is_told_so(house):
    stream = house.host.stream("[[sim: scenario=long; text=50; speed=200]]go", model="router.sim.echo", chat_id="c")
    lines = [await anext(stream) for _ in range(8)]
    async with asyncio.timeout(5):
        await house.services.close()
        lines += [line async for line in stream]
    assert "Error ID" in "".join(lines)


async def test_the_clean_up_of_artifacts_runs_with_the_settings_of_the_latest_request(house):
    seen = []

    class Watched(MemoryArtifactStore):
        async def clean_up(self, older_than, policy):
            seen.append((older_than, policy.pipe_id))
            return await super().clean_up(older_than, policy)

    clock = ManualClock()
    container = PipeContainer()
    container.pipe_id.override("mine")
    container.clock.override(providers.Object(clock))
    container.transport_factory.override(providers.Object(partial(SimulatorTransport, house.simulator)))
    container.store.override(providers.Singleton(Watched))
    services = PipeServices(container)
    made = make_pipe_class(lambda _: services, "function_mine_" + "0" * 32, lambda: HOST_12)
    host = FakeHost(made(), function_id="mine", valves={**house.host.valves, "ARTIFACT_CLEANUP_DAYS": 7})
    await host.models()
    for _ in range(30):
        await settle()
        clock.advance(60)
    await settle()
    assert seen
    moment, pipe_id = seen[0]
    assert pipe_id == "mine"
    assert clock.now() - timedelta(days=7, hours=1) < moment < clock.now() - timedelta(days=7) + timedelta(hours=1)
    await services.close()
