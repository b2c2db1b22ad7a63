"""Mixed traffic and faults through the in-memory build at full speed: nothing unexplained, nothing that grows.

    SOAK_SECONDS=60 python tests/benchmarks/soak.py        (30 minutes when not told)

Every turn has the ends that fit it; any other is an unexplained error. What the traffic is stands in soak_traffic.py.

Memory is read sixty times, each time with no turn running, the store emptied and every breaker's window over, so that the
readings compare: resident memory, and the blocks that Python's allocator has given out. The first third fills caches and
the allocator's pools and does not count. What is left is split in two, and the median of the later half is
held against the median of the earlier one: a single reading breathes with the allocator's arenas, the median of twenty
does not. The bounds are far below the smallest leak there can be: one object of 64 bytes per hundred turns would be, over
the million turns between the two medians of a run of 30 minutes, ten thousand blocks.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

sys.path.insert(0, str(Path(__file__).parent))

from soak_traffic import Soak

SECONDS = float(os.environ.get("SOAK_SECONDS", "1800"))
READINGS = 60
MOST_RESIDENT_KIB = 2 * 1024
"""Growth of resident memory between the medians: four percent of what the process holds, which is what a heap of
changing shape costs in fragments."""
MOST_BLOCKS = 1000
"""Growth of allocated blocks between the medians; they are counted exactly, so this is a leak of one in a thousand turns."""


@frozen
class Held:
    """What the process holds at rest."""

    resident_kib: int
    blocks: int

    @classmethod
    def now(cls) -> Held:
        """Read it."""
        gc.collect()
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
        return cls(resident, sys.getallocatedblocks())


def growth(readings: Sequence[int]) -> float:
    """How much the median grew from the second third of the readings to the last one."""
    third = len(readings) // 3
    return statistics.median(readings[2 * third :]) - statistics.median(readings[third : 2 * third])


async def main() -> int:
    """Print the numbers; 1 when anything is unexplained, held or growing."""
    logging.getLogger("openrouter_pipe").setLevel(logging.CRITICAL)
    soak, began, held = Soak(), time.monotonic(), []
    for part in range(READINGS):
        await soak.run_for(SECONDS / READINGS)
        held.append(Held.now())
        if part % (READINGS // 10) == READINGS // 10 - 1:
            print(
                f"{time.monotonic() - began:6.0f} s  {soak.ends.total():8d} turns  "
                f"{held[-1].resident_kib / 1024:6.1f} MiB  {held[-1].blocks} blocks",
                flush=True,
            )
    tasks = len(asyncio.all_tasks()) - 1
    resident = growth([one.resident_kib for one in held])
    blocks = growth([one.blocks for one in held])
    print(f"ends {dict(sorted(soak.ends.items()))}\nwanted {dict(sorted(soak.wanted.items()))}")
    print(f"unexplained {soak.unexplained.total()} {dict(soak.unexplained.most_common(5))}")
    print(f"slowest turn {soak.slowest:.2f} s, left {soak.left()}, tasks {tasks}")
    print(
        f"median of the last third against the second: {resident:+.0f} KiB resident (at most {MOST_RESIDENT_KIB}), "
        f"{blocks:+.0f} blocks (at most {MOST_BLOCKS})"
    )
    failed = bool(
        soak.unexplained
        or any(soak.left().values())
        or tasks
        or resident > MOST_RESIDENT_KIB
        or blocks > MOST_BLOCKS
        or soak.missing()
    )
    print(f"verdict: {'FAILED' if failed else 'passed'}{f', never seen: {soak.missing()}' if soak.missing() else ''}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
