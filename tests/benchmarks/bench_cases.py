"""The measurements. Each is a coroutine over a `Bench` that returns figures; `CASES` names them.

A case says what it measures, runs pipe and floor in turns (so that a noisy moment hits both), checks what was delivered,
and sets the targets. CPU is what the process used (``time.process_time``), the wall clock only where time is the matter.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import bench_host as host
import orjson
from bench_figures import Figure, median, percentile
from bench_floors import Floor, counts, request_body
from bench_host import Caller, Collections
from bench_streams import SCENARIOS, STAMP, answer


@dataclass
class Bench:
    """What every case needs. ``wrong`` gathers answers that differ from what was sent,
    ``answers`` counts them all."""

    caller: Caller
    floors: list[Floor]
    collections: Collections
    runs: int
    full: bool
    wrong: list[str] = field(default_factory=list)
    answers: int = 0
    counter: LoopCounter | None = None

    def check(self, scenario: str, lines: list[str]) -> None:
        """Compare an answer with what was sent."""
        self.answers += 1
        if found := host.difference(scenario, lines):
            self.wrong.append(found)

    @property
    def real_floors(self) -> list[Floor]:
        """Those that speak the httpx API."""
        return [floor for floor in self.floors if counts(floor)]


async def floor_events(floor: Floor, scenario: str) -> int:
    """Read one answer with a bare client; returns its events."""
    count = 0
    async for events in floor.events(scenario):
        count += len(events)
    return count


async def cpu(work: Awaitable[Any]) -> tuple[float, Any]:
    """CPU seconds of the process while ``work`` runs, and its result."""
    began = time.process_time()
    result = await work
    return time.process_time() - began, result


def contenders(floors: list[Floor], samples: dict[str, list[float]]) -> list[Floor]:
    """The floors worth another run: not one that took twice the time of the best, nor one that is only a reference."""
    taken = [median(values) for values in samples.values() if values]
    return [
        floor
        for floor in floors
        if not samples[floor.name] or (counts(floor) and median(samples[floor.name]) <= 2 * min(taken))
    ]


def fastest(samples: dict[str, list[float]]) -> tuple[str, list[float]]:
    """The floor with the smallest median."""
    name = min(samples, key=lambda one: median(samples[one]))
    return name, samples[name]


async def _per_event(
    bench: Bench, scenario: str, surfaces: tuple[bool, ...], runs: int
) -> tuple[list[list[float]], dict[str, list[float]]]:
    """CPU per delta in microseconds: of the pipe, for each surface (``ui`` or not), and of each bare client."""
    deltas = answer(scenario).events
    mine: list[list[float]] = [[] for _ in surfaces]
    bare: dict[str, list[float]] = {floor.name: [] for floor in bench.floors}
    for turn in range(runs):

        async def floors(turn: int = turn) -> None:
            for floor in contenders(bench.floors, bare)[:: -1 if turn % 2 else 1]:
                busy()
                used, _ = await cpu(floor_events(floor, scenario))
                bare[floor.name].append(used / deltas * 1e6)

        async def pipe() -> None:
            for ui, samples in zip(surfaces, mine, strict=True):
                busy()
                used, lines = await cpu(bench.caller.lines(scenario, ui=ui))
                samples.append(used / deltas * 1e6)
                bench.check(scenario, lines)

        for half in (pipe, floors) if turn % 2 else (floors, pipe):
            await half()
    return mine, bare


def busy(seconds: float = 0.1) -> None:
    """Keep the core at work: one that comes from idling takes up to twice the CPU time for the same, whoever is measured."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        sum(range(1000))


def _references(bench: Bench, bare: dict[str, list[float]]) -> tuple[str, list[float], str]:
    real = {floor.name: bare[floor.name] for floor in bench.real_floors}
    name, runs = fastest(real)
    return name, runs, "floors: " + ", ".join(f"{one} {median(values):.3g}" for one, values in bare.items())


async def paced(bench: Bench) -> list[Figure]:
    """One stream at 1,000 events a second, from its first text to its end.

    A core that naps between two events takes now once, now twice the time for the same, and changes its mind within
    seconds. So streams are short, pipe and floor take turns, and each pair of neighbours gives one ratio.
    """
    scenario = "paced"
    deltas = answer(scenario).events
    mine: dict[bool, list[float]] = {False: [], True: []}
    bare: dict[str, list[float]] = {floor.name: [] for floor in bench.floors}

    async def bare_one(floor: Floor) -> None:
        bare[floor.name].append(await _cpu_from_text(_floor_text(floor, scenario)) / deltas * 1e6)

    async def pipe_one(ui: bool) -> None:
        lines: list[str] = []
        used = await _cpu_from_text(_pipe_text(await bench.caller.call(scenario, ui=ui), lines))
        mine[ui].append(used / deltas * 1e6)
        bench.check(scenario, lines)

    for turn in range(3 * bench.runs):
        works = [functools.partial(bare_one, floor) for floor in _worth_pairing(bench.floors, bare)]
        works += [functools.partial(pipe_one, ui) for ui in mine]
        for place in range(len(works)):
            busy()
            await works[(place + turn) % len(works)]()
    name, floor, note = _references(bench, bare)
    return [
        Figure(key, f"CPU per event: one stream, 1,000/s, {who}", "µs", runs, floor, name, note=note).at_most_floors(
            1.5
        )
        for key, who, runs in (("paced", "program", mine[False]), ("paced_ui", "chat", mine[True]))
    ]


def _worth_pairing(floors: list[Floor], samples: dict[str, list[float]]) -> list[Floor]:
    """All of them twice, then the one that is the floor."""
    if min(map(len, samples.values())) < 2:
        return floors
    best = min((floor for floor in floors if counts(floor)), key=lambda floor: median(samples[floor.name]))
    return [best]


async def _cpu_from_text(texts: AsyncIterator[bool]) -> float:
    """CPU seconds from the first read that brought text to the end of the answer."""
    began = 0.0
    async for text in texts:
        if text and not began:
            began = time.process_time()
    return time.process_time() - began


async def _floor_text(floor: Floor, scenario: str) -> AsyncIterator[bool]:
    async for events in floor.events(scenario):
        yield any("delta" in event for event in events)


async def _pipe_text(answered: AsyncIterator[str], lines: list[str]) -> AsyncIterator[bool]:
    async for line in answered:
        lines.append(line)
        yield host.text_line(line)


async def burst(bench: Bench) -> list[Figure]:
    """Twenty thousand events as fast as they can be read; how many deltas were merged then."""
    figures = []
    for scenario, surfaces, titles in (
        ("burst", (False, True), ("64 KiB pieces, program", "64 KiB pieces, chat")),
        ("reasoning", (True,), ("reasoning and text, chat",)),
    ):
        mine, bare = await _per_event(bench, scenario, surfaces, bench.runs)
        name, floor, note = _references(bench, bare)
        for ui, title, runs in zip(surfaces, titles, mine, strict=True):
            key = f"{scenario}{'_ui' if ui else ''}"
            figure = Figure(key, f"CPU per event: burst, {title}", "µs", runs, floor, name, note=note)
            figures.append(figure.at_most(6))
    lines = await bench.caller.lines("burst")
    shown = sum(map(host.text_line, lines))
    merged = answer("burst").events / shown
    figures.append(Figure("merged", "deltas merged into one line, saturated", "", [merged], note=f"{shown} lines"))
    for scenario in ("tiny", "one-piece"):
        bench.check(scenario, await bench.caller.lines(scenario))
    return figures


async def many(bench: Bench) -> list[Figure]:
    """200 streams at 20 events a second each: CPU, latency from socket to host line, garbage collections.

    Only the time when all of them run is looked at: what it costs to begin a turn is another figure.
    """
    scenario = "many-long" if bench.full else "many"
    real = bench.real_floors
    mine: list[float] = []
    bare: dict[str, list[float]] = {floor.name: [] for floor in real}
    delay: list[float] = []
    floor_delay: dict[str, list[float]] = {floor.name: [] for floor in real}
    longest: list[float] = []
    floor_longest: list[float] = [0.0]
    full_collections = 0
    for _ in range(bench.runs):
        for floor in contenders(real, bare):
            window = _Window(200, answer(scenario).events)
            bench.collections.clear()
            await asyncio.gather(*(_late_floor(floor, scenario, window, n) for n in range(200)))
            bare[floor.name].append(window.cpu_per_event)
            floor_delay[floor.name].append(window.p99)
            floor_longest.append(bench.collections.longest)
        window = _Window(200, answer(scenario).events)
        bench.collections.clear()
        answers = await asyncio.gather(*(_late_pipe(bench, scenario, window, n) for n in range(200)))
        longest.append(bench.collections.longest)
        full_collections += bench.collections.full
        mine.append(window.cpu_per_event)
        delay.append(window.p99)
        for lines in answers:
            bench.check(scenario, lines)
    name, floor_runs, note = _references(bench, bare)
    figure = Figure("many", "CPU per event: 200 streams, 20/s", "µs", mine, floor_runs, name, note=note)
    latency = Figure("latency", "p99 from socket to line: 200 streams", "ms", delay, floor_delay[name], name)
    pauses = Figure("collections", "longest garbage collection meanwhile", "ms", longest)
    pauses.note = f"{full_collections} full collections; with bare clients the longest took {max(floor_longest):.0f} ms"
    return [
        figure.at_most_floors(1.6),
        latency.at_most(5, "added", latency.value - latency.floor, "ms"),
        pauses.at_most(50),
    ]


class _Window:
    """The time from when every stream has begun to when the first is about to end: events, CPU and delays in it."""

    def __init__(self, streams: int, deltas: int) -> None:
        self._waiting = streams
        self._last = deltas - 2
        self._began = self._ended = self._all_began = self._all_ended = 0.0
        self._wall = 0.0
        self.wall = 0.0
        self.events = 0
        self.late: list[float] = []

    def note(self, number: int, sent: int) -> None:
        """The ``number``-th delta of a stream is here, sent at ``sent`` (microseconds)."""
        if number == 2:
            self._waiting -= 1
            if not self._waiting:
                self._began, self._wall = time.process_time(), time.perf_counter()
        if self._began and not self._ended:
            self.events += 1
            self.late.append((time.monotonic_ns() // 1000 - sent) / 1000)
            if number >= self._last:
                self._ended, self.wall = time.process_time(), time.perf_counter() - self._wall

    @property
    def cpu(self) -> float:
        """CPU seconds of the window."""
        return self._ended - self._began

    @property
    def cpu_per_event(self) -> float:
        """Microseconds; infinite if the streams never ran all at once."""
        return self.cpu / self.events * 1e6 if self.events > 500 and self._ended else float("inf")

    @property
    def p99(self) -> float:
        """The delay in milliseconds that 99 of 100 events do not exceed."""
        return percentile(self.late, 0.99)


_SPREAD_SECONDS = 0.005
"""Between the starts of two streams."""


async def _late_floor(floor: Floor, scenario: str, window: _Window, place: int) -> None:
    await asyncio.sleep(place * _SPREAD_SECONDS)
    number = 0
    async for events in floor.events(scenario):
        for event in events:
            if "delta" in event:
                number += 1
                window.note(number, int(event["delta"]))


async def _late_pipe(bench: Bench, scenario: str, window: _Window, place: int) -> list[str]:
    await asyncio.sleep(place * _SPREAD_SECONDS)
    lines, number = [], 0
    async for line in await bench.caller.call(scenario, ui=bool(place % 2)):
        lines.append(line)
        # Not a pattern over the whole line: reading the stamps is the measurement's cost and would be counted as the pipe's.
        text = line[line.rfind(':"') + 2 : line.rfind('"')]
        for sent in (text,) if len(text) == len(STAMP) + 1 else text.split():
            if len(sent) >= len(STAMP) and sent[: len(STAMP)].isdigit():
                number += 1
                window.note(number, int(sent))
    return lines


async def turns(bench: Bench) -> list[Figure]:
    """Short turns, 200 at a time: CPU per turn of ten deltas."""
    total = 2000 if bench.full else 300
    mine: list[float] = []
    bare: dict[str, list[float]] = {floor.name: [] for floor in bench.floors}
    longest = []
    for _ in range(min(bench.runs, 3)):
        for floor in contenders(bench.floors, bare):
            used, _ = await cpu(_saturate(total, lambda floor=floor: floor_events(floor, "short")))
            bare[floor.name].append(used / total * 1e3)
        bench.collections.clear()
        used, answers = await cpu(_saturate(total, lambda: bench.caller.lines("short")))
        mine.append(used / total * 1e3)
        longest.append(bench.collections.longest)
        for lines in answers:
            bench.check("short", lines)
    name, floor_runs, note = _references(bench, bare)
    figure = Figure("turn", "CPU per short turn, 200 at a time", "ms", mine, floor_runs, name)
    figure.note = f"{note}; longest collection {max(longest):.0f} ms"
    return [figure.at_most(2).at_most_floors(3)]


async def _saturate(total: int, one: Callable[[], Awaitable[Any]]) -> list[Any]:
    left = iter(range(total))

    async def worker() -> list[Any]:
        return [await one() for _ in left]

    return [result for results in await asyncio.gather(*(worker() for _ in range(200))) for result in results]


async def first_token(bench: Bench) -> list[Figure]:
    """From the call to the first text, against a bare client; one turn at a time."""
    mine: list[float] = []
    mine_cpu: list[float] = []
    bare: dict[str, list[float]] = {floor.name: [] for floor in bench.real_floors}
    bare_cpu: dict[str, list[float]] = {floor.name: [] for floor in bench.real_floors}
    for number in range(120 if bench.full else 60):
        for floor in bench.real_floors:
            began, used = time.perf_counter(), time.process_time()
            async for found in floor.events("at-once"):
                if any("delta" in event for event in found):
                    bare[floor.name].append((time.perf_counter() - began) * 1e3)
                    bare_cpu[floor.name].append((time.process_time() - used) * 1e3)
        began, used = time.perf_counter(), time.process_time()
        lines = await bench.caller.call("at-once", ui=bool(number % 2))
        await host.read_until_text(lines)
        mine.append((time.perf_counter() - began) * 1e3)
        mine_cpu.append((time.process_time() - used) * 1e3)
        async for _ in lines:
            pass
    name, floor_runs = fastest(bare)
    figure = Figure("first_token", "time to first token", "ms", mine, floor_runs, name)
    figure.note = f"of the clock; of CPU {median(mine_cpu):.2f} ms, {name} {median(bare_cpu[name]):.2f} ms"
    return [figure.at_most(1, "added", figure.value - figure.floor, "ms")]


def history(messages: int, characters: int = 5000) -> list[dict[str, Any]]:
    """A chat of that many messages."""
    text = ("All work and no play makes a dull answer. " * (characters // 42 + 1))[:characters]
    return [
        {"role": "user" if number % 2 == 0 else "assistant", "content": f"{number} {text}"}
        for number in range(messages)
    ] + [{"role": "user", "content": "And now?"}]


async def long_history(bench: Bench) -> list[Figure]:
    """A chat of 200 messages and 1 MB, and one ten times as long."""
    mine, bare, ratios = [], [], []
    short, long = history(200), history(2000)
    big = request_body("at-once", "x" * 1_000_000)
    floor = bench.real_floors[-1]
    small = [(await cpu(bench.caller.lines("at-once", ui=True)))[0] for _ in range(8)][3:]
    small_floor = [(await cpu(floor_events(floor, "at-once")))[0] for _ in range(8)][3:]
    for _ in range(bench.runs + 2):
        used, lines = await cpu(bench.caller.lines("at-once", short, ui=True))
        bench.check("at-once", lines)
        ten, lines = await cpu(bench.caller.lines("at-once", long, ui=True))
        bench.check("at-once", lines)
        sending, _ = await cpu(_read(floor, "at-once", big))
        mine.append((used - median(small)) * 1e3)
        bare.append((sending - median(small_floor)) * 1e3)
        ratios.append(ten / used)
    figure = Figure("history", "CPU for 200 messages, 1 MB", "ms", mine, bare, f"sending 1 MB ({floor.name})")
    ten_times = Figure("history_ratio", "ten times the history takes", "x", ratios)
    return [figure.at_most(10, "without sending", figure.value - figure.floor, "ms"), ten_times.at_most(11)]


async def _read(floor: Floor, scenario: str, body: bytes) -> None:
    async for _ in floor.events(scenario, body):
        pass


async def tool_round(bench: Bench) -> list[Figure]:
    """One round with a tool: what is neither the provider's round nor the tool."""
    title = "one tool round, beyond tool and provider"
    ran = 0

    async def add(a: int, b: int) -> str:
        nonlocal ran
        ran += 1
        return str(a + b)

    spec = {
        "name": "add",
        "description": "Add two numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    }
    tools = {"add": {"tool_id": "calc", "callable": add, "spec": spec, "type": "function"}}
    lines = await bench.caller.lines("tools", ui=True, tools=tools)
    if not ran:
        return [Figure("tool_round", title, "ms", skipped="this build runs no tools of the host")]
    bench.check("tools", lines)
    mine, bare, saving = [], [], []
    floor = bench.real_floors[-1]
    more = SCENARIOS["tools"].tools - SCENARIOS["tool"].tools
    count = 5
    for _ in range(bench.runs):
        one, _ = await cpu(_repeat(count, lambda: bench.caller.lines("tool", ui=True, tools=tools)))
        nine, _ = await cpu(_repeat(count, lambda: bench.caller.lines("tools", ui=True, tools=tools)))
        unsaved, _ = await cpu(
            _repeat(count, lambda: bench.caller.lines("tool", ui=True, tools=tools, chat_id="local:1"))
        )
        round_trip, _ = await cpu(_repeat(count * more, lambda: floor_events(floor, "tool")))
        mine.append((nine - one) / count / more * 1e3)
        bare.append(round_trip / count / more * 1e3)
        saving.append((one - unsaved) / count * 1e3)
    figure = Figure("tool_round", title, "ms", mine, bare, floor.name)
    figure.note = (
        f"rounds of one call each in a saved chat; the tool does nothing; the floor is a bare {floor.name} round"
    )
    saved = Figure("saving", "what keeping one call and its output costs a turn", "ms", saving, note="SQLite")
    return [figure.at_most(1, "beyond", figure.value - figure.floor, "ms"), saved]


async def _repeat(count: int, one: Callable[[], Awaitable[Any]]) -> None:
    for _ in range(count):
        await one()


async def listing(bench: Bench) -> list[Figure]:
    """``pipes()`` with a warm catalogue of 400 models."""
    pipe = bench.caller.pipe
    found = await pipe.pipes()
    if len(found) < 400:
        bench.wrong.append(f"pipes: {len(found)} models instead of 400")
    mine = []
    for _ in range(bench.runs):
        used, _ = await cpu(_repeat(50, pipe.pipes))
        mine.append(used / 50 * 1e3)
    warm = Figure("pipes", "pipes() warm, 400 models", "ms", mine).at_most(1)
    fresh, stops, bare = [], [], []
    floor = bench.floors[0]
    for run in range(bench.runs):
        busy()
        used, found = await cpu(_another_list(bench, f"{run}-of-cpu"))
        fresh.append(used * 1e3)
        if len(found) < 400:
            bench.wrong.append(f"pipes, fetched: {len(found)} models instead of 400")
        stop, _ = await _longest_block(_another_list(bench, f"{run}-of-stops"))
        stops.append(stop * 1e3)
        used, _ = await cpu(floor.models())
        bare.append(used * 1e3)
    pipe.valves = pipe.Valves(**bench.caller.stored)
    indexed = Figure("catalogue", "list of 400 models fetched, read, indexed", "ms", fresh, bare, "fetched and decoded")
    blocked = Figure("catalogue_loop", "the same: event loop blocked for", "ms", stops)
    return [warm, indexed, blocked.at_most(10)]


async def _another_list(bench: Bench, key: str) -> list[Any]:
    """Another key is another list: it is fetched, read and indexed anew, behind the one that is known, until it is done."""
    pipe, before = bench.caller.pipe, asyncio.all_tasks()
    pipe.valves = pipe.Valves(**{**bench.caller.stored, "API_KEY": f"sk-or-{key}"})
    found: list[Any] = await pipe.pipes()
    while started := asyncio.all_tasks() - before:
        await asyncio.wait(started)
    return found


async def image(bench: Bench) -> list[Figure]:
    """An event of 8 MB: the longest time for which the event loop does nothing else.

    The floor is JSON decoding alone, which holds the interpreter wherever it runs.
    """
    mine, decoding = [], []
    for _ in range(bench.runs + 2):
        longest, lines = await _longest_block(bench.caller.lines("image", ui=True))
        mine.append(longest * 1e3)
        bench.check("image", lines)
        decoding.append(min(_decoding_seconds() for _ in range(3)) * 1e3)
    figure = Figure("image", "8 MB image event: event loop blocked for", "ms", mine, decoding, "orjson.loads")
    whole, _ = await _longest_block(bench.caller.lines("image"))
    figure.note = f"the host stores the file; to a program it goes as a data URL, {whole * 1e3:.0f} ms"
    return [figure.at_most(10)]


def _decoding_seconds() -> float:
    data = max((step.data for step in answer("image").steps), key=len)
    began = time.process_time()
    orjson.loads(data[6:])
    return time.process_time() - began


async def _longest_block(work: Awaitable[Any]) -> tuple[float, Any]:
    """The longest time that the loop did nothing else while ``work`` ran, and the work's result.

    The beat never sleeps, so that every gap is somebody else's work; of wall clock and CPU the smaller counts, because
    a gap without CPU is the machine's doing.
    """
    longest, done = 0.0, False

    async def beat() -> None:
        nonlocal longest
        while not done:
            wall, used = time.perf_counter(), time.process_time()
            await asyncio.sleep(0)
            longest = max(longest, min(time.perf_counter() - wall, time.process_time() - used))

    gc.collect()
    ticker = asyncio.create_task(beat())
    result = await work
    done = True
    await ticker
    return longest, result


async def replay(bench: Bench) -> list[Figure]:
    """A turn over a chat with 500 stored artifacts."""
    title = "CPU of a turn over 500 artifacts, beyond the text"
    chat = f"chat-{time.monotonic_ns()}"
    lines = await bench.caller.lines("artifacts", ui=True, chat_id=chat)
    text, _ = host.text_of(lines)
    marked = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": text}, *history(0)]
    plain = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": text[:200]}, *history(0)]
    mine = []
    await bench.caller.lines("at-once", marked, ui=True, chat_id=chat)
    replayed = await seen_artifacts(bench)
    if replayed < 500:
        return [Figure("replay", title, "ms", skipped=f"{replayed} of 500 artifacts were replayed")]
    for _ in range(bench.runs + 2):
        without, _ = await cpu(bench.caller.lines("at-once", plain, ui=True, chat_id=chat))
        used, _ = await cpu(bench.caller.lines("at-once", marked, ui=True, chat_id=chat))
        mine.append((used - without) * 1e3)
    return [Figure("replay", title, "ms", mine).at_most(30)]


async def seen_artifacts(bench: Bench) -> int:
    """How many artifacts the provider got in the last request."""
    return int((await bench.floors[0].seen())["artifacts"])


async def live(bench: Bench) -> list[Figure]:
    """2,000 streams at once, 5 events a second each."""
    count = 2000 if bench.full else 500
    floor = bench.real_floors[-1]
    bare = _Window(count, answer("live").events)
    bench.collections.clear()
    await asyncio.gather(*(_late_floor(floor, "live", bare, n) for n in range(count)))
    floor_pauses = f"{bench.collections.full} full collections, the longest {bench.collections.longest:.0f} ms"
    window = _Window(count, answer("live").events)
    bench.collections.clear()
    before, began = host.resident(), time.perf_counter()
    answers = await asyncio.gather(*(_late_pipe(bench, "live", window, n) for n in range(count)))
    seconds = time.perf_counter() - began
    pauses = f"{bench.collections.full} full collections, the longest {bench.collections.longest:.0f} ms"
    for lines in answers:
        bench.check("live", lines)
    title = f"{count:,} live streams, 5/s: CPU per event"
    known = [bare.cpu_per_event] if bare.cpu_per_event != float("inf") else []  # they never all ran at once
    figure = Figure("live", title, "µs", [window.cpu_per_event], known, floor.name)
    figure.note = (
        f"all complete in {seconds:.0f} s; while all ran the core was {window.cpu / (window.wall or 1):.0%} busy"
        f" ({floor.name}: {bare.cpu / (bare.wall or 1):.0%}) and p99 from socket to line {window.p99:.0f} ms"
        f" ({bare.p99:.0f} ms); {(host.resident() - before) / 1e6:.0f} MB more at the end; {pauses} ({floor_pauses})"
    )
    return [figure]


async def memory(bench: Bench) -> list[Figure]:
    """Memory of one open stream: hundreds are held open after a few deltas."""
    count = 1000 if bench.full else 200
    mine, bare = [], []
    floor = bench.real_floors[-1]
    for number in range(2):  # the first round warms pools and caches up, so that only what a stream holds is counted
        for open_one, sizes in ((lambda: _open_floor(floor), bare), (lambda: _open_pipe(bench), mine)):
            gc.collect()
            tracemalloc.start()
            streams = await asyncio.gather(*(open_one() for _ in range(count if number else 20)))
            gc.collect()
            if number:
                sizes.append(tracemalloc.get_traced_memory()[0] / count / 1024)
            tracemalloc.stop()
            for stream in streams:
                await stream.aclose()
    figure = Figure("memory", "memory per open stream", "KB", mine, bare, floor.name)
    figure.note = f"{count} streams, objects of Python by tracemalloc"
    return [figure.at_most(60)]


async def _open_floor(floor: Floor) -> Any:
    events = floor.events("hold")
    async for found in events:
        if any("delta" in event for event in found):
            break
    return events


async def _open_pipe(bench: Bench) -> Any:
    lines = await bench.caller.call("hold")
    await host.read_until_text(lines)
    return lines


async def idle(bench: Bench) -> list[Figure]:
    """Turns of the event loop from the read of the socket to the line; asyncio's own loop, which can be counted."""
    counter = bench.counter or LoopCounter()
    bare: dict[str, list[float]] = {}
    for floor in bench.real_floors:
        bare[floor.name] = [
            counter.since_read async for found in floor.events("idle") if any("delta" in event for event in found)
        ]
    mine: list[float] = []
    lines = []
    async for line in await bench.caller.call("idle"):
        lines.append(line)
        if host.text_line(line):
            mine.append(counter.since_read)
    bench.check("idle", lines)
    name, floor_runs = fastest(bare)
    figure = Figure("idle", "event-loop turns from socket to line, idle stream", "", mine, floor_runs, name)
    return [figure.at_most(0, "added", figure.value - figure.floor, "turns")]


class LoopCounter:
    """Counts the turns of asyncio's loop, and remembers in which the last read from a socket happened.

    Make it before any connection, whose transport keeps the method that is replaced here.
    """

    def __init__(self) -> None:
        self._turn = self._read = 0
        loop: Any = asyncio.get_running_loop()
        once = loop._run_once

        def counted() -> None:
            self._turn += 1
            once()

        loop._run_once = counted
        transport: Any = asyncio.selector_events._SelectorSocketTransport
        ready = transport._read_ready

        def noted(one: Any) -> None:
            self._read = self._turn
            ready(one)

        transport._read_ready = noted

    @property
    def since_read(self) -> int:
        """Turns since the last read."""
        return self._turn - self._read


Case = Callable[[Bench], Awaitable[list[Figure]]]

CASES: dict[str, Case] = {
    "paced": paced,
    "many": many,
    "burst": burst,
    "turns": turns,
    "first_token": first_token,
    "history": long_history,
    "tool_round": tool_round,
    "pipes": listing,
    "image": image,
    "replay": replay,
    "live": live,
    "memory": memory,
    "idle": idle,
}
"""Cases by name; ``--only`` takes these names (and ``import``, which has a process of its own)."""

ALONE = {"memory", "idle"}
"""Cases that run in a small process of their own, with asyncio's loop for ``idle``."""

ONLY_FULL = {"live"}
