"""The simulator in process: streaming, cancelling, echo, knobs, faults, control and recording. No sockets, no sleeps."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import httpx
import pytest

from openrouter_pipe.adapters.simulator.app import Simulator, create_app
from openrouter_pipe.adapters.simulator.catalogue import default_catalogue
from openrouter_pipe.adapters.simulator.config import (
    KnobError,
    Knobs,
    SimulatorConfig,
    find_schema,
    knobs_from_text,
    read_knobs,
)
from openrouter_pipe.adapters.simulator.transport import SimulatorTransport

KEY = {"authorization": "Bearer sk-or-test"}
CATALOGUE = {model["id"]: model for model in default_catalogue().models}


def client_of(app: Simulator, **options: Any) -> httpx.AsyncClient:
    transport = SimulatorTransport(app)
    return httpx.AsyncClient(transport=transport, base_url="http://simulator/api/v1", headers=KEY, **options)


async def ask(app: Simulator, prompt: object = "hello", model: str = "sim/echo", **extra: Any) -> httpx.Response:
    headers = extra.pop("headers", {})
    body = {"model": model, "input": prompt, "stream": True} | extra
    async with client_of(app) as client:
        return await client.post("/responses", json=body, headers=headers)


def events_of(reply: httpx.Response) -> list[Any]:
    rows = [line.removeprefix("data: ") for line in reply.text.replace("\r\n", "\n").split("\n")]
    return [json.loads(row) for row in rows if row.startswith("{")]


def joined(pieces: Iterable[str | None]) -> str:
    """The pieces in a row; surrogate halves that meet become the character they are."""
    return "".join(piece or "" for piece in pieces).encode("utf-16", "surrogatepass").decode("utf-16")


def text_of(reply: httpx.Response) -> str:
    return joined(row["delta"] for row in events_of(reply) if row["type"] == "response.output_text.delta")


def kinds_and_deltas(text: str) -> list[tuple[str, object]]:
    rows = [line for line in text.replace("\r\n", "\n").split("\n") if line.startswith("data: {")]
    events = [json.loads(row.removeprefix("data: ")) for row in rows]
    return [(event["type"], event.get("delta")) for event in events]


async def collect(app: Simulator, body: Any, into: bytearray) -> None:
    async with client_of(app) as client, client.stream("POST", "/responses", json=body) as reply:
        async for piece in reply.aiter_bytes():
            into += piece


async def test_echo_thinks_first_and_proves_that_it_saw_the_history() -> None:
    reply = await ask(create_app(), "one two three")
    kinds = [event["type"] for event in events_of(reply)]
    assert kinds.index("response.reasoning_summary_text.delta") < kinds.index("response.output_text.delta")
    assert text_of(reply) == "one two three (turn 1)"
    usage = events_of(reply)[-1]["response"]["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["cost"] > 0
    history = [
        {"role": "user", "content": "Please remember the word zebra"},
        {"role": "assistant", "content": "ok"},
        {"role": "user", "content": "Which word was it?"},
    ]
    assert text_of(await ask(create_app(), history)) == "The word is zebra. (turn 2)"


@pytest.mark.parametrize(
    ("model", "reasoning", "kind"),
    [
        ("openai/gpt-5", {"effort": "low"}, "response.reasoning_summary_text.delta"),
        ("anthropic/claude-sonnet-4.5", {"max_tokens": 2000}, "response.reasoning_text.delta"),
        ("google/gemini-2.5-flash", {"enabled": True}, "response.reasoning_text.delta"),
        ("anthropic/claude-sonnet-4.5", None, None),
        ("openai/gpt-4o", {"effort": "low"}, None),
        ("openai/gpt-5", None, "response.reasoning_summary_text.delta"),
    ],
)
async def test_a_catalogue_model_reasons_when_it_can_and_was_asked(
    model: str, reasoning: Any, kind: str | None
) -> None:
    extra = {"reasoning": reasoning} if reasoning else {}
    events = events_of(await ask(create_app(), model=model, **extra))
    seen = {event["type"] for event in events if "reasoning" in event["type"] and event["type"].endswith(".delta")}
    assert seen == ({kind} if kind else set())
    assert events[-1]["response"]["model"] == CATALOGUE[model]["canonical_slug"] != model


async def test_the_word_limit_ends_the_answer_as_incomplete() -> None:
    reply = await ask(create_app(), "a b c d e f", max_output_tokens=2)
    assert text_of(reply) == "a b "
    assert events_of(reply)[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


async def test_structured_output_fits_its_schema() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}, "s": {"enum": ["x"]}}, "required": ["n", "s"]}
    text = {"format": {"type": "json_schema", "name": "t", "schema": schema, "strict": True}}
    assert json.loads(text_of(await ask(create_app(), text=text))) == {"n": 1, "s": "x"}


async def test_the_tool_loop_calls_answers_and_insists_on_its_signature() -> None:
    app = create_app()
    tools = [
        {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {"q": {"type": "string"}}}}
    ]
    first = events_of(await ask(app, "go", "sim/tool-loop", tools=tools))[-1]["response"]["output"]
    assert [item["type"] for item in first] == ["reasoning", "function_call"]
    assert json.loads(first[1]["arguments"]) == {"q": "sample"}
    output = {"type": "function_call_output", "call_id": first[1]["call_id"], "output": "42 apples"}
    replay: Any = [{"role": "user", "content": "go"}, *first, output]
    assert "42 apples" in text_of(await ask(app, replay, "sim/tool-loop", tools=tools))
    replay[1] = replay[1] | {"signature": "other"}
    assert (await ask(app, replay, "sim/tool-loop", tools=tools)).status_code == 400
    del replay[1]
    assert (await ask(app, replay, "sim/tool-loop", tools=tools)).status_code == 400


async def test_both_endpoints_and_both_forms_say_the_same() -> None:
    app = create_app()
    for model in [
        name for name in CATALOGUE if name.startswith("sim/") and "error" not in name and name != "sim/failed"
    ]:
        streamed = await ask(app, model=model)
        whole = (await ask(app, model=model, stream=False)).json()
        said = "".join(
            part.get("text", part.get("refusal", ""))
            for item in whole["output"]
            if item["type"] == "message"
            for part in item["content"]
        )
        if model != "sim/refusal":
            assert text_of(streamed) == said
        assert whole["output"] == events_of(streamed)[-1]["response"]["output"]
        async with client_of(app) as client:
            body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
            chat = (await client.post("/chat/completions", json=body)).json()
            chunks = events_of(await client.post("/chat/completions", json=body | {"stream": True}))
        message = chat["choices"][0]["message"]
        assert (message.get("refusal") or message["content"] or "") == said
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
        assert joined(delta.get("content") for delta in deltas) == (message["content"] or "")
        calls = [item for item in whole["output"] if item["type"] == "function_call"]
        assert [call["function"]["arguments"] for call in message.get("tool_calls", [])] == [
            call["arguments"] for call in calls
        ]
        images = [item["result"] for item in whole["output"] if item["type"] == "image_generation_call"]
        assert [image["image_url"]["url"] for image in message.get("images", [])] == images
        cited = [
            note["url"]
            for item in whole["output"]
            if item["type"] == "message"
            for part in item["content"]
            for note in part.get("annotations", [])
        ]
        assert [note["url_citation"]["url"] for note in message.get("annotations", [])] == cited
        reasoning = [item for item in whole["output"] if item["type"] == "reasoning"]
        assert bool(message.get("reasoning_details")) == bool(reasoning)
        assert chat["usage"]["total_tokens"] > 0
        assert chunks[-1]["usage"] == chat["usage"]


async def test_surrogate_halves_fall_into_different_deltas() -> None:
    reply = await ask(create_app(), model="sim/split-surrogates")
    assert "\\ud83d" in reply.text
    assert text_of(reply) == "Smile 😀 and 🚀 go"


async def test_the_transport_hands_over_each_write_as_it_is_made_and_closing_stops_the_application() -> None:
    gate = asyncio.Event()
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await gate.wait()

    app = create_app(SimulatorConfig(sleep=sleep))
    async with client_of(app) as client:
        body = {"model": "sim/long", "input": "go", "stream": True}
        async with client.stream("POST", "/responses", json=body, headers={"x-simulator-speed": "4"}) as reply:
            first = await anext(reply.aiter_bytes())
            assert b"response.created" in first
            assert app.open_streams == 1
            assert not app.requests[0].finished
        assert app.open_streams == 0
    assert slept == [0.25]
    assert app.requests[0].aborted
    assert app.requests[0].status == 200


async def test_the_transport_holds_the_application_back_for_a_slow_reader() -> None:
    written = 0

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        nonlocal written
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            written += 1

    async with (
        httpx.AsyncClient(transport=SimulatorTransport(endless, buffer=3)) as client,
        client.stream("GET", "http://simulator/") as reply,
    ):
        for _ in range(10):
            await asyncio.sleep(0)
        assert written == 3
        await anext(reply.aiter_bytes(1))


async def test_a_cancelled_reader_stops_the_application() -> None:
    app = create_app()
    async with client_of(app) as client:
        body = {"model": "sim/plain", "input": "[[sim: fault=silence; after=3]]", "stream": True}
        task = asyncio.create_task(client.post("/responses", json=body))
        while not (app.requests and app.requests[0].status):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert app.open_streams == 0
    assert app.requests[0].aborted


async def test_the_read_timeout_of_the_client_holds() -> None:
    app = create_app()
    async with client_of(app, timeout=0.01) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(
                "/responses", json={"model": "sim/plain", "input": "[[sim: fault=silence]]", "stream": True}
            )
    assert app.open_streams == 0


@pytest.mark.parametrize("chunk", [1, 7, 4096])
@pytest.mark.parametrize("crlf", ["true", "false"])
async def test_chunking_and_line_ends_change_no_byte_of_the_meaning(chunk: int, crlf: str) -> None:
    app = create_app()
    plain = await ask(app, "héllo 😀", headers={"x-simulator-comments": "2"})
    app = create_app()
    headers = {"x-simulator-comments": "2", "x-simulator-chunk": str(chunk), "x-simulator-crlf": crlf}
    sizes: list[int] = []
    body = {"model": "sim/echo", "input": "héllo 😀", "stream": True}
    data = b""
    async with client_of(app) as client, client.stream("POST", "/responses", json=body, headers=headers) as reply:
        async for piece in reply.aiter_raw():
            sizes.append(len(piece))
            data += piece
    assert set(sizes[:-1]) <= {chunk}
    assert sizes[-1] <= chunk
    assert (b"\r\n" in data) == (crlf == "true")
    assert kinds_and_deltas(data.decode()) == kinds_and_deltas(plain.text)
    assert data.count(b": OPENROUTER PROCESSING") == plain.text.count(": OPENROUTER PROCESSING") > 1


async def test_faults_in_a_stream() -> None:
    app = create_app()
    with pytest.raises(httpx.ReadError):
        await ask(app, "[[sim: fault=reset]]")
    assert app.requests[-1].status is None
    with pytest.raises(httpx.ReadError):
        await ask(app, "[[sim: fault=reset-headers]]")
    assert app.requests[-1].status == 200
    seen = bytearray()
    body = {"model": "sim/plain", "input": "[[sim: fault=reset; after=3]]", "stream": True}
    with pytest.raises(httpx.ReadError):
        await collect(app, body, seen)
    assert seen.count(b"data: ") == 3
    assert [request.aborted for request in app.requests] == [True] * 3
    cut = await ask(app, "[[sim: fault=truncate; after=4]]")
    assert cut.text.count("data: ") == 4
    assert "[DONE]" not in cut.text
    garbled = (await ask(app, "[[sim: fault=garbage; after=4]]")).content
    assert b"\xff\xfe" in garbled
    assert garbled.endswith(b"data: [DONE]\n\n")
    first = await ask(app, "[[sim: fault=error; shape=3]]")
    assert [event["type"] for event in events_of(first)] == ["response.error"]
    late = await ask(app, "[[sim: fault=error; shape=2; after=4]]", "sim/plain")
    assert [event["type"] for event in events_of(late)][-1] == "error"
    assert len(events_of(late)) == 5


async def test_a_fault_with_times_spares_the_retry() -> None:
    app = create_app()
    text = "[[sim: status=429; kind=platform; retry_after=2; times=1]]\nhello"
    first = await ask(app, text)
    assert first.status_code == 429
    assert first.headers["retry-after"] == "2"
    assert first.headers["x-ratelimit-remaining"] == "0"
    assert text_of(await ask(app, text)) == "hello (turn 1)"
    app.clear()
    assert (await ask(app, text)).status_code == 429


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 413, 422, 425, 429, 500, 502, 503, 524, 529])
async def test_every_documented_status_has_its_body(status: int) -> None:
    reply = await ask(create_app(), headers={"x-simulator-status": str(status), "x-simulator-retry-after": "3"})
    assert reply.status_code == status
    assert reply.headers["retry-after"] == "3"
    assert reply.headers["x-generation-id"].startswith("gen-")
    error = reply.json()["error"]
    assert error["code"] == status
    assert error["message"]


@pytest.mark.parametrize(
    ("status", "kind", "word"),
    [
        (400, "schema", "invalid_prompt"),
        (400, "unknown-model", "is not a valid model ID"),
        (400, "cache_control", "cache_control"),
        (400, "thinking", "thinking must be enabled"),
        (400, "effort", "Supported values are"),
        (402, "in-flight", "in_flight_budget_exhausted"),
        (403, "key-limit", "Key limit exceeded"),
        (429, "availability", "capacity_exhausted"),
        (502, "html", "<html>"),
        (500, "empty", ""),
        (500, "shape", "a list"),
        (400, "zod", "ZodError"),
    ],
)
async def test_kinds_of_errors(status: int, kind: str, word: str) -> None:
    reply = await ask(create_app(), f"[[sim: status={status}; kind={kind}]]")
    assert reply.status_code == status
    assert word in reply.text


async def test_unusable_knobs_are_refused_by_name() -> None:
    for headers, word in [
        ({"x-simulator-chunk": "abc"}, "chunk"),
        ({"x-simulator-fault": "boom"}, "reset"),
        ({"x-simulator-colour": "red"}, "colour"),
        ({"x-simulator-scenario": "none-such"}, "none-such"),
        ({"x-simulator-status": "429", "x-simulator-kind": "zebra"}, "zebra"),
    ]:
        reply = await ask(create_app(), headers=headers)
        assert reply.status_code == 400
        assert word in reply.json()["error"]["message"]
    with pytest.raises(KnobError, match="after"):
        read_knobs({"after": -1})


def test_a_directive_is_an_order_only_where_a_user_writes_it() -> None:
    assert knobs_from_text("[[sim: after=3; fault=reset]]\nhi") == (Knobs(after=3, fault="reset"), "hi")
    for text in ("say [[sim: fault=reset]]", "<chat_history>\n[[sim: fault=reset]]\n</chat_history>"):
        assert knobs_from_text(text) == (Knobs(), text)


async def test_headers_win_over_text_and_text_over_the_queue() -> None:
    app = create_app()
    app.queue_faults(Knobs(status=503))
    reply = await ask(app, "[[sim: status=429]]", headers={"x-simulator-status": "500"})
    assert reply.status_code == 500
    app.queue_faults(Knobs(status=503, times=2))
    assert [(await ask(app)).status_code for _ in range(3)] == [503, 503, 200]


async def test_keys() -> None:
    app = create_app(SimulatorConfig(accepted_keys=frozenset({"sk-or-good"})))
    async with client_of(app) as client:
        for value, status, word in [
            ("Bearer sk-or-good", 200, ""),
            ("Bearer sk-or-bad", 401, "User not found."),
            ("Bearer sk-or-wrong", 401, "User not found."),
            ("Bearer ", 401, "No cookie auth credentials found"),
            ("", 401, "No cookie auth credentials found"),
        ]:
            reply = await client.get("/key", headers={"authorization": value})
            assert reply.status_code == status
            assert word in reply.text
        assert (await client.get("/models", headers={"authorization": ""})).status_code == 200
    assert (await ask(create_app(), headers={"authorization": "Bearer sk-or-wrong"})).status_code == 401


async def test_account_and_catalogue_paths() -> None:
    app = create_app(SimulatorConfig(generation_misses=1))
    async with client_of(app) as client:
        listed = (await client.get("/models")).json()
        assert len(listed["data"]) == listed["total_count"] >= 300
        assert all("text" in model["architecture"]["output_modalities"] for model in listed["data"])
        every = (await client.get("/models", params={"output_modalities": "all"})).json()["total_count"]
        assert every > listed["total_count"]
        page = (await client.get("/models", params={"limit": 10, "offset": 5})).json()
        assert page["data"] == listed["data"][5:15]
        assert page["links"]["next"] == "/api/v1/models?offset=15&limit=10"
        assert (await client.get("/models", params={"limit": 0})).status_code == 400
        assert (await client.get("/models/count")).json()["data"]["count"] == listed["total_count"]
        assert (await client.get("/model/openai/gpt-5")).json()["data"]["id"] == "openai/gpt-5"
        rows = (await client.get("/models/openai/gpt-5/endpoints")).json()["data"]["endpoints"]
        assert rows[0]["tag"] == "openai"
        for path in ("/models/user", "/credits", "/endpoints/zdr"):
            assert (await client.get(path)).json()["data"]
        generation = (await ask(app)).headers["x-generation-id"]
        assert [(await client.get("/generation", params={"id": generation})).status_code for _ in range(2)] == [
            404,
            200,
        ]
        assert (await client.get("/generation", params={"id": "gen-unknown"})).status_code == 404
        assert (await client.get("/no/such")).status_code == 404


async def test_requests_are_recorded_and_bounded() -> None:
    app = create_app(SimulatorConfig(max_recorded=2, clock=lambda: 1_790_000_000.5))
    for text in ("one", "two", "three"):
        await ask(app, text, headers={"X-Title": "test"})
    assert [request.body["input"] for request in app.requests] == ["two", "three"]
    assert app.total_requests == 3
    last = app.requests[-1]
    assert (last.method, last.path, last.at) == ("POST", "/responses", 1_790_000_000.5)
    assert last.headers["x-title"] == "test"
    assert last.headers["authorization"] == "Bearer sk-or-test"
    assert "sk-or-test" not in repr(last)
    assert (last.status, last.finished, last.aborted) == (200, True, False)


async def test_the_control_interface() -> None:
    app = create_app()
    async with httpx.AsyncClient(transport=SimulatorTransport(app), base_url="http://simulator") as client:
        queued = await client.post(
            "/simulator/faults", json={"faults": [{"status": 500}, {"path": "/models", "status": 503}]}
        )
        assert queued.json() == {"queued": 2}
        assert (await client.get("/api/v1/models")).status_code == 503
        assert (await ask(app)).status_code == 500
        told = (await client.get("/simulator/requests")).json()
        assert [row["path"] for row in told["requests"]] == ["/models", "/responses"]
        assert "sk-or-test" not in json.dumps(told)
        assert (await client.post("/simulator/faults", json={"fault": "boom"})).status_code == 400
        assert (await client.post("/simulator/faults", json=17)).status_code == 400
        await client.delete("/simulator/requests")
        assert app.requests == []


async def test_routing_metadata_is_opt_in() -> None:
    asked = await ask(create_app(), headers={"X-OpenRouter-Metadata": "Enabled"})
    assert events_of(asked)[-1]["response"]["openrouter_metadata"]["requested"] == "sim/echo"
    assert "openrouter_metadata" not in events_of(await ask(create_app()))[-1]["response"]


async def test_a_background_task_prompt_gets_json_of_the_keys_it_names() -> None:
    prompt = '### Task:\nGenerate a title.\nJSON format: { "title": "your title" }\n<chat_history>x</chat_history>'
    assert json.loads(text_of(await ask(create_app(), prompt))) == {"title": "Simulated Title"}


def test_the_schema_is_found_in_a_checkout() -> None:
    found = find_schema()
    assert found is not None
    assert found.name == "openrouter-openapi.yaml"
