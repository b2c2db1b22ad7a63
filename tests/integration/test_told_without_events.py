"""What a user must be told where nothing stands beside the answer: programs, and chats whose events do not arrive."""

import asyncio
import json
import logging
from typing import Any

import pytest

from fake_host import HOST_06, HOST_12, FakeHost
from openrouter_pipe.adapters.openwebui import make_pipe_class
from openrouter_pipe.ports.chat import (
    ChatEvent,
    Completed,
    Failed,
    ItemClosed,
    MarkersIssued,
    Notified,
    Severity,
    TextAdded,
)
from openrouter_pipe.ports.items import FunctionCallItem
from scripted_chat import ScriptedChat, ScriptedServices

LEFT_OUT = 'The file "a.zip" was not sent: the model does not read file input.'
ALSO = "1 image of your message not sent: the model does not read image input."
NOTICES = [LEFT_OUT, ALSO]
SAID = f"*{LEFT_OUT}*\n*{ALSO}*"
TOLD = (
    Notified(LEFT_OUT, Severity.WARNING, in_answer=True),
    Notified("The memory is out of reach.", Severity.WARNING),
    Notified(ALSO, Severity.WARNING, in_answer=True),
)
ANSWER = (*TOLD, TextAdded(0, "Hello"), Completed())
FAILED = Failed("e1", "rate_limit", "### Too many requests", status=429)
CHAT = {"chat_id": "c", "message_id": "m", "session_id": "s"}
STRUCTURED: list[dict[str, Any]] = [
    {"response_format": {"type": "json_object"}},
    {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}},
]


@pytest.fixture(params=[True, False], ids=["0.12.4", "0.6.28"])
def recent(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def host(recent: bool, events: tuple[ChatEvent, ...] = ANSWER) -> FakeHost:
    profile = HOST_12 if recent else HOST_06
    services = ScriptedServices(ScriptedChat(events))
    return FakeHost(make_pipe_class(lambda _: services, "function_router", lambda: profile)(), recent=recent)


def chunks(events: list[Any]) -> list[dict[str, Any]]:
    return [event for event in events if event != "[DONE]"]


def text(events: list[Any]) -> str:
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks(events))


async def test_programs_read_it_at_the_end_of_the_answer_and_in_a_field(recent: bool) -> None:
    events = await host(recent).api()
    assert text(events) == f"Hello\n\n{SAID}"
    assert [chunk["notices"] for chunk in chunks(events) if "notices" in chunk] == [NOTICES]
    assert [reason for chunk in chunks(events) if (reason := chunk["choices"][0]["finish_reason"])] == ["stop"]
    assert events[-1] == "[DONE]"


async def test_programs_read_it_in_a_whole_answer(recent: bool) -> None:
    answer = await host(recent).call(stream=False)
    assert answer["choices"][0]["message"]["content"] == f"Hello\n\n{SAID}"
    assert answer["notices"] == NOTICES
    assert answer["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("asked", STRUCTURED)
async def test_structured_answers_stay_what_they_are(
    recent: bool, asked: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    events = (*TOLD, TextAdded(0, '{"a": 1}'), Completed())
    caplog.set_level(logging.INFO)
    streamed = await host(recent, events).api(**asked)
    assert json.loads(text(streamed)) == {"a": 1}
    assert [chunk["notices"] for chunk in chunks(streamed) if "notices" in chunk] == [NOTICES]
    whole = await host(recent, events).call(stream=False, **asked)
    assert json.loads(whole["choices"][0]["message"]["content"]) == {"a": 1}
    assert whole["notices"] == NOTICES
    assert caplog.text.count(LEFT_OUT) == 2


async def test_structure_asked_for_in_the_words_of_the_other_endpoint(recent: bool) -> None:
    one = host(recent, (*TOLD, TextAdded(0, '{"a": 1}'), Completed()))
    body = {"model": "router.vendor.model", "messages": [{"role": "user", "content": "hi"}]}
    answer = await one.pipe.pipe(body={**body, "text": {"format": {"type": "json_schema", "name": "a", "schema": {}}}})
    assert json.loads(answer["choices"][0]["message"]["content"]) == {"a": 1}
    answer = await one.pipe.pipe(body={**body, "text": {"format": "json"}})
    assert SAID in answer["choices"][0]["message"]["content"]


async def test_asking_for_text_is_no_structure(recent: bool) -> None:
    assert SAID in text(await host(recent).api(response_format={"type": "text"}))
    assert SAID in text(await host(recent).api(response_format="json"))


async def test_nothing_to_tell_changes_nothing(recent: bool) -> None:
    quiet = (Notified("Other news", Severity.WARNING), TextAdded(0, "Hello"), Completed())
    events = await host(recent, quiet).api()
    assert text(events) == "Hello"
    assert not any("notices" in chunk for chunk in chunks(events))
    whole = await host(recent, quiet).call(stream=False)
    assert whole["choices"][0]["message"]["content"] == "Hello"
    assert "notices" not in whole


async def test_calls_left_to_the_program_are_still_the_end(recent: bool) -> None:
    call = FunctionCallItem("call_1", "search", "{}")
    profile = HOST_12 if recent else HOST_06
    services = ScriptedServices(ScriptedChat((*TOLD, ItemClosed(0, call), Completed())))
    pipe = make_pipe_class(lambda _: services, "function_router", lambda: profile)()
    one = FakeHost(pipe, recent=recent)
    events = await one.api()
    reasons = [reason for chunk in chunks(events) if (reason := chunk["choices"][0]["finish_reason"])]
    assert (reasons[0], text(events)) == ("tool_calls", SAID)
    whole = await one.call(stream=False)
    assert whole["choices"][0]["finish_reason"] == "tool_calls"
    assert whole["choices"][0]["message"]["content"] == SAID


async def test_a_failure_is_told_as_ever(recent: bool) -> None:
    """No answer, nothing left out of it; what came before a failure keeps its note."""
    events = await host(recent, (*TOLD, FAILED)).api()
    assert text(events) == ""
    assert any("error" in chunk for chunk in chunks(events))
    broken = Failed("e1", "rate_limit", "### Too many requests", status=429, partial=True)
    events = await host(recent, (*TOLD, TextAdded(0, "Hel"), broken)).api()
    assert text(events) == f"Hel\n\n{SAID}"


async def test_tasks_never_hear_of_it(recent: bool) -> None:
    for task in ("title_generation", "moa_response_generation"):
        events = await host(recent).api(task=task, **CHAT)
        assert text(events) == "Hello"
    assert await host(recent).call(stream=False, task="title_generation", **CHAT) == "Hello"


async def test_chats_with_events_hear_it_there_alone(recent: bool) -> None:
    one = host(recent, (*TOLD, TextAdded(0, "Hello"), MarkersIssued("[01ARZ3NDEKTSV4RRFFQ69G5FAV]: #"), Completed()))
    stored = await one.chat()
    assert LEFT_OUT not in stored.text
    heard = [event["data"]["content"] for event in one.events if event["type"] == "notification"]
    assert heard == [event.text for event in TOLD]
    whole = await one.call(stream=False, **CHAT)
    assert LEFT_OUT not in whole["choices"][0]["message"]["content"]


async def test_chats_whose_events_do_not_arrive_hear_it_in_the_answer(recent: bool) -> None:
    async def broken(event: dict[str, Any]) -> None:
        raise ConnectionError

    async def stuck(event: dict[str, Any]) -> None:
        await asyncio.Event().wait()

    for emit in (broken, stuck):
        one = host(recent)
        one.emit = emit
        one.valves = {"MIDDLEWARE_STREAM_QUEUE_PUT_TIMEOUT_SECONDS": 0.01}
        stored = await one.chat()
        assert stored.text == f"Hello\n\n{SAID}"
        whole = await one.call(stream=False, **CHAT)
        assert whole["choices"][0]["message"]["content"] == f"Hello\n\n{SAID}"
