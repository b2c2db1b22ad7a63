"""Whole turns over hand-written fakes: what the front end hears, what the provider is asked, what is left behind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from datetime import datetime

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openrouter_pipe.adapters.memory.files import MemoryFileStore
from openrouter_pipe.adapters.memory.provider import ScriptedCatalog, ScriptedProvider, answer, card_entry
from openrouter_pipe.adapters.memory.runtime import CountingIds, ManualClock, SteadyRandomness
from openrouter_pipe.adapters.memory.telemetry import MemoryCostSink, MemoryMetrics
from openrouter_pipe.adapters.memory.tools import MemoryToolbox
from openrouter_pipe.adapters.memory.web import MemoryFetcher
from openrouter_pipe.adapters.openrouter import OpenRouterItemCodec
from openrouter_pipe.domain.admission import Admission, AdmissionPolicy
from openrouter_pipe.domain.breakers import BreakerPolicy, Breakers
from openrouter_pipe.domain.catalog.routing import EndpointPolicy
from openrouter_pipe.domain.catalog.selection import SelectionPolicy
from openrouter_pipe.domain.catalog.service import CatalogService
from openrouter_pipe.domain.conversation import Conversation
from openrouter_pipe.domain.errors.policy import ErrorPolicy
from openrouter_pipe.domain.history.policy import HistoryPolicy
from openrouter_pipe.domain.policies import StreamingPolicy, TurnPolicies
from openrouter_pipe.domain.shaping.policy import ShapingPolicy
from openrouter_pipe.domain.tools.policy import ToolPolicy
from openrouter_pipe.ports.artifacts import Artifact, ArtifactStoreError, StorePolicy
from openrouter_pipe.ports.chat import (
    ChatMessage,
    ChatRequest,
    Completed,
    Failed,
    Identity,
    ImageProduced,
    ItemClosed,
    ItemOpened,
    MarkersIssued,
    NoticeAdded,
    Notified,
    ReasoningAdded,
    StatusChanged,
    Task,
    TextAdded,
    ToolFinished,
    ToolStarted,
)
from openrouter_pipe.ports.items import (
    FunctionCallItem,
    FunctionOutputItem,
    ImageItem,
    ImagePart,
    ItemKind,
    MessageItem,
    ReasoningItem,
    Role,
    TextPart,
)
from openrouter_pipe.ports.provider import (
    Connection,
    Endpoint,
    FaultKind,
    FinishStatus,
    ItemFinished,
    ProviderEvent,
    ProviderFault,
    ProviderRequest,
    ReasoningDelta,
    ResponseFinished,
    TextDelta,
)
from openrouter_pipe.ports.settings import Secret, Settings
from openrouter_pipe.ports.telemetry import Usage
from openrouter_pipe.ports.tools import ToolOutput, ToolSpec

KEY = "sk-or-v1-0123456789abcdef0123456789abcdef"
RESET = ProviderFault(FaultKind.CONNECTION, f"reset while using {KEY}")
USAGE = Usage(input_tokens=10, output_tokens=5, total_tokens=15, cost=0.001, raw={"total_tokens": 15})


def status(code: int, message: str = "no", **more: object) -> ProviderFault:
    return ProviderFault(FaultKind.STATUS, message, code, **more)


def finished(*output: object, **more: object) -> ResponseFinished:
    return ResponseFinished(FinishStatus.COMPLETED, USAGE, output=output, **more)


def say(text: str) -> MessageItem:
    return MessageItem(Role.ASSISTANT, (TextPart(text),), "msg")


def user(text: str) -> ChatMessage:
    return ChatMessage(Role.USER, (TextPart(text),))


class PlainCodec:
    """Keeps items as they are, behind a JSON object that only it reads."""

    def __init__(self) -> None:
        self.items: list = []

    def encode(self, item: object) -> dict:
        self.items.append(item)
        return {"at": len(self.items) - 1}

    def kind_of(self, item: object) -> str:
        return OpenRouterItemCodec().kind_of(item)

    def decode(self, payload: dict) -> object:
        if "at" not in payload:
            raise ValueError("broken")
        return self.items[payload["at"]]


class PlainStore:
    """An artifact store in a dictionary, which can be made to fail; ``log`` holds what was asked."""

    def __init__(self) -> None:
        self.rows: dict[str, Artifact] = {}
        self.fails = False
        self.log: list[str] = []

    def _note(self, what: str) -> None:
        self.log.append(what)
        if self.fails:
            raise ArtifactStoreError("database is locked")

    async def save(self, artifacts: Sequence[Artifact], policy: StorePolicy) -> frozenset[str]:
        self._note("save")
        self.rows |= {artifact.id: artifact for artifact in artifacts}
        return frozenset(artifact.id for artifact in artifacts)

    async def load(self, chat_id: str, ids: Sequence[str], policy: StorePolicy) -> dict[str, Artifact]:
        self._note("load")
        return {one: self.rows[one] for one in ids if one in self.rows and self.rows[one].chat_id == chat_id}

    async def delete(self, chat_id: str, ids: Sequence[str], policy: StorePolicy) -> int:
        self._note("delete")
        return sum(self.rows.pop(one, None) is not None for one in ids)


class ShortSleeps(ManualClock):
    """Back-offs pass at once; time limits (ten seconds and more) never strike."""

    async def sleep(self, seconds: float) -> None:
        if seconds >= 10:
            await super().sleep(seconds)
            return
        self.sleeps.append(seconds)
        await asyncio.sleep(0)
        self.advance(seconds)


class House:
    """A conversation over fakes; ``change`` replaces policies."""

    def __init__(
        self,
        *scripts: Sequence,
        fallback: Callable | None = None,
        entries: Sequence | None = None,
        clock: ManualClock | None = None,
    ) -> None:
        self.clock = clock or ShortSleeps()
        self.provider = ScriptedProvider(scripts, **({"fallback": fallback} if fallback else {}))
        self.source = ScriptedCatalog(entries or [card_entry("acme/one"), card_entry("acme/two")])
        self.admission = Admission()
        self.breakers = Breakers(self.clock)
        self.store = PlainStore()
        self.metrics = MemoryMetrics()
        self.costs = MemoryCostSink()
        self.toolbox = MemoryToolbox()
        self.policies = TurnPolicies(
            connection=Connection("https://openrouter.test", Secret(KEY), "https://x.test", "x"),
            selection=SelectionPolicy(),
            endpoint=EndpointPolicy(Endpoint.RESPONSES),
            shaping=ShapingPolicy(),
            history=HistoryPolicy(10, 5, "user_turn_only", "conversation", True),
            tools=ToolPolicy(),
            admission=AdmissionPolicy(10),
            breaker=BreakerPolicy(3, 60.0, 5),
            store=StorePolicy("pipe", Secret("")),
            errors=ErrorPolicy({}),
            streaming=StreamingPolicy(show_final_usage_status=False),
        )
        self.conversation = self.conversation_over(self.provider)

    def conversation_over(self, provider: ScriptedProvider) -> Conversation:
        return Conversation(
            provider,
            CatalogService(self.source, self.clock),
            self.admission,
            self.breakers,
            self.store,
            PlainCodec(),
            self.clock,
            CountingIds(),
            SteadyRandomness(),
            lambda _: self.policies,
            self.metrics,
            MemoryFetcher(),
            self.costs,
        )

    def change(self, **policies: object) -> House:
        self.policies = attrs.evolve(self.policies, **policies)
        return self

    def request(self, *messages: ChatMessage, **more: object) -> ChatRequest:
        given = {
            "model": "acme.one",
            "messages": messages or (user("hi"),),
            "settings": Settings(API_KEY=Secret(KEY)),
            "request_id": "r1",
            "identity": Identity("u1", "s1", "c1", "m1", "u@x.test", "U"),
        }
        return ChatRequest(**{**given, **more})

    async def hear(self, *messages: ChatMessage, **more: object) -> list:
        return [event async for event in self.conversation.respond(self.request(*messages, **more))]

    def tool(self, name: str, function: Callable) -> House:
        self.toolbox.add(ToolSpec(name, "does", {"type": "object", "properties": {}}), function)
        return self

    @property
    def idle(self) -> bool:
        return self.admission.running == self.admission.waiting == self.provider.open_streams == 0


def of(events: list, kind: type) -> list:
    return [event for event in events if isinstance(event, kind)]


def text(events: list) -> str:
    return "".join(event.text for event in of(events, TextAdded))


def terminal(events: list) -> Completed | Failed:
    (last,) = of(events, Completed | Failed)
    assert events[-1] is last
    return last


def call(name: str = "look", call_id: str = "call_1", arguments: str = "{}") -> FunctionCallItem:
    return FunctionCallItem(call_id, name, arguments, f"fc_{call_id}")


def calling(*calls: FunctionCallItem, thought: ReasoningItem | None = None, said: str = "") -> list[ProviderEvent]:
    items = [*([thought] if thought else []), *([say(said)] if said else []), *calls]
    return [*(ItemFinished(at, item) for at, item in enumerate(items)), finished(*items)]


async def look(arguments: object) -> str:
    return "seen"


# A turn without trouble


async def test_a_turn_is_its_text_and_one_last_event() -> None:
    house = House(answer("Hello there", reasoning="Greet."))
    events = await house.hear()
    assert text(events) == "Hello there"
    assert "".join(event.text for event in of(events, ReasoningAdded)) == "Greet."
    assert terminal(events).model == "memory/echo"
    assert terminal(events).usage.rounds == 1
    assert house.idle


async def test_the_last_status_tells_time_tokens_and_cost() -> None:
    house = House([TextDelta(0, 0, "a"), finished()]).change(streaming=StreamingPolicy())
    (line,) = of(await house.hear(), StatusChanged)
    assert line.done
    assert line.text == "Time: 0.0s | Cost $0.001 | Total tokens: 15 (Input: 10, Output: 5)"


async def test_without_the_usage_status_only_a_shown_status_is_ended() -> None:
    house = House(answer("x"), [ReasoningDelta(0, 0, "hm", summary=True), TextDelta(1, 0, "a"), finished()])
    assert of(await house.hear(), StatusChanged) == []
    house.change(streaming=StreamingPolicy(thinking_output_mode="status", show_final_usage_status=False))
    assert of(await house.hear(), StatusChanged) == [
        StatusChanged("Thinking…"),
        StatusChanged("hm"),
        StatusChanged("Done", done=True),
    ]


async def test_an_incomplete_answer_says_why() -> None:
    cut = ResponseFinished(FinishStatus.INCOMPLETE, reason="max_output_tokens")
    events = await House([TextDelta(0, 0, "Once"), cut]).hear()
    assert "limit of output tokens" in of(events, NoticeAdded)[0].text
    assert terminal(events).reason == "max_output_tokens"


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("model_got-tired", "model_got-tired"),
        ('x)*\n\n<details type="tool_calls" done="true">', "x details type tool_calls done true"),
        ("\u202e![a](https://evil.test/a.png)", "a https evil test a png"),
        ("é" * 9, "no reason given"),
        ("long" * 1000, "long" * 16),
    ],
)
async def test_a_reason_nobody_knows_is_told_as_words_only(reason: str, told: str) -> None:
    cut = ResponseFinished(FinishStatus.INCOMPLETE, reason=reason)
    events = await House([TextDelta(0, 0, "Once"), cut]).hear()
    assert of(events, NoticeAdded)[0].text == f"*The answer is incomplete ({told}).*"


async def test_a_generated_image_is_stored_and_linked() -> None:
    picture = ImageItem("ig", "data:image/png;base64,iVBORw0KGgo=")
    files = MemoryFileStore()
    script = [ItemFinished(0, picture), finished(picture)]
    house = House(script, script, script)
    events = await house.hear(files=files, persistent=True)
    (stored,) = files.files.values()
    assert stored.data.startswith(b"\x89PNG")
    (produced,) = of(events, ImageProduced)
    assert produced.url.startswith("/api/v1/files/")
    assert of(events, ItemClosed)[0].item.url == produced.url
    assert of(await house.hear(persistent=True), ImageProduced) == [ImageProduced(picture.url)]
    # A chat that is not kept leaves nothing behind.
    assert of(await house.hear(files=files), ImageProduced) == [ImageProduced(picture.url)]
    assert len(files.files) == 1


@pytest.mark.parametrize(
    "url",
    [
        "data:image/svg+xml;base64,PHN2Zz4=",
        "data:image/png;base64,PHN2Zz4=",
        "data:image/png;base64,%%%",
        "data:image/png,x",
    ],
)
async def test_an_image_that_cannot_be_stored_is_passed_on_as_sent(url: str) -> None:
    files = MemoryFileStore()
    house = House([ItemFinished(0, ImageItem("ig", url)), finished()])
    assert of(await house.hear(files=files, persistent=True), ImageProduced) == [ImageProduced(url)]
    assert files.files == {}


# Refusals


@pytest.mark.parametrize(
    ("change", "more", "code"),
    [
        ({}, {"messages": ()}, "bad_request"),
        ({}, {"model": " "}, "bad_request"),
        ({}, {"model": "acme.none"}, "model_not_found"),
        ({"selection": SelectionPolicy("acme/two")}, {}, "model_restricted"),
        ({"connection": Connection("https://x.test", Secret(""), "", "")}, {}, "not_configured"),
    ],
)
async def test_what_cannot_be_answered_is_refused_without_asking_the_provider(
    change: dict, more: dict, code: str
) -> None:
    house = House().change(**change)
    events = [event async for event in house.conversation.respond(attrs.evolve(house.request(), **more))]
    assert terminal(events).code == code
    assert len(events) == 1
    assert house.provider.requests == []
    assert house.idle


async def test_a_catalogue_out_of_reach_does_not_lock_anyone_out() -> None:
    """Where there has never been one, a request goes out with what is known of the model: its name."""
    house = House()
    house.source.fault = RESET
    for _ in range(5):
        assert isinstance(terminal(await house.hear()), Completed)
    assert {request.model for request in house.provider.requests} == {"acme/one"}
    assert house.source.fetches == 2  # the first, and one more within the wait
    house.source.fault = None
    house.clock.advance(3600)
    assert isinstance(terminal(await house.hear()), Completed)


@pytest.mark.parametrize(
    "selection", [SelectionPolicy(free="only"), SelectionPolicy(tools="exclude"), SelectionPolicy("other/model")]
)
async def test_without_a_catalogue_what_is_restricted_is_refused_and_told_why(selection: SelectionPolicy) -> None:
    house = House().change(selection=selection)
    house.source.fault = RESET
    for _ in range(2):
        end = terminal(await house.hear())
        assert isinstance(end, Failed)
        assert end.code == "connection_error"
    assert house.provider.requests == []
    assert house.idle


async def test_a_full_waiting_room_refuses_at_once() -> None:
    house = House().change(admission=AdmissionPolicy(1, 0))
    first = house.conversation.respond(house.request())
    await anext(first)
    assert terminal(await house.hear()).status == 503
    await first.aclose()
    assert isinstance(terminal(await house.hear()), Completed)
    assert house.idle


async def test_an_open_breaker_refuses_at_once_and_takes_no_place_in_the_queue() -> None:
    house = House([status(503)] * 9, fallback=lambda request: [status(503)])
    house.change(admission=AdmissionPolicy(1), breaker=BreakerPolicy(1, 60.0, 5))
    assert terminal(await house.hear()).code == "service_error"
    await house.admission.enter("another", AdmissionPolicy(1))
    async with asyncio.timeout(5):
        assert terminal(await house.hear()).code == "breaker_open"
    house.admission.leave()
    assert house.idle


async def test_a_raised_limit_is_heard_of_with_the_list_of_models_too() -> None:
    house = House().change(admission=AdmissionPolicy(1))
    await house.admission.enter("u0", AdmissionPolicy(1))
    waiting = asyncio.ensure_future(house.hear())
    while not house.admission.waiting:
        await asyncio.sleep(0)
    house.change(admission=AdmissionPolicy(2))
    await house.conversation.models(Settings(API_KEY=Secret(KEY)))
    async with asyncio.timeout(5):
        assert isinstance(terminal(await waiting), Completed)
    house.admission.leave()
    assert house.idle


async def test_the_unexpected_ends_as_an_internal_error_with_the_id_of_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = House(fallback=lambda request: 1 / 0)
    last = terminal(await house.hear())
    assert last.code == "internal_error"
    assert "ZeroDivisionError" in caplog.text
    assert last.error_id in caplog.text
    assert "Traceback" not in last.text
    assert house.idle


async def test_no_secret_is_shown_or_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    events = await House(*[[RESET]] * 3).hear()
    assert KEY not in repr(events)
    assert KEY not in caplog.text
    assert terminal(events).error_id in caplog.text


# Attempts


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 529])
async def test_a_passing_fault_before_anything_is_seen_is_tried_again(code: int) -> None:
    house = House([status(code)], [status(code)], answer("ok"))
    events = await house.hear()
    assert text(events) == "ok"
    assert len(house.provider.requests) == 3
    assert house.clock.sleeps == [0.75, 1.5]


@pytest.mark.parametrize(
    "fault",
    [
        status(400),
        status(401),
        status(402),
        status(413),
        status(503, retryable=False),
        ProviderFault(FaultKind.READ_TIMEOUT, "silence"),
        status(429, retry_after=3600.0),
    ],
)
async def test_other_faults_are_told_at_once(fault: ProviderFault) -> None:
    house = House([fault], answer("never"))
    assert terminal(await house.hear()).partial is False
    assert len(house.provider.requests) == 1


async def test_a_fault_that_the_provider_calls_passing_is_tried_again() -> None:
    """Credits that requests still running have reserved: the status alone would say that waiting is of no use."""
    house = House([status(402, retryable=True, retry_after=7.0)], answer("ok"))
    assert text(await house.hear()) == "ok"
    assert house.clock.sleeps == [7.0]


async def test_retry_after_is_honoured_within_the_total_timeout() -> None:
    house = House([status(429, retry_after=7.0)], answer("ok"), [status(429, retry_after=7.0)])
    assert text(await house.hear()) == "ok"
    assert house.clock.sleeps == [7.0]
    house.change(connection=attrs.evolve(house.policies.connection, total_timeout=5.0))
    assert isinstance(terminal(await house.hear()), Failed)


class SlowFirst(ScriptedProvider):
    """Each answer takes two seconds of the house's clock to fail; ``limits`` is what time each was given."""

    clock: ManualClock

    async def stream(self, request: ProviderRequest, connection: Connection) -> AsyncGenerator[ProviderEvent, None]:
        self.limits = [*getattr(self, "limits", []), connection.total_timeout]
        self.clock.advance(2.0)
        async with aclosing(super().stream(request, connection)) as events:
            async for event in events:
                yield event


@pytest.mark.parametrize(
    "first", [status(503), status(400, "Unsupported value: 'medium'. Supported values are: 'low', 'high'. effort")]
)
async def test_what_is_left_of_the_total_timeout_is_all_that_another_attempt_gets(first: ProviderFault) -> None:
    late = ProviderFault(FaultKind.TOTAL_TIMEOUT, "no complete answer within 2 seconds", timeout=2.0)
    house = House()
    house.provider = slow = SlowFirst([[first], [late]])
    house.conversation = house.conversation_over(slow)
    slow.clock = house.clock
    house.change(connection=attrs.evolve(house.policies.connection, total_timeout=5.0))
    house.change(errors=ErrorPolicy({"NETWORK_TIMEOUT_TEMPLATE": "after {timeout_seconds} s"}))
    assert terminal(await house.hear()).text.strip() == "after 5 s"
    assert slow.limits[0] == 5.0
    assert 0 < slow.limits[1] <= 3.0


@pytest.mark.parametrize("listed", ["older-key-one, older-key-two", '["older-key-one", "older-key-two"]'])
async def test_each_of_the_older_keys_is_taken_out_of_what_is_told(
    listed: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(API_KEY=Secret(KEY), ARTIFACT_ENCRYPTION_PREVIOUS_KEYS=Secret(listed))
    house = House([status(400, "older-key-one and older-key-two are in it")])
    last = terminal(await house.hear(settings=settings))
    assert "are in it" in last.text
    assert "older-key" not in last.text + caplog.text


async def test_three_attempts_at_most() -> None:
    house = House(*[[RESET]] * 5)
    assert isinstance(terminal(await house.hear()), Failed)
    assert len(house.provider.requests) == 3


async def test_a_failed_attempt_leaves_no_trace() -> None:
    thought = ReasoningItem("r", encrypted="x")
    house = House([ItemFinished(0, thought), ItemFinished(1, call()), RESET], answer("ok"))
    events = await house.hear()
    assert of(events, ItemOpened) == [ItemOpened(0, ItemKind.MESSAGE, "msg_memory")]


@pytest.mark.parametrize("first", [TextDelta(0, 0, "Part"), ReasoningDelta(0, 0, "Part", summary=True)])
@pytest.mark.parametrize("fault", [RESET, status(429), None])
async def test_after_the_first_visible_event_nothing_is_sent_again(first: object, fault: ProviderFault | None) -> None:
    house = House([first, *([fault] if fault else [])], answer("never"))
    events = await house.hear()
    assert len(house.provider.requests) == 1
    last = terminal(events)
    assert last.partial
    assert of(events, NoticeAdded) == [NoticeAdded(last.text)]
    assert "never" not in text(events)
    assert of(events, ItemClosed)


async def test_an_error_as_first_and_only_event_is_tried_again() -> None:
    fault = ProviderFault(FaultKind.STREAM, "overloaded", 502)
    house = House([ResponseFinished(FinishStatus.FAILED, fault=fault)], [], answer("ok"))
    assert text(await house.hear()) == "ok"
    assert len(house.provider.requests) == 3


UNREADABLE = status(400, "Provider returned error", metadata={"raw": '{"error":{"code":"invalid_encrypted_content"}}'})


def thinks(name: str) -> ReasoningItem:
    return ReasoningItem(name, encrypted=f"secret of {name}", format="openai-responses-v1")


async def test_refused_reasoning_of_this_turn_costs_one_more_request_and_is_not_sent_again() -> None:
    rounds = [calling(call(call_id=f"call_{n}"), thought=thinks(f"rs_{n}")) for n in range(3)]
    house = House(rounds[0], [UNREADABLE], rounds[1], rounds[2], answer("done")).tool("look", look)
    events = await house.hear(toolbox=house.toolbox)
    assert text(events) == "done"
    sent = [
        [item.id if isinstance(item, ReasoningItem) else item.call_id for item in request.input[1:]]
        for request in house.provider.requests
    ]
    assert sent == [
        [],
        ["rs_0", "call_0", "call_0"],
        ["call_0", "call_0"],
        ["call_0", "call_0", "rs_1", "call_1", "call_1"],
        ["call_0", "call_0", "rs_1", "call_1", "call_1", "rs_2", "call_2", "call_2"],
    ]
    assert [request.input[0] for request in house.provider.requests] == [house.provider.requests[0].input[0]] * 5


async def test_reasoning_that_is_refused_twice_in_a_round_ends_the_turn() -> None:
    house = House(calling(call(), thought=thinks("rs")), [UNREADABLE], [UNREADABLE]).tool("look", look)
    events = await house.hear(toolbox=house.toolbox)
    assert isinstance(terminal(events), Failed)
    assert len(house.provider.requests) == 3


async def test_reasoning_is_not_refused_away_after_visible_output() -> None:
    first = calling(call(), thought=thinks("rs"))
    house = House(first, [TextDelta(0, 0, "Par"), UNREADABLE]).tool("look", look)
    events = await house.hear(toolbox=house.toolbox)
    assert terminal(events).partial
    assert len(house.provider.requests) == 2


async def test_a_refused_effort_costs_exactly_one_more_request() -> None:
    refusal = status(
        400, "Unsupported value: 'medium'. Supported values are: 'low' and 'high'.", body="reasoning.effort"
    )
    house = House([refusal], answer("ok"))
    events = await house.hear()
    assert text(events) == "ok"
    first, second = house.provider.requests
    assert first.reasoning.effort == "medium"
    assert second.reasoning.effort in {"low", "high"}
    assert "effort" in of(events, StatusChanged)[0].text
    assert of(events, StatusChanged)[-1].done


async def test_an_unserved_endpoint_falls_back_to_chat_completions_once() -> None:
    refusal = status(404, "This model is not supported on the Responses API")
    house = House([refusal], answer("ok"), [refusal], [refusal])
    assert text(await house.hear()) == "ok"
    assert [request.endpoint for request in house.provider.requests] == [
        Endpoint.RESPONSES,
        Endpoint.CHAT_COMPLETIONS,
    ]
    house.change(endpoint=EndpointPolicy(Endpoint.RESPONSES, fallback=False))
    assert isinstance(terminal(await house.hear()), Failed)
    assert len(house.provider.requests) == 3


async def test_fallback_models_obey_the_operators_list() -> None:
    house = House(answer("ok")).change(selection=SelectionPolicy("acme/one"))
    await house.hear(parameters={"model_fallback": "acme/two"})
    assert house.provider.requests[0].fallback_models == ()


# Breaker


async def test_provider_failures_open_the_breaker_once_a_turn_and_client_mistakes_do_not() -> None:
    house = House(*[[status(400)]] * 5)
    for _ in range(5):
        await house.hear()
    assert len(house.provider.requests) == 5
    house.provider.queue(*[[status(500)]] * 9)
    for _ in range(3):
        await house.hear()
    assert len(house.provider.requests) == 14
    assert terminal(await house.hear()).code == "breaker_open"
    assert len(house.provider.requests) == 14
    house.clock.advance(61)
    assert isinstance(terminal(await house.hear()), Completed)


# Tools


async def test_a_tool_round_sends_everything_back_verbatim_and_in_order() -> None:
    thought = ReasoningItem("rs", encrypted="gAAA", format="openai-responses-v1", payload={"exact": "bytes"})
    asked = call()
    house = House(calling(asked, thought=thought, said="Let me look."), answer("done")).tool("look", look)
    events = await house.hear(toolbox=house.toolbox)
    assert text(events) == "Let me look.done"
    first, second = house.provider.requests
    added = second.input[len(first.input) :]
    assert added == (thought, say("Let me look."), asked, FunctionOutputItem("call_1", "seen"))
    assert second.tools == first.tools != ()
    assert terminal(events).usage.rounds == 2
    assert of(events, ToolStarted) == [ToolStarted(2, asked)]
    (ended,) = of(events, ToolFinished)
    assert ended.index == 3
    assert of(events, ItemOpened)[-1].index == 4


async def test_parallel_calls_are_paired_and_ordered_by_call_id() -> None:
    gate = asyncio.Event()

    async def slow(arguments: object) -> str:
        await gate.wait()
        return "slow"

    async def fast(arguments: object) -> str:
        gate.set()
        return "fast"

    calls = (call("slow", "c1"), call("fast", "c2"), call("absent", "c3"))
    house = House(calling(*calls), answer("done")).tool("slow", slow).tool("fast", fast)
    events = await house.hear(toolbox=house.toolbox)
    outputs = [item for item in house.provider.requests[1].input if isinstance(item, FunctionOutputItem)]
    assert [output.call_id for output in outputs] == ["c1", "c2", "c3"]
    assert [output.output for output in outputs[:2]] == ["slow", "fast"]
    indices = [event.index for event in of(events, ToolFinished)]
    assert indices == sorted(indices) == [3, 4, 5]


async def test_think_call_think_call_keeps_its_interleave_over_rounds() -> None:
    one, two = (ReasoningItem(f"r{n}", text=("t",), signature=f"s{n}", format="anthropic-claude-v1") for n in (1, 2))
    a, b = call(call_id="toolu_1"), call(call_id="toolu_2")
    house = House(calling(a, thought=one), calling(b, thought=two), answer("done")).tool("look", look)
    await house.hear(toolbox=house.toolbox)
    added = house.provider.requests[2].input[1:]
    assert added == (
        one,
        a,
        FunctionOutputItem("toolu_1", "seen"),
        two,
        b,
        FunctionOutputItem("toolu_2", "seen"),
    )


async def test_at_the_limit_the_model_gets_stubs_and_one_last_round_without_tools() -> None:
    house = House(
        fallback=lambda request: calling(call(call_id=f"c{len(request.input)}")) if request.tools else answer("done")
    )
    house.change(tools=ToolPolicy(max_loops=2)).tool("look", look)
    events = await house.hear(toolbox=house.toolbox)
    assert text(events) == "done"
    assert len(house.toolbox.calls) == 2
    assert len(house.provider.requests) == 4
    assert house.provider.requests[-1].tools == ()
    assert "limit" in house.provider.requests[-1].input[-1].output
    assert [event.output.ok for event in of(events, ToolFinished)] == [True, True, False]
    assert len(of(events, NoticeAdded)) == 1
    assert isinstance(terminal(events), Completed)


async def test_a_failure_in_a_later_round_repeats_the_request_but_never_the_tool() -> None:
    house = House(calling(call(), said="Hm. "), [RESET], [status(503)], answer("done")).tool("look", look)
    events = await house.hear(toolbox=house.toolbox)
    assert text(events) == "Hm. done"
    assert len(house.toolbox.calls) == 1
    assert house.provider.requests[1] == house.provider.requests[2] == house.provider.requests[3]


async def test_a_later_round_that_fails_for_good_keeps_what_was_shown() -> None:
    house = House(calling(call(), said="Hm."), [status(400)]).tool("look", look)
    events = await house.hear(toolbox=house.toolbox)
    assert text(events) == "Hm."
    assert terminal(events).partial
    assert len(of(events, NoticeAdded)) == 1


async def test_a_call_that_never_ran_is_shown_with_an_output_saying_so() -> None:
    house = House([TextDelta(0, 0, "a"), ItemFinished(1, call()), RESET]).tool("look", look)
    events = await house.hear(toolbox=house.toolbox)
    (ended,) = of(events, ToolFinished)
    assert not ended.output.ok
    assert house.toolbox.calls == []
    assert terminal(events).partial


async def test_an_incomplete_answer_runs_no_tools() -> None:
    cut = ResponseFinished(FinishStatus.INCOMPLETE, reason="max_output_tokens", output=(call(arguments='{"a'),))
    house = House([cut]).tool("look", look)
    assert terminal(await house.hear(toolbox=house.toolbox)).reason == "max_output_tokens"
    assert house.toolbox.calls == []


async def test_a_call_where_we_offer_no_function_ends_the_turn() -> None:
    house = House(fallback=lambda _: calling(call("web_search")))
    hosted = {"type": "openrouter:web_search"}
    events = await house.hear(toolbox=house.toolbox, parameters={"tools": [hosted]})
    assert len(house.provider.requests) == 1
    assert house.provider.requests[0].tools != ()
    assert [event.item for event in of(events, ItemClosed)] == [call("web_search")]
    assert of(events, ToolStarted) == of(events, ToolFinished) == []
    assert isinstance(terminal(events), Completed)
    assert house.idle


async def test_calls_of_a_callers_own_tools_are_handed_over() -> None:
    own = {"type": "function", "name": "mine", "parameters": {"type": "object"}}
    house = House(calling(call("mine")))
    events = await house.hear(parameters={"tools": [own]})
    assert [event.item for event in of(events, ItemClosed)] == [call("mine")]
    assert of(events, ToolStarted) == of(events, ToolFinished) == []
    assert isinstance(terminal(events), Completed)
    assert len(house.provider.requests) == 1


async def test_a_model_that_cannot_call_functions_gets_none() -> None:
    house = House(answer("ok"), entries=[card_entry("acme/one", "temperature")]).tool("look", look)
    await house.hear(toolbox=house.toolbox)
    assert house.provider.requests[0].tools == ()


@pytest.mark.parametrize(("characters", "passes"), [(24_000, True), (44_000, False)])
async def test_a_result_beyond_the_context_becomes_a_stub_that_says_so(characters: int, passes: bool) -> None:
    async def big(arguments: object) -> str:
        return "x" * characters

    entry = card_entry("acme/one", context_length=10_000)
    house = House(calling(call("big")), answer("ok"), entries=[entry]).tool("big", big)
    await house.hear(toolbox=house.toolbox)
    sent = house.provider.requests[1].input[-1].output
    assert (len(sent) == characters) is passes
    assert passes or ("44000 characters" in sent and "big" in sent)
    assert house.provider.requests[1].tools != ()


@pytest.mark.parametrize("reads_images", [True, False])
async def test_a_tools_image_goes_only_to_a_model_that_reads_images(reads_images: bool) -> None:
    image = ImagePart("data:image/png;base64,AAAA")

    async def draw(arguments: object) -> ToolOutput:
        return ToolOutput("call_1", "drawn", parts=(TextPart("drawn"), image))

    entry = card_entry("acme/one")
    inputs = ["text", "image"] if reads_images else ["text"]
    entry = {**entry, "architecture": {**entry["architecture"], "input_modalities": inputs}}
    house = House(calling(call("draw")), answer("ok"), entries=[entry]).tool("draw", draw)
    await house.hear(toolbox=house.toolbox)
    sent = house.provider.requests[1].input[-1].output
    if reads_images:
        assert sent == (TextPart("drawn"), image)
    else:
        assert sent == "drawn\n[The tool also gave an image. You cannot read it; the user can see it.]"


async def test_a_tool_that_raises_runs_once_and_the_answer_goes_on() -> None:
    runs = []

    async def mail(arguments: object) -> str:
        runs.append(1)
        raise RuntimeError(f"smtp said {KEY}")

    house = House(calling(call("mail")), answer("sorry")).tool("mail", mail)
    events = await house.hear(toolbox=house.toolbox)
    assert runs == [1]
    assert text(events) == "sorry"
    assert KEY not in repr(house.provider.requests[1].input) + str(house.provider.requests[1].input[-1].output)


async def test_what_tools_say_survives_without_lone_surrogates() -> None:
    async def odd(arguments: object) -> ToolOutput:
        return ToolOutput("call_1", "a\ud800b")

    house = House(calling(call("odd")), answer("ok")).tool("odd", odd)
    await house.hear(toolbox=house.toolbox)
    assert house.provider.requests[1].input[-1].output == "a\ufffdb"


# Memory


THOUGHT = ReasoningItem("rs", text=("why",), signature="sig", format="anthropic-claude-v1")


async def test_artifacts_are_durable_before_their_marker_is_shown_and_come_back_in_one_query() -> None:
    house = House(calling(call(), thought=THOUGHT), answer("done", model="acme/one"), answer("again")).tool(
        "look", look
    )
    shown: list = []
    async for event in house.conversation.respond(house.request(toolbox=house.toolbox, persistent=True)):
        if isinstance(event, MarkersIssued):
            assert house.store.rows
        shown.append(event)
    (issued,) = of(shown, MarkersIssued)
    assert isinstance(shown[-1], Completed)
    said = ChatMessage(Role.ASSISTANT, (TextPart(text(shown) + issued.text),))
    house.store.log.clear()
    await house.hear(user("hi"), said, user("and?"), persistent=True)
    assert house.store.log[0] == "load"
    assert house.store.log.count("load") == 1
    replayed = house.provider.requests[2].input[1:5]
    assert replayed[:3] == (THOUGHT, call(), FunctionOutputItem("call_1", "seen"))
    assert replayed[3].parts[0].text.strip() == "done"


@pytest.mark.parametrize(
    "more",
    [
        {"persistent": False},
        {"persistent": True, "task": Task("title_generation")},
        {"persistent": True, "identity": Identity("u1", "s1", "", "m1")},
    ],
)
async def test_nothing_is_left_behind_where_nothing_may_be(more: dict) -> None:
    house = House([ItemFinished(0, THOUGHT), ItemFinished(1, say("x")), finished()])
    await house.hear(**more)
    assert house.store.log == []


async def test_a_store_that_fails_costs_the_memory_and_is_told_once() -> None:
    house = House(fallback=lambda request: [ItemFinished(0, THOUGHT), ItemFinished(1, say("ok")), finished()])
    house.store.fails = True
    marked = ChatMessage(Role.ASSISTANT, (TextPart("x\n\n[0123456789ABCDEFGHJK]: #\n"),))
    for _ in range(5):
        events = await house.hear(user("hi"), marked, user("and?"), persistent=True)
        assert text(events) == "ok"
        assert of(events, MarkersIssued) == []
        assert len([event for event in of(events, Notified) if "memory" in event.text]) == 1
        assert isinstance(terminal(events), Completed)
    assert house.store.log.count("save") == 1, "after three failures (two in the first turn) no write is tried"
    assert house.store.log.count("load") == 2, "nor a read, unless there is a cache"


async def test_reasoning_kept_for_one_reply_goes_after_it() -> None:
    kept = [ItemFinished(0, THOUGHT), ItemFinished(1, say("ok")), finished(THOUGHT, say("ok"))]
    house = House(kept, answer("second")).change(history=HistoryPolicy(10, 5, "user_turn_only", "next_reply", True))
    (issued,) = of(await house.hear(persistent=True), MarkersIssued)
    assert len(house.store.rows) == 1
    said = ChatMessage(Role.ASSISTANT, (TextPart("ok" + issued.text),))
    await house.hear(user("hi"), said, user("and?"), persistent=True)
    assert THOUGHT in house.provider.requests[1].input
    assert house.store.rows == {}


async def test_tool_results_of_an_interrupted_turn_are_remembered() -> None:
    house = House(calling(call(), thought=THOUGHT), [TextDelta(0, 0, "Par"), RESET]).tool("look", look)
    events = await house.hear(toolbox=house.toolbox, persistent=True)
    assert terminal(events).partial
    assert {row.item_type for row in house.store.rows.values()} >= {
        "reasoning",
        "function_call",
        "function_call_output",
    }
    assert of(events, MarkersIssued)


# Tasks


async def test_a_task_is_bare_of_everything_but_its_text() -> None:
    script = [ReasoningDelta(0, 0, "hm", summary=True), TextDelta(1, 0, '{"title":"x"}'), finished()]
    house = House(script).tool("look", look)
    house.change(streaming=StreamingPolicy(thinking_output_mode="both"), selection=SelectionPolicy("acme/two"))
    events = await house.hear(task=Task("title_generation"), toolbox=house.toolbox, stream=True)
    assert {type(event) for event in events} == {ItemOpened, TextAdded, ItemClosed, Completed}
    (sent,) = house.provider.requests
    assert (sent.stream, sent.tools, sent.plugins) == (False, (), ())


async def test_a_task_has_two_attempts() -> None:
    house = House(*[[RESET]] * 4)
    assert isinstance(terminal(await house.hear(task=Task("tags_generation"))), Failed)
    assert len(house.provider.requests) == 2


async def test_costs_are_exported_once_a_round_where_asked() -> None:
    house = House(calling(call()), answer("done"), [TextDelta(0, 0, "x"), finished()]).tool("look", look)
    house.change(cost_ttl_seconds=900)
    await house.hear(toolbox=house.toolbox)
    await house.hear(task=Task("title_generation"))
    assert [who for who, _ in house.costs.snapshots] == ["u1", "u1"]  # the plain answer has no usage object of its own
    assert {(one.guid, one.model) for _, one in house.costs.snapshots} == {("u1", "acme/one")}


# Cancellation and pace


class Endless:
    """A provider whose stream never ends by itself; ``open`` counts running streams."""

    def __init__(self, *, silent: bool = False) -> None:
        self.open = 0
        self._silent = silent

    async def stream(self, request: ProviderRequest, connection: Connection) -> AsyncGenerator[ProviderEvent, None]:
        self.open += 1
        try:
            while True:
                await asyncio.sleep(3600 if self._silent else 0)
                yield TextDelta(0, 0, "x")
        finally:
            self.open -= 1


def endless(house: House, *, silent: bool = False) -> Endless:
    provider = Endless(silent=silent)
    services = house.conversation
    house.conversation = Conversation(
        provider,
        CatalogService(house.source, house.clock),
        house.admission,
        house.breakers,
        None,
        PlainCodec(),
        house.clock,
        CountingIds(),
        SteadyRandomness(),
        lambda _: house.policies,
        house.metrics,
        MemoryFetcher(),
    )
    assert services is not house.conversation
    return provider


async def test_closing_the_answer_closes_the_stream_and_returns_the_permit() -> None:
    house = House()
    provider = endless(house)
    async with aclosing(house.conversation.respond(house.request())) as events:
        async for event in events:
            if isinstance(event, TextAdded):
                assert provider.open == house.admission.running == 1
                break
    assert provider.open == house.admission.running == 0


async def test_cancelling_while_the_provider_is_silent_closes_everything() -> None:
    house = House()
    provider = endless(house, silent=True)
    task = asyncio.ensure_future(house.hear())
    while not provider.open:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert provider.open == house.admission.running == 0


async def test_closing_while_a_tool_runs_cancels_it() -> None:
    ended = asyncio.Event()

    async def hang(arguments: object) -> str:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()
        return ""

    house = House(calling(call("hang"))).tool("hang", hang)
    async with aclosing(house.conversation.respond(house.request(toolbox=house.toolbox))) as events:
        async for event in events:
            if isinstance(event, ToolStarted):
                await asyncio.sleep(0)
                break
    assert ended.is_set() or house.toolbox.calls == []
    assert house.idle
    await asyncio.sleep(0)  # a cancelled timer needs one step to end
    assert len(asyncio.all_tasks()) == 1


@given(stop=st.integers(0, 12), pace=st.lists(st.integers(0, 3), max_size=12))
@settings(max_examples=60, deadline=None)
def test_a_turn_closed_at_any_point_releases_everything(stop: int, pace: list[int]) -> None:
    async def scenario() -> None:
        house = House(calling(call(), said="Hm. "), answer("so it is")).tool("look", look)
        heard: list = []
        async with aclosing(
            house.conversation.respond(house.request(toolbox=house.toolbox, persistent=True))
        ) as events:
            async for event in events:
                heard.append(event)
                for _ in range(pace[len(heard)] if len(heard) < len(pace) else 0):
                    await asyncio.sleep(0)
                if len(heard) > stop:
                    break
        assert house.idle
        await asyncio.sleep(0)  # a cancelled timer needs one step to end
        assert len(asyncio.all_tasks()) == 1
        assert "Hm. so it is".startswith(text(heard))
        assert len(of(heard, Completed | Failed)) <= 1

    asyncio.run(scenario())


@given(st.integers(0, 8), st.sampled_from([RESET, status(429), status(400), None]))
@settings(max_examples=60, deadline=None)
def test_any_break_ends_in_exactly_one_terminal_event_with_the_text_so_far(
    length: int, fault: ProviderFault | None
) -> None:
    whole = list(answer("Hello there you", reasoning="Greet them."))

    async def scenario() -> None:
        house = House(fallback=lambda request: [*whole[:length], *([fault] if fault else [])])
        events = await house.hear()
        last = terminal(events)
        said = "".join(event.text for event in whole[:length] if isinstance(event, TextDelta))
        assert text(events) == said
        thought = "".join(event.text for event in whole[:length] if isinstance(event, ReasoningDelta))
        assert isinstance(last, Failed)
        assert last.partial == bool(said or thought)
        assert house.idle

    asyncio.run(scenario())


# Models


async def test_the_list_of_models_obeys_the_filters_and_never_raises() -> None:
    house = House().change(selection=SelectionPolicy("acme/two"))
    assert [model.id for model in await house.conversation.models(Settings())] == ["acme.two"]
    house = House()
    house.source.fault = RESET
    assert await house.conversation.models(Settings()) == ()
    house.policies = None  # type: ignore[assignment]
    assert await house.conversation.models(Settings()) == ()


async def test_turns_are_counted_by_outcome() -> None:
    house = House(answer("ok"), [status(400)])
    await house.hear()
    await house.hear()
    counted = {dict(labels)["outcome"] for (name, labels) in house.metrics.counters if name == "turns"}
    assert "completed" in counted
    assert len(counted) == 2


async def test_a_turn_that_its_user_ended_is_counted_as_cancelled() -> None:
    house = House()
    endless(house)
    async with aclosing(house.conversation.respond(house.request())) as answer:
        async for event in answer:
            if isinstance(event, TextAdded):
                break
    counted = {dict(labels)["outcome"]: n for (name, labels), n in house.metrics.counters.items() if name == "turns"}
    assert counted == {"cancelled": 1}
    assert house.metrics.gauges[("turns_running", ())] == 0


class StoppedClock(ShortSleeps):
    """Works until ``broken``; from then on telling the time raises."""

    broken = False

    def monotonic(self) -> float:
        if self.broken:
            raise OSError("no clock")
        return super().monotonic()

    def now(self) -> datetime:
        if self.broken:
            raise OSError("no clock")
        return super().now()


@pytest.mark.parametrize("after", [0, 1, 2, 3, 5, 100])
async def test_a_clock_that_breaks_ends_the_turn_and_not_the_host(after: int) -> None:
    clock = StoppedClock()
    house = House([TextDelta(0, 0, "a"), TextDelta(0, 0, "b"), finished()], clock=clock)
    clock.broken = after == 0
    events = []
    async for event in house.conversation.respond(house.request()):
        events.append(event)
        clock.broken = clock.broken or len(events) == after
    last = terminal(events)
    assert isinstance(last, Completed) or (last.code == "internal_error" and "Unexpected error" in last.text)
    assert isinstance(last, Failed) or after > 1
    assert house.admission.running == house.provider.open_streams == 0


async def test_a_refusal_that_cannot_be_told_is_still_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    clock = house.clock

    def gone() -> datetime:
        raise OSError("no clock")

    monkeypatch.setattr(clock, "now", gone)
    (last,) = await house.hear(model="acme.none")
    assert (last.code, last.status) == ("model_not_found", 404)
    assert f"Error ID: `{last.error_id}`" in last.text
    assert "Time" not in last.text
