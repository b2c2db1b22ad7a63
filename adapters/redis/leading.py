"""Clean-up by one worker of a deployment: whoever comes first in each period does it, the others skip it."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from openrouter_pipe.adapters.redis.connection import RedisAway, RedisLink
from openrouter_pipe.adapters.redis.keys import Keys
from openrouter_pipe.ports.artifacts import ArtifactStoreError, StorePolicy
from openrouter_pipe.ports.clean_up import ArtifactCleanUp, Preloading

_PART: Final = 0.8
"""Of the interval: shorter than its jitter makes it, so that the next round is never skipped by everybody."""

_HELD_MS: Final = 3 * 24 * 3600 * 1000

# The time since the last round is what Redis counts: workers' clocks may differ, and a changed interval counts at once.
_TAKE: Final = """
local left = redis.call('PTTL', KEYS[1])
if left >= 0 and tonumber(ARGV[1]) - left < tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
return 1
"""


class LeadingCleanUp:
    """`ArtifactCleanUp` in front of another; ``interval`` between rounds in seconds, None: everybody cleans up.

    Without Redis everybody cleans up too: the store sees to it that this is safe.
    """

    def __init__(
        self, inner: ArtifactCleanUp, link: RedisLink, keys: Keys, interval: Callable[[], float | None]
    ) -> None:
        self._inner = inner
        self._link = link
        self._keys = keys
        self._interval = interval

    async def preload(self) -> None:
        """See `Preloading.preload`."""
        if isinstance(self._inner, Preloading):
            await self._inner.preload()

    async def clean_up(self, older_than: datetime, policy: StorePolicy) -> int:
        """See `ArtifactCleanUp.clean_up`; 0 where another worker has done it."""
        return await self._once("clean-up", lambda: self._inner.clean_up(older_than, policy))

    async def delete_orphans(self, older_than: datetime, policy: StorePolicy) -> int:
        """See `ArtifactCleanUp.delete_orphans`; 0 where another worker has done it."""
        return await self._once("orphans", lambda: self._inner.delete_orphans(older_than, policy))

    async def _once(self, task: str, run: Callable[[], Awaitable[int]]) -> int:
        if not await self._is_mine(task):
            return 0
        try:
            return await run()
        except ArtifactStoreError:
            await self._give_back(task)
            raise

    async def _is_mine(self, task: str) -> bool:
        interval = self._interval()
        if interval is None:
            return True
        try:
            async with self._link.use() as client:
                key = self._keys.clean_up(task)
                return bool(await client.eval(_TAKE, 1, key, _HELD_MS, int(interval * _PART * 1000)))
        except RedisAway:
            return True

    async def _give_back(self, task: str) -> None:
        """Another worker may have more luck with the database."""
        with contextlib.suppress(RedisAway):
            async with self._link.use() as client:
                await client.delete(self._keys.clean_up(task))
