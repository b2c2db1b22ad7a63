"""Whether Redis is used, by the host's environment and the settings; and what is built then.

The rule: several workers (UVICORN_WORKERS > 1), REDIS_URL, WEBSOCKET_MANAGER=redis, WEBSOCKET_REDIS_URL, ENABLE_REDIS_CACHE
and the client library. Everything but the valve belongs to the process and decides what is built; the valve decides per turn.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import attrs
from attrs import frozen

from openrouter_pipe.adapters.redis import (
    CachedArtifactStore,
    LeadingCleanUp,
    RedisCostSink,
    RedisLink,
    SharedCatalog,
    connect,
)
from openrouter_pipe.adapters.redis.keys import Keys
from openrouter_pipe.adapters.sql.sealer import SealingSqlArtifactStore
from openrouter_pipe.composition.host_environment import with_database
from openrouter_pipe.composition.policies import turn_policies
from openrouter_pipe.composition.served import LatestSettings
from openrouter_pipe.domain.policies import TurnPolicies
from openrouter_pipe.ports.artifacts import ArtifactStore, StorePolicy
from openrouter_pipe.ports.catalog import CatalogSource
from openrouter_pipe.ports.clean_up import ArtifactCleanUp
from openrouter_pipe.ports.sealing import SharedStorePolicy
from openrouter_pipe.ports.settings import Settings
from openrouter_pipe.ports.telemetry import CostSink, Metrics

_log: Final = logging.getLogger(__name__)


_COSTS_DEADLINE: Final = 1.0
"""Seconds that a turn may wait for a snapshot to be written; it is then dropped, and so are others for a while."""


@frozen
class RedisPlan:
    """Whether Redis is active, and what is missing where it is not (in words, the variable or valve first)."""

    missing: tuple[str, ...] = ()

    @property
    def active(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing

    def __str__(self) -> str:
        """The line for the log."""
        if self.active:
            return "Redis active: artifacts are cached and written behind"
        return f"Redis not used, artifacts go to the database directly: {'; '.join(self.missing)}"


def plan(environment: Mapping[str, str], settings: Settings | None = None) -> RedisPlan:
    """Apply the rule; without ``settings`` only what the process decides."""
    missing: list[str] = []
    if _workers(environment) < 2:
        missing.append("UVICORN_WORKERS is not above 1")
    if not environment.get("REDIS_URL", "").strip():
        missing.append("REDIS_URL is not set")
    if environment.get("WEBSOCKET_MANAGER", "").strip().lower() != "redis":
        missing.append("WEBSOCKET_MANAGER is not redis")
    if not environment.get("WEBSOCKET_REDIS_URL", "").strip():
        missing.append("WEBSOCKET_REDIS_URL is not set")
    if not _has_client():
        missing.append("the Python package redis is not installed")
    if settings is not None and not settings.ENABLE_REDIS_CACHE:
        missing.append("ENABLE_REDIS_CACHE is off")
    return RedisPlan(tuple(missing))


@functools.cache
def _has_client() -> bool:
    return importlib.util.find_spec("redis") is not None


def _workers(environment: Mapping[str, str]) -> int:
    try:
        return int(environment.get("UVICORN_WORKERS", "1"))
    except ValueError:
        return 1


def redis_link(environment: Mapping[str, str]) -> RedisLink:
    """A link to the host's Redis; opens nothing."""
    return RedisLink(lambda: connect(environment))


def artifact_store(
    environment: Mapping[str, str], pipe_id: str, metrics: Metrics
) -> SealingSqlArtifactStore | CachedArtifactStore:
    """The store of one pipe: the database, behind Redis where the process qualifies. Opens nothing."""
    inner = SealingSqlArtifactStore(with_database(environment))
    if not plan(environment).active:
        return inner
    return CachedArtifactStore(inner, redis_link(environment), _keys(environment, pipe_id), metrics)


def _keys(environment: Mapping[str, str], pipe_id: str) -> Keys:
    return Keys(pipe_id, environment.get("REDIS_KEY_PREFIX", "").strip() or "open-webui")


def write_behind(store: ArtifactStore) -> Callable[[], Awaitable[None]]:
    """The background work of a store of `artifact_store`: carrying the queue over, where there is one."""
    return store.run if isinstance(store, CachedArtifactStore) else _nothing


async def _nothing() -> None:
    """No work."""


def cost_sink(environment: Mapping[str, str], pipe_id: str) -> CostSink | None:
    """Where cost snapshots go; nowhere without Redis. Opens nothing; has ``aclose``."""
    if not plan(environment).active:
        return None
    return RedisCostSink(RedisLink(lambda: connect(environment), deadline=_COSTS_DEADLINE), pipe_id)


class Sharing:
    """What one worker does for all: fetching the catalogue, cleaning up. Without Redis each does it. Opens nothing.

    The valve is asked at every use, in the settings of the latest request.
    """

    def __init__(self, environment: Mapping[str, str], pipe_id: str, latest: LatestSettings) -> None:
        self._environment = environment
        self._latest = latest
        self._keys = _keys(environment, pipe_id)
        self._link = redis_link(environment) if plan(environment).active else None

    def catalog(self, source: CatalogSource) -> CatalogSource:
        """``source``, or one that the workers share."""
        return source if self._link is None else SharedCatalog(source, self._link, self._keys, self._is_on)

    def clean_up(self, clean_up: ArtifactCleanUp) -> ArtifactCleanUp:
        """``clean_up``, or one of which each round is done by one worker."""
        return clean_up if self._link is None else LeadingCleanUp(clean_up, self._link, self._keys, self._interval)

    async def aclose(self) -> None:
        """Close the connection."""
        if self._link is not None:
            await self._link.aclose()

    def _is_on(self) -> bool:
        return plan(self._environment, self._latest.settings).active

    def _interval(self) -> float | None:
        now = self._latest.clean_up()
        return now.interval if now is not None and self._is_on() else None


class RedisPolicies:
    """`turn_policies` with what the settings say about Redis; says in the log, once per change, whether it is used."""

    def __init__(self, environment: Mapping[str, str], pipe_id: str) -> None:
        self._environment = environment
        self._pipe_id = pipe_id
        self._said: RedisPlan | None = None

    def __call__(self, settings: Settings) -> TurnPolicies:
        """All policies of one turn."""
        now = plan(self._environment, settings)
        if now != self._said:
            self._said = now
            # With one worker nobody expects Redis; with several, somebody may.
            unexpected = not now.active and _workers(self._environment) > 1
            _log.log(logging.WARNING if unexpected else logging.INFO, "%s", now)
        return _policies(settings, self._pipe_id, now)


@functools.lru_cache(maxsize=128)
def _policies(settings: Settings, pipe_id: str, now: RedisPlan) -> TurnPolicies:
    policies = turn_policies(settings, pipe_id)
    costs = settings.COSTS_REDIS_TTL_SECONDS if now.active and settings.COSTS_REDIS_DUMP else None
    return attrs.evolve(policies, store=shared(policies.store, settings, now), cost_ttl_seconds=costs)


def shared(policy: StorePolicy, settings: Settings, now: RedisPlan) -> SharedStorePolicy:
    """The store's policy with the limits of cache and queue."""
    return SharedStorePolicy(
        **{field.name: getattr(policy, field.name) for field in attrs.fields(StorePolicy)},
        shared=now.active,
        cache_ttl_seconds=settings.REDIS_CACHE_TTL_SECONDS,
        pending_warn_threshold=settings.REDIS_PENDING_WARN_THRESHOLD,
        flush_failure_limit=settings.REDIS_FLUSH_FAILURE_LIMIT,
    )
