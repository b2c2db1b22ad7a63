"""`openrouter-pipe replay`: turns of a real pipe over a simulated OpenRouter, recorded on disk, run again offline."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import pyzipper
from dependency_injector import providers
from rich.console import Console

from fake_host import HOST_06, HOST_12, FakeHost
from openrouter_pipe.adapters.filesystem import archives, search
from openrouter_pipe.adapters.memory import MemoryFileStore, ScriptedCatalog
from openrouter_pipe.adapters.memory.artifacts import MemoryArtifactStore
from openrouter_pipe.adapters.openwebui import make_pipe_class
from openrouter_pipe.adapters.simulator.app import create_app
from openrouter_pipe.adapters.simulator.config import SimulatorConfig, find_schema
from openrouter_pipe.adapters.simulator.scenarios import SCENARIOS
from openrouter_pipe.adapters.simulator.transport import SimulatorTransport
from openrouter_pipe.composition.cli import main
from openrouter_pipe.composition.logs import LogsOptions
from openrouter_pipe.composition.pipe import PipeContainer, PipeServices
from openrouter_pipe.composition.recordings import CannotReplayError, read_recording
from openrouter_pipe.composition.replay import replay
from openrouter_pipe.composition.replay_command import ReplayOptions, run_replay
from openrouter_pipe.ports.chat import (
    ChatEvent,
    ChatMessage,
    ChatRequest,
    Completed,
    Failed,
    Identity,
    ImageProduced,
    MarkersIssued,
    NoticeAdded,
    Notified,
    TextAdded,
    ToolFinished,
    ToolStarted,
)
from openrouter_pipe.ports.items import ImagePart, Role, TextPart
from openrouter_pipe.ports.provider import FaultKind, ProviderFault
from openrouter_pipe.ports.session_log import ArchivePolicy, LogEntry, SessionLog
from openrouter_pipe.ports.settings import Secret, read_settings
from openrouter_pipe.ports.tools import ToolSpec
from remembering import CLAUDE, LOOP, Remembering

PASSWORD = "zip password of the archives"
ENVIRONMENT: Mapping[str, str] = {"SESSION_LOG_ZIP_PASSWORD": PASSWORD}


def recorded(root: Path, **more: object) -> dict[str, Any]:
    return {
        "SESSION_LOG_STORE_ENABLED": True,
        "SESSION_LOG_DIR": str(root),
        "SESSION_LOG_ZIP_PASSWORD": PASSWORD,
        **more,
    }


@asynccontextmanager
async def recording(root: Path, **more: Any) -> AsyncIterator[Remembering]:
    """A pipe whose records are on disk when the context ends."""
    async with Remembering({"DATA_DIR": str(root.parent)}, **more) as pipe:
        yield pipe
        await pipe.container.session_logs().aclose()
        async with asyncio.timeout(10):  # the worker may still be at the one that it took
            while not {f"m{n}" for n in range(1, len(pipe.history), 2)} <= {one.stem for one in root.glob("*/*/*.zip")}:
                await asyncio.sleep(0.01)


def archive(root: Path, message: str = "m1") -> Path:
    return root / "u" / "chat-1" / f"{message}.zip"


async def run(target: Path, environment: Mapping[str, str] = ENVIRONMENT, **more: Any) -> tuple[int, str]:
    """Exit status and what was printed; in a thread, because the command has a loop of its own."""
    console = Console(file=io.StringIO(), width=250, force_terminal=False)
    options = ReplayOptions(LogsOptions("replay", str(target.parent), str(target)), **more)
    status = await asyncio.to_thread(run_replay, options, environment, console)
    assert isinstance(console.file, io.StringIO)
    return status, console.file.getvalue()


async def same(root: Path, message: str = "m1") -> None:
    status, printed = await run(archive(root, message))
    assert status == 0, printed
    assert "The same" in printed


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [dict(one) for one in archives.entries_of(archives.read(path, Secret(PASSWORD))["logs.jsonl"])]


def rewritten(path: Path, lines: list[dict[str, Any]], to: Path, log_format: str = "jsonl") -> Path:
    """An archive of our own make with these lines."""
    first = lines[0]
    ids = {name: first[name] for name in ("user_id", "session_id", "chat_id", "message_id", "request_id")}
    entries = [
        LogEntry(**{"exception": "", **line, "ts": datetime.fromisoformat(line["ts"]).timestamp()}) for line in lines
    ]
    log = SessionLog(**ids, created_at=0.0, entries=lambda: entries)
    return archives.write(log, ArchivePolicy(str(to), Secret(PASSWORD), format=log_format))


@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
async def test_every_scenario_of_the_simulator_replays_to_the_same_events(scenario: str, tmp_path: Path) -> None:
    root = tmp_path / "logs"
    async with recording(root) as pipe:
        await pipe.ask(f"[[sim: scenario={scenario}]] Go.", **recorded(root))
    await same(root)


@pytest.mark.parametrize("mode", ["boxes", "status", "both"])
async def test_reasoning_in_every_form(mode: str, tmp_path: Path) -> None:
    root = tmp_path / "logs"
    name = "open_webui" if mode == "boxes" else mode
    async with recording(root) as pipe:
        await pipe.ask("[[sim: scenario=reasoning-summary]] Go.", **recorded(root, THINKING_OUTPUT_MODE=name))
    await same(root)


async def test_tools_over_two_rounds_and_a_second_turn_with_replayed_history(tmp_path: Path) -> None:
    root = tmp_path / "logs"
    async with recording(root) as pipe:
        first = await pipe.ask(LOOP + "Look.", **recorded(root))
        await pipe.ask("[[sim: scenario=plain]] And now?", **recorded(root))
    assert any(isinstance(event, MarkersIssued) for event in first)
    assert [one["event_type"] for one in lines_of(archive(root))].count("provider.request") == 2
    artifacts = [
        json.loads(one["message"]) for one in lines_of(archive(root, "m3")) if one["event_type"] == "artifacts"
    ]
    assert len(artifacts[0]) >= 2
    await same(root)
    await same(root, "m3")


async def test_tools_side_by_side_end_in_the_recorded_order(tmp_path: Path) -> None:
    root = tmp_path / "logs"
    async with recording(root) as pipe:
        rome_is_done = asyncio.Event()

        async def weather(arguments: Mapping[str, object]) -> str:
            if arguments.get("city") == "Rome":
                rome_is_done.set()
                return "sun"
            await rome_is_done.wait()
            return "rain"

        pipe.toolbox.add(ToolSpec("weather", "Weather.", {"type": "object", "properties": {"city": {}}}), weather)
        events = await turn(pipe, root, "[[sim: scenario=parallel-calls;times=1]] Weather?", pipe.toolbox)
    done = [event.output.text for event in events if isinstance(event, ToolFinished)]
    assert done[:2] == ["sun", "rain"]
    await same(root)


async def turn(
    pipe: Remembering,
    root: Path,
    text: str,
    toolbox: Any = None,
    until: Callable[[ChatEvent], bool] = lambda _: False,
    parts: tuple[Any, ...] = (),
    files: Any = None,
    **settings: Any,
) -> list[ChatEvent]:
    """One turn that may be ended from outside, after the first event for which ``until`` holds."""
    message = ChatMessage(Role.USER, (TextPart(text), *parts))
    request = ChatRequest(
        CLAUDE,
        (message,),
        read_settings({"API_KEY": "sk-or-simulated", **recorded(root, **settings)}),
        "r1",
        identity=Identity("u", "s", "chat-1", "m1"),
        persistent=True,
        toolbox=toolbox,
        files=files,
    )
    events: list[ChatEvent] = []
    answer = pipe.container.chat().respond(request)
    async for event in answer:
        events.append(event)
        if until(event):
            break
    await answer.aclose()
    pipe.history[:] = [message, ChatMessage(Role.ASSISTANT, ())]
    return events


@pytest.mark.parametrize("endpoint", ["responses", "chat_completions"])
async def test_secrets_and_bulk_of_tools_and_people_are_missing_and_change_nothing(
    endpoint: str, tmp_path: Path
) -> None:
    root, key = tmp_path / "logs", "sk-or-v1-fedcba9876543210fedcba9876543210"
    async with recording(root) as pipe:
        pipe.output = f"Authorization: Bearer {key} {'QUJDRA' * 60} data:image/png;base64,{'QUJD' * 60}"
        chosen = recorded(root, DEFAULT_LLM_ENDPOINT=endpoint, ARTIFACT_ENCRYPTION_KEY="a long enough key")
        await pipe.ask(f"{LOOP} my key is {key} and {'QUJDRA' * 60}", **chosen)
        await pipe.ask("[[sim: scenario=plain]] And now?", **chosen)
    await same(root)
    await same(root, "m3")


async def test_an_answer_that_repeats_a_secret(tmp_path: Path) -> None:
    root = tmp_path / "logs"
    async with recording(root) as pipe:
        said = f"sk-or-v1-fedcba9876543210fedcba9876543210 and {'QUJDRA' * 60} and password=swordfish-and-more"
        events = await pipe.ask(f"[[sim: scenario=echo]] {said}", **recorded(root))
    assert said in "".join(event.text for event in events if isinstance(event, TextAdded))
    await same(root)


@pytest.mark.parametrize("status", [400, 401, 402, 404, 429, 500, 503])
async def test_an_error_of_the_provider_before_any_text(status: int, tmp_path: Path) -> None:
    root = tmp_path / "logs"
    async with recording(root) as pipe:
        events = await pipe.ask(f"[[sim: status={status}]] Go.", **recorded(root, API_KEY="sk-or-v1-a-bad-one"))
    assert isinstance(events[-1], Failed)
    assert not events[-1].partial
    await same(root)


async def test_a_repeated_request(tmp_path: Path) -> None:
    root = tmp_path / "logs"
    async with recording(root) as pipe:
        events = await pipe.ask("[[sim: scenario=plain;status=503;times=1]]\nGo.", **recorded(root))
    assert isinstance(events[-1], Completed)
    await same(root)


async def test_an_error_after_text(tmp_path: Path) -> None:
    root = tmp_path / "logs"
    async with recording(root) as pipe:
        events = await pipe.ask("[[sim: scenario=error-1]]\nGo.", **recorded(root))
    last = events[-1]
    assert isinstance(last, Failed)
    assert last.partial
    assert any(isinstance(event, NoticeAdded) and last.error_id in event.text for event in events)
    await same(root)


async def test_a_turn_that_was_stopped_amid_its_text(tmp_path: Path) -> None:
    root = tmp_path / "logs"
    async with recording(root) as pipe:
        events = await turn(pipe, root, "[[sim: scenario=long]] Go.", until=lambda event: isinstance(event, TextAdded))
    assert not isinstance(events[-1], Completed | Failed)
    await same(root)


async def test_a_turn_that_was_stopped_amid_a_tool(tmp_path: Path) -> None:
    root = tmp_path / "logs"
    async with recording(root) as pipe:
        events = await turn(pipe, root, LOOP + "Go.", pipe.toolbox, until=lambda event: isinstance(event, ToolStarted))
    assert isinstance(events[-1], ToolStarted)
    await same(root)


async def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    root = tmp_path / "logs"
    async with recording(root) as pipe:
        await pipe.ask("Hi", model="no/such-model", **recorded(root))
    await same(root)


async def test_a_store_that_failed(tmp_path: Path) -> None:
    root, store = tmp_path / "logs", MemoryArtifactStore()
    async with recording(root, store=store) as pipe:
        await pipe.ask(LOOP + "Look.", **recorded(root))
        store.failure = "the database is locked"
        await pipe.ask("[[sim: scenario=plain]] And now?", **recorded(root))
    await same(root, "m3")


async def test_a_store_that_is_spared_after_failures(tmp_path: Path) -> None:
    root, store = tmp_path / "logs", MemoryArtifactStore()
    async with recording(root, store=store) as pipe:
        await pipe.ask(LOOP + "Look.", **recorded(root))
        store.failure = "the database is locked"
        for _ in range(7):
            events = await pipe.ask(LOOP + "And now?", **recorded(root, BREAKER_MAX_FAILURES=2))
    assert any(isinstance(event, Notified) for event in events)
    assert "artifacts.fault" not in [line["event_type"] for line in lines_of(archive(root, "m15"))]
    await same(root, "m15")


async def test_no_catalogue_to_be_had(tmp_path: Path) -> None:
    root, source = tmp_path / "logs", ScriptedCatalog()
    source.fault = ProviderFault(FaultKind.STATUS, "No auth credentials found", status=401)
    async with recording(root) as pipe:
        pipe.container.catalog_source.override(providers.Object(source))
        events = await pipe.ask("Hi", **recorded(root, FREE_MODEL_FILTER="only"))
        without = await pipe.ask("Hi", **recorded(root))
    assert isinstance(events[-1], Failed)
    assert events[-1].status == 401
    await same(root)
    assert isinstance(without[-1], Completed)  # nothing to judge: sent with the model's name alone
    await same(root, "m3")


async def test_attachments_are_named_as_missing(tmp_path: Path) -> None:
    root = tmp_path / "logs"
    async with recording(root) as pipe:
        picture = ImagePart("data:image/png;base64," + "iVBORw0KGgo" * 20)
        await turn(pipe, root, "[[sim: scenario=plain]] What is it?", parts=(picture,))
    status, printed = await run(archive(root))
    assert (status, "Attachments are not in a record" in printed) == (0, True)


def _other_text(events: list[dict[str, Any]]) -> int:
    at = next(
        n for n, one in enumerate(events) if '"_": "ItemClosed"' in one["message"] and '"MessageItem"' in one["message"]
    )
    events[at]["message"] = events[at]["message"].replace("Hello", "Goodbye")
    return at


def _other_usage(events: list[dict[str, Any]]) -> int:
    told = json.loads(events[-1]["message"])
    told["usage"]["input_tokens"] += 1
    events[-1]["message"] = json.dumps(told)
    return len(events) - 1


def _one_event_more(events: list[dict[str, Any]]) -> int:
    events.insert(-1, {**events[-1], "message": json.dumps({"_": "NoticeAdded", "text": "never said"})})
    return len(events) - 2


@pytest.mark.parametrize("tamper", [_other_text, _other_usage, _one_event_more])
async def test_a_changed_record_differs_in_the_right_line(
    tamper: Callable[[list[dict[str, Any]]], int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "logs"
    async with recording(root) as pipe:
        await pipe.ask("[[sim: scenario=plain]] Go.", **recorded(root))
    lines = lines_of(archive(root))
    events = [line for line in lines if line["event_type"] == "event"]
    others = [line for line in lines if line["event_type"] != "event"]
    expected = len(others) + tamper(events) + 1
    changed = rewritten(archive(root), others + events, tmp_path / "changed")
    status, printed = await run(changed)
    assert status == 1, printed
    shown = [line.split("│")[1].strip() for line in printed.splitlines() if line.count("│") == 6]
    assert set(shown) == {str(expected)}
    capsys.readouterr()
    assert (await run(changed, as_json=True))[0] == 1
    told = json.loads(capsys.readouterr().out)
    assert told["same"] is False
    assert {one["line"] for one in told["differences"]} == {expected}


async def test_a_provider_that_says_something_else_changes_what_is_shown(tmp_path: Path) -> None:
    root = tmp_path / "logs"
    async with recording(root) as pipe:
        await pipe.ask("[[sim: scenario=plain]] Go.", **recorded(root))
    lines = lines_of(archive(root))
    said = [line for line in lines if line["event_type"] == "provider.event" and '"_": "TextDelta"' in line["message"]]
    said[0]["message"] = json.dumps({**json.loads(said[0]["message"]), "text": "Tally-ho"})
    status, printed = await run(rewritten(archive(root), lines, tmp_path / "changed"))
    shown = next(
        n for n, line in enumerate(lines, 1) if line["event_type"] == "event" and "TextAdded" in line["message"]
    )
    assert status == 1
    row = next(line for line in printed.splitlines() if "Tally-ho" in line)
    assert row.split("│")[1].strip() == str(shown)


async def test_a_round_more_than_recorded_is_told(tmp_path: Path) -> None:
    root = tmp_path / "logs"
    async with recording(root) as pipe:
        await pipe.ask(LOOP + "Look.", **recorded(root))
    lines = lines_of(archive(root))
    second = [n for n, line in enumerate(lines) if line["event_type"] == "provider.request"][1]
    kept = lines[:second] + [line for line in lines[second:] if not line["event_type"].startswith("provider")]
    status, printed = await run(rewritten(archive(root), kept, tmp_path / "changed"))
    assert status == 1
    assert "asked the provider 2 times, the record 1 times" in printed


async def test_an_image_that_the_host_keeps(tmp_path: Path) -> None:
    root = tmp_path / "logs"
    async with recording(root) as pipe:
        events = await turn(pipe, root, "[[sim: scenario=image]] Draw.", files=MemoryFileStore())
    assert any(isinstance(event, ImageProduced) and event.url.startswith("/api/v1/files/") for event in events)
    await same(root)


async def test_an_error_id_must_be_the_same_everywhere(tmp_path: Path) -> None:
    root = tmp_path / "logs"
    async with recording(root) as pipe:
        await pipe.ask("[[sim: scenario=error-1]]\nGo.", **recorded(root))
    lines = lines_of(archive(root))
    told = json.loads(lines[-1]["message"])
    told["error_id"] = "0123456789abcdef"
    lines[-1]["message"] = json.dumps(told)
    status, printed = await run(rewritten(archive(root), lines, tmp_path / "changed"))
    assert (status, "error_id" in printed) == (1, True), printed


async def _as_text(root: Path) -> None:
    async with recording(root) as pipe:
        await pipe.ask("[[sim: scenario=plain]] Go.", **recorded(root, SESSION_LOG_FORMAT="text"))


async def _newest_lines_only(root: Path) -> None:
    async with recording(root) as pipe:
        await pipe.ask("[[sim: scenario=long]] Go.", **recorded(root, SESSION_LOG_MAX_LINES=100))


@pytest.mark.parametrize(
    ("made", "said"), [(_as_text, "SESSION_LOG_FORMAT"), (_newest_lines_only, "SESSION_LOG_MAX_LINES")]
)
async def test_what_cannot_be_replayed_says_why(
    made: Callable[[Path], Awaitable[None]], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await made(tmp_path / "logs")
    assert (await run(archive(tmp_path / "logs")))[0] == 2
    assert said in capsys.readouterr().err
    assert (await run(archive(tmp_path / "logs"), as_json=True))[0] == 2
    assert said in json.loads(capsys.readouterr().out)["reason"]


@pytest.mark.parametrize(
    ("kind", "message", "said"),
    [
        ("request", "{", "line 1 "),
        ("request", "[" * 5000, "line 1 "),
        ("request", "[" * 300 + "]" * 300, "nested too deep"),
        ("request", json.dumps({"_": "ChatRequest", "messages": [{"_": "Popen"}]}), "ChatMessage is expected"),
        ("request", json.dumps({"_": "ChatRequest", "settings": {"LOG_LEVEL": "LOUD"}}), "LOG_LEVEL"),
        ("request", json.dumps({"_": "ChatRequest"}), "is missing"),
        ("model.card", json.dumps({"_": "ModelCard", "id": 5, "name": ""}), "str is expected"),
        ("event", "[]", "is no object"),
    ],
)
async def test_hostile_records_are_refused_in_words(
    kind: str, message: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "logs"
    async with recording(root) as pipe:
        await pipe.ask("[[sim: scenario=plain]] Go.", **recorded(root))
    lines = lines_of(archive(root))
    lines = [line for line in lines if line["event_type"] != "log"]
    next(line for line in lines if line["event_type"] == kind)["message"] = message
    assert (await run(rewritten(archive(root), lines, tmp_path / "changed")))[0] == 2
    assert said in capsys.readouterr().err


HOSTILE: tuple[Any, ...] = (
    None, [], {}, "text", 5, {"_": []}, {"_": "Failed", "code": [], "text": {}}, {"_": "ToolFinished"},
    {"_": "TextAdded", "text": 7},
    {"_": "ResponseFinished", "status": "completed", "usage": {"_": "Usage", "raw": [1]}},
)  # fmt: skip


async def test_whatever_stands_in_a_line_it_is_told_or_compared(tmp_path: Path) -> None:
    root = tmp_path / "logs"
    async with recording(root) as pipe:
        await pipe.ask(LOOP + "Look.", **recorded(root))
    (record,) = search.records(archive(root), Secret(PASSWORD))
    kinds: dict[tuple[str, str], int] = {}
    for n, line in enumerate(record.entries):
        kinds.setdefault((line["event_type"], line["message"][:20]), n)
    assert not (await replay(read_recording(record))).differences
    ends = {"told": 0, "compared": 0}
    for at in kinds.values():
        for value in HOSTILE:
            changed = {**record.entries[at], "message": json.dumps(value)}
            entries = (*record.entries[:at], changed, *record.entries[at + 1 :])
            try:
                await replay(read_recording(attrs.evolve(record, entries=entries)))
                ends["compared"] += 1
            except CannotReplayError:
                ends["told"] += 1
    assert min(ends.values()) > 10


def test_lines_too_deep_to_be_read_are_left_out() -> None:
    assert archives.entries_of(b"[" * 100_000 + b'\n{"a": 1}\n') == [{"a": 1}]


async def test_a_record_of_an_older_version_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "logs"
    async with recording(root) as pipe:
        await pipe.ask("[[sim: scenario=plain]] Go.", **recorded(root))
    lines = [line for line in lines_of(archive(root)) if line["event_type"] != "model.card"]
    assert (await run(rewritten(archive(root), lines, tmp_path / "changed")))[0] == 2
    assert "no model card" in capsys.readouterr().err


async def test_a_record_with_a_line_that_cannot_be_read_says_how_many_can(tmp_path: Path) -> None:
    root = tmp_path / "logs"
    async with recording(root) as pipe:
        await pipe.ask("[[sim: scenario=plain]] Go.", **recorded(root))
    path = archive(root)
    with pyzipper.AESZipFile(path) as whole:
        whole.setpassword(PASSWORD.encode())
        files = {name: whole.read(name) for name in whole.namelist()}
    lines = files["logs.jsonl"].splitlines()
    files["logs.jsonl"] = b"\n".join([*lines[:3], lines[3][:-9], *lines[4:]]) + b"\n"
    with pyzipper.AESZipFile(path, "w", encryption=pyzipper.WZ_AES) as damaged:
        damaged.setpassword(PASSWORD.encode())
        for name, content in files.items():
            damaged.writestr(name, content)
    record = search.records(path, Secret(PASSWORD))[0]
    with pytest.raises(CannotReplayError, match=f"{len(lines) - 1} of its {len(lines)} lines can be read"):
        read_recording(record)


async def test_earlier_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "logs"
    async with recording(root) as pipe:
        await turn(pipe, root, "[[sim: scenario=plain]] Go.")
        await pipe.container.session_logs().aclose()
        await turn(pipe, root, "[[sim: status=503]] Go.")
    async with asyncio.timeout(10):
        while "logs.1.jsonl" not in archives.read(archive(root), Secret(PASSWORD)):
            await asyncio.sleep(0.01)
    assert (await run(archive(root), record=1))[0] == 0
    assert (await run(archive(root)))[0] == 0
    assert (await run(archive(root), record=7))[0] == 2
    assert "there are: 1" in capsys.readouterr().err


async def test_no_password_and_a_wrong_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "logs"
    async with recording(root) as pipe:
        await pipe.ask("[[sim: scenario=plain]] Go.", **recorded(root))
    assert (await run(archive(root), {}))[0] == 2
    assert "SESSION_LOG_ZIP_PASSWORD" in capsys.readouterr().err
    assert (await run(archive(root), {"SESSION_LOG_ZIP_PASSWORD": "wrong"}))[0] == 2
    assert "does not fit" in capsys.readouterr().err


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SESSION_LOG_ZIP_PASSWORD", PASSWORD)
    assert main(["replay", "nowhere", "--dir", str(tmp_path)]) == 2
    assert "no archive of this message" in capsys.readouterr().err


@pytest.mark.parametrize("recent", [True, False])
async def test_a_turn_as_the_host_asks_for_it(recent: bool, tmp_path: Path) -> None:
    root = tmp_path / "logs"
    container = PipeContainer()
    container.environment.override(providers.Object({"DATA_DIR": str(tmp_path)}))
    app = create_app(SimulatorConfig(schema_path=find_schema()))
    container.transport_factory.override(providers.Object(partial(SimulatorTransport, app)))
    container.store.override(providers.Object(MemoryArtifactStore()))
    services = PipeServices(container)
    made = make_pipe_class(lambda _: services, "function_router", lambda: HOST_12 if recent else HOST_06)
    host = FakeHost(made(), recent=recent, valves={"API_KEY": "sk-or-simulated", **recorded(root)})
    told = (
        '<details type="tool_calls" done="true" id="call_1" name="look" arguments="{}" result="&quot;rain&quot;">\n'
        "<summary>Tool Executed</summary>\n</details>\nIt rains. ![picture](/api/v1/files/abc/content)"
    )
    history = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": told},
        {"role": "user", "content": "[[sim: scenario=reasoning-summary]] And now?"},
    ]
    await host.chat(model="router.anthropic.claude-sonnet-4.5", messages=history)
    await services.close()
    path = root / "user-1" / "chat-1" / "message-1.zip"
    async with asyncio.timeout(10):
        while not path.exists():
            await asyncio.sleep(0.01)
    assert json.loads(lines_of(path)[-1]["message"])["_"] == "Completed"
    status, printed = await run(path)
    assert status == 0, printed
