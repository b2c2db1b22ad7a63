"""`openrouter-pipe logs` as an operator runs it, over archives of real turns."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from dependency_injector import providers
from rich.console import Console

from openrouter_pipe.adapters.memory.provider import Script, ScriptedProvider, answer
from openrouter_pipe.composition.cli import main
from openrouter_pipe.composition.logs import LogsOptions, read_time, run_logs
from openrouter_pipe.ports.chat import Completed, Failed, NoticeAdded
from openrouter_pipe.ports.items import FunctionCallItem, MessageItem, Role
from openrouter_pipe.ports.provider import (
    FinishStatus,
    ItemFinished,
    ItemKind,
    ItemStarted,
    ProviderRequest,
    ResponseFinished,
    TextDelta,
)
from remembering import CLAUDE, LOOP, Remembering

PASSWORD = "zip password of the archives"
ENVIRONMENT: Mapping[str, str] = {"SESSION_LOG_ZIP_PASSWORD": PASSWORD}


class Written:
    """Two answered turns and a failed one."""

    def __init__(self, root: Path, error_id: str) -> None:
        self.root = root
        self.error_id = error_id


@pytest.fixture
async def written(tmp_path: Path) -> Written:
    root = tmp_path / "logs"
    chosen = {
        "SESSION_LOG_STORE_ENABLED": True,
        "SESSION_LOG_DIR": str(root),
        "SESSION_LOG_ZIP_PASSWORD": PASSWORD,
    }
    async with Remembering({"DATA_DIR": str(tmp_path)}) as pipe:
        await pipe.ask(LOOP + "Look at \x1b[31mthis", **chosen)
        await pipe.ask("[[sim: scenario=plain]] And now?", **chosen)
        last = (await pipe.ask("Hi", model="no/such-model", **chosen))[-1]
        assert isinstance(last, Failed)
        await pipe.container.session_logs().aclose()
    return Written(root, last.error_id)


def run(written: Written, action: str, environment: Mapping[str, str] = ENVIRONMENT, **more: object) -> tuple[int, str]:
    console = Console(file=io.StringIO(), width=200, force_terminal=False)
    status = run_logs(LogsOptions(action, str(written.root), **more), environment, console)  # type: ignore[arg-type]
    assert isinstance(console.file, io.StringIO)
    return status, console.file.getvalue()


def messages(shown: str) -> list[str]:
    return [line.split("│")[4].strip() for line in shown.splitlines() if line.count("│") == 6]


async def test_find_lists_what_there_is(written: Written, capsys: pytest.CaptureFixture[str]) -> None:
    status, shown = run(written, "find", {})  # no password: names and times only
    assert (status, set(messages(shown))) == (0, {"m1", "m3", "m5"})
    assert run(written, "find", {}, as_json=True)[0] == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {(line["user"], line["chat"]) for line in lines} == {("u", "chat-1")}
    assert [line["time"] for line in lines] == sorted((line["time"] for line in lines), reverse=True)


async def test_find_by_error_id(written: Written) -> None:
    assert messages(run(written, "find", error_id=written.error_id)[1]) == ["m5"]
    assert "No session log" in run(written, "find", error_id="0" * 16)[1]


def always_calling(request: ProviderRequest) -> Script:
    """A model that calls a tool as long as there is one."""
    if not request.tools:
        return answer("Enough.")
    call = FunctionCallItem(f"call_{len(request.input)}", "look", "{}")
    return (ItemFinished(0, call), ResponseFinished(FinishStatus.COMPLETED, output=(call,)))


async def test_an_error_id_in_the_words_of_an_answer_is_found_too(tmp_path: Path) -> None:
    root = tmp_path / "logs"
    chosen = {
        "SESSION_LOG_STORE_ENABLED": True,
        "SESSION_LOG_DIR": str(root),
        "SESSION_LOG_ZIP_PASSWORD": PASSWORD,
        "MAX_FUNCTION_CALL_LOOPS": 1,
    }
    async with Remembering({"DATA_DIR": str(tmp_path)}) as pipe:
        pipe.container.provider.override(providers.Object(ScriptedProvider(fallback=always_calling)))
        events = await pipe.ask(LOOP + "Look.", **chosen)
        await pipe.container.session_logs().aclose()
    (told,) = [event.text for event in events if isinstance(event, NoticeAdded) and "Tool limit" in event.text]
    (error_id,) = re.findall(r"\b[0-9a-f]{16}\b", told)
    assert isinstance(events[-1], Completed)
    assert messages(run(Written(root, error_id), "find", error_id=error_id)[1]) == ["m1"]
    assert "No session log" in run(Written(root, error_id), "find", error_id=error_id[:8])[1]


async def test_a_key_that_came_in_pieces_is_not_whole_in_the_timeline(tmp_path: Path) -> None:
    root, key = tmp_path / "logs", "sk-or-v1-" + "0123456789abcdef" * 4
    chosen = {"SESSION_LOG_STORE_ENABLED": True, "SESSION_LOG_DIR": str(root), "SESSION_LOG_ZIP_PASSWORD": PASSWORD}
    async with Remembering({"DATA_DIR": str(tmp_path)}) as pipe:
        pieces = [TextDelta(0, 0, text) for text in ("Your key: ", *re.findall(".{1,5}", key), " Keep it.")]
        script = (
            ItemStarted(0, ItemKind.MESSAGE, MessageItem(Role.ASSISTANT, ())),
            *pieces,
            ResponseFinished(FinishStatus.COMPLETED),
        )
        pipe.container.provider.override(providers.Object(ScriptedProvider(fallback=lambda _: script)))
        await pipe.ask("What is my key?", **chosen)
        await pipe.container.session_logs().aclose()
    shown = run(Written(root, ""), "show", target="m1")[1]
    assert "Your key: " in shown
    assert "Keep it." in shown
    assert key not in shown


@pytest.mark.parametrize("form", ["text", "jsonl", "both"])
async def test_an_error_id_is_found_in_every_form_of_a_record(tmp_path: Path, form: str) -> None:
    root = tmp_path / "logs"
    chosen = {"SESSION_LOG_DIR": str(root), "SESSION_LOG_ZIP_PASSWORD": PASSWORD, "SESSION_LOG_FORMAT": form}
    async with Remembering({"DATA_DIR": str(tmp_path)}) as pipe:
        await pipe.ask("Hi", SESSION_LOG_STORE_ENABLED=True, **chosen)
        last = (await pipe.ask("Hi", model="no/such-model", SESSION_LOG_STORE_ENABLED=True, **chosen))[-1]
        await pipe.container.session_logs().aclose()
    assert isinstance(last, Failed)
    assert messages(run(Written(root, last.error_id), "find", error_id=last.error_id)[1]) == ["m3"]


async def test_show_is_a_timeline_and_harmless_for_the_terminal(written: Written) -> None:
    status, shown = run(written, "show", target="m1")
    assert status == 0
    order = ["asked", "sent", "provider", "ToolStarted", "ToolFinished", "sent", "Completed"]
    at = -1
    for word in order:
        at = shown.index(word, at + 1)
    assert "\x1b" not in shown
    assert "text events" in shown
    assert "  log " in shown
    assert "  log " not in run(written, "show", target="m1", quiet=True)[1]


async def test_show_of_an_error(written: Written) -> None:
    assert written.error_id in run(written, "show", target=str(written.root / "u" / "chat-1" / "m5.zip"))[1]


async def test_show_as_json_is_the_records(written: Written, capsys: pytest.CaptureFixture[str]) -> None:
    run(written, "show", target="m3", as_json=True)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["event_type"] == "request"
    assert all(line["message_id"] == "m3" for line in lines)


async def test_export_writes_private_files_and_overwrites_nothing(written: Written, tmp_path: Path) -> None:
    target = tmp_path / "out"
    assert run(written, "export", target="m3", to=target)[0] == 0
    assert sorted(path.name for path in target.iterdir()) == ["logs.jsonl", "meta.json"]
    assert {path.stat().st_mode & 0o777 for path in target.iterdir()} == {0o600}
    assert run(written, "export", target="m3", to=target)[0] == 2


async def test_verify_names_what_cannot_be_read(written: Written) -> None:
    assert run(written, "verify") == (0, "3 of 3 session logs can be read.\n")
    broken = written.root / "u" / "chat-1" / "m3.zip"
    broken.write_bytes(broken.read_bytes()[:100])
    status, shown = run(written, "verify")
    assert status == 1
    assert "m3.zip is damaged" in shown
    assert "2 of 3" in shown


async def test_prune(written: Written) -> None:
    old = written.root / "u" / "chat-1" / "m3.zip"
    os.utime(old, (time.time() - 40 * 86_400,) * 2)
    assert run(written, "prune", days=30, dry_run=True)[1].startswith(
        "1 session logs older than 30 days would be removed"
    )
    assert run(written, "prune", days=30)[0] == 0
    assert not old.exists()


@pytest.mark.parametrize(
    ("environment", "more", "status", "said"),
    [
        ({"SESSION_LOG_ZIP_PASSWORD": "wrong"}, {}, 1, "the password does not fit"),
        ({}, {}, 2, "SESSION_LOG_ZIP_PASSWORD"),
        ({}, {"ask": lambda _: ""}, 2, "the password is empty"),
        (ENVIRONMENT, {"target": "nowhere"}, 2, "no archive of this message"),
        (ENVIRONMENT, {"target": "nowhere.zip"}, 2, "there is no such file"),
    ],
)
async def test_mistakes_are_named(
    written: Written,
    environment: Mapping[str, str],
    more: dict[str, object],
    status: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(written, "show", environment, **{"target": "m1", **more})[0] == status
    assert said in capsys.readouterr().err


async def test_a_password_from_a_file_or_the_keyboard(written: Written, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    assert run(written, "show", {}, target="m1", password_file=file)[0] == 0
    assert run(written, "show", {}, target="m1", ask=lambda _: PASSWORD)[0] == 0


def test_a_directory_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["logs", "find", "--dir", str(tmp_path / "none")]) == 2
    assert "--dir" in capsys.readouterr().err


def test_times() -> None:
    assert read_time("2026-11-22T20:00:00") == read_time("2026-11-22T21:00:00+01:00")
    assert time.time() - read_time("7d") == pytest.approx(7 * 86_400, abs=5)
    with pytest.raises(ValueError, match="Invalid"):
        read_time("yesterday")


def test_the_password_is_no_argument() -> None:
    program = [sys.executable, "-m", "openrouter_pipe.composition.cli", "logs", "show", "--help"]
    shown = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    assert "--password-file" in shown
    assert "--password " not in shown


async def test_the_model_is_named(written: Written) -> None:
    assert CLAUDE in run(written, "show", target="m1")[1]
