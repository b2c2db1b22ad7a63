"""The diagnostics model in a host of either kind: for administrators, and listed only where the environment asks for it."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import pytest

from openrouter_pipe.adapters.openrouter import HttpClients
from openrouter_pipe.adapters.simulator.app import create_app
from openrouter_pipe.adapters.simulator.transport import SimulatorTransport
from pipe_house import KEY, House

RECENT = pytest.mark.parametrize("recent", [True, False])
MODEL = "router.diagnostics"


def house(recent: bool, **environment: str) -> House:
    return House(
        recent=recent,
        overrides={
            "environment": {"OPENROUTER_PIPE_DIAGNOSTICS": "true", "WEBUI_SECRET_KEY": "t0p-s3cr3t", **environment},
            "clients": HttpClients(partial(SimulatorTransport, create_app())),
        },
        BASE_URL="http://127.0.0.1/api/v1",
    )


@RECENT
async def test_an_administrator_reads_the_report(recent: bool) -> None:
    it = house(recent)
    it.host.role = "admin"
    told = await it.read(model=MODEL)
    assert told.startswith("### Diagnostics")
    assert "**WEBUI_SECRET_KEY**: it is a well-known default" in told
    assert "| ✅ | catalogue |" in told
    assert "| key accepted | the provider accepts the key |" in told
    for secret in (KEY, "t0p-s3cr3t", "ada@example.com"):
        assert secret not in told
    assert it.provider.requests == []


@RECENT
@pytest.mark.parametrize("role", ["user", "pending", "", "Admin", "admin "])
async def test_everybody_else_is_refused(recent: bool, role: str) -> None:
    it = house(recent)
    it.host.role = role
    told = await it.read(model=MODEL)
    assert "Diagnostics are for administrators" in told
    assert "WEBUI_SECRET_KEY" not in told
    assert it.provider.requests == []


@RECENT
async def test_a_task_of_such_a_chat_asks_nobody(recent: bool) -> None:
    it = house(recent)
    it.host.role = "admin"
    told = await it.host.call("### Task: a title", model=MODEL, task="title_generation", stream=False)
    assert "Diagnostics" not in str(told)
    assert it.provider.requests == []
    await it.close()


@RECENT
async def test_it_is_listed_where_it_is_asked_for(recent: bool) -> None:
    it = house(recent)
    assert await it.host.models() == ["router.vendor.model", MODEL]
    await it.close()


@RECENT
@pytest.mark.parametrize("value", ["", "false", "0", "off", "perhaps"])
async def test_without_the_variable_there_is_no_such_model(recent: bool, value: str) -> None:
    it = house(recent, OPENROUTER_PIPE_DIAGNOSTICS=value)
    it.host.role = "admin"
    assert await it.host.models() == ["router.vendor.model"]
    assert "### Diagnostics" not in await it.ask(model=MODEL)
    await it.close()


def test_the_pipe_needs_no_terminal_library() -> None:
    code = "import sys; sys.modules['rich'] = None; from openrouter_pipe.composition.pipe import build; build('x')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


async def test_an_ordinary_model_is_answered_as_ever() -> None:
    it = house(recent=True)
    assert "All is well." in await it.read()
