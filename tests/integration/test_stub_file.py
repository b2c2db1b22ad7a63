"""The function of a few lines for hosts where the package is installed: loaded and called as the host does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from openrouter_pipe.adapters.simulator.app import create_app
from openrouter_pipe.adapters.simulator.config import SimulatorConfig
from openrouter_pipe.adapters.simulator.server import SimulatorServer
from openrouter_pipe.composition.run import ask, load_function

STUB = Path(__file__).parents[2] / "composition" / "stub.py"


@pytest.fixture
async def pipe() -> AsyncIterator[Any]:
    async with SimulatorServer(create_app(SimulatorConfig())) as server:
        loaded = load_function(STUB)
        loaded.valves = loaded.Valves(BASE_URL=server.url, API_KEY="sk-or-simulated")
        try:
            yield loaded
        finally:
            await loaded.close()


async def test_it_lists_models_and_answers_as_the_bundle_does(pipe: Any) -> None:
    assert "sim.echo" in [entry["id"] for entry in await pipe.pipes()]
    shown: list[tuple[str, str]] = []
    messages = [{"role": "user", "content": "[[sim: scenario=plain]] Go."}]
    assert await ask(pipe, "sim.echo", messages, lambda kind, text: shown.append((kind, text))) == "Hello"
    assert "error" not in {kind for kind, _ in shown}


def test_its_front_matter_names_the_oldest_host() -> None:
    head = STUB.read_text(encoding="utf-8").split('"""')[1]
    assert "required_open_webui_version: 0.6.28" in head.splitlines()
    assert "requirements" not in head  # the package brings what it needs
