"""How a turn ends: what is stored, the notices, the last status line and the one terminal event."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Final

from openrouter_pipe.domain import usage as usages
from openrouter_pipe.domain.breakers import Scope
from openrouter_pipe.domain.errors.classify import classify, counts_as_failure
from openrouter_pipe.domain.errors.situations import loops_reached
from openrouter_pipe.domain.history import markers
from openrouter_pipe.domain.policies import TurnPolicies
from openrouter_pipe.domain.streaming.reducer import TurnReducer
from openrouter_pipe.domain.streaming.stage import told
from openrouter_pipe.domain.turn.failures import Failures
from openrouter_pipe.domain.turn.memory import TROUBLE, Memory
from openrouter_pipe.domain.turn.services import Services
from openrouter_pipe.ports.chat import (
    ChatEvent,
    ChatRequest,
    Completed,
    MarkersIssued,
    NoticeAdded,
    Notified,
    Severity,
    StatusChanged,
)
from openrouter_pipe.ports.items import FunctionCallItem, FunctionOutputItem, InputItem, MessageItem, Role
from openrouter_pipe.ports.provider import FinishStatus, ProviderFault
from openrouter_pipe.ports.telemetry import Usage

FAILED: Final = "Failed"
"""The last status line of a turn that failed after it had shown another."""

_CUT_OFF: Final = {
    "max_output_tokens": "*The answer ends here because it reached the limit of output tokens.*",
    "content_filter": "*The answer ends here because of the provider's content filter.*",
}
_NO_WORD: Final = re.compile(r"[^a-z0-9_-]+")
_REASON_LENGTH: Final = 64


class Ending:
    """The last words of one turn, and those in between that are ours."""

    def __init__(
        self,
        services: Services,
        request: ChatRequest,
        policies: TurnPolicies,
        failures: Failures,
        memory: Memory,
        reducer: TurnReducer,
    ) -> None:
        self._services = services
        self._request = request
        self._policies = policies
        self._failures = failures
        self._memory = memory
        self._reducer = reducer
        self._key = (Scope.REQUEST, request.identity.user_id)
        self._is_task = request.task is not None
        self._told_of_trouble = False

    def warnings(self, lines: Sequence[str] = ()) -> Iterable[ChatEvent]:
        """What the user should know beside the answer; trouble with the memory is told once a turn.

        ``lines`` say what of the user's message the model has not been given, which no reader of the answer may miss.
        """
        trouble = self._memory.trouble and not self._told_of_trouble
        self._told_of_trouble = self._told_of_trouble or trouble
        if self._is_task:
            return ()
        told = [Notified(line, Severity.WARNING, in_answer=True) for line in lines]
        return [*told, Notified(TROUBLE, Severity.WARNING)] if trouble else told

    def limit_notice(self, limit: int) -> NoticeAdded:
        """The tool rounds have come to their limit."""
        return NoticeAdded(self._failures.words(loops_reached(limit)))

    async def completed(
        self, items: Sequence[InputItem], usage: Usage | None, seconds: tuple[float, float]
    ) -> AsyncGenerator[ChatEvent, None]:
        """The turn has its answer. ``seconds`` are those of the turn and those of the provider."""
        self._services.breakers.success(self._key)
        finish = self._reducer.finish
        reason = None
        if finish is not None and finish.status is FinishStatus.INCOMPLETE:
            reason = finish.reason or "incomplete"
        model = (finish.model if finish is not None else None) or self._failures.subject.api_model_id
        notice = "" if reason is None else _CUT_OFF.get(reason, f"*The answer is incomplete ({_word(reason)}).*")
        if notice and not self._is_task:
            yield NoticeAdded(notice)
        issued = _issued(await self._memory.save(items, model), items, notice)
        await self._memory.forget()
        for event in self._closing(issued, self._last_line(usage, seconds)):
            yield event
        yield Completed(usage, model, reason)

    async def failed(
        self, fault: ProviderFault, items: Sequence[InputItem], usage: Usage | None, *, seen: bool
    ) -> AsyncGenerator[ChatEvent, None]:
        """The provider failed for good. ``seen``: something of the answer was shown, and stays."""
        if counts_as_failure(fault):
            self._services.breakers.failure(self._key, self._policies.breaker)
        subject = self._failures.subject
        report = classify(fault, subject, partial=seen)
        last = self._failures.failed(report, fault, partial=seen, usage=usage)
        issued = None
        if seen and not self._is_task:
            yield NoticeAdded(last.text)
            issued = _issued(await self._memory.save(items, subject.api_model_id), items, f"\n{last.text}")
        for event in self._closing(issued, FAILED if self._reducer.status_shown else ""):
            yield event
        yield last

    def _closing(self, issued: MarkersIssued | None, line: str) -> Iterable[ChatEvent]:
        if issued is not None:
            yield issued
        yield from self.warnings()
        if line and not self._is_task:
            yield StatusChanged(line, done=True)

    def _last_line(self, usage: Usage | None, seconds: tuple[float, float]) -> str:
        if self._policies.streaming.show_final_usage_status:
            return usages.final_status(usage, *seconds)
        return usages.DONE if self._reducer.status_shown else ""


def _word(reason: str) -> str:
    """A reason that nobody knows, as far as it is a word: it comes from a stranger and stands in Markdown."""
    return _NO_WORD.sub(" ", reason[:_REASON_LENGTH].lower()).strip() or "no reason given"


def _issued(ids: Sequence[str], items: Sequence[InputItem], last: str) -> MarkersIssued | None:
    """The block of markers behind ``items`` and the ``last`` words of ours, None without any."""
    if not ids:
        return None
    calls = [place for place, item in enumerate(items, 1) if isinstance(item, FunctionCallItem | FunctionOutputItem)]
    alone = items[calls[-1] :] if calls else items  # a host that keeps messages apart cuts where tools were called
    text = markers.render(ids, _text(items) + last)
    apart = markers.render(ids, _text(alone) + last)
    return MarkersIssued(text, None if apart == text else apart)


def _text(items: Sequence[InputItem]) -> str:
    """The answer's text, as far as it matters for what may follow it."""
    return "\n".join(told(item) for item in items if isinstance(item, MessageItem) and item.role is Role.ASSISTANT)
