"""Every variable of the template language, filled by a failure over a real socket, in an operator's own template."""

from __future__ import annotations

import json
import re

import pytest
from dependency_injector import providers

from broken_servers import END, HEAD, Behaviour, chunk, goes_silent, hangs_up, says, serving, status
from openrouter_pipe.adapters.memory.provider import ScriptedCatalog, card_entry
from openrouter_pipe.adapters.openrouter import HttpClients
from openrouter_pipe.domain.errors.templates import KNOWN
from openrouter_pipe.ports.settings import SETTINGS, Kind
from pipe_house import House

TEMPLATE = "\n".join(f"{name}=[{{{name}}}]" for name in sorted(KNOWN))
TEMPLATES = {setting.name: TEMPLATE for setting in SETTINGS if setting.kind is Kind.TEMPLATE}
ALWAYS = {"error_id", "timestamp", "session_id", "user_id", "support_email", "support_url"}
ENTRY = {**card_entry("vendor/model", "tools", context_length=8192), "top_provider": {"max_completion_tokens": 1024}}

REJECTED = status(
    400,
    "The prompt is too long: it exceeds the context length",
    "X-Request-Id: req-upstream-1",
    metadata={
        "provider_name": "Acme",
        "error_type": "context_length_exceeded",
        "reasons": ["violence", "spam"],
        "flagged_input": "the flagged words",
        "remedy_hint": "Shorten it.",
        "raw": json.dumps({"error": {"type": "upstream_kind", "message": "upstream words"}}),
    },
)
LIMITED = status(429, "Slow down", "Retry-After: 3", metadata={"limit_source": "openrouter_free_tier_per_minute"})
POOR = status(402, "No credits", metadata={"required_cost": 0.25, "account_balance": 0.01})
_CHUNK = {
    "id": "gen-9",
    "created": 1_700_000_000,
    "model": "vendor/model-2",
    "provider": "Streamer",
    "choices": [{"index": 0, "delta": {}, "finish_reason": "error", "native_finish_reason": "overheated"}],
    "error": {"code": 502, "message": "It broke", "metadata": {"provider_name": "Streamer"}},
}
BROKEN = says(HEAD + chunk(b"data: " + json.dumps(_CHUNK).encode() + b"\n\ndata: [DONE]\n\n") + END)
_BEGUN = {
    **{name: value for name, value in _CHUNK.items() if name != "error"},
    "choices": [{"index": 0, "delta": {"content": "Hal"}, "finish_reason": None}],
}
_BLAME = {"error": {"code": 502, "message": "It broke", "metadata": {"provider_name": "Acme"}}}


def _stream(*events: dict) -> Behaviour:
    return says(HEAD + b"".join(chunk(b"data: " + json.dumps(event).encode() + b"\n\n") for event in events) + END)


CHAT = {"DEFAULT_LLM_ENDPOINT": "chat_completions"}

CASES: dict[str, tuple[Behaviour, dict, dict[str, str]]] = {
    "provider": (
        REJECTED,
        {},
        {
            "heading": "The request was refused by moderation",
            "detail": "upstream words",
            "sanitized_detail": "upstream words",
            "provider": "Acme",
            "model_identifier": "vendor/model",
            "requested_model": "router.vendor.model",
            "api_model_id": "vendor/model",
            "normalized_model_id": "vendor.model",
            "openrouter_code": "400",
            "openrouter_message": "The prompt is too long",
            "upstream_type": "upstream_kind",
            "upstream_message": "upstream words",
            "reason": "violence",
            "request_id": "req-upstream-1",
            "request_id_reference": "req-upstream-1",
            "moderation_reasons": "violence; spam",
            "flagged_excerpt": "the flagged words",
            "raw_body": "flagged",
            "context_limit_tokens": "8192",
            "max_output_tokens": "1024",
            "include_model_limits": "true",
            "metadata_json": "remedy",
            "provider_raw_json": "upstream words",
            "diagnostics": "Shorten it.",
            "error_type": "context_length_exceeded",
            "status_code": "400",
        },
    ),
    "429": (LIMITED, {}, {"retry_after_seconds": "3", "rate_limit_type": "free models, requests per minute"}),
    "402": (POOR, {}, {"required_cost": "0.25", "account_balance": "0.01"}),
    "stream": (
        BROKEN,
        {"DEFAULT_LLM_ENDPOINT": "chat_completions"},
        {
            "native_finish_reason": "overheated",
            "error_chunk_id": "gen-9",
            "error_chunk_created": "2023-11-14T22:13:20Z",
            "streaming_provider": "Streamer",
            "streaming_model": "vendor/model-2",
        },
    ),
    "timeouts": (goes_silent(), {"HTTP_SOCK_READ_SECONDS": 1}, {"timeout_seconds": "1", "endpoint": "/v1/responses"}),
    "connection": (hangs_up, {}, {"endpoint": "http://127.0.0.1:"}),
    "restricted": (
        hangs_up,
        {"MODEL_ID": "other/model", "FREE_MODEL_FILTER": "exclude", "TOOL_CALLING_FILTER": "only"},
        {
            "restriction_reasons": "MODEL",
            "model_id_filter": "other/model",
            "free_model_filter": "exclude",
            "tool_calling_filter": "only",
        },
    ),
}
ELSEWHERE = {"max_function_call_loops"}
"""Told inside an answer and not at its end: see test_conversation_turns."""


async def read(behaviour: Behaviour, *, recent: bool = True, **valves: object) -> dict[str, str]:
    async with serving(behaviour) as server:
        catalogue = ScriptedCatalog((ENTRY, card_entry("other/model")))
        house = House(
            recent=recent, overrides={"provider": None, "catalog_source": catalogue}, BASE_URL=server.url, **valves
        )
        house.container.clients.override(providers.Singleton(HttpClients, aiohttp=False))
        text = await house.read()
    return dict(re.findall(r"^(\w+)=\[(.*?)\]$", text.replace("\\", ""), re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("recent", [True, False], ids=["0.12.4", "0.6.28"])
@pytest.mark.parametrize("case", CASES)
async def test_what_a_failure_fills(case, recent):
    behaviour, valves, expected = CASES[case]
    found = await read(behaviour, recent=recent, **TEMPLATES, **valves)
    assert found.keys() >= ALWAYS
    assert {name for name in expected if expected[name] not in found.get(name, "")} == set(), found


def test_no_variable_is_forgotten():
    assert {name for _, _, expected in CASES.values() for name in expected} == KNOWN - ALWAYS - ELSEWHERE


async def test_the_provider_that_the_stream_names_is_not_the_one_that_the_error_blames():
    found = await read(_stream(_BEGUN, _BLAME), **TEMPLATES, **CHAT)
    assert (found["provider"], found["streaming_provider"]) == ("Acme", "Streamer")
    found = await read(_stream({**_CHUNK, **_BLAME}), **TEMPLATES, **CHAT)
    assert (found["provider"], found["streaming_provider"]) == ("Acme", "Streamer")


async def test_a_stream_that_breaks_off_still_tells_who_sent_it():
    found = await read(_stream(_BEGUN), **TEMPLATES, **CHAT)
    assert (found["error_type"], found["streaming_provider"]) == ("stream_interrupted", "Streamer")
    assert "openrouter_message" not in found


@pytest.mark.parametrize(
    ("behaviour", "valves"), [(hangs_up, {}), (goes_silent(), {"HTTP_SOCK_READ_SECONDS": 1})], ids=["refused", "silent"]
)
async def test_where_nothing_was_answered_nothing_is_put_into_openrouters_mouth(behaviour, valves):
    found = await read(behaviour, **TEMPLATES, **valves)
    assert "detail" in found
    assert not found.keys() & {"openrouter_message", "openrouter_code", "upstream_message", "raw_body"}


@pytest.mark.parametrize(
    ("message", "limited"),
    [
        ("Rate limit exceeded: free-models-per-day. Add 10 credits", "free-models-per-day"),
        ("Rate limit exceeded: free-models-per-day-high-balance. ", "free-models-per-day-high-balance"),
        ("Rate limit exceeded: wait a minute", None),
    ],
)
async def test_what_was_limited_is_read_from_the_words_where_nothing_else_tells(message, limited):
    found = await read(status(429, message, "Retry-After: 30"), HTTP_TOTAL_TIMEOUT_SECONDS=1, **TEMPLATES)
    assert found.get("rate_limit_type") == limited


@pytest.mark.parametrize("name", TEMPLATES)
async def test_without_values_nothing_of_a_template_is_left_over(name):
    """Broken blocks, unknown names and 1 MB of text in the operator's own template end as a text all the same."""
    hostile = "{{#if heading}}{unknown} {heading\n{{/if}}{{/if}}{{#if}}\n" + "{detail}" * 1000 + "x" * 1_000_000
    async with serving(REJECTED) as server:
        house = House(overrides={"provider": None}, BASE_URL=server.url, **{name: hostile})
        text = await house.read()
    assert "{unknown}" in text or "What to do" in text
    assert house.nothing_held()
