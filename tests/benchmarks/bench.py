"""The benchmarks of openrouter-pipe: what `make bench` runs. See ``--help``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.metadata
import importlib.util
import json
import logging
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bench_host as host
from bench_figures import Figure
from bench_report import print_table, write_report

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
RESULTS = ROOT / "build" / "bench.json"
REPORT = ROOT / "docs" / "performance.md"

_HELP = """\
Measures the bundle (dist/openrouter_pipe.py, written by `make bundle`) against bare HTTP clients.

A load source in a process of its own plays pre-encoded OpenRouter streams on loopback. A second process, as large as an
Open WebUI server (--heap), loads the bundle as the host does, reads its answers as the host does, and reads the same
streams with bare clients. The fastest client with the httpx API is the floor. Every figure is a median of several runs;
CPU is what the process used, so that other work on the machine disturbs it little. Every answer is compared with what
was sent.

cases: {cases}

examples:
  make bench                                     every figure, about a minute
  .venv/bin/python tests/benchmarks/bench.py --only paced --only turns
  .venv/bin/python tests/benchmarks/bench.py --full --report
"""


def arguments() -> argparse.Namespace:
    """The command line."""
    from bench_cases import CASES

    names = [*CASES, "import", "store", "media"]
    parser = argparse.ArgumentParser(
        prog="bench.py",
        description=_HELP.format(cases=", ".join(names)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="about a minute (the default)")
    parser.add_argument(
        "--full", action="store_true", help="more runs, longer streams, 2,000 live streams; several minutes"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", choices=names, help="this case; repeatable"
    )
    parser.add_argument("--runs", type=int, default=0, metavar="N", help="runs per figure (3; 7 with --full)")
    parser.add_argument(
        "--heap", type=int, default=300, metavar="MB", help="long-lived objects in the host; 0 for none"
    )
    parser.add_argument("--bundle", type=Path, default=ROOT / "dist" / "openrouter_pipe.py", help="the function file")
    parser.add_argument(
        "--transport", choices=("own", "httpx", "aiohttp"), default="own", help="force a transport on the pipe"
    )
    parser.add_argument(
        "--loop", choices=("host", "asyncio"), default="host", help="host: uvloop where it is installed"
    )
    parser.add_argument("--report", action="store_true", help="also write docs/performance.md with its plot")
    parser.add_argument("--strict", action="store_true", help="exit with status 1 if a target is missed")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="where the results go")
    parser.add_argument("--worker", default="", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Run what was asked for; 0 if every answer was right (and, with --strict, every target met)."""
    options = arguments()
    if options.worker:
        return _worker(options)
    if not options.bundle.is_file():
        print(f"{options.bundle} does not exist; `make bundle` writes it.", file=sys.stderr)
        return 2
    from bench_cases import ALONE, CASES, ONLY_FULL

    wanted = options.only or [
        name for name in [*CASES, "import", "store", "media"] if options.full or name not in ONLY_FULL
    ]
    together = [name for name in wanted if name not in ALONE and name not in {"import", "store", "media"}]
    began = time.monotonic()
    outcomes = []
    with source() as port:
        if together:
            outcomes.append(_spawn(options, ",".join(together), port, options.heap))
        outcomes += [_spawn(options, name, port, 0) for name in wanted if name in ALONE]
        if "import" in wanted:
            outcomes.append(_imports(options, port))
    if "store" in wanted:
        outcomes.append(_run("store", [sys.executable, str(HERE / "bench_store.py")]))
    if "media" in wanted:
        outcomes.append(_run("media", [sys.executable, str(HERE / "bench_media.py")]))
    figures = [Figure.from_json(figure) for outcome in outcomes for figure in outcome["figures"]]
    wrong = [line for outcome in outcomes for line in outcome["wrong"]]
    answers = sum(outcome["answers"] for outcome in outcomes)
    result = {
        "machine": _machine(options),
        "seconds": round(time.monotonic() - began, 1),
        "answers": answers,
        "wrong": wrong,
        "figures": [figure.as_json() for figure in figures],
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=1), encoding="utf-8")
    print_table(result, figures)
    if options.report:
        write_report(REPORT, result, figures)
        print(f"wrote {REPORT}")
    missed = any(figure.verdict == "missed" for figure in figures)
    return 1 if wrong or not figures or (options.strict and missed) else 0


@contextlib.contextmanager
def source() -> Iterator[int]:
    """The load source in its own process; gives its port."""
    command = [sys.executable, str(HERE / "bench_source.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(10)


def _spawn(options: argparse.Namespace, work: str, port: int, heap: int) -> dict[str, Any]:
    """Measure in a fresh process."""
    command = [sys.executable, str(HERE / "bench.py"), "--worker", work, "--port", str(port), "--heap", str(heap)]
    command += ["--bundle", str(options.bundle), "--transport", options.transport, "--loop", options.loop]
    command += ["--runs", str(options.runs)] + (["--full"] if options.full else [])
    return _run(work, command)


def _run(work: str, command: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="openrouter-pipe-bench-") as folder:
        environment = {**os.environ, "DATABASE_URL": f"sqlite:///{folder}/webui.db", "DATA_DIR": folder}
        done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=False, text=True)
    if done.returncode:
        return {
            "figures": [],
            "wrong": [f"{work}: the measuring process ended with status {done.returncode}"],
            "answers": 0,
        }
    return json.loads(done.stdout.splitlines()[-1])


def _imports(options: argparse.Namespace, port: int) -> dict[str, Any]:
    outcomes = [_spawn(options, "import", port, options.heap) for _ in range(5 if options.full else 3)]
    first = outcomes[0]
    for outcome in outcomes[1:]:
        for figure, other in zip(first["figures"], outcome["figures"], strict=False):
            figure["runs"] += other["runs"]
    figures = [Figure.from_json(figure) for figure in first["figures"]]
    limits = {"import_time": 150, "import_memory": 15}
    for figure in figures:
        if figure.key in limits:
            figure.at_most(limits[figure.key])
    return {**first, "figures": [figure.as_json() for figure in figures]}


def _machine(options: argparse.Namespace) -> dict[str, Any]:
    def version(name: str) -> str:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return ""

    libraries = ("httpx", "httpcore", "h11", "aiohttp", "httpx-aiohttp", "orjson", "uvloop")
    return {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "loop": "uvloop" if options.loop == "host" and host.loop_factory() else "asyncio",
        "heap_mb": options.heap,
        "mode": "full" if options.full else "quick",
        "transport": options.transport,
        "libraries": {name: version(name) for name in libraries if version(name)},
    }


def _worker(options: argparse.Namespace) -> int:
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    base_url = f"http://127.0.0.1:{options.port}/api/v1"
    host.pretend_to_be_a_host()
    host.load_libraries()
    kept = host.heap(options.heap)
    if options.worker == "import":
        host.run(lambda: _import_case(options, base_url))
        return 0
    plain = options.worker == "idle" or options.loop == "asyncio"
    host.run(lambda: _measure(options, base_url), plain=plain)
    del kept
    return 0


async def _import_case(options: argparse.Namespace, base_url: str) -> None:
    before, began = host.resident(), time.process_time()
    pipe = host.load_function(options.bundle)
    used, grown = time.process_time() - began, host.resident() - before
    pipe.valves = pipe.Valves(**host.Caller(pipe, base_url).stored)
    began = time.process_time()
    await pipe.pipes()
    first = time.process_time() - began
    more = host.resident() - before
    await pipe.close()
    figures = [
        Figure("import_time", "import and construction: CPU", "ms", [used * 1e3]),
        Figure("import_memory", "import and construction: memory", "MB", [grown / 1e6]),
        Figure("first_listing", "first pipes(), once per process: CPU", "ms", [first * 1e3], note="loads the rest"),
        Figure("loaded_memory", "memory after the first pipes()", "MB", [more / 1e6]),
    ]
    print(json.dumps({"figures": [figure.as_json() for figure in figures], "wrong": [], "answers": 0}))


async def _measure(options: argparse.Namespace, base_url: str) -> None:
    from bench_cases import CASES, Bench, LoopCounter
    from bench_floors import floors

    counter = LoopCounter() if options.worker == "idle" else None
    pipe = host.load_function(options.bundle)
    caller = host.Caller(pipe, base_url)
    pipe.valves = pipe.Valves(**caller.stored)
    _force(options.transport)
    await pipe.pipes()
    runs = options.runs or (7 if options.full else 3)
    bench = Bench(caller, floors(base_url), host.Collections(), runs, options.full, counter=counter)
    for ui in (False, True):  # whatever is made once is made before the clock runs
        bench.check("burst", await caller.lines("burst", ui=ui))
        for _ in range(5):
            bench.check("at-once", await caller.lines("at-once", ui=ui))
    figures = []
    for name in options.worker.split(","):
        began = time.monotonic()
        figures += await CASES[name](bench)
        print(f"  {name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    for floor in bench.floors:
        await floor.close()
    await pipe.close()
    await asyncio.sleep(0)
    outcome = {"figures": [figure.as_json() for figure in figures], "wrong": bench.wrong[:20], "answers": bench.answers}
    print(json.dumps(outcome))


def _force(transport: str) -> None:
    """Give the pipe another transport than its own, to compare them; it is made by ``PipeContainer`` at the first call."""
    if transport == "own":
        return
    name = next(name for name in sys.modules if name.endswith(".composition.bundle_entry"))
    pipe_module = importlib.import_module(name.removesuffix("bundle_entry") + "pipe")
    library = importlib.import_module("httpx_aiohttp" if transport == "aiohttp" else "httpx")
    make = library.AiohttpTransport if transport == "aiohttp" else library.AsyncHTTPTransport
    objects = importlib.import_module("dependency_injector.providers")
    unlimited = 0 if transport == "aiohttp" else None
    limits = importlib.import_module("httpx").Limits(max_connections=unlimited, max_keepalive_connections=500)
    pipe_module.PipeContainer.transport_factory = objects.Object(lambda: make(limits=limits))
    pipe_module.PipeContainer.clients.add_kwargs(transport_factory=pipe_module.PipeContainer.transport_factory)


if __name__ == "__main__":
    sys.exit(main())
