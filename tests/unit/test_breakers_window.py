"""Breakers: window, keys, clock, memory."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_pipe.domain.breakers import BreakerPolicy, Breakers

POLICY = BreakerPolicy(max_failures=3, window_seconds=60, history_size=5)


class ManualClock:
    def __init__(self) -> None:
        self.time = 1000.0

    def now(self):
        raise AssertionError("breakers must not read the wall clock")

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("breakers never sleep")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def trip(breakers: Breakers, key: tuple[str, ...], policy: BreakerPolicy = POLICY) -> None:
    for _ in range(policy.max_failures):
        breakers.failure(key, policy)


def test_opens_at_the_threshold_and_says_for_how_long(clock):
    breakers = Breakers(clock)
    key = ("request", "u")
    for _ in range(2):
        breakers.failure(key, POLICY)
        clock.time += 10
    assert breakers.allows(key, POLICY)
    assert breakers.retry_after(key, POLICY) == 0
    breakers.failure(key, POLICY)
    assert not breakers.allows(key, POLICY)
    assert breakers.retry_after(key, POLICY) == 40


def test_the_window_slides_and_a_further_failure_opens_again(clock):
    breakers = Breakers(clock)
    key = ("request", "u")
    for _ in range(3):
        breakers.failure(key, POLICY)
        clock.time += 10
    clock.time += breakers.retry_after(key, POLICY)
    assert breakers.allows(key, POLICY)
    breakers.failure(key, POLICY)
    assert not breakers.allows(key, POLICY)


def test_success_closes(clock):
    breakers = Breakers(clock)
    trip(breakers, ("request", "u"))
    breakers.success(("request", "u"))
    breakers.success(("request", "unknown"))
    assert breakers.allows(("request", "u"), POLICY)


def test_one_tool_never_trips_another_nor_another_user_nor_another_scope(clock):
    breakers = Breakers(clock)
    for _ in range(5):
        breakers.failure(("tool", "u", "a"), POLICY)
    assert not breakers.allows(("tool", "u", "a"), POLICY)
    for other in (("tool", "u", "b"), ("tool", "v", "a"), ("request", "u"), ("store", "u")):
        assert breakers.allows(other, POLICY)


def test_history_is_never_shorter_than_the_threshold(clock):
    breakers = Breakers(clock)
    policy = BreakerPolicy(max_failures=5, window_seconds=60, history_size=1)
    trip(breakers, ("request", "u"), policy)
    assert not breakers.allows(("request", "u"), policy)


def test_a_changed_policy_counts_at_the_next_use(clock):
    breakers = Breakers(clock)
    trip(breakers, ("request", "u"))
    assert breakers.allows(("request", "u"), BreakerPolicy(4, 60, 5))
    clock.time += 8
    assert breakers.allows(("request", "u"), BreakerPolicy(3, 5, 5))


def test_a_clock_that_jumps_back_does_not_lock_out_for_longer_than_a_window(clock):
    breakers = Breakers(clock)
    trip(breakers, ("request", "u"))
    clock.time -= 900
    assert breakers.retry_after(("request", "u"), POLICY) == 60
    clock.time += 60
    assert breakers.allows(("request", "u"), POLICY)


def test_a_clock_that_jumps_ahead_only_forgets(clock):
    breakers = Breakers(clock)
    trip(breakers, ("request", "u"))
    clock.time += 1e9
    assert breakers.allows(("request", "u"), POLICY)


def test_ten_thousand_users_each_trip_their_own(clock):
    breakers = Breakers(clock)
    for number in range(10_000):
        trip(breakers, ("request", str(number)))
    assert not any(breakers.allows(("request", str(number)), POLICY) for number in range(10_000))
    clock.time += 60
    assert all(breakers.allows(("request", str(number)), POLICY) for number in range(10_000))
    assert len(breakers) == 0


def test_memory_is_bounded_by_keys_and_idle_keys_go(clock):
    breakers = Breakers(clock, max_keys=100)
    for number in range(1000):
        breakers.failure(("request", str(number)), POLICY)
        assert len(breakers) <= 100
    trip(breakers, ("request", "999"))
    assert not breakers.allows(("request", "999"), POLICY)
    clock.time += 120
    for number in range(60):
        breakers.failure(("request", f"new{number}"), POLICY)
    assert len(breakers) == 60


def test_a_key_stays_small_however_often_it_fails(clock):
    breakers = Breakers(clock)
    for _ in range(5_000):
        breakers.failure(("request", "u"), BreakerPolicy(5, 900, 200))
        clock.time += 0.001
    clock.time += 900 - 0.001 * 200
    assert not breakers.allows(("request", "u"), BreakerPolicy(5, 900, 200))
    assert len(breakers) == 1
    assert sys.getsizeof(breakers) < 10_000


@given(
    st.lists(
        st.tuples(st.sampled_from(["fail", "ok", "ask"]), st.integers(0, 2), st.floats(-30, 90, allow_nan=False)),
        max_size=60,
    ),
    st.integers(1, 5),
)
def test_open_never_lasts_longer_than_a_window_and_agrees_with_retry_after(steps, threshold):
    clock = ManualClock()
    breakers = Breakers(clock)
    policy = BreakerPolicy(threshold, 60, 3)
    for what, user, delta in steps:
        clock.time += delta
        key = ("request", user)
        if what == "fail":
            breakers.failure(key, policy)
        elif what == "ok":
            breakers.success(key)
            assert breakers.allows(key, policy)
        wait = breakers.retry_after(key, policy)
        assert 0 <= wait <= 60 + 1e-9
        if not breakers.allows(key, policy):
            clock.time += wait + 1e-6
            assert breakers.allows(key, policy)
