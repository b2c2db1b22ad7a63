"""What every `Toolbox` does alike: the host's tools, the twin in memory, and each of them recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from attrs import evolve

from openrouter_pipe.adapters.memory import MemoryToolbox
from openrouter_pipe.adapters.observability.memory import RecordedToolbox
from openrouter_pipe.adapters.observability.recorder import TurnRecorder
from openrouter_pipe.adapters.openwebui.toolbox import HostToolbox
from openrouter_pipe.adapters.openwebui.toolbox_host import HostHelpers
from openrouter_pipe.ports.json import JsonValue
from openrouter_pipe.ports.tools import Toolbox, ToolCall, ToolSpec

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}}
Function = Callable[[Mapping[str, JsonValue]], Awaitable[str]]
Make = Callable[[Mapping[str, Function]], Toolbox]


def in_memory(functions: Mapping[str, Function]) -> Toolbox:
    box = MemoryToolbox()
    for name, function in functions.items():
        box.add(ToolSpec(name, f"Does {name}.", SCHEMA), function)
    return box


def of_host(functions: Mapping[str, Function]) -> Toolbox:
    def callable_of(function: Function) -> Callable[..., Awaitable[str]]:
        async def call(**arguments: Any) -> str:
            return await function(arguments)

        return call

    tools = {
        name: {
            "spec": {"name": name, "description": f"Does {name}.", "parameters": SCHEMA},
            "callable": callable_of(function),
        }
        for name, function in functions.items()
    }
    metadata = {"chat_id": "c", "message_id": "m", "session_id": "s", "params": {"function_calling": "native"}}
    listed = [{"type": "function", "function": entry["spec"]} for entry in tools.values()]
    body = {"messages": [{"role": "user", "content": "hi"}], "tools": listed}
    return HostToolbox.from_call(tools, metadata | {"tools": tools}, body, None, helpers=HostHelpers())


@pytest.fixture(params=["memory", "memory, recorded", "host", "host, recorded"])
def make(request: pytest.FixtureRequest) -> Make:
    kind, _, recorded = request.param.partition(", ")
    plain = in_memory if kind == "memory" else of_host
    if not recorded:
        return plain
    return lambda functions: RecordedToolbox(plain(functions), TurnRecorder(100))


async def echo(arguments: Mapping[str, JsonValue]) -> str:
    return f"got {dict(arguments)}"


async def run(box: Toolbox, name: str, **arguments: JsonValue) -> tuple[str, str, bool]:
    spec = next((spec for spec in box.specs() if spec.name == name), ToolSpec(name, "", {}))
    output = await box.run(ToolCall("call_1", name, arguments, spec.kind))
    return output.call_id, output.text, output.ok


def test_what_is_on_offer_is_told_in_order(make: Make) -> None:
    specs = make({"one": echo, "two": echo}).specs()
    assert [(spec.name, spec.description) for spec in specs] == [("one", "Does one."), ("two", "Does two.")]
    assert all(set(spec.parameters["properties"]) == {"a", "b"} for spec in specs)  # type: ignore[arg-type]


async def test_a_tool_answers_under_the_calls_id(make: Make) -> None:
    assert await run(make({"one": echo}), "one", a="x", b=1) == ("call_1", "got {'a': 'x', 'b': 1}", True)


@pytest.mark.parametrize("error", [RuntimeError, KeyError, TimeoutError, SystemExit])
async def test_what_a_tool_raises_comes_out_as_it_is_after_one_run(make: Make, error: type[BaseException]) -> None:
    runs = []

    async def fails(_: Mapping[str, JsonValue]) -> str:
        runs.append(1)
        raise error("boom")

    with pytest.raises(error):
        await run(make({"one": fails}), "one")
    assert runs == [1]


async def test_a_call_that_is_cancelled_ends(make: Make) -> None:
    ended = asyncio.Event()
    began = asyncio.Event()

    async def waits(_: Mapping[str, JsonValue]) -> str:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ""

    task = asyncio.create_task(run(make({"one": waits}), "one"))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_a_tool_that_there_is_not_is_told_to_the_model(make: Make) -> None:
    call_id, text, ok = await run(make({"one": echo}), "ghost")
    assert (call_id, ok) == ("call_1", False)
    assert "ghost" in text


async def test_calls_run_beside_each_other(make: Make) -> None:
    both = asyncio.Barrier(2)

    async def meets(arguments: Mapping[str, JsonValue]) -> str:
        async with asyncio.timeout(5):
            await both.wait()
        return str(arguments["a"])

    box = make({"one": meets})
    spec = box.specs()[0]
    calls = [ToolCall(f"call_{name}", "one", {"a": name}, spec.kind) for name in "xy"]
    outputs = await asyncio.gather(*(box.run(evolve(call)) for call in calls))
    assert [(output.call_id, output.text) for output in outputs] == [("call_x", "x"), ("call_y", "y")]
