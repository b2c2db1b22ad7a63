"""Clean-up: when artifacts that nobody will read again are deleted.

Old ones, and those of chats that the host no longer has. How they are found and deleted, and that only one process does it
at a time, is the store's business; starting and ending this service is the composition's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from attrs import frozen

from openrouter_pipe.ports.artifacts import ArtifactStoreError, StorePolicy
from openrouter_pipe.ports.clean_up import ArtifactCleanUp, Preloading
from openrouter_pipe.ports.runtime import Clock, Randomness

_log = logging.getLogger(__name__)

FIRST_AFTER: Final = (20.0, 120.0)
"""Seconds from the start to the first clean-up; workers that start together do not clean up together."""

JITTER: Final = (0.9, 1.1)
"""Factor on the interval, drawn anew for each."""

LOOK_AGAIN: Final = 10.0
"""Seconds after which a changed interval is noticed."""

ORPHAN_AGE: Final = timedelta(hours=1)
"""Rows younger than this stay even if their chat is unknown: a host may store a chat after its first answer."""


@frozen
class CleanUpPolicy:
    """``interval`` between clean-ups in seconds; rows are kept for ``keep`` after they were last read."""

    interval: float
    keep: timedelta
    store: StorePolicy


class CleanUp:
    """Cleans up for as long as it runs. ``policy`` is asked before every decision; None means that nothing is known yet."""

    def __init__(
        self,
        store: ArtifactCleanUp,
        clock: Clock,
        randomness: Randomness,
        policy: Callable[[], CleanUpPolicy | None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._randomness = randomness
        self._policy = policy

    async def run(self) -> None:
        """Clean up at every interval, until cancelled. A store out of reach is logged and tried again next time."""
        if isinstance(self._store, Preloading):
            await self._store.preload()
        first: float | None = self._randomness.uniform(*FIRST_AFTER)
        since, factor = self._clock.monotonic(), 1.0
        while True:
            await self._clock.sleep(LOOK_AGAIN)
            policy = self._policy()
            if policy is None:
                continue
            due = first if first is not None else policy.interval * factor
            if self._clock.monotonic() - since < due:
                continue
            await self.clean_up(policy)
            first, since, factor = None, self._clock.monotonic(), self._randomness.uniform(*JITTER)

    async def clean_up(self, policy: CleanUpPolicy) -> int:
        """Delete once what is too old or without a chat; returns how many rows went. Nothing is raised."""
        now = self._clock.now()
        gone = 0
        try:
            gone += await self._store.clean_up(now - policy.keep, policy.store)
            gone += await self._store.delete_orphans(now - ORPHAN_AGE, policy.store)
        except ArtifactStoreError as error:
            _log.warning("the clean-up of artifacts ended early: %s", error)
        if gone:
            _log.info("%d artifacts were deleted: too old, or of deleted chats", gone)
        return gone
