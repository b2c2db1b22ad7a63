"""`openrouter-pipe rotate-key` as an operator runs it: a process of its own, keys in the environment."""

from __future__ import annotations

import asyncio
import io
import random
import re
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from attrs import evolve
from rich.console import Console
from sqlalchemy import func, select

from openrouter_pipe.adapters.sql import SqlArtifactStore
from openrouter_pipe.adapters.sql.table import table_name
from openrouter_pipe.composition.keys import RotateOptions, run_rotation
from openrouter_pipe.composition.policies import store_policy
from openrouter_pipe.ports.artifacts import Artifact, StorePolicy
from openrouter_pipe.ports.settings import Secret, read_settings
from postgres_server import postgres_url

OLD, NEW = StorePolicy("openrouter", Secret("s3cret-old")), StorePolicy("openrouter", Secret("s3cret-new"))
KEYS = {"ARTIFACT_ENCRYPTION_KEY": "s3cret-new", "ARTIFACT_ENCRYPTION_PREVIOUS_KEYS": "s3cret-old, s3cret-older"}


def artifacts(start: int, count: int) -> list[Artifact]:
    return [Artifact(f"{n:020d}", "c", "m", "a/b", "reasoning", {"n": n}) for n in range(start, start + count)]


def fill(folder: Path) -> None:
    async def save() -> None:
        store = SqlArtifactStore({"DATA_DIR": str(folder)})
        await store.save(artifacts(0, 40), evolve(OLD, batch_size=50))
        await store.save(artifacts(100, 5), evolve(OLD, key=Secret("")))
        await store.aclose()

    asyncio.run(save())


def readable(folder: Path, policy: StorePolicy) -> int:
    async def load() -> int:
        store = SqlArtifactStore({"DATA_DIR": str(folder)})
        found = await store.load("c", [one.id for one in artifacts(0, 200)], policy)
        await store.aclose()
        return len(found)

    return asyncio.run(load())


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "openrouter_pipe.composition.cli", "rotate-key", *arguments]
    return subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_dry_run_then_the_rotation_then_nothing_left(tmp_path: Path) -> None:
    fill(tmp_path)
    trial = run("--data-dir", str(tmp_path), "--dry-run", **KEYS)
    assert (trial.returncode, "45 can be encrypted anew" in trial.stdout) == (0, True), trial
    assert "Nothing was changed" in trial.stdout
    assert readable(tmp_path, OLD) == 45
    done = run("--data-dir", str(tmp_path), "--batch-size", "7", **KEYS)
    assert (done.returncode, "45 encrypted anew and verified" in done.stdout) == (0, True), done
    assert "s3cret" not in done.stdout + done.stderr
    told = " ".join(done.stdout.split())
    assert "run this once more" in told
    assert "empty ARTIFACT_ENCRYPTION_PREVIOUS_KEYS" in told
    assert readable(tmp_path, NEW) == 45
    again = run("--data-dir", str(tmp_path), **KEYS)
    assert (again.returncode, "No rows of older keys" in again.stdout) == (0, True)


def test_a_missing_older_key_is_told_by_the_status(tmp_path: Path) -> None:
    fill(tmp_path)

    async def spoil() -> None:
        store = SqlArtifactStore({"DATA_DIR": str(tmp_path)})
        from sqlalchemy import text

        from openrouter_pipe.adapters.sql.database import Database

        await store.aclose()
        database = Database({"DATA_DIR": str(tmp_path)})
        async with database.transaction() as connection:
            table = table_name("openrouter", "s3cret-old")
            await connection.execute(
                text(f'UPDATE {table} SET payload = \'{{"ciphertext": "AAAA", "enc_v": 2}}\' WHERE id LIKE \'%7\'')
            )
        await database.aclose()

    asyncio.run(spoil())
    done = run("--data-dir", str(tmp_path), **KEYS)
    assert done.returncode == 1
    assert "4 unreadable" in done.stdout
    assert "ARTIFACT_ENCRYPTION_PREVIOUS_KEYS" not in done.stdout


def test_keys_with_commas_and_blanks_are_taken_as_they_are(tmp_path: Path) -> None:
    given = {"ARTIFACT_ENCRYPTION_KEY": " new key ", "ARTIFACT_ENCRYPTION_PREVIOUS_KEYS": '["old, key "]'}
    pipes = store_policy(read_settings(given), "openrouter")  # what the pipe makes of the same two values

    async def save() -> None:
        store = SqlArtifactStore({"DATA_DIR": str(tmp_path)})
        await store.save(artifacts(0, 7), evolve(OLD, key=Secret("old, key ")))
        await store.aclose()

    asyncio.run(save())
    assert readable(tmp_path, pipes) == 7
    done = run("--data-dir", str(tmp_path), **given)
    assert (done.returncode, readable(tmp_path, evolve(pipes, previous_keys=()))) == (0, 7), done.stdout


@pytest.mark.parametrize(
    ("arguments", "environment", "word"),
    [
        ((), {}, "ARTIFACT_ENCRYPTION_KEY"),
        ((), {"ARTIFACT_ENCRYPTION_KEY": "a", "ARTIFACT_ENCRYPTION_PREVIOUS_KEYS": "b, a"}, "present key"),
        (("--set", "ARTIFACT_ENCRYPTION_KEY=a"), {}, "command line"),
        (("--set", "ENCRYPT_ALL=perhaps"), {"ARTIFACT_ENCRYPTION_KEY": "a"}, "ENCRYPT_ALL"),
        (("--set", "ENCRYPT_ALL"), {"ARTIFACT_ENCRYPTION_KEY": "a"}, "NAME=VALUE"),
        (("--batch-size", "0"), {"ARTIFACT_ENCRYPTION_KEY": "a"}, "--batch-size"),
        (("--data-dir", "/nowhere"), {"ARTIFACT_ENCRYPTION_KEY": "a"}, "webui.db"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: tuple[str, ...], environment: dict[str, str], word: str) -> None:
    done = run(*arguments, **environment)
    assert done.returncode == 2
    assert word in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_no_database_is_an_error_and_not_a_loss() -> None:
    done = run(ARTIFACT_ENCRYPTION_KEY="a")
    assert done.returncode == 1
    assert "DATA_DIR" in done.stdout
    assert "Traceback" not in done.stderr


def test_the_help_teaches() -> None:
    shown = run("--help").stdout
    for word in ("--dry-run", "ARTIFACT_ENCRYPTION_PREVIOUS_KEYS", "--data-dir", "again"):
        assert word in shown


def test_keys_may_be_typed(tmp_path: Path) -> None:
    fill(tmp_path)
    typed = iter(["s3cret-new", "s3cret-old"])
    out = io.StringIO()
    options = RotateOptions(data_dir=tmp_path)
    assert run_rotation(options, {}, Console(file=out), lambda prompt: next(typed)) == 0
    assert "45 encrypted anew" in out.getvalue()
    assert readable(tmp_path, NEW) == 45


ROWS = 10_000


def counts(shown: str) -> dict[str, int]:
    """The counts of the summary, by their word."""
    words = {
        "total": "rows of older keys",
        "moved": "encrypted anew",
        "present": "were under",
        "unreadable": "unreadable",
    }
    found = {name: re.search(rf"(\d+) {word}", shown) for name, word in words.items()}
    return {name: int(match.group(1)) if match else 0 for name, match in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
async def test_the_command_is_killed_twice_anywhere_and_resumed(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = {"DATA_DIR": str(tmp_path)} if database == "sqlite" else {"DATABASE_URL": postgres_url()}
    pipe_id = f"p{uuid.uuid4().hex}"
    old, new = (evolve(one, pipe_id=pipe_id, batch_size=2_000) for one in (OLD, NEW))
    both = evolve(new, previous_keys=(old.key,))
    ids = [f"{n:020d}" for n in range(ROWS)]
    store = SqlArtifactStore(environment)
    assert len(await store.save(artifacts(0, ROWS), old)) == ROWS
    command = [sys.executable, "-m", "openrouter_pipe.composition.cli", "rotate-key", "--pipe-id", pipe_id]
    command += ["--batch-size", "100"]
    chance = random.Random(uuid.uuid4().hex)

    table = await store.database.ensure(table_name(pipe_id, new.key.reveal()))

    async def under_the_new_key() -> int:
        async with store.database.transaction() as connection:
            return int((await connection.execute(select(func.count()).select_from(table))).scalar_one())

    kills: list[int] = []
    for _ in range(2):
        before = await under_the_new_key()
        process = subprocess.Popen(command, env={**environment, **KEYS}, stdin=subprocess.DEVNULL, stdout=-3, stderr=-3)
        enough = before + chance.randint(1, ROWS // 4)  # then it is killed wherever it happens to be
        while await under_the_new_key() < enough and process.poll() is None:
            await asyncio.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "the command ended before it was killed"
        kills.append(await under_the_new_key())
        found = await store.load("c", ids, both)
        assert [found[one].payload for one in ids] == [{"n": n} for n in range(ROWS)], "a row was lost on the way"
    done = subprocess.run(
        command, env={**environment, **KEYS}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done
    told = counts(done.stdout)
    # A server may still have committed the batch of a process that was gone already.
    assert ROWS - kills[1] - 100 <= told["total"] <= ROWS - kills[1], done.stdout
    assert told == {"total": told["total"], "moved": told["total"], "present": 0, "unreadable": 0}, done.stdout
    assert 0 < kills[0] < kills[1] < ROWS
    found = await store.load("c", ids, new)
    assert [found[one].payload for one in ids] == [{"n": n} for n in range(ROWS)]
    assert await store.load("c", ids, old) == {}
    await store.aclose()
    with capsys.disabled():
        print(f"\n{database}: killed at {kills[0]} and {kills[1]} of {ROWS} rows; then: {done.stdout.strip()}")
