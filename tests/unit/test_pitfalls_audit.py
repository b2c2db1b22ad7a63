"""The mistakes that pipes of this kind have shipped, and for each the tests that would fail if we shipped it.

The table is tests/data/pitfalls.csv; this keeps it true: every test that it names is one that pytest collects.
"""

from __future__ import annotations

import ast
import csv
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
with (TESTS / "data" / "pitfalls.csv").open(newline="", encoding="utf-8") as table:
    ROWS = list(csv.DictReader(table))


def functions(path: Path) -> dict[str, ast.AST]:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return {node.name: node for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["pitfall"])
def test_every_pitfall_has_tests_that_are_collected(row: dict[str, str]) -> None:
    assert row["area"]
    assert row["tests"]
    for node_id in row["tests"].split():
        file, _, name = node_id.partition("::")
        path = TESTS / file
        assert path.name.startswith("test_"), f"pytest does not look into {file}"
        assert path.exists(), f"there is no {file}"
        assert name.startswith("test_"), f"{name} is not collected"
        assert name in functions(path), f"{file} has no {name}"
        marks = [ast.unparse(one) for one in functions(path)[name].decorator_list]  # type: ignore[attr-defined]
        assert not [mark for mark in marks if "skip" in mark or "xfail" in mark], f"{name} is switched off"


def test_the_table_covers_the_published_list() -> None:
    assert len([row for row in ROWS if row["area"] != "Ours"]) == 77
    assert len({row["pitfall"] for row in ROWS}) == len(ROWS)
