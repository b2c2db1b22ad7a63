"""Archives on a real disk: two independent readers, merging, faults of the disk, several writers, retention."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import pyzipper
from attrs import evolve

from openrouter_pipe.adapters.filesystem import archives
from openrouter_pipe.adapters.filesystem.paths import ArchiveError
from openrouter_pipe.adapters.filesystem.retention import DAY, prune
from openrouter_pipe.adapters.filesystem.writer import ArchiveWriter
from openrouter_pipe.adapters.memory.telemetry import MemoryMetrics
from openrouter_pipe.ports.session_log import ArchivePolicy, LogEntry, SessionLog
from openrouter_pipe.ports.settings import Secret

PASSWORD = "correct horse battery staple"
TIME = 1_795_000_000.25


def entries(said: str, count: int = 3) -> Sequence[LogEntry]:
    return [
        LogEntry(TIME + at, "DEBUG", "pipe.turn", f"{said} {at}", "r", "u", "s", "c", "m", "log", "turn", "run", at)
        for at in range(count)
    ]


def log(said: str = "line", *, message: str = "message", chat: str = "chat", user: str = "user") -> SessionLog:
    return SessionLog(user, "session", chat, message, f"request of {said}", TIME, lambda: entries(said))


def policy(root: Path, **changes: object) -> ArchivePolicy:
    return evolve(ArchivePolicy(str(root), Secret(PASSWORD)), **changes)


def messages(path: Path, name: str = "logs.jsonl") -> list[str]:
    return [entry["message"] for entry in archives.entries_of(archives.read(path, Secret(PASSWORD))[name])]


@pytest.mark.parametrize("compression", ["stored", "deflated", "bzip2", "lzma"])
@pytest.mark.parametrize("level", [None, 0, 9])
def test_an_archive_opens_with_the_library_and_holds_what_it_should(
    tmp_path: Path, compression: str, level: int | None
) -> None:
    path = archives.write(log(), policy(tmp_path, compression=compression, compress_level=level, format="both"))
    assert path == tmp_path / "user" / "chat" / "message.zip"
    with pyzipper.AESZipFile(path) as archive:
        archive.setpassword(PASSWORD.encode())
        assert sorted(archive.namelist()) == ["logs.jsonl", "logs.txt", "meta.json"]
        assert all(info.flag_bits & 1 and info.wz_aes_version for info in archive.infolist())
        meta = json.loads(archive.read("meta.json"))
        lines = [json.loads(line) for line in archive.read("logs.jsonl").splitlines()]
        text = archive.read("logs.txt").decode()
    assert list(meta) == ["created_at", "ids", "request_id", "log_format"]
    assert meta["ids"] == {"user_id": "user", "session_id": "session", "chat_id": "chat", "message_id": "message"}
    assert (meta["request_id"], meta["log_format"], meta["created_at"]) == (
        "request of line",
        "both",
        "2026-11-18T11:06:40.250000Z",
    )
    assert list(lines[0]) == [
        "ts", "level", "logger", "request_id", "user_id", "session_id", "chat_id", "message_id", "event_type", "module",
        "func", "lineno", "message",
    ]  # fmt: skip
    assert text.startswith("2026-11-18T11:06:40.250000Z DEBUG    pipe.turn [log] line 0\n")
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.skipif(shutil.which("7z") is None, reason="7-Zip is not installed")
@pytest.mark.parametrize("compression", ["stored", "deflated", "bzip2", "lzma"])
def test_an_archive_opens_with_7_zip(tmp_path: Path, compression: str) -> None:
    path = archives.write(log(), policy(tmp_path, compression=compression))
    shown = subprocess.run(
        ["7z", "e", "-so", f"-p{PASSWORD}", str(path), "logs.jsonl"], capture_output=True, check=True
    )
    assert [json.loads(line)["message"] for line in shown.stdout.splitlines()] == ["line 0", "line 1", "line 2"]
    refused = subprocess.run(["7z", "t", "-pwrong", str(path)], capture_output=True, check=False)
    assert refused.returncode != 0


@pytest.mark.parametrize("form", ["jsonl", "text", "both"])
def test_a_regenerated_message_keeps_its_earlier_records(tmp_path: Path, form: str) -> None:
    for said in ("first", "second", "third"):
        path = archives.write(log(said), policy(tmp_path, format=form))
    held = archives.read(path, Secret(PASSWORD))
    suffixes = [end for end, formats in (("jsonl", "jsonl both"), ("txt", "text both")) if form in formats]
    for number, said in (("", "third"), (".1", "first"), (".2", "second")):
        assert json.loads(held[f"meta{number}.json"])["request_id"] == f"request of {said}"
        for suffix in suffixes:
            text = held[f"logs{number}.{suffix}"].decode()
            assert text.count(said) == 3
            assert sum(text.count(other) for other in ("first", "second", "third")) == 3
    assert len(held) == 3 * (1 + len(suffixes))


def test_earlier_records_are_bounded(tmp_path: Path) -> None:
    for number in range(archives.MOST_EARLIER + 5):
        path = archives.write(log(f"answer-{number}"), policy(tmp_path, compression="stored"))
    held = archives.read(path, Secret(PASSWORD))
    assert sum(name.startswith("meta") for name in held) == archives.MOST_EARLIER + 1
    assert messages(path)[0] == f"answer-{archives.MOST_EARLIER + 4} 0"
    assert not any(b"answer-0 " in data for data in held.values())


def other_password(path: Path) -> None:
    archives.write(log("old"), evolve(policy(path.parents[2]), password=Secret("another password")))


def damaged(path: Path) -> None:
    archives.write(log("old"), policy(path.parents[2]))
    path.write_bytes(path.read_bytes()[:-40])


def flipped(path: Path) -> None:
    archives.write(log("old"), policy(path.parents[2]))
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(data)


def of_another_tool(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with pyzipper.AESZipFile(path, "w") as archive:
        archive.writestr("holiday.txt", "sun")


def no_zip(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("nothing of the kind")


@pytest.mark.parametrize("was", [other_password, damaged, flipped, of_another_tool, no_zip])
def test_what_cannot_be_opened_is_kept_beside(tmp_path: Path, was: object) -> None:
    path = tmp_path / "user" / "chat" / "message.zip"
    was(path)  # type: ignore[operator]
    before = path.read_bytes()
    with pytest.raises(ArchiveError):
        archives.read(path, Secret(PASSWORD))
    assert archives.write(log("new"), policy(tmp_path)) == path
    assert messages(path) == ["new 0", "new 1", "new 2"]
    assert path.with_name("message.1.zip").read_bytes() == before


@pytest.mark.parametrize("where", ["user", "user/chat", "user/chat/message.zip"])
def test_links_are_not_followed(tmp_path: Path, where: str) -> None:
    root, outside = tmp_path / "logs", tmp_path / "outside"
    outside.mkdir()
    link = root / where
    link.parent.mkdir(parents=True)
    link.symlink_to(outside if where != "user/chat/message.zip" else outside / "file")
    with pytest.raises(ArchiveError, match="is a link"):
        archives.write(log(), policy(root))
    assert list(outside.iterdir()) == []


async def settled(writer: ArchiveWriter) -> None:
    await writer.aclose()


@pytest.mark.parametrize("broken", ["a file", "full"])
async def test_a_disk_that_refuses_costs_the_record_only(
    tmp_path: Path, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "logs"
    if broken == "a file":
        root.write_text("")
    else:
        root = Path("/dev/full")
    metrics = MemoryMetrics()
    writer = ArchiveWriter(metrics)
    assert writer.submit(log(), policy(root))
    await settled(writer)
    assert list(metrics.counters.items()) == [(("session_logs", (("outcome", "failed"),)), 1)]
    assert "was not written" in caplog.text
    assert PASSWORD not in caplog.text


async def test_a_full_queue_drops_with_one_warning_and_never_waits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = ArchiveWriter(MemoryMetrics(), capacity=5)
    taken = [writer.submit(log(message=f"m{number}"), policy(tmp_path)) for number in range(50)]
    assert taken == [True] * 5 + [False] * 45
    assert caplog.text.count("session logs are dropped") == 1
    await settled(writer)
    assert len(list(tmp_path.rglob("*.zip"))) == 5
    assert writer.submit(log(message="later"), policy(tmp_path))


async def test_the_worker_writes_what_comes_while_it_runs(tmp_path: Path) -> None:
    writer = ArchiveWriter(MemoryMetrics())
    worker = asyncio.create_task(writer.run())
    for number in range(3):
        writer.submit(log(message=f"m{number}"), policy(tmp_path))
        async with asyncio.timeout(10):
            while not (tmp_path / "user" / "chat" / f"m{number}.zip").exists():
                await asyncio.sleep(0.005)
    worker.cancel()
    await asyncio.wait({worker})


async def test_closing_waits_for_the_record_that_is_being_written(tmp_path: Path) -> None:
    started, go_on = threading.Event(), threading.Event()

    def slow() -> Sequence[LogEntry]:
        started.set()
        go_on.wait(10)
        return entries("slow")

    writer = ArchiveWriter(MemoryMetrics())
    worker = asyncio.create_task(writer.run())
    writer.submit(evolve(log(message="slow"), entries=slow), policy(tmp_path))
    writer.submit(log(message="next"), policy(tmp_path))
    await asyncio.to_thread(started.wait, 10)
    worker.cancel()
    await asyncio.wait({worker})
    closing = asyncio.create_task(writer.aclose())
    await asyncio.sleep(0)
    assert not closing.done()
    go_on.set()
    await closing
    assert sorted(path.name for path in tmp_path.rglob("*.zip")) == ["next.zip", "slow.zip"]


async def test_a_record_that_cannot_be_made_does_not_end_the_worker(tmp_path: Path) -> None:
    writer = ArchiveWriter(MemoryMetrics())
    writer.submit(evolve(log(message="bad"), entries=lambda: [1 / 0]), policy(tmp_path))
    writer.submit(log(message="good"), policy(tmp_path))
    await settled(writer)
    assert [path.name for path in tmp_path.rglob("*.zip")] == ["good.zip"]


def test_four_processes_answer_one_message_and_lose_no_record(tmp_path: Path) -> None:
    workers = [subprocess.Popen([sys.executable, __file__, str(tmp_path), str(worker)]) for worker in range(4)]
    assert [process.wait(60) for process in workers] == [0] * 4
    held = archives.read(tmp_path / "user" / "chat" / "message.zip", Secret(PASSWORD))
    said = {json.loads(data)["request_id"] for name, data in held.items() if name.startswith("meta")}
    assert said == {f"request of w{worker}n{number}" for worker in range(4) for number in range(5)}
    assert [path.name for path in (tmp_path / "user" / "chat").iterdir()] == ["message.zip"]


def test_old_archives_go_and_nothing_else(tmp_path: Path) -> None:
    root = tmp_path / "logs"
    old = archives.write(log(message="old"), policy(root))
    gone = archives.write(log(chat="gone"), policy(root))
    young = archives.write(log(message="young"), policy(root))
    left = young.parent / ".m.1.2.tmp"
    for foreign in (root / "notes.zip", young.parent / "notes.txt", left):
        foreign.write_text("x")
    outside = tmp_path / "outside.zip"
    outside.write_text("x")
    (young.parent / "link.zip").symlink_to(outside)
    now = time.time()
    for path in (old, gone, root / "notes.zip", young.parent / "notes.txt", outside, left):
        os.utime(path, (now - 91 * DAY, now - 91 * DAY))
    dry = prune(str(root), 90, now, dry_run=True)
    assert (dry.removed, dry.kept, old.exists()) == (2, 1, True)
    done = prune(str(root), 90, now)
    assert (done.removed, done.kept) == (2, 1)
    assert done.bytes_freed > 0
    assert not old.exists()
    assert not gone.parent.exists()
    assert not left.exists()
    assert young.exists()
    assert (root / "notes.zip").exists()
    assert (young.parent / "notes.txt").exists()
    assert outside.exists()


def test_nothing_to_prune_is_nothing_to_do(tmp_path: Path) -> None:
    assert prune(str(tmp_path / "never"), 1, time.time()).removed == 0
    young = archives.write(log(), policy(tmp_path))
    assert prune(str(tmp_path), 1, time.time() - 365 * DAY).kept == 1  # a clock set back
    assert young.exists()


if __name__ == "__main__":  # one of the processes that write to the same message
    for turn in range(5):
        archives.write(log(f"w{sys.argv[2]}n{turn}"), policy(Path(sys.argv[1]), compression="stored"))
