"""What the running host says of itself, and when its word about the database counts."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from openrouter_pipe.adapters.openwebui.host import told
from openrouter_pipe.adapters.sql.location import locate
from openrouter_pipe.composition.host_environment import with_database
from openrouter_pipe.composition.pipe import cache_folder
from openrouter_pipe.ports.artifacts import ArtifactStoreError


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    module = ModuleType("open_webui.env")
    vars(module).update(VERSION="0.12.4", DATABASE_URL="sqlite:////host/webui.db", DATA_DIR=tmp_path, SECRET=7)
    monkeypatch.setitem(sys.modules, "open_webui.env", module)
    return module


def test_texts_and_paths_are_told_and_nothing_else(host: ModuleType, tmp_path: Path) -> None:
    assert (told("VERSION"), told("DATA_DIR"), told("SECRET"), told("MISSING")) == ("0.12.4", str(tmp_path), "", "")


@pytest.mark.parametrize("environment", [{}, {"DATABASE_URL": ""}, {"DATA_DIR": ""}, {"DATABASE_TYPE": "postgresql"}])
def test_the_host_names_its_database_where_nobody_else_does(host: ModuleType, environment: dict[str, str]) -> None:
    assert locate(with_database(environment)).url.database == "/host/webui.db"
    assert {**with_database(environment), "DATABASE_URL": None} == {**environment, "DATABASE_URL": None}


@pytest.mark.parametrize("environment", [{"DATABASE_URL": "sqlite:////other.db"}, {"DATA_DIR": "/other"}])
def test_the_environment_comes_first(host: ModuleType, environment: dict[str, str]) -> None:
    assert with_database(environment) is environment


def test_without_a_host_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "open_webui.env", raising=False)
    assert with_database({}) == {}
    assert cache_folder({}) is None
    with pytest.raises(ArtifactStoreError, match="No database is configured"):
        locate(with_database({}))


def test_the_cache_lies_in_the_hosts_own_folder(host: ModuleType, tmp_path: Path) -> None:
    assert cache_folder({}) == tmp_path / "cache" / "openrouter_pipe"
    assert cache_folder({"DATA_DIR": str(tmp_path / "mistyped")}) is None
