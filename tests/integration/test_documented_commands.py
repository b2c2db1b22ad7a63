"""Every command of `openrouter-pipe` in the documentation is executed, in blocks and within the text.

They run for real in a prepared installation: a database with rows under an older key, session logs of answered and failed
turns, a Redis with cost snapshots, workers' metrics, a simulated OpenRouter on loopback. Targets of make and other programs are
executed by `test_documented_targets.py`. How pages write commands is told in docs/testing.md.
"""

from __future__ import annotations

import json
import re
import select
import shlex
import signal
import subprocess
import sys
import types
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from documented import PAGES, ROOT, Documented, commands, inline
from openrouter_pipe.adapters.openwebui.secret_values import encrypt
from openrouter_pipe.composition import documents_words as words
from openrouter_pipe.composition.cli import main, make_parser
from openrouter_pipe.composition.documents_commands import walk
from prepared_installation import NEW_KEY, Installation

SERVING = {"simulate": "/models", "metrics": ""}
"""Subcommands that serve until Ctrl-C, and what is asked behind the address that they print."""
NEEDS_HOST = {"sync": "tests/end_to_end/test_model_records_end_to_end.py"}
"""Subcommands that run inside Open WebUI only, and the test that runs them there."""

WORDS = {
    "MESSAGE_ID": "m1",
    "CHAT_ID": "chat-1",
    "USER_ID": "u",
    "ARCHIVE": "session_logs/u/chat-1/m1.zip",
    "FOLDER": "folder",
    "FILE": "password.txt",
    "NAME=VALUE": "REASONING_EFFORT=high",
    "NAME": "gpt",
    "MODEL": "openai/gpt-5",
    "<folder>": "metrics",
}
PLACES = {"/app/backend/data": "older", "/run/openrouter-pipe": "metrics", "/tmp/": "other/"}

NO_COMMANDS = {
    "openrouter-pipe artifact envelope v2": "a label within envelopes",
    **{f"openrouter-pipe {name}": "the name of a subcommand" for name, _, _ in walk(make_parser()) if name},
}
"""What stands within the text like a command, and what it is; in a block each would be executed."""

WRITTEN = [
    one
    for page in PAGES
    for one in (*commands(page), *(one for one in inline(page, "openrouter-pipe") if one.text not in NO_COMMANDS))
]
OURS = list({one.text: one for one in WRITTEN if one.text.startswith("openrouter-pipe ")}.values())


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    installation = Installation(tmp_path_factory.mktemp("documented"))
    yield installation
    installation.close()


@pytest.fixture
def installation(prepared: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """A copy that the command may change; it is the working directory, and the environment is the installation's."""
    prepared.enter_copy(tmp_path / "copy", monkeypatch)
    return prepared


def pretend_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """As much of Open WebUI as holds the valves of the function."""
    valves = {"REASONING_EFFORT": "high", "ARTIFACT_ENCRYPTION_KEY": encrypt(NEW_KEY)}

    class Functions:
        get_function_by_id = staticmethod(lambda _: object())
        get_function_valves_by_id = staticmethod(lambda _: valves)

    for name in ("open_webui", "open_webui.env", "open_webui.models", "open_webui.models.functions"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setattr(sys.modules["open_webui.env"], "VERSION", "0.12.4", raising=False)
    monkeypatch.setattr(sys.modules["open_webui.models.functions"], "Functions", Functions, raising=False)


def arguments_of(one: Documented, installation: Installation) -> list[str]:
    """The command's arguments with placeholders filled in."""
    text = re.sub(r"\bERROR_ID\b|\b0123456789abcdef\b", installation.error_id, one.text)
    for name, value in {**WORDS, **PLACES}.items():
        text = re.sub(rf"(?<![\w/]){re.escape(name)}" + (r"\b" if name[-1].isalnum() else ""), value, text)
    for part in ("USER_ID", "CHAT_ID", "MESSAGE_ID"):
        text = text.replace(f"/{part}", f"/{WORDS[part]}")
    found = shlex.split(text)[1:]
    return found[: next((place for place, word in enumerate(found) if word in {">", "|", "&&", ";"}), None)]


def run(arguments: list[str]) -> int:
    try:
        return main(arguments)
    except SystemExit as end:
        return int(end.code or 0)


@pytest.mark.parametrize("one", OURS, ids=lambda one: one.text.removeprefix("openrouter-pipe "))
def test_a_command_of_ours_runs(one: Documented, installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = arguments_of(one, installation)
    if "host" in arguments:
        pretend_host(monkeypatch)
    if arguments[0] in NEEDS_HOST:
        make_parser().parse_args(arguments)
        assert f'"{arguments[0]}"' in (ROOT / NEEDS_HOST[arguments[0]]).read_text()
    elif arguments[0] in SERVING and "--help" not in arguments:
        serve(one, arguments)
    else:
        assert run(arguments) == one.status, one.where


def serve(one: Documented, arguments: list[str]) -> None:
    """Run a server on a free port until it says where it is, ask it for what clients ask, then stop it as Ctrl-C does."""
    if "--port" in arguments:
        arguments[arguments.index("--port") + 1] = "0"
    else:
        arguments += ["--port", "0"]
    with subprocess.Popen(
        [sys.executable, "-m", "openrouter_pipe.composition.cli", *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], 60)
        line = process.stdout.readline() if ready else ""
        try:
            address = re.search(r"http://127\.0\.0\.1:\d+/\S+", line)
            assert address, f"{one.where}: {line}"
            asked = SERVING[arguments[0]]
            assert httpx.get(address[0] + asked, headers={"Authorization": "Bearer any"}, trust_env=False).is_success
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(20) == one.status, one.where


@pytest.mark.parametrize(
    ("command", "table"), [(["doctor"], words.DOCTOR_CHECKS), (["validate", "--simulate"], words.VALIDATE_LINES)]
)
def test_the_tables_of_checks_list_what_is_checked(
    command: list[str],
    table: Mapping[str, object],
    installation: Installation,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    if "lines" in told:
        assert [line["name"] for line in told["lines"]] == list(table)
        return
    for group in table:
        found = [check["name"] for check in told["checks"] if check["group"] == group]
        assert found == list(words.DOCTOR_CHECKS[group]), f"composition/documents_words.py, {group}"
    assert {check["group"] for check in told["checks"]} == set(table)


def test_there_is_something_to_run() -> None:
    assert len(OURS) > 40
    assert {one.text.split()[1] for one in OURS} >= {
        "chat",
        "doctor",
        "validate",
        "logs",
        "replay",
        "rotate-key",
        "costs",
    }
