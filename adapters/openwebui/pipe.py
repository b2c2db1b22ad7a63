"""Class ``Pipe``: what Open WebUI calls. Everything behind it is made by the composition at the first call.

Importing, making the class and making an instance do no I/O and start nothing. The host drops an old instance without a
word when it reloads the function; the services go when the last stream that uses them has ended.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

from pydantic import BaseModel

from openrouter_pipe.adapters.openwebui.answering import Turn
from openrouter_pipe.adapters.openwebui.failures import EdgeFailures
from openrouter_pipe.adapters.openwebui.files import FallbackOwner, HostFileStore
from openrouter_pipe.adapters.openwebui.guarded import Events
from openrouter_pipe.adapters.openwebui.host import Host, detect, function_id
from openrouter_pipe.adapters.openwebui.instances import GRACE_SECONDS, Tenure, enter, next_age
from openrouter_pipe.adapters.openwebui.orderly import orderly
from openrouter_pipe.adapters.openwebui.request import (
    HostCall,
    model_prefix,
    read_identity,
    read_request,
    read_task,
    requested_model,
    wants_stream,
)
from openrouter_pipe.adapters.openwebui.setup_needed import SETUP_ID, plain_stream, setup_listing
from openrouter_pipe.adapters.openwebui.steady import SteadyClock, SteadyIds
from openrouter_pipe.adapters.openwebui.toolbox import HostToolbox
from openrouter_pipe.adapters.openwebui.valves import (
    make_user_valves,
    make_valves,
    personal_problems,
    settings_from,
)
from openrouter_pipe.ports.chat import ChatEvent, ChatRequest, ChatService, Notified, Severity
from openrouter_pipe.ports.runtime import Clock, Ids
from openrouter_pipe.ports.settings import SettingError, Settings

_log = logging.getLogger(__name__)
_DEFAULT_ID: Final = "openrouter"
_PATIENCE: Final = 1.0  # seconds for one event where no setting can be read


class PipeServices(Protocol):
    """What a pipe drives, made by the composition for one function id."""

    @property
    def chat(self) -> ChatService:
        """Answers turns."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment, read at the time of each call."""

    @property
    def clock(self) -> Clock:
        """Time."""

    @property
    def ids(self) -> Ids:
        """Identifiers."""

    async def close(self) -> None:
        """Release everything."""


class _Runtime:
    """The state behind one instance of ``Pipe``."""

    def __init__(
        self,
        build: Callable[[str], PipeServices],
        module_name: str,
        host: Callable[[], Host],
        prepare: Callable[[], None] | None,
        grace_seconds: float,
    ) -> None:
        self._build = build
        self._grace_seconds = grace_seconds
        self._prepare = prepare
        self._module_name = module_name
        self._detect = host
        self._host: Host | None = None
        self._age = next_age()
        self._services: PipeServices | None = None
        self._tenure: Tenure | None = None
        self._released: weakref.finalize[..., _Runtime] | None = None

    @property
    def host(self) -> Host:
        """What the host can do, looked up once: it is up by the time it calls."""
        if self._host is None:
            self._host = self._detect()
        return self._host

    @property
    def function(self) -> str:
        """The host's id of this function, empty if the module's name does not tell."""
        return function_id(self._module_name)

    async def services(self, model: str = "") -> PipeServices:
        """The services, made at first use, for the id that the module's name or else the model's prefix tells."""
        return (await self.current(model))[0]

    async def close(self) -> None:
        """Release the services; a later call makes new ones."""
        tenure = self._give_up()
        if tenure is not None:
            await tenure.close()

    async def current(self, model: str) -> tuple[PipeServices, Tenure]:
        """The services and their tenure; see `services`."""
        if self._services is None and self._prepare is not None:
            await asyncio.to_thread(self._prepare)
        if self._services is None or self._tenure is None:
            prefix = model.partition(".")[0] if self.host.present and "." in model else ""
            self._services = self._build(self.function or prefix or _DEFAULT_ID)
            self._tenure = Tenure(self._services)
            self._released = weakref.finalize(self, self._tenure.retire)
            self._released.atexit = False
            self._settle(self._tenure)
        return self._services, self._tenure

    def _settle(self, tenure: Tenure) -> None:
        """Take the place of older instances of the same function; where there is a newer one, stay for a moment only."""
        if not self.function:
            return
        retire = weakref.WeakMethod(self._retire)
        newest, tenure.leave = enter(self.function, self._age, lambda: _call(retire))
        if not newest:
            asyncio.get_running_loop().call_later(self._grace_seconds, lambda: _call(retire))

    def _retire(self) -> None:
        tenure = self._give_up()
        if tenure is not None:
            tenure.retire()

    def _give_up(self) -> Tenure | None:
        tenure, self._tenure, self._services = self._tenure, None, None
        if self._released is not None:
            self._released.detach()
        return tenure

    async def listing(self, valves: BaseModel) -> list[dict[str, str]]:
        """The models for the host's list. Never raises."""
        try:
            services = await self.services()
            settings = settings_from(valves, None, services.environment)
            models = await services.chat.models(settings)
        except SettingError as error:
            _log.warning("no models are listed: %s", error.for_log)
            return setup_listing(error.name)
        except Exception:  # noqa: BLE001 - the edge towards the host: whatever it is, other pipes keep their models
            _log.exception("no models are listed")
            return []
        return [{"id": model.id, "name": model.name} for model in models]

    async def answer(self, call: HostCall, valves: BaseModel) -> Any:
        """One call: lines or a whole response when the host streams, else a completion or plain text."""
        try:
            services = await self.services(requested_model(call))
        except Exception:  # noqa: BLE001 - the edge towards the host: it would show the exception's text to the user
            return self._broken(call, valves)
        ids, clock = SteadyIds(services.ids), SteadyClock(services.clock)
        failures = EdgeFailures(ids, clock, valves, call)
        events, patience = self._events(call, valves, services, failures)
        turn = Turn(call, self.host, ids, clock, patience, failures)
        return turn.streamed(events) if wants_stream(call) else await turn.whole(events)

    def _events(
        self, call: HostCall, valves: BaseModel, services: PipeServices, failures: EdgeFailures
    ) -> tuple[Events, float | None]:
        """The turn's events, and how many seconds the host may take for one event beside the answer (None: any)."""
        # Everything the host may change between calls is read here, at once.
        user_valves = call.user.get("valves") if isinstance(call.user, dict) else None
        try:
            settings = settings_from(valves, user_valves, services.environment)
            request = self._request(call, settings, services)
        except SettingError as error:
            return _single(failures.configuration(error)), _PATIENCE
        except Exception:  # noqa: BLE001 - the edge towards the host: no body ends as a traceback in a chat
            return _single(failures.internal("a call could not be read")), _PATIENCE
        patience = settings.MIDDLEWARE_STREAM_QUEUE_PUT_TIMEOUT_SECONDS or None
        if request.model.rpartition(".")[2] == SETUP_ID:
            return _single(failures.setup_done()), patience
        return _TurnEvents(self, personal_problems(user_valves), request, requested_model(call)), patience

    def _broken(self, call: HostCall, valves: BaseModel) -> Any:
        failures = EdgeFailures(SteadyIds(None), SteadyClock(None), valves, call)
        failure = failures.internal("the services could not be made")
        text = "" if read_task(call.task) else failure.text
        return plain_stream(text) if wants_stream(call) else text

    def _request(self, call: HostCall, settings: Settings, services: PipeServices) -> ChatRequest:
        identity = read_identity(call)
        owner = FallbackOwner(
            settings.FALLBACK_STORAGE_EMAIL, settings.FALLBACK_STORAGE_NAME, settings.FALLBACK_STORAGE_ROLE
        )
        files = HostFileStore(call.request, identity, fallback=owner) if self.host.present else None
        model = requested_model(call)
        prefix = model_prefix(
            model, function_id(self._module_name, model) or (model.partition(".")[0] if self.host.present else "")
        )
        return read_request(call, settings, services.ids.item_id("req_"), host_prefix=prefix, files=files)


class _TurnEvents:
    """The events of one turn; see `Events`.

    It holds the runtime, so that a running turn keeps that, and with it the services, from being released. They are asked
    for again at the first step: between the call and it the instance may have been retired.
    """

    __slots__ = ("_events", "_model", "_next", "_problems", "_request", "_runtime", "_tenure")

    def __init__(self, runtime: _Runtime, problems: tuple[SettingError, ...], request: ChatRequest, model: str) -> None:
        self._runtime = runtime
        self._problems = problems
        self._request = request
        self._model = model
        self._tenure: Tenure | None = None
        self._events: AsyncGenerator[ChatEvent, None] | None = None
        self._next: Callable[[], Awaitable[ChatEvent]] | None = None

    def __aiter__(self) -> _TurnEvents:
        return self

    def __anext__(self) -> Awaitable[ChatEvent]:
        return self._first() if self._next is None else self._next()

    async def aclose(self) -> None:
        """End the turn at once."""
        try:
            if self._events is not None:
                await self._events.aclose()
        finally:
            tenure, self._tenure = self._tenure, None
            if tenure is not None:
                tenure.end()

    async def _first(self) -> ChatEvent:
        if self._events is None:
            services, self._tenure = await self._runtime.current(self._model)
            self._tenure.begin()
            self._events = services.chat.respond(self._request)
        if self._problems:
            problem, *rest = self._problems
            self._problems = tuple(rest)
            return Notified(f"Your setting is ignored. {problem}", Severity.WARNING)
        self._next = self._events.__anext__
        return await self._next()


def _call(method: weakref.WeakMethod[Callable[[], None]]) -> None:
    bound = method()
    if bound is not None:
        bound()


async def _single(event: ChatEvent) -> AsyncGenerator[ChatEvent, None]:
    yield event


def make_pipe_class(
    build: Callable[[str], PipeServices],
    module_name: str = "",
    host: Callable[[], Host] = detect,
    prepare: Callable[[], None] | None = None,
    grace_seconds: float = GRACE_SECONDS,
) -> type:
    """Class ``Pipe`` for the function module of this name.

    ``build`` makes the services for the host's function id, once, at the first call. ``host`` tells what the host can do.
    ``prepare`` runs in a thread before the first ``build``: imports that would hold up the host's event loop. An old
    instance that is used once more keeps its services for ``grace_seconds``.
    """

    class Pipe:
        """The function's entry class. Parameters are injected by name; only those that are used are asked for.

        What other callers than Open WebUI hand over besides is taken and left alone.
        """

        Valves = make_valves(password_inputs=host().renders_inputs)
        UserValves = make_user_valves()

        def __init__(self) -> None:
            self.valves: BaseModel = self.Valves()
            self._runtime = _Runtime(build, module_name, host, prepare, grace_seconds)

        async def pipes(self) -> list[dict[str, str]]:
            """The models on offer."""
            return await self._runtime.listing(self.valves)

        async def pipe(
            self,
            body: dict[str, Any],
            __user__: Any = None,
            __metadata__: Any = None,
            __event_emitter__: Any = None,
            __request__: Any = None,
            __task__: Any = None,
            __tools__: Any = None,
            __event_call__: Any = None,
            **_others: Any,
        ) -> Any:
            """Answer one call of the host."""
            emit = orderly(__event_emitter__)
            toolbox = HostToolbox.from_call(__tools__, __metadata__, body, __event_call__, emit, __request__, __user__)
            call = HostCall(body, __user__, __metadata__, __task__, emit, __request__, toolbox)
            return await self._runtime.answer(call, self.valves)

        async def close(self) -> None:
            """Release everything now; hosts never call this, embedders may."""
            await self._runtime.close()

    Pipe.__qualname__ = "Pipe"
    return Pipe
