"""Every single call that a turn makes to a port fails once, and from there on: the turn always ends, clearly and cleanly.

The turn is a rich one: stored reasoning from an earlier turn, an image, a tool call and a second round, artifacts, costs
and metrics. How often it calls each method is counted first; then it is run again for each of these calls.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import AsyncGenerator

import attrs
import pytest
from dependency_injector import providers

from openrouter_pipe.adapters.memory import (
    CountingIds,
    MemoryCostSink,
    MemoryFetcher,
    MemoryFileStore,
    MemoryToolbox,
    SteadyRandomness,
)
from openrouter_pipe.adapters.memory.provider import answer
from openrouter_pipe.adapters.openrouter import OpenRouterItemCodec
from openrouter_pipe.composition.policies import turn_policies
from openrouter_pipe.ports.chat import ChatEvent, ChatRequest, Completed, Failed
from openrouter_pipe.ports.files import FileBytes
from openrouter_pipe.ports.items import FunctionCallItem, ImageItem, ItemKind, ReasoningItem
from openrouter_pipe.ports.provider import (
    FaultKind,
    FinishStatus,
    ItemFinished,
    ItemStarted,
    ProviderFault,
    ReasoningDelta,
    ResponseFinished,
)
from openrouter_pipe.ports.telemetry import Usage
from openrouter_pipe.ports.tools import ToolSpec
from pipe_house import KEY, SECRET, House

CALL = FunctionCallItem("call_1", "look", '{"at": "it"}', id="fc_1")
PICTURE = FileBytes(b"\x89PNG\r\n\x1a\n" + bytes(40), "image/png", "a.png")
LINK = "https://example.org/a.png"
IMAGE = ImageItem("ig_1", "data:image/png;base64,iVBORw0KGgo=")
THOUGHT = ReasoningItem(id="rs_1", summary=("Hm.",))
USAGE = Usage(1, 2, 3, cost=0.1, raw={"total_tokens": 3})
FIRST_ROUND = (
    ItemStarted(0, ItemKind.REASONING, ReasoningItem(id="rs_1")),
    ReasoningDelta(0, 0, "Hm.", summary=True),
    ItemFinished(0, THOUGHT),
    ItemFinished(1, IMAGE),
    ItemFinished(2, CALL),
    ResponseFinished(FinishStatus.COMPLETED, USAGE, output=(THOUGHT, IMAGE, CALL)),
)
SCRIPTS = (
    (ProviderFault(FaultKind.STATUS, "busy", 503),),
    FIRST_ROUND,
    answer("All is well.", reasoning="Think."),
)
METHODS = {
    "provider": ("stream",),
    "catalog_source": ("fetch",),
    "store": ("load", "save", "delete"),
    "codec": ("encode", "decode"),
    "clock": ("now", "monotonic", "sleep"),
    "ids": ("artifact_id", "error_id", "item_id"),
    "randomness": ("uniform",),
    "metrics": ("count", "gauge", "observe"),
    "costs": ("record",),
    "toolbox": ("specs", "run"),
    "files": ("save", "locate", "limit", "kept", "keep", "read"),
    "fetcher": ("fetch",),
    "policies": ("__call__",),
    "events": ("emit",),
}


SEPARATE = {"catalog_source.fetch", "ids.error_id"}
"""Not called in a good turn."""


class Pages(MemoryFetcher):
    """Downloads that the pipe can close."""

    async def aclose(self) -> None:
        """Nothing is open."""


class Trap:
    """Counts the calls of one port's methods; raises in the ``after``-th call of one of them, and in later ones too."""

    def __init__(self, inner: object, calls: Counter[str], name: str) -> None:
        self._inner = inner
        self._calls = calls
        self._name = name
        self.method = ""
        self.after = 0
        self.once = False
        self.error: type[BaseException] = RuntimeError

    def __call__(self, *arguments: object) -> object:
        return self.__getattr__("__call__")(*arguments)

    def __getattr__(self, name: str) -> object:
        found = getattr(self._inner, name)
        if name not in METHODS[self._name]:
            return found

        def call(*arguments: object, **named: object) -> object:
            number = self._calls[f"{self._name}.{name}"]
            self._calls[f"{self._name}.{name}"] += 1
            if name == self.method and (number == self.after if self.once else number >= self.after):
                raise self.error(SECRET)
            return found(*arguments, **named)

        return call


class Equipped:
    """The chat service with a toolbox and a file store for every request, and an eye on what comes out."""

    def __init__(self, chat: object, toolbox: object, files: object) -> None:
        self._chat = chat
        self._toolbox = toolbox
        self._files = files
        self.ends: list[ChatEvent] = []

    async def respond(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        self.ends.clear()
        request = attrs.evolve(request, toolbox=self._toolbox, files=self._files)
        async for event in self._chat.respond(request):
            if self.ends and isinstance(self.ends[-1], Completed | Failed):
                raise AssertionError("an event after the last one")
            self.ends.append(event)
            yield event


async def look(_: object) -> str:
    return "seen"


class Scene:
    """One rich turn with traps before all ports. Its second turn has the markers of the first."""

    def __init__(
        self,
        *,
        recent: bool = True,
        traps: tuple[str, ...] = (),
        after: int = 0,
        once: bool = False,
        error=RuntimeError,
    ):
        self.calls: Counter[str] = Counter()
        toolbox = MemoryToolbox()
        toolbox.add(ToolSpec("look", "", {"type": "object", "properties": {"at": {"type": "string"}}}), look)
        valves = {"PERSIST_REASONING_TOKENS": "next_reply", "ENCRYPT_ALL": False}
        self.house = House(recent=recent, scripts=(answer("Before.", reasoning="Early."), *SCRIPTS), **valves)
        self.costs = MemoryCostSink()
        inner = {
            "provider": self.house.provider,
            "catalog_source": self.house.container.catalog_source(),
            "store": self.house.store,
            "codec": OpenRouterItemCodec(),
            "clock": self.house.container.clock(),
            "ids": CountingIds(),
            "randomness": SteadyRandomness(),
            "metrics": self.house.metrics,
            "costs": self.costs,
            "policies": lambda settings: attrs.evolve(turn_policies(settings), cost_ttl_seconds=60),
            "toolbox": toolbox,
            "files": MemoryFileStore(),
            "fetcher": Pages({LINK: PICTURE}),
        }
        self.traps = {name: Trap(port, self.calls, name) for name, port in inner.items()}
        for name in METHODS.keys() - {"toolbox", "files", "events"}:
            getattr(self.house.container, name).override(providers.Object(self.traps[name]))
        self._plan = (traps, after, once, error)
        self.chat: Equipped | None = None
        self.emitted: list[dict] = []
        self.armed = False
        self.house.host.emit = self._emit

    async def _emit(self, event: dict) -> None:
        number = self.calls["events.emit"]
        self.calls["events.emit"] += 1
        traps, after, once, error = self._plan
        if self.armed and "events.emit" in traps and (number == after if once else number >= after):
            raise error(SECRET)
        self.emitted.append(event)

    async def play(self) -> str:
        """The first turn goes well; what the user reads of the second one, in which the trap is set."""
        house, (traps, after, once, error) = self.house, self._plan
        await house.host.models()  # makes the services
        first = await house.ask()
        assert "Before." in first
        assert house.services is not None
        self.chat = house.services.chat = Equipped(house.services.chat, self.traps["toolbox"], self.traps["files"])
        messages = [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": first.strip()},
            {"role": "user", "content": [{"type": "text", "text": "again"}, *await self._pictures()]},
        ]
        await self._rest()
        before = asyncio.all_tasks()
        self.calls.clear()
        for one in traps:
            port, _, method = one.partition(".")
            if port in self.traps:
                armed = self.traps[port]
                armed.method, armed.after, armed.once, armed.error = method, after, once, error
        self.armed = True
        async with asyncio.timeout(10):
            text = await house.ask(messages=messages)
            await self._rest()
        self.armed = False
        for armed in self.traps.values():
            armed.method = ""
        self.left_tasks = asyncio.all_tasks() - before
        return text

    async def _pictures(self) -> list[dict]:
        """One of the host's own, one of the web."""
        stored = await self.traps["files"].save(PICTURE)
        return [{"type": "image_url", "image_url": {"url": url}} for url in (stored.url, LINK)]

    async def _rest(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


async def counted() -> Counter[str]:
    scene = Scene()
    text = await scene.play()
    assert "All is well." in text
    await scene.house.close()
    return scene.calls


async def test_the_scene_calls_every_method_of_every_port():
    calls = await counted()
    wanted = {f"{port}.{method}" for port, methods in METHODS.items() for method in methods}
    assert wanted - calls.keys() == {"catalog_source.fetch", "ids.error_id"}, dict(calls)


async def assert_clean(scene: Scene, text: str, log: str, where: str) -> None:
    """One clear end, nothing held, nothing told that should not be, and the next turn is answered."""
    last = scene.chat.ends[-1] if scene.chat.ends else None  # None: the call could not even be read
    assert last is None or isinstance(last, Completed | Failed), where
    ids = re.findall(r"Error ID: `([0-9a-f]{16})`", text)
    if not isinstance(last, Completed):
        assert ids, f"{where}: a failure without an id"
        assert last is None or last.error_id == ids[-1], where
        assert "**What to do:**" in text, where
    else:
        assert "All is well." in text or ids, f"{where}: neither an answer nor an error"
    for one in ids:
        assert one in log, f"{where}: the log does not know {one}"
    tells_the_model = "toolbox.run" in where  # what a tool says in failing is told, redacted
    for hidden in (KEY, "ada@example.com", "Traceback", *(() if tells_the_model else ("planted",))):
        assert hidden not in text + str(scene.emitted), where
    assert KEY not in log, where
    assert "ada@example.com" not in log, where
    assert KEY not in repr(scene.house.metrics.counters), where
    assert scene.house.nothing_held(), where
    assert not scene.left_tasks, f"{where}: {scene.left_tasks}"
    await scene.house.read()
    assert isinstance(scene.chat.ends[-1], Completed), f"{where}: the next turn is not answered"


@pytest.mark.parametrize("recent", [True, False], ids=["0.12.4", "0.6.28"])
@pytest.mark.parametrize("once", [True, False], ids=["once", "from there on"])
@pytest.mark.parametrize(
    "trap",
    [
        f"{port}.{method}"
        for port, methods in METHODS.items()
        for method in methods
        if f"{port}.{method}" not in SEPARATE
    ],
)
async def test_every_call_of_every_port_fails(trap, once, recent, caplog):
    calls = (await counted())[trap]
    assert calls
    with caplog.at_level(logging.DEBUG, "openrouter_pipe"):
        for after in range(calls):
            caplog.clear()
            scene = Scene(recent=recent, traps=(trap,), after=after, once=once)
            text = await scene.play()
            await assert_clean(scene, text, caplog.text, f"call {after} of {trap}")


@pytest.mark.parametrize("recent", [True, False], ids=["0.12.4", "0.6.28"])
@pytest.mark.parametrize("error", [RuntimeError, KeyError, OSError, RecursionError])
@pytest.mark.parametrize("trap", ["metrics.count", "metrics.gauge", "metrics.observe", "costs.record"])
async def test_what_cannot_be_counted_changes_no_turn_and_is_told_once(trap, error, recent, caplog):
    calm = Scene(recent=recent)
    wanted = await calm.play()
    calls = (await counted())[trap]
    for after in range(calls):
        caplog.clear()
        scene = Scene(recent=recent, traps=(trap,), after=after, error=error)
        with caplog.at_level(logging.DEBUG, "openrouter_pipe"):
            assert without_ids(await scene.play()) == without_ids(wanted)
            assert [kinds(event) for event in scene.emitted] == [kinds(event) for event in calm.emitted]
            assert scene.calls[trap] == calls, "the rest was not told either"
            lines = [line for line in caplog.messages if "could not be kept" in line]
            assert len(lines) == 1
            assert f"{error.__name__}" in lines[0]
            await assert_clean(scene, wanted, caplog.text, f"call {after} of {trap}")
    await calm.house.close()


async def test_costs_whose_export_is_cancelled_by_nobody_cost_no_answer(caplog):
    scene = Scene(traps=("costs.record",), error=asyncio.CancelledError)
    with caplog.at_level(logging.DEBUG, "openrouter_pipe"):
        text = await scene.play()
        assert "All is well." in text
        assert "Error ID" not in text
        await assert_clean(scene, text, caplog.text, "cancelled export")


def without_ids(text: str) -> str:
    return re.sub(r"[0-9A-HJKMNP-TV-Z]{20,}", "", text)


def kinds(event: dict) -> tuple[str, bool]:
    return event["type"], "done" in str(event.get("data"))


TELLING = (
    "clock.now",
    "clock.monotonic",
    "ids.error_id",
    "metrics.count",
    "metrics.gauge",
    "metrics.observe",
    "events.emit",
)


@pytest.mark.parametrize("recent", [True, False], ids=["0.12.4", "0.6.28"])
@pytest.mark.parametrize("telling", TELLING)
@pytest.mark.parametrize("failing", ["provider.stream", "toolbox.specs", "store.save", "policies.__call__"])
async def test_what_tells_a_failure_fails_too(failing, telling, recent, caplog):
    with caplog.at_level(logging.DEBUG, "openrouter_pipe"):
        scene = Scene(recent=recent, traps=(failing, telling))
        text = await scene.play()
        await assert_clean(scene, text, caplog.text, f"{failing} and {telling}")


@pytest.mark.parametrize(
    "error",
    [TimeoutError, KeyError, MemoryError, RecursionError, OSError, StopAsyncIteration],
)
@pytest.mark.parametrize("trap", ["provider.stream", "store.load", "toolbox.run", "files.save", "metrics.count"])
async def test_whatever_kind_of_exception_it_is(trap, error, caplog):
    with caplog.at_level(logging.DEBUG, "openrouter_pipe"):
        scene = Scene(traps=(trap,), error=error)
        text = await scene.play()
        await assert_clean(scene, text, caplog.text, f"{error.__name__} of {trap}")


@pytest.mark.parametrize("recent", [True, False], ids=["0.12.4", "0.6.28"])
async def test_a_source_of_the_catalogue_that_crashes(recent, caplog):
    scene = Scene(recent=recent)
    trap = scene.traps["catalog_source"]
    trap.method = "fetch"
    with caplog.at_level(logging.DEBUG, "openrouter_pipe"):
        assert await scene.house.host.models() == []
        text = await scene.house.read()  # without the list: the request goes out with the model's name alone
        assert "Before." in text
        assert "RuntimeError" in caplog.text
        assert KEY not in text + caplog.text
        trap.method = ""
        assert "Generated image" in await scene.house.read()  # the script's next round


@pytest.mark.parametrize("recent", [True, False], ids=["0.12.4", "0.6.28"])
@pytest.mark.parametrize(
    "trap", ["provider.stream", "store.load", "store.save", "toolbox.run", "files.save", "clock.sleep"]
)
async def test_a_port_that_is_cancelled_by_nobody_is_a_failure_and_no_stop_of_the_user(trap, recent, caplog):
    with caplog.at_level(logging.DEBUG, "openrouter_pipe"):
        scene = Scene(recent=recent, traps=(trap,), error=asyncio.CancelledError)
        text = await scene.play()
        await assert_clean(scene, text, caplog.text, f"cancellation of {trap}")


@pytest.mark.parametrize("recent", [True, False], ids=["0.12.4", "0.6.28"])
async def test_a_user_who_stops_is_cancelled_and_told_nothing(recent):
    scene = Scene(recent=recent)
    await scene.house.ask()
    reached = asyncio.Event()

    async def hangs(*_: object) -> AsyncGenerator[object, None]:
        reached.set()
        await asyncio.Event().wait()
        yield

    scene.house.provider.stream = hangs
    turn = asyncio.create_task(scene.house.ask())
    await reached.wait()
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    assert scene.house.outcomes() == {"completed": 1, "cancelled": 1}
    assert scene.house.nothing_held()
    await scene.house.close()
