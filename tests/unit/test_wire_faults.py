"""Error bodies and stream errors to faults: every documented shape, and shapes that nobody documents."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_pipe.adapters.openrouter import faults
from openrouter_pipe.ports.provider import FaultCause, FaultKind, ProviderFault

NOW = 1_790_000_000.0


def fault_of(body: object, status: int = 400, **headers: str) -> ProviderFault:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return faults.from_status(status, raw, faults.Context(now=NOW, model="a/b", headers=named))


def test_the_plain_envelope() -> None:
    body = {"error": {"code": 402, "message": "Insufficient credits.", "metadata": {}}, "user_id": "user_x"}
    fault = fault_of(body, 402, x_generation_id="gen-9")
    assert (fault.kind, fault.status, fault.code) == (FaultKind.STATUS, 402, "402")
    assert (fault.message, fault.request_id, fault.model) == ("Insufficient credits.", "gen-9", "a/b")
    assert fault.metadata == {}
    assert "user_x" in fault.body


def test_an_upstream_error() -> None:
    metadata = {"provider_name": "Acme", "raw": '{"error":{"message":"too hot"}}', "error_type": "rate_limit_exceeded"}
    fault = fault_of({"error": {"code": 429, "message": "Provider returned error", "metadata": metadata}}, 429)
    assert (fault.message, fault.provider, fault.error_type) == (
        "Provider returned error",
        "Acme",
        "rate_limit_exceeded",
    )
    assert fault.metadata["raw"] == metadata["raw"]


def test_a_schema_failure_keeps_its_sibling_metadata() -> None:
    fault = fault_of({"error": {"code": "invalid_prompt", "message": "Invalid"}, "metadata": {"raw": "[zod]"}})
    assert (fault.code, fault.metadata) == ("invalid_prompt", {"raw": "[zod]"})


def test_the_availability_object() -> None:
    availability = {"code": "capacity_exhausted", "retryable": True, "retry_after": 40}
    body = {"error": {"message": "At capacity.", "error_type": "rate_limit_exceeded", "http_status": 429,
                      "availability": availability, "metadata": {"previous_errors": [{"provider": "p1"}]}}}  # fmt: skip
    fault = fault_of(body, 429, retry_after="7")
    assert (fault.code, fault.retryable, fault.retry_after) == ("capacity_exhausted", True, 40.0)
    assert fault.metadata["availability"] == availability
    streamed = faults.from_event(body, faults.Context(now=NOW))
    assert (streamed.kind, streamed.status, streamed.retry_after) == (FaultKind.STREAM, 429, 40.0)


@pytest.mark.parametrize(
    ("reason", "retryable"), [("in_flight_budget_exhausted", True), ("weight_exceeds_budget", False)]
)
def test_budget_reasons_tell_whether_to_retry(reason: str, retryable: bool) -> None:
    assert (
        fault_of({"error": {"code": 402, "message": "m", "metadata": {"reason": reason}}}, 402).retryable is retryable
    )


def test_a_zod_error() -> None:
    fault = fault_of({"success": False, "error": {"name": "ZodError", "message": "[...]"}})
    assert (fault.code, fault.message) == ("ZodError", "[...]")


@pytest.mark.parametrize("metadata", [None, [], [1], "text", 7, True])
def test_metadata_that_is_no_object(metadata: object) -> None:
    fault = fault_of({"error": {"code": 400, "message": "m", "metadata": metadata}})
    assert (fault.metadata, fault.message) == ({}, "m")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>502</html>",
        b"null",
        b"[]",
        b"7",
        b'"text"',
        b"{",
        b"\xff\xfe",
        b'{"error":7}',
        b'{"error":null}',
        b"[" * 9999,
    ],
)
def test_bodies_that_say_nothing(body: bytes) -> None:
    fault = fault_of(body, 502)
    assert fault.status == 502
    assert "502" in fault.message


def test_a_bare_string_and_a_bare_object() -> None:
    assert fault_of({"error": "no"}).message == "no"
    assert fault_of({"message": "gateway says no", "code": "x"}).message == "gateway says no"


@pytest.mark.parametrize(
    ("metadata", "headers", "expected"),
    [
        ({"retry_after_seconds": 3.5, "headers": {"Retry-After": "9"}}, {"retry_after": "20"}, 3.5),
        ({"headers": {"Retry-After": "9"}}, {"retry_after": "20"}, 9.0),
        ({"headers": {"retry-after": 9}}, {}, 9.0),
        ({}, {"retry_after": "20", "x_ratelimit_reset": "1790000060000"}, 20.0),
        ({}, {"x_ratelimit_reset": "1790000060000"}, 60.0),
        ({"headers": {"X-RateLimit-Reset": 1790000030000}}, {}, 30.0),
        ({}, {"x_ratelimit_reset": "5"}, 0.0),
        ({}, {"retry_after": "Mon, 21 Sep 2026 14:13:30 GMT"}, 10.0),
        ({}, {"retry_after": "Mon, 21 Sep 2020 14:13:30 GMT"}, 0.0),
        ({}, {"retry_after": "-5"}, 0.0),
        ({}, {"retry_after": "soon"}, None),
        ({}, {"retry_after": "inf"}, None),
        ({"retry_after_seconds": "x"}, {"retry_after": "nan"}, None),
        ({}, {}, None),
    ],
)
def test_retry_after(metadata: dict[str, Any], headers: dict[str, str], expected: float | None) -> None:
    assert (
        fault_of({"error": {"code": 429, "message": "m", "metadata": metadata}}, 429, **headers).retry_after == expected
    )


def test_the_provider_comes_from_where_it_is_named() -> None:
    meta = {"endpoints": {"available": [{"provider": "A", "selected": False}, {"provider": "B", "selected": True}]}}
    assert fault_of({"error": {"message": "m"}, "openrouter_metadata": meta}).provider == "B"
    assert fault_of({"error": {"message": "m"}}, x_provider_name="C").provider == "C"
    assert fault_of({"error": {"message": "m", "metadata": {"provider_name": None}}}).provider is None


@pytest.mark.parametrize(
    ("event", "status", "code"),
    [
        ({"type": "error", "code": "rate_limit_exceeded", "message": "m", "param": None}, 429, "rate_limit_exceeded"),
        ({"type": "error", "error": {"code": "server_error", "message": "m"}}, 500, "server_error"),
        (
            {"type": "response.error", "error": {"code": "rate_limit_exceeded", "message": "m"}},
            429,
            "rate_limit_exceeded",
        ),
        (
            {"id": "gen-1", "error": {"code": 502, "message": "m", "metadata": {"error_type": "provider_unavailable"}}},
            502,
            "502",
        ),
        ({"error": {"code": "odd", "message": "m"}}, None, "odd"),
    ],
)
def test_stream_errors(event: dict[str, Any], status: int | None, code: str) -> None:
    fault = faults.from_event(event, faults.Context(now=NOW))
    assert (fault.kind, fault.message, fault.status, fault.code) == (FaultKind.STREAM, "m", status, code)


@pytest.mark.parametrize("where", ["error_type", "code", "metadata"])
@pytest.mark.parametrize(
    ("name", "status"),
    [("invalid_request", 400), ("authentication_error", 401), ("insufficient_quota", 402), ("permission_denied", 403),
     ("image_not_found", 404), ("precondition_failed", 412), ("request_too_large", 413), ("unprocessable", 422),
     ("rate_limit_error", 429), (" Server_Error ", 500), ("provider_unavailable", 502), ("overloaded_error", 503),
     ("timeout", 504), ("vector_store_timeout", 504), ("image_parse_error", 400), ("invalid_image_format", 400),
     ("invalid_base64_image", 400), ("invalid_image_url", 400), ("invalid_image_mode", 400), ("418", 418),
     ("image_file_too_large", 400), ("unsupported_image_media_type", 400), ("empty_image_file", 400),
     ("failed_to_download_image", 400), ("image_file_not_found", 400), ("bio_policy", 400),
     ("data_residency_mismatch", 400), ("something_new", None), ("99", None), ("600", None), ("", None)],
)  # fmt: skip
def test_a_type_stands_for_a_status_where_none_is_named(name: str, status: int | None, where: str) -> None:
    error = {"metadata": {"error_type": name}} if where == "metadata" else {where: name}
    assert faults.from_event({"error": {"message": "m", **error}}, faults.Context(now=NOW)).status == status


@pytest.mark.parametrize(
    ("error", "causes"),
    [
        ({"metadata": {"reasons": ["violence"]}}, (FaultCause.MODERATION,)),
        ({"metadata": {"patterns": [{"pattern": "[0-9]{16}"}]}}, (FaultCause.MODERATION,)),
        ({"metadata": {"flagged_input": None}}, (FaultCause.MODERATION,)),
        ({"code": "refusal"}, (FaultCause.MODERATION,)),
        ({"code": "bio_policy"}, (FaultCause.MODERATION,)),
        ({"error_type": "image_content_policy_violation"}, (FaultCause.MODERATION,)),
        ({"metadata": {"failed_routing_step": "privacy"}}, (FaultCause.NO_ROUTE,)),
        ({"metadata": {"routing_funnel": []}}, (FaultCause.NO_ROUTE,)),
        ({"metadata": {"limit_source": "openrouter_key_limit"}}, (FaultCause.KEY_LIMIT,)),
        ({"message": "Key limit exceeded (monthly)"}, (FaultCause.KEY_LIMIT,)),
        ({"error_type": "max_tokens_exceeded"}, (FaultCause.LENGTH,)),
        ({"message": "This prompt is too long"}, (FaultCause.LENGTH,)),
        ({"metadata": {"raw": '{"message": "maximum tokens"}'}}, (FaultCause.LENGTH,)),
        ({"code": "odd", "metadata": {"raw": {"error": 7}}}, ()),
        ({"metadata": {"reasons": ["x"], "routing_funnel": 1}}, (FaultCause.MODERATION, FaultCause.NO_ROUTE)),
    ],
)
def test_what_was_wrong(error: dict[str, Any], causes: tuple[FaultCause, ...]) -> None:
    assert fault_of({"error": {"message": "m", **error}}).evidence.causes == causes


def test_what_else_an_error_tells() -> None:
    raw = {"error": {"type": "overloaded_error", "message": " Overloaded "}}
    metadata = {"raw": json.dumps(raw), "limit_source": "openrouter_credits", "is_byok": True, "user_id": "user_x",
                "previous_errors": [{"provider": "P"}], "model_slug": "x/y", "required": "1.5", "balance": 0}  # fmt: skip
    fault = faults.from_event({"error": {"message": "m", "metadata": metadata}}, faults.Context(now=NOW))
    told = fault.evidence
    assert (told.upstream_type, told.upstream_message, told.upstream_error) == ("overloaded_error", "Overloaded", raw)
    assert (told.rate_limit, told.required_cost, told.account_balance) == ("credits of the account", 1.5, 0.0)
    assert told.hints == ("Limit: openrouter_credits", "The request used the operator's own provider key (BYOK)")
    assert (fault.provider, fault.model) == ("P", "x/y")
    assert "user_id" not in fault.metadata


def test_a_chat_error_chunk_names_its_chunk() -> None:
    event = {"id": "gen-1", "created": 5, "model": "x/y", "provider": "P", "error": {"code": 500, "message": "m"},
             "choices": [{"native_finish_reason": "boom"}]}  # fmt: skip
    fault = faults.from_event(event, faults.Context(now=NOW))
    assert (fault.chunk_id, fault.chunk_created, fault.model) == ("gen-1", 5, "x/y")
    assert (fault.provider, fault.native_finish_reason) == ("P", "boom")


def test_a_failed_response() -> None:
    error = {"code": "server_error", "message": "Provider disconnected"}
    response = {"id": "gen-1", "status": "failed", "error": error, "error_type": "provider_unavailable", "tools": ["x"]}
    fault = faults.from_failed_response(response, faults.Context(now=NOW))
    assert (fault.status, fault.error_type, fault.code) == (502, "provider_unavailable", "server_error")
    assert "tools" not in fault.body


def test_bodies_are_cut() -> None:
    fault = fault_of(b"x" * 100_000, 500)
    assert len(fault.body) < 17_000


_KEYS = st.sampled_from(
    ["error", "code", "message", "metadata", "headers", "Retry-After", "availability", "retry_after", "raw",
     "openrouter_metadata", "endpoints", "available", "choices", "type", "http_status", "error_type", "status"]
)  # fmt: skip
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=5),
    max_leaves=20,
)


@given(body=json_values)
def test_no_json_at_all_breaks_the_reading(body: Any) -> None:
    assert fault_of(body, 500).message
    if isinstance(body, dict):
        assert faults.from_event(body, faults.Context(now=NOW)).message
        assert faults.from_failed_response(body, faults.Context(now=NOW)).message
