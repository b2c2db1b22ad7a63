"""How far one machine carries: N processes of the real pipe against one load source. See ``--help``.

Here: the measurement behind docs/scale.md. Not here: ratios to a bare client, which `bench.py` gives.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import bench_host as host
from bench import ROOT, source
from bench_cases import _late_pipe, _Window
from bench_figures import percentile
from bench_streams import SCENARIOS, answer

_HELP = """\
Starts 1, 2 and 4 processes that each load the bundle and hold so many live streams of 5 events a second at once, all of one
load source; then each answers short turns as fast as it can. Prints one line per number of processes.

Bounded: about 50 seconds for each number. CPU is what the processes used; with more processes than cores (one of which the
load source needs) the events come later, not fewer: every answer is compared with what was sent.

Also counts what one turn asks of the database, by kind of turn, and, in a process with a Redis of its own, of Redis.

examples:
  .venv/bin/python tests/benchmarks/scale.py
  .venv/bin/python tests/benchmarks/scale.py --workers 1 --streams 500
"""
_RATE = SCENARIOS["live"].rate


def main() -> int:
    """Run; 1 if an answer was not what was sent."""
    parser = argparse.ArgumentParser(description=_HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, action="append", default=[], metavar="N", help="processes; repeatable")
    parser.add_argument("--streams", type=int, default=300, metavar="N", help="live streams per process (300)")
    parser.add_argument("--turns", type=int, default=600, metavar="N", help="short turns per process (600)")
    parser.add_argument("--heap", type=int, default=100, metavar="MB", help="long-lived objects per process (100)")
    parser.add_argument("--bundle", type=Path, default=ROOT / "dist" / "openrouter_pipe.py", help="the function file")
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--redis", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.port:
        return _worker(options)
    wrong = 0
    print("| Processes | Streams | Events/s | CPU per event | p99 delay | CPU per turn | Turns/s | Memory per stream |")
    print("|--:|--:|--:|--:|--:|--:|--:|--:|")
    operations: dict[str, Any] = {}
    for count in options.workers or (1, 2, 4):
        results = _together(options, count)
        operations = results[0]["operations"]
        wrong += sum(result["wrong"] for result in results)

        def typical(key: str, results: list[dict[str, Any]] = results) -> float:
            return statistics.median(result[key] for result in results)

        print(
            f"| {count} | {count * options.streams:,} | {sum(result['rate'] for result in results):,.0f}"
            f" | {typical('event'):.0f} µs | {typical('late'):.0f} ms | {typical('turn'):.2f} ms"
            f" | {sum(result['turns'] for result in results):,.0f} | {typical('memory'):.0f} KB |",
            flush=True,
        )
    for place, counts in (("database", operations), ("Redis, and the database beside it", _with_redis(options))):
        print(f"\n{place}:")
        for kind, counted in counts.items():
            print(f"- {kind}: {', '.join(f'{number} {what}' for what, number in counted.items()) or 'none'}")
    print(f"{wrong} answers differ from what was sent")
    return 1 if wrong else 0


def _together(options: argparse.Namespace, count: int) -> list[dict[str, Any]]:
    with source() as port, tempfile.TemporaryDirectory(prefix="openrouter-pipe-scale-") as folder:
        command = [sys.executable, __file__, "--port", str(port), "--bundle", str(options.bundle)]
        for name in ("streams", "turns", "heap"):
            command += [f"--{name}", str(getattr(options, name))]
        running = []
        for number in range(count):
            place = Path(folder, str(number))
            place.mkdir()
            environment = {**os.environ, "DATABASE_URL": f"sqlite:///{place}/webui.db", "DATA_DIR": str(place)}
            running.append(
                subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
        try:
            for phase in ("streams", "turns"):  # every process is ready before any begins
                for process in running:
                    assert process.stdout
                    assert process.stdout.readline().strip() == phase, "a process did not get ready"
                for process in running:
                    assert process.stdin
                    print("go", file=process.stdin, flush=True)
            return [json.loads(process.communicate(timeout=300)[0]) for process in running]
        finally:
            for process in running:
                process.kill()
                process.wait()


def _with_redis(options: argparse.Namespace) -> dict[str, Any]:
    """The operations of one process of a deployment with a real Redis."""
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    from redis_server import RedisServer

    server = RedisServer()
    try:
        with source() as port, tempfile.TemporaryDirectory(prefix="openrouter-pipe-scale-") as folder:
            several = {
                "UVICORN_WORKERS": "2",
                "REDIS_URL": server.url,
                "WEBSOCKET_MANAGER": "redis",
                "WEBSOCKET_REDIS_URL": server.url,
            }
            environment = {**os.environ, "DATABASE_URL": f"sqlite:///{folder}/webui.db", "DATA_DIR": folder, **several}
            command = [sys.executable, __file__, "--bundle", str(options.bundle)]
            command += ["--port", str(port), "--redis", str(server.port)]
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=120)
            counts: dict[str, Any] = json.loads(done.stdout)
            return counts
    finally:
        server.remove()


def _worker(options: argparse.Namespace) -> int:
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    host.pretend_to_be_a_host()
    host.load_libraries()
    if options.redis:
        print(json.dumps(host.run(lambda: _measured_with_redis(options))))
        return 0
    kept = host.heap(options.heap)
    result = host.run(lambda: _measured(options))
    print(json.dumps(result))
    del kept
    return 0


async def _measured(options: argparse.Namespace) -> dict[str, Any]:
    pipe = host.load_function(options.bundle)
    caller = host.Caller(pipe, f"http://127.0.0.1:{options.port}/api/v1")
    operations = await _operations(caller)
    for _ in range(20):
        await caller.lines("at-once")
    await _signal("streams")
    window = _Window(options.streams, answer("live").events)
    wrong = [0]
    bench: Any = type("Bench", (), {"caller": caller})
    before = host.resident()
    began = time.perf_counter()
    streams = [asyncio.create_task(_late_pipe(bench, "live", window, number)) for number in range(options.streams)]
    await asyncio.sleep(10)
    memory = host.resident() - before
    answers = await asyncio.gather(*streams)
    seconds = time.perf_counter() - began
    for lines in answers:
        wrong[0] += bool(host.difference("live", lines))
    await _signal("turns")
    began, used = time.perf_counter(), time.process_time()
    left = iter(range(options.turns))

    async def user() -> None:
        for _ in left:
            wrong[0] += bool(host.difference("short", await caller.lines("short")))

    await asyncio.gather(*(user() for _ in range(100)))
    turn, took = time.process_time() - used, time.perf_counter() - began
    await pipe.close()
    return {
        "rate": window.events / window.wall if window.wall else options.streams * _RATE * 20 / seconds,
        "event": window.cpu_per_event,
        "late": percentile(window.late, 0.99),
        "memory": memory / options.streams / 1024,
        "turn": turn / options.turns * 1e3,
        "turns": options.turns / took,
        "wrong": wrong[0],
        "operations": operations,
    }


async def _signal(phase: str) -> None:
    """Say that this process is ready for ``phase`` and wait until all are."""
    print(phase, flush=True)
    await asyncio.to_thread(sys.stdin.readline)


async def _measured_with_redis(options: argparse.Namespace) -> dict[str, dict[str, int]]:
    from redis import Redis

    pipe = host.load_function(options.bundle)
    caller = host.Caller(pipe, f"http://127.0.0.1:{options.port}/api/v1")
    heard: list[dict[str, Any]] = []
    with Redis(port=options.redis) as client, client.monitor() as monitor:

        def listen() -> None:
            with contextlib.suppress(OSError, ValueError):  # closed at the end
                heard.extend(monitor.listen())

        def asked() -> dict[str, int]:
            """Round trips of turns since the last time."""
            time.sleep(3)  # until the queue is empty and what was sent is heard
            counted = Counter(name for one in heard if (name := _of_turns(one)))
            heard.clear()
            return dict(counted)

        threading.Thread(target=listen, daemon=True).start()
        try:
            return await _operations(caller, lambda: asyncio.to_thread(asked))
        finally:
            await pipe.close()


def _of_turns(heard: dict[str, Any]) -> str:
    """The command, if a turn sent it: not a script, and not the worker that carries rows to the database."""
    command = str(heard["command"])
    name = command.split(None, 1)[0]
    carrying = ":gone:" in command if name == "MGET" else "XACK" in command
    return name if name in {"MGET", "EVAL"} and heard["client_type"] != "lua" and not carrying else ""


async def _nothing() -> dict[str, int]:
    return {}


async def _operations(
    caller: host.Caller, asked: Callable[[], Awaitable[dict[str, int]]] = _nothing
) -> dict[str, dict[str, int]]:
    """What the turns of one chat ask of the database, by the first word of the statement, and what ``asked`` tells."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    counted: Counter[str] = Counter()

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        counted[statement.split(None, 1)[0]] += 1

    plain = [{"role": "user", "content": "Hi"}]
    kinds: dict[str, dict[str, int]] = {}

    async def turn(kind: str, scenario: str, messages: list[dict[str, Any]]) -> str:
        await asked()
        counted.clear()
        lines = await caller.lines(scenario, messages, ui=True, chat_id="chat-1")
        kinds[kind] = dict(counted) | await asked()
        return host.text_of(lines)[0]

    await caller.lines("artifacts", ui=True, chat_id="chat-0")  # tables are made once per process
    event.listen(Engine, "before_cursor_execute", note)
    try:
        await turn("a plain turn", "at-once", plain)
        text = await turn("a turn that stores 500 artifacts", "artifacts", plain)
        await turn("a turn that replays them", "at-once", [*plain, {"role": "assistant", "content": text}, *plain])
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    return kinds


if __name__ == "__main__":
    sys.exit(main())
