"""Repair: whatever goes in, what comes out is a sequence that every provider takes."""

import json
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openrouter_pipe.domain.history.build import build, repair
from openrouter_pipe.domain.history.markers import render
from openrouter_pipe.domain.history.pairing import NO_OUTPUT
from openrouter_pipe.domain.history.policy import HistoryPolicy
from openrouter_pipe.domain.retention import expired, keep
from openrouter_pipe.ports.chat import ChatMessage, HostToolCall
from openrouter_pipe.ports.items import (
    FunctionCallItem,
    FunctionOutputItem,
    ImageItem,
    ImagePart,
    InputItem,
    MessageItem,
    OpaqueItem,
    ReasoningItem,
    Role,
    ServerToolItem,
    TextPart,
)

USER = MessageItem(Role.USER, (TextPart("x"),))
SAID = MessageItem(Role.ASSISTANT, (TextPart("y"),))


def call(call_id: str = "c", **more: object) -> FunctionCallItem:
    return FunctionCallItem(call_id, **{"name": "f", "arguments": "{}", "payload": {"p": 1}, **more})  # type: ignore[arg-type]


def output(call_id: str = "c", text: str = "o") -> FunctionOutputItem:
    return FunctionOutputItem(call_id, text)


def thought(name: str, signature: str | None = "s", family: str | None = "anthropic-claude-v1") -> ReasoningItem:
    return ReasoningItem(f"rs_{name}", text=("t",), signature=signature, format=family)


def test_a_sound_sequence_comes_back_as_it_was() -> None:
    items = (
        USER,
        thought("1"),
        SAID,
        call("a"),
        call("b"),
        output("b"),
        output("a"),
        thought("2"),
        call("c"),
        output("c"),
        SAID,
    )
    assert all(one is other for one, other in zip(repair(items), items, strict=True))


@pytest.mark.parametrize(
    "empty",
    [
        ReasoningItem("rs_0"),
        ReasoningItem("rs_0", format="openai-responses-v1", payload={"type": "reasoning", "id": "rs_0", "summary": []}),
        ReasoningItem("rs_0", ("", " "), ("\n",), " ", "", "unknown"),
        ReasoningItem("rs_0", details=({"type": "reasoning.text", "text": "", "format": "unknown", "index": 0},)),
        ReasoningItem("rs_0", details=({"type": "reasoning.encrypted", "data": None},), format="google-gemini-v1"),
    ],
)
def test_reasoning_that_carries_nothing_goes_and_its_calls_do_not_refer_to_it(empty: ReasoningItem) -> None:
    first, second = call("a", id="fc_a"), call("b", id="fc_b")
    items = (USER, empty, first, second, output("a"), output("b"), thought("1"), call("c", id="fc_c"), output("c"))
    bare = (FunctionCallItem("a", "f", "{}"), FunctionCallItem("b", "f", "{}"))
    assert repair(items) == (USER, *bare, *items[4:])
    assert repair((USER, empty, SAID)) == (USER, SAID)
    assert repair((USER, empty)) == (USER,)


@pytest.mark.parametrize(
    "item",
    [
        ReasoningItem("rs_0", summary=("s",)),
        ReasoningItem("rs_0", text=("t",)),
        ReasoningItem("rs_0", encrypted="e"),
        ReasoningItem("rs_0", signature="s", format="google-gemini-v1"),
        ReasoningItem("rs_0", details=({"type": "reasoning.encrypted", "data": "e"},)),
        ReasoningItem("rs_0", details=({"type": "reasoning.text", "signature": "e"},)),
        ReasoningItem("rs_0", details=({"type": "reasoning.server_tool_call", "tool_name": "search"},)),
    ],
)
def test_reasoning_that_carries_anything_stays(item: ReasoningItem) -> None:
    items = (USER, item, call("a", id="fc_a"), output("a"), SAID)
    assert all(one is other for one, other in zip(repair(items), items, strict=True))


def test_calls_without_output_are_completed_behind_their_run() -> None:
    assert repair((USER, call("a"), call("b"), output("b"), USER)) == (
        USER, call("a"), call("b"), output("a", NO_OUTPUT), output("b"), USER
    )  # fmt: skip


def test_outputs_without_call_and_second_outputs_go() -> None:
    assert repair((output("z"), call("a"), output("a"), output("a", "again"))) == (call("a"), output("a"))


def test_an_output_stored_before_its_call_is_moved() -> None:
    assert repair((USER, output("a"), call("a"), SAID)) == (USER, call("a"), output("a"), SAID)


def test_call_ids_used_again_become_unique_and_keep_their_outputs() -> None:
    items = (thought("1"), call("a"), output("a", "1"), thought("2"), call("a"), output("a", "2"))
    fixed = repair(items)
    assert [type(item) for item in fixed] == [type(item) for item in items]
    assert [item.output for item in fixed if isinstance(item, FunctionOutputItem)] == ["1", "2"]
    ids = [item.call_id for item in fixed if isinstance(item, FunctionCallItem)]
    assert ids == ["a", "a_2"]
    assert fixed[-1].call_id == "a_2"  # type: ignore[union-attr]
    parallel = repair((call("a"), call("a"), output("a", "1"), output("a", "2")))
    assert [item.output for item in parallel[2:]] == ["1", "2"]  # type: ignore[union-attr]


def test_ids_of_what_stands_before_are_not_used_again() -> None:
    before = (USER, call("a", id="fc_1"), output("a"), SAID, USER)
    items = (call("a", id="fc_1"), call("b", id="fc_2"), output("a", "1"), output("b", "2"))
    tail = repair(items, before)
    calls = [item for item in tail if isinstance(item, FunctionCallItem)]
    assert [(item.call_id, item.id) for item in calls] == [("a_2", None), ("b", "fc_2")]
    assert [(item.call_id, item.output) for item in tail if isinstance(item, FunctionOutputItem)] == [
        ("a_2", "1"),
        ("b", "2"),
    ]
    ids = [item.call_id for item in repair((*before, *items)) if isinstance(item, FunctionCallItem)]
    assert ids == ["a", "a_2", "b"]  # the next turn replays the same names: what a provider has cached stays good


@pytest.mark.parametrize(
    ("items", "fixed"),
    [
        (
            (call("a"), call("b"), output("b"), SAID, output("a")),
            (call("a"), call("b"), output("b"), output("a"), SAID),
        ),
        (
            (call("a"), call("b"), output("b"), call("c"), output("c"), output("a")),
            (call("a"), call("b"), output("b"), output("a"), call("c"), output("c")),
        ),
        ((call("a"), USER, output("a")), (call("a"), output("a"), USER)),
        ((call("a"), SAID, output("a"), SAID), (call("a"), SAID, output("a"), SAID)),
    ],
    ids=["text between two outputs", "a round between two outputs", "a user between", "text before the outputs stays"],
)
def test_the_outputs_of_a_round_stand_together(items: tuple[InputItem, ...], fixed: tuple[InputItem, ...]) -> None:
    # Chat completions takes no message between a message with calls and the outputs of these calls.
    assert repair(items) == fixed


def test_an_output_belongs_to_its_own_turn() -> None:
    fixed = repair((USER, call("a"), USER, call("a"), output("a", "mine")))
    assert fixed[2] == output("a", NO_OUTPUT)
    assert fixed[-1].output == "mine"  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["get the time", "Wetter: Köln", "", "x" * 65])
def test_names_that_no_provider_takes_are_made_valid(name: str) -> None:
    fixed = repair((call("a", name=name), output("a")))[0]
    assert isinstance(fixed, FunctionCallItem)
    assert fixed.name
    assert len(fixed.name) <= 64
    assert set(fixed.name) <= set(string.ascii_letters + string.digits + "_-")
    assert fixed.payload == {}


@pytest.mark.parametrize("arguments", ["", " ", "[1]", '"x"', "null", '{"a":', "[" * 100_000])
def test_arguments_become_an_object(arguments: str) -> None:
    fixed = repair((call("a", arguments=arguments), output("a")))[0]
    assert isinstance(fixed, FunctionCallItem)
    value = json.loads(fixed.arguments)
    assert value == ({"invalid_arguments": arguments} if arguments.strip() else {})


@pytest.mark.parametrize("signature", [None, "", "  ", 0])
def test_one_unsigned_block_drops_its_whole_run(signature: str | None) -> None:
    run = (thought("1"), thought("2", signature), thought("3"))
    assert repair((USER, *run, call(), output(), thought("4"), SAID)) == (USER, call(), output(), thought("4"), SAID)


def test_other_families_need_no_signature_and_redacted_blocks_are_proof() -> None:
    free = (thought("1", None, "google-gemini-v1"), thought("2", None, None), SAID)
    assert repair(free) == free
    redacted = (ReasoningItem("rs", encrypted="blob", format="anthropic-claude-v1"), SAID)
    assert repair(redacted) == redacted


def test_a_signature_may_come_in_a_later_fragment_of_the_block() -> None:
    def fragments(signature: object) -> ReasoningItem:
        family = "anthropic-claude-v1"
        first = {"type": "reasoning.text", "text": "t", "format": family, "index": 0}
        return ReasoningItem("rs", format=family, details=(first, {**first, "text": "", "signature": signature}))

    assert repair((fragments("s"), SAID)) == (fragments("s"), SAID)
    assert repair((fragments(None), SAID)) == (SAID,)


def test_reasoning_that_needs_a_follower_goes_without_one() -> None:
    needy = ReasoningItem("rs_1", encrypted="e", format="openai-responses-v1")
    assert repair((USER, needy, USER)) == (USER, USER)
    assert repair((USER, SAID, needy)) == (USER, SAID)
    assert repair((USER, needy, ImageItem("ig"), USER)) == (USER, USER)
    kept = (USER, needy, thought("2"), SAID, thought("3", family="google-gemini-v1"))
    assert repair(kept) == kept


def test_equal_item_ids_never_occur_twice() -> None:
    one, other = ReasoningItem("rs_0", text=("a",)), ReasoningItem("rs_0", text=("b",))
    fixed = repair((one, one, SAID, other, SAID))
    assert fixed == (one, SAID, ReasoningItem(None, text=("b",)), SAID)


def test_kinds_that_go_and_kinds_that_pass() -> None:
    unknown = OpaqueItem("compaction", {"type": "compaction"})
    gone = [OpaqueItem(kind) for kind in ("openrouter:web", "local_shell_call", "mcp_call", "custom_tool_call_output")]
    assert repair((unknown, *gone, ImageItem("i"), ServerToolItem("web_search_call"))) == (unknown,)


words = st.sampled_from(["", "Hi", "Looking.", "```", "a\n\nb", '"x"', "[0]: #"])
names = st.sampled_from(["c1", "c2", "c3", ""])
items = st.one_of(
    st.builds(MessageItem, st.just(Role.ASSISTANT), st.tuples(words.map(TextPart)), id=st.sampled_from(["m1", None])),
    st.builds(
        ReasoningItem,
        st.sampled_from(["r1", "r2", None]),
        signature=st.sampled_from([None, "", "s"]),
        format=st.sampled_from([None, "anthropic-claude-v1", "openai-responses-v1"]),
    ),
    st.builds(FunctionCallItem, names, st.sampled_from(["f", "f g"]), st.sampled_from(["{}", "[", ""])),
    st.builds(FunctionOutputItem, names, words, id=st.sampled_from(["o1", None])),
    st.builds(ImageItem),
    st.builds(ServerToolItem, st.just("web_search_call")),
    st.builds(OpaqueItem, st.sampled_from(["openrouter:x", "compaction"])),
)
NUMBERS = [f"{number:020d}" for number in range(12)]
texts = st.lists(st.one_of(words, st.lists(st.sampled_from(NUMBERS), max_size=4).map(render)), max_size=4).map("".join)
messages = st.one_of(
    st.builds(ChatMessage, st.just(Role.USER), st.tuples(words.map(TextPart), st.just(ImagePart("data:x")))),
    st.builds(ChatMessage, st.sampled_from([Role.USER, Role.SYSTEM]), st.tuples(texts.map(TextPart))),
    st.builds(ChatMessage, st.none(), st.tuples(texts.map(TextPart)), tool_call_id=names),
    st.builds(
        ChatMessage,
        st.just(Role.ASSISTANT),
        st.tuples(texts.map(TextPart)),
        tool_calls=st.lists(st.builds(HostToolCall, names, words, words), max_size=2).map(tuple),
        reasoning_details=st.lists(
            st.dictionaries(st.sampled_from(["id", "index", "text", "format", "signature"]), st.sampled_from(["1", 1, None]))
        ).map(tuple),
    ),
)  # fmt: skip


def assert_valid(result: tuple[InputItem, ...]) -> None:
    open_calls: set[str] = set()
    answered: set[str] = set()
    ids: set[str] = set()
    for item in result:
        assert not isinstance(item, ImageItem | ServerToolItem)
        if isinstance(item, OpaqueItem):
            assert not item.kind.startswith("openrouter:")
            continue
        if item.id is not None:
            assert item.id not in ids
            ids.add(item.id)
        if isinstance(item, FunctionCallItem):
            assert item.call_id
            assert item.call_id not in open_calls | answered
            assert isinstance(json.loads(item.arguments), dict)
            open_calls.add(item.call_id)
        elif isinstance(item, FunctionOutputItem):
            assert item.call_id in open_calls
            open_calls.remove(item.call_id)
            answered.add(item.call_id)
    assert not open_calls


@given(st.lists(items, max_size=20))
def test_any_items_are_repaired_and_repairing_twice_changes_nothing(some: list[InputItem]) -> None:
    once = repair(some)
    assert_valid(once)
    assert repair(once) == once


@settings(max_examples=200)
@given(
    st.lists(messages, max_size=8),
    st.dictionaries(st.sampled_from(NUMBERS), items),
    st.sampled_from(["disabled", "next_reply", "conversation"]),
)
def test_any_history_is_valid(some: list[ChatMessage], artifacts: dict[str, InputItem], mode: str) -> None:
    history = build(some, artifacts, frozenset({"text", "image"}), HistoryPolicy(1, 2, persist_reasoning=mode))
    assert_valid(history.items)


@given(st.lists(items, max_size=12), st.booleans(), st.sampled_from(["disabled", "next_reply", "conversation"]))
def test_what_is_kept_is_valid_too(some: list[InputItem], tools: bool, mode: str) -> None:
    policy = HistoryPolicy(persist_tool_results=tools, persist_reasoning=mode)
    kept = keep(some, policy)
    assert_valid(kept)
    assert tools or not any(isinstance(item, FunctionCallItem | FunctionOutputItem) for item in kept)
    assert mode != "disabled" or not any(isinstance(item, ReasoningItem) for item in kept)
    assert set(expired(dict.fromkeys(NUMBERS, SAID), policy)) == set()
