"""Memory through the whole pipe: real conversation, real provider adapter, real databases, a simulated OpenRouter."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import lz4.frame
import psycopg
import pytest
from cryptography.fernet import Fernet
from sqlalchemy import event
from sqlalchemy.engine import Engine

from openrouter_pipe.adapters.memory.artifacts import MemoryArtifactStore
from openrouter_pipe.adapters.openrouter import OpenRouterItemCodec
from openrouter_pipe.adapters.sql import SqlArtifactStore
from openrouter_pipe.ports.artifacts import Artifact, ArtifactStore, ArtifactStoreError, StorePolicy
from openrouter_pipe.ports.chat import ChatMessage, Completed, MarkersIssued, Notified
from openrouter_pipe.ports.items import FunctionOutputItem, Role, TextPart
from openrouter_pipe.ports.settings import Secret
from postgres_server import postgres_url
from remembering import CHAT, CLAUDE, LOOP, Remembering, remembered, shown, user

PROGRAM = Path(__file__).parent.parent / "support" / "remembering.py"
COLUMNS = (
    "id VARCHAR(20) NOT NULL PRIMARY KEY, chat_id VARCHAR(64), message_id VARCHAR(64), model_id VARCHAR(128), "
    "item_type VARCHAR(64), payload JSON, is_encrypted BOOLEAN, created_at TIMESTAMP"
)
MARKER = re.compile(r"\[([0-9A-Z]{20})\]: #")
HOSTILE = 'NUL \x00, alone \ud800 and \udfff, huge 1e999 and 123456789012345678901234567890, "\\u0000"'


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[dict[str, str], ArtifactStore | None]:
    """An environment with a database, or a store of its own."""
    match request.param:
        case "memory":
            return {}, MemoryArtifactStore()
        case "sqlite":
            return {"DATA_DIR": str(tmp_path)}, None
        case _:
            return {"DATABASE_URL": postgres_url()}, None


async def test_values_that_databases_refuse_survive_a_turn_and_a_restart(
    kept: tuple[dict[str, str], ArtifactStore | None],
) -> None:
    environment, store = kept
    for key in ("a key", ""):
        pipe_id = f"p{uuid.uuid4().hex}"
        async with Remembering(environment, pipe_id=pipe_id, store=store) as pipe:
            pipe.output = HOSTILE
            events = await pipe.ask(LOOP + "Look.", ARTIFACT_ENCRYPTION_KEY=key)
            assert isinstance(events[-1], Completed)
            history, made = pipe.history, remembered(pipe.sent()[-1])
            assert len(made) == 3
        async with Remembering(environment, pipe_id=pipe_id, store=store) as pipe:
            pipe.history = history
            await pipe.ask("And now?", ARTIFACT_ENCRYPTION_KEY=key)
            (items,) = pipe.sent()
        assert remembered(items) == made
        # What JSON can carry to the provider arrives whole; the rest was already gone in the turn itself.
        assert "\x00" in made[2]["output"]
        assert "123456789012345678901234567890" in made[2]["output"]


async def test_another_vendor_does_not_get_proofs_it_cannot_read(tmp_path: Path) -> None:
    async with Remembering({"DATA_DIR": str(tmp_path)}) as pipe:
        await pipe.ask(LOOP + "Look.")
        await pipe.ask("And now?", "openai.gpt-5")
        kinds = [item["type"] for item in remembered(pipe.sent()[-1])]
        assert kinds == ["function_call", "function_call_output"]
        await pipe.ask("And you?")
        assert remembered(pipe.sent()[-1])[0]["signature"]


@contextmanager
def statements() -> Iterator[list[str]]:
    """The statements on tables of artifacts meanwhile."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "FROM response_items" in statement:
            seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
async def test_five_hundred_artifacts_are_read_in_one_query(database: str, tmp_path: Path) -> None:
    environment = {"DATA_DIR": str(tmp_path)} if database == "sqlite" else {"DATABASE_URL": postgres_url()}
    pipe_id = f"p{uuid.uuid4().hex}"
    policy = StorePolicy(pipe_id, Secret("a key"), batch_size=500)
    thought = [{"type": "reasoning_text", "text": "x" * 500}]
    seal = {"signature": "s", "format": "anthropic-claude-v1"}
    rows = [
        Artifact(
            f"{n:020d}", CHAT, "m", CLAUDE, "reasoning",
            {"type": "reasoning", "id": f"rs_{n}", "summary": [], "content": thought} | seal,
        )
        for n in range(500)
    ]  # fmt: skip
    store = SqlArtifactStore(environment)
    assert len(await store.save(rows, policy)) == 500
    await store.aclose()
    async with Remembering(environment, pipe_id=pipe_id) as pipe:
        for n in range(100):
            block = "".join(f"[{row.id}]: #\n" for row in rows[5 * n : 5 * n + 5])
            pipe.history += [user(f"q{n}"), ChatMessage(Role.ASSISTANT, (TextPart(f"a{n}\n\n{block}"),))]
        with statements() as seen:
            await pipe.ask("And now?")
        assert len(remembered(pipe.sent()[-1])) == 500
    assert len(seen) == 1, seen


def older_table(pipe_id: str, key: str) -> str:
    """The name by the published formula, for pipe ids of plain characters."""
    return f"response_items_{pipe_id}_{hashlib.sha256((key + pipe_id).encode()).hexdigest()[:8]}"


def older_envelope(payload: object, key: str, *, compress: bool) -> dict[str, object]:
    """Envelope version 1 by the published formula."""
    data = json.dumps(payload).encode()
    packed = b"\x01" + lz4.frame.compress(data) if compress else b"\x00" + data
    token = Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest())).encrypt(packed)
    return {"ciphertext": token.decode(), "enc_v": 1}


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
@pytest.mark.parametrize("key", ["their key", ""])
async def test_a_chat_of_the_older_pipe_continues(database: str, key: str, tmp_path: Path) -> None:
    pipe_id = f"p{uuid.uuid4().hex}"
    table = older_table(pipe_id, key)
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "look", "arguments": "{}"}
    items = [
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [],
            "encrypted_content": "gAAAA=",
            "format": "openai-responses-v1",
        },
        call,
        {"type": "function_call_output", "call_id": "call_1", "output": "it rains " * 50},
    ]
    ids = [f"01J9ZK3V5Q8W2X7Y4T{n}R" for n in "ABC"]
    statement = f"INSERT INTO {table} VALUES (%s, %s, 'm1', 'openai/gpt-5', %s, %s, %s, '2026-01-01 00:00:00')"
    environment = {"DATA_DIR": str(tmp_path)} if database == "sqlite" else {"DATABASE_URL": postgres_url()}
    values = [
        (one, CHAT, item["type"], json.dumps(older_envelope(item, key, compress=n == 1) if key else item), bool(key))
        for n, (one, item) in enumerate(zip(ids, items, strict=True))
    ]
    if database == "sqlite":
        connection = sqlite3.connect(tmp_path / "webui.db")
        connection.execute(f"CREATE TABLE {table} ({COLUMNS})")
        connection.executemany(statement.replace("%s", "?"), values)
        connection.commit()
        connection.close()
    else:
        with psycopg.connect(postgres_url()) as server:
            server.execute(f"CREATE TABLE {table} ({COLUMNS})")
            server.cursor().executemany(statement, values)
    block = "\n".join(f"[{one}]: #" for one in ids)
    async with Remembering(environment, pipe_id=pipe_id) as pipe:
        pipe.history = [user("Look."), ChatMessage(Role.ASSISTANT, (TextPart(f"It rains.\n\n{block}\n"),))]
        events = await pipe.ask("Sure?", "openai.gpt-5", ARTIFACT_ENCRYPTION_KEY=key)
        assert isinstance(events[-1], Completed)
        found = remembered(pipe.sent()[-1])
        assert [item["type"] for item in found] == [item["type"] for item in items]
        assert found[0]["encrypted_content"] == "gAAAA="
        assert found[1]["call_id"] == "call_1"
        assert found[2]["output"] == items[2]["output"]
        # Both generations of rows stand side by side from now on.
        await pipe.ask("And then?", "openai.gpt-5", ARTIFACT_ENCRYPTION_KEY=key)
        assert len(remembered(pipe.sent()[-1])) == 4


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
@pytest.mark.parametrize("when", ["stored", "marked"])
async def test_a_process_killed_after_storing_loses_nothing_it_acknowledged(
    when: str, database: str, tmp_path: Path
) -> None:
    environment = {"DATA_DIR": str(tmp_path)} if database == "sqlite" else {"DATABASE_URL": postgres_url()}
    store = SqlArtifactStore(environment)
    await store.delete_chats([CHAT], StorePolicy("memory", Secret("a key")))
    command = [sys.executable, str(PROGRAM), json.dumps(environment), CLAUDE, when]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -9, done.stderr
    text = "".join(json.loads(line) for line in done.stdout.splitlines())
    assert "it rains" in text, "what was shown before is with the host"
    marks = MARKER.findall(text)
    assert bool(marks) == (when == "marked"), "no marker without a row, none before it"
    found = await store.load(CHAT, marks, StorePolicy("memory", Secret("a key")))
    assert set(found) == set(marks), "a marker leads nowhere"
    # The rows of the other case have no marker; they go by age.
    left = (
        await store.clean_up(datetime(2100, 1, 1, tzinfo=UTC), StorePolicy("memory", Secret("a key")))
        if not marks
        else 0
    )
    assert left == (0 if marks else 4)
    await store.aclose()
    async with Remembering(environment) as pipe:
        pipe.history = [user(LOOP + "Look."), ChatMessage(Role.ASSISTANT, (TextPart(text),))]
        events = await pipe.ask("And now?")
        assert isinstance(events[-1], Completed)
        assert len(remembered(pipe.sent()[-1])) == (3 if marks else 0)


async def test_a_database_out_of_reach_costs_the_memory_and_is_told_once(tmp_path: Path) -> None:
    missing = {"DATABASE_URL": f"sqlite:///{tmp_path}/later/webui.db"}
    async with Remembering(missing) as pipe:
        first = await pipe.ask(LOOP + "Look.", BREAKER_MAX_FAILURES=2)
        for _ in range(3):
            events = await pipe.ask(LOOP + "Look again.", BREAKER_MAX_FAILURES=2)
            assert isinstance(events[-1], Completed)
            assert "it rains" in shown(events)
            assert len([one for one in events if isinstance(one, Notified)]) == 1
            assert not [one for one in events if isinstance(one, MarkersIssued)]
        assert "it rains" in shown(first)
        (tmp_path / "later").mkdir()
    async with Remembering(missing) as pipe:
        again = await pipe.ask(LOOP + "Look.")
        assert [one for one in again if isinstance(one, MarkersIssued)]
        assert not [one for one in again if isinstance(one, Notified)]


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
async def test_markers_of_every_bad_kind_are_skipped_with_a_warning_each(
    database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    environment = {"DATA_DIR": str(tmp_path)} if database == "sqlite" else {"DATABASE_URL": postgres_url()}
    pipe_id = f"p{uuid.uuid4().hex}"
    unknown, foreign = "7" * 20, "6" * 20
    store = SqlArtifactStore(environment)
    thought = {"type": "reasoning", "id": "rs_theirs", "summary": [], "signature": "x", "format": "anthropic-claude-v1"}
    policy = StorePolicy(pipe_id, Secret("a key"))
    await store.save([Artifact(foreign, "chat-of-another", "m", "a/b", "reasoning", thought)], policy)
    await store.aclose()
    async with Remembering(environment, pipe_id=pipe_id) as pipe:
        first = await pipe.ask(LOOP + "Look.")
        made = remembered(pipe.sent()[-1])
        (text,) = pipe.history[-1].parts
        good = MARKER.findall(shown(first))[0]
        bad = "".join(f"[{one}]: #\n" for one in (unknown, foreign, good)) + f"[{good[:13]}"
        pipe.history[-1] = ChatMessage(Role.ASSISTANT, (TextPart(text.text + bad),))
        caplog.clear()
        events = await pipe.ask("And now?")
        assert isinstance(events[-1], Completed)
        assert remembered(pipe.sent()[-1]) == made
        assert "rs_theirs" not in json.dumps(pipe.sent()[-1])
        assert good[:13] not in json.dumps(pipe.sent()[-1])
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    for one in (unknown, foreign, good):
        assert sum(one in line for line in warned) == 1, warned
    (told,) = [event.text for event in events if isinstance(event, Notified)]
    assert "3 stored items" in told


async def test_earlier_rows_are_read_while_writing_is_spared(tmp_path: Path) -> None:
    class Unwritable(SqlArtifactStore):
        failing = False

        async def save(self, artifacts: object, policy: object) -> frozenset[str]:
            if self.failing:
                raise ArtifactStoreError("the disk is full")
            return await super().save(artifacts, policy)  # type: ignore[arg-type]

    store = Unwritable({"DATA_DIR": str(tmp_path)})
    async with Remembering({}, store=store) as pipe:
        await pipe.ask(LOOP + "Look.")
        made = remembered(pipe.sent()[-1])
        store.failing = True
        for _ in range(8):
            await pipe.ask(LOOP + "Look.")
            assert remembered(pipe.sent()[-1])[:3] == made


def test_the_codec_carries_what_the_turn_carried() -> None:
    item = FunctionOutputItem("c", HOSTILE)
    codec = OpenRouterItemCodec()
    assert codec.decode(codec.encode(item)).output == HOSTILE
