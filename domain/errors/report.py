"""From a report to what is shown: the last event of a failed turn, or words inside an answer.

Values are redacted here, before anything is cut, so that no half of a secret slips through; rendering makes them inert.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from openrouter_pipe.domain.errors.policy import ErrorPolicy
from openrouter_pipe.domain.errors.reports import ErrorReport, ErrorSubject
from openrouter_pipe.domain.errors.templates import render
from openrouter_pipe.domain.redaction import Redactor
from openrouter_pipe.ports.chat import Failed
from openrouter_pipe.ports.json import JsonValue
from openrouter_pipe.ports.settings import SETTINGS_BY_NAME
from openrouter_pipe.ports.telemetry import Usage

_LONGEST_READ: Final = 32_768
"""Characters of one text that are redacted; far more than is shown, far less than would hold up the event loop."""
_DOUBTFUL_END: Final = 1_024
"""What is thrown away at the end of a text that was too long to be read whole: it may hold the head of a secret."""


def failure(
    report: ErrorReport,
    policy: ErrorPolicy,
    subject: ErrorSubject,
    error_id: str,
    now: datetime | None,
    redactor: Redactor,
    *,
    partial: bool = False,
    usage: Usage | None = None,
) -> Failed:
    """The turn's last event.

    ``error_id`` is 16 hexadecimal characters and stands in the log too, ``now`` is aware, None when nobody knows. ``partial``
    tells that answer text was shown before.
    """
    text = notice(report, policy, subject, error_id, now, redactor)
    return Failed(error_id, report.code, text, report.status, partial=partial, usage=usage)


def notice(
    report: ErrorReport,
    policy: ErrorPolicy,
    subject: ErrorSubject,
    error_id: str,
    now: datetime | None,
    redactor: Redactor,
) -> str:
    """The same rendering as text to append to an answer. Never empty."""
    values: dict[str, JsonValue] = {
        **{name: _redacted(value, redactor) for name, value in report.values.items()},
        "error_id": error_id,
        "timestamp": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if now else "",
        "session_id": subject.session_id,
        "user_id": subject.user_id,
        "support_email": policy.support_email,
        "support_url": policy.support_url,
    }
    own = policy.templates.get(report.template, "")
    return render(own, values).strip() or render(str(SETTINGS_BY_NAME[report.template].default), values)


def _redacted(value: JsonValue, redactor: Redactor) -> JsonValue:
    if isinstance(value, str) and len(value) > _LONGEST_READ:
        return redactor.text(value[:_LONGEST_READ])[:-_DOUBTFUL_END]
    if isinstance(value, Mapping) or (isinstance(value, list | tuple) and value):
        return redactor.json(value)
    return redactor.text(value) if isinstance(value, str) else value
