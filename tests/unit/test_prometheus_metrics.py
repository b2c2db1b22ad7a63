"""Metrics for Prometheus: names, several workers in one page, and nothing where nothing is wanted."""

from __future__ import annotations

import json
import os
import re
import threading
import urllib.request
from pathlib import Path

import pytest

from openrouter_pipe.adapters.memory import NullMetrics
from openrouter_pipe.adapters.observability import prometheus
from openrouter_pipe.composition.metrics import FOLDER_VARIABLE, make_metrics, make_server, merged

DOCS = Path(__file__).parents[2] / "docs"
needs_library = pytest.mark.skipif(not prometheus.is_available(), reason="prometheus-client is not installed")


def test_without_a_folder_there_are_no_metrics() -> None:
    assert isinstance(make_metrics({}, "p"), NullMetrics)


def test_every_metric_is_documented_and_the_dashboard_asks_for_nothing_else() -> None:
    text = (DOCS / "telemetry.md").read_text()
    assert [name for name in prometheus.HELP if f"`openrouter_pipe_{name}" not in text] == []
    asked = set(re.findall(r"openrouter_pipe_[a-z_]+", (DOCS / "grafana-dashboard.json").read_text()))
    known = {f"openrouter_pipe_{name}{end}" for name in prometheus.HELP for end in ("", "_total", "_bucket")}
    assert asked
    assert asked <= known
    assert json.loads((DOCS / "grafana-dashboard.json").read_text())["panels"]


@needs_library
def test_two_workers_make_one_page(tmp_path: Path) -> None:
    workers = [prometheus.PrometheusMetrics(tmp_path, "my pipe", worker=str(n)) for n in (1, 2)]
    for worker in workers:
        worker.count("turns", 2, {"kind": "chat", "outcome": "completed"})
        worker.gauge("turns_running", 3)
        worker.observe("turn_seconds", 0.3, {"kind": "chat"})
        worker.count("something_new")
        worker.count("cost_usd", -1)
        worker.write()
    page = merged(tmp_path)
    line = 'openrouter_pipe_turns_total{kind="chat",outcome="completed",pipe="my pipe",worker="%s"} 2.0'
    for number in "12":
        assert line % number in page
    assert page.count("# TYPE openrouter_pipe_turns_total counter") == 1
    assert page.count("openrouter_pipe_turn_seconds_bucket") == 2 * 14
    from prometheus_client.parser import text_string_to_metric_families

    assert "openrouter_pipe_turns_running" in {family.name for family in text_string_to_metric_families(page)}
    for worker in workers:
        worker.close()
    assert merged(tmp_path) == ""


@needs_library
def test_files_of_the_dead_go_and_hostile_names_stay_inside(tmp_path: Path) -> None:
    dead = tmp_path / "openrouter_pipe-p-9.prom"
    dead.write_text("# TYPE x counter\n")
    os.utime(dead, (1, 1))
    worker = prometheus.PrometheusMetrics(tmp_path / "", "../../etc/x", worker="1")
    worker.gauge("turns_running", 1, {})
    for number in range(2000):
        worker.count("turns", 1, {"kind": str(number)})
    worker.write()
    assert not dead.exists()
    assert worker.path.parent == tmp_path
    assert len(worker.path.read_text().splitlines()) < 2200
    worker.close()


@needs_library
def test_a_folder_that_cannot_be_written_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    worker = prometheus.PrometheusMetrics(tmp_path / "file", "p")
    worker.write()
    worker.write()
    assert len(caplog.records) == 1


def test_the_page_is_served_on_the_loopback_interface_only(tmp_path: Path) -> None:
    (tmp_path / "openrouter_pipe-p-1.prom").write_text("# HELP a b\n# TYPE a gauge\na 1\n")
    assert FOLDER_VARIABLE == "OPENROUTER_PIPE_METRICS_DIR"
    with make_server(tmp_path, 0) as server:
        assert server.server_address[0] == "127.0.0.1"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics") as answer:
                assert answer.read() == b"# HELP a b\n# TYPE a gauge\na 1\n"
        finally:
            server.shutdown()
            thread.join()
