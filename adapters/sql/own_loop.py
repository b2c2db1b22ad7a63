"""An event loop in a thread of its own, for work that must not depend on how busy the host's loop is.

SQLite has one writer. A transaction on the host's loop holds the write lock from its first statement to its commit, and
between the two that loop may run anything, also a host that writes to the same file synchronously (Open WebUI up to 0.8
does): it would wait for a lock that only its own loop can release. On a loop of our own the transaction goes on.

It also goes on when whoever asked for it is gone. Cancelling a driver amid a transaction leaves the connection, and the
one write lock with it, to nobody for a while: one user's Stop would cost all others what they want to write.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")
_JOIN_SECONDS = 5.0


class _Loop(asyncio.SelectorEventLoop):
    """A loop that may be closed while a database thread still works: its late answer has nobody to go to."""

    def call_soon_threadsafe(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        try:
            return super().call_soon_threadsafe(callback, *args, context=context)
        except RuntimeError:
            if not self.is_closed():
                raise
            return asyncio.Handle(callback, args, self, context)


class OwnLoop:
    """Starts its thread at first use; `aclose` ends it, and a later use starts another."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._begun: set[Future[Any]] = set()

    @property
    def started(self) -> bool:
        """Whether the thread runs."""
        return self._loop is not None

    async def run(self, work: Coroutine[object, object, _T]) -> _T:
        """Run ``work`` over there; cancelled here, it is finished there all the same. Context variables go along."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_T] = loop.create_future()
        begun = asyncio.run_coroutine_threadsafe(work, self._started())
        self._begun.add(begun)
        begun.add_done_callback(lambda done: _pass_on(done, answer, loop))
        begun.add_done_callback(self._begun.discard)
        return await answer

    async def finish(self, seconds: float) -> None:
        """Wait for the work that was begun, also for that which nobody waits for any more."""
        if begun := tuple(self._begun):
            await asyncio.to_thread(wait, begun, seconds)

    async def aclose(self) -> None:
        """Stop the loop and wait for its thread; what still runs is cancelled."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            await asyncio.to_thread(thread.join, _JOIN_SECONDS)

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = _Loop()
                self._thread = threading.Thread(target=_serve, args=(self._loop,), name=self._name, daemon=True)
                self._thread.start()
            return self._loop


def _pass_on(done: Future[_T], answer: asyncio.Future[_T], loop: asyncio.AbstractEventLoop) -> None:
    def tell() -> None:
        if answer.done():
            return  # whoever asked is gone
        if done.cancelled():
            answer.cancel()
        elif (error := done.exception()) is not None:
            answer.set_exception(error)
        else:
            answer.set_result(done.result())

    with contextlib.suppress(RuntimeError):  # so may be the loop
        loop.call_soon_threadsafe(tell)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        asyncio.set_event_loop(None)
        loop.close()
