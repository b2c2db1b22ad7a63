"""Admission: limits, fairness, live changes, cancellation."""

import asyncio
import logging
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openrouter_pipe.domain.admission import Admission, AdmissionPolicy, BusyError


class Turn:
    """A turn that holds its permit until told to end."""

    def __init__(
        self, admission: Admission, user: str, policy: AdmissionPolicy, order: list["Turn"] | None = None
    ) -> None:
        self.user, self.admitted, self.order = user, False, order
        self._end = asyncio.Event()
        self.task = asyncio.create_task(self._run(admission, policy))

    async def _run(self, admission: Admission, policy: AdmissionPolicy) -> str:
        try:
            async with admission.permit(self.user, policy):
                self.admitted = True
                if self.order is not None:
                    self.order.append(self)
                await self._end.wait()
                return "done"
        except BusyError:
            return "busy"

    def end(self) -> None:
        self._end.set()


async def settle(steps: int = 6) -> None:
    for _ in range(steps):
        await asyncio.sleep(0)


async def drain(turns: list[Turn]) -> list[str]:
    for turn in turns:
        turn.end()
    return await asyncio.gather(*(turn.task for turn in turns))


async def test_thirteen_hundred_turns_200_run_1000_wait_100_are_refused_at_once():
    admission, policy = Admission(), AdmissionPolicy(200)
    started = time.perf_counter()
    turns = [Turn(admission, f"user{number}", policy) for number in range(1300)]
    await settle()
    refused = [turn for turn in turns if turn.task.done()]
    assert time.perf_counter() - started < 1
    assert (admission.running, admission.waiting, len(refused)) == (200, 1000, 100)
    results = await drain(turns)
    assert sorted(set(results)) == ["busy", "done"]
    assert results.count("done") == 1200
    assert (admission.running, admission.waiting) == (0, 0)


async def test_the_same_when_all_are_one_user():
    admission, policy = Admission(), AdmissionPolicy(200)
    turns = [Turn(admission, "", policy) for _ in range(1300)]
    await settle()
    assert (admission.running, admission.waiting) == (200, 1000)
    assert (await drain(turns)).count("busy") == 100


async def test_first_come_first_served_within_a_user():
    admission, policy, order = Admission(), AdmissionPolicy(1), []
    turns = [Turn(admission, "u", policy, order) for _ in range(5)]
    for turn in turns:
        await settle()
        assert order[-1] is turn
        turn.end()
    await settle()
    assert order == turns


async def test_users_take_turns():
    admission, policy, order = Admission(), AdmissionPolicy(1), []
    turns = [Turn(admission, "greedy", policy, order) for _ in range(50)]
    await settle()
    late = Turn(admission, "late", policy, order)
    await settle()
    turns[0].end()
    await settle()
    turns[1].end()
    await settle()
    assert order == [turns[0], turns[1], late]
    await drain([*turns, late])


async def test_a_full_room_of_one_user_still_takes_others():
    admission, policy = Admission(), AdmissionPolicy(1, 10)
    greedy = [Turn(admission, "greedy", policy) for _ in range(11)]
    await settle()
    others = [Turn(admission, f"other{number}", policy) for number in range(12)]
    await settle()
    assert admission.waiting == 10
    assert [turn.task.done() for turn in greedy] == [False] * 2 + [True] * 9  # the newest gave way
    assert sum(turn.task.done() for turn in others) == 3
    results = await drain([*greedy, *others])
    assert results.count("busy") == 12
    assert (admission.running, admission.waiting) == (0, 0)


async def test_equal_users_do_not_displace_each_other():
    admission, policy = Admission(), AdmissionPolicy(1, 2)
    turns = [Turn(admission, user, policy) for user in ("a", "b", "c", "d")]
    await settle()
    assert [turn.task.done() for turn in turns] == [False, False, False, True]
    await drain(turns)


async def test_no_waiting_room_at_all():
    admission, policy = Admission(), AdmissionPolicy(1, 0)
    turns = [Turn(admission, "u", policy) for _ in range(2)]
    await settle()
    assert [turn.task.done() for turn in turns] == [False, True]
    await drain(turns)


async def test_raising_the_limit_wakes_waiting_turns_at_once():
    admission = Admission()
    turns = [Turn(admission, "u", AdmissionPolicy(1)) for _ in range(10)]
    await settle()
    admission.apply(AdmissionPolicy(5))
    assert admission.running == 5
    await settle()
    assert sum(turn.admitted for turn in turns) == 5
    turns.append(Turn(admission, "v", AdmissionPolicy(11)))
    await settle()
    assert all(turn.admitted for turn in turns)
    await drain(turns)


async def test_lowering_the_limit_acts_as_turns_end_and_is_logged(caplog):
    caplog.set_level(logging.INFO)
    admission = Admission()
    turns = [Turn(admission, "u", AdmissionPolicy(4)) for _ in range(6)]
    await settle()
    admission.apply(AdmissionPolicy(2))
    assert admission.running == 4
    assert "lowered from 4 to 2; 4 run now" in caplog.text
    for turn in turns[:2]:
        turn.end()
    await settle()
    assert (admission.running, admission.waiting) == (2, 2)
    turns[2].end()
    await settle()
    assert (admission.running, admission.waiting) == (2, 1)
    await drain(turns)
    assert admission.running == 0


async def test_leaving_while_waiting_gives_the_place_back():
    admission, policy = Admission(), AdmissionPolicy(1, 1)
    turns = [Turn(admission, "a", policy), Turn(admission, "b", policy)]
    await settle()
    turns[1].task.cancel()
    await settle()
    assert admission.waiting == 0
    turns.append(Turn(admission, "c", policy))
    await settle()
    turns[0].end()
    await settle()
    assert turns[2].admitted
    turns[2].end()
    await settle()
    assert admission.running == 0


async def test_cancelled_in_the_very_moment_of_the_grant():
    admission, policy = Admission(), AdmissionPolicy(1)
    turns = [Turn(admission, user, policy) for user in ("a", "b", "c")]
    await settle()
    turns[0].end()
    while admission.waiting == 2:
        await asyncio.sleep(0)
    turns[1].task.cancel()  # granted, but not yet running again
    await settle()
    assert turns[1].task.cancelled()
    assert turns[2].admitted
    turns[2].end()
    await settle()
    assert (admission.running, admission.waiting) == (0, 0)


async def test_cancelled_and_granted_before_the_cancellation_arrives():
    admission, policy = Admission(), AdmissionPolicy(1)
    turns = [Turn(admission, user, policy) for user in ("a", "b", "c")]
    await settle()
    turns[1].task.cancel()
    turns[0].end()
    await settle(10)
    assert turns[2].admitted
    turns[2].end()
    await settle()
    assert (admission.running, admission.waiting) == (0, 0)


async def test_an_error_within_the_turn_returns_the_permit():
    admission = Admission()
    with pytest.raises(ZeroDivisionError):
        async with admission.permit("u", AdmissionPolicy(1)):
            raise ZeroDivisionError
    assert admission.running == 0


@pytest.mark.parametrize("seed", range(3))
async def test_ten_thousand_random_steps_lose_nothing(seed):
    chance = random.Random(seed)
    admission, turns = Admission(), []
    limit, room = 8, 20
    for _ in range(10_000):
        step = chance.random()
        if step < 0.5:
            turns.append(Turn(admission, chance.choice("aaaaaabcde"), AdmissionPolicy(limit, room)))
        elif step < 0.75 and turns:
            chance.choice(turns).end()
        elif step < 0.93 and turns:
            chance.choice(turns).task.cancel()
        elif step < 0.95:
            limit = chance.randint(1, 12)
        if chance.random() < 0.6:
            await asyncio.sleep(0)
        turns = [turn for turn in turns if not turn.task.done()]
        assert 0 <= admission.waiting <= room
        assert 0 <= admission.running <= 12
    for turn in turns:
        turn.end()
    await asyncio.gather(*(turn.task for turn in turns), return_exceptions=True)
    assert (admission.running, admission.waiting) == (0, 0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from("aaab"), min_size=1, max_size=30), st.integers(1, 3), st.integers(0, 6))
def test_somebody_is_refused_only_when_the_room_is_full(users, running, waiting):
    async def scenario() -> None:
        admission, policy = Admission(), AdmissionPolicy(running, waiting)
        turns = [Turn(admission, user, policy) for user in users]
        await settle()
        assert admission.running == min(len(users), running)
        assert admission.waiting == min(max(0, len(users) - running), waiting)
        refused = sum(turn.task.done() for turn in turns)
        assert refused == max(0, len(users) - running - waiting)
        await drain(turns)
        assert (admission.running, admission.waiting) == (0, 0)

    asyncio.run(scenario())
