"""From a provider's fault to a report."""

from __future__ import annotations

from openrouter_pipe.domain.errors.reports import ErrorReport, ErrorSubject
from openrouter_pipe.domain.errors.situations import (
    bad_request,
    breaker_open,
    busy,
    internal,
    interrupted,
    loops_reached,
    not_configured,
    restricted,
    unknown_model,
)
from openrouter_pipe.ports.provider import ProviderFault

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


def classify(fault: ProviderFault, subject: ErrorSubject, *, partial: bool = False) -> ErrorReport:
    """The report of a provider's fault; ``partial`` tells that answer text was shown before."""
    if partial:
        return interrupted(fault, subject)
    return ErrorReport("internal_error", "INTERNAL_ERROR_TEMPLATE", 500)


def counts_as_failure(fault: ProviderFault) -> bool:
    """Whether the request breaker counts this fault: everything but client mistakes (4xx other than 408 and 429)."""
    status = fault.status
    return status is None or not 400 <= status < 500 or status in {408, 429}
