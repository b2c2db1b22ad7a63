"""The contract's transcripts as provider events, and the exact chat events they become."""

from __future__ import annotations

import pytest

from openrouter_pipe.adapters.memory.runtime import CountingIds, ManualClock
from openrouter_pipe.domain.streaming.reducer import ImageReady, TurnReducer
from openrouter_pipe.ports.chat import (
    CitationsFound,
    ItemClosed,
    ItemOpened,
    ReasoningAdded,
    StatusChanged,
    TextAdded,
)
from openrouter_pipe.ports.items import (
    Citation,
    FunctionCallItem,
    ImageItem,
    ItemKind,
    MessageItem,
    ReasoningItem,
    RefusalPart,
    Role,
    ServerToolItem,
    TextPart,
)
from openrouter_pipe.ports.provider import (
    ArgumentsDelta,
    CitationAdded,
    FinishStatus,
    ItemFinished,
    ItemStarted,
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

K = ItemKind
DONE = FinishStatus.COMPLETED


def message(text: str = "", name: str = "m", status: str = "completed", **more: object) -> MessageItem:
    parts = (TextPart(text),) if text else ()
    return MessageItem(Role.ASSISTANT, parts, name, status=status, **more)


def started(index: int, item: object, kind: ItemKind = K.MESSAGE) -> ItemStarted:
    return ItemStarted(index, kind, item)


HELLO = message("Hello")
PLAIN = [
    ResponseStarted("gen-1", "a/b"),
    started(0, message()),
    TextDelta(0, 0, "Hel"),
    TextDelta(0, 0, "lo"),
    TextSnapshot(0, 0, "Hello"),
    ItemFinished(0, HELLO),
    ResponseFinished(DONE, output=(HELLO,)),
]
PLAIN_OUT = [ItemOpened(0, K.MESSAGE, "m"), TextAdded(0, "Hel"), TextAdded(0, "lo"), ItemClosed(0, HELLO)]

PLAN = ReasoningItem("rs", ("**Plan** add numbers",), encrypted="gAAAA", format="openai-responses-v1")
ANSWER = message("42", phase="final_answer")
SUMMARY = [
    started(0, ReasoningItem("rs"), K.REASONING),
    ReasoningDelta(0, 0, "**Plan** add ", summary=True),
    ReasoningDelta(0, 0, "numbers", summary=True),
    ReasoningSnapshot(0, 0, "**Plan** add numbers", summary=True),
    ItemFinished(0, PLAN),
    started(1, message()),
    TextDelta(1, 0, "42"),
    TextSnapshot(1, 0, "42"),
    ItemFinished(1, ANSWER),
    ResponseFinished(DONE, output=(PLAN, ANSWER)),
]
SUMMARY_OUT = [
    ItemOpened(0, K.REASONING, "rs"),
    ReasoningAdded(0, 0, "**Plan** add ", summary=True),
    ReasoningAdded(0, 0, "numbers", summary=True),
    ItemClosed(0, PLAN),
    ItemOpened(1, K.MESSAGE, "m"),
    TextAdded(1, "42"),
    ItemClosed(1, ANSWER),
]

WANTS = ReasoningItem("rs", (), ("User wants a greeting.",), signature="Eo8C", format="anthropic-claude-v1")
HI = message("Hi!")
LATE = [
    started(0, ReasoningItem("rs"), K.REASONING),
    ReasoningDelta(0, 0, "User wants ", summary=False),
    ReasoningDelta(0, 0, "a greeting.", summary=False),
    started(1, message()),
    TextDelta(1, 0, "Hi!"),
    TextSnapshot(1, 0, "Hi!"),
    ItemFinished(1, HI),
    ReasoningSnapshot(0, 0, "User wants a greeting.", summary=False),
    ItemFinished(0, WANTS),
    ResponseFinished(DONE, output=(WANTS, HI)),
]
LATE_OUT = [
    ItemOpened(0, K.REASONING, "rs"),
    ReasoningAdded(0, 0, "User wants ", summary=False),
    ReasoningAdded(0, 0, "a greeting.", summary=False),
    ItemOpened(1, K.MESSAGE, "m"),
    TextAdded(1, "Hi!"),
    ItemClosed(1, HI),
    ItemClosed(0, WANTS),
]

OSLO = FunctionCallItem("call_1", "weather", '{"city":"Oslo"}', "fc_1")
ROME = FunctionCallItem("call_2", "weather", '{"city":"Rome"}', "fc_2")
CALLS = [
    started(0, FunctionCallItem("call_1", "weather", "", "fc_tmp_1"), K.FUNCTION_CALL),
    ArgumentsDelta(0, '{"city":'),
    ArgumentsDelta(0, '"Oslo"}'),
    started(1, FunctionCallItem("call_2", "weather", "", "fc_tmp_2"), K.FUNCTION_CALL),
    ArgumentsDelta(1, '{"city":"Rome"}'),
    ItemFinished(0, OSLO),
    ItemFinished(1, ROME),
    ResponseFinished(DONE, output=(OSLO, ROME)),
]
CALLS_OUT = [
    ItemOpened(0, K.FUNCTION_CALL, "fc_1"),
    ItemClosed(0, OSLO),
    ItemOpened(1, K.FUNCTION_CALL, "fc_2"),
    ItemClosed(1, ROME),
]

TOWER = Citation("https://example.org/t", "Towers", "X is 900 m", 0, 8)
SEARCHED = ServerToolItem(
    "openrouter:web_search", "st", query="tallest tower", sources=(Citation("https://example.org/t"),)
)
IT_IS = message("It is X.", citations=(TOWER,))
SEARCH = [
    started(0, ServerToolItem("openrouter:web_search", "st", "in_progress"), K.SERVER_TOOL),
    ServerToolProgress(0, "openrouter:web_search", "searching"),
    ItemFinished(0, SEARCHED),
    started(1, message()),
    TextDelta(1, 0, "It is X."),
    CitationAdded(1, TOWER),
    TextSnapshot(1, 0, "It is X."),
    ItemFinished(1, IT_IS),
    ResponseFinished(DONE, output=(SEARCHED, IT_IS)),
]
SEARCH_OUT = [
    ItemOpened(0, K.SERVER_TOOL, "st"),
    StatusChanged("Searching the web…"),
    ItemClosed(0, SEARCHED),
    ItemOpened(1, K.MESSAGE, "m"),
    TextAdded(1, "It is X."),
    CitationsFound((TOWER,)),
    ItemClosed(1, IT_IS),
]

PICTURE = ImageItem("ig", "data:image/png;base64,iVBORw0KGgo=")
IMAGE = [
    started(0, ImageItem("ig", None, "in_progress"), K.IMAGE),
    ServerToolProgress(0, "image_generation_call", "generating"),
    ItemFinished(0, PICTURE),
    ResponseFinished(DONE, output=(PICTURE,)),
]
IMAGE_OUT = [ItemOpened(0, K.IMAGE, "ig"), StatusChanged("Generating an image…"), ImageReady(0, PICTURE)]

NO = MessageItem(Role.ASSISTANT, (RefusalPart("I can't help."),), "m")
REFUSAL = [
    started(0, message()),
    RefusalDelta(0, 0, "I can't help."),
    RefusalSnapshot(0, 0, "I can't help."),
    ItemFinished(0, NO),
    ResponseFinished(DONE, output=(NO,)),
]
REFUSAL_OUT = [ItemOpened(0, K.MESSAGE, "m"), TextAdded(0, "I can't help."), ItemClosed(0, NO)]

ONCE = message("Once upon", status="incomplete")
CUT = [
    started(0, message()),
    TextDelta(0, 0, "Once upon"),
    TextSnapshot(0, 0, "Once upon"),
    ItemFinished(0, ONCE),
    ResponseFinished(FinishStatus.INCOMPLETE, reason="max_output_tokens", output=(ONCE,)),
]
CUT_OUT = [ItemOpened(0, K.MESSAGE, "m"), TextAdded(0, "Once upon"), ItemClosed(0, ONCE)]

FAILED = [started(0, message()), TextDelta(0, 0, "Part"), ResponseFinished(FinishStatus.FAILED)]
FAILED_OUT = [
    ItemOpened(0, K.MESSAGE, "m"),
    TextAdded(0, "Part"),
    ItemClosed(0, message("Part", status="incomplete")),
]


def run(events: list, thinking: str = "boxes") -> tuple[TurnReducer, list]:
    reducer = TurnReducer(ManualClock(), CountingIds(), thinking)
    reducer.begin_round()
    return reducer, [out for event in events for out in reducer.feed(event)]


TABLE = {
    "a plain": (PLAIN, PLAIN_OUT),
    "b summary": (SUMMARY, SUMMARY_OUT),
    "c raw, late close": (LATE, LATE_OUT),
    "d parallel calls": (CALLS, CALLS_OUT),
    "e search": (SEARCH, SEARCH_OUT),
    "f image": (IMAGE, IMAGE_OUT),
    "g refusal": (REFUSAL, REFUSAL_OUT),
    "h incomplete": (CUT, CUT_OUT),
    "i failed": (FAILED, FAILED_OUT),
}


@pytest.mark.parametrize("name", TABLE)
def test_a_transcript_becomes_exactly_these_chat_events(name: str) -> None:
    events, expected = TABLE[name]
    _, out = run(events)
    assert out == expected


@pytest.mark.parametrize("name", ["a plain", "b summary", "c raw, late close", "d parallel calls", "g refusal"])
def test_the_items_for_the_next_round_are_the_providers_own_in_its_order(name: str) -> None:
    events, _ = TABLE[name]
    reducer, _ = run(events)
    assert reducer.items() == events[-1].output


@pytest.mark.parametrize("name", ["a plain", "b summary", "g refusal", "h incomplete"])
def test_with_no_deltas_at_all_the_final_list_shows_the_same_text(name: str) -> None:
    events, expected = TABLE[name]
    _, out = run([events[-1]])
    shown = "".join(event.text for event in out if isinstance(event, TextAdded | ReasoningAdded))
    assert shown == "".join(event.text for event in expected if isinstance(event, TextAdded | ReasoningAdded))
    closed = [event.item for event in out if isinstance(event, ItemClosed)]
    assert closed == [event.item for event in expected if isinstance(event, ItemClosed)]


@pytest.mark.parametrize("name", TABLE)
def test_a_second_terminal_event_and_anything_after_it_is_ignored(name: str) -> None:
    events, expected = TABLE[name]
    _, out = run([*events, events[-1], TextDelta(0, 0, "more"), TextDelta(7, 0, "more")])
    assert out == expected
