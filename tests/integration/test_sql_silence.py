"""What a host that logs everything hears of our connections: nothing that a conversation or a key consists of."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import uuid
from pathlib import Path

import aiosqlite
import pytest
from attrs import evolve

from openrouter_pipe.adapters.sql import SqlArtifactStore, rotate
from openrouter_pipe.ports.artifacts import Artifact, ArtifactStoreError, StorePolicy
from openrouter_pipe.ports.settings import Secret
from postgres_server import postgres_url

WORDS, CHAT, KEY = "w0rds-of-a-conversation", "chat-0f-somebody", "s3cret-key"
IDS = [f"{number:020d}" for number in range(3)]


@pytest.fixture(params=["sqlite", "postgres"])
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    return {"DATA_DIR": str(tmp_path)} if request.param == "sqlite" else {"DATABASE_URL": postgres_url()}


def text_of(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(f"{record.name} {record.getMessage()}" for record in caplog.records)


@pytest.mark.parametrize("key", ["", KEY])
async def test_statements_parameters_and_rows_stay_out_of_the_log(
    environment: dict[str, str], key: str, caplog: pytest.LogCaptureFixture
) -> None:
    policy = StorePolicy(f"pipe_{uuid.uuid4().hex}", Secret(key))
    with caplog.at_level(logging.DEBUG):
        for name in ("aiosqlite", "sqlalchemy", "sqlalchemy.engine", "sqlalchemy.pool", "psycopg"):
            caplog.set_level(logging.DEBUG, logger=name)
        store = SqlArtifactStore(environment)
        some = [Artifact(one, CHAT, "m", "a/b", "reasoning", {"text": WORDS}) for one in IDS]
        assert len(await store.save(some, policy)) == 3
        assert len(await store.load(CHAT, IDS, policy)) == 3
        assert await store.delete(CHAT, IDS[:1], policy) == 1
        await store.aclose()
        async for _ in rotate(environment, evolve(policy, key=Secret("new"), previous_keys=(policy.key,))):
            pass
    told = text_of(caplog)
    for forbidden in (WORDS, CHAT, KEY, IDS[2], "ciphertext", "INSERT"):
        assert forbidden not in told


async def test_the_hosts_own_connections_log_as_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = SqlArtifactStore({"DATA_DIR": str(tmp_path)})
    await store.load(CHAT, IDS, StorePolicy("p", Secret("")))
    with caplog.at_level(logging.DEBUG, logger="aiosqlite"):
        async with aiosqlite.connect(tmp_path / "webui.db") as theirs:
            await theirs.execute("SELECT 'the host asks'")
    assert "the host asks" in text_of(caplog)
    await store.aclose()


async def test_the_drivers_threads_do_not_keep_a_process_alive(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    store = SqlArtifactStore({"DATA_DIR": str(tmp_path)})
    await asyncio.gather(*(store.load(CHAT, IDS, StorePolicy(f"p{n}", Secret(""))) for n in range(3)))
    ours = [thread for thread in set(threading.enumerate()) - before if not thread.name.startswith("asyncio")]
    assert len(ours) >= 2
    assert all(thread.daemon for thread in ours)
    await store.aclose()


async def test_a_missing_driver_costs_the_memory_and_not_the_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "openrouter_pipe.adapters.sql.quiet", raising=False)
    monkeypatch.setitem(sys.modules, "aiosqlite", None)
    store = SqlArtifactStore({"DATA_DIR": str(tmp_path)})
    with pytest.raises(ArtifactStoreError, match="'aiosqlite' is not installed"):
        await store.load(CHAT, IDS, StorePolicy("p", Secret("")))
    await store.aclose()
