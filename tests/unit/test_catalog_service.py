"""Freshness of the catalogue: single flight, back-off, last good list, how often it is fetched."""

import asyncio
import contextvars
import itertools
import logging
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_pipe.domain.catalog.service import CatalogService, CatalogUnavailableError
from openrouter_pipe.ports.json import JsonObject
from openrouter_pipe.ports.provider import Connection, FaultKind, ProviderError, ProviderFault
from openrouter_pipe.ports.settings import Secret

HERE = Connection("https://here/api/v1", Secret("k"), "", "")
MODELS = ({"id": "a/b"}, {"id": "a/c"})
Answer = tuple[JsonObject, ...] | ProviderFault | Exception


class HandClock:
    """Time that the test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class Source:
    """Answers as told, counts, and can be held back."""

    def __init__(self, answer: Answer = MODELS) -> None:
        self.answer = answer
        self.fetches = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self, connection: Connection) -> tuple[JsonObject, ...]:
        self.fetches += 1
        await self.gate.wait()
        if isinstance(self.answer, ProviderFault):
            raise ProviderError(self.answer)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


FAULT = ProviderFault(FaultKind.STATUS, "down", 503)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def build(answer: Answer = MODELS) -> tuple[CatalogService, Source, HandClock]:
    source, clock = Source(answer), HandClock()
    return CatalogService(source, clock), source, clock


async def test_fresh_for_the_period_then_served_stale_while_one_refresh_runs() -> None:
    service, source, clock = build()
    assert service.age() is None
    first = await service.current(HERE, 60)
    assert [card.id for card in first.cards] == ["a/b", "a/c"]
    clock.seconds += 59
    assert await service.current(HERE, 60) is first
    assert (source.fetches, service.age()) == (1, 59)
    clock.seconds += 1
    source.gate.clear()
    source.answer = ({"id": "a/new"},)
    for _ in range(10):
        assert await service.current(HERE, 60) is first  # at once, however long the refresh takes
        await settle()
    assert source.fetches == 2
    source.gate.set()
    await settle()
    assert [card.id for card in (await service.current(HERE, 60)).cards] == ["a/new"]


async def test_the_first_fetch_is_shared_and_survives_a_waiter_that_leaves() -> None:
    service, source, _ = build()
    source.gate.clear()
    waiters = [asyncio.create_task(service.current(HERE, 60, insist=insist)) for insist in (True, False, True)]
    await settle()
    waiters[0].cancel()
    await settle()
    source.gate.set()
    results = await asyncio.gather(*waiters, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1] is results[2]
    assert source.fetches == 1


async def test_failures_back_off_with_one_warning_each_and_keep_the_last_list(caplog: pytest.LogCaptureFixture) -> None:
    service, source, clock = build()
    good = await service.current(HERE, 3600)
    clock.seconds += 3600
    source.answer = FAULT
    waits = []
    with caplog.at_level(logging.WARNING):
        for failure in range(1, 9):
            start = clock.seconds
            while source.fetches == failure:
                assert await service.current(HERE, 3600, insist=True) is good
                await settle()
                clock.seconds += 1 if source.fetches == failure else 0
            waits.append(clock.seconds - start)
    assert waits == [0, 5, 10, 20, 40, 80, 160, 160]
    assert len(caplog.records) == 8
    assert "last good" in caplog.text
    source.answer = MODELS
    clock.seconds += 160
    await service.current(HERE, 3600)
    await settle()
    assert service.age() == 0


@pytest.mark.parametrize(
    ("retry_after", "refresh", "wait"),
    [(30.0, 3600, 30.0), (1.0, 3600, 5.0), (None, 3, 3), (120.0, 60, 120.0), (1e12, 60, 86400.0), (-5.0, 60, 5.0)],
)
async def test_retry_after_and_refresh_period_bound_the_back_off(
    retry_after: float | None, refresh: float, wait: float
) -> None:
    service, source, clock = build(ProviderFault(FaultKind.STATUS, "slow", 429, retry_after=retry_after))
    assert (await service.current(HERE, refresh)).cards == ()
    clock.seconds += wait - 0.5
    assert (await service.current(HERE, refresh)).cards == ()
    assert source.fetches == 1
    clock.seconds += 0.5
    await service.current(HERE, refresh)
    assert source.fetches == 2


async def test_warm_up_failure_does_not_lock_everybody_out(caplog: pytest.LogCaptureFixture) -> None:
    service, source, _ = build(FAULT)
    with caplog.at_level(logging.WARNING):
        assert (await service.current(HERE, 3600)).cards == ()
    assert "BASE_URL" in caplog.text
    source.answer = MODELS
    assert (await service.current(HERE, 3600, insist=True)).cards
    assert (await service.current(HERE, 3600)).cards


async def test_in_back_off_chats_fetch_once_and_lengthen_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Every second somebody lists and three ask, and there has never been a list: one more attempt in each wait."""
    service, source, clock = build(FAULT)
    begun, attempts = clock.seconds, list[float]()
    for _ in range(636):
        before = source.fetches
        assert (await service.current(HERE, 3600)).cards == ()
        for _ in range(3):
            with pytest.raises(CatalogUnavailableError) as raised:
                await service.current(HERE, 3600, insist=True)
            assert (raised.value.fault.message, raised.value.fault.status) == ("down", 503)
            assert raised.value.fault.retry_after is not None
            assert 0 < raised.value.fault.retry_after <= 160
        attempts += [clock.seconds - begun] * (source.fetches - before)
        clock.seconds += 1
    assert attempts == [time for due in (0, 5, 15, 35, 75, 155, 315, 475, 635) for time in (due, due)]
    assert len(caplog.records) == 18
    assert "failure 9 in a row, next attempt in 160 s" in caplog.text


async def test_a_provider_that_names_the_time_is_asked_no_sooner_by_anybody() -> None:
    """The user is told the fault of the last attempt, and when the next one is due."""
    service, source, clock = build(ProviderFault(FaultKind.STATUS, "slow down", 429, retry_after=30))
    with pytest.raises(CatalogUnavailableError):
        await service.current(HERE, 3600, insist=True)
    clock.seconds += 12
    with pytest.raises(CatalogUnavailableError) as raised:
        await service.current(HERE, 3600, insist=True)
    assert raised.value.fault == ProviderFault(FaultKind.STATUS, "slow down", 429, retry_after=18)
    assert source.fetches == 1


async def test_a_time_that_the_provider_names_to_the_attempt_in_between_holds() -> None:
    service, source, clock = build(FAULT)
    await service.current(HERE, 3600)
    source.answer = ProviderFault(FaultKind.STATUS, "slow down", 429, retry_after=30)
    with pytest.raises(CatalogUnavailableError):
        await service.current(HERE, 3600, insist=True)
    for _ in range(29):
        clock.seconds += 1
        assert (await service.current(HERE, 3600)).cards == ()
    assert source.fetches == 2
    clock.seconds += 1
    await service.current(HERE, 3600)
    assert source.fetches == 3


@pytest.mark.parametrize("answer", [(), ({"name": "no id"},)])
async def test_a_list_without_models_is_a_failure(answer: Answer) -> None:
    service, source, clock = build()
    good = await service.current(HERE, 60)
    clock.seconds += 60
    source.answer = answer
    await service.current(HERE, 60)
    await settle()
    assert await service.current(HERE, 60) is good


async def test_another_address_or_key_is_fetched_at_once() -> None:
    service, source, _ = build()
    await service.current(HERE, 3600)
    other = Connection("https://there/api/v1", Secret("k"), "", "")
    await service.current(other, 3600)
    await settle()
    await service.current(other, 3600)
    assert source.fetches == 2
    await service.current(Connection(other.base_url, Secret("new"), "", ""), 3600)
    await settle()
    assert source.fetches == 3


async def test_a_key_put_right_is_tried_without_waiting() -> None:
    service, source, _ = build(ProviderFault(FaultKind.STATUS, "no key", 401))
    assert (await service.current(HERE, 3600)).cards == ()
    source.answer = MODELS
    assert (await service.current(Connection(HERE.base_url, Secret("right"), "", ""), 3600)).cards


async def test_a_crash_of_the_source_is_reported_and_backs_off(caplog: pytest.LogCaptureFixture) -> None:
    service, source, _ = build(RuntimeError("bug"))
    for _ in range(3):
        assert (await service.current(HERE, 60)).cards == ()
    await settle()
    assert source.fetches == 1
    assert "RuntimeError" in caplog.text


async def test_a_failure_that_repeats_the_key_is_logged_without_it(caplog: pytest.LogCaptureFixture) -> None:
    key = "sk-or-v1-0123456789abcdef0123456789abcdef"
    service, _, _ = build(ProviderFault(FaultKind.STATUS, f"no user for {key} or opaque-proxy-key", 401))
    with caplog.at_level(logging.WARNING):
        await service.current(Connection("https://here/api/v1", Secret("opaque-proxy-key"), "", ""), 60)
    assert "no user for" in caplog.text
    assert key not in caplog.text
    assert "opaque-proxy-key" not in caplog.text


async def test_close_ends_the_refresh_and_the_wait() -> None:
    service, source, _ = build()
    source.gate.clear()
    waiter = asyncio.create_task(service.current(HERE, 60, insist=True))
    await settle()
    await service.close()
    with pytest.raises(CatalogUnavailableError):
        await waiter
    await service.close()
    assert len(asyncio.all_tasks()) == 1


ATTEMPTS_IN_AN_HOUR = 27
"""At 0, 5, 15, 35, 75 and 155 seconds after the first failure, and every 160 seconds after that."""


@pytest.mark.parametrize("answer", [FAULT, RuntimeError("bug"), ()], ids=["down", "crash", "empty"])
async def test_an_endpoint_that_is_down_for_an_hour(answer: Answer, caplog: pytest.LogCaptureFixture) -> None:
    """Many ask every second: the models are there all the time, and an attempt costs one request and one warning."""
    service, source, clock = build()
    good = await service.current(HERE, 3600)
    clock.seconds += 3600
    source.answer = answer
    for _ in range(3600):
        askers = [service.current(HERE, 3600, insist=number % 2 == 0) for number in range(4)]
        assert all(catalog is good for catalog in await asyncio.gather(*askers))
        await settle()
        clock.seconds += 1
    assert source.fetches == 1 + ATTEMPTS_IN_AN_HOUR
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == ATTEMPTS_IN_AN_HOUR
    assert all("the last good catalogue stays in use" in message for message in told)
    assert told[-1].startswith("The model catalogue could not be fetched")
    assert f"failure {ATTEMPTS_IN_AN_HOUR} in a row, next attempt in 160 s" in told[-1]
    source.answer = MODELS
    clock.seconds += 160
    await service.current(HERE, 3600)
    await settle()
    assert service.age() == 0
    assert source.fetches == 2 + ATTEMPTS_IN_AN_HOUR


@pytest.mark.parametrize(("refresh", "fetches"), [(3600, 6), (600, 36), (60, 360)])
async def test_no_refetch_storm_however_many_ask(refresh: float, fetches: int) -> None:
    """Six hours of lists and chats, several at once, in steps that do not fit the period: one fetch per period."""
    service, source, clock = build()
    step = 7
    times: list[float] = []
    for second in range(0, 6 * 3600, step):
        before = source.fetches
        await asyncio.gather(*(service.current(HERE, refresh, insist=number == 0) for number in range(5)))
        await settle()
        times += [second] * (source.fetches - before)
        clock.seconds += step
    assert fetches * (1 - step / refresh) - 1 <= len(times) <= fetches
    assert all(later - earlier >= refresh for earlier, later in itertools.pairwise(times))


@pytest.mark.parametrize("answer", [FAULT, RuntimeError("bug")])
async def test_no_refetch_storm_where_there_has_never_been_a_list(answer: Answer) -> None:
    service, source, clock = build(answer)
    for _ in range(3600):
        await service.current(HERE, 3600)
        await settle()
        clock.seconds += 1
    assert source.fetches == ATTEMPTS_IN_AN_HOUR


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 400)), max_size=40))
def test_never_more_than_one_fetch_between_two_allowed_times(steps: list[tuple[bool, float]]) -> None:
    async def run() -> None:
        service, source, clock = build()
        seen: list[float] = []
        for healthy, pause in steps:
            source.answer = MODELS if healthy else FAULT
            before = source.fetches
            catalog = await service.current(HERE, 60)
            await settle()
            assert source.fetches - before <= 1
            seen += [clock.seconds] * (source.fetches - before)
            assert catalog.cards or not healthy or service.age() is None or service.age() == 0
            clock.seconds += pause
        assert all(later - earlier >= 5 for earlier, later in itertools.pairwise(seen))

    asyncio.run(run())


async def test_a_refresh_belongs_to_nobody() -> None:
    asked_by: contextvars.ContextVar[str] = contextvars.ContextVar("asked_by", default="nobody")
    seen: list[str] = []

    class Curious(Source):
        async def fetch(self, connection: Connection) -> tuple[JsonObject, ...]:
            seen.append(asked_by.get())
            return await super().fetch(connection)

    asked_by.set("the first user")
    await CatalogService(Curious(), HandClock()).current(HERE, 60)
    assert seen == ["nobody"]


async def test_reading_many_entries_lets_others_run() -> None:
    service, _, _ = build(tuple({"id": f"a/{number}"} for number in range(421)))
    steps = 0
    reading = asyncio.create_task(service.current(HERE, 60))
    while not reading.done():
        await asyncio.sleep(0)
        steps += 1
    assert len(reading.result().cards) == 421
    assert steps >= 421 // 50


class Shared(Source):
    """Hands out what another process fetched 40 seconds ago."""

    async def fetch_shared(self, connection: Connection, max_age: float) -> tuple[tuple[JsonObject, ...], float]:
        assert max_age == 60
        return await self.fetch(connection), 40.0


async def test_the_age_of_a_shared_list_counts() -> None:
    source, clock = Shared(), HandClock()
    service = CatalogService(source, clock)
    assert len((await service.current(HERE, 60)).cards) == 2
    assert service.age() == 40
    clock.seconds += 19
    await service.current(HERE, 60)
    assert source.fetches == 1
    clock.seconds += 1
    await service.current(HERE, 60)
    await settle()
    assert source.fetches == 2
