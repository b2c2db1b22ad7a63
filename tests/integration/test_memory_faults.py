"""The fault table of the memory, through the whole pipe on real databases.

Each row: a turn that is stored, a turn under the fault, a turn after it. Whatever the fault, the answer under it is whole,
the user hears of it once, every marker that was shown leads to a row, and nothing that was acknowledged is missing later.
"""

from __future__ import annotations

import random
import re
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TypeAlias

import psycopg
import pytest
from attrs import evolve
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from openrouter_pipe.adapters.sql import SqlArtifactStore
from openrouter_pipe.adapters.sql.table import table_name
from openrouter_pipe.domain.turn.memory import TROUBLE
from openrouter_pipe.ports.artifacts import Artifact, StorePolicy
from openrouter_pipe.ports.chat import Completed, Notified
from openrouter_pipe.ports.settings import Secret
from postgres_server import postgres_url
from remembering import CHAT, LOOP, Remembering, remembered, shown

KEY = "a key"
MARKER = re.compile(r"^\[([0-9A-HJKMNP-TV-Z]{20})\]: #$", re.MULTILINE)
KINDS = ["reasoning", "function_call", "function_call_output"]


class TwoRowsAtATime(SqlArtifactStore):
    """Several transactions even for a short turn."""

    async def save(self, artifacts: Sequence[Artifact], policy: StorePolicy) -> frozenset[str]:
        return await super().save(artifacts, evolve(policy, batch_size=2))


class Bench:
    """One database and one pipe of it."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.pipe_id = f"p{uuid.uuid4().hex}"
        self.policy = StorePolicy(self.pipe_id, Secret(KEY))
        self.table = table_name(self.pipe_id, KEY)


Fault: TypeAlias = Callable[[Bench], AbstractContextManager[None]]


@contextmanager
def sqlite_locked(bench: Bench) -> Iterator[None]:
    with closing(sqlite3.connect(Path(bench.environment["DATA_DIR"]) / "webui.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


@contextmanager
def sqlite_being_written(bench: Bench) -> Iterator[None]:
    with closing(sqlite3.connect(Path(bench.environment["DATA_DIR"]) / "webui.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


@contextmanager
def sqlite_read_only(bench: Bench) -> Iterator[None]:
    bench.environment["DATABASE_URL"] = f"sqlite:///file:{bench.environment['DATA_DIR']}/webui.db?mode=ro&uri=true"
    try:
        yield
    finally:
        del bench.environment["DATABASE_URL"]


@contextmanager
def sqlite_full(bench: Bench) -> Iterator[None]:
    """Connections of an address of its own, so that their limit goes with them."""

    def no_more_pages(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA max_page_count=1")  # as many as there are, never less

    bench.environment["DATABASE_URL"] = f"sqlite:///{bench.environment['DATA_DIR']}/webui.db?cached_statements=50"
    event.listen(Engine, "connect", no_more_pages)
    try:
        yield
    finally:
        event.remove(Engine, "connect", no_more_pages)
        del bench.environment["DATABASE_URL"]


@contextmanager
def sqlite_gone(bench: Bench) -> Iterator[None]:
    bench.environment["DATABASE_URL"] = f"sqlite:///{bench.environment['DATA_DIR']}/elsewhere/webui.db"
    try:
        yield
    finally:
        del bench.environment["DATABASE_URL"]


@contextmanager
def postgres_locked(bench: Bench) -> Iterator[None]:
    with psycopg.connect(postgres_url()) as other:
        other.execute(f"LOCK TABLE {bench.table} IN ACCESS EXCLUSIVE MODE")
        try:
            yield
        finally:
            other.rollback()


@contextmanager
def postgres_read_only(bench: Bench) -> Iterator[None]:
    def never_write(connection: Connection) -> None:
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")

    event.listen(Engine, "begin", never_write)
    try:
        yield
    finally:
        event.remove(Engine, "begin", never_write)


@contextmanager
def postgres_trigger(bench: Bench, action: str, condition: str = "true") -> Iterator[None]:
    """The server does ``action`` when a row is inserted that meets ``condition``."""
    name = f"fault_{bench.pipe_id}"
    with psycopg.connect(postgres_url(), autocommit=True) as server:
        server.execute(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {action} RETURN NEW; END $$"
        )
        server.execute(
            f"CREATE TRIGGER {name} BEFORE INSERT ON {bench.table} FOR EACH ROW WHEN ({condition}) "
            f"EXECUTE FUNCTION {name}()"
        )
        try:
            yield
        finally:
            server.execute(f"DROP FUNCTION {name} CASCADE")


def postgres_full(bench: Bench) -> AbstractContextManager[None]:
    return postgres_trigger(bench, "RAISE EXCEPTION 'no space left on device' USING ERRCODE = '53100';")


def postgres_dropped(bench: Bench) -> AbstractContextManager[None]:
    """The connection goes in the middle of the second of several batches."""
    die = "PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5);"
    return postgres_trigger(bench, die, "NEW.item_type = 'function_call_output'")


@contextmanager
def postgres_gone(bench: Bench) -> Iterator[None]:
    address = bench.environment["DATABASE_URL"]
    bench.environment["DATABASE_URL"] = "postgresql://nobody:s3cret@127.0.0.1:1/nowhere"
    try:
        yield
    finally:
        bench.environment["DATABASE_URL"] = address


# (fault, whether earlier items are read under it, what of the turn under it is kept)
TABLE: Mapping[str, tuple[Fault, bool, list[str]]] = {
    "SQLite locked": (sqlite_locked, False, []),
    "SQLite being written by another": (sqlite_being_written, True, []),
    "SQLite read-only": (sqlite_read_only, True, []),
    "SQLite full": (sqlite_full, True, ["reasoning", "function_call"]),
    "SQLite gone": (sqlite_gone, False, []),
    "PostgreSQL locked": (postgres_locked, False, []),
    "PostgreSQL read-only": (postgres_read_only, True, []),
    "PostgreSQL full": (postgres_full, True, []),
    "PostgreSQL drops the connection in mid-batch": (postgres_dropped, True, ["reasoning", "function_call"]),
    "PostgreSQL gone": (postgres_gone, False, []),
}


@pytest.mark.parametrize("name", TABLE)
async def test_a_fault_costs_no_answer_and_nothing_that_was_acknowledged(name: str, tmp_path: Path) -> None:
    fault, reads_under_it, keeps = TABLE[name]
    sqlite = name.startswith("SQLite")
    bench = Bench({"DATA_DIR": str(tmp_path)} if sqlite else {"DATABASE_URL": postgres_url()})
    store = TwoRowsAtATime(bench.environment, deadline=1.0)
    async with Remembering(bench.environment, pipe_id=bench.pipe_id, store=store) as pipe:
        first = await pipe.ask(LOOP + "Look.")
        made = remembered(pipe.sent()[-1])
        acknowledged = MARKER.findall(shown(first))
        assert len(acknowledged) >= len(KINDS)

        with fault(bench):
            pipe.output = "it rains and rains " + random.Random(7).randbytes(20_000).hex()
            under = await pipe.ask(LOOP + "Look again.")
            assert isinstance(under[-1], Completed)
            assert "it rains and rains" in shown(under), "the answer is not whole"
            assert [one.text for one in under if isinstance(one, Notified)] == ([] if keeps else [TROUBLE])
            assert remembered(pipe.sent()[-2]) == (made if reads_under_it else [])
        again = remembered(pipe.sent()[-1])[-3:]
        assert [item["type"] for item in again] == KINDS

        marks = [*acknowledged, *MARKER.findall(shown(under))]
        found = await SqlArtifactStore.load(store, CHAT, marks, bench.policy)
        assert set(found) == set(marks), "a marker leads nowhere"
        assert [found[one].item_type for one in marks[len(acknowledged) :]] == keeps
        after = await pipe.ask("And now?")
        assert isinstance(after[-1], Completed)
        assert not [one for one in after if isinstance(one, Notified)]
        replayed = remembered(pipe.sent()[-1])
        assert replayed[:3] == made
        # The simulator gives both turns the same item ids; what comes second is sent under another one.
        essence = [(item["type"], item.get("signature"), item.get("name")) for item in replayed[3:]]
        assert (
            essence[: len(keeps)]
            == [(item["type"], item.get("signature"), item.get("name")) for item in again][: len(keeps)]
        )
        assert len(replayed) == 3 + (3 if keeps else 0)  # the call whose output was lost gets a note in its place
        last = await pipe.ask(LOOP + "Once more.")
        assert len(MARKER.findall(shown(last))) == len(acknowledged), "nothing is stored any more"
