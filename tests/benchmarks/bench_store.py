"""What Redis saves a turn: reading 100 artifacts and writing one, through cache and queue and without them.

Real servers on this machine. Times are those that a turn waits, not CPU times: most of them pass in the servers. Sealing and
opening (AES-256-GCM) is part of both sides. ``bench.py`` runs this file in a process of its own; alone it prints a table.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Sequence
from pathlib import Path

from bench_figures import Figure

from openrouter_pipe.adapters.memory import NullMetrics
from openrouter_pipe.adapters.redis import CachedArtifactStore, RedisLink, connect
from openrouter_pipe.adapters.redis.keys import Keys
from openrouter_pipe.adapters.sql.sealer import SealingSqlArtifactStore
from openrouter_pipe.ports.artifacts import Artifact, ArtifactStore
from openrouter_pipe.ports.sealing import SharedStorePolicy
from openrouter_pipe.ports.settings import Secret

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from postgres_server import postgres_url
from redis_server import RedisServer

READ = 100
TURN = 6
"""Artifacts that one turn writes: two tool rounds of reasoning, call and output."""

PIPE = "bench"
POLICY = SharedStorePolicy(PIPE, Secret("a key"))


def artifacts(count: int, chat: str) -> list[Artifact]:
    """Artifacts of about two kilobytes that do not compress well, as reasoning does not."""
    return [
        Artifact(uuid.uuid4().hex[:20].upper(), chat, "m", "a/b", "reasoning", {"n": n, "text": os.urandom(1000).hex()})
        for n in range(count)
    ]


async def waited(work: Awaitable[object]) -> float:
    """Milliseconds until ``work`` is done."""
    began = time.perf_counter()
    await work
    return (time.perf_counter() - began) * 1e3


async def emptied(store: CachedArtifactStore) -> None:
    """Wait until everything is in the database."""
    while await store.backlog():
        await asyncio.sleep(0.01)


async def reads(cached: CachedArtifactStore, plain: ArtifactStore, runs: int) -> tuple[list[float], list[float]]:
    """Milliseconds for `READ` artifacts: from the cache, from the database."""
    batch = artifacts(READ, "read")
    ids = [one.id for one in batch]
    await cached.save(batch, POLICY)
    await emptied(cached)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(runs + 1):
        for store, into in zip((cached, plain), times, strict=True):
            began = time.perf_counter()
            found = await store.load("read", ids, POLICY)
            into.append((time.perf_counter() - began) * 1e3)
            if len(found) != READ:
                raise RuntimeError(f"{len(found)} of {READ} artifacts were read")
    return times[0][1:], times[1][1:]


async def writes(cached: CachedArtifactStore, plain: ArtifactStore, runs: int) -> tuple[list[float], list[float]]:
    """Milliseconds that a turn waits for each artifact: in the queue, in the database."""
    times: tuple[list[float], list[float]] = ([], [])
    for run in range(runs + 1):
        for store, into in zip((cached, plain), times, strict=True):
            batch = artifacts(TURN, f"write {run}")
            into.append(await waited(store.save(batch, POLICY)) / TURN)
            await emptied(cached)
    return times[0][1:], times[1][1:]


async def measure(runs: int) -> list[Figure]:
    """The figures, for PostgreSQL and for SQLite."""
    server = RedisServer("appendonly yes", "appendfsync everysec")
    figures: list[Figure] = []
    try:
        with tempfile.TemporaryDirectory(prefix="openrouter-pipe-bench-") as folder:
            databases = {
                "PostgreSQL": {"DATABASE_URL": postgres_url()},
                "SQLite": {"DATABASE_URL": f"sqlite:///{folder}/webui.db"},
            }
            for name, environment in databases.items():
                link = RedisLink(lambda: connect({"REDIS_URL": server.url}))
                cached = CachedArtifactStore(
                    SealingSqlArtifactStore(environment), link, Keys(f"{PIPE}-{name}"), NullMetrics()
                )
                carrying = asyncio.create_task(cached.run())
                plain = SealingSqlArtifactStore(environment)
                await plain.save(artifacts(1, "first"), POLICY)
                figures += _pair(name, "read", f"read of {READ} artifacts", await reads(cached, plain, runs))
                figures += _pair(name, "write", "write of an artifact, in the turn", await writes(cached, plain, runs))
                await cached.aclose()
                await carrying
                await plain.aclose()
    finally:
        server.remove()
    return figures


def _pair(database: str, key: str, title: str, times: tuple[Sequence[float], Sequence[float]]) -> list[Figure]:
    mine, direct = list(times[0]), list(times[1])
    note = f"what the turn waits, {len(mine)} runs; the floor is {database} without Redis"
    key = f"store_{key}_{database.lower()}"
    return [Figure(key, f"{title}: Redis before {database}", "ms", mine, direct, database, note=note)]


def main() -> int:
    """Print the outcome as `bench.py` reads it, or as a table with ``--table``."""
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    runs = next((int(one) for one in sys.argv[1:] if one.isdigit()), 25)
    figures = asyncio.run(measure(runs))
    if "--table" in sys.argv:
        for figure in figures:
            print(f"{figure.title:60} {figure.value:8.3f} ms   without Redis {figure.floor:8.3f} ms")
        return 0
    print(json.dumps({"figures": [figure.as_json() for figure in figures], "wrong": [], "answers": 0}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
