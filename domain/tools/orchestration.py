"""Running the function calls of one round: side by side, in time, each exactly once, whatever a tool does.

Theory of operation. The calls of a round are cut into batches: calls of one tool run together, up to ``batch_cap``,
unless their arguments ask for more (``batching``: to stand alone, to run after the calls before it, or with nothing
beside it). Batches wait in a queue of ``queue_size``; workers take them in order. A call starts when it holds two
permits, one of its turn and one of the process. Three clocks run: one per call, one per batch from the first of its calls
that started, one for the whole round since anything last moved. A batch waits for its first permit no longer than it may
run; a call that never started is told so to the model and is no failure of its tool.
Whatever ends a call (its answer, an exception, one of the clocks, a breaker, bad arguments) ends it with exactly one
`ToolOutput`; nothing a tool does ends the answer. While a tool waits for a person (`ToolCall.pause`, up to ten minutes a
call) the clocks stand still, and its permit of the process is free for others.

A tool may have sent a mail before it failed, so it is run once per call. Only `ToolNotRunError`, by which a toolbox
says that nothing happened, is tried again.

Closing the generator cancels every running tool and waits ``shutdown_timeout`` seconds for it to let go; a tool that
ignores its cancellation is then left behind with a log line, and its permits are free.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, TypeAlias, TypeVar

from attrs import evolve, frozen

from openrouter_pipe.domain.admission import Admission
from openrouter_pipe.domain.breakers import BreakerPolicy, Breakers, Scope
from openrouter_pipe.domain.tools.arguments import read_arguments
from openrouter_pipe.domain.tools.batching import Batch, Job, batches
from openrouter_pipe.domain.tools.places import Place
from openrouter_pipe.domain.tools.policy import ToolPolicy
from openrouter_pipe.domain.tools.queueing import run_in_order
from openrouter_pipe.domain.tools.schemas import Offer
from openrouter_pipe.domain.tools.stopwatch import PERSON_LIMIT, Stopwatch
from openrouter_pipe.ports.items import FunctionCallItem, TextPart
from openrouter_pipe.ports.runtime import Clock
from openrouter_pipe.ports.tools import Toolbox, ToolCall, ToolNotRunError, ToolOutput, ToolSpec

_T = TypeVar("_T")
_S = TypeVar("_S")

_log: Final = logging.getLogger(__name__)

_MAX_MESSAGE: Final = 2000  # characters of an exception that the model reads
_LONGEST_READ: Final = 32 * 1024  # characters of a failure that are redacted; more would hold up the event loop
_DOUBTFUL_END: Final = 1024  # what is thrown away behind a cut: it may hold the head of a secret
_ATTEMPTS: Final = 3
_FIRST_DELAY: Final = 0.5  # seconds


@frozen
class CallStarted:
    """The tool begins to run."""

    call: FunctionCallItem


@frozen
class CallFinished:
    """The call has its output, good or bad."""

    call: FunctionCallItem
    output: ToolOutput


ToolProgress: TypeAlias = CallStarted | CallFinished


class ToolOrchestrator:
    """Runs calls for every turn of the process; holds the process-wide limit and nothing else."""

    def __init__(self, clock: Clock, breakers: Breakers) -> None:
        self._clock = clock
        self._breakers = breakers
        self._process = Admission("Tools")

    @property
    def running(self) -> int:
        """How many tools run now, over all turns."""
        return self._process.running

    async def run(
        self,
        calls: Sequence[FunctionCallItem],
        toolbox: Toolbox,
        offer: Offer,
        policy: ToolPolicy,
        user_id: str,
        breaker: BreakerPolicy,
        redact: Callable[[str], str] = str,
    ) -> AsyncGenerator[ToolProgress, None]:
        """Run the calls of one round; yields progress as it happens.

        When the generator ends by itself every call has had exactly one `CallFinished`; their order is the order in
        which they ended. ``redact`` is applied to whatever a failing tool says before the model reads it.
        """
        runner = _Round(self._clock, self._breakers, self._process, toolbox, offer, policy, user_id, breaker, redact)
        work = asyncio.ensure_future(runner.run(calls))
        try:
            for _ in range(2 * len(calls)):
                progress = await runner.next_progress(work)
                if progress is None:
                    break
                yield progress
            await work
        finally:
            await runner.stop(work)


class _Round:
    """The state of one round of calls."""

    def __init__(
        self,
        clock: Clock,
        breakers: Breakers,
        process: Admission,
        toolbox: Toolbox,
        offer: Offer,
        policy: ToolPolicy,
        user_id: str,
        breaker: BreakerPolicy,
        redact: Callable[[str], str],
    ) -> None:
        self._clock = clock
        self._breakers = breakers
        self._process = process
        self._toolbox = toolbox
        self._offer = offer
        self._policy = policy
        self._user_id = user_id
        self._breaker = breaker
        self._redact = redact
        self._turn = asyncio.Semaphore(policy.max_parallel_per_request)
        self._progress: deque[ToolProgress] = deque()  # at most two entries for each call of the round
        self._wake: Callable[[], None] = _nothing
        self._quiet = Stopwatch(clock)

    async def next_progress(self, work: asyncio.Future[None]) -> ToolProgress | None:
        """The next thing that happened; None when the round is over and all was told."""
        while not self._progress and not work.done():
            news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._wake = partial(_settle, news)
            await _either(news, work)
        return self._progress.popleft() if self._progress else None

    async def stop(self, work: asyncio.Future[None]) -> None:
        """Cancel what still runs and wait for it, within the time for clean-up."""
        await self._cancel(work, "the turn ended")

    async def run(self, calls: Sequence[FunctionCallItem]) -> None:
        """Run all calls; returns when each has its output."""
        jobs = [job for call in calls if (job := self._prepare(call)) is not None]
        if not jobs:
            return
        waiting = batches(jobs, self._policy.batch_cap)
        if len(waiting) == 1:  # the common case needs neither queue nor workers
            await self._run_batch(waiting[0])
            return
        workers = self._policy.max_parallel_per_request
        await run_in_order(waiting, self._run_batch, workers, self._policy.queue_size)

    def _prepare(self, call: FunctionCallItem) -> Job | None:
        """Check a call before anything runs; a call that cannot run gets its output here."""
        spec = self._offer.specs.get(call.name)
        if spec is None:
            names = ", ".join(sorted(self._offer.specs)) or "none"
            self._fail(call, "unknown_tool", f"There is no tool called {call.name!r}. Tools on offer: {names}.")
            return None
        try:
            arguments = read_arguments(call.arguments, spec.parameters)
        except ValueError as error:
            self._fail(call, "bad_arguments", str(error))
            return None
        if not self._breakers.allows(self._key(spec), self._breaker):
            self._fail(call, "breaker_open", f"{spec.name} failed repeatedly and is skipped for a while.")
            return None
        return Job(call, spec, arguments)

    async def _run_batch(self, batch: Batch) -> None:
        watch = Stopwatch(self._clock, self._quiet)
        runs = {asyncio.ensure_future(self._run_call(job, batch, watch)): job for job in batch.jobs}
        together = asyncio.gather(*runs, return_exceptions=True)
        try:
            await self._within(together, self._batch_watch(batch, watch))
            for run, job in runs.items():
                if not run.done():
                    code, message = self._why_batch_ended(job)
                    await self._cancel(run, f"{job.spec.name} ran out of time")
                    self._finish(job, _failed(job.call, code, message), counts=job.started)
                elif not job.ended:
                    error = None if run.cancelled() else run.exception()
                    _log.error("Running %s failed", job.spec.name, exc_info=error)
                    self._finish(job, _failed(job.call, "internal_error", f"{job.spec.name} could not be run."))
        finally:
            for run in runs:
                run.cancel()
            await asyncio.gather(*runs, return_exceptions=True)

    async def _batch_watch(self, batch: Batch, watch: Stopwatch) -> None:
        """Return when the batch is out of time, or when nothing in the round has moved for too long.

        The first call that starts restarts ``watch``: until then the time is that of waiting for a place, in which no
        progress can be expected.
        """
        idle = self._policy.idle_timeout
        while (left := watch.left(self._policy.batch_timeout)) > 0:
            waits = not any(job.started for job in batch.jobs)
            quiet = left if idle is None or waits else self._quiet.left(idle)
            if quiet <= 0:
                return
            await self._quiet.sleep(min(left, quiet))

    def _why_batch_ended(self, job: Job) -> tuple[str, str]:
        if not job.started:
            return "not_started", f"{job.spec.name} did not run: no place for it came free in time. Try again later."
        idle = self._policy.idle_timeout
        if idle is not None and self._quiet.left(idle) <= 0:
            return "idle_timeout", f"No tool made progress for {idle:g} seconds; the call was stopped."
        return "batch_timeout", f"The batch of tool calls took longer than {self._policy.batch_timeout:g} seconds."

    async def _run_call(self, job: Job, batch: Batch, batch_watch: Stopwatch) -> None:
        async with self._turn, Place(self._process, self._user_id, self._policy.max_parallel_global) as place:
            if not any(other.started for other in batch.jobs):
                batch_watch.restart()
            job.started = True
            self._tell(CallStarted(job.call))
            watch = Stopwatch(self._clock, batch_watch)
            tool = asyncio.ensure_future(self._guarded(job, watch, place))
            try:
                if await self._within(tool, watch.expire(self._policy.timeout)):
                    output, counts = _cancelled(job) if tool.cancelled() else tool.result()
                else:
                    nobody = watch.asked >= PERSON_LIMIT
                    code, message = self._why_call_ended(job, place, nobody_answered=nobody)
                    await self._cancel(tool, f"{job.spec.name} ran out of time")
                    output, counts = _failed(job.call, code, message), not nobody
                self._finish(job, output, counts=counts)
            finally:
                await self._cancel(tool, "the turn ended")

    def _why_call_ended(self, job: Job, place: Place, *, nobody_answered: bool) -> tuple[str, str]:
        if nobody_answered and place.waiting:
            return "not_started", f"{job.spec.name} did not run: no place for it came free in time. Try again later."
        if nobody_answered:
            message = f"{job.spec.name} asked the user, who did not answer within {PERSON_LIMIT:g} seconds."
            return "timeout", message
        return "timeout", f"{job.spec.name} took longer than {self._policy.timeout:g} seconds and was stopped."

    async def _guarded(self, job: Job, watch: Stopwatch, place: Place) -> tuple[ToolOutput, bool]:
        """Run the tool; never raises. True in the answer counts for the breaker.

        A cancellation is swallowed whoever sent it: the answer of a call that we cancelled is not read any more, and a
        tool that cancels the task it runs in must not take the round with it.
        """

        @asynccontextmanager
        async def pause() -> AsyncGenerator[None, None]:
            with watch.paused():
                async with place.lent():
                    yield

        call = ToolCall(job.call.call_id, job.spec.name, job.arguments, job.spec.kind, pause)
        try:
            return self._checked(job.call, await self._attempts(call)), False
        except asyncio.CancelledError:
            return _cancelled(job)
        except BaseException as error:  # noqa: BLE001 - documented edge: a tool is foreign code, even SystemExit stops here
            _log.warning("Tool %s failed with %s", job.spec.name, type(error).__name__)
            return _failed(job.call, "tool_error", self._told(_words(error))[:_MAX_MESSAGE]), True

    def _checked(self, call: FunctionCallItem, output: ToolOutput) -> ToolOutput:
        """The output under its call's own id; what a failure says is redacted, whoever put it into words."""
        output = evolve(output, call_id=call.call_id)
        if output.ok:
            return output
        parts = tuple(TextPart(self._told(part.text)) if isinstance(part, TextPart) else part for part in output.parts)
        return evolve(output, text=self._told(output.text), parts=parts)

    def _told(self, text: str) -> str:
        """What a failure says, redacted; of a long one the beginning. Cut first, so that the time is bounded."""
        if len(text) <= _LONGEST_READ:
            return self._redact(text)
        return self._redact(text[:_LONGEST_READ])[:-_DOUBTFUL_END] + "\n[cut off]"

    async def _attempts(self, call: ToolCall) -> ToolOutput:
        delay = _FIRST_DELAY
        for _ in range(_ATTEMPTS - 1):
            try:
                return await self._toolbox.run(call)
            except ToolNotRunError as error:
                _log.info("Tool %s did not run (%s); trying again", call.name, type(error).__name__)
                await self._clock.sleep(delay)
                delay *= 2
        return await self._toolbox.run(call)

    async def _within(self, work: asyncio.Future[_T], limit: Awaitable[None]) -> bool:
        """Whether ``work`` ended before ``limit`` did; raises nothing of either."""
        watch = asyncio.ensure_future(limit)
        try:
            await _either(work, watch)
            return work.done()
        finally:
            watch.cancel()

    async def _cancel(self, work: asyncio.Future[_T], why: str) -> None:
        if work.done():
            return
        work.cancel()
        if self._policy.shutdown_timeout <= 0:
            return
        if not await self._within(work, self._clock.sleep(self._policy.shutdown_timeout)):
            _log.warning("A tool ignores its cancellation (%s) and is left behind", why)

    def _fail(self, call: FunctionCallItem, code: str, message: str) -> None:
        self._tell(CallFinished(call, _failed(call, code, message)))

    def _finish(self, job: Job, output: ToolOutput, *, counts: bool = False) -> None:
        job.ended = True
        if counts:
            self._breakers.failure(self._key(job.spec), self._breaker)
        elif output.ok:
            self._breakers.success(self._key(job.spec))
        self._tell(CallFinished(job.call, output))

    def _key(self, spec: ToolSpec) -> tuple[str, ...]:
        return (Scope.TOOL, self._user_id, spec.kind, spec.name)

    def _tell(self, progress: ToolProgress) -> None:
        self._quiet.restart()
        self._progress.append(progress)
        self._wake()


def _nothing() -> None:
    """Nobody waits for news."""


def _settle(news: asyncio.Future[None]) -> None:
    if not news.done():
        news.set_result(None)


async def _either(one: asyncio.Future[_T], other: asyncio.Future[_S]) -> None:
    """Return when one of two futures is done, whatever its outcome; cancels neither."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake(_: object) -> None:
        _settle(done)

    one.add_done_callback(wake)
    other.add_done_callback(wake)
    try:
        await done
    finally:
        one.remove_done_callback(wake)
        other.remove_done_callback(wake)


def _failed(call: FunctionCallItem, code: str, message: str) -> ToolOutput:
    text = json.dumps({"error": {"code": code, "message": message}}, ensure_ascii=False)
    return ToolOutput(call.call_id, text, ok=False, reason=code)


def _cancelled(job: Job) -> tuple[ToolOutput, bool]:
    return _failed(job.call, "cancelled", f"{job.spec.name} cancelled itself."), True


def _words(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - documented edge: the words of an exception are foreign code too
        return type(error).__name__
