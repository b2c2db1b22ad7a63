"""What of the memory is still asked while the store's breaker is open."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from openrouter_pipe.adapters.memory import MemoryMetrics
from openrouter_pipe.domain.breakers import BreakerPolicy, Breakers
from openrouter_pipe.domain.history.policy import REASONING_NEXT_REPLY, HistoryPolicy
from openrouter_pipe.domain.turn.memory import Memory
from openrouter_pipe.ports.artifacts import Artifact, ArtifactStoreError, StorePolicy
from openrouter_pipe.ports.chat import ChatMessage, ChatRequest, Identity
from openrouter_pipe.ports.items import InputItem, MessageItem, ReasoningItem, Role, TextPart
from openrouter_pipe.ports.json import JsonObject
from openrouter_pipe.ports.settings import Secret, read_settings

FIRST, SECOND = "0" * 19 + "1", "0" * 19 + "2"
THOUGHT = ReasoningItem("rs_1", encrypted="e")
SAID = MessageItem(Role.ASSISTANT, (TextPart("Hi"),))
KEY = ("store", "u1")


class Store:
    """Reads what is asked for, or is away."""

    def __init__(self) -> None:
        self.away = False
        self.log: list[str] = []
        self.asked: list[str] = []

    async def load(self, chat_id: str, ids: Sequence[str], policy: StorePolicy) -> dict[str, Artifact]:
        self.log.append("load")
        self.asked += ids
        if self.away:
            raise ArtifactStoreError("away")
        return {one: artifact(one) for one in ids}

    async def save(self, artifacts: Sequence[Artifact], policy: StorePolicy) -> frozenset[str]:
        return frozenset(one.id for one in artifacts)

    async def delete(self, chat_id: str, ids: Sequence[str], policy: StorePolicy) -> int:
        self.log.append("delete")
        if self.away:
            raise ArtifactStoreError("away")
        return len(ids)


class CachingStore(Store):
    """A store whose cache holds the first artifact."""

    async def load_cached(self, chat_id: str, ids: Sequence[str], policy: StorePolicy) -> dict[str, Artifact]:
        self.log.append("cached")
        return {one: artifact(one) for one in ids if one == FIRST}


class Codec:
    def decode(self, payload: object) -> InputItem:
        return THOUGHT

    def encode(self, item: InputItem) -> JsonObject:
        return {}

    def kind_of(self, item: InputItem) -> str:
        return "reasoning"


def artifact(one: str) -> Artifact:
    return Artifact(one, "c1", "m1", "a/b", "reasoning", {})


class Bench:
    """Turns of one user over one store; the breaker opens at two failures."""

    def __init__(self, store: Store) -> None:
        self.breaker = BreakerPolicy(2, 60.0, 5)
        self.breakers = Breakers(SimpleNamespace(monotonic=lambda: 1.0))
        self.services = SimpleNamespace(
            store=store,
            breakers=self.breakers,
            metrics=MemoryMetrics(),
            codec=Codec(),
            ids=SimpleNamespace(artifact_id=lambda: FIRST),
            clock=SimpleNamespace(now=lambda: datetime(2026, 1, 1, tzinfo=UTC)),
        )
        self.policies = SimpleNamespace(
            breaker=self.breaker,
            store=StorePolicy("pipe", Secret("")),
            history=HistoryPolicy(persist_reasoning=REASONING_NEXT_REPLY),
        )

    def turn(self) -> Memory:
        message = ChatMessage(Role.USER, (TextPart("hi"),))
        identity = Identity(user_id="u1", session_id="s1", chat_id="c1", message_id="m1")
        request = ChatRequest("a/b", (message,), read_settings({}), "r", identity=identity, persistent=True)
        return Memory(self.services, request, self.policies)

    def open(self) -> None:
        for _ in range(2):
            self.breakers.failure(KEY, self.breaker)


async def test_reads_stop_at_the_threshold() -> None:
    store = Store()
    store.away = True
    bench = Bench(store)
    for _ in range(6):
        memory = bench.turn()
        assert await memory.load([FIRST]) == {}
        assert memory.trouble
    assert store.log == ["load", "load"]


@pytest.mark.parametrize(("ids", "trouble"), [([FIRST], False), ([FIRST, SECOND], True)])
async def test_a_cache_answers_while_the_store_is_spared(ids: list[str], trouble: bool) -> None:
    store = CachingStore()
    bench = Bench(store)
    bench.open()
    memory = bench.turn()
    assert await memory.load(ids) == {FIRST: THOUGHT}
    assert memory.trouble is trouble
    await memory.forget()
    assert store.log == ["cached"]
    assert not bench.breakers.allows(KEY, bench.breaker), "the cache says nothing about the store"


async def test_a_closed_breaker_asks_the_store_for_what_the_cache_does_not_hold_and_forgets_afterwards() -> None:
    store = CachingStore()
    memory = Bench(store).turn()
    assert set(await memory.load([FIRST, SECOND])) == {FIRST, SECOND}
    await memory.forget()
    assert store.log == ["cached", "load", "delete"]
    assert store.asked == [SECOND]


async def test_what_a_cache_answers_does_not_hide_that_the_store_is_away() -> None:
    store = CachingStore()
    store.away = True
    bench = Bench(store)
    for _ in range(2):
        memory = bench.turn()
        assert await memory.load([FIRST, SECOND]) == {FIRST: THOUGHT}
        assert memory.trouble
    assert not bench.breakers.allows(KEY, bench.breaker), "the failed reads were not counted"
    assert await bench.turn().load([FIRST, SECOND]) == {FIRST: THOUGHT}
    assert store.log == ["cached", "load", "cached", "load", "cached"]


async def test_a_full_answer_of_the_cache_does_not_close_the_breaker() -> None:
    bench = Bench(CachingStore())
    bench.breakers.failure(KEY, bench.breaker)
    await bench.turn().load([FIRST])
    bench.breakers.failure(KEY, bench.breaker)
    assert not bench.breakers.allows(KEY, bench.breaker)


@pytest.mark.parametrize(("make", "closes"), [(Store, True), (CachingStore, False)])
async def test_a_queue_that_takes_artifacts_does_not_close_the_breaker(make: Callable[[], Store], closes: bool) -> None:
    bench = Bench(make())
    bench.breakers.failure(KEY, bench.breaker)
    assert await bench.turn().save([THOUGHT, SAID], "a/b")
    bench.breakers.failure(KEY, bench.breaker)
    assert bench.breakers.allows(KEY, bench.breaker) is closes


async def test_a_good_read_forgets_earlier_failures() -> None:
    store = Store()
    bench = Bench(store)
    bench.breakers.failure(KEY, bench.breaker)
    await bench.turn().load([FIRST])
    bench.breakers.failure(KEY, bench.breaker)
    assert bench.breakers.allows(KEY, bench.breaker)
