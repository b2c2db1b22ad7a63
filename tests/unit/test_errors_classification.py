"""Classification of every failure, and what is shown of it."""

import json
from datetime import UTC, datetime

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from openrouter_pipe.adapters.openrouter import faults
from openrouter_pipe.domain.errors import classify as errors
from openrouter_pipe.domain.errors.classify import ErrorSubject, classify, counts_as_failure
from openrouter_pipe.domain.errors.policy import ErrorPolicy
from openrouter_pipe.domain.errors.report import failure, notice
from openrouter_pipe.domain.redaction import Redactor
from openrouter_pipe.ports.catalog import ModelCard
from openrouter_pipe.ports.provider import FaultKind, ProviderFault
from openrouter_pipe.ports.settings import SETTINGS_BY_NAME, Secret

CARD = ModelCard("vendor/m", "M", context_length=8192, max_output_tokens=1024)
SUBJECT = ErrorSubject("vendor.m", "vendor/m", "vendor.m", CARD, "session-1", "user-1")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ID = "0123456789abcdef"


def fault(status=None, kind=FaultKind.STATUS, message="No.", **more) -> ProviderFault:
    return ProviderFault(kind, message, status=status, **more)


def told(status=None, message="No.", **error) -> ProviderFault:
    """The fault that the adapter makes of an error in the provider's own words; without a status one inside a stream."""
    body, context = {"error": {"message": message, **error}}, faults.Context(now=NOW.timestamp())
    return (
        faults.from_event(body, context)
        if status is None
        else faults.from_status(status, json.dumps(body).encode(), context)
    )


def shown(report, policy=ErrorPolicy(), redactor=Redactor()):  # noqa: B008 - immutable
    return failure(report, policy, SUBJECT, ID, NOW, redactor)


STATUSES = [
    (400, "openrouter_error"), (401, "authentication"), (402, "insufficient_credits"), (403, "authentication"),
    (404, "openrouter_error"), (408, "server_timeout"), (409, "openrouter_error"), (412, "openrouter_error"),
    (413, "payload_too_large"), (422, "openrouter_error"), (429, "rate_limit"), (500, "service_error"),
    (502, "service_error"), (503, "service_error"), (504, "service_error"), (524, "service_error"), (529, "service_error"),
]  # fmt: skip


@pytest.mark.parametrize("kind", [FaultKind.STATUS, FaultKind.STREAM])
@pytest.mark.parametrize(("status", "code"), STATUSES)
def test_status(kind, status, code):
    report = classify(fault(status, kind), SUBJECT)
    assert (report.code, report.status) == (code, status)
    failed = shown(report)
    assert f"Error ID: `{ID}`" in failed.text
    assert "2026-01-02T03:04:05Z" in failed.text
    assert "What to do" in failed.text
    assert (failed.code, failed.error_id, failed.status) == (code, ID, status)


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [
        (FaultKind.CONNECT_TIMEOUT, "network_timeout", 504),
        (FaultKind.READ_TIMEOUT, "network_timeout", 504),
        (FaultKind.TOTAL_TIMEOUT, "network_timeout", 504),
        (FaultKind.CONNECTION, "connection_error", 502),
        (FaultKind.TRUNCATED, "stream_interrupted", 502),
        (FaultKind.MALFORMED, "service_error", 502),
    ],
)
def test_kinds(kind, code, status):
    report = classify(fault(kind=kind, timeout=30, endpoint_url="https://h/api"), SUBJECT)
    assert (report.code, report.status) == (code, status)
    assert ID in shown(report).text


@pytest.mark.parametrize(
    "kind", [FaultKind.READ_TIMEOUT, FaultKind.TOTAL_TIMEOUT, FaultKind.CONNECTION, FaultKind.TRUNCATED]
)
def test_what_breaks_off_after_text_is_an_interrupted_answer(kind):
    report = classify(fault(kind=kind), SUBJECT, partial=True)
    assert (report.code, report.template) == ("stream_interrupted", "STREAM_INTERRUPTED_TEMPLATE")


def test_an_error_inside_the_stream_keeps_its_meaning_after_text():
    assert classify(fault(429, FaultKind.STREAM), SUBJECT, partial=True).code == "rate_limit"


@pytest.mark.parametrize(
    ("error_type", "code", "expected"),
    [
        ("rate_limit_exceeded", "server_error", "rate_limit"),
        ("authentication", "server_error", "authentication"),
        ("payment_required", None, "insufficient_credits"),
        ("payload_too_large", None, "payload_too_large"),
        ("provider_overloaded", None, "service_error"),
        ("context_length_exceeded", None, "openrouter_error"),
        (None, "rate_limit_exceeded", "rate_limit"),
        (None, "429", "rate_limit"),
        (None, "invalid_prompt", "openrouter_error"),
        (None, "something_new", "service_error"),
        (None, None, "service_error"),
    ],
)
def test_a_stream_without_status_is_classified_by_type_then_code(error_type, code, expected):
    assert classify(told(error_type=error_type, code=code), SUBJECT).code == expected


@pytest.mark.parametrize(
    ("found", "counts"),
    [(fault(400), False), (fault(401), False), (fault(408), True), (fault(429), True), (fault(500), True), (fault(413), False),
     (fault(kind=FaultKind.CONNECTION), True), (fault(kind=FaultKind.TRUNCATED), True),
     (told(error_type="rate_limit_exceeded"), True), (told(error_type="invalid_request"), False)],
)  # fmt: skip
def test_what_the_breaker_counts(found, counts):
    assert counts_as_failure(found) is counts


def test_moderation():
    metadata = {
        "reasons": ["violence", "hate"],
        "flagged_input": "the text",
        "provider_name": "OpenAI",
        "model_slug": "x",
    }
    report = classify(told(403, metadata=metadata), SUBJECT)
    assert (report.code, report.values["reason"], report.values["provider"]) == (
        "openrouter_error",
        "violence",
        "OpenAI",
    )
    text = shown(report).text
    assert "- violence\n- hate" in text
    assert "**Flagged text:** the text" in text


def test_upstream_error_in_raw():
    raw = json.dumps({"error": {"type": "overloaded_error", "message": "Overloaded"}})
    values = classify(
        told(502, message="Provider returned error", metadata={"raw": raw, "provider_name": "Anthropic"}), SUBJECT
    ).values
    assert values["detail"] == "Overloaded"
    assert (values["upstream_type"], values["upstream_message"]) == ("overloaded_error", "Overloaded")
    assert values["provider"] == "Anthropic"


def test_rate_limit_tells_what_and_how_long():
    metadata = {"headers": {"Retry-After": "12.2"}, "limit_source": "openrouter_free_tier_daily"}
    text = shown(classify(told(429, metadata=metadata), SUBJECT)).text
    assert "Try again in: 13 seconds" in text
    assert "free models, requests per day" in text


def test_credits_and_limits():
    values = classify(told(402, metadata={"required_cost": 1.5, "account_balance": "0.25"}), SUBJECT).values
    assert (values["required_cost"], values["account_balance"]) == (1.5, 0.25)
    text = shown(classify(told(400, error_type="context_length_exceeded"), SUBJECT)).text
    assert "Context: 8192 tokens" in text
    assert "8192" not in shown(classify(fault(400), SUBJECT)).text


def test_availability_beside_the_metadata():
    availability = {"code": "capacity_exhausted", "retry_after": 40, "fallback_models": ["a/c"]}
    values = classify(told(429, availability=availability), SUBJECT).values
    assert values["retry_after_seconds"] == 40
    assert "Models that work instead: a/c" in values["diagnostics"]


@pytest.mark.parametrize(
    "metadata", [[], ["x"], "text", None, 5, {"raw": None}, {"raw": []}, {"headers": "x", "reasons": {"a": 1}}]
)
def test_nested_metadata_of_any_shape(metadata):
    for more in ({"metadata": metadata}, {"metadata": {"raw": metadata, "headers": metadata}},
                 {"metadata": metadata, "availability": metadata}):  # fmt: skip
        assert ID in shown(classify(told(403, **more), SUBJECT)).text


OWN = [
    errors.internal("KeyError"), errors.busy(), errors.breaker_open(12.1), errors.restricted(["not in MODEL_ID"], SUBJECT),
    errors.unknown_model(SUBJECT), errors.bad_request("messages: must be a list"), errors.not_configured("API_KEY is empty"),
    errors.interrupted(None, SUBJECT), errors.loops_reached(10),
]  # fmt: skip


@pytest.mark.parametrize("report", OWN, ids=lambda report: report.code)
def test_our_own_failures(report):
    assert report.template in SETTINGS_BY_NAME
    text = shown(report).text
    assert report.values["heading"] in text
    assert ID in text


def test_our_own_failures_say_what_matters():
    assert "Try again in: 13 seconds" in shown(errors.breaker_open(12.1)).text
    assert (
        "not in MODEL\\_ID" in shown(errors.restricted(["not in MODEL_ID"], SUBJECT)).text
        or "not in MODEL_ID" in shown(errors.restricted(["not in MODEL_ID"], SUBJECT)).text
    )
    assert "10 rounds" in shown(errors.loops_reached(10)).text
    assert shown(errors.busy()).status == 503


def test_the_operators_template_and_support_are_used():
    policy = ErrorPolicy(
        {"RATE_LIMIT_TEMPLATE": "{user_id} {session_id} {support_email}\n{support_url}"}, "a@b.c", "https://s"
    )
    assert shown(classify(fault(429), SUBJECT), policy).text == "user-1 session-1 a@b.c\nhttps://s"


@pytest.mark.parametrize("template", ["", "  \n", "{provider}", "{{#if provider}}x{{/if}}"])
def test_a_template_of_which_nothing_is_left_gives_way_to_the_built_in(template):
    assert ID in notice(
        classify(fault(500), SUBJECT), ErrorPolicy({"SERVICE_ERROR_TEMPLATE": template}), SUBJECT, ID, NOW, Redactor()
    )


EVERYTHING = "".join(f"{{{name}}}\n" for name in ("detail", "sanitized_detail", "raw_body", "metadata_json", "provider_raw_json",
    "openrouter_message", "upstream_message", "endpoint", "diagnostics",
    "moderation_reasons", "request_id", "provider"))  # fmt: skip


@pytest.mark.parametrize("padding", [0, 31_700, 32_760, 100_000])
def test_no_secret_is_shown_wherever_it_is_planted(padding):
    key = "sk-or-v1-" + "0123456789abcdef" * 4
    secret = "correct horse battery"
    planted = "z " * (padding // 2) + f"{key} {secret}"
    found = told(
        429, message=planted, provider=planted, request_id=planted,
        metadata={"raw": {"error": {"message": planted}}, "remedy_hint": planted, "reasons": [planted], planted: 1,
                  "api_key": "q1w2e3"},
    )  # fmt: skip
    assert planted in found.evidence.upstream_message
    found = evolve(found, message=planted, body=planted, endpoint_url=f"https://u:{key}@h")
    text = shown(
        classify(found, SUBJECT), ErrorPolicy({"RATE_LIMIT_TEMPLATE": EVERYTHING}), Redactor([Secret(secret)])
    ).text
    for part in (key[:14], secret, "q1w2e3"):
        assert part not in text


def test_hostile_body_of_ten_megabytes():
    text = shown(classify(fault(500, message="<b>{detail}\x1b[31m" * 600_000, body="{" * 10_000_000), SUBJECT)).text
    assert len(text) < 10_000
    assert "<b>" not in text
    assert "\x1b" not in text


LOOSE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["raw", "error", "message", "reasons", "headers", "Retry-After", "availability", "retry_after",
         "previous_errors", "patterns"]), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
NAMES = ["raw", "reasons", "patterns", "headers", "previous_errors", "availability", "retry_after_seconds", "limit_source",
         "failed_routing_step", "error_type", "required_cost", "flagged_input", "is_byok", "user_id"]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(FaultKind),
    st.none() | st.integers(-5, 700),
    st.dictionaries(st.sampled_from(NAMES), LOOSE),
    LOOSE,
    st.text(),
)
def test_whatever_the_provider_says_it_ends_as_a_text(kind, status, metadata, body, message):
    read = told(403, message, metadata=metadata, error=body, code=message)
    found = evolve(read, kind=kind, status=status, body=json.dumps(body), chunk_created=status)
    report = classify(found, SUBJECT)
    assert 400 <= report.status <= 599
    assert ID in shown(report).text
