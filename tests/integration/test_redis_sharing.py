"""What one worker does for all: fetching the catalogue and cleaning up. Real processes, a real Redis, a counting provider."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis

from openrouter_pipe.adapters.memory.telemetry import NullMetrics
from openrouter_pipe.adapters.redis import CachedArtifactStore, LeadingCleanUp, RedisLink, SharedCatalog, connect
from openrouter_pipe.adapters.redis.catalog import HELD_SECONDS
from openrouter_pipe.adapters.redis.keys import Keys
from openrouter_pipe.adapters.simulator.app import create_app
from openrouter_pipe.adapters.simulator.config import SimulatorConfig
from openrouter_pipe.adapters.simulator.server import serve
from openrouter_pipe.adapters.sql.sealer import SealingSqlArtifactStore
from openrouter_pipe.composition.redis import Sharing
from openrouter_pipe.composition.served import LatestSettings
from openrouter_pipe.ports.artifacts import ArtifactStoreError, StorePolicy
from openrouter_pipe.ports.catalog import SharedCatalogSource
from openrouter_pipe.ports.clean_up import Preloading
from openrouter_pipe.ports.json import JsonObject
from openrouter_pipe.ports.provider import Connection, FaultKind, ProviderError, ProviderFault
from openrouter_pipe.ports.settings import Secret, read_settings
from redis_server import RedisServer

HERE = Connection("https://here/api/v1", Secret("sk-or-v1-s3cret"), "", "")
MODELS: tuple[JsonObject, ...] = ({"id": "a/b", "name": "Ä \ud83d"}, {"id": "a/c"})
POLICY = StorePolicy("p", Secret(""))
NOW = datetime(2026, 1, 1, tzinfo=UTC)

WORKER = """
import asyncio, sys
from openrouter_pipe.composition.pipe import PipeContainer, PipeServices
from openrouter_pipe.ports.settings import read_settings

async def run():
    redis, provider, folder = sys.argv[1:]
    container = PipeContainer()
    container.environment.override({
        "UVICORN_WORKERS": "4", "REDIS_URL": redis, "WEBSOCKET_MANAGER": "redis", "WEBSOCKET_REDIS_URL": redis,
        "DATA_DIR": folder})
    services = PipeServices(container)
    settings = read_settings({"BASE_URL": provider, "API_KEY": "sk-or-v1-workers", "MODEL_CATALOG_REFRESH_SECONDS": 60})
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    print(len(await services.chat.models(settings)), flush=True)
    await services.close()

asyncio.run(run())
"""


class Source:
    """Counts fetches; answers as told, and when the gate is open."""

    def __init__(self, answer: tuple[JsonObject, ...] | ProviderFault = MODELS) -> None:
        self.answer = answer
        self.fetches = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self, connection: Connection) -> tuple[JsonObject, ...]:
        self.fetches += 1
        await self.gate.wait()
        if isinstance(self.answer, ProviderFault):
            raise ProviderError(self.answer)
        return self.answer


class Cleaner:
    """Counts rounds."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.away = False

    async def clean_up(self, older_than: datetime, policy: StorePolicy) -> int:
        return self._do("clean-up")

    async def delete_orphans(self, older_than: datetime, policy: StorePolicy) -> int:
        return self._do("orphans")

    def _do(self, what: str) -> int:
        if self.away:
            raise ArtifactStoreError("away")
        self.done.append(what)
        return 3


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    one = RedisServer()
    yield one
    one.remove()


@pytest.fixture
def raw(server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis(port=server.port) as client:
        yield client


@pytest.fixture
def keys() -> Keys:
    return Keys(f"pipe_{uuid.uuid4().hex}")


@pytest.fixture
async def link(server: RedisServer) -> AsyncIterator[RedisLink]:
    one = RedisLink(lambda: connect({"REDIS_URL": server.url}))
    yield one
    await one.aclose()


Make = Callable[..., SharedCatalog]


@pytest.fixture
def make(link: RedisLink, keys: Keys) -> Make:
    def worker(source: Source, **more: object) -> SharedCatalog:
        return SharedCatalog(source, link, keys, **more)  # type: ignore[arg-type]

    return worker


@pytest.mark.parametrize("expected", [1, 4], ids=["with Redis", "Redis away"])
async def test_four_processes_fetch_once_or_each_for_itself(server: RedisServer, tmp_path: Path, expected: int) -> None:
    url = server.url if expected == 1 else "redis://127.0.0.1:1/0"
    app = create_app(SimulatorConfig())
    async with serve(app) as simulator:
        command = [sys.executable, "-c", WORKER, url, simulator.url, str(tmp_path)]
        pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
        workers = [await asyncio.create_subprocess_exec(*command, **pipes) for _ in range(4)]
        for worker in workers:
            assert worker.stdout is not None
            assert (await worker.stdout.readline()).strip() == b"ready"
        ends = await asyncio.gather(*(worker.communicate(b"\n") for worker in workers))
        listed = {int(out.splitlines()[-1]) for out, _ in ends}
        assert len(listed) == 1
        assert listed != {0}
        fetches = [seen.path for seen in app.requests if seen.path.endswith("/models")]
        assert len(fetches) == expected


async def test_a_copy_serves_until_it_is_too_old(make: Make, keys: Keys, raw: redis.Redis) -> None:
    first, second = Source(), Source()
    assert isinstance(make(first), SharedCatalogSource)
    assert await make(first).fetch_shared(HERE, 60) == (MODELS, 0.0)
    entries, age = await make(second).fetch_shared(HERE, 60)
    assert (entries, second.fetches) == (MODELS, 0)
    assert 0 <= age < 5
    [name] = raw.keys(keys.own + ":catalog:*")
    raw.pexpire(name, int((HELD_SECONDS - 59) * 1000))
    entries, age = await make(second).fetch_shared(HERE, 60)
    assert 59 <= age < 60
    raw.pexpire(name, int((HELD_SECONDS - 60) * 1000))
    assert await make(second).fetch_shared(HERE, 60) == (MODELS, 0.0)
    assert second.fetches == 1
    assert not [key for key in raw.keys("*") if b"s3cret" in key or b"s3cret" in (raw.get(key) or b"")]
    assert all(key.startswith(keys.pipe_id.encode()) for key in raw.keys(f"*{keys.pipe_id}*"))


async def test_accounts_and_addresses_do_not_share(make: Make) -> None:
    source = Source()
    for where, key in [("https://here", "a"), ("https://here", "b"), ("https://there", "a")]:
        await make(source).fetch_shared(Connection(where, Secret(key), "", ""), 60)
    assert source.fetches == 3


async def test_the_others_wait_for_the_one_that_fetches(make: Make) -> None:
    first, others = Source(), Source()
    first.gate.clear()
    leading = asyncio.create_task(make(first).fetch_shared(HERE, 60))
    while not first.fetches:
        await asyncio.sleep(0.005)
    waiting = [asyncio.create_task(make(others).fetch_shared(HERE, 60)) for _ in range(5)]
    await asyncio.sleep(0.05)
    first.gate.set()
    answers = [(await task)[0] for task in (leading, *waiting)]
    assert answers == [MODELS] * 6
    assert (first.fetches, others.fetches) == (1, 0)


async def test_a_worker_that_dies_or_fails_while_fetching_is_not_waited_for(make: Make) -> None:
    dead, other = Source(), Source()
    dead.gate.clear()
    gone = asyncio.create_task(make(dead, patience=0.3).fetch_shared(HERE, 60))
    while not dead.fetches:
        await asyncio.sleep(0.005)
    assert (await make(other, patience=0.3).fetch_shared(HERE, 60))[0] == MODELS
    gone.cancel()
    failing = Source(ProviderFault(FaultKind.STATUS, "down", 503))
    elsewhere = Connection("https://elsewhere", Secret("k"), "", "")
    with pytest.raises(ProviderError):
        await make(failing).fetch_shared(elsewhere, 60)
    async with asyncio.timeout(1):
        assert (await make(other).fetch_shared(elsewhere, 60))[0] == MODELS


@pytest.mark.parametrize("garbage", [b"", b"x" * 100, b"x\x9c", b"[]", b"x\x9c\xab\xae\x05\x00\x01u\x00\xf9"])
async def test_a_copy_that_is_no_catalogue_is_fetched_anew(
    make: Make, keys: Keys, raw: redis.Redis, garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source()
    await make(source).fetch_shared(HERE, 60)
    [name] = raw.keys(keys.own + ":catalog:*")
    raw.set(name, garbage, px=int(HELD_SECONDS * 1000))
    assert (await make(source).fetch_shared(HERE, 60))[0] == MODELS
    assert source.fetches == 2
    assert "catalogue" in caplog.text


async def test_without_redis_or_with_the_valve_off_each_fetches(keys: Keys, make: Make) -> None:
    source = Source()
    away = SharedCatalog(source, RedisLink(lambda: connect({"REDIS_URL": "redis://127.0.0.1:1/0"})), keys)
    for expected in (1, 2):
        assert await away.fetch_shared(HERE, 60) == (MODELS, 0.0)
        assert source.fetches == expected
    await make(source, allowed=lambda: False).fetch_shared(HERE, 60)
    await make(source, allowed=lambda: False).fetch_shared(HERE, 60)
    assert source.fetches == 4


async def test_one_worker_cleans_up_in_each_period(link: RedisLink, keys: Keys, raw: redis.Redis) -> None:
    workers = [Cleaner() for _ in range(4)]
    interval = [3600.0]

    async def round_() -> int:
        gone = 0
        for worker in workers:
            leading = LeadingCleanUp(worker, link, keys, lambda: interval[0])
            gone += await leading.clean_up(NOW, POLICY)
            gone += await leading.delete_orphans(NOW, POLICY)
        return gone

    assert await round_() == 6
    assert await round_() == 0
    assert sorted(one for worker in workers for one in worker.done) == ["clean-up", "orphans"]
    # the next period, by Redis' own clock
    for name in raw.keys(keys.own + ":clean-up:*"):
        raw.pexpire(name, int(str(raw.pttl(name))) - 2881 * 1000)
    assert await round_() == 6
    assert await round_() == 0
    interval[0] = 0.001  # a changed interval counts at once
    await asyncio.sleep(0.01)
    assert await round_() >= 6


async def test_a_clean_up_that_fails_is_left_to_another_worker(link: RedisLink, keys: Keys) -> None:
    one, other = Cleaner(), Cleaner()
    one.away = True
    with pytest.raises(ArtifactStoreError):
        await LeadingCleanUp(one, link, keys, lambda: 3600).clean_up(NOW, POLICY)
    assert await LeadingCleanUp(other, link, keys, lambda: 3600).clean_up(NOW, POLICY) == 3


async def test_without_redis_everybody_cleans_up(keys: Keys, link: RedisLink) -> None:
    away = RedisLink(lambda: connect({"REDIS_URL": "redis://127.0.0.1:1/0"}))
    cleaner = Cleaner()
    for leading in (
        LeadingCleanUp(cleaner, away, keys, lambda: 3600),
        LeadingCleanUp(cleaner, link, keys, lambda: None),
    ):
        for _ in range(2):
            assert await leading.clean_up(NOW, POLICY) == 3
    assert len(cleaner.done) == 4


async def test_sharing_follows_environment_and_valve(server: RedisServer) -> None:
    source, cleaner = Source(), Cleaner()
    plain = Sharing({}, "p", LatestSettings("p"))
    assert plain.catalog(source) is source
    assert plain.clean_up(cleaner) is cleaner
    await plain.aclose()
    environment = {
        "UVICORN_WORKERS": "2",
        "REDIS_URL": server.url,
        "WEBSOCKET_MANAGER": "redis",
        "WEBSOCKET_REDIS_URL": server.url,
    }
    pipe = f"pipe_{uuid.uuid4().hex}"
    latest = LatestSettings(pipe)
    sharing = Sharing(environment, pipe, latest)
    shared = sharing.catalog(source)
    assert isinstance(shared, SharedCatalogSource)
    latest.settings = read_settings({"ENABLE_REDIS_CACHE": False})
    for _ in range(2):
        await shared.fetch_shared(HERE, 60)
        await sharing.clean_up(cleaner).clean_up(NOW, POLICY)
    assert (source.fetches, len(cleaner.done)) == (2, 2)
    latest.settings = read_settings({})
    for _ in range(2):
        await shared.fetch_shared(HERE, 60)
        await sharing.clean_up(cleaner).clean_up(NOW, POLICY)
    assert (source.fetches, len(cleaner.done)) == (3, 3)
    await sharing.aclose()


async def test_drivers_are_loaded_ahead_through_every_layer(tmp_path: Path) -> None:
    environment = {"DATA_DIR": str(tmp_path)}

    class Loaded(SealingSqlArtifactStore):
        times = 0

        async def preload(self) -> None:
            Loaded.times += 1

    link = RedisLink(lambda: connect({"REDIS_URL": "redis://localhost:1/0"}))  # nothing is asked of it
    cached = CachedArtifactStore(Loaded(environment), link, Keys("p", "t"), NullMetrics())
    cleaner = LeadingCleanUp(cached, link, Keys("p", "t"), lambda: None)
    assert isinstance(cleaner, Preloading)
    await cleaner.preload()
    assert Loaded.times == 1
