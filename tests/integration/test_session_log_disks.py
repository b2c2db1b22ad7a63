"""Directories of archives that are missing, full, unwritable or linked: the record is lost, and the log says what to do."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from disks import fill, mounted
from openrouter_pipe.adapters.filesystem.writer import ArchiveWriter
from openrouter_pipe.adapters.memory.telemetry import MemoryMetrics
from openrouter_pipe.ports.session_log import ArchivePolicy, LogEntry, SessionLog
from openrouter_pipe.ports.settings import Secret

PASSWORD = "correct horse battery staple"
NOBODY = 65534


def log(message: str = "message") -> SessionLog:
    entry = LogEntry(0.0, "DEBUG", "pipe", "planted words", "r", "u", "s", "c", "m", "log", "turn", "run", 1)
    return SessionLog("user", "session", "chat", message, "request", 0.0, lambda: [entry] * 200)


async def outcome(directory: Path, records: int = 1) -> dict[str, int]:
    metrics = MemoryMetrics()
    writer = ArchiveWriter(metrics)
    for number in range(records):
        assert writer.submit(log(f"m{number}"), ArchivePolicy(str(directory), Secret(PASSWORD), compression="stored"))
    await writer.aclose()
    return {dict(labels)["outcome"]: int(count) for (_, labels), count in metrics.counters.items()}


async def test_a_missing_directory_is_made(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert await outcome(tmp_path / "not" / "there") == {"written": 1}
    assert (tmp_path / "not" / "there").stat().st_mode & 0o777 == 0o700
    assert caplog.text == ""


async def test_a_full_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with mounted(tmp_path / "disk", "size=64k") as disk:
        fill(disk)
        assert await outcome(disk / "logs") == {"failed": 1}
        (disk / "ballast").unlink()
        assert await outcome(disk / "logs") == {"written": 1}
        fill(disk)
        (disk / "logs" / "user" / "chat" / "m0.zip").unlink()
        fill(disk)
        assert await outcome(disk / "logs") == {"failed": 1}
        assert [path.name for path in (disk / "logs").rglob("*") if path.is_file()] == [], "no scrap is left"
    assert caplog.text.count("the disk is full: free some space") == 2
    assert "SESSION_LOG_RETENTION_DAYS" in caplog.text
    gc.collect()  # a half-written archive complains here, and not on the host's standard error


async def test_a_disk_for_reading_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with mounted(tmp_path / "disk", "ro") as disk:
        assert await outcome(disk / "logs") == {"failed": 1}
    assert "the disk is read-only: mount it for writing" in caplog.text


def file_in_the_way(root: Path) -> Path:
    (root / "logs").touch()
    return root / "logs"


def file_below(root: Path) -> Path:
    (root / "logs").mkdir()
    (root / "logs" / "user").touch()
    return root / "logs"


def nowhere(root: Path) -> Path:
    return Path("/proc/openrouter-pipe/logs")


def circle(root: Path) -> Path:
    (root / "a").symlink_to(root / "b")
    (root / "b").symlink_to(root / "a")
    return root / "a" / "logs"


def too_long(root: Path) -> Path:
    return root / ("x" * 300)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (file_in_the_way, "a file is in the way of a folder: remove it"),
        (file_below, "a file is in the way of a folder: remove it"),
        (nowhere, "SESSION_LOG_DIR cannot be made there"),
        (circle, "links lead in a circle: remove them"),
        (too_long, "name a shorter directory in SESSION_LOG_DIR"),
    ],
)
async def test_a_directory_that_cannot_be_one(
    tmp_path: Path, make: Callable[[Path], Path], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert await outcome(make(tmp_path)) == {"failed": 1}
    assert caplog.text.count("a session log was not written") == 1
    assert told in caplog.text
    assert "Traceback" not in caplog.text
    assert PASSWORD not in caplog.text
    assert "planted" not in caplog.text


async def test_a_linked_directory_is_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert await outcome(tmp_path / "link", records=3) == {"written": 3}
    assert caplog.text.count(f"{tmp_path / 'link'} is a link; name the directory itself: {tmp_path / 'real'}") == 1


async def test_a_link_among_the_archives_is_named_every_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "user").symlink_to(tmp_path / "elsewhere")
    assert await outcome(tmp_path / "logs", records=2) == {"failed": 2}
    assert caplog.text.count("is a link; remove it") == 2
    assert list((tmp_path / "elsewhere").iterdir()) == []


PROGRAM = """
import asyncio, logging, resource, sys, os
sys.path.insert(0, {here!r})
from test_session_log_disks import outcome
from pathlib import Path
logging.basicConfig(format="%(message)s", stream=sys.stdout)
asyncio.run(outcome(Path({warm!r})))  # whatever is imported late: another account may not read this Python
if {user}:
    os.setgid({user}); os.setuid({user})
if {limit}:
    resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
print(asyncio.run(outcome(Path({directory!r}))))
"""


def alone(directory: Path, *, limit: int = 0, user: int = 0) -> str:
    """What the log and the outcome are in a process with a limit on its files, or of another account."""
    here = Path(__file__).parent
    program = PROGRAM.format(here=str(here), limit=limit, user=user, directory=str(directory), warm=f"{directory}-warm")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(here.parent / "support"), str(here)))}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    return done.stdout + done.stderr


def test_files_that_may_not_grow(tmp_path: Path) -> None:
    told = alone(tmp_path / "logs", limit=1000)
    assert "{'failed': 1}" in told
    assert "raise its limit (ulimit -f), or lower SESSION_LOG_MAX_LINES" in told
    assert [path for path in (tmp_path / "logs").rglob("*") if path.is_file()] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another account")
def test_a_directory_of_another_account() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are for root alone
        Path(folder).chmod(0o755)
        (Path(folder) / "logs").mkdir(mode=0o755)
        told = alone(Path(folder) / "logs", user=NOBODY)
    assert "{'failed': 1}" in told
    assert "let Open WebUI's account write to SESSION_LOG_DIR, or name another directory" in told
