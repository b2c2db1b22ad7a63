"""What holds for every subcommand: help with examples and units, suggestions, colours and progress on terminals only."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from openrouter_pipe.composition.bundle import collect
from openrouter_pipe.composition.cli import main, make_parser
from openrouter_pipe.composition.cli_console import make_console
from openrouter_pipe.composition.cli_parts import suggestion
from openrouter_pipe.composition.documents_commands import walk
from prepared_installation import Installation

ROOT = Path(__file__).parents[2]
EVERY = {name: parser for name, parser, _ in walk(make_parser())}
UNITS = re.compile(r"seconds|milliseconds|minutes|days|rows|bytes|number|port", re.IGNORECASE)
ESCAPE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""Control characters other than tab and line ends."""
ON_TERMINALS: Mapping[str, bool] = {
    'chat --once "2+2?"': True,
    "models claude": True,
    "run": True,
    "doctor": True,
    "validate --simulate": True,
    "rules": False,
    "logs find": True,
    "logs show m1": True,
    "logs find --error-id 0123456789abcdef": True,
    "logs verify": True,
    "logs prune --days 1 --dry-run": True,
    "replay m1": False,
    "costs": True,
    "rotate-key --data-dir older": True,
    "rotate-key --data-dir older --dry-run": True,
    "chat --once hi --json": False,
    "doctor --json": False,
    "validate --simulate --json": False,
    "logs show m1 --json": False,
    "replay m1 --json": False,
    "chat --once hi --set NO_SUCH=1": False,
    "logs show no-such-message": False,
}
"""Commands, and whether a terminal is sent more than text (colours or progress)."""


def examples(parser: argparse.ArgumentParser) -> list[str]:
    lines = [line.strip() for line in (parser.description or "").splitlines()]
    return [re.split(r"\s{2,}|\s>", line)[0] for line in lines if line.startswith("openrouter-pipe ")]


@pytest.mark.parametrize("name", EVERY)
def test_every_help_has_examples_that_can_be_typed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([*name.split(), "--help"])
    shown = capsys.readouterr().out
    given = examples(EVERY[name])
    assert given, f"openrouter-pipe {name} --help has no example"
    for line in given:
        assert line in shown
        assert line.startswith(f"openrouter-pipe {name}")
        make_parser().parse_args(shlex.split(line)[1:])
    assert max(map(len, shown.splitlines())) <= 130


@pytest.mark.parametrize("name", EVERY)
def test_every_option_says_what_it_is_and_numbers_say_of_what(name: str) -> None:
    for action in EVERY[name]._actions:
        if isinstance(action, argparse._SubParsersAction):
            continue
        assert action.help, f"{name}: {action.dest}"
        if action.type in {int, float}:
            assert UNITS.search(action.help), f"{name} {action.option_strings}: which unit?"


def test_the_front_page_of_the_help_names_every_subcommand(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    shown = capsys.readouterr().out
    assert [name for name in EVERY if " " not in name and f"\n    {name}" not in shown] == []
    for line in examples(make_parser()):
        make_parser().parse_args(shlex.split(line)[1:])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("vaildate", "did you mean validate?"),
        ("log find", "did you mean logs?"),
        ("logs verfy", "did you mean verify?"),
        ("doctor --jsno", "unrecognized arguments: --jsno; did you mean --json?"),
        ("logs find --error_id=1", "did you mean --error-id?"),
        (
            "logs find --since yesterday",
            "'yesterday' is no time; write 2026-01-31T08:00 (UTC), or an age as 30m, 12h, 7d",
        ),
        ("doctor --from hots", "did you mean host?"),
        (
            "chat --set REASONING_EFORT=high",
            "--set REASONING_EFORT: there is no such setting; did you mean REASONING_EFFORT?",
        ),
        ("chat --set reasoning_effort=high", "did you mean REASONING_EFFORT?"),
        ("chat --set ZZZ=1", "there is no such setting; docs/valves.md lists them all"),
        ("chat --set REASONING_EFFORT", "write NAME=VALUE"),
        ("rotate-key --batch-size 0", "--batch-size 0: at least one row is needed"),
        ("logs prune --days 0", "--days 0: at least one day"),
        ("xyzzy", "invalid choice: 'xyzzy' (choose from"),
    ],
)
def test_a_wrong_word_gets_a_suggestion(arguments: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status: object = main(arguments.split())
    except SystemExit as end:
        status = end.code
    assert status == 2
    shown = capsys.readouterr().err
    assert told in " ".join(shown.split())
    assert "Traceback" not in shown


def test_a_suggestion_is_near_or_there_is_none() -> None:
    assert suggestion("verfy", ["verify", "prune"]) == "; did you mean verify?"
    assert suggestion("xyzzy", ["verify", "prune"]) == ""
    assert suggestion("", ["verify"]) == ""


def test_a_reader_that_has_enough_is_no_error() -> None:
    command = [sys.executable, "-m", "openrouter_pipe.composition.cli", "valves"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(30) == 141


def test_no_color_is_any_value_but_the_empty_one() -> None:
    on_terminal = {"TERM": "xterm-256color"}
    for value, plain in (("1", True), ("0", True), ("", False)):
        console = make_console({**on_terminal, "NO_COLOR": value})
        assert console.no_color is plain
        if plain:
            assert not console.is_terminal


def test_the_command_line_is_not_part_of_the_bundle() -> None:
    modules = collect(ROOT)
    assert not [
        name for name in modules if name.startswith(("composition.cli", "composition.documents", "composition.site"))
    ]
    assert not [name for name, source in modules.items() if "shtab" in source or "mkdocs" in source]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    installation = Installation(tmp_path_factory.mktemp("commanded"))
    yield installation
    installation.close()


@pytest.fixture(scope="module")
def on_terminals(prepared: Installation) -> dict[tuple[str, str], tuple[int, str]]:
    """What each command sent to a terminal, by command and NO_COLOR."""
    runs = [(line, no_color) for line in ON_TERMINALS for no_color in ("", "1")]
    asked = [{"arguments": shlex.split(line), "environment": {"NO_COLOR": no_color}} for line, no_color in runs]
    environment = {**prepared.environment, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    command = [sys.executable, str(ROOT / "tests" / "support" / "terminal_runs.py"), json.dumps(asked)]
    done = subprocess.run(
        command, cwd=prepared.root, env=environment, capture_output=True, text=True, timeout=170, check=True
    )
    return {key: (told[0], told[1]) for key, told in zip(runs, json.loads(done.stdout), strict=True)}


@pytest.mark.parametrize("line", ON_TERMINALS)
def test_colours_and_progress_are_for_terminals_without_no_color(
    line: str, on_terminals: dict[tuple[str, str], tuple[int, str]]
) -> None:
    coloured, plain = on_terminals[line, ""], on_terminals[line, "1"]
    assert coloured[0] == plain[0]
    assert "Traceback" not in coloured[1] + plain[1]
    assert bool(ESCAPE.search(coloured[1])) is ON_TERMINALS[line], coloured[1][:500]
    assert not ESCAPE.search(plain[1]), plain[1][:500]


@pytest.mark.parametrize("line", ["validate --simulate", "rotate-key --data-dir older --dry-run"])
def test_long_work_shows_how_far_it_is(line: str, on_terminals: dict[tuple[str, str], tuple[int, str]]) -> None:
    assert re.search(r"\d+/\d+", on_terminals[line, ""][1])


@pytest.mark.parametrize("line", ON_TERMINALS)
def test_a_pipe_gets_text_only(
    line: str,
    prepared: Installation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    prepared.enter_copy(tmp_path / "copy", monkeypatch)
    with contextlib.suppress(SystemExit):
        main(shlex.split(line))
    told = capfd.readouterr()
    assert told.out + told.err
    assert not ESCAPE.search(told.out), told.out[:500]
    assert not ESCAPE.search(told.err), told.err[:500]
