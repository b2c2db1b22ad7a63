"""Answers to programs in the form that the host's routes pass on unchanged: streams with one end, and errors."""

import sys
import types
from collections.abc import AsyncGenerator
from typing import Any

import orjson
import pytest

from fake_host import HOST_06, HOST_12
from openrouter_pipe.adapters.openwebui.answering import Turn
from openrouter_pipe.adapters.openwebui.host import Host
from openrouter_pipe.adapters.openwebui.request import HostCall
from openrouter_pipe.adapters.openwebui.routes import Route, route_of
from openrouter_pipe.adapters.openwebui.steady import SteadyClock, SteadyIds
from openrouter_pipe.ports.chat import ChatEvent, Completed, Failed, ItemClosed, TextAdded
from openrouter_pipe.ports.items import FunctionCallItem

CALL = FunctionCallItem(call_id="call_1", name="weather", arguments="{}")
FAILED = Failed("0123456789abcdef", "rate_limit", "### Too many requests", 429)
CHAT_ROUTE = "/api/chat/completions"
MESSAGES_ROUTE = "/api/v1/messages"


class Response:
    """Starlette's streaming response, as far as the host reads it."""

    def __init__(self, body: AsyncGenerator[str, None], status_code: int, media_type: str) -> None:
        self.body_iterator = body
        self.status_code = status_code
        self.media_type = media_type


@pytest.fixture(autouse=True)
def starlette(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("starlette.responses")
    module.__dict__["StreamingResponse"] = Response
    monkeypatch.setitem(sys.modules, "starlette", types.ModuleType("starlette"))
    monkeypatch.setitem(sys.modules, "starlette.responses", module)


def request(path: str | None) -> Any:
    return None if path is None else types.SimpleNamespace(scope={"path": path})


def turn(path: str | None, host: Host = HOST_12, **ids: str) -> Turn:
    call = HostCall({"model": "openrouter.a.b"}, {"id": "u"}, ids, request=request(path))
    return Turn(call, host, SteadyIds(None), SteadyClock(None), None)


async def said(*said: ChatEvent) -> AsyncGenerator[ChatEvent, None]:
    for event in said:
        yield event


def payloads(text: str) -> list[Any]:
    """What a client reads from a stream: the payload of every event that is framed as one."""
    events = [event for event in text.split("\n\n") if event]
    assert all(event.startswith("data: ") and "\n" not in event for event in events)
    return [event[6:] if event == "data: [DONE]" else orjson.loads(event[6:]) for event in events]


async def read(response: Any) -> list[Any]:
    assert isinstance(response, Response)
    return payloads("".join([line async for line in response.body_iterator]))


@pytest.mark.parametrize("path", [CHAT_ROUTE, "/api/v1/chat/completions", MESSAGES_ROUTE, "/api/message"])
@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ((ItemClosed(0, CALL), Completed()), "tool_calls"),
        ((TextAdded(0, "x"), Completed(reason="max_output_tokens")), "length"),
        ((TextAdded(0, "x"), FAILED), "error"),
        ((TextAdded(0, "x"), Completed()), "stop"),
    ],
)
async def test_a_program_hears_one_reason_and_one_end(path: str, events: tuple[ChatEvent, ...], reason: str) -> None:
    *chunks, end = await read(turn(path).streamed(said(*events)))
    assert [why for chunk in chunks if (why := chunk["choices"][0]["finish_reason"])] == [reason]
    assert end == "[DONE]"
    assert "[DONE]" not in chunks


@pytest.mark.parametrize(
    "case",
    [
        turn(None),
        turn("/api/v1/tasks/moa/completions"),
        turn(CHAT_ROUTE, HOST_06),
        turn(CHAT_ROUTE, chat_id="c", message_id="m", session_id="s"),
    ],
    ids=["no request", "another route", "a host that adds no end", "a chat"],
)
async def test_elsewhere_lines_go_to_the_host(case: Turn) -> None:
    lines = case.streamed(said(TextAdded(0, "x"), Completed()))
    assert not isinstance(lines, Response)
    assert all(line.startswith("data: ") and not line.endswith("\n") for line in [line async for line in lines])


async def test_closing_the_response_closes_the_turn() -> None:
    closed = []

    async def events() -> AsyncGenerator[ChatEvent, None]:
        try:
            yield TextAdded(0, "x")
            yield TextAdded(0, "y")
        finally:
            closed.append(True)

    response = turn(CHAT_ROUTE).streamed(events())
    await anext(response.body_iterator)
    await response.body_iterator.aclose()
    assert closed == [True]


async def test_an_error_has_its_status_where_the_host_passes_it_on() -> None:
    response = await turn(CHAT_ROUTE).whole(said(FAILED))
    assert (response.status_code, response.media_type) == (429, "application/json")
    body = orjson.loads("".join([line async for line in response.body_iterator]))
    assert body["error"]["message"] == FAILED.text


async def test_an_error_is_the_text_of_the_message_where_the_host_translates_answers() -> None:
    answer = await turn(MESSAGES_ROUTE).whole(said(FAILED))
    assert answer["choices"][0]["message"]["content"] == FAILED.text


@pytest.mark.parametrize(
    "odd", [None, "x", types.SimpleNamespace(scope=None), types.SimpleNamespace(scope={"path": 3})]
)
def test_odd_requests_have_no_known_route(odd: Any) -> None:
    assert route_of(odd) is Route.UNKNOWN
