"""Rows and tables of the older pipe, and the envelope's promises, on a real database."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import sqlite3
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import lz4.frame
import psycopg
import pytest
from attrs import evolve, frozen
from cryptography.fernet import Fernet

from openrouter_pipe.adapters.sql import SqlArtifactStore
from openrouter_pipe.ports.artifacts import Artifact, ArtifactStoreError, StorePolicy
from openrouter_pipe.ports.settings import Secret
from postgres_server import postgres_url

CHAT = "chat-1"
KEY = "a key"
PAYLOAD = {"type": "reasoning", "id": "rs_1", "encrypted_content": "é" * 200, "summary": []}
COLUMNS = (
    "id VARCHAR(20) NOT NULL PRIMARY KEY, chat_id VARCHAR(64), message_id VARCHAR(64), model_id VARCHAR(128), "
    "item_type VARCHAR(64), payload JSON, is_encrypted BOOLEAN, created_at TIMESTAMP"
)
INSERT = (
    "INSERT INTO {} (id, chat_id, message_id, model_id, item_type, payload, is_encrypted, created_at) "
    "VALUES (%s, %s, 'm', NULL, 'reasoning', %s, %s, '2026-01-01 00:00:00')"
)


def mid(number: int) -> str:
    return f"{number:020d}"


def reference_table(pipe_id: str, key: str) -> str:
    """The name by the published formula, for pipe ids of plain characters."""
    return f"response_items_{pipe_id}_{hashlib.sha256((key + pipe_id).encode()).hexdigest()[:8]}"


def reference_v1(payload: object, key: str, *, compress: bool) -> dict[str, object]:
    """Envelope version 1 by the published formula."""
    data = json.dumps(payload).encode()
    packed = b"\x01" + lz4.frame.compress(data) if compress else b"\x00" + data
    token = Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest())).encrypt(packed)
    return {"ciphertext": token.decode(), "enc_v": 1}


@frozen
class Bench:
    store: SqlArtifactStore
    policy: StorePolicy
    sql: Callable[..., list[tuple[object, ...]]]

    @property
    def table(self) -> str:
        return reference_table(self.policy.pipe_id, self.policy.key.reveal())

    def insert(self, number: int, stored: object, *, encrypted: bool | None, chat: str = CHAT) -> None:
        text = stored if isinstance(stored, str) else json.dumps(stored)
        self.sql(INSERT.format(self.table), mid(number), chat, text, encrypted)


@pytest.fixture(params=["sqlite", "postgres"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    policy = StorePolicy(f"pipe_{uuid.uuid4().hex}", Secret(KEY))
    if request.param == "sqlite":
        environment = {"DATABASE_URL": f"sqlite:///{tmp_path}/webui.db"}

        def sql(statement: str, *values: object) -> list[tuple[object, ...]]:
            connection = sqlite3.connect(tmp_path / "webui.db")
            try:
                with connection:
                    return connection.execute(statement.replace("%s", "?"), values).fetchall()
            finally:
                connection.close()
    else:
        environment = {"DATABASE_URL": postgres_url().replace("postgresql://", "postgres://")}

        def sql(statement: str, *values: object) -> list[tuple[object, ...]]:
            with psycopg.connect(postgres_url()) as connection:
                cursor = connection.execute(statement, values or None)  # type: ignore[call-overload]
                return cursor.fetchall() if cursor.description else []

    store = SqlArtifactStore(environment, now=lambda: datetime(2026, 1, 2, tzinfo=UTC))
    yield Bench(store, policy, sql)
    await store.aclose()


async def test_a_table_of_the_older_pipe_is_used_as_it_is(bench: Bench) -> None:
    bench.sql(f"CREATE TABLE {bench.table} ({COLUMNS})")
    bench.insert(1, reference_v1(PAYLOAD, KEY, compress=True), encrypted=True)
    bench.insert(2, reference_v1(PAYLOAD, KEY, compress=False), encrypted=True)
    bench.insert(3, PAYLOAD, encrypted=False)
    bench.insert(4, PAYLOAD, encrypted=None)
    await bench.store.save([Artifact(mid(5), CHAT, "m", "a/b", "reasoning", PAYLOAD)], bench.policy)
    found = await bench.store.load(CHAT, [mid(number) for number in range(9)], bench.policy)
    assert {one: artifact.payload for one, artifact in found.items()} == {
        mid(number): PAYLOAD for number in range(1, 6)
    }
    assert found[mid(1)].model_id == ""
    ages = bench.sql(f"SELECT count(*) FROM {bench.table} WHERE created_at < '2026-01-01 12:00:00'")
    assert ages == [(0,)]


async def test_what_is_written_is_what_the_contract_says(bench: Bench) -> None:
    await bench.store.save([Artifact(mid(1), CHAT, "m", "a/b", "reasoning", PAYLOAD)], bench.policy)
    partly = evolve(bench.policy, encrypt_all=False)
    await bench.store.save([Artifact(mid(2), CHAT, "m", "a/b", "function_call", PAYLOAD)], partly)
    await bench.store.save([Artifact(mid(3), CHAT, "m", "a/b", "reasoning", PAYLOAD)], partly)
    rows = bench.sql(
        f"SELECT id, CAST(payload AS TEXT), is_encrypted, model_id, item_type FROM {bench.table} ORDER BY id"
    )
    envelope = json.loads(str(rows[0][1]))
    assert (envelope.keys(), envelope["enc_v"], bool(rows[0][2])) == ({"ciphertext", "enc_v"}, 2, True)
    assert "rs_1" not in str(rows[0][1])
    assert (json.loads(str(rows[1][1])), bool(rows[1][2])) == (PAYLOAD, False)
    assert bool(rows[2][2])
    assert rows[0][3:] == ("a/b", "reasoning")


async def test_compression_pays_or_is_not_done(bench: Bench) -> None:
    large = {"text": "again and again " * 500}
    for number, policy in enumerate(
        [bench.policy, evolve(bench.policy, compress=False), evolve(bench.policy, min_compress_bytes=100_000)]
    ):
        await bench.store.save([Artifact(mid(number), CHAT, "m", "a/b", "x", large)], policy)
    rows = bench.sql(f"SELECT id, CAST(payload AS TEXT) FROM {bench.table} ORDER BY id")
    lengths = [len(str(text)) for _, text in rows]
    assert lengths[0] < 1000
    assert min(lengths[1:]) > 8000
    found = await bench.store.load(CHAT, [mid(number) for number in range(3)], bench.policy)
    assert all(artifact.payload == large for artifact in found.values())
    assert len(found) == 3


async def test_bad_rows_are_skipped_with_one_warning_that_names_them(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.store.save([Artifact(mid(1), CHAT, "m", "a/b", "reasoning", PAYLOAD)], bench.policy)
    genuine = json.loads(str(bench.sql(f"SELECT CAST(payload AS TEXT) FROM {bench.table}")[0][0]))
    sealed = genuine["ciphertext"]
    tampered = sealed[:40] + ("A" if sealed[40] != "A" else "B") + sealed[41:]
    bad = [
        genuine,  # copied from another row
        {**genuine, "ciphertext": tampered},
        {**genuine, "ciphertext": "?"},
        {**genuine, "ciphertext": 5},
        {**genuine, "enc_v": 3},
        {**genuine, "enc_v": True},
        {"enc_v": 2},
        reference_v1(PAYLOAD, "wrong key", compress=True),
        reference_v1([1, 2], KEY, compress=True),
        {"ciphertext": "nonsense", "enc_v": 1},
    ]
    for number, stored in enumerate(bad, 2):
        bench.insert(number, stored, encrypted=True)
    for number, stored in enumerate(["[1]", '"text"', "null", "5"], 20):
        bench.insert(number, stored, encrypted=False)
    wrong = [mid(number) for number in [*range(2, 12), *range(20, 24), 30]]  # the last one is nowhere
    with caplog.at_level(logging.WARNING):
        assert set(await bench.store.load(CHAT, [mid(1), *wrong], bench.policy)) == {mid(1)}
        assert set(await bench.store.load(CHAT, [mid(1), *wrong], bench.policy)) == {mid(1)}
    said = [record.getMessage() for record in caplog.records]
    assert [sum(one in line for line in said) for one in wrong] == [1] * len(wrong), said
    assert len(said) == 1
    assert KEY not in caplog.text
    assert "rs_1" not in caplog.text


async def test_a_chat_full_of_bad_markers_does_not_flood_the_log(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert await bench.store.load(CHAT, [mid(number) for number in range(500)], bench.policy) == {}
    assert len(caplog.records) == 1
    assert sum(mid(number) in caplog.text for number in range(500)) == 20
    assert "480 more" in caplog.text


async def test_a_row_moved_to_another_chat_does_not_open(bench: Bench) -> None:
    await bench.store.save([Artifact(mid(1), CHAT, "m", "a/b", "reasoning", PAYLOAD)], bench.policy)
    bench.sql(f"UPDATE {bench.table} SET chat_id = 'chat-2'")
    assert await bench.store.load("chat-2", [mid(1)], bench.policy) == {}


async def test_long_and_odd_pipe_ids(bench: Bench) -> None:
    for pipe_id in ("Ünï/cödé!", "_" * 80, "", "x" * 100, "x" * 99 + "y"):
        policy = evolve(bench.policy, pipe_id=pipe_id)
        assert await bench.store.save([Artifact(mid(1), CHAT, "m", "", "x", {"pipe": pipe_id})], policy) == {mid(1)}
        assert (await bench.store.load(CHAT, [mid(1)], policy))[mid(1)].payload == {"pipe": pipe_id}
        await bench.store.delete_chats([CHAT], policy)


async def test_a_table_that_was_dropped_is_made_again(bench: Bench) -> None:
    one = Artifact(mid(1), CHAT, "m", "a/b", "reasoning", PAYLOAD)
    await bench.store.save([one], bench.policy)
    bench.sql(f"DROP TABLE {bench.table}")
    assert await bench.store.load(CHAT, [mid(1)], bench.policy) == {}
    assert await bench.store.save([one], bench.policy) == {mid(1)}


async def test_a_closed_store_says_so(bench: Bench) -> None:
    await bench.store.aclose()
    with pytest.raises(ArtifactStoreError, match="closed"):
        await bench.store.load(CHAT, [mid(1)], bench.policy)
