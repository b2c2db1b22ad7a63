"""From a report to what is shown: the last event of a failed turn, or words inside an answer."""

from __future__ import annotations

from datetime import datetime

from openrouter_pipe.domain.errors.policy import ErrorPolicy
from openrouter_pipe.domain.errors.reports import ErrorReport, ErrorSubject
from openrouter_pipe.domain.errors.templates import render
from openrouter_pipe.domain.redaction import Redactor
from openrouter_pipe.ports.chat import Failed
from openrouter_pipe.ports.telemetry import Usage


def failure(
    report: ErrorReport,
    policy: ErrorPolicy,
    subject: ErrorSubject,
    error_id: str,
    now: datetime,
    redactor: Redactor,
    *,
    partial: bool = False,
    usage: Usage | None = None,
) -> Failed:
    """The turn's last event. ``partial`` tells that answer text was shown before."""
    text = notice(report, policy, subject, error_id, now, redactor)
    return Failed(error_id, report.code, text, report.status, partial=partial, usage=usage)


def notice(
    report: ErrorReport, policy: ErrorPolicy, subject: ErrorSubject, error_id: str, now: datetime, redactor: Redactor
) -> str:
    """The same rendering as text to append to an answer."""
    values = {**report.values, "error_id": error_id, "timestamp": now.isoformat()}
    return render(policy.templates.get(report.template, ""), values)
