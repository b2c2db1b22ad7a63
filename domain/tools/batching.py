"""Which calls of a round run together. Not here: running them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from attrs import define

from openrouter_pipe.ports.items import FunctionCallItem
from openrouter_pipe.ports.json import JsonValue
from openrouter_pipe.ports.tools import ToolSpec

BLOCKERS: Final = frozenset({"depends_on", "_depends_on", "sequential", "no_batch"})
"""Argument names by which a call asks not to share a batch."""


@define(eq=False)
class Job:
    """One call with what is known of it before it runs, whether it has begun to, and whether it has its output."""

    call: FunctionCallItem
    spec: ToolSpec
    arguments: Mapping[str, JsonValue]
    started: bool = False
    ended: bool = False


def batches(jobs: Sequence[Job], cap: int) -> list[list[Job]]:
    """Calls of one tool side by side, in order of their first call; a call with a blocker stands alone."""
    made: list[list[Job]] = []
    open_batches: dict[str, list[Job]] = {}
    for job in jobs:
        name = job.call.name
        if BLOCKERS & job.arguments.keys():
            made.append([job])
            open_batches.pop(name, None)
            continue
        batch = open_batches.get(name)
        if batch is None or len(batch) >= cap:
            batch = []
            made.append(batch)
            open_batches[name] = batch
        batch.append(job)
    return made
