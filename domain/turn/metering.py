"""What a turn reports to the operator: metrics, and costs where they are exported. Never fails, never waits long."""

from __future__ import annotations

from openrouter_pipe.domain.turn.services import Services
from openrouter_pipe.ports.chat import ChatRequest, Completed, Failed
from openrouter_pipe.ports.telemetry import CostSnapshot, Usage


class Meter:
    """The measurements of one turn; times in seconds."""

    def __init__(self, services: Services, request: ChatRequest) -> None:
        self._services = services
        self._request = request
        self._kind = "chat" if request.task is None else "task"
        self._began = services.clock.monotonic()
        self._first_seen = False

    @property
    def seconds(self) -> float:
        """How long the turn has taken so far."""
        return self._services.clock.monotonic() - self._began

    def load(self) -> None:
        """How many turns run and wait now; told when a turn starts and when it has ended, however it ended."""
        self._services.metrics.gauge("turns_running", self._services.admission.running)
        self._services.metrics.gauge("turns_waiting", self._services.admission.waiting)

    def first_event(self) -> None:
        """Something of the answer was shown; only the first time counts."""
        if not self._first_seen:
            self._first_seen = True
            self._services.metrics.observe("time_to_first_event_seconds", self.seconds, {"kind": self._kind})

    def tool(self, ok: bool) -> None:
        """One tool call ended."""
        self._services.metrics.count("tool_calls", 1, {"outcome": "ok" if ok else "failed"})

    def end(self, last: Completed | Failed | None) -> None:
        """The turn is over; without a last event its user ended it."""
        metrics = self._services.metrics
        if last is None:
            metrics.count("turns", 1, {"kind": self._kind, "outcome": "cancelled"})
            return
        outcome = "completed" if isinstance(last, Completed) else last.code
        metrics.count("turns", 1, {"kind": self._kind, "outcome": outcome})
        metrics.observe("turn_seconds", self.seconds, {"kind": self._kind})
        if (usage := last.usage) is not None:
            metrics.count("tokens", usage.input_tokens, {"direction": "input"})
            metrics.count("tokens", usage.output_tokens, {"direction": "output"})
            metrics.count("cost_usd", usage.cost or 0.0)

    async def cost(self, usage: Usage | None, model: str, ttl_seconds: int | None) -> None:
        """Export what one provider round cost, if that is wanted and everything about it is known."""
        sink, who = self._services.costs, self._request.identity
        if sink is None or ttl_seconds is None or usage is None or not usage.raw:
            return
        if not (who.user_id and who.email and who.name and model):
            return
        now = self._services.clock.now().timestamp()
        snapshot = CostSnapshot(who.user_id, who.email, who.name, model, usage.raw, now)
        await sink.record(who.user_id, snapshot, ttl_seconds)
