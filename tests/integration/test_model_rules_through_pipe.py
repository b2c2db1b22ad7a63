"""Rules by model through class ``Pipe`` and the real provider adapter: what the simulated OpenRouter receives, or does not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import attrs
import pytest
from dependency_injector import providers

from openrouter_pipe.adapters.memory import MemoryToolbox
from openrouter_pipe.adapters.simulator.app import Simulator
from openrouter_pipe.adapters.simulator.config import SimulatorConfig, find_schema
from openrouter_pipe.adapters.simulator.transport import SimulatorTransport
from openrouter_pipe.ports.chat import Completed, Failed, Task
from openrouter_pipe.ports.tools import ToolSpec
from pipe_house import House
from wired import KEY, Wired, in_process, notices, shown

MODEL = "router.openai.gpt-5.6-luna"
ZDR = {"models": "openai/*", "enforce": {"zdr": True}}
HOSTS = pytest.mark.parametrize("recent", [True, False], ids=["0.12.4", "0.6.28"])
ENDPOINTS = pytest.mark.parametrize("endpoint", ["responses", "chat_completions"])


@pytest.fixture
def simulator() -> Simulator:
    return Simulator(SimulatorConfig(max_recorded=50, schema_path=find_schema()))


def house_with(simulator: Simulator, recent: bool, rules: Any, **valves: Any) -> House:
    text = rules if isinstance(rules, str) else json.dumps(rules)
    house = House(recent=recent, overrides={"provider": None, "catalog_source": None}, MODEL_RULES=text, **valves)
    house.container.transport_factory.override(providers.Object(partial(SimulatorTransport, simulator)))
    return house


def answered(simulator: Simulator) -> list[Any]:
    return [one for one in simulator.requests if one.path.endswith(("responses", "completions"))]


@HOSTS
@ENDPOINTS
async def test_a_default_a_users_own_word_and_what_is_enforced(
    simulator: Simulator, recent: bool, endpoint: str
) -> None:
    rules = [
        {
            "models": "openai/*",
            "effort": "high",
            "max_output_tokens": 700,
            "endpoint": endpoint,
            "provider": {"sort": "price", "allow_fallbacks": True, "max_price": {"completion": 100}},
            "enforce": {"zdr": True, "max_price": {"prompt": 50}},
        }
    ]
    house = house_with(simulator, recent, rules, FORCE_RESPONSES_MODELS="*", FORCE_CHAT_COMPLETIONS_MODELS="*")
    assert "Hello" in await house.ask("[[sim: scenario=plain]]\nhi", model=MODEL)
    own = {"sort": "latency", "zdr": False, "max_price": {"prompt": "60"}}
    given = {"provider": json.dumps(own), "reasoning_effort": "low", "max_tokens": 99}
    assert "Hello" in await house.ask("[[sim: scenario=plain]]\nhi", model=MODEL, **given)
    await house.close()
    first, second = answered(simulator)
    assert first.path.endswith(endpoint.replace("_", "/"))
    assert first.body["provider"] == {
        "sort": "price",
        "allow_fallbacks": True,
        "zdr": True,
        "max_price": {"completion": "100", "prompt": "50"},
    }
    assert second.body["provider"] == {
        "sort": "latency",
        "allow_fallbacks": True,
        "zdr": True,
        "max_price": {"prompt": "50"},
    }
    tokens = "max_output_tokens" if endpoint == "responses" else "max_completion_tokens"
    limits = [one.body.get(tokens, one.body.get("max_tokens")) for one in (first, second)]
    assert limits == [700, 99]
    assert [one.body["reasoning"]["effort"] for one in (first, second)] == ["high", "low"]


@HOSTS
@pytest.mark.parametrize("text", ['[{"models": "openai/*", "enforce": {"zdr": "yes"}}]', "{'a': 1}", "null", "7"])
async def test_rules_that_cannot_be_read_stop_every_request(
    simulator: Simulator, recent: bool, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    house = house_with(simulator, recent, text)
    assert await house.host.models() == ["router.setup-needed"]
    said = await house.ask("hi", model=MODEL)
    assert "### Configuration error" in said
    assert "MODEL_RULES: " in said
    assert "set right by whoever runs this service" in said
    assert any("MODEL_RULES " in record.message and record.levelname == "ERROR" for record in caplog.records)
    task = await house.host.call("hi", model=MODEL, task="title_generation", stream=False)
    assert "MODEL_RULES" not in json.dumps(task)
    assert "Configuration" not in json.dumps(task)
    assert answered(simulator) == []
    house.host.valves["MODEL_RULES"] = json.dumps([ZDR])  # and once they are right, they hold
    assert "Hello" in await house.ask("[[sim: scenario=plain]]\nhi", model=MODEL)
    await house.close()
    assert [one.body["provider"] for one in answered(simulator)] == [{"zdr": True}]


@HOSTS
async def test_where_no_provider_is_left_the_user_is_told_and_nothing_leaves(
    simulator: Simulator, recent: bool
) -> None:
    house = house_with(simulator, recent, [{"models": "openai/*", "enforce": {"only": ["azure"]}}])
    text = await house.ask("hi", model=MODEL, provider={"only": ["deepinfra"]})
    assert "may not be used here" in text
    assert "provider.only asks for deepinfra, and only azure may answer here" in text
    task = await house.host.call(
        "hi", model=MODEL, task="tags_generation", stream=False, provider={"only": ["deepinfra"]}
    )
    assert "deepinfra" not in json.dumps(task)
    assert answered(simulator) == []
    await house.close()


@pytest.fixture
async def wired() -> AsyncIterator[Wired]:
    async with in_process() as running:
        yield running


def ruled(*rules: Any, **more: Any) -> dict[str, Any]:
    return {"MODEL_RULES": json.dumps(rules), **more}


def routed(wired: Wired) -> list[Any]:
    return [one.body.get("provider") for one in wired.sent]


LOOSE = {"provider": {"zdr": False, "sort": "price"}}
HELD = {"zdr": True, "sort": "price"}


@ENDPOINTS
async def test_every_round_and_every_repetition_keeps_to_the_rules(wired: Wired, endpoint: str) -> None:
    async def look(_: object) -> str:
        return "sunny"

    box = MemoryToolbox()
    box.add(ToolSpec("weather", "", {"type": "object", "properties": {"city": {"type": "string"}}}), look)
    settings = ruled(ZDR, DEFAULT_LLM_ENDPOINT=endpoint)
    events = await wired.hear("[[sim: scenario=tool-loop]]\nCall it.", toolbox=box, parameters=LOOSE, settings=settings)
    assert isinstance(events[-1], Completed), notices(events)
    assert len(wired.sent) == 2
    events = await wired.hear("[[sim: status=503]]\nhi", parameters=LOOSE, settings=settings)
    assert len(wired.sent) == 5
    assert routed(wired) == [HELD] * len(wired.sent)


async def test_the_other_endpoint_after_a_refusal_keeps_to_the_rules(wired: Wired) -> None:
    wired.refuse_responses()
    rule = ZDR | {"endpoint": "responses"}
    events = await wired.hear("[[sim: scenario=plain]]\nhi", parameters=LOOSE, settings=ruled(rule))
    assert "Hello" in shown(events)
    assert [one.path for one in wired.sent] == ["/responses", "/chat/completions"]
    assert routed(wired) == [HELD, HELD]


@ENDPOINTS
async def test_tasks_keep_to_the_rules_and_to_their_own_effort(wired: Wired, endpoint: str) -> None:
    rule = ZDR | {"effort": "high", "endpoint": endpoint, "max_output_tokens": 800, "provider": {"sort": "latency"}}
    settings = ruled(rule, TASK_MODEL_REASONING_EFFORT="low")
    await wired.hear("A title, please.", task=Task("title_generation"), settings=settings)
    (sent,) = wired.sent
    assert sent.path.endswith(endpoint.replace("_", "/"))
    assert sent.body["provider"] == {"sort": "latency", "zdr": True}
    assert sent.body["reasoning"]["effort"] == "low"


@ENDPOINTS
async def test_the_rules_of_fallback_models_hold_too(wired: Wired, endpoint: str) -> None:
    settings = ruled({"models": "google.*", "enforce": {"data_collection": "deny"}}, ZDR, DEFAULT_LLM_ENDPOINT=endpoint)
    fallback = {"model_fallback": "google.gemini-3.1-pro-preview", **LOOSE}
    await wired.hear("[[sim: scenario=plain]]\nhi", parameters=fallback, settings=settings)
    (sent,) = wired.sent
    assert "google/gemini-3.1-pro-preview" in sent.body["models"]
    assert sent.body["provider"] == HELD | {"data_collection": "deny"}


async def test_settings_that_came_past_the_checks_stop_the_request_as_well(wired: Wired) -> None:
    for task in (None, Task("title_generation")):
        request = wired.request("hi", task=task)
        broken = attrs.evolve(request.settings, MODEL_RULES="{")
        (last,) = [event async for event in wired.chat.respond(attrs.evolve(request, settings=broken))]
        assert isinstance(last, Failed)
        assert "MODEL_RULES" in last.text
        assert KEY not in last.text
        assert await wired.chat.models(broken) == ()
    assert wired.sent == []
