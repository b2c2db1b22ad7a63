"""Failures that arise here and not at the provider, each as a report: what happened and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from openrouter_pipe.domain.errors.reports import ErrorReport, ErrorSubject
from openrouter_pipe.ports.json import JsonValue
from openrouter_pipe.ports.provider import FaultKind, ProviderFault


def internal(error_type: str) -> ErrorReport:
    """Something unexpected; ``error_type`` is the class name of the exception, never its text."""
    detail = "Something unexpected went wrong while this was answered."
    return _report(
        "internal_error", "INTERNAL_ERROR_TEMPLATE", 500, "Unexpected error", detail, {"error_type": error_type}
    )


def busy() -> ErrorReport:
    """The waiting room is full."""
    detail = "The server is answering as many people as it can, and no more can wait. Nothing was sent to the model."
    return _report(
        "server_busy", "SERVICE_ERROR_TEMPLATE", 503, "The server is busy", detail, {"error_type": "server_busy"}
    )


def breaker_open(seconds: float) -> ErrorReport:
    """The user's request breaker is open for ``seconds`` more."""
    detail = "Several of your requests failed in a row, so new ones pause for a moment. Nothing was sent to the model."
    wait = max(1, math.ceil(seconds)) if math.isfinite(seconds) else 1
    more: dict[str, JsonValue] = {"error_type": "breaker_open", "retry_after_seconds": wait}
    return _report("breaker_open", "SERVICE_ERROR_TEMPLATE", 503, "Paused after repeated errors", detail, more)


def restricted(
    reasons: Sequence[str],
    subject: ErrorSubject,
    *,
    model_id_filter: str = "",
    free_model_filter: str = "",
    tool_calling_filter: str = "",
) -> ErrorReport:
    """The operator's filters do not allow the model; the filters are the values of MODEL_ID, FREE_MODEL_FILTER and
    TOOL_CALLING_FILTER."""
    more: dict[str, JsonValue] = {
        **model_values(subject),
        "restriction_reasons": list(reasons),
        "model_id_filter": model_id_filter,
        "free_model_filter": free_model_filter,
        "tool_calling_filter": tool_calling_filter,
        "error_type": "model_restricted",
    }
    detail = "This model is not among the models that are allowed here."
    return _report("model_restricted", "MODEL_RESTRICTED_TEMPLATE", 403, "This model is not allowed here", detail, more)


def unknown_model(subject: ErrorSubject) -> ErrorReport:
    """There is no such model."""
    detail = f"OpenRouter has no model called {subject.requested_model or 'that'}. It may have been renamed or retired."
    more = {**model_values(subject), "error_type": "model_not_found"}
    return _report("model_not_found", "OPENROUTER_ERROR_TEMPLATE", 404, "Unknown model", detail, more)


def bad_request(message: str) -> ErrorReport:
    """The request cannot be understood; ``message`` names the field and the fix."""
    more: dict[str, JsonValue] = {"error_type": "bad_request"}
    return _report(
        "bad_request", "OPENROUTER_ERROR_TEMPLATE", 400, "The request could not be understood", message, more
    )


def not_configured(message: str) -> ErrorReport:
    """The operator has to act first; ``message`` says what is missing."""
    more: dict[str, JsonValue] = {"error_type": "not_configured"}
    return _report(
        "not_configured", "AUTHENTICATION_ERROR_TEMPLATE", 503, "OpenRouter is not set up yet", message, more
    )


def interrupted(fault: ProviderFault | None, subject: ErrorSubject) -> ErrorReport:
    """The stream ended early; what was shown stays. ``fault`` tells why, None when nobody knows."""
    silent = fault is not None and fault.kind in {FaultKind.READ_TIMEOUT, FaultKind.TOTAL_TIMEOUT}
    why = "No more of it arrived in time." if silent else "The connection to the model was lost before its end."
    more = {**model_values(subject, (fault.model if fault else None) or ""), "error_type": "stream_interrupted"}
    return _report("stream_interrupted", "STREAM_INTERRUPTED_TEMPLATE", 502, "The answer is incomplete", why, more)


def loops_reached(limit: int) -> ErrorReport:
    """The tool loop came to its limit."""
    detail = f"The model kept calling tools; after {limit} rounds it was stopped."
    more: dict[str, JsonValue] = {"max_function_call_loops": limit, "error_type": "loops_reached"}
    return _report("loops_reached", "MAX_FUNCTION_CALL_LOOPS_REACHED_TEMPLATE", 500, "Tool limit reached", detail, more)


def model_values(subject: ErrorSubject, otherwise: str = "") -> dict[str, JsonValue]:
    """The variables that tell which model it was about; ``otherwise`` is a name that the provider mentioned."""
    card = subject.card
    return {
        "model_identifier": subject.api_model_id or subject.normalized_model_id or subject.requested_model or otherwise,
        "requested_model": subject.requested_model,
        "api_model_id": subject.api_model_id,
        "normalized_model_id": subject.normalized_model_id,
        "context_limit_tokens": card.context_length if card else None,
        "max_output_tokens": card.max_output_tokens if card else None,
    }


def _report(
    code: str, template: str, status: int, heading: str, detail: str, more: dict[str, JsonValue]
) -> ErrorReport:
    told: dict[str, JsonValue] = {
        "heading": heading,
        "detail": detail,
        "sanitized_detail": detail,
        "status_code": status,
    }
    return ErrorReport(code, template, status, {**told, **more})
