"""Ten thousand users who each trip a breaker, through the whole core: bounded memory, clocks that jump, limits that change."""

from __future__ import annotations

import asyncio
import gc
import logging
import tracemalloc
from collections import Counter

import pytest
from dependency_injector import providers

from openrouter_pipe.adapters.memory.provider import answer
from openrouter_pipe.adapters.memory.runtime import ManualClock
from openrouter_pipe.composition.in_memory import InMemoryContainer
from openrouter_pipe.domain.breakers import BreakerPolicy, Breakers
from openrouter_pipe.ports.chat import ChatMessage, ChatRequest, Completed, Identity
from openrouter_pipe.ports.items import Role, TextPart
from openrouter_pipe.ports.provider import FaultKind, ProviderError, ProviderFault
from openrouter_pipe.ports.settings import Settings, read_settings

USERS = 10_000
FAULT = ProviderFault(FaultKind.MALFORMED, "no")


def settings(**values: object) -> Settings:
    return read_settings(
        {"API_KEY": "sk-or-test", "BREAKER_MAX_FAILURES": 1, "BREAKER_WINDOW_SECONDS": 60, **values}, {}
    )


STRICT, PATIENT, LONG = settings(), settings(BREAKER_MAX_FAILURES=2), settings(BREAKER_WINDOW_SECONDS=900)


class Provider:
    """Fails while it is told to; counts what it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.well = False

    async def stream(self, request, connection):
        self.asked += 1
        if not self.well:
            raise ProviderError(FAULT)
        for event in answer("Well."):
            yield event


class House:
    def __init__(self) -> None:
        self.container = InMemoryContainer()
        self.provider, self.clock = Provider(), ManualClock()
        self.container.provider.override(providers.Object(self.provider))
        self.container.clock.override(providers.Object(self.clock))
        self.chat = self.container.chat()
        self.breakers = self.container.breakers()

    async def turn(self, user: int, found: Settings) -> str:
        who = Identity(f"user-{user}")
        request = ChatRequest("memory/echo", (ChatMessage(Role.USER, (TextPart("hi"),)),), found, "r", identity=who)
        last = None
        async for event in self.chat.respond(request):
            last = event
        return "completed" if isinstance(last, Completed) else last.code

    async def everybody(self, found: Settings, users: int = USERS) -> Counter[str]:
        ends: Counter[str] = Counter()
        for first in range(0, users, 100):
            ends.update(await asyncio.gather(*(self.turn(user, found) for user in range(first, first + 100))))
        return ends


@pytest.mark.slow
async def test_ten_thousand_users_each_trip_their_own_breaker(capsys, caplog):
    house = House()
    caplog.set_level(logging.CRITICAL, "openrouter_pipe")
    assert await house.everybody(STRICT) == {"service_error": USERS}
    assert await house.everybody(STRICT) == {"breaker_open": USERS}
    assert house.provider.asked == USERS, "a refusal costs no request"
    assert len(house.breakers) == USERS
    some = 500
    assert await house.everybody(PATIENT, some) == {"service_error": some}, "a higher limit counts at once"
    assert await house.everybody(PATIENT, some) == {"breaker_open": some}
    house.clock.advance(-1e6)
    assert await house.everybody(STRICT, some) == {"breaker_open": some}
    house.clock.advance(61)
    house.provider.well = True
    assert await house.everybody(STRICT, some) == {"completed": some}, (
        "a clock that went back locks nobody out for longer"
    )
    house.provider.well = False
    assert await house.everybody(STRICT, some) == {"service_error": some}
    house.clock.advance(100)
    assert await house.everybody(LONG, some) == {"breaker_open": some}, "a longer window looks further back"
    house.clock.advance(1e9)
    house.provider.well = True
    assert await house.everybody(STRICT) == {"completed": USERS}
    assert len(house.breakers) == 0, "who is well again is forgotten"
    admission = house.container.admission()
    assert (admission.running, admission.waiting) == (0, 0)
    with capsys.disabled():
        print(f"\n{USERS} users tripped a breaker each, {house.provider.asked} requests left")


@pytest.mark.parametrize("failures", [1, 5])
def test_what_they_hold_is_bounded(failures, capsys):
    policy = BreakerPolicy(failures, 60, 5)
    clock = ManualClock()
    tracemalloc.start()
    try:
        breakers = Breakers(clock)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for user in range(USERS):
            for _ in range(failures):
                breakers.failure(("request", f"user-{user}"), policy)
        held = tracemalloc.get_traced_memory()[0] - before
        clock.advance(61)
        for user in range(USERS):
            assert breakers.allows(("request", f"user-{user}"), policy)
        gc.collect()
        after = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    with capsys.disabled():
        print(
            f"\n{USERS} open breakers of {failures} failures: {held / USERS:.0f} bytes each; later {after} bytes in all"
        )
    assert held / USERS < 400 + 20 * failures
    assert after < 1_000_000, "a table of that size, empty"


def test_many_more_users_hold_no_more_than_the_most_that_are_remembered():
    policy = BreakerPolicy(1, 900, 1)
    breakers = Breakers(ManualClock(), max_keys=1000)
    for user in range(100_000):
        breakers.failure(("request", user), policy)
    assert len(breakers) <= 1000
    assert not breakers.allows(("request", user), policy)
