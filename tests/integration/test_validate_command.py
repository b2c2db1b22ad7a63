"""`openrouter-pipe validate`: green against the simulator, red in the right lines against what was broken on purpose."""

from __future__ import annotations

import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from openrouter_pipe.adapters.sql.table import table_name
from openrouter_pipe.composition.cli import main
from openrouter_pipe.composition.trial import Turn
from openrouter_pipe.composition.validate import ValidateOptions, run_validate
from openrouter_pipe.composition.validations import judged, small_pdf, streamed
from openrouter_pipe.ports.chat import ChatEvent, ChatRequest, Failed, TextAdded
from openrouter_pipe.ports.settings import Settings
from redis_server import free_port

ROOT = Path(__file__).parent.parent.parent
LINES = [
    "settings",
    "catalogue",
    "streamed chat",
    "tool call",
    "image",
    "file",
    "two-turn replay",
    "error 401",
    "error 429",
    "provider error",
    "session log",
    "clean-up",
]
TURNS = {"streamed chat", "tool call", "image", "file"}
PASSWORD = "planted password"


class Configured:
    """A right configuration, with a database and session logs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.options = ValidateOptions(source="environment", simulate=True, as_json=True)
        (root / "data").mkdir()
        sqlite3.connect(root / "data" / "webui.db").close()
        self.environment = {
            "OPENROUTER_API_KEY": "sk-or-v1-planted",
            "DATA_DIR": str(root / "data"),
            "ARTIFACT_ENCRYPTION_KEY": "planted key",
            "SESSION_LOG_STORE_ENABLED": "true",
            "SESSION_LOG_DIR": str(root / "logs"),
            "SESSION_LOG_ZIP_PASSWORD": PASSWORD,
        }

    def choose(self, *, simulate: bool = True, model: str = "", **settings: str) -> None:
        self.options = ValidateOptions(
            settings=settings, source="environment", simulate=simulate, model=model, as_json=True
        )

    def run(self, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, str], dict[str, str]]:
        status = run_validate(self.options, self.environment, Console(file=io.StringIO()))
        output = capsys.readouterr()
        assert "planted" not in output.out + output.err
        told = json.loads(output.out)["lines"]
        assert [line["name"] for line in told] == LINES
        return status, {one["name"]: one["status"] for one in told}, {one["name"]: one["evidence"] for one in told}

    def rows(self) -> int:
        connection = sqlite3.connect(self.root / "data" / "webui.db")
        try:
            (count,) = connection.execute(f"SELECT count(*) FROM {table_name('openrouter', 'planted key')}").fetchone()
            return int(count)
        finally:
            connection.close()


@pytest.fixture
def configured(tmp_path: Path) -> Configured:
    return Configured(tmp_path)


def test_green_against_the_simulator_and_nothing_left(
    configured: Configured, capsys: pytest.CaptureFixture[str]
) -> None:
    status, lines, evidence = configured.run(capsys)
    assert (lines, status) == (dict.fromkeys(LINES, "ok"), 0)
    assert "from the database" in evidence["two-turn replay"]
    assert "logs.jsonl, meta.json" in evidence["session log"]
    assert configured.rows() == 0
    assert list((configured.root / "logs").rglob("*")) == []
    removed = [int(word) for word in evidence["clean-up"].split() if word.isdigit()]
    assert removed[0] >= 3
    assert removed[1] >= 5, "one archive for each turn"


def test_the_documented_lines_are_the_lines() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8").partition("| Line | Fails when |")[2]
    rows = text.partition("\n\n")[0].splitlines()[2:]
    assert [row.split("|")[1].strip() for row in rows] == LINES


def test_what_others_stored_stays(configured: Configured, capsys: pytest.CaptureFixture[str]) -> None:
    folder = configured.root / "logs" / "openrouter-pipe-validate" / "another-chat"
    folder.mkdir(parents=True)
    (folder / "m.zip").touch()
    assert configured.run(capsys)[0] == 0
    assert (folder / "m.zip").exists()


def test_without_database_and_session_logs(capsys: pytest.CaptureFixture[str]) -> None:
    status = run_validate(ValidateOptions(source="environment", simulate=True, as_json=True), {}, Console())
    told = {one["name"]: one for one in json.loads(capsys.readouterr().out)["lines"]}
    assert status == 0
    assert "no database is configured" in told["two-turn replay"]["evidence"]
    assert {name for name, one in told.items() if one["status"] == "skipped"} == {"session log"}


def _environment(name: str, value: str) -> Callable[[Configured], None]:
    return lambda it: it.environment.__setitem__(name, value)


def _setting(**settings: str) -> Callable[[Configured], None]:
    return lambda it: it.choose(**settings)


def _linked(it: Configured) -> None:
    (it.root / "logs").mkdir()
    (it.root / "logs" / "openrouter-pipe-validate").symlink_to(it.root)


def _blocked(it: Configured) -> None:
    (it.root / "logs").touch()


BROKEN: Mapping[str, tuple[Callable[[Configured], None], set[str]]] = {
    "no model on offer": (_setting(MODEL_ID="no/such-model"), {"catalogue", *TURNS}),
    "no database": (lambda it: (it.root / "data" / "webui.db").unlink(), {"two-turn replay"}),
    "a database of another kind": (_environment("DATABASE_URL", "mysql://u:planted@h/d"), {"two-turn replay"}),
    "a damaged database": (
        lambda it: (it.root / "data" / "webui.db").write_bytes(b"no database at all, certainly" * 400),
        {"two-turn replay"},
    ),
    "a template with a mistake": (
        _setting(RATE_LIMIT_TEMPLATE="Wait {retry_afterwards} seconds. {error_id}"),
        {"error 429"},
    ),
    "a template of another system": (_setting(AUTHENTICATION_ERROR_TEMPLATE="{{ error_id }} no key"), {"error 401"}),
    "a broken template for the provider": (_setting(SERVICE_ERROR_TEMPLATE="{what} {error_id}"), {"provider error"}),
    "no password": (lambda it: it.environment.pop("SESSION_LOG_ZIP_PASSWORD"), {"session log"}),
    "a linked directory": (_linked, {"session log"}),
    "a file for a directory": (_blocked, {"session log"}),
    "a setting out of bounds": (_setting(TOOL_TIMEOUT_SECONDS="0"), {"settings"}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_red_in_the_right_lines(configured: Configured, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    breaks, expected = BROKEN[name]
    breaks(configured)
    status, lines, _ = configured.run(capsys)
    assert {line for line, seen in lines.items() if seen == "failed"} == expected
    assert status == 1


@pytest.fixture
def provider() -> Iterator[str]:
    """A simulator over a socket, which stands for the real provider."""
    port = free_port()
    command = [sys.executable, "-m", "openrouter_pipe.composition.cli", "simulate", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield f"http://127.0.0.1:{port}/api/v1"
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def test_against_a_provider(configured: Configured, provider: str, capsys: pytest.CaptureFixture[str]) -> None:
    configured.choose(simulate=False, model="sim/tool-loop", BASE_URL=provider)
    status, lines, evidence = configured.run(capsys)
    assert (status, lines) == (0, dict.fromkeys(LINES, "ok")), evidence


def test_a_provider_that_refuses_the_key(
    configured: Configured, provider: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configured.choose(simulate=False, BASE_URL=provider)
    configured.environment["OPENROUTER_API_KEY"] = "sk-or-wrong"
    status, lines, evidence = configured.run(capsys)
    assert status == 1
    # The catalogue is public; the errors come from the simulator whatever the provider says.
    assert {line for line, seen in lines.items() if seen == "failed"} == TURNS
    assert "authentication" in evidence["streamed chat"]


def test_a_provider_that_is_not_there(configured: Configured, capsys: pytest.CaptureFixture[str]) -> None:
    configured.choose(simulate=False, BASE_URL=f"http://127.0.0.1:{free_port()}/api/v1")
    status, lines, _ = configured.run(capsys)
    assert status == 1
    assert {line for line, seen in lines.items() if seen == "failed"} == {"catalogue", *TURNS}
    assert lines["error 401"] == lines["error 429"] == lines["provider error"] == "ok"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "failed"),
        ("Wait {x}. 0123", "failed"),
        ("Wait {{#if x}} 0123", "failed"),
        ("Wait.", "warning"),
        ("0123", "ok"),
    ],
)
def test_how_a_template_is_judged(text: str, told: str) -> None:
    assert judged(Failed("0123", "rate_limit", text))[0] == told


@pytest.mark.parametrize(
    ("events", "seconds", "told"),
    [
        ((TextAdded(0, "one "), TextAdded(0, "two")), 5.0, "ok"),
        ((TextAdded(0, "one two"),), 0.2, "ok"),
        ((TextAdded(0, "one two"),), 6.0, "warning"),
        ((TextAdded(0, " "),), 0.2, "failed"),
        ((TextAdded(0, "one"), Failed("0123", "stream_interrupted", "gone")), 0.2, "failed"),
    ],
)
def test_how_a_stream_is_judged(events: tuple[ChatEvent, ...], seconds: float, told: str) -> None:
    request = ChatRequest("model", (), Settings(), "request")
    assert streamed(Turn(request, events, (), seconds, seconds))[0] == told


def test_the_pdf_says_where_its_parts_are() -> None:
    data = small_pdf()
    start = int(data.split(b"startxref\n")[1].split()[0])
    assert data[start:].startswith(b"xref\n")
    for number, line in enumerate(data[start:].splitlines()[3:8], 1):
        assert data[int(line[:10]) :].startswith(b"%d 0 obj" % number)


def test_a_table_for_people(configured: Configured) -> None:
    console = Console(file=io.StringIO(), width=140)
    options = ValidateOptions(source="environment", simulate=True)
    assert run_validate(options, configured.environment, console) == 0
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(name in shown for name in LINES)
    assert "Nothing failed." in shown
    assert "\x1b" not in shown


def test_the_command_as_it_is_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "openrouter_pipe.composition.cli", "validate"]
    done = subprocess.run(
        [*command, "--simulate", "--from", "environment"],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"]},
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Nothing failed." in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_leaves_nothing_behind(configured: Configured, provider: str) -> None:
    control = provider.removesuffix("/api/v1") + "/simulator"
    # The first turn is answered, the second one never is.
    httpx.post(
        f"{control}/faults", json={"faults": [{"delay_ms": 1}, {"fault": "silence", "after": 0}]}, trust_env=False
    )
    command = [sys.executable, "-m", "openrouter_pipe.composition.cli", "validate", "--from", "environment"]
    environment = {"PATH": os.environ["PATH"], "OPENROUTER_API_BASE_URL": provider, **configured.environment}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while len(list((configured.root / "logs").rglob("*.zip"))) < 1 or _asked(control) < 2:
        assert time.monotonic() < deadline, "the run did not come so far"
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    shown, _ = process.communicate(timeout=30)
    assert (process.returncode, shown) == (130, "")
    assert list((configured.root / "logs").rglob("*")) == []
    assert configured.rows() == 0


def _asked(control: str) -> int:
    seen = httpx.get(f"{control}/requests", trust_env=False).json()["requests"]
    return sum(one["path"].endswith("/responses") for one in seen)


def test_a_secret_is_no_argument(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--from", "environment", "--set", "SESSION_LOG_ZIP_PASSWORD=planted"]) == 2
    assert "set the variable SESSION_LOG_ZIP_PASSWORD" in capsys.readouterr().err
