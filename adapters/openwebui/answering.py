"""From the events of one turn to what the host takes: lines of a stream, a completion, or a task's plain text."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Any, Final

from openrouter_pipe.adapters.openwebui.chunks import ApiChunks, ChatChunks
from openrouter_pipe.adapters.openwebui.emitter import Emitter
from openrouter_pipe.adapters.openwebui.failures import EdgeFailures
from openrouter_pipe.adapters.openwebui.guarded import Events, GuardedEvents
from openrouter_pipe.adapters.openwebui.host import Host, mapping, text
from openrouter_pipe.adapters.openwebui.lines import ChunkWriter, encode, error_fields
from openrouter_pipe.adapters.openwebui.native import NativeItems
from openrouter_pipe.adapters.openwebui.rendering import Renderer
from openrouter_pipe.adapters.openwebui.request import (
    MIXTURE_OF_AGENTS,
    HostCall,
    Surface,
    follows_block,
    read_task,
    requested_model,
    surface,
)
from openrouter_pipe.adapters.openwebui.routes import Route, as_events, own_response, route_of
from openrouter_pipe.adapters.openwebui.steady import SteadyClock, SteadyIds
from openrouter_pipe.adapters.openwebui.whole import WholeAnswer
from openrouter_pipe.ports.chat import ChatEvent, Completed, Failed, NoticeAdded, ReasoningAdded, TextAdded

_log = logging.getLogger(__name__)
_CUT_SHORT: Final = (asyncio.CancelledError, GeneratorExit)
"""How a turn hears that nobody wants the rest of it."""

_ANSWER: Final = frozenset({TextAdded, ReasoningAdded})
"""The commonest events by far; nothing of them stands beside the answer."""


class Turn:
    """Renders one turn for one call."""

    def __init__(
        self,
        call: HostCall,
        host: Host,
        ids: SteadyIds,
        clock: SteadyClock,
        patience: float | None,
        failures: EdgeFailures | None = None,
    ) -> None:
        self._host = host
        self._ids = ids
        self._clock = clock
        self._failures = failures or EdgeFailures(ids, clock)
        self._task = read_task(call.task)
        self._surface = Surface.API if self._task else surface(call, host)
        self._route = Route.UNKNOWN if self._task or self._surface is not Surface.API else route_of(call.request)
        self._closes_stream = host.closes_stream
        self._model = requested_model(call)
        self._emitter = Emitter(call, host, patience)
        self._own_tools = call.toolbox is not None
        self._sets_off = self._surface is not Surface.API and follows_block(call)
        self._structured = _is_structured(mapping(call.body))

    def streamed(self, events: Events) -> Any:
        """Lines, or for a program a whole response where the host would end the stream with a reason of its own.

        It adds ``stop`` to lines however they ended, and programs go by the last reason they hear.
        """
        if not self._closes_stream or self._route is Route.UNKNOWN:
            return self.stream(events)
        lines = self.stream(events)
        response = own_response(as_events(lines))
        if response is None:
            return lines
        self._closes_stream = False  # before the first line is asked for
        return response

    async def stream(self, events: Events) -> AsyncGenerator[str, None]:
        """Lines for the host, one event each. Closing this closes ``events`` at once."""
        renderer = self._renderer()
        guarded = self._guarded(events)
        try:
            try:
                async for event in guarded:
                    if type(event) not in _ANSWER:
                        await self._emitter.show(event)
                        for words in self._last_words(event, guarded):
                            for line in renderer.lines(words):
                                yield line
                    for line in renderer.lines(event):
                        yield line
                await self._emitter.finish()
            finally:
                await guarded.aclose()
            for line in renderer.finish():
                yield line
        except _CUT_SHORT:
            await self._emitter.stop()
            raise
        except Exception:  # noqa: BLE001 - the edge towards the host: what was shown stays, and the rest is told
            for line in self._last_lines(renderer, self._unshown()):
                yield line

    async def whole(self, events: Events) -> Any:
        """The answer at once: text for a task, an error with its status for a program, else a completion."""
        answer = WholeAnswer(own_tools=self._own_tools)
        try:
            async with aclosing(self._guarded(events)) as guarded:
                async for event in guarded:
                    await self._emitter.show(event)
                    for words in self._last_words(event, guarded):
                        answer.add(words)
                    answer.add(event)
                await self._emitter.finish()
            return self._result(answer)
        except _CUT_SHORT:
            await self._emitter.stop()
            raise
        except Exception:  # noqa: BLE001 - the edge towards the host, which would show the exception's text to the user
            answer.add(self._unshown())
            return "" if self._task else answer.completion(self._ids.item_id("chatcmpl-"), self._model, self._now())

    def _result(self, answer: WholeAnswer) -> Any:
        if self._task and self._task.kind != MIXTURE_OF_AGENTS:
            return answer.task_result(self._task.kind)
        failure = answer.failure
        refused = failure and self._surface is Surface.API and (self._task or not failure.partial)
        # Where the host translates answers, an error's own response would become an empty message that ended well.
        if failure and refused and self._route is not Route.MESSAGES:
            # Also where agents were to be mixed: an error's text is no answer of theirs.
            return _error_response(failure)
        notices = self._emitter.unheard if self._surface is Surface.API else ()
        return answer.completion(self._ids.item_id("chatcmpl-"), self._model, self._now(), notices)

    def _last_words(self, event: ChatEvent, guarded: GuardedEvents) -> Iterable[ChatEvent]:
        """Before the turn's last event: what nothing beside the answer could say, at the end of its text.

        Text that somebody parses gets nothing added; a failure without text before it is no answer to add to.
        """
        unheard = self._emitter.unheard
        if not unheard or not (isinstance(event, Completed) or (isinstance(event, Failed) and event.partial)):
            return ()
        if self._structured:
            _log.info("not said in a structured answer: %s", " ".join(unheard))
            return ()
        return (guarded.set_off(NoticeAdded("\n".join(f"*{line}*" for line in unheard))),)

    def _unshown(self) -> Failed:
        """The failure to tell when showing an answer failed; called while its exception is handled."""
        return self._failures.internal("an answer could not be shown")

    def _last_lines(self, renderer: Renderer, failure: Failed) -> list[str]:
        try:
            return [*renderer.lines(failure), *renderer.finish()]
        except Exception:  # noqa: BLE001 - the same edge: the renderer is what failed
            _log.exception("a failure could not be shown in its place (error %s)", failure.error_id)
            # A task has no use for words.
            return [] if self._task else [self._writer().content("\n\n" + failure.text)]

    def _guarded(self, events: Events) -> GuardedEvents:
        return GuardedEvents(events, self._failures, is_task=self._task is not None, sets_off=self._sets_off)

    def _renderer(self) -> Renderer:
        if self._surface is Surface.NATIVE:
            return NativeItems(self._ids, self._clock, own_tools=self._own_tools)
        writer = self._writer()
        if self._surface is Surface.CHAT:
            return ChatChunks(writer, own_tools=self._own_tools)
        return ApiChunks(
            writer,
            own_tools=self._own_tools,
            closes_stream=self._closes_stream,
            notices=self._emitter.unheard,
        )

    def _writer(self) -> ChunkWriter:
        return ChunkWriter(self._ids.item_id("chatcmpl-"), self._model, self._now())

    def _now(self) -> int:
        return self._clock.seconds()


def _is_structured(body: dict[str, Any]) -> bool:
    """Whether the caller parses the answer's text: it asks for JSON, as either API spells it."""
    formats = (body.get("response_format"), mapping(body.get("text")).get("format"))
    return any(text(mapping(one).get("type")) not in {"", "text"} for one in formats)


def _error_response(failure: Failed) -> Any:
    """An HTTP answer with the status that fits; the bare object (which the host sends with status 200) without a host."""
    error = {"error": error_fields(failure)}

    async def body() -> AsyncGenerator[str, None]:
        yield encode(error)

    return own_response(body(), status=failure.status, media_type="application/json") or error
