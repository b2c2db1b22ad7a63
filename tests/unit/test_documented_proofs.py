"""What the pages name as proof is there: files of tests, tests, lines of the doctor and of the validation, settings."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from openrouter_pipe.composition.documents_tables import generate
from openrouter_pipe.ports.settings import SETTINGS

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = sorted((ROOT / "docs").glob("*.md"))
CHANGED_BY_HAND: Final = [page for page in PAGES if page.name not in {"valves.md", "commands.md"}]
NAMES: Final = frozenset(setting.name for setting in SETTINGS)
PREFIXES: Final = tuple({name.split("_")[0] + "_" for name in NAMES})
WORD: Final = r"(?<![\w/*])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?![\w*])"


def cells(table: str, place: int) -> frozenset[str]:
    return frozenset(row.split("|")[place].strip().strip("`*") for row in generate(table).splitlines()[2:])


def lines_named(text: str, command: str) -> Iterator[str]:
    """The names behind "doctor:" or "validate:", each between asterisks, up to the end of their list."""
    for match in re.finditer(rf"\b{command}: ((?:\*[^*\n]+\*(?:, )?)+)", text):
        yield from re.findall(r"\*([^*]+)\*", match[1])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tests_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", text))
    assert [one for one in sorted(named) if not (ROOT / one).is_file()] == []
    # A second file of the same folder may be named without it.
    short = set(re.findall(r"`(test_\w+\.py)`", text))
    assert [one for one in sorted(short) if not list((ROOT / "tests").rglob(one))] == []
    functions = set(re.findall(r"`(test_\w+)`", text))
    sources = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py"))
    assert [one for one in sorted(functions) if f"def {one}(" not in sources] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lines_of_doctor_and_validation_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for command, table, place in (("doctor", "doctor-checks", 2), ("validate", "validate-lines", 1)):
        known = cells(table, place)
        assert [one for one in lines_named(text, command) if one not in known] == []


@pytest.mark.parametrize("page", CHANGED_BY_HAND, ids=lambda page: page.name)
def test_settings_that_are_named_exist(page: Path) -> None:
    """A name that begins like a setting is one, or a variable of the process, or a constant that the page quotes as such."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    variables = {*re.findall(WORD, generate("environment")), *(setting.env for setting in SETTINGS)}
    named = {one for one in re.findall(WORD, text) if one.startswith(PREFIXES)}
    assert sorted(named - NAMES - variables) == []


def test_every_line_of_both_commands_proves_something_of_the_report() -> None:
    page = (ROOT / "docs" / "production-readiness.md").read_text(encoding="utf-8")
    assert cells("doctor-checks", 2) - set(lines_named(page, "doctor")) == frozenset()
    assert cells("validate-lines", 1) - set(lines_named(page, "validate")) == frozenset()


def statuses() -> dict[str, set[str]]:
    """What each check of the doctor can end as, read from its sources: name to ``failed`` and ``warning``."""
    found: dict[str, set[str]] = {}
    for file in (ROOT / "composition" / "checks").glob("*.py"):
        for function in ast.walk(tree := ast.parse(file.read_text())):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            named = {}
            for one in (*tree.body, *ast.walk(function)):
                if isinstance(one, ast.Assign) and isinstance(target := one.targets[0], ast.Name | ast.Tuple):
                    first = target.elts[0] if isinstance(target, ast.Tuple) else target
                    value = one.value.elts[0] if isinstance(one.value, ast.Tuple) else one.value
                    if isinstance(first, ast.Name) and isinstance(value, ast.Constant):
                        named[first.id] = str(value.value)
            for one in ast.walk(function):
                if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute) and one.args:
                    name = one.args[0]
                    told = named.get(name.id) if isinstance(name, ast.Name) else getattr(name, "value", None)
                    if one.func.attr in {"failed", "warning"} and isinstance(told, str):
                        found.setdefault(told, set()).add(one.func.attr)
    return found


def test_the_table_of_checks_says_what_fails_and_what_warns_as_the_checks_do() -> None:
    can = statuses()
    assert len(can) > 20
    wrong = []
    for row in generate("doctor-checks").splitlines()[2:]:
        _, _, name, fails, warns, _ = (cell.strip() for cell in row.split("|"))
        said = {word for word, text in (("failed", fails), ("warning", warns)) if text and not text.startswith("(")}
        if name in can and said != can[name]:
            wrong.append((name, said, can[name]))
    assert wrong == []


def test_every_library_says_why_it_is_here() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").lower()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    names = {re.split(r"[\[<>=;]", one)[0].strip() for one in wanted} - {"openrouter-pipe"}
    spoken = {one.removeprefix("pytest-").removeprefix("types-") for one in names}
    assert sorted(one for one in spoken if re.search(rf"(?<![\w-]){re.escape(one)}(?![\w-])", page) is None) == []
