"""Bad input in a real Open WebUI: a clear text with an id that the log knows, no secret, and the server goes on."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import venvs
from webui_host import WebUIHost, chunks_of, free_port, text_of
from webui_setup import FUNCTION_ID, model_id

ECHO = model_id("sim/echo")
WRONG_KEY = "sk-or-wrong"  # the key that the simulator refuses
HELLO = [{"role": "user", "content": "hello"}]


def shown(host: WebUIHost, model: str = ECHO, messages: Any = HELLO) -> str:
    """Everything a streaming API client is shown: text and errors."""
    with host.stream(model, messages) as reply:
        if reply.status_code != 200:
            return str(reply.read().decode())
        chunks = chunks_of([line[5:].strip() for line in reply.iter_lines() if line.startswith("data:")])
    errors = [str(chunk["error"]) for chunk in chunks if chunk.get("error")]
    return "\n".join([text_of(chunks), *errors])


@pytest.fixture(autouse=True)
def _goes_on(host: WebUIHost) -> Iterator[None]:
    pid = host.pid
    yield
    assert host.running
    assert host.pid == pid
    assert text_of(chunks_of(host.stream_data(ECHO, HELLO))) == "hello (turn 1)"


def test_unknown_model_is_refused_by_the_host(host: WebUIHost) -> None:
    reply = host.complete(model_id("sim/no-such-model"), HELLO, stream=True)
    assert reply.status_code == 400
    assert "Model not found" in reply.text


def test_model_outside_the_allowlist(host: WebUIHost, valves: Any, assert_clear: Callable[..., str]) -> None:
    with valves(MODEL_ID="sim/no-such-model"):
        # The host still knows the model from its last listing, as it does between an operator's change and a reload.
        text = shown(host)
    assert "hello (turn 1)" not in text
    assert_clear(text)


def test_allowlist_limits_what_is_offered(host: WebUIHost, valves: Any) -> None:
    # An empty list cannot be tested here: 0.12.4 goes on showing its last one when there are no models at all.
    with valves(MODEL_ID="sim/refusal"):
        assert [listed for listed in host.model_ids() if listed.startswith(FUNCTION_ID + ".")] == [
            model_id("sim/refusal")
        ]


def test_empty_messages(host: WebUIHost, assert_clear: Callable[..., str]) -> None:
    assert_clear(shown(host, messages=[]))


@pytest.mark.parametrize(
    "messages", ["hello", None, [{"role": "user"}], [{"role": "user", "content": 7}], [{"content": "x"}], [7]], ids=repr
)
def test_messages_that_are_none(host: WebUIHost, messages: Any) -> None:
    """The host stops most of these before the pipe sees them (0.6.28 with an empty answer); nobody sees a traceback."""
    text = shown(host, messages=messages)
    print(f"{host.version} {messages!r}: {text!r}")
    assert text.strip() or host.version == venvs.OLDEST_VERSION
    assert "Traceback" not in text
    assert 'File "' not in text


def test_wrong_key(host: WebUIHost, valves: Any, assert_clear: Callable[..., str]) -> None:
    with valves(API_KEY=WRONG_KEY):
        assert_clear(shown(host), WRONG_KEY)


def test_missing_key(host: WebUIHost, valves: Any, assert_clear: Callable[..., str]) -> None:
    with valves(API_KEY=""):
        text = shown(host)
    assert_clear(text)
    assert "API_KEY" in text


def test_key_encrypted_with_another_secret(host: WebUIHost, valves: Any, assert_clear: Callable[..., str]) -> None:
    stored = "encrypted:gAAAAABotherinstallation"
    with valves(API_KEY=stored):
        assert_clear(shown(host), stored)


def test_unreachable_base_url(host: WebUIHost, valves: Any, assert_clear: Callable[..., str]) -> None:
    with valves(BASE_URL=f"http://127.0.0.1:{free_port()}/api/v1"):
        assert_clear(shown(host), "sk-or-v1-")


def test_base_url_that_is_none(host: WebUIHost, valves: Any, assert_clear: Callable[..., str]) -> None:
    with valves(BASE_URL="not a url"):
        assert_clear(shown(host), "sk-or-v1-")


@pytest.mark.parametrize(
    ("name", "value"),
    [("MAX_CONCURRENT_REQUESTS", 0), ("HTTP_CONNECT_TIMEOUT_SECONDS", "soon"), ("DEFAULT_LLM_ENDPOINT", "telepathy")],
)
def test_valve_out_of_bounds_is_refused_when_saved(
    host: WebUIHost, base_valves: dict[str, Any], name: str, value: Any
) -> None:
    path = f"/api/v1/functions/id/{FUNCTION_ID}/valves"
    before, start = host.get(path), host.log_size()
    reply = host.request("POST", f"{path}/update", json=base_valves | {name: value})
    assert reply.status_code == 400, f"HTTP {reply.status_code}: {reply.text[:300]}"
    # 0.12.4 answers every refusal with the same words and leaves the name of the valve to its log.
    assert name in reply.text or name in host.log_text(start)
    assert "Traceback" not in reply.text
    assert base_valves["API_KEY"] not in reply.text
    assert host.get(path) == before
