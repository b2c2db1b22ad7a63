"""The answer of one turn: `Turn.answer` is the table of contents of the product, the other modules are its chapters.

Around it, in `openrouter_pipe.domain.conversation`: checks before anything is spent, admission, and the last resort for the
unexpected.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

import attrs

from openrouter_pipe.domain import tasks
from openrouter_pipe.domain import usage as usages
from openrouter_pipe.domain.history.build import repair
from openrouter_pipe.domain.history.families import without_proofs
from openrouter_pipe.domain.policies import TurnPolicies
from openrouter_pipe.domain.streaming.reducer import TurnReducer
from openrouter_pipe.domain.turn import preparation
from openrouter_pipe.domain.turn.attempts import ATTEMPTS, Attempts
from openrouter_pipe.domain.turn.ending import FAILED, Ending
from openrouter_pipe.domain.turn.failures import Failures
from openrouter_pipe.domain.turn.memory import Memory
from openrouter_pipe.domain.turn.metering import Meter
from openrouter_pipe.domain.turn.preparation import Prepared
from openrouter_pipe.domain.turn.rounds import Round
from openrouter_pipe.domain.turn.scrubbing import without_own
from openrouter_pipe.domain.turn.services import Services
from openrouter_pipe.domain.turn.tool_round import INTERRUPTED, LIMIT_REACHED, ToolRound, tokens_left
from openrouter_pipe.ports.chat import ChatEvent, ChatRequest, Failed, NoticeAdded, StatusChanged
from openrouter_pipe.ports.items import InputItem
from openrouter_pipe.ports.provider import FinishStatus, ProviderRequest
from openrouter_pipe.ports.telemetry import Usage


class Turn:
    """The state of one turn. ``seen`` tells whether the front end has anything of the answer."""

    def __init__(
        self, services: Services, request: ChatRequest, policies: TurnPolicies, failures: Failures, meter: Meter
    ) -> None:
        self.seen = False
        self.usage: Usage | None = None
        self._services = services
        self._request = request
        self._policies = policies
        self._failures = failures
        self._meter = meter
        self._memory = Memory(services, request, policies)
        is_task = request.task is not None
        thinking = "none" if is_task else policies.streaming.thinking_output_mode
        self._reducer = TurnReducer(services.clock, services.ids, thinking, quiet=is_task)
        self._made: tuple[InputItem, ...] = ()
        self._tail: tuple[InputItem, ...] = ()
        self._refused = 0  # the first so many of what was made are sent without the reasoning that was refused
        self._tool_rounds = 0
        self._provider_seconds = 0.0

    async def answer(self) -> AsyncGenerator[ChatEvent, None]:
        """The whole answer; the last event is `Completed` or `Failed`. Raises `TurnRefusedError` before any event."""
        services, request, policies = self._services, self._request, self._policies
        preparation.check_breaker(services, request.identity.user_id, policies)
        model, catalog = await preparation.resolve(services, request, policies, self._failures.subject)
        self._failures.subject = preparation.subject_of(model, request, self._failures.subject)
        prepared = await preparation.prepare(services, request, policies, model, catalog, self._memory)
        ending = Ending(services, request, policies, self._failures, self._memory, self._reducer)
        for warning in ending.warnings(prepared.warnings):
            yield warning
        ask = prepared.request
        while True:
            self._reducer.begin_round()
            round_ = self._round(ask, prepared)
            stream = round_.events()
            try:
                async for event in stream:
                    self.seen = self.seen or round_.seen
                    yield event
            finally:
                await stream.aclose()
            await self._account(round_)
            made = self._reducer.calls() if prepared.offer.functions else ()
            calls = ToolRound(made, self._reducer, prepared.model.card.capabilities.inputs)
            if not self._goes_on(round_, calls):
                break
            async with aclosing(self._tools(calls, prepared, ending)) as work:
                async for event in work:
                    self.seen = True
                    yield event
            ask = self._next(round_, calls, prepared)
        for event in calls.refuse(INTERRUPTED, "interrupted"):
            yield event
        self._made += (*self._reducer.items(), *calls.items(None))
        seconds = (self._meter.seconds, self._provider_seconds)
        if round_.fault is None:
            closing = ending.completed(self._made, self.usage, seconds)
        else:
            closing = ending.failed(round_.fault, self._made, self.usage, seen=self.seen)
        async with aclosing(closing) as events:
            async for event in events:
                yield event

    def after_crash(self, last: Failed) -> Iterable[ChatEvent]:
        """What precedes the last event when something unexpected ended the turn."""
        if self._request.task is None and last.partial:
            yield NoticeAdded(last.text)
        if self._request.task is None and self._reducer.status_shown:
            yield StatusChanged(FAILED, done=True)

    def _round(self, ask: ProviderRequest, prepared: Prepared) -> Round:
        request, policies, services = self._request, self._policies, self._services
        attempts = Attempts(
            services.clock,
            services.randomness,
            limit=ATTEMPTS if request.task is None else tasks.ATTEMPTS,
            total_timeout=policies.connection.total_timeout,
            fallback=preparation.fallback_for(request, policies, prepared, ask, self._tail),
        )
        files = request.files if request.persistent else None  # other turns leave nothing behind
        return Round(services, self._reducer, attempts, ask, policies.connection, policies.streaming, files)

    async def _account(self, round_: Round) -> None:
        """Add up what the round cost."""
        self._provider_seconds += round_.seconds
        self.usage = usages.add(self.usage, round_.usage)
        finish = self._reducer.finish
        model = (finish.model if finish is not None else None) or round_.request.model
        await self._meter.cost(round_.usage, model, self._policies.cost_ttl_seconds)

    def _goes_on(self, round_: Round, calls: ToolRound) -> bool:
        """Whether tools of ours are to run and another round is to follow.

        Not after an incomplete answer: its last call may be cut off. Not after a request without tools either: it was the
        last one. Calls that are not ours (of a caller's own tools, or made up where we offer none) are the caller's.
        """
        finish = self._reducer.finish
        whole = round_.fault is None and finish is not None and finish.status is FinishStatus.COMPLETED
        return whole and bool(round_.request.tools) and bool(calls.calls)

    async def _tools(self, calls: ToolRound, prepared: Prepared, ending: Ending) -> AsyncGenerator[ChatEvent, None]:
        """Run the calls, or refuse them when the turn has had its number of tool rounds."""
        self._tool_rounds += 1
        policies = self._policies
        if self._tool_rounds > policies.tools.max_loops:
            for event in (*calls.refuse(LIMIT_REACHED, "limit"), ending.limit_notice(policies.tools.max_loops)):
                yield event
            return
        toolbox = self._request.toolbox
        if toolbox is None:
            return
        progress = self._services.tools.run(
            calls.calls,
            toolbox,
            prepared.offer,
            policies.tools,
            self._request.identity.user_id,
            policies.breaker,
            self._failures.redactor.text,
        )
        async with aclosing(calls.events(without_own(progress, self._failures.own))) as events:
            async for event in events:
                yield event
        for ok in calls.outcomes():
            self._meter.tool(ok)

    def _next(self, round_: Round, calls: ToolRound, prepared: Prepared) -> ProviderRequest:
        """The next round's request: what was sent, then everything of this turn in the provider's order, then outputs."""
        sent = round_.request
        used = round_.usage.total_tokens if round_.usage is not None else 0
        outputs = calls.items(tokens_left(prepared.model.card.context_length, used))
        if sent.input[len(sent.input) - len(self._tail) :] != self._tail:  # a recovery has taken reasoning out of it
            self._tail, self._refused = without_proofs(self._tail), len(self._made)
        history = sent.input[: len(sent.input) - len(self._tail)]
        self._made += (*self._reducer.items(), *outputs)
        made = (*without_proofs(self._made[: self._refused]), *self._made[self._refused :])
        self._tail = repair(made, history)
        following = attrs.evolve(sent, input=(*history, *self._tail))
        if self._tool_rounds > self._policies.tools.max_loops:
            return attrs.evolve(following, tools=(), tool_choice=None, parallel_tool_calls=None)
        if sent.tool_choice in (None, "auto", "none"):
            return following
        return attrs.evolve(following, tool_choice="auto")  # a forced call has been made; forcing it again never ends
