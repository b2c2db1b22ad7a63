"""What every `Metrics` does alike: Prometheus' files, the twin in memory, nothing at all, and each of them made steady."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attrs import evolve, frozen

from openrouter_pipe.adapters.memory import MemoryMetrics, NullMetrics
from openrouter_pipe.adapters.observability import prometheus
from openrouter_pipe.composition.steady_telemetry import SteadyMetrics
from openrouter_pipe.ports.telemetry import Metrics

LABELS = {"kind": "chat", "outcome": "completed"}


@frozen
class World:
    """Metrics, and what they hold of a counter, a gauge, or the number and sum of a histogram's observations."""

    metrics: Metrics
    counted: Callable[[str], float]
    gauged: Callable[[str], float]
    observed: Callable[[str], tuple[int, float]]


def in_memory(metrics: MemoryMetrics) -> World:
    def observed(name: str) -> tuple[int, float]:
        values = [value for (one, _), found in metrics.observations.items() if one == name for value in found]
        return len(values), sum(values)

    return World(
        metrics,
        lambda name: sum(value for (one, _), value in metrics.counters.items() if one == name),
        lambda name: sum(value for (one, _), value in metrics.gauges.items() if one == name),
        observed,
    )


def in_files(metrics: prometheus.PrometheusMetrics) -> World:
    def sample(name: str) -> float:
        metrics.write()
        lines = [line for line in metrics.path.read_text().splitlines() if line.partition("{")[0] == name]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def observed(name: str) -> tuple[int, float]:
        return int(sample(f"openrouter_pipe_{name}_count")), sample(f"openrouter_pipe_{name}_sum")

    return World(
        metrics,
        lambda name: sample(f"openrouter_pipe_{name}_total"),
        lambda name: sample(f"openrouter_pipe_{name}"),
        observed,
    )


@pytest.fixture(params=["memory", "memory, steady", "prometheus", "prometheus, steady"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    kind, _, steady = request.param.partition(", ")
    if kind == "prometheus" and not prometheus.is_available():
        pytest.skip("prometheus-client is not installed")
    files = prometheus.PrometheusMetrics(tmp_path, "pipe") if kind == "prometheus" else None
    made = in_memory(MemoryMetrics()) if files is None else in_files(files)
    yield evolve(made, metrics=SteadyMetrics(made.metrics)) if steady else made
    if files is not None:
        files.close()


def test_counts_add_up(world: World) -> None:
    world.metrics.count("turns", labels=LABELS)
    world.metrics.count("turns", 2.5, dict(reversed(LABELS.items())))
    world.metrics.count("turns", 0.0, {"kind": "task", "outcome": "completed"})
    assert world.counted("turns") == 3.5


def test_a_count_never_goes_back(world: World) -> None:
    world.metrics.count("cost_usd", 2.0)
    world.metrics.count("cost_usd", -1.0)
    assert world.counted("cost_usd") == 2.0


def test_a_gauge_is_what_was_said_last(world: World) -> None:
    for value in (3.0, -1.0, 7.0):
        world.metrics.gauge("turns_running", value)
    assert world.gauged("turns_running") == 7.0


def test_every_observation_counts(world: World) -> None:
    for value in (0.5, 0.25, 100.0):
        world.metrics.observe("turn_seconds", value, {"kind": "chat"})
    assert world.observed("turn_seconds") == (3, 100.75)


def test_names_that_nobody_has_documented_are_kept_too(world: World) -> None:
    world.metrics.count("something_new", 4)
    assert world.counted("something_new") == 4.0


@pytest.mark.parametrize("metrics", [NullMetrics(), SteadyMetrics(NullMetrics())], ids=["null", "null, steady"])
def test_nothing_is_kept_where_nobody_counts(metrics: Metrics) -> None:
    metrics.count("turns", 1, LABELS)
    metrics.gauge("turns_running", 1)
    metrics.observe("turn_seconds", 1.0)
