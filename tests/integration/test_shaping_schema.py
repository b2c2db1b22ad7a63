"""Shaped requests against the published schema and the simulator's rules, and our lists of fields against the schema."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml

from openrouter_pipe.adapters.openrouter import chat, responses
from openrouter_pipe.adapters.simulator.catalogue import default_catalogue
from openrouter_pipe.adapters.simulator.rules import refusal
from openrouter_pipe.adapters.simulator.schema import load_judge
from openrouter_pipe.adapters.simulator.turn import read_turn
from openrouter_pipe.domain.catalog.cards import read_card
from openrouter_pipe.domain.catalog.catalog import Catalog, ResolvedModel
from openrouter_pipe.domain.catalog.selection import SelectionPolicy, exposed
from openrouter_pipe.domain.shaping import documented
from openrouter_pipe.domain.shaping.plugins import FIELDS
from openrouter_pipe.domain.shaping.policy import ShapingPolicy
from openrouter_pipe.domain.shaping.provider_preferences import PREFERENCES
from openrouter_pipe.domain.shaping.shape import shape
from openrouter_pipe.ports.catalog import ModelCard
from openrouter_pipe.ports.chat import ChatRequest, Identity
from openrouter_pipe.ports.items import ImagePart, MessageItem, Role, TextPart
from openrouter_pipe.ports.provider import Endpoint, FunctionTool, ProviderRequest
from openrouter_pipe.ports.settings import read_settings

DOCUMENT = Path(__file__).parents[1] / "data" / "openrouter-openapi.yaml"
WIRES = {Endpoint.RESPONSES: ("responses", responses.body), Endpoint.CHAT_COMPLETIONS: ("chat", chat.body)}
SETTINGS = read_settings({})
PICTURE = ImagePart("data:image/png;base64,iVBORw0KGgo=")
TOOL = FunctionTool("look_up", "Looks up", {"type": "object", "properties": {"q": {"type": "string"}}}, True)
FORMAT = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True}}
OFF_SCHEMA = frozenset({"audio", "x_search_filter"})
"""Forwarded because the documentation names them although the schema does not."""
REFUSED_TOOLS = frozenset({"openrouter:bash"})
"""In the schema, yet answered with an error by these endpoints."""
EVERYONE = Identity("user", "session", "chat", "message")
IDENTIFIED = {"send_end_user_id": True, "send_session_id": True, "send_chat_id": True, "send_message_id": True}


@lru_cache(maxsize=1)
def schemas() -> dict[str, Any]:
    with DOCUMENT.open("rb") as file:
        return yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["components"]["schemas"]


@pytest.mark.parametrize(
    ("endpoint", "name"), [(Endpoint.RESPONSES, "ResponsesRequest"), (Endpoint.CHAT_COMPLETIONS, "ChatRequest")]
)
def test_our_lists_of_fields_are_those_of_the_schema(endpoint: Endpoint, name: str) -> None:
    groups = [
        documented.FORWARDED[endpoint] - OFF_SCHEMA,
        documented.MAPPED[endpoint],
        documented.WITHHELD[endpoint],
    ]
    assert sum(map(len, groups)) == len(frozenset().union(*groups)), "a field stands in two groups"
    assert frozenset().union(*groups) == frozenset(schemas()[name]["properties"])


def test_our_other_lists_are_those_of_the_schema() -> None:
    assert frozenset(schemas()["ProviderPreferences"]["properties"]) == PREFERENCES
    plugins = schemas()["ResponsesRequest"]["properties"]["plugins"]["items"]["discriminator"]["mapping"]
    known = {name: {*fields, "id"} for name, fields in FIELDS.items()}
    assert known == {name: set(schemas()[ref.rpartition("/")[2]]["properties"]) for name, ref in plugins.items()}
    refused = REFUSED_TOOLS | {"function"}
    for endpoint, tool in (
        (Endpoint.RESPONSES, schemas()["ResponsesRequest"]["properties"]["tools"]["items"]),
        (Endpoint.CHAT_COMPLETIONS, schemas()["ChatFunctionTool"]),
    ):
        assert kinds(tool) - refused == documented.HOSTED_TOOLS[endpoint]


def kinds(schema: dict[str, Any]) -> frozenset[str]:
    """Every value that ``type`` may take in a schema of alternatives."""
    if "$ref" in schema:
        schema = schemas()[schema["$ref"].rpartition("/")[2]]
    found = words(schema.get("properties", {}).get("type", {}))
    return found.union(*(kinds(part) for key in ("anyOf", "oneOf", "allOf") for part in schema.get(key, ())))


def words(schema: dict[str, Any]) -> frozenset[str]:
    if "$ref" in schema:
        schema = schemas()[schema["$ref"].rpartition("/")[2]]
    return frozenset(schema.get("enum", ())).union(*(words(part) for part in schema.get("anyOf", ())))


class Judge:
    """Schema and rules; bodies that differ in the model alone are judged by the schema once."""

    def __init__(self) -> None:
        self._schema = load_judge(DOCUMENT)
        self._seen: set[str] = set()

    def complaints(self, request: ProviderRequest) -> list[Any]:
        wire, encode = WIRES[request.endpoint]
        body = json.loads(json.dumps(encode(request), default=dict))
        key = wire + json.dumps(body | {"model": "a/b"}, sort_keys=True)
        if key not in self._seen:
            self._seen.add(key)
            if issues := self._schema.issues(wire, body):
                return issues
        entry = default_catalogue().resolve(request.model)
        if entry is None:
            return [f"{request.model} is not in the catalogue"]
        answer = refusal(read_turn(wire, body), entry)
        return [] if answer is None else [answer]


def catalog() -> Catalog:
    return Catalog(card for card in map(read_card, default_catalogue().models) if card is not None)


def cases(card: ModelCard) -> list[tuple[dict[str, Any], tuple[Any, ...], tuple[FunctionTool, ...], bool]]:
    """Parameters, user parts, tools, search: what this model can take, one feature at a time."""
    text = (TextPart("hi"),)
    made: list[tuple[dict[str, Any], tuple[Any, ...], tuple[FunctionTool, ...], bool]] = [
        ({}, text, (), False),
        ({"response_format": FORMAT, "temperature": 1, "max_tokens": 5000}, text, (), False),
        ({"model_fallback": "openai/gpt-4o", "provider": {"sort": "price"}}, text, (TOOL,), True),
    ]
    if "image" in card.capabilities.inputs:
        made.append(({}, (*text, PICTURE), (), False))
    return made


@pytest.mark.parametrize("endpoint", Endpoint)
@pytest.mark.parametrize("effort", ["none", "minimal", "low", "medium", "high", "xhigh"])
def test_every_shaped_body_for_every_model_is_valid(effort: str, endpoint: Endpoint) -> None:
    judge, models = Judge(), catalog()
    offered = exposed(models, SelectionPolicy())
    assert len(offered) >= 300
    policy = ShapingPolicy(reasoning_effort=effort, **IDENTIFIED)
    asked = 0
    for card in offered:
        resolved = models.resolve(card.id)
        assert resolved == ResolvedModel(card.id, card, card.id)
        for parameters, parts, tools, search in cases(card):
            chat_request = ChatRequest(
                card.id, (), SETTINGS, "r", parameters=parameters, identity=EVERYONE, web_search=search
            )
            items = (MessageItem(Role.SYSTEM, (TextPart("Be kind."),)), MessageItem(Role.USER, parts))
            request = shape(chat_request, resolved, items, tools, endpoint, policy).request
            assert judge.complaints(request) == [], (card.id, effort, parameters)
            assert_reasoning_is_supported(request, card)
            asked += request.reasoning is not None
    assert asked > 300


def assert_reasoning_is_supported(request: ProviderRequest, card: ModelCard) -> None:
    reasoning, support = request.reasoning, card.reasoning
    if reasoning is None:
        return
    if reasoning.legacy:
        assert card.capabilities.legacy_reasoning
        assert not card.capabilities.reasoning
        return
    assert card.capabilities.reasoning
    assert reasoning.effort is None or reasoning.max_tokens is None
    if reasoning.effort is not None and support.efforts:
        assert reasoning.effort in support.efforts
    if reasoning.max_tokens is not None:
        assert support.supports_max_tokens is not False


JUNK = ["x", -1, 0, 1.5, True, [], [7], {}, {"type": 7}, {"engine": "x"}, [{"type": "x", "parameters": 5}]]


@pytest.mark.parametrize("endpoint", Endpoint)
def test_plugins_with_junk_in_every_field_leave_as_the_schema_wants_them(endpoint: Endpoint) -> None:
    judge, models = Judge(), catalog()
    resolved = models.resolve("openai/gpt-5.6-luna")
    assert resolved is not None
    items = (MessageItem(Role.USER, (TextPart("hi"),)),)
    for junk in JUNK:
        plugins = [{"id": name, **dict.fromkeys(fields, junk)} for name, fields in FIELDS.items()]
        chat_request = ChatRequest(
            resolved.card.id, (), SETTINGS, "r", parameters={"plugins": plugins}, identity=EVERYONE
        )
        request = shape(chat_request, resolved, items, (), endpoint, ShapingPolicy()).request
        assert len(request.plugins) == len(FIELDS)
        assert judge.complaints(request) == [], junk


RICH: dict[str, Any] = {
    "temperature": "0.7",
    "top_p": 0.9,
    "top_k": 40,
    "frequency_penalty": 0,
    "presence_penalty": 0.1,
    "top_logprobs": 2,
    "logprobs": True,
    "seed": "7",
    "stop": ["a", "b"],
    "min_p": 0.1,
    "top_a": 0.1,
    "repetition_penalty": 1.1,
    "logit_bias": {"5": 1},
    "prediction": {"type": "content", "content": "x"},
    "provider": {"order": "openai", "max_price": {"prompt": 1}, "preferred_max_latency": {"p90": 3}, "zdr": None},
    "plugins": [{"id": "file-parser", "pdf": {"engine": "native"}}, {"id": "response-healing", "enabled": None}],
    "models": ["openai/gpt-4o"],
    "service_tier": "flex",
    "route": "fallback",
    "truncation": "auto",
    "max_tool_calls": 3,
    "include": ["reasoning.encrypted_content"],
    "prompt": {"id": "p"},
    "safety_identifier": "x",
    "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "explicit"},
    "cache_control": {"type": "ephemeral", "ttl": "1h"},
    "trace": {"trace_id": "t"},
    "debug": {"echo_upstream_body": True},
    "image_config": {"aspect_ratio": "1:1"},
    "modalities": ["text"],
    "stop_server_tools_when": [{"type": "step_count_is", "step_count": 2}],
    "text": {"verbosity": "low"},
    "response_format": FORMAT,
    "reasoning": {"effort": "high", "summary": "auto", "context": "auto"},
    "parallel_tool_calls": "true",
    "tools": [
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}},
        {"type": "web_search"},
    ],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "store": True,
    "background": False,
    "previous_response_id": "x",
    "metadata": {"[": 1},
    "user": "x" * 999,
    "nonsense": {},
}


@pytest.mark.parametrize("endpoint", Endpoint)
def test_every_documented_parameter_at_once_is_valid_and_forwarded(endpoint: Endpoint) -> None:
    models = catalog()
    resolved = models.resolve("openai/gpt-5.4")
    assert resolved is not None
    given = dict(RICH)
    chat_request = ChatRequest("x", (), SETTINGS, "r", parameters=given)
    shaped = shape(chat_request, resolved, (MessageItem(Role.USER, (TextPart("hi"),)),), (), endpoint, ShapingPolicy())
    assert shaped.warnings == ()
    assert Judge().complaints(shaped.request) == []
    assert frozenset(shaped.request.parameters) == documented.FORWARDED[endpoint] - OFF_SCHEMA


@pytest.mark.parametrize("endpoint", Endpoint)
def test_the_judge_can_say_no(endpoint: Endpoint) -> None:
    models = catalog()
    resolved = models.resolve("openai/gpt-5.4")
    assert resolved is not None
    good = shape(
        ChatRequest("x", (), SETTINGS, "r"),
        resolved,
        (MessageItem(Role.USER, (TextPart("hi"),)),),
        (),
        endpoint,
        ShapingPolicy(),
    ).request

    for bad in ({"parameters": {"temperature": "hot"}}, {"plugins": ({"id": "nope"},)}, {"model": "no/such"}):
        assert Judge().complaints(attrs.evolve(good, **bad)), bad
