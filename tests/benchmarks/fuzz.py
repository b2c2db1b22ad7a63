"""Random input against whatever reads what strangers wrote: what `make fuzz` runs. See ``--help``.

Lives here: how input is made and how long. What is fed and what must hold stands in ``fuzz_targets.py``.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections.abc import Callable

from fuzz_targets import TARGETS, Target

_HELP = """\
Feeds each reader with mutated samples until its time is over. An input that raises anything but the reader's own refusal, or
that a second, independent judgement contradicts, is printed with the seed that makes it, and the exit status is 1.

targets: {targets}

examples:
  make fuzz                                              ten minutes each
  make fuzz FUZZ_SECONDS=20
  .venv/bin/python tests/benchmarks/fuzz.py --only urls --seed 7 --seconds 60
"""
_SLOWEST = 2.0
"""Seconds of computing that one input may take; inputs are a few hundred kilobytes at most."""


class Mutator:
    """Makes inputs of samples: cuts, repeats, swaps, inserts fragments, crosses two samples."""

    def __init__(self, chance: random.Random, target: Target) -> None:
        self._chance = chance
        self._target = target

    def text(self) -> str:
        """One input."""
        chance = self._chance
        made = chance.choice(self._target.samples)
        for _ in range(chance.choice((0, 1, 1, 2, 3, 5, 8))):
            at = chance.randrange(len(made) + 1)
            to = min(len(made), at + chance.choice((0, 1, 1, 2, 4, 16)))
            made = made[:at] + self._piece(made) + made[to:]
        return made

    def _piece(self, made: str) -> str:
        chance = self._chance
        match chance.randrange(7):
            case 0:
                return ""
            case 1:
                return chr(
                    chance.choice((chance.randrange(0x80), chance.randrange(0x3000), chance.randrange(0x110000)))
                )
            case 2 if made:
                at = chance.randrange(len(made))
                return made[at : at + chance.randrange(1, 20)] * chance.choice((1, 1, 2, 50))
            case 3:
                other = chance.choice(self._target.samples)
                at = chance.randrange(len(other) + 1)
                return other[at : at + chance.randrange(1, 30)]
            case _:
                return chance.choice(self._target.fragments)


def run(target: Target, seconds: float, seed: int) -> int:
    """Feed one target; returns the number of inputs that failed, at most ten."""
    failures = inputs = taken = 0
    slowest = 0.0
    until = time.monotonic() + seconds
    while time.monotonic() < until and failures < 10:
        inputs += 1
        chance = random.Random(f"{target.name} {seed} {inputs}")
        text = Mutator(chance, target).text()
        began = time.thread_time()
        try:
            taken += _fed(target.feed, text, chance)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            failures += 1
            print(f"\n{target.name}: seed {seed}, input {inputs}: {text[:2000]!r}")
            traceback.print_exc(limit=-4, file=sys.stdout)
        took = time.thread_time() - began
        slowest = max(slowest, took)
        if took > _SLOWEST:
            failures += 1
            print(f"\n{target.name}: seed {seed}, input {inputs} took {took:.1f} s: {text[:2000]!r}")
    print(
        f"{target.name:<10} {inputs:>9} inputs in {seconds:.0f} s, {taken} taken, {inputs - taken} refused,"
        f" slowest {slowest * 1e3:.0f} ms, {failures} failures, seed {seed}"
    )
    if inputs > 10_000 and not taken:
        print(f"{target.name}: nothing was taken, so nothing was tested")
        return failures + 1
    return failures


def _fed(feed: Callable[[str, random.Random], bool], text: str, chance: random.Random) -> bool:
    return bool(feed(text, chance))


def main() -> int:
    """Run what was asked for; 0 if nothing failed."""
    names = [target.name for target in TARGETS]
    parser = argparse.ArgumentParser(
        prog="fuzz.py",
        description=_HELP.format(targets=", ".join(names)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=600.0, metavar="N", help="time for each target (600)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another seed, other inputs; 0 draws one")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", choices=names, help="repeatable")
    options = parser.parse_args()
    seed = options.seed or random.SystemRandom().randrange(1, 2**31)
    wanted = [target for target in TARGETS if not options.only or target.name in options.only]
    failed = sum(run(target, options.seconds, seed) for target in wanted)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
