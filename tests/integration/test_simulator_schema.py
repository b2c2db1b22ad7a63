"""The simulator against the published schema, both ways: what it sends fits, and what does not fit it refuses.

The response schemas are flattened first (contract section 12): as published, their base is narrower than the override.
"""

import copy
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from jsonschema import Draft202012Validator

from openrouter_pipe.adapters.simulator.app import Simulator, create_app
from openrouter_pipe.adapters.simulator.catalogue import default_catalogue, endpoints
from openrouter_pipe.adapters.simulator.config import SimulatorConfig
from openrouter_pipe.adapters.simulator.scenarios import SCENARIOS
from openrouter_pipe.adapters.simulator.transport import SimulatorTransport

SCHEMA = Path(__file__).parents[1] / "data" / "openrouter-openapi.yaml"
MODELS = default_catalogue().models


@pytest.fixture(scope="module")
def document() -> Any:
    return yaml.load(SCHEMA.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@pytest.fixture(scope="module")
def flattened(document: Any) -> Any:
    schemas = document["components"]["schemas"]

    def dereferenced(schema: Any) -> Any:
        while "$ref" in schema:
            schema = schemas[schema["$ref"].rsplit("/", 1)[1]]
        return schema

    def flat(schema: Any) -> Any:
        schema = dereferenced(schema)
        if "allOf" not in schema:
            return schema
        out: Any = {"type": "object", "properties": {}, "required": []}
        for part in schema["allOf"]:
            piece = flat(part)
            if not ({"properties", "required"} & piece.keys() or piece.get("type") == "object"):
                return schema
            out["properties"].update(piece.get("properties", {}))
            out["required"] += piece.get("required", [])
        return out | {"required": sorted(set(out["required"]))}

    def fixed(value: Any) -> Any:
        if isinstance(value, list):
            return [fixed(row) for row in value]
        if not isinstance(value, dict):
            return value
        if "allOf" in value:
            merged = flat(value)
            value = value if "allOf" in merged else copy.deepcopy(merged)
        if "oneOf" in value:
            value = dict(value)
            value["anyOf"] = value.pop("oneOf")
        return {key: fixed(row) for key, row in value.items() if key not in ("example", "examples", "discriminator")}

    return {name: fixed(schema) for name, schema in schemas.items()}


def validator(schemas: Any, name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}})


def client_of(app: Simulator) -> httpx.AsyncClient:
    headers = {"authorization": "Bearer sk-or-test"}
    return httpx.AsyncClient(transport=SimulatorTransport(app), base_url="http://simulator/api/v1", headers=headers)


@pytest.fixture(scope="module")
def app() -> Simulator:
    return create_app(SimulatorConfig(schema_path=SCHEMA))


def data_of(text: str) -> list[Any]:
    return [json.loads(line.removeprefix("data: ")) for line in text.split("\n") if line.startswith("data: {")]


TOOL = {
    "type": "function",
    "name": "lookup",
    "parameters": {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]},
}


@pytest.mark.parametrize("scenario", [*SCENARIOS, "chat"])
@pytest.mark.parametrize("model", ["openai/gpt-5", "anthropic/claude-sonnet-4.5", "google/gemini-2.5-pro"])
async def test_every_event_fits(app: Simulator, flattened: Any, scenario: str, model: str) -> None:
    body = {
        "model": model,
        "input": [{"role": "user", "content": "hello there"}],
        "tools": [TOOL],
        "reasoning": {"effort": "high"},
        "stream": True,
    }
    async with client_of(app) as client:
        reply = await client.post("/responses", json=body, headers={"x-simulator-scenario": scenario})
        whole = await client.post(
            "/responses", json=body | {"stream": False}, headers={"x-simulator-scenario": scenario}
        )
    assert reply.status_code == 200, reply.text
    judge = validator(flattened, "StreamEvents")
    events = data_of(reply.text)
    # The last three error shapes are the undocumented ones: the schema knows none of them.
    published = events[:-1] if scenario in {"error-2", "error-3", "error-4"} else events
    assert published
    for event in published:
        assert judge.is_valid(event), f"{event}: {[error.message[:300] for error in judge.iter_errors(event)]}"
    assert [event["sequence_number"] for event in published] == list(range(len(published)))
    if not scenario.startswith("error"):
        assert validator(flattened, "OpenResponsesResult").is_valid(whole.json())
    else:
        assert list(whole.json()) == ["error"]


@pytest.mark.parametrize("scenario", [*SCENARIOS, "chat"])
async def test_every_chunk_fits(app: Simulator, flattened: Any, scenario: str) -> None:
    tool = {"type": "function", "function": {key: TOOL[key] for key in ("name", "parameters")}}
    body = {
        "model": "anthropic/claude-sonnet-4.5",
        "messages": [{"role": "user", "content": "hello there"}],
        "tools": [tool],
        "reasoning": {"effort": "high"},
    }
    headers = {"x-simulator-scenario": scenario}
    async with client_of(app) as client:
        reply = await client.post("/chat/completions", json=body | {"stream": True}, headers=headers)
        whole = await client.post("/chat/completions", json=body, headers=headers)
    assert reply.status_code == 200, reply.text
    judge = validator(flattened, "ChatStreamChunk")
    chunks = data_of(reply.text)
    # A code that is text is on the wire though not in the schema.
    published = chunks[:-1] if scenario == "error-3" else chunks
    assert published
    for chunk in published:
        assert judge.is_valid(chunk), f"{chunk}: {[error.message[:300] for error in judge.iter_errors(chunk)]}"
    if "choices" in whole.json():
        assert validator(flattened, "ChatResult").is_valid(whole.json())
    else:
        assert list(whole.json()) == ["error"]


def test_the_judge_of_events_can_say_no(flattened: Any) -> None:
    judge = validator(flattened, "StreamEvents")
    assert not judge.is_valid({"type": "response.output_text.delta", "sequence_number": 1, "delta": 17})
    assert not validator(flattened, "OpenResponsesResult").is_valid({"id": "gen-1"})


def test_the_catalogue_fits(document: Any) -> None:
    schemas = document["components"]["schemas"]
    model_judge, endpoint_judge = validator(schemas, "Model"), validator(schemas, "PublicEndpoint")
    assert len(MODELS) >= 300
    assert len({model["id"] for model in MODELS}) == len(MODELS)
    for model in MODELS:
        assert model_judge.is_valid(model), model["id"]
        assert all(endpoint_judge.is_valid(row) for row in endpoints(model)), model["id"]
    assert not model_judge.is_valid(dict(MODELS[0], id=None))
    vendors = {model["id"].split("/")[0] for model in MODELS}
    assert len(vendors) >= 25
    legacy = [m for m in MODELS if "include_reasoning" in m["supported_parameters"] and "reasoning" not in m]
    assert legacy
    assert any("overrides" in model["pricing"] for model in MODELS)
    assert any(model["pricing"]["prompt"] == "-1" for model in MODELS)
    assert any("tools" not in model["supported_parameters"] for model in MODELS)


async def test_account_replies_fit(app: Simulator, document: Any) -> None:
    schemas = document["components"]["schemas"]
    async with client_of(app) as client:
        for path in ("/models", "/models/user", "/models/count", "/key", "/credits", "/endpoints/zdr"):
            spec = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
            judge = Draft202012Validator({**spec, "components": {"schemas": schemas}})
            told = (await client.get(path)).json()
            assert judge.is_valid(told), f"{path}: {[error.message[:300] for error in judge.iter_errors(told)]}"
        sent = await client.post("/responses", json={"model": "sim/plain", "input": "x"})
        told = (await client.get("/generation", params={"id": sent.headers["x-generation-id"]})).json()
        judge = validator(schemas, "GenerationResponse")
        assert judge.is_valid(told), [error.message[:300] for error in judge.iter_errors(told)]


CALL = {"type": "function_call", "call_id": "c1", "name": "lookup", "arguments": "{}", "id": "fc1"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "x"}
USER = {"role": "user", "content": "hi"}
IMAGE = {"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,AA=="}]}
REASONING = {"type": "reasoning", "id": "rs_1", "summary": []}

GOOD: dict[str, dict[str, Any]] = {
    "text": {"input": "hi"},
    "image without detail": {"input": [IMAGE]},
    "numeric max_price": {"provider": {"max_price": {"prompt": 1}}},
    "unknown top-level key": {"transforms": ["middle-out"]},
    "tool_search": {"tools": [TOOL, {"type": "tool_search"}]},
    "replayed loop": {"input": [USER, REASONING, CALL, OUTPUT]},
    "call left open at the end": {"input": [USER, CALL]},
    "routing suffix": {"model": "openai/gpt-4o:nitro"},
    "fallbacks": {"models": ["openai/gpt-5"]},
    "effort": {"reasoning": {"effort": "low"}},
    "alias maps an effort": {"model": "~openai/gpt-latest", "reasoning": {"effort": "minimal"}},
    "allowed provider": {"provider": {"only": ["OpenAI"]}},
}


@pytest.mark.parametrize("name", GOOD)
async def test_good_bodies_pass(app: Simulator, name: str) -> None:
    async with client_of(app) as client:
        reply = await client.post("/responses", json={"model": "openai/gpt-5", "input": "hi"} | GOOD[name])
    assert reply.status_code == 200, reply.text


NO_TOOLS = "microsoft/wizardlm-2-8x22b"
BAD: dict[str, tuple[dict[str, Any], int, str]] = {
    "no model": ({"model": None}, 400, "No models provided"),
    "empty model": ({"model": ""}, 400, "No models provided"),
    "unknown model": ({"model": "x/y"}, 400, "x/y is not a valid model ID"),
    "unknown variant": ({"model": "openai/gpt-5:free"}, 400, "is not a valid model ID"),
    "unknown fallback": ({"models": ["x/y"]}, 400, "x/y"),
    "no input": ({"input": None}, 400, "input"),
    "empty input": ({"input": []}, 400, "input"),
    "number as input": ({"input": 17}, 400, "invalid_prompt"),
    "previous_response_id": ({"previous_response_id": "r1"}, 400, "stateless"),
    "store": ({"store": True}, 400, "invalid_prompt"),
    "audio modality": ({"modalities": ["audio"]}, 400, "invalid_prompt"),
    "unknown provider key": ({"provider": {"colour": "red"}}, 400, "invalid_prompt"),
    "chat-style tool": ({"tools": [{"type": "function", "function": {"name": "f"}}]}, 400, "invalid_prompt"),
    "tool without parameters": ({"tools": [{"type": "function", "name": "f"}]}, 400, "invalid_prompt"),
    "tool role": ({"input": [{"role": "tool", "content": "x"}]}, 400, "invalid_prompt"),
    "object arguments": ({"input": [USER, CALL | {"arguments": {}}, OUTPUT]}, 400, "invalid_prompt"),
    "reasoning without summary": ({"input": [{"type": "reasoning", "id": "rs_1"}, USER]}, 400, "invalid_prompt"),
    "bad effort word": ({"reasoning": {"effort": "extreme"}}, 400, "invalid_prompt"),
    "non-string metadata": ({"metadata": {"a": 1}}, 400, "invalid_prompt"),
    "17 metadata": ({"metadata": {str(n): "x" for n in range(17)}}, 400, "at most 16"),
    "long metadata key": ({"metadata": {"k" * 65: "x"}}, 400, "64"),
    "brackets in metadata key": ({"metadata": {"a[0]": "x"}}, 400, "brackets"),
    "long user": ({"user": "u" * 257}, 400, "invalid_prompt"),
    "output without call": ({"input": [USER, OUTPUT]}, 400, "No tool call found"),
    "output before call": ({"input": [USER, OUTPUT, CALL]}, 400, "No tool call found"),
    "call without output": ({"input": [USER, CALL, USER]}, 400, "No tool output found"),
    "one call id twice": ({"input": [USER, CALL, OUTPUT, CALL, OUTPUT]}, 400, "Duplicate"),
    "image to a text model": ({"model": "deepseek/deepseek-chat", "input": [IMAGE]}, 404, "image input"),
    "image from a text model": ({"modalities": ["image", "text"]}, 404, "output modalities"),
    "tools to a model without": ({"model": NO_TOOLS, "tools": [TOOL]}, 404, "tool use"),
    "unsupported effort": ({"reasoning": {"effort": "xhigh"}}, 400, "Supported values are"),
    "reasoning off where it must be on": ({"reasoning": {"effort": "none"}}, 400, "mandatory"),
    "effort and budget": ({"reasoning": {"effort": "low", "max_tokens": 9}}, 400, "Only one of"),
    "foreign provider": ({"provider": {"only": ["groq"]}}, 404, "No allowed providers"),
    "all ignored": ({"provider": {"ignore": ["openai", "azure"]}}, 404, "No allowed providers"),
    "private and free": (
        {"model": "openai/gpt-oss-120b:free", "provider": {"data_collection": "deny"}},
        404,
        "data policy",
    ),
    "required parameter": ({"temperature": 1, "provider": {"require_parameters": True}}, 404, "parameters"),
    "tool_search with a forced choice": (
        {"tools": [TOOL, {"type": "tool_search"}], "tool_choice": "required"},
        400,
        "tool_search",
    ),
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_bodies_are_refused(app: Simulator, name: str) -> None:
    change, status, word = BAD[name]
    body = {"model": "openai/gpt-5", "input": "hi", "stream": True} | change
    async with client_of(app) as client:
        reply = await client.post("/responses", json={key: value for key, value in body.items() if value is not None})
    assert reply.status_code == status, reply.text
    assert word in reply.text
    if word == "invalid_prompt":
        assert set(reply.json()) == {"error", "metadata"}


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"17", b"\xff"])
async def test_bodies_that_are_no_object_are_refused(app: Simulator, raw: bytes) -> None:
    async with client_of(app) as client:
        for path in ("/responses", "/chat/completions"):
            assert (await client.post(path, content=raw)).status_code == 400


CHAT_TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CHAT_BAD: dict[str, tuple[dict[str, Any], int, str]] = {
    "no messages": ({"messages": []}, 400, "messages"),
    "unknown model": ({"model": "x/y"}, 400, "is not a valid model ID"),
    "flat tool": ({"tools": [TOOL]}, 400, ""),
    "result without call": ({"messages": [USER, {"role": "tool", "tool_call_id": "c", "content": "x"}]}, 400, "c"),
    "tools to a model without": ({"model": NO_TOOLS, "tools": [CHAT_TOOL]}, 404, "tool use"),
    "image to a text model": (
        {
            "model": "deepseek/deepseek-chat",
            "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.org/i"}}]}],
        },
        404,
        "image input",
    ),
    "unsupported effort": ({"reasoning": {"effort": "xhigh"}}, 400, "Supported values are"),
    "17 metadata": ({"metadata": {str(n): "x" for n in range(17)}}, 400, "at most 16"),
}


@pytest.mark.parametrize("name", CHAT_BAD)
async def test_bad_chat_bodies_are_refused(app: Simulator, name: str) -> None:
    change, status, word = CHAT_BAD[name]
    async with client_of(app) as client:
        reply = await client.post("/chat/completions", json={"model": "openai/gpt-5", "messages": [USER]} | change)
    assert reply.status_code == status, reply.text
    assert word in reply.text


async def test_a_schema_that_is_not_the_providers_is_named(tmp_path: Path) -> None:
    wrong = tmp_path / "other.yaml"
    wrong.write_text("components: {schemas: {}}")
    async with client_of(create_app(SimulatorConfig(schema_path=wrong))) as client:
        with pytest.raises(ValueError, match="ResponsesRequest"):
            await client.post("/responses", json={"model": "sim/plain", "input": "x"})
