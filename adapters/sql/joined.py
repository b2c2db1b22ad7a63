"""Writes that wait for a file's one writer, joined into one transaction. Not here: what a transaction does (`store`).

SQLite writes one transaction at a time, and each ends in a wait for the disk. Turns that end together would stand in that
line one by one, and the last ones longer than they may. So while one transaction is written the others gather, and the
next takes what has gathered. A write that finds nobody at work starts at once: nothing waits in order to be joined.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextvars import Context
from functools import partial
from typing import Any, Final, TypeAlias

from attrs import field, frozen

from openrouter_pipe.adapters.sql.rows import weight

Row: TypeAlias = Mapping[str, object]
"""A row by column; ``id`` is one of them."""

MOST_ROWS: Final = 500
MOST_BYTES: Final = 2 * 1024 * 1024
"""Where one transaction stops taking in further writes: the host waits for it when it wants to write itself."""


@frozen
class Written:
    """What became of rows: the ids that are ``durable``, those the database ``refused`` with the reason, and, where it gave
    up before all were settled, the ``failure``."""

    durable: frozenset[str] = frozenset()
    refused: Mapping[str, str] = field(factory=dict)
    failure: str = ""

    def of(self, ids: AbstractSet[str]) -> Written:
        """What became of these; a failure that came after them is none of theirs."""
        settled = ids <= self.durable | self.refused.keys()
        refused = {one: why for one, why in self.refused.items() if one in ids}
        return Written(self.durable & ids, refused, "" if settled else self.failure)


@frozen(eq=False)
class _Waiting:
    """One write in the line; ``done`` hears what became of it, and is cancelled when its caller has left."""

    table: str
    rows: Sequence[Row]
    ids: frozenset[str]
    size: int
    done: asyncio.Future[Written]


class JoinedWrites:
    """The line before one file's writer, on one event loop.

    ``write`` writes rows of one table, each id once, and raises nothing that it knows; a task runs it as long as something
    waits, and none after. ``deadline`` is in seconds for one write, the line included.
    """

    def __init__(self, write: Callable[[str, Sequence[Row]], Coroutine[Any, Any, Written]], deadline: float) -> None:
        self._write = write
        self._deadline = deadline
        self._line: deque[_Waiting] = deque()
        self._writing: asyncio.Task[Written] | None = None

    async def add(self, table: str, rows: Sequence[Row]) -> Written:
        """Write rows, each id once, in their order, together with whatever waits as well; returns when they are durable.

        Cancelled while they wait they are not written; cancelled later, they are written as a whole.
        """
        loop = asyncio.get_running_loop()
        ids = frozenset(str(row["id"]) for row in rows)
        mine = _Waiting(table, rows, ids, sum(map(weight, rows)), loop.create_future())
        self._line.append(mine)
        if self._writing is None:
            self._begin()
        try:
            async with asyncio.timeout(self._deadline):
                return await mine.done
        except TimeoutError:
            return Written(failure=f"the database did not answer within {self._deadline:g} s")

    def _begin(self) -> None:
        group = self._next()
        if not group:
            return
        rows = [row for one in group for row in one.rows]
        # In a context of its own: what it logs is not about the turn that happened to come first.
        work = self._write(group[0].table, rows)
        self._writing = asyncio.get_running_loop().create_task(work, context=Context())
        self._writing.add_done_callback(partial(self._ended, group))

    def _next(self) -> list[_Waiting]:
        """Take the head of the line, as much as fits into one transaction; who has left is passed over.

        An id comes once in a transaction: of two writes of the same one the second must meet what the first has stored.
        """
        group: list[_Waiting] = []
        ids: set[str] = set()
        rows = size = 0
        while self._line:
            one = self._line[0]
            if not one.done.done():
                rows, size = rows + len(one.rows), size + one.size
                fits = rows <= MOST_ROWS and size <= MOST_BYTES and one.table == group[0].table if group else True
                if not fits or not ids.isdisjoint(one.ids):
                    break
                group.append(one)
                ids |= one.ids
            self._line.popleft()
        return group

    def _ended(self, group: Sequence[_Waiting], writing: asyncio.Task[Written]) -> None:
        self._writing = None
        if not writing.cancelled():  # its loop is closing
            self._begin()
        for one in group:
            if one.done.done():
                continue  # its caller has left
            if writing.cancelled():
                one.done.cancel()
            elif (error := writing.exception()) is not None:
                one.done.set_exception(error)
            else:
                one.done.set_result(writing.result().of(one.ids))
