"""No text is lost, repeated or reordered, and there is one last event, for any split of the bytes, any queue settings, any
number of workers and any pace of the consumer: through the real adapter and a whole conversation."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openrouter_pipe.adapters.openrouter import HttpClients
from openrouter_pipe.ports.chat import Completed, Failed, ReasoningAdded, TextAdded
from wired import Wired, notices, shown

_ENTRY = {
    "id": "openai/gpt-5.6-luna",
    "name": "Luna",
    "supported_parameters": ["reasoning"],
    "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
}
_HOLE = b'data: {"type":"response.output_text.delta","delta":"\xff"}\n\n'


class Bytes(httpx.AsyncByteStream):
    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


def responses_wire(thoughts: list[str], words: list[str]) -> list[bytes]:
    rows: list[dict] = [{"type": "response.created", "response": {"id": "g", "model": "a/b"}}]
    at = {"output_index": 0, "content_index": 0}
    rows += [{"type": "response.reasoning_text.delta", **at, "delta": thought} for thought in thoughts]
    at = {"output_index": 1, "content_index": 0}
    rows += [{"type": "response.output_text.delta", **at, "delta": word} for word in words]
    rows += [{"type": "response.output_text.done", **at, "text": "".join(words)}] if words else []
    rows += [{"type": "response.completed", "response": {"status": "completed"}}]
    rows += [{"type": "response.output_text.delta", **at, "delta": "after the end"}]
    return [_event(row) for row in rows]


def chat_wire(thoughts: list[str], words: list[str]) -> list[bytes]:
    deltas = [{"reasoning": thought} for thought in thoughts] + [{"content": word} for word in words]
    rows: list[dict] = [{"id": "g", "choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in deltas]
    rows += [{"id": "g", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]
    return [*map(_event, rows), b"data: [DONE]\n\n", _event({"id": "g", "choices": [{"delta": {"content": "late"}}]})]


def _event(row: dict) -> bytes:
    return b"data: " + json.dumps(row).encode() + b"\n\n"


WIRES = {"responses": responses_wire, "chat_completions": chat_wire}
TEXTS = st.lists(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12), max_size=25)


async def _answer(endpoint: str, pieces: list[bytes], pace: list[int], valves: dict) -> list:
    def reply(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"data": [_ENTRY]})
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Bytes(pieces))

    clients = HttpClients(lambda: httpx.MockTransport(reply))
    wired = Wired(None, "http://provider.test/api/v1", clients)
    events = []
    async for event in wired.respond("Go.", settings={"DEFAULT_LLM_ENDPOINT": endpoint, **valves}):
        events.append(event)
        for _ in range(pace[len(events) % len(pace)]):
            await asyncio.sleep(0)
    await clients.aclose()
    return events


@pytest.mark.parametrize("endpoint", WIRES)
@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_text_is_whole_ordered_and_shown_once(endpoint: str, data: st.DataObject) -> None:
    thoughts, words = data.draw(TEXTS), data.draw(TEXTS)
    events_of_wire = WIRES[endpoint](thoughts, words)
    for place in sorted(data.draw(st.lists(st.integers(1, len(events_of_wire) - 2), max_size=3)), reverse=True):
        events_of_wire.insert(place, _HOLE)
    stream = b"".join(events_of_wire)
    if data.draw(st.booleans(), "crlf"):
        stream = stream.replace(b"\n", b"\r\n")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=40), "cuts"))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    valves = {
        "SSE_WORKERS_PER_REQUEST": data.draw(st.integers(1, 8)),
        "STREAMING_CHUNK_QUEUE_MAXSIZE": data.draw(st.integers(0, 3)),
        "STREAMING_EVENT_QUEUE_MAXSIZE": data.draw(st.integers(0, 3)),
        "STREAMING_DELTA_CHAR_LIMIT": data.draw(st.sampled_from([0, 1, 5, 256])),
    }
    pace = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=5))
    events = asyncio.run(asyncio.wait_for(_answer(endpoint, pieces, pace, valves), 20))
    assert shown(events) == "".join(words), notices(events)
    assert "".join(event.text for event in events if isinstance(event, ReasoningAdded)) == "".join(thoughts)
    assert [type(event) for event in events if isinstance(event, Completed | Failed)] == [Completed]
    assert isinstance(events[-1], Completed)


@pytest.mark.parametrize("endpoint", WIRES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_stream_cut_anywhere_keeps_a_prefix_and_ends_once(endpoint: str, data: st.DataObject) -> None:
    words = data.draw(st.lists(st.text("abc ", min_size=1, max_size=6), min_size=1, max_size=12))
    stream = b"".join(WIRES[endpoint]([], words))
    cut = data.draw(st.integers(0, len(stream)))
    events = asyncio.run(asyncio.wait_for(_answer(endpoint, [stream[:cut]], [0], {}), 20))
    assert "".join(words).startswith(shown(events))
    assert [type(event) for event in events if isinstance(event, Completed | Failed)] == [type(events[-1])]
    if isinstance(events[-1], Completed):
        assert shown(events) == "".join(words)


async def test_five_thousand_deltas_through_queues_of_one_with_a_slow_consumer() -> None:
    words = [f"w{number} " for number in range(5000)]
    valves = {"STREAMING_CHUNK_QUEUE_MAXSIZE": 1, "STREAMING_EVENT_QUEUE_MAXSIZE": 1, "STREAMING_DELTA_CHAR_LIMIT": 0}
    stream = b"".join(responses_wire([], words))
    pieces = [stream[at : at + 1000] for at in range(0, len(stream), 1000)]
    events = await asyncio.wait_for(_answer("responses", pieces, [2], valves), 20)
    assert shown(events) == "".join(words)
    assert sum(isinstance(event, TextAdded) for event in events) == 5000
    assert isinstance(events[-1], Completed)
