"""Fixtures of the end-to-end tests: one provider and one server of each version for the whole session.

The suite is not among pytest's default test paths: run it as ``.venv/bin/pytest tests/end_to_end`` (``make test-webui``).
"""

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# The helpers beside this file are plain modules, shared with the scripts here; pytest's importlib mode adds no path.
sys.path.insert(0, str(Path(__file__).parent))

import venvs
import webui_setup
from webui_host import WebUIHost
from webui_setup import Provider

Valves = Callable[..., contextlib.AbstractContextManager[None]]


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    """The simulator, playing OpenRouter for every server of the session."""
    with webui_setup.simulated_provider() as running:
        yield running


@pytest.fixture(scope="session")
def base_valves(provider: Provider) -> dict[str, Any]:
    """What an operator would set at the least."""
    return {"BASE_URL": provider.url, "API_KEY": webui_setup.SIMULATOR_KEY}


def _serve(version: str, tmp_path_factory: pytest.TempPathFactory, base_valves: dict[str, Any]) -> Iterator[WebUIHost]:
    venvs.ensure(version)
    # Debug is where a host or a pipe that logs too much would show a secret.
    environment = {"GLOBAL_LOG_LEVEL": "DEBUG"}
    with WebUIHost(version, tmp_path_factory.mktemp(f"webui-{version}"), environment=environment) as running:
        webui_setup.install_pipe(running, base_valves)
        assert running.model_ids(), "no models: see " + str(running.log_path)
        yield running


@pytest.fixture(scope="session")
def main_host(tmp_path_factory: pytest.TempPathFactory, base_valves: dict[str, Any]) -> Iterator[WebUIHost]:
    """Open WebUI 0.12.4 with the bundle installed."""
    yield from _serve(venvs.MAIN_VERSION, tmp_path_factory, base_valves)


@pytest.fixture(scope="session")
def oldest_host(tmp_path_factory: pytest.TempPathFactory, base_valves: dict[str, Any]) -> Iterator[WebUIHost]:
    """Open WebUI 0.6.28 with the bundle installed."""
    yield from _serve(venvs.OLDEST_VERSION, tmp_path_factory, base_valves)


@pytest.fixture(params=["main_host", "oldest_host"], ids=[venvs.MAIN_VERSION, venvs.OLDEST_VERSION])
def host(request: pytest.FixtureRequest) -> WebUIHost:
    """Each version in turn."""
    running: WebUIHost = request.getfixturevalue(request.param)
    return running


@pytest.fixture
def valves(host: WebUIHost, base_valves: dict[str, Any]) -> Valves:
    """``with valves(NAME=value): ...`` changes valves of the running pipe and puts them back."""

    @contextlib.contextmanager
    def changed(**changes: Any) -> Iterator[None]:
        host.set_valves(webui_setup.FUNCTION_ID, base_valves | changes)
        try:
            yield
        finally:
            host.set_valves(webui_setup.FUNCTION_ID, base_valves)
            host.models()

    return changed


@pytest.fixture
def assert_clear(host: WebUIHost) -> Callable[..., str]:
    """Checks that an error shown to a user is readable, secret-free and found in the log by its id; returns the id."""
    start = host.log_size()

    def check(shown: str, *secrets: str) -> str:
        assert shown.strip(), "nothing was shown"
        for forbidden in ("Traceback", 'File "', "{error_id}", "{detail}", *secrets):
            assert forbidden not in shown, f"{forbidden!r} is shown to the user: {shown!r}"
        ids = re.findall(r"\b[0-9a-f]{16}\b", shown)
        assert ids, f"no error id in {shown!r}"
        # At this level 0.12.4 itself logs its SQL, and with it the valves as they were saved.
        log = "\n".join(line for line in host.log_text(start).splitlines() if "aiosqlite.core" not in line)
        assert ids[0] in log, f"the error id {ids[0]} is not in the server's log"
        for secret in secrets:
            assert secret not in log, "a secret is in the server's log"
        return str(ids[0])

    return check
