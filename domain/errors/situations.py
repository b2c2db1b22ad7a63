"""Failures that arise here and not at the provider, each as a report."""

from __future__ import annotations

from collections.abc import Sequence

from openrouter_pipe.domain.errors.reports import ErrorReport, ErrorSubject
from openrouter_pipe.ports.provider import ProviderFault

_INTERNAL = "INTERNAL_ERROR_TEMPLATE"


def internal(error_type: str) -> ErrorReport:
    """Something unexpected; ``error_type`` is the class name of the exception, never its text."""
    return ErrorReport("internal_error", _INTERNAL, 500, {"error_type": error_type})


def busy() -> ErrorReport:
    """The waiting room is full."""
    return ErrorReport("server_busy", _INTERNAL, 503)


def breaker_open(seconds: float) -> ErrorReport:
    """The user's request breaker is open for ``seconds`` more."""
    return ErrorReport("breaker_open", _INTERNAL, 503, {"retry_after_seconds": seconds})


def restricted(
    reasons: Sequence[str],
    subject: ErrorSubject,
    *,
    model_id_filter: str = "",
    free_model_filter: str = "",
    tool_calling_filter: str = "",
) -> ErrorReport:
    """The operator's filters do not allow the model."""
    return ErrorReport("model_restricted", "MODEL_RESTRICTED_TEMPLATE", 403, {"restriction_reasons": list(reasons)})


def unknown_model(subject: ErrorSubject) -> ErrorReport:
    """There is no such model."""
    return ErrorReport("model_not_found", "OPENROUTER_ERROR_TEMPLATE", 404)


def bad_request(message: str) -> ErrorReport:
    """The request cannot be understood; ``message`` names the field and the fix."""
    return ErrorReport("bad_request", "OPENROUTER_ERROR_TEMPLATE", 400, {"detail": message})


def not_configured(message: str) -> ErrorReport:
    """The operator has to act first; ``message`` says what is missing."""
    return ErrorReport("not_configured", "AUTHENTICATION_ERROR_TEMPLATE", 503, {"detail": message})


def interrupted(fault: ProviderFault | None, subject: ErrorSubject) -> ErrorReport:
    """The stream ended early; what was shown stays."""
    return ErrorReport("stream_interrupted", "STREAM_INTERRUPTED_TEMPLATE", 502)


def loops_reached(limit: int) -> ErrorReport:
    """The tool loop came to its limit."""
    return ErrorReport(
        "loop_limit", "MAX_FUNCTION_CALL_LOOPS_REACHED_TEMPLATE", 500, {"max_function_call_loops": limit}
    )
