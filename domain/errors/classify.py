"""From a provider's fault to a report: which code, which template, which words.

One table says what each status means; the adapter has read the error before, and says in the fault's evidence what it
tells beside that. Failures that are not the provider's are in situations.py and named here again, so that callers need one
import.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from attrs import frozen

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
from openrouter_pipe.ports.provider import FaultCause, FaultKind, ProviderFault

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

_GENERIC: Final = frozenset({"", "provider returned error", "error", "unknown error", "internal server error"})
"""Messages that say nothing beside the words of the provider that failed."""
_REPORTED: Final = frozenset({FaultKind.STATUS, FaultKind.STREAM})
"""Kinds whose words are OpenRouter's own; those of all others are ours."""
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
    if fault.kind not in _REPORTED:
        return True
    status = status_of(fault)
    return not 400 <= status < 500 or status in {408, 429}


def status_of(fault: ProviderFault) -> int:
    """The HTTP status that a fault amounts to: its own, else 502."""
    return fault.status if fault.status is not None and 400 <= fault.status <= 599 else 502


def _failure(fault: ProviderFault) -> tuple[_Failure, int]:
    if fault.kind in _TIMEOUTS:
        return _NETWORK, 504
    if fault.kind is FaultKind.CONNECTION:
        return _CONNECTION, 502
    if fault.kind is FaultKind.MALFORMED:
        return _MALFORMED, 502
    status, causes = status_of(fault), fault.evidence.causes
    if FaultCause.MODERATION in causes and status in {400, 403, 422}:
        return _MODERATION, status
    if FaultCause.NO_ROUTE in causes and status == 403:
        return _NO_ENDPOINT, status
    if FaultCause.KEY_LIMIT in causes and status == 403:
        return _KEY_LIMIT, status
    return _BY_STATUS.get(status, _SERVICE if status >= 500 else _REJECTED), status


def _limits_help(fault: ProviderFault, status: int, subject: ErrorSubject) -> bool:
    card = subject.card
    if card is None or not (card.context_length or card.max_output_tokens):
        return False
    return status == 413 or (status in {400, 402, 422} and FaultCause.LENGTH in fault.evidence.causes)


def _values(fault: ProviderFault, subject: ErrorSubject) -> dict[str, JsonValue]:
    """Every variable that the fault can fill, raw."""
    evidence = fault.evidence
    said = _detail(fault)
    streamed = fault.kind in {FaultKind.STREAM, FaultKind.TRUNCATED}
    return {
        **model_values(subject, fault.model or ""),
        "detail": said,
        "sanitized_detail": said,
        "provider": fault.provider or "",
        "openrouter_code": fault.code or (str(fault.status) if fault.status else ""),
        "openrouter_message": fault.message if fault.kind in _REPORTED else "",
        "upstream_type": evidence.upstream_type,
        "upstream_message": evidence.upstream_message,
        "reason": evidence.reason,
        "request_id": fault.request_id,
        "request_id_reference": f"OpenRouter knows this request as {fault.request_id}" if fault.request_id else "",
        "moderation_reasons": list(evidence.moderation_reasons),
        "flagged_excerpt": evidence.flagged_text,
        "raw_body": fault.body,
        "metadata_json": fault.metadata,
        "provider_raw_json": evidence.upstream_error,
        "native_finish_reason": fault.native_finish_reason,
        "error_chunk_id": fault.chunk_id,
        "error_chunk_created": _time(fault.chunk_created),
        "streaming_provider": (fault.stream_provider or fault.provider or "") if streamed else "",
        "streaming_model": fault.model if streamed else "",
        "retry_after_seconds": _seconds(fault.retry_after),
        "rate_limit_type": evidence.rate_limit,
        "required_cost": evidence.required_cost,
        "account_balance": evidence.account_balance,
        "diagnostics": list(evidence.hints),
        "error_type": fault.error_type or fault.kind.value,
        "status_code": fault.status,
        "timeout_seconds": fault.timeout,
        "endpoint": fault.endpoint_url,
    }


def _detail(fault: ProviderFault) -> str:
    """What the provider said, whole: its own message where OpenRouter's only says that there was one."""
    message, said = fault.message.strip(), fault.evidence.upstream_message
    if not said or said in message:
        return message
    return said if message.rstrip(".").lower() in _GENERIC or message in said else f"{message}: {said}"


def _seconds(delay: float | None) -> int | None:
    """Rounded up."""
    return None if delay is None or not math.isfinite(delay) else max(0, math.ceil(delay))


def _time(epoch: int | None) -> str:
    try:
        moment = datetime.fromtimestamp(epoch, UTC) if epoch else None
    except (ValueError, OverflowError, OSError):
        return ""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else ""
