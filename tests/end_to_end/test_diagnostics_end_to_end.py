"""The diagnostics model and `openrouter-pipe doctor` in real Open WebUI of both versions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import venvs
import webui_setup
from webui_host import WebUIHost
from webui_setup import FUNCTION_ID, SIMULATOR_KEY, Provider, model_id
from webui_tab import WebUITab

DIAGNOSTICS = model_id("diagnostics")
ECHO = model_id("sim/echo")
SECRET = "end-to-end-secret-key-7Qw2xZ"


@pytest.fixture(scope="module", params=[venvs.MAIN_VERSION, venvs.OLDEST_VERSION])
def fresh(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, base_valves: dict[str, Any]
) -> Iterator[WebUIHost]:
    """A host of its own that lists the diagnostics, and shows every model to everybody."""
    venvs.ensure(request.param)
    environment = {
        "OPENROUTER_PIPE_DIAGNOSTICS": "true",
        "BYPASS_MODEL_ACCESS_CONTROL": "true",
        "WEBUI_SECRET_KEY": SECRET,
    }
    with WebUIHost(request.param, tmp_path_factory.mktemp("diagnostics"), environment=environment) as running:
        webui_setup.install_pipe(running, base_valves)
        yield running


def asked(host: WebUIHost, token: str | None = None, **extra: Any) -> str:
    body = {"model": DIAGNOSTICS, "messages": [{"role": "user", "content": "How are you?"}], "stream": False, **extra}
    return host.request("POST", "/api/chat/completions", json=body, token=token).text


def test_it_is_listed_beside_the_models(fresh: WebUIHost) -> None:
    assert {DIAGNOSTICS, ECHO} <= set(fresh.model_ids())


async def test_an_administrator_reads_the_report_in_a_chat(fresh: WebUIHost, provider: Provider) -> None:
    before = len(provider.turns())
    async with WebUITab(fresh) as tab:
        message = (await tab.ask(DIAGNOSTICS, "How are you?")).message
    told = json.dumps(message, ensure_ascii=False)
    assert "### Diagnostics" in told
    assert f"Open WebUI {fresh.version}" in told
    assert "it is set" in told
    assert "secret valves are stored, all of them encrypted" in told
    assert "the provider accepts the key" in told
    assert "sqlite: it answers" in told
    assert "broke off" not in told
    for secret in (SECRET, SIMULATOR_KEY):
        assert secret not in told
    assert not any("How are you?" in json.dumps(turn) for turn in provider.turns()[before:])


def test_an_administrator_asks_by_the_interface(fresh: WebUIHost) -> None:
    assert "### Diagnostics" in asked(fresh)


@pytest.mark.parametrize("stream", [False, True])
def test_a_user_is_refused(fresh: WebUIHost, stream: bool) -> None:
    person = fresh.add_user(f"Somebody {stream}")
    assert DIAGNOSTICS in fresh.model_ids(token=person)
    told = asked(fresh, person, stream=stream)
    assert "Diagnostics are for administrators" in told
    assert "WEBUI_SECRET_KEY" not in told


def test_the_doctor_outside_reads_the_stored_valves(fresh: WebUIHost) -> None:
    done = fresh.command("doctor", "--from", "host", "--json", "--pipe-id", FUNCTION_ID)
    told = json.loads(done.stdout)
    assert told["settings_from"] == "the valves stored in Open WebUI"
    seen = {check["name"]: (check["status"], check["evidence"]) for check in told["checks"]}
    assert seen["host version"] == ("ok", f"Open WebUI {fresh.version} (0.6.28 or newer is needed)")
    for name in ("key decryptable", "key accepted", "catalogue", "secrets at rest", "WEBUI_SECRET_KEY", "database"):
        assert seen[name][0] == "ok", (name, seen[name])
    assert done.returncode == 0, seen
    assert SIMULATOR_KEY not in done.stdout + done.stderr
