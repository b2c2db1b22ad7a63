"""Rules by model in a real Open WebUI: what a workspace model's custom parameters change, and what they cannot.

The provider's record of its requests is the proof.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from conftest import Valves
from webui_host import HostError, WebUIHost, chunks_of, text_of
from webui_setup import FUNCTION_ID, Provider, model_id

ECHO = model_id("sim/echo")
RULE = {"models": "sim/*", "provider": {"sort": "price", "allow_fallbacks": True}, "enforce": {"zdr": True}}


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


@contextlib.contextmanager
def workspace_model(host: WebUIHost, provider: dict[str, Any]) -> Iterator[str]:
    """A workspace model over the echo with one custom parameter, written as the host's form does: JSON as text."""
    params = {"custom_params": {"provider": json.dumps(provider)}}
    form = {"id": "routed-echo", "name": "Routed echo", "base_model_id": ECHO, "meta": {}, "params": params}
    host.post("/api/v1/models/create", form)
    try:
        assert "routed-echo" in host.model_ids()
        yield "routed-echo"
    finally:
        if host.request("POST", "/api/v1/models/model/delete", json={"id": "routed-echo"}).status_code != 200:
            host.request("DELETE", "/api/v1/models/model/delete?id=routed-echo")  # as 0.6.28 has it
        host.models()


def said(host: WebUIHost, model: str, **extra: Any) -> str:
    """The answer, and errors in its place."""
    chunks = chunks_of(host.stream_data(model, user("Routed?"), **extra))
    return "\n".join([text_of(chunks), *(str(chunk["error"]) for chunk in chunks if chunk.get("error"))])


def test_custom_parameters_reach_the_provider_and_loosen_nothing(
    host: WebUIHost, provider: Provider, valves: Valves
) -> None:
    before = len(provider.turns())
    hostile = {"zdr": False, "sort": "latency", "data_collection": "deny"}
    with workspace_model(host, hostile) as model:
        assert said(host, model) == "Routed? (turn 1)"
        with valves(MODEL_RULES=json.dumps([RULE])):
            assert said(host, ECHO) == "Routed? (turn 1)"
            assert said(host, model) == "Routed? (turn 1)"
            assert said(host, model, provider={"zdr": False}) == "Routed? (turn 1)"
    sent = [turn["body"].get("provider") for turn in provider.turns()[before:]]
    held = {"allow_fallbacks": True, "zdr": True}
    assert sent[0] == hostile
    assert sent[1] == held | {"sort": "price"}
    assert sent[2] == held | {"sort": "latency", "data_collection": "deny"}
    assert sent[3]["zdr"] is True
    assert len(sent) == 4


def test_rules_that_cannot_be_read_are_not_saved_and_stop_everything_if_stored(
    host: WebUIHost, provider: Provider, valves: Valves, assert_clear: Any
) -> None:
    broken = '[{"models": "sim/*", "enforce": {"zdr": "always"}}]'
    with pytest.raises(HostError), valves(MODEL_RULES=broken):
        pytest.fail("broken rules were saved")
    assert said(host, ECHO) == "Routed? (turn 1)"
    before = len(provider.turns())
    with valves(MODEL_RULES=json.dumps([RULE])):
        with closing(sqlite3.connect(host.data_dir / "webui.db", timeout=20)) as database, database:
            (stored,) = database.execute("SELECT valves FROM function WHERE id = ?", (FUNCTION_ID,)).fetchone()
            assert json.loads(stored)["MODEL_RULES"]
            changed = json.dumps(json.loads(stored) | {"MODEL_RULES": broken})
            database.execute("UPDATE function SET valves = ? WHERE id = ?", (changed, FUNCTION_ID))
        shown = said(host, ECHO)
        assert "Configuration error" in shown
        assert "MODEL_RULES: entry 1" in shown
        assert "enforce.zdr must be true or false" in shown
        assert_clear(shown)
        assert len(provider.turns()) == before
    assert said(host, ECHO) == "Routed? (turn 1)"
