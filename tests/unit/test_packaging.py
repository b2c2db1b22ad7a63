"""The package list in pyproject.toml is complete, and what is documented is generated from what is true."""

from __future__ import annotations

import tomllib
from pathlib import Path

from openrouter_pipe.composition.documents import settings_document

ROOT = Path(__file__).parents[2]
LAYERS = ("adapters", "composition", "domain", "ports")


def test_every_package_folder_is_listed_and_explains_itself() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {
        "openrouter_pipe." + ".".join(file.parent.relative_to(ROOT).parts)
        for layer in LAYERS
        for file in (ROOT / layer).rglob("*.py")
    }
    assert listed == found
    for name in found:
        init = ROOT.joinpath(*name.split(".")[1:], "__init__.py")
        assert init.read_text().lstrip().startswith('"""'), f"{init} says nothing of what lives there"


def test_the_top_level_is_as_designed() -> None:
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    assert folders - {"build", "dist", "__pycache__"} == {*LAYERS, "tests", "docs"} | {
        name for name in folders if name.endswith(".egg-info")
    }


def test_every_document_is_found_from_the_front_page() -> None:
    front_page = (ROOT / "README.md").read_text()
    assert [file.name for file in sorted((ROOT / "docs").glob("*.md")) if f"(docs/{file.name})" not in front_page] == []


def test_the_settings_table_is_up_to_date() -> None:
    assert (ROOT / "docs" / "valves.md").read_text() == settings_document()


def test_broad_handlers_stand_only_where_the_architecture_says() -> None:
    told = (ROOT / "docs" / "architecture.md").read_text()
    for layer in LAYERS:
        for file in (ROOT / layer).rglob("*.py"):
            if "except Exception" in (text := file.read_text()) or "except BaseException" in text:
                inside_host = file.parent.name == "openwebui" and f"`{file.stem}`" in told
                assert inside_host or f"`{file.relative_to(ROOT)}`" in told, f"{file} is no documented edge"
