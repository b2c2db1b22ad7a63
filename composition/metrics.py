"""Which metrics are kept, and `openrouter-pipe metrics`: the workers' files as one page, on the loopback interface only."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from openrouter_pipe.adapters.memory.telemetry import NullMetrics
from openrouter_pipe.adapters.observability.prometheus import PrometheusMetrics, is_available
from openrouter_pipe.ports.telemetry import Metrics

_log: Final = logging.getLogger(__name__)

FOLDER_VARIABLE: Final = "OPENROUTER_PIPE_METRICS_DIR"
"""Environment variable that switches metrics on: the folder that the workers write into."""


def make_metrics(environment: Mapping[str, str], pipe_id: str) -> Metrics:
    """Prometheus where a folder is named and the library is there, else nothing. Opens nothing."""
    folder = environment.get(FOLDER_VARIABLE, "").strip()
    if not folder:
        return NullMetrics()
    if not is_available():
        _log.warning(
            "%s is set, but the Python package prometheus-client is not installed: no metrics", FOLDER_VARIABLE
        )
        return NullMetrics()
    return PrometheusMetrics(Path(folder), pipe_id)


def merged(folder: Path) -> str:
    """All workers' files as one exposition: each metric announced once, with the samples of every worker."""
    families: dict[str, tuple[list[str], list[str]]] = {}
    for path in sorted(folder.glob("openrouter_pipe-*.prom")):
        try:
            lines = path.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            continue  # its worker has just ended
        name = ""
        for line in lines:
            if line.startswith(("# HELP ", "# TYPE ")):
                name = line.split(" ", 3)[2]
                heads, _ = families.setdefault(name, ([], []))
                if line not in heads and len(heads) < 2:
                    heads.append(line)
            elif line and name:
                families[name][1].append(line)
    return "".join("\n".join([*heads, *samples]) + "\n" for heads, samples in families.values())


def serve(folder: Path, port: int) -> int:
    """Serve the page at http://127.0.0.1:<port>/metrics until interrupted; returns the exit status."""
    if not folder.is_dir():
        sys.stderr.write(f"{folder}: there is no such folder; it is what {FOLDER_VARIABLE} names for Open WebUI\n")
        return 2
    try:
        server = make_server(folder, port)
    except OSError as error:
        sys.stderr.write(f"port {port} cannot be used: {error.strerror}; choose another with --port\n")
        return 1
    with server, contextlib.suppress(KeyboardInterrupt):
        sys.stdout.write(f"metrics at http://127.0.0.1:{server.server_port}/metrics\n")
        sys.stdout.flush()
        server.serve_forever()
    return 0


def make_server(folder: Path, port: int) -> ThreadingHTTPServer:
    """The server, bound to the loopback interface; raises `OSError`."""

    class Handler(BaseHTTPRequestHandler):
        """Answers GET /metrics."""

        def do_GET(self) -> None:
            """The page, or 404."""
            if self.path.split("?")[0] != "/metrics":
                self.send_error(404)
                return
            body = merged(folder).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Scrapes are not worth a line each."""

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)
