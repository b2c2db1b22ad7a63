"""The events of a turn as the host's side may rely on them: they end, and never in an exception.

Iterators and not generators: a stream that is open for minutes costs objects that every full garbage collection visits, and
each event passes here. Rendering is elsewhere (`answering`), and so is what a failure says (`failures`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol

from attrs import evolve

from openrouter_pipe.adapters.openwebui.failures import EdgeFailures
from openrouter_pipe.ports.chat import ChatEvent, Failed, NoticeAdded, TextAdded


class Events(Protocol):
    """The events of one turn; an asynchronous generator is one. `aclose` may be called at any time, and again."""

    def __aiter__(self) -> AsyncIterator[ChatEvent]: ...

    def __anext__(self) -> Awaitable[ChatEvent]: ...

    def aclose(self) -> Awaitable[None]: ...


class GuardedEvents:
    """The same events, ending in a failure where the core raises against its promise: text shown stays shown.

    ``sets_off``: the first words start a line of their own. The host glues a continued answer to the stored text, and a
    marker must end its line; so must a notice.
    """

    __slots__ = ("_ahead", "_events", "_failures", "_is_task", "_next", "_over", "_seen", "_sets_off")

    def __init__(self, events: Events, failures: EdgeFailures, *, is_task: bool, sets_off: bool) -> None:
        self._events = events
        self._next: Callable[[], Awaitable[ChatEvent]] = events.__anext__
        self._failures = failures
        self._is_task = is_task
        self._sets_off = sets_off
        self._seen = False
        self._over = False
        self._ahead: Sequence[ChatEvent] = ()

    def __aiter__(self) -> GuardedEvents:
        return self

    async def __anext__(self) -> ChatEvent:
        if self._over:
            return self._last()
        try:
            event = await self._next()
        except StopAsyncIteration:
            self._over = True
            await self._events.aclose()
            raise
        except Exception:  # noqa: BLE001 - the edge towards the host: an exception would cost the text already shown
            self._over = True
            failure = self._failures.internal("a turn broke off", partial=self._seen)
            self._ahead = (NoticeAdded(failure.text), failure) if self._seen and not self._is_task else (failure,)
            return self._last()
        self._seen = True
        return self.set_off(event) if self._sets_off else event

    async def aclose(self) -> None:
        """End the turn at once."""
        self._over, self._ahead = True, ()
        await self._events.aclose()

    def _last(self) -> ChatEvent:
        if not self._ahead:
            raise StopAsyncIteration
        event, *self._ahead = self._ahead
        return event

    def set_off(self, event: ChatEvent) -> ChatEvent:
        """The same event; on a line of its own if it holds the first words and those are to be."""
        if self._sets_off and isinstance(event, TextAdded | NoticeAdded | Failed):
            self._sets_off = False
            return evolve(event, text="\n\n" + event.text)
        return event
