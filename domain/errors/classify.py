"""From a provider's fault to a report: which code, which template, which words.

One table says what each status means, one what the provider's error types mean where a stream names no status. Failures
that are not the provider's are in situations.py and named here again, so that callers need one import.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from attrs import frozen

from openrouter_pipe.domain.errors import evidence
from openrouter_pipe.domain.errors.reports import ErrorReport, ErrorSubject
from openrouter_pipe.domain.errors.situations import (
    bad_request,
    breaker_open,
    busy,
    internal,
    interrupted,
    loops_reached,
    model_values,
    not_configured,
    restricted,
    unknown_model,
)
from openrouter_pipe.ports.json import JsonValue
from openrouter_pipe.ports.provider import FaultKind, ProviderFault

__all__ = [
    "ErrorReport",
    "ErrorSubject",
    "bad_request",
    "breaker_open",
    "busy",
    "classify",
    "counts_as_failure",
    "internal",
    "interrupted",
    "loops_reached",
    "not_configured",
    "restricted",
    "unknown_model",
]


@frozen
class _Failure:
    """How one kind of failure is told."""

    code: str
    template: str
    heading: str


_AUTHENTICATION: Final = _Failure(
    "authentication", "AUTHENTICATION_ERROR_TEMPLATE", "OpenRouter did not accept the API key"
)
_FORBIDDEN: Final = _Failure("authentication", "AUTHENTICATION_ERROR_TEMPLATE", "OpenRouter did not allow the request")
_KEY_LIMIT: Final = _Failure("authentication", "AUTHENTICATION_ERROR_TEMPLATE", "The API key has reached its limit")
_CREDITS: Final = _Failure("insufficient_credits", "INSUFFICIENT_CREDITS_TEMPLATE", "Not enough OpenRouter credits")
_TIMEOUT: Final = _Failure("server_timeout", "SERVER_TIMEOUT_TEMPLATE", "OpenRouter took too long")
_TOO_LARGE: Final = _Failure("payload_too_large", "PAYLOAD_TOO_LARGE_TEMPLATE", "The request is too large")
_RATE_LIMIT: Final = _Failure("rate_limit", "RATE_LIMIT_TEMPLATE", "Too many requests")
_MODERATION: Final = _Failure("openrouter_error", "OPENROUTER_ERROR_TEMPLATE", "The request was refused by moderation")
_NO_ENDPOINT: Final = _Failure("openrouter_error", "OPENROUTER_ERROR_TEMPLATE", "No provider can answer this request")
_REJECTED: Final = _Failure("openrouter_error", "OPENROUTER_ERROR_TEMPLATE", "The request was rejected")
_SERVICE: Final = _Failure("service_error", "SERVICE_ERROR_TEMPLATE", "The model's provider has a problem")
_OVERLOADED: Final = _Failure("service_error", "SERVICE_ERROR_TEMPLATE", "The model's provider is overloaded")
_MALFORMED: Final = _Failure("service_error", "SERVICE_ERROR_TEMPLATE", "The provider's answer could not be read")
_NETWORK: Final = _Failure("network_timeout", "NETWORK_TIMEOUT_TEMPLATE", "No answer in time")
_CONNECTION: Final = _Failure("connection_error", "CONNECTION_ERROR_TEMPLATE", "OpenRouter cannot be reached")

_BY_STATUS: Final[Mapping[int, _Failure]] = {
    401: _AUTHENTICATION,
    402: _CREDITS,
    403: _FORBIDDEN,
    404: _NO_ENDPOINT,
    408: _TIMEOUT,
    413: _TOO_LARGE,
    429: _RATE_LIMIT,
    503: _OVERLOADED,
    529: _OVERLOADED,
}

_TYPES_OF_STATUS: Final[Mapping[int, tuple[str, ...]]] = {
    400: (
        "context_length_exceeded", "max_tokens_exceeded", "token_limit_exceeded", "string_too_long", "invalid_request",
        "invalid_request_error", "invalid_prompt", "content_policy_violation", "image_content_policy_violation", "refusal",
        "invalid_image", "image_too_large", "image_too_small", "unsupported_image_format", "image_download_failed",
    ),
    401: ("authentication", "authentication_error", "invalid_api_key"),
    402: ("payment_required", "insufficient_credits", "insufficient_quota"),
    403: ("permission_denied", "permission_error"),
    404: ("not_found", "image_not_found", "not_found_error"),
    412: ("precondition_failed",),
    413: ("payload_too_large", "request_too_large"),
    422: ("unprocessable",),
    429: ("rate_limit_exceeded", "rate_limit_error"),
    500: ("server", "server_error", "unmapped", "api_error", "internal_error"),
    502: ("provider_unavailable",),
    503: ("provider_overloaded", "overloaded_error"),
    504: ("timeout",),
}  # fmt: skip
_STATUS_OF_TYPE: Final = {name: status for status, names in _TYPES_OF_STATUS.items() for name in names}
_LENGTH_TYPES: Final = frozenset(
    {"context_length_exceeded", "max_tokens_exceeded", "token_limit_exceeded", "string_too_long"}
)
_LENGTH_WORDS: Final = (
    "context length",
    "context window",
    "max_tokens",
    "maximum tokens",
    "too many tokens",
    "too long",
)
_POLICY_TYPES: Final = frozenset({"content_policy_violation", "image_content_policy_violation", "refusal"})
_TIMEOUTS: Final = frozenset({FaultKind.CONNECT_TIMEOUT, FaultKind.READ_TIMEOUT, FaultKind.TOTAL_TIMEOUT})


def classify(fault: ProviderFault, subject: ErrorSubject, *, partial: bool = False) -> ErrorReport:
    """The report of a provider's fault.

    ``partial`` tells that answer text was shown before: a lost connection is then an interrupted answer. What the
    provider itself reports inside a stream keeps its own meaning.
    """
    lost = fault.kind in _TIMEOUTS or fault.kind is FaultKind.CONNECTION
    if fault.kind is FaultKind.TRUNCATED or (partial and lost):
        report = interrupted(fault, subject)
        return ErrorReport(report.code, report.template, report.status, {**_values(fault, subject), **report.values})
    failure, status = _failure(fault)
    values = {**_values(fault, subject), "heading": failure.heading, "status_code": status}
    if not values["detail"]:
        values["detail"] = values["sanitized_detail"] = f"OpenRouter answered with status {status} and no explanation."
    values["include_model_limits"] = _limits_help(fault, status, subject)
    return ErrorReport(failure.code, failure.template, status, values)


def counts_as_failure(fault: ProviderFault) -> bool:
    """Whether the request breaker counts this fault: everything but client mistakes (4xx other than 408 and 429)."""
    if fault.kind not in {FaultKind.STATUS, FaultKind.STREAM}:
        return True
    status = status_of(fault)
    return not 400 <= status < 500 or status in {408, 429}


def status_of(fault: ProviderFault) -> int:
    """The HTTP status that a fault amounts to: its own, or the one that its type or code stands for, else 502."""
    if fault.status is not None and 400 <= fault.status <= 599:
        return fault.status
    for name in (fault.error_type, evidence.as_text(fault.metadata.get("error_type")), fault.code):
        word = (name or "").strip().lower()
        if word in _STATUS_OF_TYPE:
            return _STATUS_OF_TYPE[word]
        if word.isascii() and word.isdigit() and len(word) == 3 and 400 <= int(word) <= 599:
            return int(word)
    return 502


def _failure(fault: ProviderFault) -> tuple[_Failure, int]:
    if fault.kind in _TIMEOUTS:
        return _NETWORK, 504
    if fault.kind is FaultKind.CONNECTION:
        return _CONNECTION, 502
    if fault.kind is FaultKind.MALFORMED:
        return _MALFORMED, 502
    status = status_of(fault)
    if _moderated(fault, status):
        return _MODERATION, status
    if status == 403 and ("routing_funnel" in fault.metadata or "failed_routing_step" in fault.metadata):
        return _NO_ENDPOINT, status
    if status == 403 and (
        fault.metadata.get("limit_source") == "openrouter_key_limit" or "key limit" in fault.message[:200].lower()
    ):
        return _KEY_LIMIT, status
    return _BY_STATUS.get(status, _SERVICE if status >= 500 else _REJECTED), status


def _moderated(fault: ProviderFault, status: int) -> bool:
    if status not in {400, 403, 422}:
        return False
    told = evidence.moderation_reasons(fault.metadata) or "flagged_input" in fault.metadata
    return bool(told) or fault.error_type in _POLICY_TYPES or fault.code in _POLICY_TYPES


def _limits_help(fault: ProviderFault, status: int, subject: ErrorSubject) -> bool:
    card = subject.card
    if card is None or not (card.context_length or card.max_output_tokens):
        return False
    text = evidence.detail(fault)[:2000].lower()
    asked_too_much = fault.error_type in _LENGTH_TYPES or any(word in text for word in _LENGTH_WORDS)
    return status == 413 or (status in {400, 402, 422} and asked_too_much)


def _values(fault: ProviderFault, subject: ErrorSubject) -> dict[str, JsonValue]:
    """Every variable that the fault can fill, raw."""
    metadata = {name: value for name, value in fault.metadata.items() if name != "user_id"}
    said = evidence.detail(fault)
    reasons = evidence.moderation_reasons(metadata)
    upstream_type, upstream_message = evidence.upstream(metadata)
    required, balance = evidence.credit_numbers(metadata)
    streamed = fault.kind in {FaultKind.STREAM, FaultKind.TRUNCATED}
    provider = evidence.provider(fault)
    return {
        **model_values(subject, fault.model or evidence.as_text(metadata.get("model_slug"))),
        "detail": said,
        "sanitized_detail": said,
        "provider": provider,
        "openrouter_code": fault.code or (str(fault.status) if fault.status else ""),
        "openrouter_message": fault.message,
        "upstream_type": upstream_type,
        "upstream_message": upstream_message,
        "reason": next(iter(reasons), "") or evidence.as_text(metadata.get("reason")),
        "request_id": fault.request_id,
        "request_id_reference": f"OpenRouter knows this request as {fault.request_id}" if fault.request_id else "",
        "moderation_reasons": reasons,
        "flagged_excerpt": evidence.as_text(metadata.get("flagged_input")),
        "raw_body": fault.body,
        "metadata_json": metadata,
        "provider_raw_json": evidence.as_object(metadata.get("raw")) or evidence.as_text(metadata.get("raw")),
        "native_finish_reason": fault.native_finish_reason,
        "error_chunk_id": fault.chunk_id,
        "error_chunk_created": _time(fault.chunk_created),
        "streaming_provider": provider if streamed else "",
        "streaming_model": fault.model if streamed else "",
        "retry_after_seconds": evidence.retry_after(fault),
        "rate_limit_type": evidence.rate_limit_type(metadata),
        "required_cost": required,
        "account_balance": balance,
        "diagnostics": evidence.diagnostics(fault),
        "error_type": fault.error_type or fault.kind.value,
        "status_code": fault.status,
        "timeout_seconds": fault.timeout,
        "endpoint": fault.endpoint_url,
    }


def _time(epoch: int | None) -> str:
    try:
        moment = datetime.fromtimestamp(epoch, UTC) if epoch else None
    except (ValueError, OverflowError, OSError):
        return ""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else ""
