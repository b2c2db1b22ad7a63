"""`openrouter-pipe completion`: the scripts, in the real shells."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from openrouter_pipe.composition import cli_completion
from openrouter_pipe.composition.cli import main, make_parser
from openrouter_pipe.ports.settings import SETTINGS

SUBCOMMANDS = {"chat", "models", "doctor", "validate", "logs", "replay", "rotate-key", "completion"}


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "openrouter-pipe.bash"
    path.write_text(cli_completion.script(make_parser(), "bash"))
    return path


def completed(script: Path, *words: str) -> list[str]:
    """What a real bash offers for the last word; the words are as bash splits them, `=` for itself."""
    program = f'source "{script}"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _openrouter_pipe'
    program += '; printf "%s\\n" "${COMPREPLY[@]}"'
    command = ["bash", "--norc", "-c", program, "bash", "openrouter-pipe", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_subcommands_and_actions(bash: Path) -> None:
    assert set(completed(bash, "")) >= SUBCOMMANDS
    assert completed(bash, "val") == ["validate", "valves"]
    assert set(completed(bash, "logs", "")) == {"find", "show", "export", "verify", "prune"}


def test_bash_completes_options_and_their_choices(bash: Path) -> None:
    assert "--simulate" in completed(bash, "validate", "--s")
    assert completed(bash, "doctor", "--from", "") == ["auto", "host", "environment"]
    assert completed(bash, "completion", "") == ["bash", "zsh", "fish"]


def test_bash_completes_the_names_of_settings_but_of_no_secret(bash: Path) -> None:
    offered = set(completed(bash, "chat", "--set", ""))
    assert offered == {f"{setting.name}=" for setting in SETTINGS if not setting.secret}
    assert completed(bash, "chat", "--set", "REASONING_E") == ["REASONING_EFFORT="]
    assert completed(bash, "doctor", "--set", "ENCRYPT_ALL", "=", "false", "--set", "MODEL_I") == ["MODEL_ID="]


def test_bash_completes_the_values_that_a_setting_can_take(bash: Path) -> None:
    assert completed(bash, "chat", "--set", "REASONING_SUMMARY_MODE", "=") == [
        "auto",
        "concise",
        "detailed",
        "disabled",
    ]
    assert completed(bash, "chat", "--set", "ENCRYPT_ALL", "=", "f") == ["false"]
    assert completed(bash, "chat", "--set", "MODEL_ID", "=", "") == []
    assert completed(bash, "chat", "--set", "ENCRYPT_ALL", "=", "false", "--js") == ["--json"]


def test_bash_completes_files_and_folders(bash: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.py").touch()
    monkeypatch.chdir(tmp_path)
    assert completed(bash, "run", "--bundle", "fi") == ["file.py"]
    assert completed(bash, "logs", "find", "--dir", "fo") == ["folder"]
    assert completed(bash, "logs", "find", "--dir", "fi") == []


def typed(command: list[str], prepare: str, line: str, wanted: str) -> str:
    """What an interactive shell has on its line after the tab key; waits until ``wanted`` is there."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(
            command[0], command, {"PATH": os.environ["PATH"], "TERM": "dumb", "PS1": "ready> ", "HOME": "/nonexistent"}
        )
    shown = ""

    def until(pattern: str) -> None:
        nonlocal shown
        deadline = time.monotonic() + 30
        while not re.search(pattern, shown) and time.monotonic() < deadline:
            if select.select([terminal], [], [], 0.1)[0]:
                shown += os.read(terminal, 4096).decode(errors="replace")
        assert re.search(pattern, shown), shown

    try:
        os.write(terminal, f"{prepare}; echo pre''pared\n".encode())
        until(r"prepared\r?\n")
        shown = ""
        os.write(terminal, line.encode() + b"\t")
        until(wanted)
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)
    return shown


def test_an_interactive_bash_adds_no_blank_behind_a_setting(bash: Path) -> None:
    shown = typed(["bash", "--norc", "-i"], f"source {bash}", "openrouter-pipe chat --set REASONING_E", "EFFORT=")
    assert "EFFORT= " not in shown
    assert "\\=" not in shown
    assert "validate " in typed(["bash", "--norc", "-i"], f"source {bash}", "openrouter-pipe valid", "validate ")


def test_zsh(tmp_path: Path) -> None:
    script = tmp_path / "_openrouter-pipe"
    script.write_text(cli_completion.script(make_parser(), "zsh"))
    assert script.read_text().startswith("#compdef openrouter-pipe\n")
    assert "REASONING_EFFORT" in script.read_text()
    if shutil.which("zsh"):  # .ci/run installs it
        subprocess.run(["zsh", "-n", str(script)], timeout=30, check=True)
        prepare = f"fpath=({tmp_path} $fpath); autoload -Uz compinit; compinit -u -d {tmp_path}/dump"
        assert "chat" in typed(["zsh", "-f", "-i"], prepare, "openrouter-pipe cha", "chat ")
        shown = typed(["zsh", "-f", "-i"], prepare, "openrouter-pipe chat --set REASONING_E", "EFFORT=")
        assert "EFFORT= " not in shown


def test_fish(tmp_path: Path) -> None:
    script = tmp_path / "openrouter-pipe.fish"
    script.write_text(cli_completion.script(make_parser(), "fish"))
    assert "REASONING_EFFORT" in script.read_text()
    if shutil.which("fish"):  # .ci/run installs it

        def offered(line: str) -> set[str]:
            command = ["fish", "--no-config", "-c", f"source {script}; complete -C '{line}'"]
            environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=True)
            return {row.split("\t")[0] for row in done.stdout.splitlines()}

        assert offered("openrouter-pipe ") >= SUBCOMMANDS
        assert offered("openrouter-pipe chat --set REASONING_E") == {"REASONING_EFFORT="}
        assert offered("openrouter-pipe doctor --from ") == {"auto", "host", "environment"}


def test_without_its_library_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["completion", "bash"]) == 2
    assert capsys.readouterr().err.endswith("python -m pip install 'openrouter-pipe[completion]'\n")


def test_another_shell_is_refused_with_those_that_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["completion", "bsh"])
    assert capsys.readouterr().err.rstrip().endswith("did you mean bash?")
