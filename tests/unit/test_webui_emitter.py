"""An emitter of the host that takes long: the turn goes on in time, and the host's coroutine is not cut off in its database."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from openrouter_pipe.adapters.openwebui.answering import Turn
from openrouter_pipe.adapters.openwebui.emitter import Emitter
from openrouter_pipe.adapters.openwebui.finishing import Finishing
from openrouter_pipe.adapters.openwebui.host import Host
from openrouter_pipe.adapters.openwebui.request import HostCall
from openrouter_pipe.adapters.openwebui.steady import SteadyClock, SteadyIds
from openrouter_pipe.ports.chat import ChatEvent, StatusChanged, TextAdded


class Slow:
    """A host that writes each event to its database until the test lets it."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.go_on = asyncio.Event()
        self.log: list[str] = []
        self._failure = failure

    async def __call__(self, event: dict[str, Any]) -> None:
        what = event["data"]["description"]
        self.log.append(f"{what} begun")
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.log.append(f"{what} cut off")
            raise
        if self._failure is not None:
            raise self._failure
        self.log.append(f"{what} written")


def emitter(host: Callable[..., Any], patience: float | None = 0.01) -> Emitter:
    metadata = {"chat_id": "c", "message_id": "m", "session_id": "s", "user_id": "u"}
    return Emitter(HostCall({}, metadata=metadata, emitter=host), Host(present=True), patience)


async def until_quiet() -> None:
    """Wait for whatever still runs."""
    if left := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(left, timeout=5)


async def test_an_event_that_takes_too_long_is_finished_without_the_turn() -> None:
    host = Slow()
    mine = emitter(host)
    async with asyncio.timeout(5):
        await mine.show(StatusChanged("a"))
        await mine.show(StatusChanged("b"))
        await mine.finish()
    assert host.log == ["a begun"]
    host.go_on.set()
    await until_quiet()
    assert host.log == ["a begun", "a written"]


async def test_a_turn_that_is_stopped_ends_at_once_and_its_events_are_written_in_their_order() -> None:
    host = Slow()
    mine = emitter(host, patience=None)
    turn = asyncio.ensure_future(mine.show(StatusChanged("a")))
    while not host.log:
        await asyncio.sleep(0)
    turn.cancel()
    async with asyncio.timeout(5):
        await asyncio.wait([turn])
    assert turn.cancelled()
    ending = asyncio.ensure_future(mine.finish())
    for _ in range(5):
        await asyncio.sleep(0)
    assert host.log == ["a begun"]
    host.go_on.set()
    await ending
    await until_quiet()
    assert host.log == ["a begun", "a written", "a begun", "a written"]


async def test_what_fails_after_its_turn_has_gone_is_nobodys(recwarn: pytest.WarningsRecorder) -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    host = Slow(RuntimeError("the socket is gone"))
    await emitter(host).show(StatusChanged("a"))
    host.go_on.set()
    await until_quiet()
    gc.collect()
    assert host.log == ["a begun"]
    assert told == []
    assert list(recwarn) == []


async def test_no_more_than_a_number_is_left_behind_and_none_for_ever() -> None:
    cut_off: list[int] = []

    async def hanging(number: int) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cut_off.append(number)
            raise

    finishing = Finishing(most=2, seconds=0.05)
    works = [asyncio.ensure_future(finishing.run(hanging(number))) for number in range(4)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for work in works:
        work.cancel()
    await asyncio.wait(works)
    await asyncio.sleep(0)
    assert cut_off == [2, 3]
    await until_quiet()
    assert cut_off == [2, 3, 0, 1]
    again = asyncio.ensure_future(finishing.run(hanging(4)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    again.cancel()
    await asyncio.wait([again])
    await asyncio.sleep(0)
    assert cut_off == [2, 3, 0, 1]
    await until_quiet()


async def test_what_the_host_answers_or_raises_in_time_is_handed_on() -> None:
    async def answering() -> int:
        return 7

    async def failing() -> int:
        raise ValueError("no")

    finishing = Finishing()
    before = asyncio.all_tasks()
    assert await finishing.run(answering()) == 7
    with pytest.raises(ValueError, match="no"):
        await finishing.run(failing())
    assert asyncio.all_tasks() == before


class Prompt:
    """A host that takes every event at once."""

    def __init__(self) -> None:
        self.statuses: list[tuple[str, bool]] = []

    async def __call__(self, event: dict[str, Any]) -> None:
        self.statuses.append((event["data"]["description"], event["data"]["done"]))


async def test_a_turn_cut_short_ends_the_line_that_is_open() -> None:
    host = Prompt()
    mine = emitter(host, patience=None)
    await mine.stop()
    await mine.show(StatusChanged("Searching…"))
    await mine.stop()
    await mine.stop()
    assert host.statuses == [("Searching…", False), ("Stopped", True)]


async def test_a_turn_cut_short_after_its_last_line_says_nothing_more() -> None:
    host = Prompt()
    mine = emitter(host, patience=None)
    await mine.show(StatusChanged("Searching…"))
    await mine.show(StatusChanged("Done", done=True))
    await mine.stop()
    assert host.statuses[-1] == ("Done", True)


async def test_a_host_that_never_answers_does_not_hold_up_the_stop() -> None:
    host = Slow()
    mine = emitter(host, patience=None)
    host.go_on.set()
    await mine.show(StatusChanged("Searching…"))
    host.go_on.clear()
    async with asyncio.timeout(5):
        await mine.stop()
    host.go_on.set()
    await until_quiet()
    assert host.log[-1] == "Stopped written"


@pytest.mark.parametrize("streamed", [True, False])
async def test_stop_ends_the_line_after_the_turn_has_ended(streamed: bool) -> None:
    host, order = Prompt(), list[str]()

    async def said() -> AsyncGenerator[ChatEvent, None]:
        try:
            yield StatusChanged("Searching…")
            await asyncio.Event().wait()
        finally:
            order.append(f"turn ended with {len(host.statuses)} lines")

    metadata = {"chat_id": "c", "message_id": "m", "session_id": "s", "user_id": "u"}
    call = HostCall({"model": "a.b"}, {"id": "u"}, metadata, emitter=host)
    turn = Turn(call, Host(present=True), SteadyIds(None), SteadyClock(None), None)

    async def consumed() -> None:
        if streamed:
            async for _ in turn.stream(said()):
                pass
        else:
            await turn.whole(said())

    task = asyncio.ensure_future(consumed())
    while not host.statuses:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert order == ["turn ended with 1 lines"]
    assert host.statuses == [("Searching…", False), ("Stopped", True)]


async def test_closing_the_lines_ends_the_line_too() -> None:
    host = Prompt()

    async def said() -> AsyncGenerator[ChatEvent, None]:
        yield StatusChanged("Searching…")
        yield TextAdded(0, "x")
        yield TextAdded(0, "y")

    metadata = {"chat_id": "c", "message_id": "m", "session_id": "s", "user_id": "u"}
    call = HostCall({"model": "a.b"}, {"id": "u"}, metadata, emitter=host)
    lines = Turn(call, Host(present=True), SteadyIds(None), SteadyClock(None), None).stream(said())
    await anext(lines)
    await lines.aclose()
    assert host.statuses == [("Searching…", False), ("Stopped", True)]
