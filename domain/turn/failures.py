"""How a failed turn is told: to the user as a rendered template, to the operator as a log line with the same id."""

from __future__ import annotations

import functools
import hashlib
import logging

from openrouter_pipe.domain.errors import situations
from openrouter_pipe.domain.errors.policy import ErrorPolicy
from openrouter_pipe.domain.errors.report import failure, notice
from openrouter_pipe.domain.errors.reports import ErrorReport, ErrorSubject
from openrouter_pipe.domain.redaction import Redactor
from openrouter_pipe.domain.turn.services import Services
from openrouter_pipe.ports.chat import ChatRequest, Failed
from openrouter_pipe.ports.provider import ProviderFault
from openrouter_pipe.ports.settings import Settings, secrets_of
from openrouter_pipe.ports.telemetry import Usage

_log = logging.getLogger(__name__)


class TurnRefusedError(Exception):
    """A step of the turn says that there will be no answer, and why. ``fault`` is the provider's part in it."""

    def __init__(self, report: ErrorReport, fault: ProviderFault | None = None) -> None:
        super().__init__(report.code)
        self.report = report
        self.fault = fault


class Failures:
    """Renders and logs the failures of one turn; ``policy`` and ``subject`` are set as the turn learns them.

    ``redactor`` is for what failures say, ``own`` for what must keep its meaning otherwise.
    """

    def __init__(self, services: Services, request: ChatRequest) -> None:
        identity = request.identity
        self.policy = ErrorPolicy({})
        self.subject = ErrorSubject(
            requested_model=request.model, session_id=identity.session_id, user_id=identity.user_id
        )
        self.redactor, self.own = _redactors(request.settings)
        self._services = services
        self._request_id = request.request_id

    def failed(
        self, report: ErrorReport, fault: ProviderFault | None, *, partial: bool = False, usage: Usage | None = None
    ) -> Failed:
        """The last event of the turn."""
        error_id, now = self._services.ids.error_id(), self._services.clock.now()
        self._note(report, fault, error_id)
        return failure(report, self.policy, self.subject, error_id, now, self.redactor, partial=partial, usage=usage)

    def words(self, report: ErrorReport) -> str:
        """The same as text inside an answer."""
        error_id, now = self._services.ids.error_id(), self._services.clock.now()
        self._note(report, None, error_id)
        return notice(report, self.policy, self.subject, error_id, now, self.redactor)

    def crashed(self, error: Exception, *, partial: bool, usage: Usage | None) -> Failed:
        """The last event after something unexpected; the log has the traceback, the user only the class of the error."""
        report = situations.internal(type(error).__name__)
        last = self.failed(report, None, partial=partial, usage=usage)
        _log.error("unexpected error in a turn, error_id=%s", last.error_id, exc_info=error)
        return last

    def bare(
        self, report: ErrorReport, error: Exception, second: Exception, *, partial: bool, usage: Usage | None
    ) -> Failed:
        """The last event where the clock or the ids do not work: the ID is made of the request's own, the time is left out.

        ``error`` ended the turn, ``second`` kept it from being told as usual.
        """
        error_id = hashlib.sha256(self._request_id.encode("utf-8", "replace")).hexdigest()[:16]
        self._note(report, None, error_id)
        _log.error("unexpected error in a turn, error_id=%s", error_id, exc_info=error)
        _log.error("and another one while it was told, error_id=%s", error_id, exc_info=second)
        return failure(report, self.policy, self.subject, error_id, None, self.redactor, partial=partial, usage=usage)

    def _note(self, report: ErrorReport, fault: ProviderFault | None, error_id: str) -> None:
        detail = (
            "" if fault is None else self.redactor.text(f": {fault.kind.value} {fault.status or ''} {fault.message}")
        )
        _log.warning("turn not answered as it should: %s%s, error_id=%s", report.code, detail[:2000], error_id)


@functools.lru_cache(maxsize=128)
def _redactors(settings: Settings) -> tuple[Redactor, Redactor]:
    """For what failures say, and for what has to keep its meaning."""
    secrets = secrets_of(settings)
    return Redactor(secrets), Redactor(secrets, own_only=True)
