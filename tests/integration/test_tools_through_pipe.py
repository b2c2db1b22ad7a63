"""The host's tools through the whole pipe, over a scripted model: whatever a model asks for and whatever a tool does, the
tool runs at most once, the model gets one output per call, both are shown, and the answer goes on."""

from __future__ import annotations

import asyncio
import html
import inspect
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
from dependency_injector import providers

from fake_host import HOST_06, HOST_12, FakeHost
from openrouter_pipe.adapters.memory.artifacts import MemoryArtifactStore
from openrouter_pipe.adapters.memory.provider import ScriptedCatalog, ScriptedProvider, answer, card_entry
from openrouter_pipe.adapters.openwebui import make_pipe_class
from openrouter_pipe.composition.pipe import PipeContainer, PipeServices
from openrouter_pipe.domain.history import markers
from openrouter_pipe.ports.items import FunctionCallItem, FunctionOutputItem, MessageItem, Role, TextPart
from openrouter_pipe.ports.provider import FinishStatus, ItemFinished, ProviderEvent, ResponseFinished

KEY = "sk-or-v1-00112233445566778899aabbccddeeff"
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}, "required": ["a"]}
GOOD = '{"a": "x", "b": 1}'


class ToolHost(FakeHost):
    """A host that hands tools over: injected, in the metadata, and listed, as ``shape`` says."""

    tools: dict[str, Any]
    event_call: Any = None
    shape: dict[str, Any]
    params: dict[str, Any]

    async def call(self, text: str = "hi", **options: Any) -> Any:
        ids = {key: options.pop(key, None) for key in ("chat_id", "message_id", "session_id", "task")}
        self.pipe.valves = self.pipe.Valves(**self.valves)
        body = {"model": f"{self.function_id}.vendor.model", "messages": [{"role": "user", "content": text}], **options}
        metadata: dict[str, Any] = {**ids, "params": self.params}
        if self.shape.get("listed", True):
            body["tools"] = [{"type": "function", "function": tool["spec"]} for tool in self.tools.values()]
        if self.shape.get("resolved", True):
            metadata["tools"] = self.tools
        return await self.pipe.pipe(
            body=body,
            __user__={"id": "user-1", "role": "user"},
            __metadata__=metadata,
            __event_emitter__=self._record,
            __event_call__=self.event_call,
            __tools__=self.tools if self.shape.get("injected", True) else {},
        )


class House:
    """A pipe whose model makes the calls given and then says "All done."; ``tools`` count their runs."""

    def __init__(self, *calls: FunctionCallItem, recent: bool = True, **valves: Any) -> None:
        self.provider = ScriptedProvider([*([_calling(*calls)] if calls else []), answer("All done.")])
        self.container = PipeContainer()
        for name, port in {
            "provider": self.provider,
            "catalog_source": ScriptedCatalog((card_entry("vendor/model"),)),
            "store": MemoryArtifactStore(),
        }.items():
            getattr(self.container, name).override(providers.Object(port))
        name = "function_router_" + "0" * 32 if recent else "function_router"
        made = make_pipe_class(self._build, name, lambda: HOST_12 if recent else HOST_06)
        settings = {"API_KEY": KEY, "BASE_URL": "http://sim.test/api/v1", "TOOL_SHUTDOWN_TIMEOUT_SECONDS": 1, **valves}
        self.host = ToolHost(made(), recent=recent, valves=settings)
        self.host.tools, self.host.shape = {}, {}
        self.host.params = {"function_calling": "native"}
        self.runs: list[dict[str, Any]] = []
        self.services: PipeServices | None = None

    def _build(self, _: str) -> PipeServices:
        self.services = PipeServices(self.container)
        return self.services

    def tool(self, name: str, function: Callable[..., Any], schema: Any = SCHEMA, **extra: Any) -> House:
        spec = {"name": name, "description": "does", "parameters": schema}
        self.host.tools[name] = {"tool_id": name, "callable": function, "spec": spec, **extra}
        return self

    def counting(self, name: str, behave: Callable[[dict[str, Any]], Any], **extra: Any) -> House:
        async def tool(**arguments: Any) -> Any:
            self.runs.append(arguments)
            result = behave(arguments)
            return await result if inspect.iscoroutine(result) else result

        return self.tool(name, tool, **extra)

    def direct(self, name: str, reply: Any) -> House:
        spec = {"name": name, "description": "does", "parameters": SCHEMA}
        self.host.tools[name] = {"spec": spec, "direct": True, "server": {"url": "http://tools"}}

        async def browser(event: dict[str, Any]) -> Any:
            self.runs.append(event["data"]["params"])
            if isinstance(reply, BaseException):
                raise reply
            return reply

        self.host.event_call = browser
        return self

    @property
    def outputs(self) -> dict[str, Any]:
        """What the model was given by the second request, by call id."""
        return {
            item.call_id: item.output
            for item in self.provider.requests[1].input
            if isinstance(item, FunctionOutputItem)
        }

    @asynccontextmanager
    async def answering(self, **body: Any) -> AsyncIterator[Any]:
        """The stored message; afterwards nothing runs any more."""
        try:
            stored = await self.host.chat(**body)
            assert self.container.core.tools().running == 0
            assert self.container.admission().running == 0
            yield stored
        finally:
            if self.services is not None:
                await self.services.close()

    async def hears(self) -> str:
        """The output of the only call, after checking that it is shown and that the answer went on."""
        async with self.answering() as stored:
            assert "All done." in stored.text
            assert not stored.error
            assert stored.opened_calls == []
            (output,) = self.outputs.values()
            shown = json.dumps(stored.output) if self.host.recent else stored.content
            assert shown.count('"function_call_output"' if self.host.recent else 'type="tool_calls"') == 1
            assert KEY not in shown + str(output)
            return str(output)


def _calling(*calls: FunctionCallItem) -> list[ProviderEvent]:
    done = ResponseFinished(FinishStatus.COMPLETED, output=calls)
    return [*(ItemFinished(at, call) for at, call in enumerate(calls)), done]


def call(arguments: str = GOOD, name: str = "t", call_id: str = "call_1") -> FunctionCallItem:
    return FunctionCallItem(call_id, name, arguments, f"fc_{call_id}")


@pytest.fixture(params=[True, False], ids=["0.12.4", "0.6.28"])
def recent(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


async def test_a_fence_left_open_before_a_call_hides_no_marker(recent: bool) -> None:
    cut = MessageItem(Role.ASSISTANT, (TextPart("Look:\n```py\nx = 1"),))
    house = House(cut, call(), recent=recent).counting("t", lambda _: "ran")  # type: ignore[arg-type]
    async with house.answering() as stored:
        said = stored.output[-1]["content"][0]["text"] if recent else stored.content
        assert len(markers.ids(said)) == 4
        assert ("```" in said) is not recent  # messages that are kept apart need no end of another one's fence


# --- what a model may ask for -----------------------------------------------------------------------------------------

BAD_ARGUMENTS = {
    "not JSON": ("{broken", "not valid JSON"),
    "an array": ("[1]", "must be a JSON object"),
    "a string": ('"x"', "must be a JSON object"),
    "null": ("null", "must be a JSON object"),
    "a number": ("7", "must be a JSON object"),
    "deeply nested": ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
    "huge": ('{"a": "' + "x" * 2_000_000 + '"}', "longer than"),
}


@pytest.mark.parametrize("case", BAD_ARGUMENTS)
async def test_arguments_that_no_tool_could_take_are_told_to_the_model(case: str, recent: bool) -> None:
    text, reason = BAD_ARGUMENTS[case]
    house = House(call(text), recent=recent).counting("t", lambda _: "ran")
    error = json.loads(await house.hears())["error"]
    assert error["code"] == "bad_arguments"
    assert reason in error["message"]
    assert house.runs == []


@pytest.mark.parametrize("text", ["", "  ", "{}"])
async def test_no_arguments_are_no_arguments(text: str, recent: bool) -> None:
    house = House(call(text), recent=recent).counting("t", lambda _: "ran")
    assert await house.hears() == "ran"
    assert house.runs == [{}]


async def test_arguments_of_wrong_types_are_the_tools_to_refuse(recent: bool) -> None:
    house = House(call('{"a": ["x"], "b": {"c": null}}'), recent=recent)
    house.counting("t", lambda arguments: arguments["a"] + 1)
    error = json.loads(await house.hears())["error"]
    assert error["code"] == "tool_error"
    assert error["message"].startswith("TypeError")
    assert house.runs == [{"a": ["x"], "b": {"c": None}}]


async def test_an_unknown_tool_is_told_to_the_model(recent: bool) -> None:
    house = House(call(name="ghost"), recent=recent).counting("t", lambda _: "ran")
    error = json.loads(await house.hears())["error"]
    assert error["code"] == "unknown_tool"
    assert "Tools on offer: t" in error["message"]
    assert house.runs == []


# --- what a tool may do -----------------------------------------------------------------------------------------------


async def _stream() -> AsyncIterator[str]:
    yield "one "
    yield "two"


async def _cancel_own_task() -> str:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)
    return "still here"


def _raise(error: BaseException) -> Callable[[dict[str, Any]], Any]:
    def fails(_: dict[str, Any]) -> Any:
        raise error

    return fails


RESULTS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "None": (lambda _: None, "The tool returned nothing."),
    "bytes": (lambda _: b"caf\xc3\xa9", "café"),
    "bytes that are no text": (lambda _: b"\xff\xfe\x00", "[binary data, 3 bytes]"),
    "a generator": (lambda _: (part for part in ("one ", "two")), "one two"),
    "an asynchronous generator": (lambda _: _stream(), "one two"),
    "a list": (lambda _: ["a", 1], '["a", 1]'),
    "half a character": (lambda _: "x \ud83d", "x \ufffd"),
}


@pytest.mark.parametrize("case", RESULTS)
async def test_whatever_a_tool_returns_the_answer_goes_on(case: str, recent: bool) -> None:
    behave, text = RESULTS[case]
    house = House(call(), recent=recent).counting("t", behave)
    output = await house.hears()
    assert output == text or json.loads(output) == json.loads(text)
    assert house.runs == [{"a": "x", "b": 1}]


FAILURES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "an exception": (_raise(RuntimeError(f"refused: Authorization: Bearer {KEY}")), "tool_error"),
    "an exception as a value": (lambda _: RuntimeError(f"refused {KEY}"), "tool_error"),
    "SystemExit": (_raise(SystemExit(3)), "tool_error"),
    "KeyboardInterrupt": (_raise(KeyboardInterrupt()), "tool_error"),
    "GeneratorExit": (_raise(GeneratorExit()), "tool_error"),
    "StopIteration": (_raise(StopIteration()), "tool_error"),
    "CancelledError": (_raise(asyncio.CancelledError()), "cancelled"),
    "its own task cancelled": (lambda _: _cancel_own_task(), "cancelled"),
}


@pytest.mark.parametrize("case", FAILURES)
async def test_whatever_a_tool_raises_it_ran_once_and_the_answer_goes_on(case: str, recent: bool) -> None:
    behave, code = FAILURES[case]
    house = House(call(), recent=recent).counting("t", behave)
    assert json.loads(await house.hears())["error"]["code"] == code
    assert len(house.runs) == 1


@pytest.mark.parametrize("case", ["a coroutine", "a plain function", "a generator", "an event flood"])
async def test_a_tool_that_never_returns_is_stopped_and_the_answer_goes_on(case: str, recent: bool) -> None:
    house = House(call(), recent=recent, TOOL_TIMEOUT_SECONDS=1)
    begun: list[str] = []
    over = asyncio.Event()

    async def hangs(a: str, b: int = 0) -> str:
        begun.append(a)
        await over.wait()
        return "late"

    def blocks(a: str, b: int = 0) -> str:
        begun.append(a)
        time.sleep(3)
        return "late"

    async def makes(a: str, b: int = 0) -> Any:
        begun.append(a)
        return (time.sleep(1) for _ in range(4))

    async def floods(a: str, b: int = 0) -> str:
        begun.append(a)
        while True:
            await house.host._record({"type": "status", "data": {"description": "again"}})
            await asyncio.sleep(0)

    tools = {"a coroutine": hangs, "a plain function": blocks, "a generator": makes, "an event flood": floods}
    house.tool("t", tools[case])
    began = time.monotonic()
    error = json.loads(await house.hears())["error"]
    assert error["code"] == "timeout"
    assert 1 <= time.monotonic() - began < 2.5
    assert begun == ["x"]


async def test_a_tool_that_floods_its_event_emitter_costs_nobody_the_answer(recent: bool) -> None:
    house = House(call(), recent=recent)

    async def floods(_: dict[str, Any]) -> str:
        for number in range(20_000):
            await house.host._record({"type": "status", "data": {"description": str(number)}})
        return "flooded"

    house.counting("t", floods)
    assert await house.hears() == "flooded"
    assert len(house.runs) == 1


async def test_a_hung_tool_without_progress_is_a_failed_output_and_the_answer_goes_on(recent: bool) -> None:
    house = House(call(), recent=recent, TOOL_IDLE_TIMEOUT_SECONDS=1).counting("t", lambda _: asyncio.sleep(60))
    assert json.loads(await house.hears())["error"]["code"] == "idle_timeout"
    assert len(house.runs) == 1


async def test_what_a_tool_says_is_told_to_the_model_once_and_never_as_a_source(recent: bool) -> None:
    house = House(call(), recent=recent).counting("t", lambda _: "the token is 4711")
    assert await house.hears() == "the token is 4711"
    sent = [json.dumps(attrs.asdict(item), default=str) for item in house.provider.requests[1].input]
    assert sum(text.count("4711") for text in sent) == 1
    assert not [event for event in house.host.events if event["type"] in ("source", "citation")]


async def test_a_model_that_cannot_call_functions_is_offered_none(recent: bool) -> None:
    house = House(recent=recent).counting("t", lambda _: "ran")
    catalog = ScriptedCatalog((card_entry("vendor/model", "temperature"),))
    house.container.catalog_source.override(providers.Object(catalog))
    async with house.answering() as stored:
        assert house.provider.requests[0].tools == ()
        assert "All done." in stored.text


async def test_the_cap_on_tools_that_the_provider_runs_is_forwarded(recent: bool) -> None:
    house = House(recent=recent).counting("t", lambda _: "ran")
    conditions = [{"type": "step_count_is", "step_count": 3}]
    async with house.answering(max_tool_calls=3, stop_server_tools_when=conditions):
        assert house.provider.requests[0].parameters["max_tool_calls"] == 3
        assert house.provider.requests[0].parameters["stop_server_tools_when"]


async def test_a_plain_function_is_a_tool_like_any_other(recent: bool) -> None:
    house = House(call(), recent=recent).tool("t", lambda a, b: f"plain {a} {b}")
    assert await house.hears() == "plain x 1"


# --- what a tool server may answer ------------------------------------------------------------------------------------

SERVED: dict[str, tuple[Any, str]] = {
    "an error": ({"error": f"Tool Server Not Found {KEY}"}, "Tool Server Not Found"),
    "a list": (["a", {"b": 1}], '["a", {"b": 1}]'),
    "nothing": (None, "The tool returned nothing."),
    "data and headers": ([{"n": 1}, {"content-type": "application/json"}], '"n": 1'),
    "a failure of the socket": (TimeoutError(f"no answer {KEY}"), "tool_error"),
}


@pytest.mark.parametrize("case", SERVED)
async def test_whatever_a_direct_tool_server_answers_the_answer_goes_on(case: str, recent: bool) -> None:
    reply, text = SERVED[case]
    house = House(call(), recent=recent).direct("t", reply)
    output = await house.hears()
    assert text in output or json.loads(output) == json.loads(text)
    assert house.runs == [{"a": "x", "b": 1}]


@pytest.mark.parametrize("case", ["an error", "a list", "nothing"])
async def test_whatever_a_tool_server_of_the_host_answers_the_answer_goes_on(case: str, recent: bool) -> None:
    reply, text = SERVED[case]
    house = House(call(), recent=recent).counting("t", lambda _: reply, type="external")
    output = await house.hears()
    assert text in output or json.loads(output) == json.loads(text)
    assert len(house.runs) == 1


# --- in which shape tools are handed over -----------------------------------------------------------------------------

SHAPES = {
    "as the new host does": ({}, {"function_calling": "native"}),
    "as the old host does": ({"resolved": True}, {"function_calling": "native"}),
    "the new host, an old word for the mode": ({}, {"function_calling": "default"}),
    "no mode": ({}, {}),
    "no mode, not in the metadata": ({"resolved": False}, {}),
    "not listed": ({"listed": False}, {"function_calling": "native"}),
    "only injected": ({"listed": False, "resolved": False}, {}),
    "only in the metadata": ({"listed": False, "injected": False}, {"function_calling": "native"}),
}


@pytest.mark.parametrize("case", SHAPES)
async def test_tools_are_offered_and_run_in_every_shape(case: str, recent: bool) -> None:
    house = House(call(), recent=recent).counting("t", lambda _: "ran")
    house.host.shape, house.host.params = SHAPES[case]
    assert await house.hears() == "ran"
    assert len(house.runs) == 1


@pytest.mark.parametrize(
    ("shape", "mode"),
    [({"listed": False}, "legacy"), ({"listed": False, "resolved": False}, "default")],
    ids=["legacy of the new host", "default of the old host"],
)
async def test_in_legacy_mode_the_host_has_run_its_tools_and_none_is_offered(shape: Any, mode: str) -> None:
    house = House(recent=mode == "legacy").counting("t", lambda _: "ran")
    house.host.shape, house.host.params = shape, {"function_calling": mode}
    async with house.answering():
        assert house.provider.requests[0].tools == ()
        assert house.runs == []


# --- several calls ----------------------------------------------------------------------------------------------------


async def test_the_arguments_that_ran_are_the_arguments_that_are_shown_and_sent_back(recent: bool) -> None:
    """Call and output go back verbatim, in this turn and the next, nulls that strict calling asks for included; the tool
    gets none of those."""
    text = '{"a":"ü",  "b":null}'
    house = House(call(text), recent=recent).counting("t", lambda arguments: f"got {arguments}")
    async with house.answering() as stored:
        assert house.runs == [{"a": "ü"}]
        first, second = house.provider.requests
        added = [item for item in second.input if item not in first.input]
        assert added == [call(text), FunctionOutputItem("call_1", "got {'a': 'ü'}")]
        shown = json.dumps(stored.output) if recent else html.unescape(stored.content)
        assert json.dumps(text)[1:-1] in shown
        said = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": stored.text}]
        await house.host.chat(messages=[*said, {"role": "user", "content": "And now?"}])
        kinds = FunctionCallItem | FunctionOutputItem
        again = [item for item in house.provider.requests[2].input if isinstance(item, kinds)]
        assert [attrs.evolve(item, payload={}, id=None) for item in again] == [
            attrs.evolve(item, payload={}, id=None) for item in added
        ]


async def test_display_names_are_made_valid_for_the_model_and_mapped_back(recent: bool) -> None:
    names = ["get the time", "Wetter: Köln", "x" * 80, "get_the_time"]
    valid = ["x" * 64, "get_the_time_2", "get_the_time", "Wetter_K_ln"]
    calls = [call(name=name, call_id=f"c{number}") for number, name in enumerate(valid)]
    house = House(*calls, recent=recent)
    for name in names:
        house.tool(name, _named(name))
    async with house.answering():
        assert [tool.name for tool in house.provider.requests[0].tools] == [
            "get_the_time_2", "Wetter_K_ln", "x" * 64, "get_the_time",
        ]  # fmt: skip
        assert list(house.outputs.values()) == ["x" * 80, "get the time", "get_the_time", "Wetter: Köln"]


def _named(name: str) -> Callable[..., Any]:
    async def tool(**_: Any) -> str:
        return name

    return tool


async def test_calls_side_by_side_under_one_id_run_once_each_and_are_answered_once_each(recent: bool) -> None:
    calls = [call('{"a": "one"}'), call('{"a": "two"}'), call('{"a":  "one"}')]
    house = House(*calls, recent=recent).counting("t", lambda arguments: f"did {arguments['a']}")
    async with house.answering() as stored:
        assert [arguments["a"] for arguments in house.runs] == ["one", "two"]
        assert house.outputs == {"call_1": "did one", "call_1_2": "did two"}
        sent = [item.call_id for item in house.provider.requests[1].input if isinstance(item, FunctionCallItem)]
        assert sent == ["call_1", "call_1_2"]
        shown = json.dumps(stored.output) if recent else stored.content
        assert shown.count("did one") == shown.count("did two") == 1
        assert stored.opened_calls == []


@pytest.mark.parametrize(
    ("marker", "in_order"),
    [
        ({}, False),
        ({"no_batch": True}, False),
        ({"sequential": False}, False),
        ({"depends_on": "first"}, True),
        ({"_depends_on": ["call_1"]}, True),
        ({"sequential": True}, True),
    ],
)
async def test_a_call_that_asks_for_it_begins_when_the_calls_before_it_have_ended(
    marker: dict[str, Any], in_order: bool, recent: bool
) -> None:
    happened: list[str] = []
    began = asyncio.Event()
    house = House(call(name="first"), call(json.dumps({"a": "x", **marker}), "second", "call_2"), recent=recent)

    async def first(**_: Any) -> str:
        happened.append("first begins")
        if not in_order:
            await began.wait()  # the other one is not kept waiting
        await asyncio.sleep(0)
        happened.append("first ends")
        return "one"

    async def second(**_: Any) -> str:
        happened.append("second begins")
        began.set()
        return "two"

    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": True}
    house.tool("first", first, schema).tool("second", second, schema)
    async with house.answering() as stored:
        assert "All done." in stored.text
        assert house.outputs == {"call_1": "one", "call_2": "two"}
    wanted = ["first begins", "first ends", "second begins"]
    assert happened == (wanted if in_order else ["first begins", "second begins", "first ends"])
