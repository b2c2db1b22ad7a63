"""`Metrics` for Prometheus: each worker writes a file of its own that a collector on the same machine picks up.

No port is opened and no route is added to the host: whoever may read the folder may read the numbers. The files suit the
textfile collector of node_exporter; the label ``worker`` keeps the workers of one host apart. Needs ``prometheus_client``.
Names and units stand in docs/telemetry.md.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

_log = logging.getLogger(__name__)

PREFIX: Final = "openrouter_pipe_"
WRITE_EVERY: Final = 10.0
"""Seconds between two writes of the file."""

_STALE_AFTER: Final = 600.0
_MOST_SERIES: Final = 1_000
"""Label sets per metric; more is a mistake that must not fill the memory."""

_LONG: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
HELP: Final[Mapping[str, str]] = {
    "turns": "Turns that ended, by kind and outcome.",
    "turns_running": "Turns that run now.",
    "turns_waiting": "Turns that wait for a place.",
    "turn_seconds": "Seconds from request to last event.",
    "time_to_first_event_seconds": "Seconds from request to the first visible event.",
    "tokens": "Tokens, by direction.",
    "cost_usd": "US dollars, as the provider reports them.",
    "breakers_open": "Breakers that are open now, by scope.",
    "catalog_age_seconds": "Seconds since the catalogue in use was fetched.",
    "tool_calls": "Tool calls that ended, by outcome.",
    "artifact_reads": "Artifacts read for replay.",
    "artifact_writes": "Artifacts acknowledged as durable.",
    "artifact_store_failures": "Times that the artifact store was out of reach.",
    "artifact_backlog": "Artifacts in Redis that are not in the database yet.",
    "artifact_cache_hits": "Artifacts read from Redis.",
    "artifact_cache_misses": "Artifacts that Redis did not have.",
    "artifact_direct_writes": "Writes that went past Redis to the database.",
    "artifact_flushes": "Batches carried from Redis to the database, by outcome.",
    "session_logs": "Session logs, by outcome.",
}


def is_available() -> bool:
    """Whether the library is installed."""
    return importlib.util.find_spec("prometheus_client") is not None


class PrometheusMetrics:
    """`Metrics` of one worker and pipe, written into ``folder``. Opens nothing before the first measurement."""

    def __init__(self, folder: Path, pipe_id: str, *, worker: str = "", clock: Callable[[], float] = time.time) -> None:
        self._library: Any = importlib.import_module("prometheus_client")
        self._registry: Any = self._library.CollectorRegistry()
        self._folder = folder
        self._clock = clock
        self._always = {"pipe": pipe_id, "worker": worker or str(os.getpid())}
        stem = re.sub(r"[^0-9A-Za-z_-]", "_", f"{pipe_id}-{self._always['worker']}")
        self.path = folder / f"openrouter_pipe-{stem[:150]}.prom"
        self._known: dict[tuple[str, tuple[str, ...]], Any] = {}
        self._series: dict[str, set[tuple[str, ...]]] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._writer: threading.Thread | None = None
        self._complained = False

    def count(self, name: str, amount: float = 1.0, labels: Mapping[str, str] | None = None) -> None:
        """Add to ``openrouter_pipe_<name>_total``."""
        if amount >= 0 and (series := self._child("Counter", name, labels)) is not None:
            series.inc(amount)

    def gauge(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Set ``openrouter_pipe_<name>``."""
        if (series := self._child("Gauge", name, labels)) is not None:
            series.set(value)

    def observe(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Record into the histogram ``openrouter_pipe_<name>``."""
        if (series := self._child("Histogram", name, labels)) is not None:
            series.observe(value)

    def write(self) -> None:
        """Write the file now, whole or not at all; a folder that cannot be written is said once."""
        text: bytes = self._library.generate_latest(self._registry)
        draft = self.path.with_suffix(".tmp")
        try:
            self._folder.mkdir(mode=0o750, parents=True, exist_ok=True)
            draft.write_bytes(text)
            draft.replace(self.path)
            self._remove_old_files()
            self._complained = False
        except OSError as error:
            if not self._complained:
                self._complained = True
                _log.warning("metrics cannot be written to %s: %s", self._folder, error.strerror)

    def close(self) -> None:
        """End the writer and take the file away: numbers of a worker that is gone are nobody's."""
        self._ended.set()
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.join(timeout=2)
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _child(self, kind: str, name: str, labels: Mapping[str, str] | None) -> Any | None:
        given = dict(sorted((labels or {}).items()))
        names, values = tuple(given), tuple(given.values())
        with self._lock:
            self._start()
            seen = self._series.setdefault(name, set())
            if values not in seen and len(seen) >= _MOST_SERIES:
                return None
            seen.add(values)
            metric = self._known.get((name, names))
            if metric is None:
                metric = self._declare(kind, name, names)
                self._known[name, names] = metric
        return metric.labels(**self._always, **given)

    def _declare(self, kind: str, name: str, labels: tuple[str, ...]) -> Any:
        options: dict[str, Any] = {"buckets": _LONG} if kind == "Histogram" else {}
        return getattr(self._library, kind)(
            PREFIX + name, HELP.get(name, name), [*self._always, *labels], registry=self._registry, **options
        )

    def _start(self) -> None:
        if self._writer is None and not self._ended.is_set():
            self._writer = threading.Thread(target=self._run, name="metrics", daemon=True)
            self._writer.start()

    def _run(self) -> None:
        while not self._ended.wait(WRITE_EVERY):
            self.write()

    def _remove_old_files(self) -> None:
        """Files of workers that were killed: nobody has written them for a while."""
        for path in self._folder.glob("openrouter_pipe-*.prom"):
            with contextlib.suppress(OSError):
                if path != self.path and self._clock() - path.stat().st_mtime > _STALE_AFTER:
                    path.unlink()
