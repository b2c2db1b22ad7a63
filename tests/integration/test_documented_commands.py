"""Every command in the documentation is executed, or a table here says where it is.

Commands of `openrouter-pipe` run for real in a prepared installation: a database with rows under an older key, session logs
of answered and failed turns, a Redis with cost snapshots, workers' metrics, a simulated OpenRouter on loopback. A command that
is in no table fails with its page and line. How pages write commands is told in docs/testing.md.
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

import pytest

from documented import PAGES, ROOT, Documented, commands
from openrouter_pipe.adapters.openwebui.secret_values import encrypt
from openrouter_pipe.composition import documents_words as words
from openrouter_pipe.composition.cli import main, make_parser
from openrouter_pipe.composition.documents_tables import make_targets
from prepared_installation import NEW_KEY, Installation

SERVING = {"simulate", "metrics"}
NEEDS_HOST = {"sync": "tests/end_to_end/test_model_records_end_to_end.py"}
"""Subcommands that run inside Open WebUI only, and the test that runs them there."""

IN_THE_MAKEFILE = "Makefile"
IN_CI = ".ci/run"
MAKE = {
    "help": "",  # run here
    "setup": (IN_THE_MAKEFILE, "$(VENV)/.installed"),
    "run": ("tests/integration/test_documented_commands.py", "openrouter-pipe run"),
    "bundle": (IN_THE_MAKEFILE, "test: $(BUNDLE)"),
    "wheel": (IN_THE_MAKEFILE, "test-webui: $(BUNDLE) wheel"),
    "docs": (IN_THE_MAKEFILE, "$(MAKE) --no-print-directory docs"),
    "check": (IN_CI, "make check"),
    "test": (IN_CI, "make test\n"),
    "test-webui": (IN_CI, "make test-webui"),
    "webui": ("tests/end_to_end/conftest.py", "webui"),
    "format": (IN_THE_MAKEFILE, "ruff format --check ."),
    "bench": ("tests/benchmarks/test_guard.py", "guard"),
    "bench-report": ("tests/benchmarks/bench.py", "--report"),
    "profile": ("tests/benchmarks/flame.py", "main"),
    "soak": ("tests/benchmarks/soak.py", "SOAK_SECONDS"),
    "fuzz": ("tests/benchmarks/fuzz.py", "--seconds"),
    "chaos": ("tests/integration/chaos_redis.py", "--seed"),
    "clean": (IN_THE_MAKEFILE, "rm -rf build dist"),
}
"""Targets: empty for those that are run here, else a file and the words in it that run it, or are what it runs."""

OTHERS = {
    r"export( [A-Z_]+(=\S+)?)+": "a shell reads it",
    r"read -rs [A-Z_]+(; read -rs [A-Z_]+)*": "a shell reads it",
    r"(python3? -m )?pip install .+": "extras are looked up",
    r"(source|eval) .+": "a shell reads it",
    r"cd [\w./-]+": "a shell reads it",
    r"python -m pytest tests/\S+( -k \S+)?": "the file is looked up; `make test` runs it",
    r"git clone \S+( \S+)?": "a shell reads it",
    r"mkdir -p \S+": "a shell reads it",
    r"python3? -m http\.server .*--directory build/site.*": "Python's own",
    r"curl .*(127\.0\.0\.1|localhost|BASE_URL).*": "needs what the page starts before it",
}
"""Other programs: what their commands look like, and why they are not run here; `bash -n` reads every one."""

WORDS = {
    "MESSAGE_ID": "m1",
    "CHAT_ID": "chat-1",
    "USER_ID": "u",
    "ARCHIVE": "session_logs/u/chat-1/m1.zip",
    "FOLDER": "folder",
    "FILE": "password.txt",
    "NAME=VALUE": "REASONING_EFFORT=high",
}
PLACES = {"/app/backend/data": "older", "/run/openrouter-pipe": "metrics", "/tmp/": "other/"}

ALL = [one for page in PAGES for one in commands(page)]
OURS = list({one.text: one for one in ALL if one.text.startswith("openrouter-pipe ")}.values())


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
    """Run a server on a free port until it says where it is, then stop it as Ctrl-C does."""
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
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == one.status, one.where
        assert "http://127.0.0.1:" in line, one.where


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


def test_every_target_of_make_is_there_and_run_somewhere() -> None:
    assert set(MAKE) == set(make_targets())
    for target, place in MAKE.items():
        if place:
            name, within = place
            assert within in (ROOT / name).read_text(), f"make {target}: {name} does not hold {within!r}"


def test_make_help_lists_every_target() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert {f"make {target}" for target in MAKE} <= {" ".join(line.split()[:2]) for line in done.stdout.splitlines()}


@pytest.mark.parametrize(
    "one", [one for one in ALL if not one.text.startswith("openrouter-pipe ")], ids=lambda one: f"{one.page}:{one.line}"
)
def test_a_command_of_others_is_known_and_reads_as_shell(one: Documented) -> None:
    look_at(one)


@pytest.mark.parametrize(
    "text", ["frobnicate --all", "make no-such-target", "python -m pytest tests/unit/test_none.py"]
)
def test_an_unknown_command_is_told_with_its_page_and_line(text: str) -> None:
    with pytest.raises(AssertionError, match=r"page\.md, line 7"):
        look_at(Documented("page.md", 7, text))


def look_at(one: Documented) -> None:
    subprocess.run(["bash", "-n", "-c", one.text], timeout=10, check=True)
    program, *rest = shlex.split(one.text)
    if program == "make":
        targets = [word for word in rest if "=" not in word]
        assert targets, f"{one.where}: which target?"
        assert set(targets) <= set(MAKE), f"{one.where}: {one.text} has no such target"
        return
    assert any(re.fullmatch(known, one.text) for known in OTHERS), (
        f"{one.where}: `{one.text}` is executed by no test; add it to OTHERS in {Path(__file__).name} with a reason"
    )
    for file in re.findall(r"\btests/\S+\.py\b", one.text):
        assert (ROOT / file).is_file(), f"{one.where}: there is no {file}"
    for extras in re.findall(r"openrouter-pipe\[([\w,]+)\]", one.text):
        assert set(extras.split(",")) <= extras_of_the_project(), f"{one.where}: {one.text}"


def extras_of_the_project() -> set[str]:
    import tomllib

    return set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])


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
