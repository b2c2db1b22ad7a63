"""The queue of a round: batches in order, and workers that take them. Not here: what a batch is, how a call runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from openrouter_pipe.domain.tools.batching import Batch


async def run_in_order(
    batches: Sequence[Batch], run: Callable[[Batch], Awaitable[None]], workers: int, queue_size: int
) -> None:
    """Run every batch, ``workers`` at a time.

    A worker takes the first batch of the queue that may run; one that has to wait for others lets those behind it pass,
    as far as the queue of ``queue_size`` reaches. Cancelling it cancels the batches that run.
    """
    waiting = list(batches)
    moved = asyncio.Event()

    async def work() -> None:
        while waiting:
            batch = next((one for one in waiting[:queue_size] if one.may_run), None)
            if batch is None:  # something runs on which all of them wait
                moved.clear()
                await moved.wait()
                continue
            waiting.remove(batch)
            try:
                await run(batch)
            finally:
                moved.set()

    crew = [asyncio.ensure_future(work()) for _ in range(min(workers, len(waiting)))]
    try:
        await asyncio.gather(*crew)
    finally:
        for worker in crew:
            worker.cancel()
        await asyncio.gather(*crew, return_exceptions=True)
