"""What callers set: forwarded under its name, mapped, corrected or left out with one warning; never a crash."""

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_pipe.domain.catalog.catalog import ResolvedModel
from openrouter_pipe.domain.shaping import documented
from openrouter_pipe.domain.shaping.parameters import forwarded
from openrouter_pipe.domain.shaping.policy import ShapingPolicy
from openrouter_pipe.domain.shaping.shape import Shaped, shape
from openrouter_pipe.ports.catalog import Capabilities, ModelCard
from openrouter_pipe.ports.chat import ChatRequest
from openrouter_pipe.ports.items import MessageItem, Role, TextPart
from openrouter_pipe.ports.provider import Endpoint, OutputFormat
from openrouter_pipe.ports.settings import read_settings

SETTINGS = read_settings({})
CARD = ModelCard("a/b", "B", max_output_tokens=9000, capabilities=Capabilities(tools=True, reasoning=True))
ITEMS = (MessageItem(Role.USER, (TextPart("hi"),)),)
RESPONSES, CHAT = Endpoint.RESPONSES, Endpoint.CHAT_COMPLETIONS


def shaped(parameters: dict[str, Any], endpoint: Endpoint = RESPONSES, **policy: Any) -> Shaped:
    request = ChatRequest("a.b", (), SETTINGS, "r", parameters=parameters)
    return shape(request, ResolvedModel("a.b", CARD, "a/b"), ITEMS, (), endpoint, ShapingPolicy(**policy))


@pytest.mark.parametrize(
    ("given_parameters", "endpoint", "kept"),
    [
        ({"temperature": "0.5", "top_p": 1, "top_k": "40"}, RESPONSES, {"temperature": 0.5, "top_p": 1, "top_k": 40}),
        ({"temperature": 99, "top_p": -3}, RESPONSES, {"temperature": 99, "top_p": -3}),
        ({"temperature": "", "top_p": None, "top_k": "  "}, RESPONSES, {}),
        (
            {"seed": "7", "stop": "END", "min_p": 0.1, "top_a": "0.2"},
            CHAT,
            {"seed": 7, "stop": "END", "min_p": 0.1, "top_a": 0.2},
        ),
        ({"seed": 7, "stop": ["a"], "logit_bias": {}, "min_p": 0.1, "repetition_penalty": 1}, RESPONSES, {}),
        (
            {"stop": ["a", "b"], "logit_bias": {"5": "-100"}, "logprobs": "true"},
            CHAT,
            {"stop": ("a", "b"), "logit_bias": {"5": -100}, "logprobs": True},
        ),
        (
            {"provider": {"order": "openai, azure", "zdr": "true", "max_price": {"prompt": 1.5}, "sort": None}},
            CHAT,
            {"provider": {"order": ("openai", "azure"), "zdr": True, "max_price": {"prompt": "1.5"}}},
        ),
        (
            {"provider": '{"sort": {"by": "Price", "partition": "none"}}'},
            RESPONSES,
            {"provider": {"sort": {"by": "price", "partition": "none"}}},
        ),
        (
            {"service_tier": "Flex", "route": "fallback", "truncation": "auto"},
            RESPONSES,
            {"service_tier": "flex", "route": "fallback", "truncation": "auto"},
        ),
        (
            {"cache_control": {"type": "ephemeral", "ttl": "1h", "x": 1}},
            RESPONSES,
            {"cache_control": {"type": "ephemeral", "ttl": "1h"}},
        ),
        (
            {"modalities": ["text", "image"], "image_config": {"aspect_ratio": "1:1", "n": None}},
            CHAT,
            {"modalities": ("text", "image"), "image_config": {"aspect_ratio": "1:1"}},
        ),
        (
            {
                "stop_server_tools_when": [
                    {"type": "step_count_is", "step_count": "3", "more": 1},
                    {"type": "max_cost", "max_cost_in_dollars": 0.5},
                ]
            },
            RESPONSES,
            {
                "stop_server_tools_when": (
                    {"type": "step_count_is", "step_count": 3},
                    {"type": "max_cost", "max_cost_in_dollars": 0.5},
                )
            },
        ),
        (
            {"prediction": {"type": "content", "content": [{"type": "text", "text": "a"}]}},
            CHAT,
            {"prediction": {"type": "content", "content": [{"type": "text", "text": "a"}]}},
        ),
        ({"trace": {"trace_id": "t", "span_name": 5, "own": 5}}, CHAT, {"trace": {"trace_id": "t", "own": 5}}),
        (
            {"user": "me", "session_id": "s", "metadata": {"a": "b"}, "store": True, "previous_response_id": "x"},
            RESPONSES,
            {},
        ),
        ({"frobnicate": 1, "web_search_options": {}, "n": 2}, CHAT, {}),
    ],
)
def test_documented_parameters_leave_and_nothing_else(
    given_parameters: dict[str, Any], endpoint: Endpoint, kept: dict[str, Any]
) -> None:
    result = shaped(given_parameters, endpoint)
    assert result.request.parameters == kept
    assert result.warnings == ()


@pytest.mark.parametrize(
    ("name", "bad", "endpoint"),
    [
        *[("top_k", bad, RESPONSES) for bad in ("abc", 1.5, True, [], {}, "1.5", float("nan"))],
        *[("max_tokens", bad, RESPONSES) for bad in ("lots", 1.5, False, {}, float("inf"), "9" * 5000, 0, -5)],
        *[("max_output_tokens", bad, CHAT) for bad in (0, "-1")],
        *[("temperature", bad, CHAT) for bad in ("hot", True, [0.5], "nan", 10**400)],
        *[
            ("response_format", bad, CHAT)
            for bad in (
                "xml",
                5,
                [],
                {},
                {"type": "json_schema"},
                {"type": "json_schema", "json_schema": {"name": "x"}},
                {"type": "grammar"},
            )
        ],
        *[
            ("tool_choice", bad, RESPONSES)
            for bad in (
                "sometimes",
                5,
                [],
                {},
                {"type": "function"},
                {"type": "function", "name": "other"},
                {"type": "openrouter:web_search"},
                {"type": ["shell"]},
                {"type": {}},
                {"type": "allowed_tools", "mode": ["auto"], "tools": []},
            )
        ],
        *[("plugins", bad, RESPONSES) for bad in ("web", 5, {"id": "web"}, ["nope"], [5], [{}], [{"id": "x" * 500}])],
        *[("reasoning", bad, RESPONSES) for bad in ("deeply", 5, [])],
        *[("stop", bad, CHAT) for bad in (5, [], ["a"] * 5, [1], "\ud800")],
        *[("logit_bias", bad, CHAT) for bad in ("x", [1], {"a": "b"})],
        *[
            ("provider", bad, CHAT)
            for bad in (
                "openai",
                5,
                [],
                {"unknown": 1},
                {"zdr": "perhaps"},
                {"order": [1]},
                {"quantizations": ["int3"]},
            )
        ],
        *[("modalities", bad, CHAT) for bad in ("video", ["smell"], 5)],
        ("modalities", ["audio"], RESPONSES),
        *[
            ("cache_control", bad, endpoint)
            for bad in ({"type": "eternal"}, {"type": ["ephemeral"]}, {"type": "ephemeral", "ttl": ["1h"]})
            for endpoint in (RESPONSES, CHAT)
        ],
        ("prompt_cache_options", {"mode": "x"}, RESPONSES),
        ("include", ["everything"], RESPONSES),
        ("prompt", {}, RESPONSES),
        ("prompt", {"id": "p", "variables": "v"}, RESPONSES),
        *[("prediction", {"type": "content", **bad}, CHAT) for bad in ({}, {"content": [{"type": "text"}]})],
        *[
            ("stop_server_tools_when", bad, RESPONSES)
            for bad in (
                [],
                [5],
                [{"type": "boredom"}],
                [{"type": "max_cost"}],
                [{"type": "has_tool_call", "tool_name": "f"}, {"type": "step_count_is", "step_count": True}],
            )
        ],
        ("response_format", {"type": "grammar", "grammar": "root ::= x"}, RESPONSES),
        ("response_format", {"type": "python"}, RESPONSES),
        ("image_config", {"a": {}}, RESPONSES),
        ("debug", {"echo_upstream_body": "x"}, RESPONSES),
        ("service_tier", "gold", CHAT),
        ("verbosity", "chatty", RESPONSES),
        ("text", [1], RESPONSES),
        ("tools", "hammer", RESPONSES),
        ("tools", [{"type": "function", "name": "has space"}], RESPONSES),
        ("tools", [{"type": "hammer"}], RESPONSES),
        ("tools", [{"type": "openrouter:bash"}], RESPONSES),
        ("tools", [{"type": "function", "function": {"name": "f", "parameters": []}}], CHAT),
        ("instructions", 5, RESPONSES),
        ("preset", "../x", RESPONSES),
        ("models", [1], RESPONSES),
        ("disable_native_websearch", "maybe", RESPONSES),
        ("parallel_tool_calls", "maybe", RESPONSES),
        ("include_reasoning", "maybe", RESPONSES),
    ],
)
def test_bad_values_cost_one_warning_that_names_the_field(name: str, bad: Any, endpoint: Endpoint) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    result = shaped({"tools": [tool], name: bad}, endpoint)
    assert len(result.warnings) == 1
    assert name in result.warnings[0]
    assert len(result.warnings[0]) < 400


def test_privacy_wishes_that_cannot_be_read_are_taken_at_their_strictest() -> None:
    wishes = {"data_collection": "nope", "zdr": "perhaps", "allow_fallbacks": 7, "sort": "alphabet"}
    result = shaped({"provider": wishes})
    assert result.request.parameters == {"provider": {"data_collection": "deny", "zdr": True, "allow_fallbacks": False}}
    assert len(result.warnings) == 4


@pytest.mark.parametrize("endpoint", Endpoint)
def test_what_is_dropped_is_named_once_at_debug(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        forwarded({"frobnicate": 1, "messages": [], "x": None, "max_tokens": 5, "y" * 500: 1}, endpoint, [].append)
    assert len(caplog.records) == 1
    assert "frobnicate" in caplog.text
    assert "messages" not in caplog.text
    assert "y" * 65 not in caplog.text


@pytest.mark.parametrize(
    ("parameters", "policy", "limit"),
    [
        ({}, {}, None),
        ({"max_tokens": "500"}, {}, 500),
        ({"max_completion_tokens": 6, "max_tokens": 5}, {}, 6),
        ({"max_output_tokens": 7, "max_completion_tokens": 6, "max_tokens": 5}, {}, 7),
        ({"max_output_tokens": "", "max_tokens": 5}, {}, 5),
        ({}, {"use_model_max_output_tokens": True}, 9000),
        ({"max_tokens": 5}, {"use_model_max_output_tokens": True}, 5),
        ({"max_tokens": 1e3}, {}, 1000),
    ],
)
def test_the_answers_limit(parameters: dict[str, Any], policy: dict[str, Any], limit: int | None) -> None:
    for endpoint in Endpoint:
        assert shaped(parameters, endpoint, **policy).request.max_output_tokens == limit


SCHEMA = {"type": "object", "properties": {"a": {"type": ["string", "null"]}}}


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"response_format": {"type": "json_object"}}, OutputFormat("json_object")),
        ({"response_format": "json_object"}, OutputFormat("json_object")),
        ({"text": {"format": {"type": "text"}}}, OutputFormat("text")),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": SCHEMA, "strict": True},
                }
            },
            OutputFormat("json_schema", "n", SCHEMA, True),
        ),
        (
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "description": "d"}}},
            OutputFormat("json_schema", "n", SCHEMA, None, "d"),
        ),
        ({"text": {"format": {"type": "text"}}, "response_format": {"type": "json_object"}}, OutputFormat("text")),
        (
            {"text": {"format": {"type": "json_schema", "name": "n" * 65, "schema": SCHEMA}}},
            OutputFormat("json_schema", "n" * 64, SCHEMA),
        ),
        ({"response_format": None, "text": {}}, None),
    ],
)
def test_structured_output_in_either_spelling(parameters: dict[str, Any], expected: OutputFormat | None) -> None:
    for endpoint in Endpoint:
        assert shaped(parameters, endpoint).request.output_format == expected


def test_formats_that_only_the_chat_endpoint_has() -> None:
    for given_format in ({"type": "grammar", "grammar": "root ::= x"}, {"type": "python"}):
        assert shaped({"response_format": given_format}, CHAT).request.output_format == OutputFormat(
            given_format["type"], grammar=given_format.get("grammar", "")
        )
        assert shaped({"response_format": given_format}, RESPONSES).request.output_format is None


def test_verbosity_in_either_spelling() -> None:
    assert shaped({"verbosity": "High"}).request.verbosity == "high"
    assert shaped({"text": {"verbosity": "low"}, "verbosity": "high"}, CHAT).request.verbosity == "low"


def test_instructions_and_preset() -> None:
    request = shaped({"instructions": "Be brief.", "preset": "my-preset"}).request
    assert (request.instructions, request.model) == ("Be brief.", "a/b@preset/my-preset")


NAMES = st.sampled_from(
    sorted(documented.UNDERSTOOD.union(*documented.FORWARDED.values()) | {"reasoning_effort", "nonsense"})
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "id", "name", "function", "format", "effort", "max_tokens", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(NAMES, JSON, max_size=8), st.sampled_from(Endpoint))
def test_no_parameters_break_it(parameters: dict[str, Any], endpoint: Endpoint) -> None:
    request = shaped(parameters, endpoint).request
    assert documented.FORWARDED[endpoint].issuperset(request.parameters)
    assert None not in request.parameters.values()
    assert (request.user, request.session_id, request.metadata) == (None, None, {})


def test_of_quantizations_only_those_that_there_are_not_are_left_out() -> None:
    result = shaped({"provider": {"quantizations": ["FP8", "int3", "bf16", "fp8", "int2"]}})
    assert result.request.parameters == {"provider": {"quantizations": ("fp8", "bf16")}}
    [warning] = result.warnings
    assert "int3" in warning
    assert "int2" in warning
