"""Who and what the running code works for, as log records tell it. Carried by context variables, so that concurrent
turns and the tasks that they start keep apart by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from attrs import frozen

from openrouter_pipe.adapters.observability.recorder import TurnRecorder


@frozen
class LogContext:
    """The identifiers of one turn; empty strings mean unknown."""

    request_id: str = ""
    user_id: str = ""
    session_id: str = ""
    chat_id: str = ""
    message_id: str = ""


@frozen
class Scope:
    """One turn as logging sees it: identifiers, console level (None: the pipe's) and where its record is kept."""

    context: LogContext = LogContext()
    level: int | None = None
    recorder: TurnRecorder | None = None


_NOWHERE: Final = Scope()
_scope: ContextVar[Scope] = ContextVar("openrouter_pipe_log_scope", default=_NOWHERE)


def current() -> Scope:
    """The scope of the running code."""
    return _scope.get()


def enter(scope: Scope) -> None:
    """Make ``scope`` the current one from here on, in this context; next to nothing where it is already."""
    if _scope.get() is not scope:
        _scope.set(scope)


@contextmanager
def bound(scope: Scope) -> Iterator[None]:
    """Make ``scope`` the current one, for this task and those it starts meanwhile."""
    token = _scope.set(scope)
    try:
        yield
    finally:
        try:
            _scope.reset(token)
        except ValueError:
            # An asynchronous generator may be closed from another task: that context never had our scope.
            _scope.set(_NOWHERE)
