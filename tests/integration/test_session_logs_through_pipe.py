"""Session logs of whole turns: real conversation and provider adapter, a simulated OpenRouter, archives on a real disk."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from openrouter_pipe.adapters.filesystem import archives
from openrouter_pipe.ports.chat import Completed
from openrouter_pipe.ports.settings import Secret
from remembering import CLAUDE, LOOP, Remembering

PASSWORD = "zip password of the archives"
KEY = "sk-or-v1-0123456789abcdef0123456789abcdef"
THEIRS = "sk-or-v1-fedcba9876543210fedcba9876543210"
BLOB = base64.b64encode(bytes(range(256)) * 8).decode()


def settings(root: Path, **more: Any) -> dict[str, Any]:
    return {
        "SESSION_LOG_STORE_ENABLED": True,
        "SESSION_LOG_DIR": str(root),
        "SESSION_LOG_ZIP_PASSWORD": PASSWORD,
        "API_KEY": KEY,
        "ARTIFACT_ENCRYPTION_KEY": "the artifact key",
        "LOG_LEVEL": "ERROR",
        **more,
    }


def records(root: Path, message: str) -> list[dict[str, Any]]:
    path = root / "u" / "chat-1" / f"{message}.zip"
    return [dict(one) for one in archives.entries_of(archives.read(path, Secret(PASSWORD))["logs.jsonl"])]


async def written(pipe: Remembering) -> None:
    await pipe.container.session_logs().aclose()


async def test_a_turn_with_tools_is_recorded_whole(tmp_path: Path) -> None:
    async with Remembering({"DATA_DIR": str(tmp_path)}) as pipe:
        events = await pipe.ask(LOOP + "Look.", **settings(tmp_path / "logs"))
        assert isinstance(events[-1], Completed)
        await written(pipe)
    found = records(tmp_path / "logs", "m1")
    kinds = [one["event_type"] for one in found]
    assert kinds[0] == "request"
    assert kinds.count("provider.request") == 2
    assert kinds.count("event") == len(events)
    assert "provider.event" in kinds
    assert "log" in kinds  # at DEBUG, though the console shows errors only
    said = [json.loads(one["message"]) for one in found if one["event_type"] == "event"]
    assert [one["_"] for one in said] == [type(event).__name__ for event in events]
    assert {one["request_id"] for one in found} == {"r1"}
    assert {(one["user_id"], one["session_id"], one["chat_id"], one["message_id"]) for one in found} == {
        ("u", "s", "chat-1", "m1")
    }
    assert all(one["level"] in {"DEBUG", "INFO", "WARNING", "ERROR"} for one in found)
    times = [one["ts"] for one in found]
    assert times == sorted(times)


async def test_no_secret_and_no_blob_is_in_a_record(tmp_path: Path) -> None:
    async with Remembering({"DATA_DIR": str(tmp_path)}) as pipe:
        pipe.output = f"Authorization: Bearer {THEIRS} and {BLOB} {KEY}"
        said = f"{LOOP} my key is {THEIRS}, my picture data:image/png;base64,{BLOB}; remember the word heliotrope"
        await pipe.ask(said, **settings(tmp_path / "logs", SESSION_LOG_FORMAT="both"))
        await written(pipe)
    held = archives.read(tmp_path / "logs" / "u" / "chat-1" / "m1.zip", Secret(PASSWORD))
    for name, data in held.items():
        text = data.decode()
        for secret in (KEY, THEIRS, PASSWORD, "the artifact key", BLOB[:120]):
            assert secret not in text, (name, secret)
    assert "heliotrope" in held["logs.txt"].decode()  # what people wrote is the purpose


async def test_without_a_password_nothing_is_written_nor_recorded(tmp_path: Path) -> None:
    async with Remembering({"DATA_DIR": str(tmp_path)}) as pipe:
        await pipe.ask("Hi", **settings(tmp_path / "logs", SESSION_LOG_ZIP_PASSWORD=""))
        await written(pipe)
    assert not (tmp_path / "logs").exists()


async def test_the_newest_lines_are_kept(tmp_path: Path) -> None:
    async with Remembering({"DATA_DIR": str(tmp_path)}) as pipe:
        await pipe.ask("[[sim: scenario=long]] Go.", **settings(tmp_path / "logs", SESSION_LOG_MAX_LINES=100))
        await written(pipe)
    found = records(tmp_path / "logs", "m1")
    assert len(found) == 100
    assert json.loads(found[-1]["message"])["_"] == "Completed"


async def test_a_turn_that_is_given_up_has_a_record(tmp_path: Path) -> None:
    async with Remembering({"DATA_DIR": str(tmp_path)}) as pipe:
        original = pipe.container.chat().respond

        def first_only(request: Any) -> Any:
            async def events() -> Any:
                stream = original(request)
                yield await anext(stream)
                await stream.aclose()

            return events()

        pipe.container.chat().respond = first_only  # type: ignore[method-assign]
        await pipe.ask("Hi", model=CLAUDE, **settings(tmp_path / "logs"))
        await written(pipe)
    assert records(tmp_path / "logs", "m1")[0]["event_type"] == "request"
