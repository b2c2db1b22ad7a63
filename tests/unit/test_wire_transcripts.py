"""Transcripts to provider events: exact lists, and the same list however the bytes are split."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from functools import cache

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openrouter_pipe.adapters.openrouter import HttpClients, OpenRouterProvider
from openrouter_pipe.adapters.simulator.app import create_app
from openrouter_pipe.adapters.simulator.transport import SimulatorTransport
from openrouter_pipe.ports.items import FunctionCallItem, ImageItem, ItemKind, MessageItem, ReasoningItem, TextPart
from openrouter_pipe.ports.provider import (
    ArgumentsDelta,
    ArgumentsSnapshot,
    Connection,
    Endpoint,
    FaultKind,
    FinishStatus,
    ItemFinished,
    ItemStarted,
    ProviderError,
    ProviderEvent,
    ProviderFault,
    ProviderRequest,
    ReasoningDelta,
    ResponseFinished,
    ResponseStarted,
    TextDelta,
)
from openrouter_pipe.ports.settings import Secret

CONNECTION = Connection("http://provider.test/api/v1", Secret("sk-or-test"), "", "")
PATHS = {Endpoint.RESPONSES: "responses", Endpoint.CHAT_COMPLETIONS: "chat/completions"}
SCENARIOS = [
    "plain",
    "reasoning-summary",
    "reasoning-raw",
    "parallel-calls",
    "web-search",
    "image",
    "refusal",
    "incomplete",
    "failed",
    "error-1",
    "error-2",
    "error-3",
    "error-4",
    "interleaved",
    "late-signature",
    "split-surrogates",
    "citations-at-end",
]


class Pieces(httpx.AsyncByteStream):
    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


async def events_of(
    pieces: Iterable[bytes], endpoint: Endpoint, content_type: str = "text/event-stream", status: int = 200
) -> tuple[list[ProviderEvent], ProviderFault | None]:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, headers={"content-type": content_type}, stream=Pieces(pieces))

    clients = HttpClients(lambda: httpx.MockTransport(answer))
    events: list[ProviderEvent] = []
    try:
        async for event in OpenRouterProvider(clients, now=lambda: 0.0).stream(
            ProviderRequest(endpoint, "a/b", ()), CONNECTION
        ):
            events.append(event)  # noqa: PERF401 - what came before a fault counts
    except ProviderError as exc:
        return events, exc.fault
    finally:
        await clients.aclose()
    return events, None


def chunks(*deltas: dict[str, object], finish: str | None = "stop", **more: object) -> bytes:
    rows = [
        {"id": "gen-1", "model": "a/b", "provider": "P", "choices": [{"index": 0, "delta": d, "finish_reason": None}]}
        for d in deltas
    ]
    if finish:
        last = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": finish}
        rows += [{"id": "gen-1", "choices": [last]}, {"id": "gen-1", "choices": [last], **more}]
    return b"".join(b"data: " + json.dumps(row).encode() + b"\n\n" for row in rows) + b"data: [DONE]\n\n"


@cache
def recorded(scenario: str, endpoint: Endpoint) -> bytes:
    """The simulator's bytes; that they are the contract's transcripts is proved in its own tests."""

    async def fetch() -> bytes:
        async with httpx.AsyncClient(transport=SimulatorTransport(create_app())) as client:
            words = f"[[sim: scenario={scenario}]]\nGo."
            said = {"input": words} if endpoint is Endpoint.RESPONSES else {}
            said |= {"messages": [{"role": "user", "content": words}]} if not said else {}
            url = f"{CONNECTION.base_url}/{PATHS[endpoint]}"
            body = {"model": "openai/gpt-5.6-luna", "stream": True, **said}
            answer = await client.post(url, json=body, headers={"Authorization": "Bearer sk-or-test"})
            assert answer.status_code == 200, answer.text
            return answer.content

    return asyncio.run(fetch())


@pytest.mark.parametrize("endpoint", list(Endpoint))
@pytest.mark.parametrize("scenario", SCENARIOS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_any_split_of_the_bytes_gives_the_same_events(scenario: str, endpoint: Endpoint, data: st.DataObject) -> None:
    stream = recorded(scenario, endpoint)
    if data.draw(st.booleans(), "crlf"):
        stream = stream.replace(b"\n", b"\r\n")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=60), "cuts"))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    expected = asyncio.run(events_of([recorded(scenario, endpoint)], endpoint))
    assert asyncio.run(events_of(pieces, endpoint)) == expected


async def test_the_contract_s_chat_stream() -> None:
    stream = rb"""
: OPENROUTER PROCESSING
data: {"id":"gen-1","object":"chat.completion.chunk","created":1790000000,"model":"a/b","provider":"P","choices":[{"index":0,"delta":{"role":"assistant","content":"","reasoning":"Hm","reasoning_details":[{"type":"reasoning.text","text":"Hm","format":"unknown","index":0}]},"finish_reason":null,"native_finish_reason":null}]}
data: {"id":"gen-1","object":"chat.completion.chunk","created":1790000000,"model":"a/b","provider":"P","choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"x\":"}}]},"finish_reason":null,"native_finish_reason":null}]}
data: {"id":"gen-1","object":"chat.completion.chunk","created":1790000000,"model":"a/b","provider":"P","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]},"finish_reason":null,"native_finish_reason":null}]}
data: {"id":"gen-1","object":"chat.completion.chunk","created":1790000000,"model":"a/b","provider":"P","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":"tool_calls","native_finish_reason":"tool_calls"}]}
data: {"id":"gen-1","object":"chat.completion.chunk","created":1790000000,"model":"a/b","provider":"P","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":"tool_calls","native_finish_reason":"tool_calls"}],"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14,"cost":0.00001,"is_byok":false,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":1},"cost_details":{"upstream_inference_cost":null}}}
data: [DONE]
""".strip().replace(b"\n", b"\n\n")  # noqa: E501 - quoted as sent
    events, fault = await events_of([stream], Endpoint.CHAT_COMPLETIONS)
    assert fault is None
    started, thought, delta, called, first, second, thought_done, call_done, finished = events
    assert started == ResponseStarted("gen-1", "a/b")
    assert isinstance(thought, ItemStarted)
    assert (thought.index, thought.kind) == (0, ItemKind.REASONING)
    assert delta == ReasoningDelta(0, 0, "Hm", summary=False)
    assert isinstance(called, ItemStarted)
    assert isinstance(called.item, FunctionCallItem)
    assert (called.index, called.item.call_id, called.item.name) == (1, "call_1", "f")
    assert (first, second) == (ArgumentsDelta(1, '{"x":'), ArgumentsDelta(1, "1}"))
    assert isinstance(thought_done, ItemFinished)
    assert isinstance(thought_done.item, ReasoningItem)
    assert thought_done.item.details == ({"type": "reasoning.text", "text": "Hm", "format": "unknown", "index": 0},)
    assert isinstance(call_done, ItemFinished)
    assert isinstance(call_done.item, FunctionCallItem)
    assert call_done.item.arguments == '{"x":1}'
    assert isinstance(finished, ResponseFinished)
    assert finished.status is FinishStatus.COMPLETED
    assert finished.native_finish_reason == "tool_calls"
    assert finished.usage is not None
    assert (finished.usage.input_tokens, finished.usage.reasoning_tokens, finished.usage.cost) == (9, 1, 0.00001)
    assert finished.output == (thought_done.item, call_done.item)


async def test_what_a_model_speaks_is_its_text() -> None:
    spoken = [{"audio": {"id": "a", "data": "AAAA"}}, {"audio": {"transcript": "Good "}, "content": None}]
    spoken += [{"audio": {"transcript": "day."}, "content": ""}, {"audio": None}, {"audio": "x"}]
    events, fault = await events_of([chunks(*spoken)], Endpoint.CHAT_COMPLETIONS)
    assert fault is None
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["Good ", "day."]
    finished = events[-1]
    assert isinstance(finished, ResponseFinished)
    assert [item.parts for item in finished.output if isinstance(item, MessageItem)] == [(TextPart("Good day."),)]


async def test_plain_text_event_by_event() -> None:
    events, fault = await events_of([recorded("plain", Endpoint.RESPONSES)], Endpoint.RESPONSES)
    assert fault is None
    shown = [type(event).__name__ for event in events]
    assert shown == [
        "ResponseStarted",
        "ItemStarted",
        "TextDelta",
        "TextDelta",
        "TextSnapshot",
        "TextSnapshot",
        "ItemFinished",
        "ResponseFinished",
    ]
    finished = events[-2]
    assert isinstance(finished, ItemFinished)
    assert finished.item.payload["content"] == [{"type": "output_text", "text": "Hello", "annotations": []}]


@pytest.mark.parametrize("endpoint", list(Endpoint))
@pytest.mark.parametrize(
    "junk",
    [
        b"data: {broken\n\n",
        b'data: {"type":"response.output_text.delta","delta":"\xff\xfe"}\n\n',
        b"data: [1,2]\n\n",
        b"data: 7\n\n",
        b"data: NaN\n\n",
        b'data: {"type":"response.output_text.delta","delta":5,"output_index":0,"content_index":0}\n\n',
        b'data: {"type":"response.output_item.added","output_index":0}\n\n',
        b'data: {"type":"response.output_item.done","output_index":"x","item":{"type":"message"}}\n\n',
        b'data: {"type":"response.unheard_of","x":1}\n\n',
        b'data: {"choices":[{"delta":[1]}]}\n\n',
        b'data: {"choices":{"a":1},"usage":[]}\n\n',
        b"data: " + b"[" * 100_000 + b"\n\n",
        b"<html>\n\n",
    ],
)
async def test_a_malformed_event_costs_only_itself(
    endpoint: Endpoint, junk: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    stream = recorded("plain", endpoint)
    middle = stream.index(b"\n\n", len(stream) // 2) + 2
    events, fault = await events_of([stream[:middle] + junk + stream[middle:]], endpoint)
    assert fault is None
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Hello"
    assert all("broken" not in record.getMessage() for record in caplog.records), "content is never logged"


@pytest.mark.parametrize("endpoint", list(Endpoint))
async def test_an_early_end_is_reported(endpoint: Endpoint) -> None:
    stream = recorded("plain", endpoint)
    for end in (0, 40, len(stream) // 2):
        events, fault = await events_of([stream[:end]], endpoint)
        assert fault is not None
        assert fault.kind is FaultKind.TRUNCATED
        assert not any(isinstance(event, ResponseFinished) for event in events)


async def test_reasoning_that_resumes_after_text_is_a_new_item() -> None:
    def thought(words: str, index: int) -> dict[str, object]:
        detail = {"type": "reasoning.text", "text": words, "index": index}
        return {"content": "", "reasoning": words, "reasoning_details": [detail]}

    signature = {"reasoning_details": [{"type": "reasoning.text", "signature": "sig", "index": 0}]}
    stream = chunks(thought("A", 0), {"content": "x"}, signature, thought("B", 1), thought("C", 1), {"content": "y"})
    events, fault = await events_of([stream], Endpoint.CHAT_COMPLETIONS)
    assert fault is None
    kinds = [event.kind for event in events if isinstance(event, ItemStarted)]
    assert kinds == [ItemKind.REASONING, ItemKind.MESSAGE, ItemKind.REASONING, ItemKind.MESSAGE]
    done = [event.item for event in events if isinstance(event, ItemFinished)]
    assert isinstance(done[0], ReasoningItem)
    assert (done[0].text, done[0].signature) == (("A",), "sig")
    assert isinstance(done[2], ReasoningItem)
    assert (done[2].text, done[2].signature) == (("BC",), None)


async def test_gemini_style_calls_that_all_have_index_0() -> None:
    def call(call_id: str, name: str) -> dict[str, object]:
        return {"tool_calls": [{"index": 0, "id": call_id, "function": {"name": name, "arguments": "{}"}}]}

    encrypted = {"reasoning_details": [{"type": "reasoning.encrypted", "data": "blob", "id": "c1", "index": 0}]}
    stream = chunks(call("c1", "f"), call("c2", "g"), encrypted, finish="tool_calls")
    events, _ = await events_of([stream], Endpoint.CHAT_COMPLETIONS)
    done = [event.item for event in events if isinstance(event, ItemFinished)]
    assert [(item.call_id, item.name) for item in done if isinstance(item, FunctionCallItem)] == [
        ("c1", "f"),
        ("c2", "g"),
    ]
    assert isinstance(done[2], ReasoningItem)
    assert done[2].encrypted == "blob"


async def test_an_image_that_the_last_chunk_repeats_is_one_image() -> None:
    image = {"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}
    events, _ = await events_of([chunks({"content": "See"}, image, image)], Endpoint.CHAT_COMPLETIONS)
    images = [e.item for e in events if isinstance(e, ItemFinished) and isinstance(e.item, ImageItem)]
    assert [item.url for item in images] == ["data:image/png;base64,AAAA"]


async def test_reasoning_without_details_is_taken_from_its_text() -> None:
    events, _ = await events_of(
        [chunks({"reasoning": "Hm "}, {"reasoning": "so"}, {"content": "x"})], Endpoint.CHAT_COMPLETIONS
    )
    assert "".join(e.text for e in events if isinstance(e, ReasoningDelta)) == "Hm so"
    done = next(e.item for e in events if isinstance(e, ItemFinished))
    assert isinstance(done, ReasoningItem)
    assert done.text == ("Hm so",)


@pytest.mark.parametrize("endpoint", list(Endpoint))
@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream", "text/plain"])
async def test_a_200_that_holds_only_an_error(endpoint: Endpoint, content_type: str) -> None:
    body = b'  \n {"error":{"code":502,"message":"Provider returned error","metadata":null}}'
    events, fault = await events_of([body[:2], body[2:9], body[9:]], endpoint, content_type)
    assert not events
    assert fault is not None
    assert (fault.status, fault.message, fault.kind) == (502, "Provider returned error", FaultKind.STREAM)


@pytest.mark.parametrize("endpoint", list(Endpoint))
@pytest.mark.parametrize("body", [b"<html>gateway</html>", b"", b"[]", b"7", b"{}", b'{"data":1}', b'{"output":'])
async def test_a_200_that_is_no_answer(endpoint: Endpoint, body: bytes) -> None:
    events, fault = await events_of([body], endpoint, "text/html")
    assert not events
    assert fault is not None
    assert fault.kind is FaultKind.MALFORMED


async def test_a_large_event_is_decoded_like_a_small_one() -> None:
    words = "word " * 50_000
    delta = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": words}
    stream = recorded("plain", Endpoint.RESPONSES)
    at = stream.index(b"data: ", stream.index(b"response.content_part.added"))
    stream = stream[:at] + b"data: " + json.dumps(delta).encode() + b"\n\n" + stream[at:]
    events, fault = await events_of([stream], Endpoint.RESPONSES)
    assert fault is None
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == words + "Hello"


async def test_items_that_overlap_keep_their_indices() -> None:
    events, _ = await events_of([recorded("reasoning-raw", Endpoint.RESPONSES)], Endpoint.RESPONSES)
    order = [(type(e).__name__, e.index) for e in events if isinstance(e, ItemStarted | ItemFinished)]
    assert order == [("ItemStarted", 0), ("ItemStarted", 1), ("ItemFinished", 1), ("ItemFinished", 0)]
    assert isinstance(events[-1], ResponseFinished)
    assert [type(item) for item in events[-1].output] == [ReasoningItem, MessageItem]


@pytest.mark.parametrize("arguments", ['{"x":1}', {"x": 1}])
async def test_arguments_that_come_only_with_their_end_are_told(arguments: object) -> None:
    done = {"type": "response.function_call_arguments.done", "output_index": 0, "item_id": "fc_1", "name": "f"}
    rows = [json.dumps({**done, "arguments": value}).encode() for value in (arguments, "", None)]
    events, fault = await events_of([*(b"data: " + row + b"\n\n" for row in rows), _END], Endpoint.RESPONSES)
    assert fault is None
    (told,) = [event for event in events if isinstance(event, ArgumentsSnapshot)]
    assert json.loads(told.text) == {"x": 1}


def _delta(text: str) -> bytes:
    event = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": text}
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def _streaming(*reads: bytes) -> tuple[HttpClients, OpenRouterProvider]:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Pieces(reads))

    clients = HttpClients(lambda: httpx.MockTransport(answer))
    return clients, OpenRouterProvider(clients)


_END = b'data: {"type":"response.completed","response":{"status":"completed"}}\n\n'


async def test_a_stream_tells_whether_its_next_event_is_there_already() -> None:
    silent = b': keep\n\ndata: {"type":"response.nobody_knows"}\n\n'  # more of the read, but no event for anybody
    reads = (_delta("a"), _delta("b") + _delta("c") + _delta("d") + silent, _delta("e") + _END)
    clients, provider = _streaming(*reads)
    stream = provider.stream(ProviderRequest(Endpoint.RESPONSES, "a/b", ()), CONNECTION)
    assert not stream.ready()
    found = [(event.text if isinstance(event, TextDelta) else "end", stream.ready()) async for event in stream]
    assert found == [("a", False), ("b", True), ("c", True), ("d", False), ("e", True), ("end", False)]
    await clients.aclose()


async def test_what_came_before_an_error_in_the_same_read_counts() -> None:
    error = b'data: {"type":"error","code":"server_error","message":"no"}\n\n'
    events, fault = await events_of([_delta("a") + _delta("b") + error + _delta("c")], Endpoint.RESPONSES)
    assert events == [TextDelta(0, 0, "a"), TextDelta(0, 0, "b")]
    assert fault is not None
    assert fault.code == "server_error"


async def test_a_closed_stream_gives_nothing_more() -> None:
    clients, provider = _streaming(_delta("a") + _delta("b") + _END)
    stream = provider.stream(ProviderRequest(Endpoint.RESPONSES, "a/b", ()), CONNECTION)
    assert await anext(stream) == TextDelta(0, 0, "a")
    await stream.aclose()
    await stream.aclose()
    assert not stream.ready()
    assert [event async for event in stream] == []
    await clients.aclose()
