"""Plain API use of the bundle in a real Open WebUI: models, streamed and whole answers, a client that leaves.

Both versions; what a browser tab does is in ``test_webui_chat.py``, what goes wrong in ``test_webui_bad_input.py``.
"""

import time

import pytest
from webui_host import WebUIHost, chunks_of, text_of
from webui_setup import Provider, model_id

ECHO = model_id("sim/echo")


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_models_are_listed_with_readable_names(host: WebUIHost) -> None:
    models = {model["id"]: model["name"] for model in host.models()}
    assert len(models) >= 300
    assert ECHO in models
    assert all(name.strip() for name in models.values())


def test_streamed_completion_is_the_providers_text(host: WebUIHost) -> None:
    text = "Hello from the wire: ä, 漢字, 🦀 and a `code` span."
    # At a model's pace: what is there all at once may come as one chunk.
    payloads = host.stream_data(ECHO, user(f"[[sim: speed=100]] {text}"))
    chunks = chunks_of(payloads)
    assert text_of(chunks) == f"{text} (turn 1)"
    assert len([chunk for chunk in chunks if text_of([chunk])]) > 1, "the answer came in one piece"
    assert text_of(chunks, "reasoning_content"), "no reasoning"
    assert all("type" not in chunk for chunk in chunks), "an API client was sent something else than chat chunks"
    finishes = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]]
    assert finishes
    assert set(finishes) == {"stop"}
    assert payloads.count("[DONE]") == 1
    assert payloads[-1] == "[DONE]"


def test_streamed_completion_reports_usage_once(host: WebUIHost) -> None:
    chunks = chunks_of(host.stream_data(ECHO, user("Count me."), stream_options={"include_usage": True}))
    usages = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    assert len(usages) == 1
    assert usages[0].get("total_tokens") or usages[0].get("output_tokens")


def test_whole_completion_is_the_same_text(host: WebUIHost) -> None:
    reply = host.complete(ECHO, user("All at once."), stream=False)
    assert reply.status_code == 200
    assert reply.json()["choices"][0]["message"]["content"].startswith("All at once. (turn 1)")


def test_history_reaches_the_provider(host: WebUIHost) -> None:
    messages = [*user("First."), {"role": "assistant", "content": "First. (turn 1)"}, *user("Second.")]
    assert text_of(chunks_of(host.stream_data(ECHO, messages))) == "Second. (turn 2)"


def test_first_text_arrives_before_the_answer_is_complete(host: WebUIHost) -> None:
    started = time.monotonic()
    with host.stream(ECHO, user("[[sim: speed=20]] one two three four five six seven eight")) as reply:
        arrivals = [
            time.monotonic() - started
            for line in reply.iter_lines()
            if line.startswith("data: {") and text_of(chunks_of([line[6:]]))
        ]
    assert arrivals[-1] - arrivals[0] > 0.3, f"the text came at once, after {arrivals[0]:.2f} s"


WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def test_a_stream_ends_once_with_its_own_reason(host: WebUIHost) -> None:
    tool = {"type": "function", "function": {"name": "weather", "description": "", "parameters": WEATHER}}
    for model, reason in (("parallel-calls", "tool_calls"), ("incomplete", "length"), ("failed", "error")):
        payloads = host.stream_data(model_id(f"sim/{model}"), user("Go."), tools=[tool])
        choices = [choice for chunk in chunks_of(payloads) for choice in chunk["choices"]]
        assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == [reason]
        assert payloads.index("[DONE]") == len(payloads) - 1


def test_anthropics_messages_are_answered_in_full(main_host: WebUIHost) -> None:
    tool = {"name": "weather", "description": "", "input_schema": WEATHER}
    ask = {"model": model_id("sim/parallel-calls"), "max_tokens": 100, "messages": user("Go."), "tools": [tool]}
    whole = main_host.post("/api/v1/messages", ask)
    assert [block["name"] for block in whole["content"]] == ["weather", "weather"]
    streamed = main_host.request("POST", "/api/v1/messages", json=ask | {"stream": True}).text
    assert [whole["stop_reason"], '"stop_reason":"tool_use"' in streamed] == ["tool_use", True]
    # The host makes an empty message that ended well of an error's own response.
    failed = main_host.post("/api/v1/messages", ask | {"messages": user("[[sim: status=402]] Go."), "tools": []})
    assert "Error ID" in failed["content"][0]["text"]


def test_leaving_client_closes_the_stream_upstream(host: WebUIHost, provider: Provider) -> None:
    before = len(provider.turns())
    with host.stream(ECHO, user("[[sim: speed=10]] " + "on and on " * 100)) as reply:
        for line in reply.iter_lines():
            if line.startswith("data: {") and text_of(chunks_of([line[6:]])):
                break
    wait_for_abort(provider, before)


def wait_for_abort(provider: Provider, before: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        turns = provider.turns()[before:]
        if turns and turns[-1]["aborted"]:
            return
        time.sleep(0.1)
    pytest.fail(f"the upstream stream was not closed: {provider.turns()[before:]}")
