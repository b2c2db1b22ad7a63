"""Calling a tool's function, whatever kind of function it is. Not here: which one, with what, and what comes of it.

The host's own callables are coroutine functions and run on the event loop. A plain function or generator may block for
as long as it likes, so it runs in a thread of its own: not one of a pool, where a few that never return would leave no
thread for anybody. Nothing can stop such a thread; it ends with the process at the latest.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

_T = TypeVar("_T")

_LAYERS: Final = 10  # wrappers that are looked under


async def call_tool(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """What the function returns, which may be an awaitable; raises whatever it raises."""
    if _stays_on_the_loop(function):
        return function(**arguments)
    return await in_thread(partial(function, **arguments))


async def in_thread(function: Callable[[], _T]) -> _T:
    """The function's result, from a thread of its own with this task's context variables."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[tuple[list[_T], BaseException | None]] = loop.create_future()
    context = contextvars.copy_context()

    def deliver(made: list[_T], error: BaseException | None) -> None:
        if not ended.done():
            ended.set_result((made, error))

    def work() -> None:
        made: list[_T] = []
        error: BaseException | None = None
        try:
            made.append(context.run(function))
        except BaseException as raised:  # noqa: BLE001 - foreign code; raised again where somebody waits for it
            error = raised
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(deliver, made, error)

    threading.Thread(target=work, name="openrouter-pipe-tool", daemon=True).start()
    made, error = await ended
    if error is not None:
        raise error
    return made[0]


def _stays_on_the_loop(function: Any) -> bool:
    """Whether calling it takes no time, because what it does is in the coroutine or generator that it returns."""
    for _ in range(_LAYERS):
        if _is_lazy(function) or _is_lazy(inspect.getattr_static(function, "__call__", None)):
            return True
        inner = function.func if isinstance(function, partial) else getattr(function, "__wrapped__", None)
        if inner is None:
            return False
        function = inner
    return False


def _is_lazy(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
