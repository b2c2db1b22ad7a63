"""Which calls of a round run together, and which have to wait for others. Not here: running them.

Four names of arguments are markers by which a model arranges the calls of one round. Their presence takes the call out
of its batch. The first three also order it, unless their value is ``false``, ``null``, zero or empty:

| argument | the call |
|---|---|
| `depends_on`, `_depends_on` | starts when every call before it in the round has its output, good or bad |
| `sequential` | the same, and every call behind it waits for it: nothing runs beside it |
| `no_batch` | stands alone in a batch, beside whatever else runs |

What a marker's value names is not looked up: a model cannot know the ids of calls that it makes in the same breath, so
"the calls before it" is the one reading that is never too early.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import define, frozen

from openrouter_pipe.ports.items import FunctionCallItem
from openrouter_pipe.ports.json import JsonObject
from openrouter_pipe.ports.tools import ToolSpec

DEPENDS: Final = frozenset({"depends_on", "_depends_on"})
"""Argument names by which a call asks to run after those before it."""
SEQUENTIAL: Final = frozenset({"sequential"})
"""Argument names by which a call asks that nothing runs beside it."""
BLOCKERS: Final = DEPENDS | SEQUENTIAL | {"no_batch"}
"""Argument names by which a call asks not to share a batch."""


@define(eq=False)
class Job:
    """One call with what is known of it before it runs, whether it has begun to, and whether it has its output."""

    call: FunctionCallItem
    spec: ToolSpec
    arguments: JsonObject
    started: bool = False
    ended: bool = False


@frozen(eq=False)
class Batch:
    """Calls that run side by side, once all those in ``after`` have their outputs."""

    jobs: list[Job]
    after: Sequence[Job] = ()

    @property
    def may_run(self) -> bool:
        """Whether nothing that it waits for is still to come."""
        return all(job.ended for job in self.after)


def batches(jobs: Sequence[Job], cap: int) -> list[Batch]:
    """Calls of one tool side by side, in order of their first call; a call with a marker stands alone.

    What a batch waits for stands in batches before it, so a round always ends.
    """
    made: list[Batch] = []
    open_batches: dict[str, Batch] = {}
    done_before: Sequence[Job] = ()  # what every call behind a sequential one waits for
    for at, job in enumerate(jobs):
        name = job.call.name
        if BLOCKERS & job.arguments.keys():
            waits = _asks(job, DEPENDS | SEQUENTIAL)
            made.append(Batch([job], jobs[:at] if waits else done_before))
            open_batches.pop(name, None)
            if waits:
                open_batches.clear()  # a batch ends as a whole: calls behind this one must not hold it up
            if _asks(job, SEQUENTIAL):
                done_before = (job,)
            continue
        batch = open_batches.get(name)
        if batch is None or len(batch.jobs) >= cap:
            batch = Batch([], done_before)
            made.append(batch)
            open_batches[name] = batch
        batch.jobs.append(job)
    return made


def _asks(job: Job, names: frozenset[str]) -> bool:
    return any(job.arguments.get(name) for name in names)
