"""What other pipes got wrong in streams; each test is named after the pitfall."""

from __future__ import annotations

import json

import pytest

from openrouter_pipe.adapters.memory.runtime import CountingIds, ManualClock
from openrouter_pipe.domain.streaming.reducer import TurnReducer
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
    ItemKind,
    MessageItem,
    ReasoningItem,
    Role,
    TextPart,
)
from openrouter_pipe.ports.provider import (
    ArgumentsDelta,
    ArgumentsSnapshot,
    FinishStatus,
    ItemFinished,
    ItemStarted,
    ReasoningDelta,
    ReasoningSnapshot,
    ResponseFinished,
    TextDelta,
    TextSnapshot,
)


class Run:
    def __init__(self, thinking: str = "boxes", *, quiet: bool = False) -> None:
        self.clock = ManualClock()
        self.reducer = TurnReducer(self.clock, CountingIds(), thinking, quiet=quiet)
        self.reducer.begin_round()
        self.out: list = []

    def feed(self, *events: object) -> Run:
        for event in events:
            self.out.extend(self.reducer.feed(event))
        return self

    def of(self, kind: type) -> list:
        return [event for event in self.out if isinstance(event, kind)]

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.of(TextAdded))

    @property
    def reasoning(self) -> str:
        return "".join(event.text for event in self.of(ReasoningAdded))


def message(text: str, name: str = "m", **more: object) -> MessageItem:
    return MessageItem(Role.ASSISTANT, (TextPart(text),), name, **more)


def finished(*output: object, status: FinishStatus = FinishStatus.COMPLETED) -> ResponseFinished:
    return ResponseFinished(status, output=output)


def test_emoji_halves_across_deltas_are_joined() -> None:
    run = Run().feed(TextDelta(0, 0, "a\ud83d"), TextDelta(0, 0, "\ude00b"), finished())
    assert run.text == "a\U0001f600b"


@pytest.mark.parametrize("closing", ["finish", "abort", "final"])
def test_a_lone_half_never_reaches_an_event(closing: str) -> None:
    run = Run().feed(TextDelta(0, 0, "a\ud83d"), ReasoningDelta(1, 0, "\ude00", summary=True))
    if closing == "abort":
        run.out.extend(run.reducer.abort())
    elif closing == "final":
        payload = {"type": "message", "text": ["a\ud83d", {"k\udc00": "\udc00"}]}
        run.feed(finished(MessageItem(Role.ASSISTANT, (TextPart("a\ud83d"),), "m", payload=payload)))
    else:
        run.feed(finished())
    assert run.text == "a\ufffd"
    repr(run.out).encode("utf-8")
    for item in run.reducer.items():
        json.dumps(dict(item.payload), ensure_ascii=False).encode("utf-8")


def test_reasoning_snapshots_do_not_replay_text() -> None:
    item = ReasoningItem("r", text=("one two",))
    run = Run().feed(
        ReasoningDelta(0, 0, "one ", summary=False),
        ReasoningDelta(0, 0, "two", summary=False),
        ReasoningSnapshot(0, 0, "one two", summary=False),
        ReasoningSnapshot(0, 0, "one two", summary=False),
        ItemFinished(0, item),
        finished(item),
    )
    assert run.reasoning == "one two"


def test_the_same_reasoning_under_both_names_is_shown_once() -> None:
    item = ReasoningItem("r", summary=("one two",), text=("one two",))
    run = Run().feed(ReasoningDelta(0, 0, "one two", summary=False), ItemFinished(0, item), finished(item))
    assert run.reasoning == "one two"
    assert run.reducer.items() == (item,)


def test_summary_and_raw_reasoning_that_differ_are_both_shown_and_told_apart() -> None:
    item = ReasoningItem("r", summary=("short",), text=("the long way",))
    run = Run().feed(ReasoningDelta(0, 0, "the long way", summary=False), ItemFinished(0, item), finished(item))
    assert [(event.text, event.summary) for event in run.of(ReasoningAdded)] == [
        ("the long way", False),
        ("short", True),
    ]


def test_reasoning_duration_excludes_what_happens_beside_it() -> None:
    run = Run().feed(ReasoningDelta(0, 0, "hm", summary=True))
    run.clock.advance(2.0)
    run.feed(TextDelta(1, 0, "text"))
    run.clock.advance(30.0)
    run.feed(ItemFinished(0, ReasoningItem("r", ("hm",))), finished())
    assert run.of(ItemClosed)[0].seconds == 2.0


def test_reasoning_duration_starts_with_its_first_words() -> None:
    run = Run().feed(ItemStarted(0, ItemKind.REASONING, ReasoningItem("r")))
    run.clock.advance(5.0)
    run.feed(ReasoningDelta(0, 0, "hm", summary=True))
    run.clock.advance(0.5)
    run.feed(ItemFinished(0, ReasoningItem("r", ("hm",))))
    assert run.of(ItemClosed)[0].seconds == 0.5


def test_a_closing_event_never_empties_what_was_shown() -> None:
    run = Run().feed(
        TextDelta(0, 0, "words"),
        ReasoningDelta(1, 0, "thought", summary=True),
        ItemFinished(0, MessageItem(Role.ASSISTANT, (), "m")),
        ItemFinished(1, ReasoningItem("r", encrypted="x", payload={"summary": []})),
        finished(),
    )
    answer, thought = (event.item for event in run.of(ItemClosed))
    assert answer.parts == (TextPart("words"),)
    assert thought.summary == ("thought",)
    assert thought.encrypted == "x"


def test_text_that_contradicts_what_was_shown_stays_shown_and_is_not_repeated() -> None:
    run = Run().feed(
        TextDelta(0, 0, "shown"), TextSnapshot(0, 0, "other"), ItemFinished(0, message("other")), finished()
    )
    assert run.text == "shown"
    assert run.of(ItemClosed)[0].item.parts == (TextPart("shown"),)


def test_citations_that_come_only_with_the_end_are_found() -> None:
    source = Citation("https://example.org/a?utm_source=x", "A")
    run = Run().feed(TextDelta(0, 0, "text"), ItemFinished(0, message("text")))
    run.feed(finished(message("text", citations=(source, source))))
    assert run.of(CitationsFound) == [CitationsFound((Citation("https://example.org/a", "A"),))]
    assert run.text == "text"


def test_arguments_streamed_under_another_item_id_make_one_call() -> None:
    run = Run().feed(
        ItemStarted(0, ItemKind.FUNCTION_CALL, FunctionCallItem("call_1", "f", "", "fc_tmp_1")),
        ArgumentsDelta(0, '{"a":1}'),
        ItemFinished(0, FunctionCallItem("call_1", "f", '{"a":1}', "call_1")),
        finished(FunctionCallItem("call_1", "f", '{"a":1}', "fc_other")),
    )
    assert [call.arguments for _, call in run.reducer.calls()] == ['{"a":1}']


@pytest.mark.parametrize("streamed", [(), ('{"a":', "9}"), ('{"a"',)])
def test_the_arguments_told_at_the_end_count_where_the_call_itself_never_ends(streamed: tuple[str, ...]) -> None:
    """Some models send no deltas at all, everything comes with the end of the arguments."""
    run = Run().feed(
        ItemStarted(0, ItemKind.FUNCTION_CALL, FunctionCallItem("call_1", "f", "", "fc_1")),
        *(ArgumentsDelta(0, piece) for piece in streamed),
        ArgumentsSnapshot(0, '{"a":1}'),
        ArgumentsSnapshot(7, '{"a":2}'),
        finished(),
    )
    assert [call.arguments for _, call in run.reducer.calls()] == ['{"a":1}']


def test_a_call_repeated_in_one_answer_runs_once() -> None:
    call = FunctionCallItem("call_1", "f", "{}", "fc_1")
    run = Run().feed(ItemFinished(0, call), ItemFinished(1, FunctionCallItem("call_1", "f", "{}", "fc_2")), finished())
    assert run.reducer.calls() == ((0, call),)
    assert run.reducer.items() == (call,)


@pytest.mark.parametrize("other", ["", "{", " {} "])
def test_a_call_of_the_same_id_that_may_be_the_same_is_not_made_twice(other: str) -> None:
    call = FunctionCallItem("call_1", "f", "{}", "fc_1")
    again = FunctionCallItem("call_1", "f", other, "fc_2")
    run = Run().feed(ItemFinished(0, call), ItemFinished(1, again), finished(call, again))
    assert run.reducer.calls() == ((0, call),)
    assert run.reducer.items() == (call,)


def test_different_calls_of_the_same_id_side_by_side_get_ids_of_their_own() -> None:
    """Both run, both are answered: one output for each id, as every provider wants it back."""
    calls = [
        FunctionCallItem("call_1", "f", '{"n":1}', "fc_1", payload={"call_id": "call_1"}),
        FunctionCallItem("call_1", "f", '{"n":2}', "fc_1", payload={"call_id": "call_1"}),
        FunctionCallItem("call_1", "g", '{"n":2}', "fc_3"),
        FunctionCallItem("x" * 64, "f", '{"n":1}', "fc_4"),
        FunctionCallItem("x" * 64, "f", '{"n":2}', "fc_5"),
    ]
    run = Run().feed(*(ItemFinished(at, call) for at, call in enumerate(calls)), finished(*calls))
    made = [call for _, call in run.reducer.calls()]
    assert made[0] == calls[0]
    assert [call.call_id for call in made] == ["call_1", "call_1_2", "call_1_3", "x" * 64, "x" * 54 + "_2"]
    assert [(call.name, call.arguments) for call in made] == [(call.name, call.arguments) for call in calls]
    assert made[1].payload == {}
    assert run.reducer.items() == tuple(made)


def test_a_call_without_its_end_is_complete_when_the_response_is() -> None:
    begun = ItemStarted(0, ItemKind.FUNCTION_CALL, FunctionCallItem("call_1", "f", "", "fc_1"))
    assert [call.arguments for _, call in Run().feed(begun, ArgumentsDelta(0, "{}"), finished()).reducer.calls()] == [
        "{}"
    ]
    cut = Run().feed(begun, ArgumentsDelta(0, "{"), finished(status=FinishStatus.INCOMPLETE))
    assert cut.reducer.calls() == ()
    assert cut.out == []


def test_three_tool_rounds_say_thinking_once() -> None:
    run = Run("status")
    for _ in range(3):
        run.reducer.begin_round()
        run.feed(ReasoningDelta(0, 0, "hm", summary=True), finished())
        run.clock.advance(10)
    assert [event.text for event in run.of(StatusChanged)].count("Thinking…") == 1


def test_a_short_thought_is_read_in_the_status_line() -> None:
    run = Run("status")
    run.feed(
        *(ReasoningDelta(0, 0, word, summary=True) for word in ("One ", "short ", "thought")), TextDelta(1, 0, "A")
    )
    assert [event.text for event in run.of(StatusChanged)] == ["Thinking…", "One short thought"]


def test_status_flooding_is_held_to_two_lines_a_second() -> None:
    run = Run("status")
    for number in range(1840):
        run.feed(ReasoningDelta(0, 0, f"thought number {number}\n", summary=True))
        run.clock.advance(0.1)
    lines = run.of(StatusChanged)
    assert 300 <= len(lines) <= 2 * 184 + 1
    assert run.of(ReasoningAdded) == []
    assert run.of(ItemOpened) == []
    assert lines[-1].text.startswith("thought number 18")


@pytest.mark.parametrize(
    ("mode", "boxes", "lines"), [("boxes", 1, 0), ("status", 0, 1), ("both", 1, 1), ("none", 0, 0)]
)
def test_thinking_shows_where_the_setting_says(mode: str, boxes: int, lines: int) -> None:
    run = Run(mode).feed(ReasoningDelta(0, 0, "hm", summary=True))
    assert (len(run.of(ReasoningAdded)), len(run.of(StatusChanged))) == (boxes, lines)


def test_messages_are_not_regrouped_ahead_of_reasoning_and_calls() -> None:
    items = (
        ReasoningItem("r0", text=("a",), signature="s0"),
        FunctionCallItem("c1", "f", "{}", "f1"),
        ReasoningItem("r2", text=("b",), signature="s2"),
        message("so", "m3"),
        FunctionCallItem("c4", "f", "{}", "f4"),
    )
    order = (1, 0, 3, 2, 4)  # as they finish
    run = Run().feed(*(ItemFinished(at, items[at]) for at in order), finished(*items))
    assert run.reducer.items() == items


def test_a_signature_that_comes_only_with_the_final_list_is_kept_for_replay() -> None:
    signed = ReasoningItem("r", text=("a",), signature="late")
    run = Run().feed(ItemFinished(0, ReasoningItem("r", text=("a",))), finished(signed))
    assert run.reducer.items() == (signed,)
    assert run.reasoning == "a"


def test_phase_is_kept() -> None:
    run = Run().feed(
        ItemFinished(0, message("thinking aloud", "m0", phase="commentary")),
        ItemFinished(1, message("42", "m1", phase="final_answer")),
        finished(),
    )
    assert [item.phase for item in run.reducer.items()] == ["commentary", "final_answer"]


def test_a_tried_again_round_leaves_no_trace_in_the_indices() -> None:
    run = Run().feed(ItemStarted(0, ItemKind.MESSAGE, message("")))
    run.reducer.rewind()
    run.out.clear()
    run.feed(TextDelta(0, 0, "a"))
    assert [event.index for event in run.out] == [0, 0]


def test_a_quiet_turn_says_nothing_beside_its_text() -> None:
    run = Run("both", quiet=True).feed(ReasoningDelta(0, 0, "hm", summary=True))
    assert run.of(StatusChanged) == []
    assert run.reducer.say("trying again") == []
