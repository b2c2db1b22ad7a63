"""A flame graph of the pipe at work: what `make profile` runs. See ``--help``.

A timer looks at the stack a thousand times per second of CPU; stacks that were seen often are wide.
Not called ``profile``: a script's folder comes first on the path, and the standard library has a module of that name.
"""

from __future__ import annotations

import argparse
import asyncio
import html
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import FrameType

import bench_host as host
from bench import ROOT, source
from bench_floors import floors
from bench_streams import SCENARIOS

_HELP = """\
Samples the bundle while it answers one scenario again and again, and writes a flame graph.

examples:
  .venv/bin/python tests/benchmarks/flame.py                         short turns, to build/flame.svg
  .venv/bin/python tests/benchmarks/flame.py --scenario burst --ui   a fast stream in a chat
  .venv/bin/python tests/benchmarks/flame.py --scenario live --streams 200   many slow ones, which are read one event at a time
"""
_ROW = 17
_WIDTH = 1400

Stacks = Counter[tuple[str, ...]]


class Sampler:
    """Gathers the stacks of the main thread, at every ``interval`` seconds of CPU."""

    def __init__(self, interval: float = 0.001) -> None:
        self.stacks: Stacks = Counter()
        self._interval = interval

    def __enter__(self) -> Sampler:
        signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, self._interval, self._interval)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)

    def _sample(self, number: int, frame: FrameType | None) -> None:
        self.stacks[_stack(frame)] += 1


def _stack(frame: FrameType | None) -> tuple[str, ...]:
    names = []
    while frame is not None:
        code = frame.f_code
        names.append(f"{_short(code.co_filename)}:{code.co_firstlineno} {code.co_qualname}")
        frame = frame.f_back
    return tuple(reversed(names))


def _short(path: str) -> str:
    parts = path.replace("\\", "/").split("/")
    return "/".join(parts[-3:]) if parts[0].startswith("openrouter_pipe_") else "/".join(parts[-2:])


def svg(stacks: Stacks) -> str:
    """The flame graph; hover for the names."""
    total = sum(stacks.values()) or 1
    depth = max((len(stack) for stack in stacks), default=1)
    height = depth * _ROW + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" font-family="monospace" font-size="11">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="4" y="14">{total} samples</text>',
    ]

    def draw(level: int, left: float, inside: Stacks) -> None:
        groups: dict[str, Stacks] = {}
        for stack, count in inside.items():
            if len(stack) > level:
                groups.setdefault(stack[level], Counter())[stack] += count
        for name, group in sorted(groups.items()):
            count = sum(group.values())
            width = count / total * _WIDTH
            if width >= 1:
                parts.append(_box(name, count / total, left, height - (level + 1) * _ROW - 4, width))
                draw(level + 1, left, group)
            left += width

    draw(0, 0.0, stacks)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _box(name: str, part: float, x: float, y: float, width: float) -> str:
    ours = "openrouter_pipe" in name
    hue = (hash(name) % 24) + (8 if ours else 200)
    shown = html.escape(name[: int(width / 6.7)]) if width > 30 else ""
    title = html.escape(f"{name} {part:.1%}")
    return (
        f'<g><title>{title}</title><rect x="{x:.1f}" y="{y}" width="{max(0.5, width - 0.5):.1f}" height="{_ROW - 1}"'
        f' fill="hsl({hue},75%,70%)"/><text x="{x + 2:.1f}" y="{y + 12}">{shown}</text></g>'
    )


def main() -> int:
    """Sample and write."""
    parser = argparse.ArgumentParser(description=_HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", default="at-once", choices=sorted(SCENARIOS), help="what is answered (at-once)")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long (5)")
    parser.add_argument("--streams", type=int, default=1, metavar="N", help="so many at once (1)")
    parser.add_argument("--ui", action="store_true", help="as a chat; else as a program")
    parser.add_argument("--bare", action="store_true", help="the bare client instead of the pipe")
    parser.add_argument("--bundle", type=Path, default=ROOT / "dist" / "openrouter_pipe.py", help="the function file")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "flame.svg", help="where the picture goes")
    options = parser.parse_args()
    if not options.bundle.is_file():
        print(f"{options.bundle} does not exist; `make bundle` writes it.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="openrouter-pipe-flame-") as folder, source() as port:
        os.environ.update(DATABASE_URL=f"sqlite:///{folder}/webui.db", DATA_DIR=folder)
        stacks = host.run(lambda: _sampled(options, f"http://127.0.0.1:{port}/api/v1"))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(svg(stacks), encoding="utf-8")
    _print_hottest(stacks)
    print(f"wrote {options.output}")
    return 0


async def _sampled(options: argparse.Namespace, base_url: str) -> Stacks:
    host.pretend_to_be_a_host()
    host.load_libraries()
    caller = host.Caller(host.load_function(options.bundle), base_url)
    bare = floors(base_url)

    async def once() -> None:
        if options.bare:
            async for _ in bare[0].events(options.scenario):
                pass
        else:
            await caller.lines(options.scenario, ui=options.ui)

    for _ in range(5):
        await once()
    until = time.monotonic() + options.seconds
    with Sampler() as sampler:
        while time.monotonic() < until:
            await asyncio.gather(*(once() for _ in range(options.streams)))
    for floor in bare:
        await floor.close()
    return sampler.stacks


def _print_hottest(stacks: Stacks, most: int = 25) -> None:
    total = sum(stacks.values()) or 1
    own: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for stack, count in stacks.items():
        own[stack[-1]] += count
        for name in set(stack):
            within[name] += count
    print("  self  total  function")
    for name, count in own.most_common(most):
        print(f"{count / total:6.1%} {within[name] / total:6.1%}  {name}")


if __name__ == "__main__":
    sys.exit(main())
