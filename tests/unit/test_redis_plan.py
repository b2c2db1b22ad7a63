"""When Redis is used: every prerequisite alone keeps it off and is named; valves act from the next turn."""

from __future__ import annotations

import importlib.util
import logging

import attrs
import pytest

from openrouter_pipe.adapters.memory import MemoryMetrics
from openrouter_pipe.adapters.redis import CachedArtifactStore
from openrouter_pipe.composition.policies import store_policy
from openrouter_pipe.composition.redis import RedisPolicies, _has_client, artifact_store, cost_sink, plan
from openrouter_pipe.ports.artifacts import StorePolicy
from openrouter_pipe.ports.sealing import SharedStorePolicy
from openrouter_pipe.ports.settings import read_settings

FULL = {
    "UVICORN_WORKERS": "4",
    "REDIS_URL": "redis://:s3cret@127.0.0.1:6379/0",
    "WEBSOCKET_MANAGER": "redis",
    "WEBSOCKET_REDIS_URL": "redis://127.0.0.1:6379/0",
}


def test_everything_there() -> None:
    assert plan(FULL, read_settings({})).active
    assert str(plan(FULL)).startswith("Redis active")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"UVICORN_WORKERS": "1"}, "UVICORN_WORKERS"),
        ({"UVICORN_WORKERS": "many"}, "UVICORN_WORKERS"),
        ({"UVICORN_WORKERS": ""}, "UVICORN_WORKERS"),
        ({"REDIS_URL": " "}, "REDIS_URL"),
        ({"WEBSOCKET_MANAGER": ""}, "WEBSOCKET_MANAGER"),
        ({"WEBSOCKET_REDIS_URL": ""}, "WEBSOCKET_REDIS_URL"),
    ],
)
def test_one_thing_missing_is_named(change: dict[str, str], word: str) -> None:
    found = plan(FULL | change)
    assert not found.active
    assert word in str(found)
    assert "s3cret" not in str(found)
    assert not isinstance(artifact_store(FULL | change, "p", MemoryMetrics()), CachedArtifactStore)
    assert cost_sink(FULL | change, "p") is None


def test_the_valve_is_named_and_acts_at_once(caplog: pytest.LogCaptureFixture) -> None:
    policies = RedisPolicies(FULL, "p")
    caplog.set_level(logging.INFO)
    values = {"REDIS_CACHE_TTL_SECONDS": 77, "REDIS_FLUSH_FAILURE_LIMIT": 7, "REDIS_PENDING_WARN_THRESHOLD": 9}
    for _ in range(3):
        store = policies(read_settings({**values})).store
    assert isinstance(store, SharedStorePolicy)
    assert (store.shared, store.cache_ttl_seconds, store.flush_failure_limit, store.pending_warn_threshold) == (
        True,
        77,
        7,
        9,
    )
    off = policies(read_settings({"ENABLE_REDIS_CACHE": False})).store
    assert isinstance(off, SharedStorePolicy)
    assert not off.shared
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert lines[0].startswith("Redis active")
    assert "ENABLE_REDIS_CACHE is off" in lines[1]
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING"]


def test_with_one_worker_the_line_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    RedisPolicies({}, "p")(read_settings({}))
    (record,) = caplog.records
    assert record.levelname == "INFO"
    for word in ("UVICORN_WORKERS", "REDIS_URL", "WEBSOCKET_MANAGER", "WEBSOCKET_REDIS_URL"):
        assert word in record.getMessage()


def test_without_the_library_that_is_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    _has_client.cache_clear()
    try:
        assert str(plan(FULL)).endswith(": the Python package redis is not installed")
    finally:
        monkeypatch.undo()
        _has_client.cache_clear()


def test_everything_that_the_store_is_told_reaches_it() -> None:
    settings = read_settings({"DB_BATCH_SIZE": 7, "MIN_COMPRESS_BYTES": 5, "ENCRYPT_ALL": False})
    plain, found = store_policy(settings, "p"), RedisPolicies(FULL, "p")(settings).store
    assert {one.name: getattr(found, one.name) for one in attrs.fields(StorePolicy)} == attrs.asdict(
        plain, recurse=False
    )


def test_costs_are_exported_where_wanted_and_possible() -> None:
    wanted = read_settings({"COSTS_REDIS_DUMP": True, "COSTS_REDIS_TTL_SECONDS": 61})
    assert RedisPolicies(FULL, "p")(wanted).cost_ttl_seconds == 61
    assert RedisPolicies(FULL, "p")(read_settings({})).cost_ttl_seconds is None
    assert RedisPolicies({}, "p")(wanted).cost_ttl_seconds is None
    assert isinstance(artifact_store(FULL, "p", MemoryMetrics()), CachedArtifactStore)
