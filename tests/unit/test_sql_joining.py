"""The line before SQLite's one writer, with a writer that waits until the test lets it go."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from openrouter_pipe.adapters.sql.joined import MOST_BYTES, MOST_ROWS, JoinedWrites, Row, Written


class Writer:
    """Holds each transaction until `pass_on`; remembers what each was given."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.tables: list[str] = []
        self.failing: dict[str, BaseException] = {}
        self.outcome: dict[str, Written] = {}
        self._gate = asyncio.Semaphore(0)

    async def __call__(self, table: str, rows: Sequence[Row]) -> Written:
        written = [str(row["id"]) for row in rows]
        self.calls.append(written)
        self.tables.append(table)
        await self._gate.acquire()
        if written[0] in self.failing:
            raise self.failing[written[0]]
        return self.outcome.get(written[0], Written(frozenset(written)))

    def pass_on(self, count: int = 1_000) -> None:
        for _ in range(count):
            self._gate.release()


def rows(*ids: str, text: str = "t") -> list[Row]:
    return [{"id": one, "payload": {"text": text}} for one in ids]


async def turns(count: int = 5) -> None:
    """Let everything run that can."""
    for _ in range(count):
        await asyncio.sleep(0)


def stored(*ids: str) -> Written:
    return Written(frozenset(ids))


async def test_the_first_starts_at_once_and_what_gathers_meanwhile_goes_together_in_its_order() -> None:
    writer = Writer()
    line = JoinedWrites(writer, 10)
    saves = [asyncio.ensure_future(line.add("t", rows(f"{n}b", f"{n}a"))) for n in range(4)]
    await turns()
    assert writer.calls == [["0b", "0a"]]
    writer.pass_on(1)
    await turns()
    assert writer.calls[1:] == [["1b", "1a", "2b", "2a", "3b", "3a"]]
    assert [save.done() for save in saves] == [True, False, False, False]
    writer.pass_on(1)
    assert await asyncio.gather(*saves) == [stored(f"{n}a", f"{n}b") for n in range(4)]


async def test_nothing_runs_when_nothing_waits() -> None:
    writer = Writer()
    line = JoinedWrites(writer, 10)
    writer.pass_on()
    before = asyncio.all_tasks()
    assert await line.add("t", rows("a")) == stored("a")
    await asyncio.gather(*(line.add("t", rows(str(n))) for n in range(20)))
    assert asyncio.all_tasks() == before


async def test_a_transaction_takes_no_more_than_its_rows_and_bytes_but_always_one_write() -> None:
    writer = Writer()
    line = JoinedWrites(writer, 10)
    writer.pass_on()
    many = [f"m{n}" for n in range(MOST_ROWS + 1)]
    half = "x" * (MOST_BYTES // 2 - 1_000)
    await asyncio.gather(
        line.add("t", rows("first")),
        line.add("t", rows(*many)),
        line.add("t", rows("a", text=half)),
        line.add("t", rows("b", text=half)),
        line.add("t", rows("c", text=half)),
        line.add("t", rows("d", text=half * 3)),
        *(line.add("t", rows(f"e{n}")) for n in range(MOST_ROWS)),
        line.add("t", rows("f")),
    )
    assert [call[0] for call in writer.calls] == ["first", "m0", "a", "c", "d", "e0", "f"]
    assert max(len(call) for call in writer.calls[2:]) == MOST_ROWS


async def test_other_tables_and_ids_that_are_in_already_wait_for_the_next_transaction() -> None:
    writer = Writer()
    line = JoinedWrites(writer, 10)
    writer.pass_on()
    await asyncio.gather(
        line.add("t", rows("first")),
        line.add("t", rows("a", "b")),
        line.add("t", rows("b")),
        line.add("t", rows("c")),
        line.add("u", rows("d")),
        line.add("t", rows("e")),
    )
    assert writer.calls == [["first"], ["a", "b"], ["b", "c"], ["d"], ["e"]]
    assert writer.tables == ["t", "t", "t", "u", "t"]


async def test_who_leaves_while_waiting_is_not_written_and_who_leaves_later_is() -> None:
    writer = Writer()
    line = JoinedWrites(writer, 10)
    first, second, third = (asyncio.ensure_future(line.add("t", rows(one))) for one in "abc")
    await turns()
    first.cancel()
    second.cancel()
    await turns()
    assert first.cancelled()
    assert second.cancelled()
    writer.pass_on()
    assert await third == stored("c")
    assert writer.calls == [["a"], ["c"]]


async def test_when_all_have_left_nothing_is_written_and_the_next_starts_at_once() -> None:
    writer = Writer()
    line = JoinedWrites(writer, 10)
    saves = [asyncio.ensure_future(line.add("t", rows(one))) for one in "abc"]
    await turns()
    for save in saves:
        save.cancel()
    writer.pass_on()
    await turns()
    assert writer.calls == [["a"]]
    assert await line.add("t", rows("d")) == stored("d")


async def test_each_hears_of_its_own_rows() -> None:
    writer = Writer()
    writer.outcome["b1"] = Written(frozenset({"b1", "c1"}), {"c2": "refused"}, "the disk is full")
    line = JoinedWrites(writer, 10)
    writer.pass_on()
    answers = await asyncio.gather(
        line.add("t", rows("a")),
        line.add("t", rows("b1", "b2")),
        line.add("t", rows("c1", "c2")),
        line.add("t", rows("d")),
    )
    assert answers == [
        stored("a"),
        Written(frozenset({"b1"}), {}, "the disk is full"),
        Written(frozenset({"c1"}), {"c2": "refused"}, ""),
        Written(frozenset(), {}, "the disk is full"),
    ]


async def test_an_unexpected_failure_reaches_those_it_is_about_and_the_line_goes_on() -> None:
    writer = Writer()
    writer.failing["b"] = RuntimeError("a mistake of ours")
    line = JoinedWrites(writer, 10)
    saves = [asyncio.ensure_future(line.add("t", rows(one))) for one in "abc"]
    await turns()
    later = asyncio.ensure_future(line.add("u", rows("d")))
    writer.pass_on()
    answers = await asyncio.gather(*saves, later, return_exceptions=True)
    assert [answers[0], answers[3]] == [stored("a"), stored("d")]
    assert [type(one) for one in answers[1:3]] == [RuntimeError, RuntimeError]


async def test_nobody_waits_longer_than_the_deadline_and_who_gave_up_is_not_written() -> None:
    writer = Writer()
    line = JoinedWrites(writer, 0.01)
    answers = await asyncio.gather(*(line.add("t", rows(one)) for one in "abc"))
    assert [one.failure for one in answers] == ["the database did not answer within 0.01 s"] * 3
    assert [one.durable for one in answers] == [frozenset()] * 3
    writer.pass_on()
    await turns()
    assert writer.calls == [["a"]]


@pytest.mark.parametrize("count", [1, 3])
async def test_when_its_loop_closes_nobody_is_left_waiting(count: int) -> None:
    writer = Writer()
    line = JoinedWrites(writer, 10)
    saves = [asyncio.ensure_future(line.add("t", rows(str(n)))) for n in range(count)]
    await turns()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    answers = await asyncio.gather(*saves, return_exceptions=True)
    assert [type(one) for one in answers] == [asyncio.CancelledError] * count
    assert writer.calls == [["0"]]
