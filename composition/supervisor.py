"""Background workers: started with the first request, restarted after a failure, ended together.

A worker is any coroutine function that runs until it is cancelled; one that returns is done and stays so. What a worker
does is its own business; here is only when it runs.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from attrs import frozen

from openrouter_pipe.ports.runtime import Clock

_log: Final = logging.getLogger(__name__)

END_SECONDS: Final = 2.0
"""How long `Supervisor.close` waits for workers that take their time."""
FIRST_DELAY: Final = 1.0
LONGEST_DELAY: Final = 300.0
STEADY_SECONDS: Final = 600.0
"""After so long without a failure the next one counts as the first."""
_MOST_DOUBLINGS: Final = 16


@frozen
class Worker:
    """A name for the log and what to run."""

    name: str
    run: Callable[[], Awaitable[None]]


class Supervisor:
    """Owns the tasks of all workers of one composition. Times in seconds."""

    def __init__(
        self, clock: Clock, *workers: Worker, first_delay: float = FIRST_DELAY, end_seconds: float = END_SECONDS
    ) -> None:
        self._clock = clock
        self._workers = workers
        self._first_delay = first_delay
        self._end_seconds = end_seconds
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @property
    def running(self) -> int:
        """How many workers have not ended."""
        return sum(not task.done() for task in self._tasks)

    def start(self) -> None:
        """Start every worker in the running event loop; nothing if they run already or `close` was called."""
        loop = asyncio.get_running_loop()
        if self._closed or self._loop is loop:
            return
        self._loop = loop
        # A context of their own: they work for nobody in particular, least of all for whoever came first.
        self._tasks = tuple(
            loop.create_task(self._keep(worker), name=f"openrouter-pipe {worker.name}", context=contextvars.Context())
            for worker in self._workers
        )

    async def close(self) -> None:
        """End every worker, within ``end_seconds``; nothing starts afterwards."""
        self._closed = True
        mine = self._loop is asyncio.get_running_loop()
        tasks = {task for task in self._tasks if mine and not task.done()}
        if not tasks:
            return
        for task in tasks:
            task.cancel()
        _, late = await asyncio.wait(tasks, timeout=self._end_seconds)
        for task in late:
            _log.warning("%s has not ended within %.0f s", task.get_name(), self._end_seconds)

    async def _keep(self, worker: Worker) -> None:
        failures = 0
        while True:
            began = self._time()
            try:
                await worker.run()
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                failure: BaseException = error  # nobody asked for it: something within the worker was cancelled
            except Exception as error:  # noqa: BLE001 - the edge: a worker that fails runs again, whatever it was
                failure = error
            else:
                return
            failures = 1 if self._time() - began >= STEADY_SECONDS else failures + 1
            delay = min(self._first_delay * 2.0 ** min(failures - 1, _MOST_DOUBLINGS), LONGEST_DELAY)
            _log.error(
                "%s failed (%s), failure %d in a row; it runs again in %.0f s",
                worker.name,
                type(failure).__name__,
                failures,
                delay,
                exc_info=failure,
            )
            await self._pause(delay)

    def _time(self) -> float:
        """The clock's time; the event loop's while the clock fails. Mixing the two costs a delay of the wrong length."""
        try:
            return self._clock.monotonic()
        except Exception:  # noqa: BLE001 - the same edge: without the time of day there is still work to do
            return asyncio.get_running_loop().time()

    async def _pause(self, seconds: float) -> None:
        try:
            await self._clock.sleep(seconds)
        except Exception:  # noqa: BLE001 - the same edge; without a pause a failing worker would take the whole loop
            await asyncio.sleep(seconds)
