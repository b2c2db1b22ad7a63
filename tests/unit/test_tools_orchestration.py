"""Running calls: limits, order, every clock, every way a tool can misbehave. Time is a `ManualClock`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs
import pytest

from openrouter_pipe.adapters.memory import ManualClock, MemoryToolbox
from openrouter_pipe.domain.breakers import BreakerPolicy, Breakers
from openrouter_pipe.domain.tools.arguments import parse_arguments
from openrouter_pipe.domain.tools.orchestration import (
    CallFinished,
    CallStarted,
    ToolOrchestrator,
    ToolProgress,
)
from openrouter_pipe.domain.tools.policy import ToolPolicy
from openrouter_pipe.domain.tools.schemas import offer
from openrouter_pipe.ports.items import FunctionCallItem, ImagePart, TextPart
from openrouter_pipe.ports.tools import ToolCall, ToolNotRunError, ToolOutput, ToolSpec

BREAKER = BreakerPolicy(5, 60.0, 5)
Function = Callable[[Mapping[str, Any]], Awaitable[str | ToolOutput]]


@attrs.define
class Bench:
    """An orchestrator on a manual clock with a toolbox."""

    clock: ManualClock = attrs.Factory(ManualClock)
    toolbox: MemoryToolbox = attrs.Factory(MemoryToolbox)
    policy: ToolPolicy = attrs.field(factory=lambda: ToolPolicy(shutdown_timeout=1.0))
    orchestrator: ToolOrchestrator = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.orchestrator = ToolOrchestrator(self.clock, Breakers(self.clock))

    def tool(self, name: str, function: Function) -> None:
        self.toolbox.add(ToolSpec(name, "", {"type": "object", "additionalProperties": True}), function)

    async def run(
        self,
        *calls: FunctionCallItem,
        step: float = 1.0,
        user: str = "u",
        pace: Callable[[], int] = lambda: 40,
    ) -> list[ToolProgress]:
        """Run to the end, moving the clock by ``step`` after every ``pace`` turns of the loop (40: when all wait)."""
        events: list[ToolProgress] = []

        async def collect() -> None:
            running = self.orchestrator.run(
                calls, self.toolbox, offer(self.toolbox.specs(), strict=False), self.policy, user, BREAKER
            )
            async with contextlib.aclosing(running) as progress:
                async for event in progress:
                    events.append(event)  # noqa: PERF401 - what was seen must survive a failure

        task = asyncio.ensure_future(collect())
        for _ in range(2000):
            await settle(pace())
            if task.done():
                break
            self.clock.advance(step)
        await task
        return events


async def settle(turns: int = 40) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


def call(name: str, number: int = 1, **arguments: Any) -> FunctionCallItem:
    return FunctionCallItem(f"call_{number}", name, json.dumps(arguments))


def outputs(events: list[ToolProgress]) -> dict[str, ToolOutput]:
    found = [event for event in events if isinstance(event, CallFinished)]
    assert len({event.call.call_id for event in found}) == len(found), "one output per call"
    return {event.call.call_id: event.output for event in found}


def reason(events: list[ToolProgress], call_id: str = "call_1") -> str:
    output = outputs(events)[call_id]
    if not output.ok:
        assert json.loads(output.text)["error"]["code"] == output.reason
    return output.reason


async def _say(arguments: Mapping[str, Any]) -> str:
    return f"said {dict(arguments)}"


async def _hang(arguments: Mapping[str, Any]) -> str:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


async def test_slow_first_fast_second_one_invalid_are_paired_by_call_id() -> None:
    bench = Bench()

    async def slow(arguments: Mapping[str, Any]) -> str:
        await bench.clock.sleep(5)
        return "slow"

    bench.tool("slow", slow)
    bench.tool("fast", _say)
    bad = FunctionCallItem("call_3", "fast", "[1]")
    events = await bench.run(call("slow", 1), call("fast", 2), bad)
    result = outputs(events)
    assert result["call_1"].text == "slow"
    assert result["call_2"].text == "said {}"
    assert result["call_3"].reason == "bad_arguments"
    assert [e.call.call_id for e in events if isinstance(e, CallStarted)] == ["call_1", "call_2"]


@pytest.mark.parametrize("text", ["[1]", '"x"', "null", "3", "{broken", "true", "[" * 100_000, '{"a":' * 50_000])
async def test_arguments_that_are_not_an_object_give_a_failed_output(text: str) -> None:
    bench = Bench()
    bench.tool("t", _say)
    assert reason(await bench.run(FunctionCallItem("call_1", "t", text))) == "bad_arguments"
    assert bench.toolbox.calls == []


async def test_arguments_too_deep_for_a_recursive_schema_cost_only_their_own_call() -> None:
    bench = Bench()
    bench.toolbox.add(ToolSpec("tree", "", {"type": "object", "properties": {"kid": {"$ref": "#"}}}), _say)
    bench.tool("t", _say)
    deep = FunctionCallItem("call_1", "tree", '{"kid":' * 700 + "{}" + "}" * 700)
    events = await bench.run(deep, call("t", 2))
    assert reason(events) == "bad_arguments"
    assert "nested too deeply" in outputs(events)["call_1"].text
    assert outputs(events)["call_2"].ok


def test_arguments_may_be_empty_and_must_not_be_huge() -> None:
    assert parse_arguments("") == parse_arguments("  ") == parse_arguments("{}") == {}
    with pytest.raises(ValueError, match="longer than"):
        parse_arguments('{"a":"' + "x" * 2_000_000 + '"}')


async def test_an_unknown_tool_names_the_known_ones() -> None:
    bench = Bench()
    bench.tool("known", _say)
    events = await bench.run(call("unknown"))
    assert reason(events) == "unknown_tool"
    assert "known" in outputs(events)["call_1"].text


@pytest.mark.parametrize("error", [RuntimeError("boom"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
async def test_whatever_a_tool_raises_becomes_an_output_and_it_ran_once(error: BaseException) -> None:
    bench = Bench()
    count = 0

    async def tool(arguments: Mapping[str, Any]) -> str:
        nonlocal count
        count += 1
        raise error

    bench.tool("t", tool)
    assert reason(await bench.run(call("t"))) == "tool_error"
    assert count == 1


async def _raise_cancelled(arguments: Mapping[str, Any]) -> str:
    raise asyncio.CancelledError


async def _cancel_own_task(arguments: Mapping[str, Any]) -> str:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)
    return "still here"


async def _cancel_own_task_and_return(arguments: Mapping[str, Any]) -> str:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    return "gone"


@pytest.mark.parametrize("tool", [_raise_cancelled, _cancel_own_task, _cancel_own_task_and_return])
async def test_a_tool_that_cancels_itself_is_a_failed_output_and_the_next_one_runs(tool: Function) -> None:
    bench = Bench(policy=ToolPolicy(max_parallel_per_request=1, shutdown_timeout=1))
    bench.tool("own", tool)
    bench.tool("t", _say)
    events = await bench.run(call("own", 1), call("t", 2))
    assert reason(events) == "cancelled"
    assert outputs(events)["call_2"].ok


class _WordlessError(RuntimeError):
    def __str__(self) -> str:
        raise ValueError("no words")


async def test_an_exception_that_cannot_be_put_into_words_is_named() -> None:
    bench = Bench()

    async def tool(arguments: Mapping[str, Any]) -> str:
        raise _WordlessError

    bench.tool("t", tool)
    events = await bench.run(call("t"))
    assert reason(events) == "tool_error"
    assert "_WordlessError" in outputs(events)["call_1"].text


async def test_only_a_tool_that_did_not_run_is_tried_again() -> None:
    bench = Bench()
    tries = 0

    async def tool(arguments: Mapping[str, Any]) -> str:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ToolNotRunError("connection refused")
        return "done"

    bench.tool("t", tool)
    assert outputs(await bench.run(call("t")))["call_1"].text == "done"
    assert tries == 3


async def test_a_call_that_takes_too_long_is_stopped_and_the_others_answer() -> None:
    bench = Bench()
    bench.tool("hang", _hang)
    bench.tool("t", _say)
    events = await bench.run(call("hang", 1), call("t", 2))
    assert reason(events, "call_1") == "timeout"
    assert outputs(events)["call_2"].ok
    assert bench.clock.monotonic() >= 60


async def test_a_batch_that_takes_too_long_is_stopped() -> None:
    bench = Bench(policy=ToolPolicy(timeout=600, batch_timeout=30, shutdown_timeout=1))
    bench.tool("hang", _hang)
    events = await bench.run(call("hang", 1), call("hang", 2))
    assert reason(events, "call_1") == reason(events, "call_2") == "batch_timeout"


async def _fill_the_process(bench: Bench, release: asyncio.Event) -> asyncio.Task[list[ToolProgress]]:
    """Somebody else's call takes the only place of the process until ``release``."""

    async def hold(arguments: Mapping[str, Any]) -> str:
        await release.wait()
        return "done"

    bench.tool("hold", hold)
    made = offer(bench.toolbox.specs(), strict=False)
    endless = attrs.evolve(bench.policy, timeout=1e6, batch_timeout=1e6, idle_timeout=None)

    async def other() -> list[ToolProgress]:
        running = bench.orchestrator.run([call("hold", 9)], bench.toolbox, made, endless, "other", BREAKER)
        return [event async for event in running]

    task = asyncio.ensure_future(other())
    await settle()
    return task


async def test_waiting_for_a_place_is_bounded_and_no_failure_of_the_tool() -> None:
    policy = ToolPolicy(max_parallel_global=1, batch_timeout=30, idle_timeout=10, shutdown_timeout=1)
    bench, release = Bench(policy=policy), asyncio.Event()
    bench.tool("t", _say)
    other = await _fill_the_process(bench, release)
    for _ in range(2):  # eight calls; five failures would open the breaker
        began = bench.clock.monotonic()
        events = await bench.run(*(call("t", number) for number in range(1, 5)))
        assert {output.reason for output in outputs(events).values()} == {"not_started"}
        assert not [event for event in events if isinstance(event, CallStarted)]
        assert 30 <= bench.clock.monotonic() - began < 40
    release.set()
    await other
    assert outputs(await bench.run(call("t")))["call_1"].ok


async def test_the_time_of_a_batch_begins_with_its_first_call() -> None:
    policy = ToolPolicy(max_parallel_global=1, batch_timeout=30, idle_timeout=25, shutdown_timeout=1)
    bench, release = Bench(policy=policy), asyncio.Event()

    async def slow(arguments: Mapping[str, Any]) -> str:
        await bench.clock.sleep(20)
        return "slow"

    bench.tool("slow", slow)
    other = await _fill_the_process(bench, release)

    async def free_the_place() -> None:
        await bench.clock.sleep(28)
        release.set()

    freeing = asyncio.ensure_future(free_the_place())
    assert outputs(await bench.run(call("slow")))["call_1"].text == "slow"
    await asyncio.gather(other, freeing)


async def test_no_progress_ends_the_calls_but_progress_keeps_them() -> None:
    bench = Bench(policy=ToolPolicy(timeout=600, batch_timeout=600, idle_timeout=10, shutdown_timeout=1))
    bench.tool("hang", _hang)

    async def steady(arguments: Mapping[str, Any]) -> str:
        await bench.clock.sleep(arguments["seconds"])
        return "ok"

    bench.tool("steady", steady)
    events = await bench.run(call("hang", 1), call("steady", 2, seconds=6), call("steady", 3, seconds=12))
    assert outputs(events)["call_2"].ok
    assert outputs(events)["call_3"].ok
    assert reason(events, "call_1") == "idle_timeout"


async def test_a_tool_that_ignores_its_cancellation_cannot_hold_the_answer() -> None:
    bench = Bench()
    release = asyncio.Event()

    async def stubborn(arguments: Mapping[str, Any]) -> str:
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()
        return "late"

    bench.tool("stubborn", stubborn)
    assert reason(await bench.run(call("stubborn"))) == "timeout"
    assert bench.orchestrator.running == 0
    release.set()
    await settle()


async def test_calls_of_one_tool_share_a_batch_up_to_the_cap_and_blockers_stand_alone() -> None:
    bench = Bench(policy=ToolPolicy(max_parallel_per_request=1, batch_cap=2, shutdown_timeout=1))
    order: list[int] = []

    async def tool(arguments: Mapping[str, Any]) -> str:
        order.append(arguments["n"])
        return "ok"

    bench.tool("a", tool)
    bench.tool("b", tool)
    calls = [
        call("a", 1, n=1),
        call("b", 2, n=2),
        call("a", 3, n=3),
        call("a", 4, n=4, depends_on="x"),
        call("a", 5, n=5),
    ]
    await bench.run(*calls)
    assert order == [1, 3, 2, 4, 5]


ORDERED: dict[str, tuple[list[tuple[str, dict[str, Any]]], list[tuple[int, int]], list[tuple[int, int]]]] = {
    # name: the calls (tool, markers), which pairs must not overlap, which pairs must
    "no marker": ([("a", {}), ("b", {})], [], [(0, 1)]),
    "depends_on": ([("a", {}), ("b", {"depends_on": "a"})], [(0, 1)], []),
    "_depends_on": ([("a", {}), ("b", {"_depends_on": ["call_0"]})], [(0, 1)], []),
    "a chain": (
        [("a", {}), ("b", {"depends_on": "a"}), ("c", {"depends_on": "b"}), ("d", {})],
        [(0, 1), (1, 2), (0, 2)],
        [(0, 3)],
    ),
    "the calls behind it need not wait": (
        [("a", {}), ("b", {"depends_on": "a"}), ("a", {}), ("c", {})],
        [(0, 1)],
        [(0, 2), (0, 3)],
    ),
    "sequential": ([("a", {}), ("b", {"sequential": True})], [(0, 1)], []),
    "sequential first": ([("a", {"sequential": True}), ("b", {}), ("a", {})], [(0, 1), (0, 2)], [(1, 2)]),
    "sequential of one tool": ([("a", {"sequential": True}), ("a", {"sequential": 1})], [(0, 1)], []),
    "sequential between": (
        [("a", {}), ("b", {}), ("c", {"sequential": True}), ("a", {}), ("b", {"no_batch": True})],
        [(0, 2), (1, 2), (2, 3), (2, 4)],
        [(0, 1), (3, 4)],
    ),
    "no_batch": ([("a", {}), ("a", {"no_batch": True}), ("b", {})], [], [(0, 1), (1, 2)]),
    "asked not to": (
        [("a", {}), ("b", {"sequential": False}), ("c", {"depends_on": None}), ("d", {"depends_on": []})],
        [],
        [(0, 1), (1, 2), (2, 3)],
    ),
}


@pytest.mark.parametrize("case", ORDERED)
@pytest.mark.parametrize("queue_size", [50, 1])
async def test_calls_are_ordered_as_their_markers_ask(case: str, queue_size: int) -> None:
    wanted, apart, together = ORDERED[case]
    bench = Bench(policy=ToolPolicy(max_parallel_per_request=9, queue_size=queue_size, shutdown_timeout=1))
    spans: dict[int, tuple[float, float]] = {}

    async def tool(arguments: Mapping[str, Any]) -> str:
        began = bench.clock.monotonic()
        await bench.clock.sleep(3)
        spans[arguments["n"]] = (began, bench.clock.monotonic())
        return str(arguments["n"])

    for name in "abcd":
        bench.tool(name, tool)
    events = await bench.run(*(call(name, n, n=n, **markers) for n, (name, markers) in enumerate(wanted)))
    assert {call_id: output.text for call_id, output in outputs(events).items()} == {
        f"call_{n}": str(n) for n in range(len(wanted))
    }
    for one, other in apart:
        assert spans[one][1] <= spans[other][0], (one, other)
    for one, other in together if queue_size > 1 else ():  # a queue of one has no room to pass
        assert spans[one][0] < spans[other][1], (one, other)
        assert spans[other][0] < spans[one][1], (one, other)


async def test_a_call_runs_behind_one_that_failed_and_behind_one_that_never_could_run() -> None:
    bench = Bench()

    async def broken(arguments: Mapping[str, Any]) -> str:
        await bench.clock.sleep(3)
        raise RuntimeError("no")

    bench.tool("broken", broken)
    bench.tool("hangs", _hang)
    bench.tool("t", _say)
    bad = FunctionCallItem("call_3", "t", "[1]")
    events = await bench.run(call("broken", 1), call("hangs", 2), bad, call("t", 4, depends_on="all of them"))
    ended = [event.call.call_id for event in events if isinstance(event, CallFinished)]
    assert ended == ["call_3", "call_1", "call_2", "call_4"]
    assert outputs(events)["call_4"].ok
    started = next(at for at, event in enumerate(events) if event.call.call_id == "call_4")
    assert started == len(events) - 2  # after the output of the one that had to be stopped


async def test_one_worker_is_enough_for_calls_that_wait_for_others() -> None:
    bench = Bench(policy=ToolPolicy(max_parallel_per_request=1, queue_size=1, batch_cap=1, shutdown_timeout=1))
    order: list[int] = []

    async def tool(arguments: Mapping[str, Any]) -> str:
        order.append(arguments["n"])
        await bench.clock.sleep(1)
        return "ok"

    bench.tool("t", tool)
    await bench.run(*(call("t", n, n=n, **({"sequential": True} if n % 2 else {})) for n in range(9)))
    assert order == list(range(9))


async def test_more_calls_than_the_queue_holds_run_in_order_and_within_the_limits() -> None:
    bench = Bench(policy=ToolPolicy(max_parallel_per_request=3, batch_cap=1, queue_size=50, shutdown_timeout=1))
    order: list[int] = []
    now = most = 0

    async def tool(arguments: Mapping[str, Any]) -> str:
        nonlocal now, most
        order.append(arguments["n"])
        now += 1
        most = max(most, now)
        await bench.clock.sleep(1)
        now -= 1
        return str(arguments["n"])

    bench.tool("t", tool)
    events = await bench.run(*(call("t", n, n=n) for n in range(175)))
    assert [output.text for output in outputs(events).values()] == [str(n) for n in range(175)]
    assert order == list(range(175))
    assert most == 3


async def test_a_failing_tool_trips_its_own_breaker_only() -> None:
    bench = Bench()

    async def fail(arguments: Mapping[str, Any]) -> str:
        raise RuntimeError("down")

    bench.tool("a", fail)
    bench.tool("b", _say)
    for _ in range(5):
        await bench.run(call("a"))
    assert reason(await bench.run(call("a"))) == "breaker_open"
    assert len(bench.toolbox.calls) == 5
    assert outputs(await bench.run(call("b")))["call_1"].ok
    assert reason(await bench.run(call("a"), user="somebody else")) == "tool_error"


class TwinToolbox(MemoryToolbox):
    """Two tools of one name, of different kinds; the one behind MCP is down."""

    async def run(self, call: ToolCall) -> ToolOutput:
        if call.kind == "mcp":
            raise RuntimeError("down")
        return await super().run(call)


async def test_tools_of_one_name_and_different_kinds_have_breakers_of_their_own() -> None:
    bench = Bench()
    bench.toolbox = TwinToolbox()
    for kind in ("mcp", "local"):
        bench.toolbox.add(ToolSpec("twin", "", {"type": "object", "properties": {}}, kind), _say)
    for _ in range(5):
        await bench.run(call("twin"))
    assert reason(await bench.run(call("twin"))) == "breaker_open"
    assert outputs(await bench.run(call("twin_2")))["call_1"].ok


async def test_what_a_failing_tool_says_is_redacted() -> None:
    bench = Bench()

    async def fail(arguments: Mapping[str, Any]) -> str:
        raise RuntimeError("key sk-secret refused")

    bench.tool("t", fail)
    running = bench.orchestrator.run(
        [call("t")],
        bench.toolbox,
        offer(bench.toolbox.specs(), strict=False),
        bench.policy,
        "u",
        BREAKER,
        lambda text: text.replace("sk-secret", "***"),
    )
    events = [event async for event in running]
    assert "sk-secret" not in outputs(events)["call_1"].text
    assert "***" in outputs(events)["call_1"].text


async def test_a_failure_that_the_toolbox_words_itself_is_redacted_and_keeps_its_calls_id() -> None:
    bench = Bench()

    async def fail(arguments: Mapping[str, Any]) -> ToolOutput:
        parts = (TextPart("key sk-secret"), ImagePart("https://host/image.png"))
        return ToolOutput("somebody_elses", "key sk-secret refused", ok=False, parts=parts, reason="tool_error")

    bench.tool("t", fail)
    made = offer(bench.toolbox.specs(), strict=False)
    running = bench.orchestrator.run(
        [call("t")], bench.toolbox, made, bench.policy, "u", BREAKER, lambda text: text.replace("sk-secret", "***")
    )
    output = outputs([event async for event in running])["call_1"]
    assert output.call_id == "call_1"
    assert output.text == "key *** refused"
    assert output.parts == (TextPart("key ***"), ImagePart("https://host/image.png"))


@pytest.mark.parametrize("raises", [True, False])
async def test_of_a_long_failure_the_beginning_is_redacted_and_no_half_of_a_secret_told(raises: bool) -> None:
    bench = Bench()
    said = "x" * 32_760 + "sk-secret" + "y" * 1_000_000

    async def fail(arguments: Mapping[str, Any]) -> ToolOutput:
        if raises:
            raise RuntimeError(said)
        return ToolOutput("call_1", said, ok=False, parts=(TextPart(said),), reason="tool_error")

    bench.tool("t", fail)
    read: list[int] = []

    def redact(text: str) -> str:
        read.append(len(text))
        return text.replace("sk-secret", "***")

    made = offer(bench.toolbox.specs(), strict=False)
    running = bench.orchestrator.run([call("t")], bench.toolbox, made, bench.policy, "u", BREAKER, redact)
    output = outputs([event async for event in running])["call_1"]
    assert max(read) <= 32 * 1024
    assert "sk-" not in output.text + str(output.parts)
    assert "xxx" in output.text


class AskingToolbox(MemoryToolbox):
    """Asks a person before each tool, who answers after ``seconds``."""

    def __init__(self, clock: ManualClock, seconds: float) -> None:
        super().__init__()
        self._clock = clock
        self._seconds = seconds

    async def run(self, call: ToolCall) -> ToolOutput:
        if call.name == "asks":
            async with call.pause():
                await self._clock.sleep(self._seconds)
        return await super().run(call)


LIMITED = ToolPolicy(timeout=60, batch_timeout=90, idle_timeout=30, shutdown_timeout=1)


@pytest.mark.parametrize("seconds", [59, 61, 240, 599])
async def test_while_a_person_is_asked_no_clock_of_the_call_runs(seconds: float) -> None:
    bench = Bench(policy=LIMITED)
    bench.toolbox = AskingToolbox(bench.clock, seconds)
    bench.tool("asks", _say)
    bench.tool("t", _say)
    events = await bench.run(call("asks", 1), call("t", 2))
    assert outputs(events)["call_1"].ok
    assert outputs(events)["call_2"].ok


async def test_a_person_who_never_answers_ends_the_call_after_ten_minutes_and_blames_no_tool() -> None:
    bench = Bench(policy=LIMITED)
    bench.toolbox = AskingToolbox(bench.clock, 10_000)
    bench.tool("asks", _say)
    for _ in range(6):
        before = bench.clock.monotonic()
        events = await bench.run(call("asks"))
        assert reason(events) == "timeout"
        assert "did not answer within 600 seconds" in outputs(events)["call_1"].text
        assert 600 <= bench.clock.monotonic() - before <= 605
    assert bench.toolbox.calls == []


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (ToolPolicy(timeout=60, batch_timeout=900, shutdown_timeout=1), "timeout"),
        (ToolPolicy(timeout=900, batch_timeout=60, shutdown_timeout=1), "batch_timeout"),
        (ToolPolicy(timeout=900, batch_timeout=900, idle_timeout=60, shutdown_timeout=1), "idle_timeout"),
    ],
)
async def test_after_the_persons_answer_the_clocks_run_on(policy: ToolPolicy, expected: str) -> None:
    bench = Bench(policy=policy)
    bench.toolbox = AskingToolbox(bench.clock, 200)
    bench.tool("asks", _hang)
    assert reason(await bench.run(call("asks"))) == expected
    assert 258 <= bench.clock.monotonic() <= 265


async def test_people_who_are_asked_keep_nobody_elses_tools_from_running() -> None:
    bench = Bench(policy=attrs.evolve(LIMITED, max_parallel_global=1))
    bench.toolbox = AskingToolbox(bench.clock, 500)
    bench.tool("asks", _say)
    bench.tool("t", _say)
    asking = asyncio.ensure_future(bench.run(call("asks", 1), step=0))
    await settle()
    assert bench.orchestrator.running == 0
    assert outputs(await bench.run(call("t"), user="other", step=0))["call_1"].ok
    assert not asking.done()
    bench.clock.advance(500)
    assert outputs(await asking)["call_1"].ok


async def test_after_the_persons_answer_the_call_waits_for_a_place_again() -> None:
    bench = Bench(policy=attrs.evolve(LIMITED, max_parallel_global=1))
    bench.toolbox = AskingToolbox(bench.clock, 50)
    bench.tool("asks", _say)
    asking = asyncio.ensure_future(bench.run(call("asks", 1), step=0))
    await settle()
    release = asyncio.Event()
    other = await _fill_the_process(bench, release)
    bench.clock.advance(100)
    await settle()
    assert bench.orchestrator.running == 1
    assert [item.name for item in bench.toolbox.calls] == ["hold"]
    release.set()
    assert outputs(await asking)["call_1"].ok
    await other
    assert bench.orchestrator.running == 0


async def test_a_place_that_never_comes_free_after_the_answer_blames_neither_person_nor_tool() -> None:
    bench = Bench(policy=attrs.evolve(LIMITED, max_parallel_global=1))
    bench.toolbox = AskingToolbox(bench.clock, 50)
    bench.tool("asks", _say)
    asking = asyncio.ensure_future(bench.run(call("asks", 1)))
    await settle(5)
    release = asyncio.Event()
    other = await _fill_the_process(bench, release)
    assert reason(await asking) == "not_started"
    release.set()
    await other
    assert bench.orchestrator.running == 0


class StubbornToolbox(MemoryToolbox):
    """Asks a person, ignores its cancellation, and comes back when everybody has gone."""

    def __init__(self) -> None:
        super().__init__()
        self.release = asyncio.Event()

    async def run(self, call: ToolCall) -> ToolOutput:
        async with call.pause():
            while not self.release.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await self.release.wait()
        return await super().run(call)


async def test_a_call_that_comes_back_after_its_end_takes_no_place() -> None:
    bench = Bench(policy=LIMITED)
    toolbox = StubbornToolbox()
    bench.toolbox = toolbox
    bench.tool("asks", _say)
    assert reason(await bench.run(call("asks"))) == "timeout"
    toolbox.release.set()
    await settle()
    assert bench.orchestrator.running == 0


@pytest.mark.parametrize("shutdown", [0.0, 5.0])
async def test_closing_leaves_nothing_running(shutdown: float) -> None:
    bench = Bench(policy=ToolPolicy(shutdown_timeout=shutdown))
    bench.tool("hang", _hang)
    before = len(asyncio.all_tasks())
    running = bench.orchestrator.run(
        [call("hang", n) for n in range(9)],
        bench.toolbox,
        offer(bench.toolbox.specs(), strict=False),
        bench.policy,
        "u",
        BREAKER,
    )
    assert isinstance(await anext(running), CallStarted)
    await running.aclose()
    await settle()
    assert len(asyncio.all_tasks()) == before
    assert bench.orchestrator.running == 0


async def test_rounds_closed_at_any_moment_leave_nothing_running() -> None:
    rng = random.Random(5)
    for _ in range(300):
        policy = ToolPolicy(
            max_parallel_global=rng.randint(1, 4),
            max_parallel_per_request=rng.randint(1, 4),
            timeout=rng.choice([3, 30]),
            batch_timeout=rng.choice([5, 60]),
            shutdown_timeout=rng.choice([0.0, 50.0]),
        )
        bench = Bench(policy=policy)
        bench.toolbox = AskingToolbox(bench.clock, rng.randint(0, 9))

        async def tool(arguments: Mapping[str, Any], bench: Bench = bench) -> str:
            await bench.clock.sleep(arguments["t"])
            return await _cancel_own_task(arguments) if arguments["t"] == 1 else "ok"

        bench.tool("asks", tool)
        bench.tool("t", tool)
        made = offer(bench.toolbox.specs(), strict=False)
        before = len(asyncio.all_tasks())

        async def user(name: str, patience: int, bench: Bench = bench, made: Any = made) -> None:
            calls = [call(rng.choice(["asks", "t"]), n, t=rng.randint(0, 5)) for n in range(rng.randint(1, 5))]
            running = bench.orchestrator.run(calls, bench.toolbox, made, bench.policy, name, BREAKER)
            async with contextlib.aclosing(running) as progress:
                async for _ in progress:
                    patience -= 1
                    if patience < 0:
                        break

        users = [asyncio.ensure_future(user(name, rng.randint(0, 12))) for name in "ab"]
        while not all(one.done() for one in users):
            await settle(rng.randint(1, 20))
            bench.clock.advance(rng.random() * 2)
        await asyncio.gather(*users)
        bench.clock.advance(100)
        await settle()
        assert bench.orchestrator.running == 0
        assert len(asyncio.all_tasks()) == before


async def test_random_schedules_hold_every_limit_and_answer_every_call() -> None:
    # Time passes after a random few turns of the loop, so that it also strikes while tasks are half-way.
    rng = random.Random(7)
    for _ in range(10_000):
        per_turn, everywhere = rng.randint(1, 6), rng.randint(1, 8)
        policy = ToolPolicy(
            max_parallel_global=everywhere,
            max_parallel_per_request=per_turn,
            batch_cap=rng.randint(1, 5),
            timeout=rng.choice([3, 60]),
            batch_timeout=rng.choice([8, 120]),
            idle_timeout=rng.choice([None, 6]),
            shutdown_timeout=1.0,
        )
        bench = Bench(policy=policy)
        bench.toolbox = AskingToolbox(bench.clock, rng.randint(0, 9))
        running = {"now": 0, "most": 0}

        async def tool(arguments: Mapping[str, Any], bench: Bench = bench, running: dict[str, int] = running) -> str:
            running["now"] += 1
            running["most"] = max(running["most"], running["now"])
            try:
                await bench.clock.sleep(arguments["t"])
                if arguments["t"] % 3 == 2:
                    raise RuntimeError("unlucky")
                return str(arguments["t"])
            finally:
                running["now"] -= 1

        names = ("a", "b", "asks")
        for name in names:
            bench.tool(name, tool)
        markers = ({}, {}, {}, {"depends_on": "x"}, {"sequential": True}, {"no_batch": True})
        calls = [
            call(rng.choice(names), n, t=rng.randint(0, 9), **rng.choice(markers)) for n in range(rng.randint(1, 8))
        ]
        result = outputs(await bench.run(*calls, pace=lambda: rng.randint(1, 10)))
        assert set(result) == {item.call_id for item in calls}
        assert running["now"] == 0
        assert running["most"] <= min(per_turn, everywhere)
        assert bench.orchestrator.running == 0


async def test_two_hundred_turns_share_the_process_limit_and_leave_nothing() -> None:
    bench = Bench(policy=ToolPolicy(max_parallel_global=50, shutdown_timeout=1))
    most = now = 0

    async def tool(arguments: Mapping[str, Any]) -> str:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1
        return "ok"

    bench.tool("t", tool)
    before = len(asyncio.all_tasks())
    made = offer(bench.toolbox.specs(), strict=False)

    async def turn(user: int) -> int:
        calls = [call("t", n) for n in range(5)]
        running = bench.orchestrator.run(calls, bench.toolbox, made, bench.policy, str(user), BREAKER)
        return len(outputs([event async for event in running]))

    assert await asyncio.gather(*(turn(user) for user in range(200))) == [5] * 200
    assert most <= 50
    assert bench.orchestrator.running == 0
    await settle()
    assert len(asyncio.all_tasks()) == before
