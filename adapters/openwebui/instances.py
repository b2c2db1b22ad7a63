"""Instances of one function in one process, across hot reloads: the newest one works, older ones drain and release.

The host replaces an instance without telling the old one. So whoever has services enters a list that belongs to the
process and not to a module (each reload makes new modules), and asks those of the same function that are older to retire.
Only builtins are in that list, because other versions of this file read it. Instances of different functions never meet.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Final, Protocol

from openrouter_pipe.ports.runtime import Clock

DRAIN_SECONDS: Final = 600.0
"""How long turns of a retired instance may still run."""
GRACE_SECONDS: Final = 1.0
"""How long an old instance that is used once more keeps its services before they are retired."""
_log: Final = logging.getLogger(__name__)
_REGISTRY: Final = "_openrouter_pipe_instances"

_DRAINING: set[asyncio.Task[None]] = set()


class _Closable(Protocol):
    """Services as far as their end is concerned."""

    @property
    def clock(self) -> Clock:
        """Time."""

    async def close(self) -> None:
        """Release everything."""


def _registry() -> ModuleType:
    module = sys.modules.get(_REGISTRY)
    if module is None:
        module = ModuleType(_REGISTRY, "Instances of openrouter-pipe in this process, by function and age.")
        module.__dict__.update(ages=itertools.count(1), live={})
        module = sys.modules.setdefault(_REGISTRY, module)
    return module


def next_age() -> int:
    """The number of a new instance: later ones have higher numbers, over all modules of the process."""
    return int(next(_registry().__dict__["ages"]))


def enter(function: str, age: int, retire: Callable[[], None]) -> tuple[bool, Callable[[], None]]:
    """An instance of ``function`` has services now; older ones are told to retire.

    Tells whether it is the newest, and how to leave the list. ``retire`` may be called from any thread.
    """
    live: dict[str, dict[int, Callable[[], None]]] = _registry().__dict__["live"]
    same = live.setdefault(function, {})
    same[age] = retire

    def leave() -> None:
        if same.get(age) is retire:
            del same[age]
        if not same and live.get(function) is same:
            del live[function]

    for other, retire_other in sorted(same.items()):
        if other < age:
            try:
                retire_other()
            except Exception:  # noqa: BLE001 - the edge: an older version's code, of a loop that may be gone
                _log.warning("an older instance of this function could not be retired", exc_info=True)
    return max(same) <= age, leave


class Tenure:
    """Services in use: how many turns run on them, and their end after the last one. Made inside the event loop.

    Turns that still run ``drain_seconds`` after the retirement are not waited for.
    """

    def __init__(self, services: _Closable, drain_seconds: float = DRAIN_SECONDS) -> None:
        self.leave: Callable[[], None] = lambda: None
        self._services = services
        self._drain_seconds = drain_seconds
        self._loop = asyncio.get_running_loop()
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def begin(self) -> None:
        """A turn runs on the services, until `end`."""
        self._running += 1
        self._idle.clear()

    def end(self) -> None:
        """A turn is over."""
        self._running -= 1
        if not self._running:
            self._idle.set()

    def retire(self) -> None:
        """Close the services when no turn runs on them any more; returns at once, may be called from any thread."""
        self.leave()
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._start_draining)

    async def close(self) -> None:
        """Close the services now."""
        self.leave()
        await self._services.close()

    def _start_draining(self) -> None:
        task = self._loop.create_task(self._drain())
        _DRAINING.add(task)
        task.add_done_callback(_DRAINING.discard)

    async def _drain(self) -> None:
        if self._running:
            limit = asyncio.ensure_future(self._limit())
            idle = asyncio.ensure_future(self._idle.wait())
            await asyncio.wait({limit, idle}, return_when=asyncio.FIRST_COMPLETED)
            limit.cancel()
            idle.cancel()
        await self._services.close()

    async def _limit(self) -> None:
        try:
            await self._services.clock.sleep(self._drain_seconds)
        except Exception:  # noqa: BLE001 - the edge: a clock that fails must not cut running turns short
            await asyncio.sleep(self._drain_seconds)
