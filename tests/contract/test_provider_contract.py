"""The contract of `ResponsesProvider`: whatever the wire, the same scenario gives the same answer.

One suite over every provider: OpenRouter's two endpoints, streamed and whole, over every transport (in process, aiohttp,
httpx), and the in-memory twin. What is compared is
the answer as a reader of the port sees it (text, refusal, reasoning, calls, sources, images, usage, ending), not the number
of deltas, which is a wire's own affair.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from attrs import define, evolve, field

from openrouter_pipe.adapters.memory import ScriptedProvider
from openrouter_pipe.adapters.openrouter import HttpClients, OpenRouterProvider
from openrouter_pipe.adapters.simulator.app import create_app
from openrouter_pipe.adapters.simulator.config import SimulatorConfig
from openrouter_pipe.adapters.simulator.server import serve
from openrouter_pipe.adapters.simulator.transport import SimulatorTransport
from openrouter_pipe.ports.items import (
    Citation,
    FunctionCallItem,
    ImageItem,
    ItemKind,
    MessageItem,
    OutputItem,
    ReasoningItem,
    RefusalPart,
    Role,
    TextPart,
)
from openrouter_pipe.ports.provider import (
    ArgumentsDelta,
    ArgumentsSnapshot,
    CitationAdded,
    Connection,
    Endpoint,
    FaultKind,
    FinishStatus,
    ItemFinished,
    ItemStarted,
    ProviderError,
    ProviderEvent,
    ProviderFault,
    ProviderRequest,
    ReasoningDelta,
    ReasoningSnapshot,
    RefusalDelta,
    RefusalSnapshot,
    ResponseFinished,
    ResponsesProvider,
    ResponseStarted,
    ServerToolProgress,
    TextDelta,
    TextSnapshot,
)
from openrouter_pipe.ports.settings import Secret
from openrouter_pipe.ports.telemetry import Usage

SCHEMA = Path(__file__).parents[1] / "data" / "openrouter-openapi.yaml"
CONNECTION = Connection("http://sim.test/api/v1", Secret("sk-or-test"), "https://example.org/", "Tests")


@define
class Answer:
    """An answer as a reader puts it together: deltas first, snapshots and final items fill in what deltas left out."""

    text: str = ""
    refusal: str = ""
    reasoning: list[str] = field(factory=list)
    order: list[str] = field(factory=list)
    calls: list[tuple[str, str, str]] = field(factory=list)
    citations: set[Citation] = field(factory=set)
    images: list[str] = field(factory=list)
    usage: Usage | None = None
    status: FinishStatus | None = None
    reason: str | None = None


@define
class _Collector:
    words: dict[tuple[str, int, int], str] = field(factory=dict)
    items: dict[int, OutputItem] = field(factory=dict)
    kinds: dict[int, str] = field(factory=dict)
    citations: set[Citation] = field(factory=set)
    terminal: ResponseFinished | None = None

    def take(self, event: ProviderEvent) -> None:
        assert self.terminal is None, "nothing follows the terminal event"
        match event:
            case ItemStarted(index=index, kind=kind):
                assert index not in self.kinds, "an item starts once"
                self.kinds[index] = kind.value
            case TextDelta(index=index, part=part, text=text):
                self.add(("text", index, part), text)
            case RefusalDelta(index=index, part=part, text=text):
                self.add(("refusal", index, part), text)
            case ReasoningDelta(index=index, part=part, text=text, summary=summary):
                self.add(("summary" if summary else "raw", index, part), text)
            case TextSnapshot(index=index, part=part, text=text):
                self.fill(("text", index, part), text)
            case RefusalSnapshot(index=index, part=part, text=text):
                self.fill(("refusal", index, part), text)
            case ReasoningSnapshot(index=index, part=part, text=text, summary=summary):
                self.fill(("summary" if summary else "raw", index, part), text)
            case CitationAdded(citation=citation):
                self.citations.add(citation)
            case ItemFinished(index=index, item=item):
                assert index in self.kinds, "an item starts before it ends"
                self.items[index] = item
            case ResponseFinished():
                self.terminal = event
            case ResponseStarted() | ArgumentsDelta() | ArgumentsSnapshot() | ServerToolProgress():
                pass

    def add(self, key: tuple[str, int, int], text: str) -> None:
        assert text, "deltas are never empty"
        self.words[key] = self.words.get(key, "") + text

    def fill(self, key: tuple[str, int, int], text: str) -> None:
        known = _joined(self.words.get(key, ""))
        assert text.startswith(known), "a snapshot repeats the deltas"
        self.words[key] = text

    def answer(self) -> Answer:
        assert self.terminal is not None, "a stream ends with a terminal event"
        finals = [self.items[index] for index in sorted(self.items)] or list(self.terminal.output)
        found = Answer(usage=self.terminal.usage, status=self.terminal.status, reason=self.terminal.reason)
        found.text = self.all_of("text") or "".join(_text(item) for item in finals)
        found.refusal = self.all_of("refusal") or "".join(_refusal(item) for item in finals)
        reasoning = [item for item in finals if isinstance(item, ReasoningItem)]
        found.reasoning = ["".join(item.summary + item.text) for item in reasoning]
        found.order = [self.kinds[index] for index in sorted(self.kinds) if self.kinds[index] != "server_tool"]
        found.calls = [(i.call_id, i.name, i.arguments) for i in finals if isinstance(i, FunctionCallItem)]
        cited = [c for i in [*finals, *self.terminal.output] if isinstance(i, MessageItem) for c in i.citations]
        found.citations = self.citations | set(cited)
        found.images = [i.url for i in finals if isinstance(i, ImageItem) and i.url]
        return found

    def all_of(self, kind: str) -> str:
        return _joined("".join(self.words[key] for key in sorted(self.words) if key[0] == kind))


def _joined(text: str) -> str:
    """Surrogate halves that two deltas share, made whole; joining them is the reader's duty."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _text(item: OutputItem) -> str:
    return "".join(p.text for p in item.parts if isinstance(p, TextPart)) if isinstance(item, MessageItem) else ""


def _refusal(item: OutputItem) -> str:
    return "".join(p.text for p in item.parts if isinstance(p, RefusalPart)) if isinstance(item, MessageItem) else ""


def _asking(scenario: str, endpoint: Endpoint, *, stream: bool) -> ProviderRequest:
    words = TextPart(f"[[sim: scenario={scenario}]]\nGo.")
    return ProviderRequest(endpoint, "openai/gpt-5.6-luna", (MessageItem(Role.USER, (words,)),), stream=stream)


async def _collect(provider: ResponsesProvider, request: ProviderRequest, way: Connection) -> Answer:
    collector = _Collector()
    async with aclosing(provider.stream(request, way)) as events:
        async for event in events:
            collector.take(event)
    return collector.answer()


def _memory_script(scenario: str) -> list[ProviderEvent | ProviderFault]:
    """The scenario as events of the port, written by hand from the contract: the twin's own knowledge of it."""
    usage = Usage(input_tokens=1, output_tokens=1, total_tokens=2)
    message = MessageItem(Role.ASSISTANT, (TextPart("Hello"),), id="msg_m")
    match scenario:
        case "plain":
            return [
                ResponseStarted("gen-m", "m"),
                ItemStarted(0, ItemKind.MESSAGE, MessageItem(Role.ASSISTANT, (), id="msg_m")),
                TextDelta(0, 0, "Hel"),
                TextDelta(0, 0, "lo"),
                ItemFinished(0, message),
                ResponseFinished(FinishStatus.COMPLETED, usage, output=(message,)),
            ]
        case "error-1":
            fault = ProviderFault(FaultKind.STREAM, "Rate limit exceeded", code="rate_limit_exceeded", status=429)
            return [ResponseStarted("gen-m", "m"), fault]
    raise AssertionError(scenario)


Ask = Callable[[str], tuple[ResponsesProvider, ProviderRequest, Connection]]

WIRES = {
    "responses": (Endpoint.RESPONSES, True),
    "responses-whole": (Endpoint.RESPONSES, False),
    "chat": (Endpoint.CHAT_COMPLETIONS, True),
    "chat-whole": (Endpoint.CHAT_COMPLETIONS, False),
}


@define
class Wires:
    """Clients, and the way to a simulator through them."""

    clients: HttpClients
    way: Connection


@pytest.fixture(params=["in process", "aiohttp", "httpx"])
async def wires(request: pytest.FixtureRequest) -> AsyncIterator[Wires]:
    app = create_app(SimulatorConfig(schema_path=SCHEMA))
    if request.param == "in process":
        shared = HttpClients(lambda: SimulatorTransport(app))
        yield Wires(shared, CONNECTION)
        await shared.aclose()
        return
    async with serve(app) as server:
        shared = HttpClients(aiohttp=request.param == "aiohttp")
        yield Wires(shared, evolve(CONNECTION, base_url=server.url))
        await shared.aclose()


def _asking_wire(wires: Wires, wire: str) -> Ask:
    endpoint, stream = WIRES[wire]
    return lambda scenario: (
        OpenRouterProvider(wires.clients),
        _asking(scenario, endpoint, stream=stream),
        wires.way,
    )


@pytest.fixture(params=list(WIRES))
def ask_wire(request: pytest.FixtureRequest, wires: Wires) -> Ask:
    """A real wire that plays a scenario."""
    return _asking_wire(wires, request.param)


@pytest.fixture(params=[*WIRES, "memory"])
def ask(request: pytest.FixtureRequest, wires: Wires) -> Ask:
    """Any provider that plays a scenario, the in-memory twin among them."""
    if request.param == "memory":
        request_for = _asking("plain", Endpoint.RESPONSES, stream=True)
        return lambda scenario: (ScriptedProvider([_memory_script(scenario)]), request_for, CONNECTION)
    return _asking_wire(wires, request.param)


TOWER = Citation("https://example.org/t", "Towers", "X is 900 m", 0, 8)
OSLO, ROME = '{"city":"Oslo"}', '{"city":"Rome"}'

EXPECTED = {
    "plain": Answer(text="Hello", order=["message"]),
    "reasoning-summary": Answer(text="42", reasoning=["**Plan** add numbers"], order=["reasoning", "message"]),
    "reasoning-raw": Answer(text="Hi!", reasoning=["User wants a greeting."], order=["reasoning", "message"]),
    "parallel-calls": Answer(
        calls=[("call_1", "weather", OSLO), ("call_2", "weather", ROME)], order=["function_call", "function_call"]
    ),
    "web-search": Answer(text="It is X.", citations={TOWER}, order=["message"]),
    "citations-at-end": Answer(text="It is X.", citations={TOWER}, order=["message"]),
    "refusal": Answer(refusal="I can't help.", order=["message"]),
    "incomplete": Answer(
        text="Once upon", status=FinishStatus.INCOMPLETE, reason="max_output_tokens", order=["message"]
    ),
    "content-filter": Answer(
        text="Once upon", status=FinishStatus.INCOMPLETE, reason="content_filter", order=["message"]
    ),
    "split-surrogates": Answer(text="Smile 😀 and 🚀 go", order=["message"]),
}


@pytest.mark.parametrize("scenario", EXPECTED)
async def test_a_scenario_gives_the_same_answer_on_every_wire(scenario: str, ask_wire: Ask) -> None:
    answer = await _collect(*ask_wire(scenario))
    expected = evolve(
        EXPECTED[scenario], usage=answer.usage, status=EXPECTED[scenario].status or FinishStatus.COMPLETED
    )
    assert answer == expected
    assert answer.usage is not None
    assert answer.usage.output_tokens > 0


async def test_an_image_arrives_as_a_data_url(ask_wire: Ask) -> None:
    answer = await _collect(*ask_wire("image"))
    assert len(answer.images) == 1
    assert answer.images[0].startswith("data:image/png;base64,iVBORw0KGgo")


async def test_usage_is_the_same_on_every_wire(wires: Wires) -> None:
    usages = []
    for endpoint, stream in WIRES.values():
        request = _asking("web-search", endpoint, stream=stream)
        answer = await _collect(OpenRouterProvider(wires.clients), request, wires.way)
        assert answer.usage is not None
        assert answer.usage.cost is not None
        usages.append(evolve(answer.usage, raw={}))
    assert usages == [usages[0]] * len(usages)


@pytest.mark.parametrize("endpoint", list(Endpoint))
async def test_a_late_signature_is_kept_for_the_next_round(endpoint: Endpoint, wires: Wires) -> None:
    provider = OpenRouterProvider(wires.clients)
    events = [event async for event in provider.stream(_asking("late-signature", endpoint, stream=True), wires.way)]
    reasoning = [e.item for e in events if isinstance(e, ItemFinished) and isinstance(e.item, ReasoningItem)]
    assert len(reasoning) == 1
    assert reasoning[0].signature == "CiQB…late"
    assert reasoning[0].format == "google-gemini-v1"


async def test_every_provider_streams_a_plain_answer(ask: Ask) -> None:
    answer = await _collect(*ask("plain"))
    assert (answer.text, answer.status, answer.order) == ("Hello", FinishStatus.COMPLETED, ["message"])


async def test_every_provider_raises_what_the_stream_reports(ask: Ask) -> None:
    with pytest.raises(ProviderError) as raised:
        await _collect(*ask("error-1"))
    assert raised.value.fault.kind is FaultKind.STREAM
    assert raised.value.fault.message == "Rate limit exceeded"
    assert raised.value.fault.status == 429


@pytest.mark.parametrize("scenario", ["error-2", "error-3", "error-4"])
async def test_every_shape_of_a_stream_error_is_an_error(scenario: str, ask_wire: Ask) -> None:
    with pytest.raises(ProviderError) as raised:
        await _collect(*ask_wire(scenario))
    fault = raised.value.fault
    assert fault.kind in {FaultKind.STREAM, FaultKind.STATUS}
    assert fault.message in {"Internal server error", "Rate limit exceeded", "Provider returned error"}
    assert fault.status in {429, 500, 502}


async def test_closing_early_ends_the_stream(ask: Ask) -> None:
    provider, request, way = ask("plain")
    events = provider.stream(request, way)
    assert isinstance(await anext(events), ResponseStarted)
    await events.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(events)
