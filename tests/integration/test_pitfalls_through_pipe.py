"""Mistakes that pipes of this kind have shipped, each asked of the whole pipe before a provider of plain bytes.

Lives here: those of the list in tests/data/pitfalls.csv that no other room asks in these words.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from typing import Any

import pytest

from raw_provider import KEY, MODEL, call, ended, message, raw_host

PICTURE = "data:image/png;base64," + "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk" * 8 + "AAAAAAAA"
HALF = 100_000 * 3 * 6 // 10
"""Characters of a result that takes about six tenths of the model's context."""


@pytest.mark.parametrize("recent", [True, False])
async def test_a_consumer_that_pauses_keeps_its_answer(recent: bool) -> None:
    words = "".join(f"word{number} " for number in range(4000))
    deltas = [event for event in message(words) if not event["type"].endswith("delta")]
    where = {"item_id": "m0", "output_index": 0, "content_index": 0}
    pieces = [{"type": "response.output_text.delta", **where, "delta": f"word{number} "} for number in range(4000)]
    limits = dict.fromkeys(("STREAMING_CHUNK_QUEUE_MAXSIZE", "STREAMING_EVENT_QUEUE_MAXSIZE"), 1)
    limits |= {"MIDDLEWARE_STREAM_QUEUE_MAXSIZE": 1, "MIDDLEWARE_STREAM_QUEUE_PUT_TIMEOUT_SECONDS": 0.01}
    stream = ended([deltas[0], *pieces, deltas[1]])
    async with raw_host(stream, recent=recent, STREAMING_DELTA_CHAR_LIMIT=0, **limits) as host:
        lines = []
        async for line in host.stream(chat_id="c", message_id="m", session_id="s"):
            lines.append(line)
            if len(lines) in {3, 50}:
                await asyncio.sleep(0.4)  # forty times the patience
    text = "".join(re.findall(r'"(?:delta|content)":\s*"((?:word\d+ )+)"', "".join(lines)))
    assert text == words
    assert len(host.provider.asked) == 1


@pytest.mark.parametrize("recent", [True, False])
async def test_a_result_of_six_tenths_of_the_context_passes_and_tools_stay(recent: bool) -> None:
    result = "x" * HALF
    async with raw_host(ended(call("big", "{}")), ended(message("Done.")), recent=recent) as host:

        async def big() -> str:
            return result

        host.tool("big", big)
        stored = await host.chat()
    assert "Done." in stored.text
    first, second = host.provider.asked
    outputs = [item["output"] for item in second["input"] if item.get("type") == "function_call_output"]
    assert outputs == [result]
    assert [tool["name"] for tool in second["tools"]] == [tool["name"] for tool in first["tools"]] == ["big"]


async def test_a_model_that_only_draws_gets_neither_tools_nor_search() -> None:
    draws = {**MODEL, "supported_parameters": ["max_tokens", "seed"]}
    draws["architecture"] = {"input_modalities": ["text"], "output_modalities": ["image"]}
    async with raw_host(ended(message("Here.")), models=[draws]) as host:
        host.tool("clock", None)
        await host.chat()
    (asked,) = host.provider.asked
    assert not asked.get("tools")
    assert "web" not in json.dumps(asked.get("plugins", []))
    assert "tool_choice" not in asked


async def test_a_hundred_thousand_events_are_remembered_within_bounds(tmp_path: Any) -> None:
    where = {"item_id": "m0", "output_index": 0, "content_index": 0}
    pieces = [{"type": "response.output_text.delta", **where, "delta": "x"} for _ in range(100_000)]
    log = {"SESSION_LOG_STORE_ENABLED": True, "SESSION_LOG_DIR": str(tmp_path), "SESSION_LOG_ZIP_PASSWORD": "word"}
    log |= {"SESSION_LOG_MAX_LINES": 100, "SESSION_LOG_ZIP_COMPRESSION": "stored", "LOG_LEVEL": "DEBUG"}
    stream = ended([message("")[0], *pieces, message("x" * 100_000)[2]])
    async with raw_host(stream, **log) as host:
        stored = await host.chat()
    assert stored.text == "x" * 100_000
    (archive,) = tmp_path.rglob("*.zip")
    assert archive.stat().st_size < 1_000_000


async def test_a_handler_of_the_host_that_logs_itself_stops_nothing() -> None:
    class Talkative(logging.Handler):
        depth = 0

        def emit(self, record: logging.LogRecord) -> None:
            if self.depth < 3:
                self.depth += 1
                logging.getLogger(record.name).warning("heard %s", record.name)
                self.depth -= 1

    handler = Talkative()
    logging.getLogger().addHandler(handler)
    try:
        async with raw_host(ended(message("Hello.")), LOG_LEVEL="DEBUG") as host:
            stored = await asyncio.wait_for(host.chat(), 20)
    finally:
        logging.getLogger().removeHandler(handler)
    assert stored.text == "Hello."


async def test_the_console_at_its_most_talkative_shows_no_picture_key_or_person(
    caplog: pytest.LogCaptureFixture,
) -> None:
    blocks = [{"type": "text", "text": "what is it"}, {"type": "image_url", "image_url": {"url": PICTURE}}]
    async with raw_host(ended(message("A dot.")), LOG_LEVEL="DEBUG", SEND_END_USER_ID=True) as host:
        with caplog.at_level(logging.DEBUG):
            await host.chat(messages=[{"role": "user", "content": blocks}])
    assert caplog.records
    shown = "\n".join(record.getMessage() for record in caplog.records)
    assert not re.search(r"[A-Za-z0-9+/]{100,}", shown)
    for secret in (KEY, "ada@example.com", "Authorization", "Bearer"):
        assert secret not in shown


async def test_all_of_eight_providers_are_named_in_the_request() -> None:
    names = [f"provider-{number}" for number in range(8)]
    async with raw_host(ended(message("Hello."))) as host:
        await host.chat(provider={"order": names, "only": names, "allow_fallbacks": False})
    (asked,) = host.provider.asked
    assert asked["provider"] == {"order": names, "only": names, "allow_fallbacks": False}


@pytest.mark.parametrize(("valves", "effort"), [({}, "medium"), ({"REASONING_EFFORT": "low"}, "low")])
async def test_the_effort_of_every_model_is_set_in_one_place(valves: dict[str, Any], effort: str) -> None:
    async with raw_host(ended(message("Hello.")), **valves) as host:
        await host.chat()
        await host.call(stream=False, task="title_generation")
    assert [asked["reasoning"]["effort"] for asked in host.provider.asked] == [effort, "low"]


async def test_tokens_read_from_the_providers_cache_are_told() -> None:
    usage = {"input_tokens": 900, "output_tokens": 9, "input_tokens_details": {"cached_tokens": 800}}
    async with raw_host(ended(message("Hello."), usage=usage)) as host:
        stored = await host.chat()
    assert stored.usage is not None
    assert stored.usage["input_tokens_details"]["cached_tokens"] == 800
    assert "Cached: 800" in host.events[-1]["data"]["description"]


async def test_arguments_that_come_under_another_item_id_run_the_tool_once() -> None:
    first = call("once", '{"a": "x"}')
    delta = {
        "type": "response.function_call_arguments.delta",
        "item_id": "fc_tmp_9",
        "output_index": 0,
        "delta": '{"a":',
    }
    done = {**first[1]["item"], "id": "call_0"}
    stream = ended([first[0], delta, {**delta, "delta": '"x"}'}, {**first[1], "item": done}])
    runs = []
    async with raw_host(stream, ended(message("Done."))) as host:

        async def once(a: str) -> str:
            runs.append(a)
            return "ran"

        host.tool("once", once, {"type": "object", "properties": {"a": {"type": "string"}}})
        await host.chat()
    assert runs == ["x"]
    items = [item for item in host.provider.asked[1]["input"] if item.get("type", "").startswith("function_call")]
    assert [item["type"] for item in items] == ["function_call", "function_call_output"]


async def test_the_phase_of_a_message_goes_back_with_it() -> None:
    said = message("Looking it up.")
    said[2]["item"]["phase"] = "commentary"
    async with raw_host(ended(said, call("clock", "{}", 1)), ended(message("Noon."))) as host:

        async def clock() -> str:
            return "noon"

        host.tool("clock", clock)
        await host.chat()
    (back,) = [item for item in host.provider.asked[1]["input"] if item.get("role") == "assistant"]
    assert back["phase"] == "commentary"
    assert [part["text"] for part in back["content"]] == ["Looking it up."]


async def test_the_phase_that_the_history_names_goes_back_too() -> None:
    asked_before = {"role": "user", "content": "When?"}
    said = {"role": "assistant", "content": "Looking it up.", "phase": "commentary"}
    async with raw_host(ended(message("Noon."))) as host:
        await host.chat(messages=[asked_before, said, {"role": "user", "content": "And now?"}])
    (back,) = [item for item in host.provider.asked[0]["input"] if item.get("role") == "assistant"]
    assert back["phase"] == "commentary"


@pytest.mark.parametrize("recent", [True, False])
async def test_nothing_is_executed_in_the_browser_by_default(recent: bool) -> None:
    async with raw_host(ended(call("clock", "{}")), ended(message("Hello.")), recent=recent) as host:

        async def clock() -> str:
            return "noon"

        host.tool("clock", clock)
        await host.chat()
    assert len(host.provider.asked) == 2
    assert host.browser == []
    assert {event["type"] for event in host.events} <= {"status", "source", "files", "notification"}


@pytest.mark.parametrize("name", ["router.vendor.model", "ROUTER.Vendor.Model", "Router.vendor/model", "vendor/model"])
async def test_a_model_is_found_in_any_case_and_spelling(name: str) -> None:
    async with raw_host(ended(message("Hello."))) as host:
        stored = await host.chat(model=name)
    assert stored.text == "Hello."
    assert host.provider.asked[0]["model"] == "vendor/model"


async def test_what_a_tool_answered_as_an_object_is_told_as_text() -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "clock", "arguments": {"zone": "UTC"}}}]
    history = [
        {"role": "user", "content": "When?"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "content": {"noon": True}},
        {"role": "user", "content": "And now?"},
    ]
    async with raw_host(ended(message("Noon."))) as host:
        await host.chat(messages=history)
    (output,) = [item["output"] for item in host.provider.asked[0]["input"] if "output" in item]
    said = output if isinstance(output, str) else output[0]["text"]
    assert json.loads(said) == {"noon": True}
