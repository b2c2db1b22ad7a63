"""A call's place among the tools of the process. Not here: how many there are (`Admission`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Final

from openrouter_pipe.domain.admission import Admission, AdmissionPolicy

_UNBOUNDED: Final = 1_000_000_000  # the queue of each turn bounds how many calls can wait for the process


class Place:
    """Held from entering to leaving, but for the time in which a person is asked.

    Two hundred people who have not made up their minds must not keep everybody else's tools from running.
    """

    def __init__(self, process: Admission, user_id: str, limit: int) -> None:
        self.waiting = False
        self._process = process
        self._user_id = user_id
        self._policy = AdmissionPolicy(limit, _UNBOUNDED)
        self._permit = AsyncExitStack()
        self._lent = 0
        self._left = False

    async def __aenter__(self) -> Place:
        """Wait for the place."""
        await self._take()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back for good, also when it is lent now."""
        self._left = True
        await self._permit.aclose()

    @asynccontextmanager
    async def lent(self) -> AsyncGenerator[None, None]:
        """Others may have the place meanwhile; it is waited for again at the end, but not by a call that is cancelled."""
        self._lent += 1
        await self._permit.aclose()
        goes_on = True
        try:
            yield
        except asyncio.CancelledError:
            goes_on = False
            raise
        finally:
            self._lent -= 1
            if goes_on and not self._lent:
                await self._take()

    async def _take(self) -> None:
        if self._left:
            return
        self.waiting = True
        try:
            await self._permit.enter_async_context(self._process.permit(self._user_id, self._policy))
        finally:
            self.waiting = False
        await self._give_back_if_left()

    async def _give_back_if_left(self) -> None:
        """A tool that ignored its cancellation may come back long after its call."""
        if self._left:
            await self._permit.aclose()
