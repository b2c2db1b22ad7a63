"""Multi-worker: the prerequisites of Redis one by one, by the one rule in `composition.redis`, and whether it answers."""

from __future__ import annotations

from typing import Final

from openrouter_pipe.adapters.redis import RedisAway
from openrouter_pipe.composition.checks.result import Check, Checklist, Group, Subject
from openrouter_pipe.composition.redis import RedisPlan, plan, redis_link

_LIST: Final = Checklist(Group.WORKERS)
PREREQUISITES: Final = {
    "UVICORN_WORKERS": "Set UVICORN_WORKERS to the number of workers that Open WebUI runs.",
    "REDIS_URL": "Set REDIS_URL for Open WebUI, for example redis://redis:6379/0.",
    "WEBSOCKET_MANAGER": "Set WEBSOCKET_MANAGER=redis for Open WebUI.",
    "WEBSOCKET_REDIS_URL": "Set WEBSOCKET_REDIS_URL for Open WebUI, usually to the value of REDIS_URL.",
    "the Python package redis": "python -m pip install redis",
    "ENABLE_REDIS_CACHE": "Switch the valve ENABLE_REDIS_CACHE on, unless direct writes are what you want.",
}
"""By the first words in which `RedisPlan.missing` names them."""


async def checks(subject: Subject) -> list[Check]:
    """The whole group."""
    now = plan(subject.environment, subject.settings)
    if missing(now, "UVICORN_WORKERS"):
        why = "one worker: Redis is not used, artifacts go to the database directly"
        wanted = subject.environment.get("WEBSOCKET_MANAGER", "").strip().lower() == "redis"
        hint = "Several workers or replicas? Set UVICORN_WORKERS, or Redis stays unused." if wanted else ""
        names = [*PREREQUISITES, "Redis reachable"]
        return [_LIST.skipped(name, why, hint if name == "UVICORN_WORKERS" else "") for name in names]
    lines = [_prerequisite(now, name, subject.environment.get("UVICORN_WORKERS", "")) for name in PREREQUISITES]
    return [*lines, await _reachable(subject, now)]


def missing(now: RedisPlan, name: str) -> str:
    """What the rule says about a prerequisite; empty when it is met."""
    return next((words for words in now.missing if words.startswith(f"{name} ")), "")


def _prerequisite(now: RedisPlan, name: str, workers: str) -> Check:
    if words := missing(now, name):
        return _LIST.warning(name, f"{words}; {workers} workers run without Redis", PREREQUISITES[name])
    return _LIST.ok(name, f"{workers} workers" if name == "UVICORN_WORKERS" else "as needed")


async def _reachable(subject: Subject, now: RedisPlan) -> Check:
    name = "Redis reachable"
    if not now.active:
        return _LIST.skipped(name, "prerequisites are missing")
    link = redis_link(subject.environment)
    try:
        async with link.use() as client:
            await client.ping()
        holds = link.can_hold
    except RedisAway as error:
        remedy = "Check REDIS_URL and that Redis runs; until then artifacts go to the database directly."
        return _LIST.failed(name, f"it does not answer as it should ({error})", remedy)
    finally:
        await link.aclose()
    if not holds:
        told = "it answers, but evicts keys that do not expire (maxmemory-policy allkeys-*): cache only"
        return _LIST.warning(name, told, "Set maxmemory-policy to noeviction or volatile-lru for write-behind.")
    return _LIST.ok(name, "it answers and keeps what it is given")
