"""Values of the ports through the JSON of a record and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_pipe.adapters.observability.rebuild import RebuildError, rebuild, rebuild_one_of
from openrouter_pipe.adapters.observability.values import plain
from openrouter_pipe.ports.artifacts import Artifact
from openrouter_pipe.ports.catalog import Capabilities, ModelCard, ReasoningSupport
from openrouter_pipe.ports.chat import ChatMessage, ChatRequest, HostToolCall, Identity, Task
from openrouter_pipe.ports.items import (
    AudioPart,
    Citation,
    FilePart,
    FunctionCallItem,
    FunctionOutputItem,
    ImageItem,
    ImagePart,
    ItemKind,
    MessageItem,
    OpaqueItem,
    OpaquePart,
    ReasoningItem,
    RefusalPart,
    Role,
    ServerToolItem,
    TextPart,
    VideoPart,
)
from openrouter_pipe.ports.provider import (
    ArgumentsDelta,
    ArgumentsSnapshot,
    CitationAdded,
    FaultKind,
    FinishStatus,
    ItemFinished,
    ItemStarted,
    ProviderEvent,
    ProviderFault,
    ReasoningDelta,
    ReasoningSnapshot,
    RefusalDelta,
    RefusalSnapshot,
    ResponseFinished,
    ResponseStarted,
    ServerToolProgress,
    TextDelta,
    TextSnapshot,
)
from openrouter_pipe.ports.settings import Settings
from openrouter_pipe.ports.telemetry import Usage
from openrouter_pipe.ports.tools import ToolFile, ToolOutput, ToolSource, ToolSpec

FAULT = ProviderFault(
    FaultKind.STATUS, "no", status=429, retry_after=2.5, metadata={"_": "Popen", "deep": [{"a": None}]}
)
MESSAGE = MessageItem(
    Role.ASSISTANT,
    (TextPart("a", {"type": "ephemeral"}), RefusalPart("b"), OpaquePart({"_": "TextPart", "text": "not one"})),
    id="m",
    citations=(Citation("u", start=1, end=2),),
    payload={"_": "ChatRequest"},
)
EVENTS = (
    ResponseStarted(None, "m"),
    ItemStarted(
        0, ItemKind.REASONING, ReasoningItem("r", ("s",), ("t",), "sealed", "signed", "f", ({"x": 1},), {"y": 2})
    ),
    TextDelta(0, 0, "a"),
    TextSnapshot(0, 0, "a"),
    RefusalDelta(0, 1, "a"),
    RefusalSnapshot(0, 1, "a"),
    ReasoningDelta(0, 0, "a", summary=True),
    ReasoningSnapshot(0, 0, "a", summary=False),
    ArgumentsDelta(3, "{"),
    ArgumentsSnapshot(3, "{}"),
    CitationAdded(0, Citation("u", "t", "c")),
    ServerToolProgress(0, "web_search", "searching"),
    ItemFinished(0, MESSAGE),
    ItemFinished(1, FunctionCallItem("c", "n", "{}", payload={"a": 1})),
    ItemFinished(2, ImageItem("i", "u")),
    ItemFinished(3, ServerToolItem("web_search", sources=(Citation("u"),))),
    ItemFinished(4, OpaqueItem("k", {"_": "k"})),
    ResponseFinished(
        FinishStatus.FAILED, Usage(1, 2, 3, cost=0.5, raw={"a": 1}), "why", (MESSAGE,), "m", "r", "n", FAULT
    ),
)
OTHERS = (
    FAULT,
    ModelCard("a/b", "B", context_length=5, capabilities=Capabilities(tools=True, inputs=frozenset({"text", "image"}))),
    ModelCard("a/b", "B", reasoning=ReasoningSupport(efforts=("low",), default_enabled=False)),
    Artifact("1", "c", "m", "mm", "reasoning", {"a": [1, {"_": "x"}]}),
    ToolSpec("n", "d", {"type": "object"}, "mcp"),
    ToolOutput(
        "c",
        "t",
        ok=False,
        parts=(TextPart("x"), ImagePart("u"), FilePart("f"), AudioPart("d", "mp3"), VideoPart("v")),
        files=(ToolFile("u"),),
        embeds=("e",),
        sources=(ToolSource({"a": 1}),),
        reason="r",
    ),
    FunctionOutputItem("c", "text"),
    FunctionOutputItem("c", (TextPart("x"),)),
)


def through_text(value: object) -> Any:
    return json.loads(json.dumps(plain(value)))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_provider_event_comes_back(event: object) -> None:
    assert rebuild_one_of(ProviderEvent, through_text(event), "event") == event


def test_the_table_holds_every_provider_event() -> None:
    assert {type(event) for event in EVENTS} == set(ProviderEvent.__args__)


@pytest.mark.parametrize("value", OTHERS, ids=lambda value: type(value).__name__)
def test_other_values_come_back(value: object) -> None:
    assert rebuild(type(value), through_text(value)) == value


def test_a_request_comes_back_without_what_is_no_value() -> None:
    request = ChatRequest(
        "m",
        (
            ChatMessage(Role.USER, (TextPart("x"),)),
            ChatMessage(Role.ASSISTANT, (), (HostToolCall("c", "n", "{}"),), reasoning_details=({"a": 1},)),
            ChatMessage(None, (TextPart("out"),), tool_call_id="c"),
        ),
        Settings(),
        "r",
        parameters={"temperature": 0.5, "stop": ["a"]},
        stream=False,
        identity=Identity("u", "s"),
        task=Task("title"),
        web_search=False,
    )
    told = {**through_text(request), "toolbox": "[Tools]", "files": "[Files]", "later_field": [1]}
    assert rebuild(ChatRequest, told, given={"settings": request.settings}) == request


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.just("_"), inner, max_size=3),
    max_leaves=12,
)


@given(JSON)
def test_json_inside_of_values_stays_what_it_is(value: Any) -> None:
    item = ItemFinished(0, OpaqueItem("k", {"inner": value}))
    assert rebuild_one_of(ProviderEvent, through_text(item), "event") == item


@given(JSON)
def test_whatever_is_no_event_is_refused_in_words(value: Any) -> None:
    with pytest.raises(RebuildError, match="event"):
        rebuild_one_of(ProviderEvent, value, "event")


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"_": "TextDelta", "index": "0", "part": 0, "text": ""}, "event.index: int is expected, not str"),
        ({"_": "TextDelta", "index": True, "part": 0, "text": ""}, "event.index: int is expected, not bool"),
        ({"_": "TextDelta", "index": 0, "part": 0}, "event: text is missing"),
        ({"_": "ItemFinished", "index": 0, "item": {"_": "TextDelta"}}, "event.item: one of MessageItem"),
        ({"_": "ItemFinished", "index": 0, "item": "[Something]"}, "event.item: one of MessageItem"),
        (
            {"_": "ItemStarted", "index": 0, "kind": "poem", "item": {"_": "OpaqueItem", "kind": "k"}},
            "event.kind: one of",
        ),
        ({"_": "ResponseFinished", "status": "completed", "output": 5}, "event.output: a list is expected"),
        ({"_": "Settings"}, "not Settings"),
    ],
)
def test_errors_name_the_place(told: Any, said: str) -> None:
    with pytest.raises(RebuildError) as caught:
        rebuild_one_of(ProviderEvent, told, "event")
    assert said in str(caught.value)
