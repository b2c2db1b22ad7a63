"""What no documented provider sends, on a real socket through the provider adapter and the host's lines.

Odd numbers, bottomless nesting, floods of rubbish: each costs itself only, and what was shown stays whole.
"""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from fake_host import FakeHost
from raw_provider import raw_host as host
from raw_provider import wire

TEXT = {"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0, "delta": "Hello."}
MESSAGE = {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "Hello."}]}


def terminal(**response: Any) -> dict[str, Any]:
    return {"type": "response.completed", "response": {"id": "gen-1", "status": "completed", "output": [], **response}}


def last_status(asked: FakeHost) -> str:
    return str([event["data"]["description"] for event in asked.events if event["type"] == "status"][-1])


@pytest.mark.parametrize("recent", [True, False])
@pytest.mark.parametrize(
    ("usage", "line", "host_sees"),
    [
        pytest.param(
            {"input_tokens": "21", "output_tokens": "9", "total_tokens": "30", "cost": "0.5"},
            "Cost $0.5 | Total tokens: 30 (Input: 21, Output: 9)",
            {"input_tokens": 21, "output_tokens": 9, "total_tokens": 30, "cost": 0.5},
            id="numbers as text",
        ),
        pytest.param({"input_tokens": -5, "cost": -1}, "", {"input_tokens": 0, "cost": 0.0}, id="less than nothing"),
        pytest.param({"input_tokens": 3, "cost": float("nan")}, "Total tokens: 3", {"input_tokens": 3}, id="no number"),
        pytest.param({"output_tokens": float("inf"), "cost": []}, "", {"output_tokens": 0}, id="no end, and a list"),
        pytest.param({"input_tokens": 10**30}, "Total tokens: 1", {}, id="more than any parser takes"),
        pytest.param({"input_tokens": 2, "cost": 1e-9}, "Total tokens: 2", {"cost": 1e-9}, id="a billionth"),
        pytest.param({"further": 10**30, "nan": float("nan")}, "", {}, id="fields that nobody knows"),
    ],
)
async def test_odd_usage_costs_nobody_the_answer(
    usage: dict[str, Any], line: str, host_sees: dict[str, Any], recent: bool
) -> None:
    async with host(wire(TEXT, terminal(output=[MESSAGE], usage=usage)), recent=recent) as asked:
        stored = await asked.chat()
    assert stored.text.strip() == "Hello."
    assert stored.error is None
    assert line in last_status(asked)
    assert "Cost $-" not in last_status(asked)
    assert stored.usage is not None
    assert host_sees.items() <= stored.usage.items()
    assert not isinstance(stored.usage.get("cost", 0.0), list)


@pytest.mark.parametrize("response", [None, [], "done", 7, {}], ids=repr)
async def test_an_answer_has_ended_when_the_provider_says_so_whatever_it_adds(response: object) -> None:
    async with host(wire(TEXT, {"type": "response.completed", "response": response})) as asked:
        stored = await asked.chat()
    assert stored.text.strip() == "Hello."
    assert stored.error is None


@pytest.mark.parametrize("depth", [100, 400, 900])
async def test_nesting_without_bottom_costs_itself_only(depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    reasoning = b'{"type":"reasoning","id":"r","summary":[],"encrypted_content":"E","content":' + deep + b"}"
    done = b'{"type":"response.output_item.done","output_index":1,"item":' + reasoning + b"}"
    end = json.dumps(terminal(output=[MESSAGE, "deep"])).encode().replace(b'"deep"', reasoning)
    async with host(wire(TEXT, done, end)) as asked:
        stored = await asked.chat()
    assert stored.text.split("\n")[0] == "Hello."
    assert "###" not in stored.text
    assert stored.error is None


async def test_a_flood_of_broken_events_is_told_a_few_times_and_not_each_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with host(wire(*[b"{broken " + b"x" * 50] * 20_000, TEXT, terminal(output=[MESSAGE]))) as asked:
        with caplog.at_level(logging.WARNING):
            stored = await asked.chat()
    assert stored.text.strip() == "Hello."
    told = [record for record in caplog.records if "skipped" in record.getMessage()]
    assert 1 <= len(told) <= 20


@pytest.mark.parametrize("endpoint", ["responses", "chat_completions"])
async def test_arguments_that_come_as_an_object_are_the_calls_arguments(endpoint: str) -> None:
    item = {"type": "function_call", "id": "fc", "call_id": "c", "name": "note", "arguments": {"a": "é"}}
    function = {"index": 0, "id": "c", "type": "function", "function": {"name": "note", "arguments": {"a": "é"}}}
    chunks = [
        {"choices": [{"index": 0, "delta": {"tool_calls": [function]}, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    ]
    streams = {
        "responses": (
            wire({"type": "response.output_item.done", "output_index": 0, "item": item}, terminal()),
            wire(TEXT, terminal(output=[MESSAGE])),
        ),
        "chat_completions": (wire(*chunks, b"[DONE]"), wire(*chunks[1:], b"[DONE]")),
    }
    runs = []
    async with host(*streams[endpoint], DEFAULT_LLM_ENDPOINT=endpoint) as asked:

        async def note(a: str) -> str:
            runs.append(a)
            return "noted"

        asked.tool("note", note, {"type": "object", "properties": {"a": {"type": "string"}}})
        await asked.chat()
        again = json.dumps(asked.provider.asked[1], ensure_ascii=False)
    assert runs == ["é"]
    assert json.dumps('{"a":"é"}', ensure_ascii=False) in again
