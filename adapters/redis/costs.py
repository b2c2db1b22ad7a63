"""Cost snapshots: written with an expiry for whoever collects them, and read back for a look."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

from openrouter_pipe.adapters.redis.connection import RedisAway, RedisLink
from openrouter_pipe.ports.json import JsonValue
from openrouter_pipe.ports.telemetry import CostSnapshot

_AT_ONCE: Final = 200


class RedisCostSink:
    """`CostSink`: ``costs:{pipe}:{user}:{uuid}:{epoch seconds}`` holds one snapshot as JSON. Never raises."""

    def __init__(self, link: RedisLink, pipe_id: str, *, new_id: Callable[[], str] = lambda: str(uuid.uuid4())) -> None:
        self._link = link
        self._pipe_id = pipe_id
        self._new_id = new_id

    async def aclose(self) -> None:
        """Close the connection."""
        await self._link.aclose()

    async def record(self, user_id: str, snapshot: CostSnapshot, ttl_seconds: int) -> None:
        """Keep a snapshot for ``ttl_seconds``; one with a missing field, or without Redis, is dropped."""
        texts = (user_id, snapshot.guid, snapshot.email, snapshot.name, snapshot.model)
        if not all(texts) or not snapshot.usage or not math.isfinite(snapshot.ts):
            return
        try:
            value = json.dumps(
                {
                    "guid": snapshot.guid,
                    "email": snapshot.email,
                    "name": snapshot.name,
                    "model": snapshot.model,
                    "usage": snapshot.usage,
                    "ts": int(snapshot.ts),
                },
                default=_plain,
            )
            async with self._link.use() as client:
                key = f"costs:{self._pipe_id}:{user_id}:{self._new_id()}:{int(snapshot.ts)}"
                await client.set(key, value, ex=max(1, ttl_seconds))
        except (RedisAway, TypeError, ValueError):
            return


async def read_costs(link: RedisLink, pipe_id: str | None = None) -> AsyncIterator[Mapping[str, JsonValue]]:
    """Every snapshot there is, of one pipe or of all, in no order; what is no snapshot is left out. Raises `RedisAway`."""
    pattern = f"costs:{_literal(pipe_id) if pipe_id else '*'}:*"
    async with link.use() as client:
        keys = [key async for key in client.scan_iter(match=pattern, count=1000)]
    for start in range(0, len(keys), _AT_ONCE):
        async with link.use() as client, client.pipeline(transaction=False) as pipeline:
            for key in keys[start : start + _AT_ONCE]:
                pipeline.get(key)
            answers = await pipeline.execute(raise_on_error=False)
        for key, answer in zip(keys[start : start + _AT_ONCE], answers, strict=True):
            if (snapshot := _snapshot(key, answer)) is not None:
                yield snapshot


def _snapshot(key: bytes, answer: Any) -> Mapping[str, JsonValue] | None:
    try:
        value: JsonValue = json.loads(answer)
    except (ValueError, TypeError, RecursionError):
        return None
    if not isinstance(value, dict) or not isinstance(value.get("usage"), dict):
        return None
    if not isinstance(value.get("ts"), int | float) or not isinstance(value.get("model"), str):
        return None
    parts = key.decode("utf-8", "replace").split(":")
    return {**value, "pipe": parts[1], "user_id": ":".join(parts[2:-2])}


def _literal(text: str) -> str:
    return "".join(f"\\{char}" if char in "*?[]\\^" else char for char in text)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return list(value)
    raise TypeError("not a JSON value")
