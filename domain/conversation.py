"""Conversation: answers turns. One call of `Conversation.respond` is one turn from request to last event.

Here stand the edges of a turn: what is checked before anything is spent, admission, and the last resort for whatever nobody
foresaw. What happens in between is told by `openrouter_pipe.domain.turn.turn.Turn.answer`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from typing import Final

from openrouter_pipe.domain.admission import Admission, BusyError
from openrouter_pipe.domain.breakers import Breakers, Scope
from openrouter_pipe.domain.catalog.catalog import shown_id
from openrouter_pipe.domain.catalog.selection import exposed
from openrouter_pipe.domain.catalog.service import CatalogService, CatalogUnavailableError
from openrouter_pipe.domain.errors.classify import counts_as_failure
from openrouter_pipe.domain.errors.reports import ErrorReport
from openrouter_pipe.domain.errors.situations import busy, internal, not_configured
from openrouter_pipe.domain.policies import TurnPolicies
from openrouter_pipe.domain.tools.orchestration import ToolOrchestrator
from openrouter_pipe.domain.turn import preparation
from openrouter_pipe.domain.turn.failures import Failures, TurnRefusedError
from openrouter_pipe.domain.turn.metering import Meter
from openrouter_pipe.domain.turn.services import Services
from openrouter_pipe.domain.turn.turn import Turn
from openrouter_pipe.ports.artifacts import ArtifactStore
from openrouter_pipe.ports.chat import ChatEvent, ChatRequest, Completed, Failed, ModelListing
from openrouter_pipe.ports.files import RemoteFetcher
from openrouter_pipe.ports.items import ItemCodec
from openrouter_pipe.ports.provider import ResponsesProvider
from openrouter_pipe.ports.runtime import Clock, Ids, Randomness
from openrouter_pipe.ports.settings import SettingError, Settings
from openrouter_pipe.ports.telemetry import CostSink, Metrics

_log = logging.getLogger(__name__)

_LAST: Final = (Completed, Failed)  # named once: a union would be made anew for each delta
_SPEECHLESS: Final = (
    "### Unexpected error\n\nSomething unexpected went wrong while this was answered. Please try again.\n"
)
"""What is said when not even an error can be rendered."""


class StrayCancellationError(Exception):
    """A port was cancelled and the turn was not: passed on as it is, the host would take it for its user's own stop."""


class Conversation:
    """`ChatService` over the ports; one per process and pipe, safe for any number of turns at once.

    Holds nothing of a turn and nothing of the settings: ``policies`` reads them anew for each turn.
    """

    def __init__(
        self,
        provider: ResponsesProvider,
        catalog: CatalogService,
        admission: Admission,
        breakers: Breakers,
        store: ArtifactStore | None,
        codec: ItemCodec,
        clock: Clock,
        ids: Ids,
        randomness: Randomness,
        policies: Callable[[Settings], TurnPolicies],
        metrics: Metrics,
        fetcher: RemoteFetcher,
        costs: CostSink | None = None,
        tools: ToolOrchestrator | None = None,
    ) -> None:
        self._services = Services(
            provider=provider,
            catalog=catalog,
            admission=admission,
            breakers=breakers,
            store=store,
            codec=codec,
            clock=clock,
            ids=ids,
            randomness=randomness,
            policies=policies,
            metrics=metrics,
            tools=tools or ToolOrchestrator(clock, breakers),
            costs=costs,
            fetcher=fetcher,
        )

    async def respond(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Answer one turn; see `ChatService.respond`.

        Nothing but cancellation is raised. Closing the generator closes whatever the turn has open, from the inside out.
        """
        services = self._services
        failures: Failures | None = None
        meter: Meter | None = None
        policies: TurnPolicies | None = None
        turn: Turn | None = None
        last: Completed | Failed | None = None
        told = False
        try:
            failures = Failures(services, request)
            meter = Meter(services, request)
            policies = services.policies(request.settings)
            failures.policy = policies.errors
            preparation.check(request, policies)
            preparation.check_breaker(services, request.identity.user_id, policies)  # and again when its place is free
            async with services.admission.permit(request.identity.user_id, policies.admission):
                meter.load()
                turn = Turn(services, request, policies, failures, meter)
                answer = turn.answer()
                try:  # and not aclosing: of an open stream every object is one more for each full garbage collection
                    async for event in answer:
                        if not told and turn.seen:
                            told = True
                            meter.first_event()
                        if isinstance(event, _LAST):
                            last = event
                            break
                        yield event
                except asyncio.CancelledError as error:
                    task = asyncio.current_task()
                    if task is None or task.cancelling():
                        raise
                    raise StrayCancellationError from error
                finally:
                    await answer.aclose()
        except Exception as error:  # noqa: BLE001 - the edge: whatever nobody foresaw ends the turn, not the host
            end = self._told(error, request, failures, policies, turn)
            for event in turn.after_crash(end) if turn is not None and last is None else ():
                yield event
            last = last or end
        finally:
            _measure(meter, last)
        if last is not None:
            yield last

    def _told(
        self,
        error: Exception,
        request: ChatRequest,
        failures: Failures | None,
        policies: TurnPolicies | None,
        turn: Turn | None,
    ) -> Failed:
        """The last event of a turn that ``error`` ended. Never raises: what tells a failure may itself be what is broken."""
        seen, usage = (turn.seen, turn.usage) if turn is not None else (False, None)
        if failures is None:
            _log.error("unexpected error before a turn began", exc_info=error)
            return Failed("", "internal_error", _SPEECHLESS)
        try:
            match error:
                case TurnRefusedError(report=report, fault=fault):
                    if fault is not None and policies is not None and counts_as_failure(fault):
                        self._services.breakers.failure((Scope.REQUEST, request.identity.user_id), policies.breaker)
                    return failures.failed(report, fault)
                case BusyError():
                    return failures.failed(busy(), None)
                case SettingError():
                    _log.error("a setting cannot be read, and nothing is sent: %s", error)
                    return failures.failed(not_configured(str(error)), None)
                case _:
                    return failures.crashed(error, partial=seen, usage=usage)
        except Exception as second:  # noqa: BLE001 - the edge of the edge: the clock or the ids do not work either
            try:
                return failures.bare(_report_of(error), error, second, partial=seen, usage=usage)
            except Exception:  # noqa: BLE001 - and nor does the template
                _log.exception("a failed turn (%s) could not be told", type(error).__name__)
        return Failed("", "internal_error", _SPEECHLESS, partial=seen, usage=usage)

    async def models(self, settings: Settings) -> tuple[ModelListing, ...]:
        """The models that these settings expose; never raises, empty when no catalogue is to be had."""
        try:
            policies = self._services.policies(settings)
            # A raised limit lets waiting turns run before the next turn comes: the host lists models when valves change.
            self._services.admission.apply(policies.admission)
            catalog = await self._services.catalog.current(policies.connection, policies.catalog_refresh_seconds)
            cards = exposed(catalog, policies.selection)
        except CatalogUnavailableError:
            return ()
        except Exception:  # noqa: BLE001 - the same edge: a list that fails must not take the host's whole model list with it
            _log.exception("the list of models could not be made")
            return ()
        return tuple(ModelListing(shown_id(card), card.name, card.description) for card in cards)


def _report_of(error: Exception) -> ErrorReport:
    match error:
        case TurnRefusedError(report=report):
            return report
        case BusyError():
            return busy()
        case _:
            return internal(type(error).__name__)


def _measure(meter: Meter | None, last: Completed | Failed | None) -> None:
    """Note that the turn is over, and count it; an answer that cannot be counted is still one."""
    try:
        if meter is not None:
            meter.load()
            meter.end(last)
    except Exception:  # noqa: BLE001 - the same edge
        _log.exception("the end of a turn could not be measured")
