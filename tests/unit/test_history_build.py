"""Messages and stored items in, input items out."""

import html
import json

import pytest

from openrouter_pipe.adapters.openwebui.history_text import HistoryText
from openrouter_pipe.domain.history.build import History, build, marker_ids
from openrouter_pipe.domain.history.markers import render
from openrouter_pipe.domain.history.policy import HistoryPolicy
from openrouter_pipe.ports.chat import ChatMessage, HostToolCall
from openrouter_pipe.ports.items import (
    FunctionCallItem,
    FunctionOutputItem,
    ImageItem,
    ImagePart,
    InputItem,
    MessageItem,
    OpaquePart,
    ReasoningItem,
    RefusalPart,
    Role,
    ServerToolItem,
    TextPart,
)

POLICY = HistoryPolicy()
ALL = frozenset({"text", "image", "file", "audio", "video"})


def mid(number: int) -> str:
    return f"{number:020d}"


def user(*texts: str) -> ChatMessage:
    return ChatMessage(Role.USER, tuple(TextPart(text) for text in texts))


def assistant(text: str, **more: object) -> ChatMessage:
    return ChatMessage(Role.ASSISTANT, (TextPart(text),) if text else (), **more)


def reasoning(name: str) -> ReasoningItem:
    return ReasoningItem(
        f"rs_{name}", summary=("hm",), encrypted="e", format="openai-responses-v1", payload={"id": name}
    )


def call(name: str) -> FunctionCallItem:
    return FunctionCallItem(f"call_{name}", "look", "{}", id=f"fc_{name}", payload={"call": name})


def output(name: str, text: str = "sunny") -> FunctionOutputItem:
    return FunctionOutputItem(f"call_{name}", text, id=f"fco_{name}", payload={"output": name})


def said(text: str, name: str, phase: str | None = None) -> MessageItem:
    return MessageItem(Role.ASSISTANT, (TextPart(text),), id=f"msg_{name}", phase=phase, payload={"msg": name})


def stored(*items: InputItem) -> tuple[dict[str, InputItem], str]:
    artifacts = {mid(number): item for number, item in enumerate(items, 1)}
    return artifacts, render(list(artifacts))


def replay(
    *messages: ChatMessage, artifacts: dict[str, InputItem] | None = None, policy: HistoryPolicy = POLICY
) -> History:
    return build(messages, artifacts or {}, ALL, policy, records=HistoryText())


def shape(history: History) -> list[str]:
    """One word per item: what it is and says."""
    words = []
    for item in history.items:
        match item:
            case MessageItem(role=role, parts=parts):
                words.append(
                    f"{role}:" + "|".join(part.text for part in parts if isinstance(part, TextPart | RefusalPart))
                )
            case ReasoningItem(id=one):
                words.append(str(one))
            case FunctionCallItem(call_id=one):
                words.append(f"({one}")
            case FunctionOutputItem(call_id=one):
                words.append(f"{one})")
            case _:
                words.append(type(item).__name__)
    return words


def test_a_plain_conversation_keeps_roles_places_blocks_and_white_space() -> None:
    messages = (
        ChatMessage(Role.SYSTEM, (TextPart(" be kind \n"), TextPart("\nand short"))),
        user("  Hi  ", "there\n"),
        assistant("Hello\n\n  you "),
        ChatMessage(Role.DEVELOPER, (TextPart("now in French"),)),
        user("Again"),
    )
    history = replay(*messages)
    assert [(item.role, item.parts) for item in history.items if isinstance(item, MessageItem)] == [
        (message.role, message.parts) for message in messages
    ]
    assert history.warnings == ()


def test_unknown_blocks_and_refusals_pass() -> None:
    block = OpaquePart({"type": "novelty", "x": 1})
    history = replay(ChatMessage(Role.USER, (TextPart("a"), block)), ChatMessage(Role.ASSISTANT, (RefusalPart("no"),)))
    assert history.items[0].parts == (TextPart("a"), block)  # type: ignore[union-attr]
    assert history.items[1].parts == (RefusalPart("no"),)  # type: ignore[union-attr]


def test_marker_ids_are_those_of_assistants_each_once() -> None:
    block = render([mid(1), mid(2)])
    assert marker_ids((user("x" + render([mid(9)])), assistant("a" + block), assistant("b" + block))) == (
        mid(1),
        mid(2),
    )


def test_stored_items_return_in_the_providers_order_and_as_they_were() -> None:
    items = (reasoning("1"), said("Let me look.", "1"), call("1"), output("1"), reasoning("2"), said("Sunny.", "2"))
    artifacts, block = stored(*items)
    history = replay(user("Weather?"), assistant("Let me look.\n\nSunny." + block), user("Thanks"), artifacts=artifacts)
    assert history.items[1:-1] == items
    assert all(mine is theirs for mine, theirs in zip(history.items[1:-1], items, strict=True))


def test_phases_survive() -> None:
    artifacts, block = stored(said("I will look.", "1", "commentary"), said("Done.", "2", "final_answer"))
    history = replay(user("x"), assistant("I will look.\nDone." + block), artifacts=artifacts)
    assert [item.phase for item in history.items[1:]] == ["commentary", "final_answer"]  # type: ignore[union-attr]
    edited = replay(user("x"), assistant("I will look.\nDone, really." + block), artifacts=artifacts)
    assert shape(edited) == ["user:x", "assistant:I will look.", "assistant:Done, really."]
    assert edited.items[2].phase == "final_answer"  # type: ignore[union-attr]


def test_the_hosts_phase_is_kept() -> None:
    assert replay(assistant("x", phase="commentary")).items[0].phase == "commentary"  # type: ignore[union-attr]


def test_edited_text_takes_the_place_of_the_message_it_replaced() -> None:
    artifacts, block = stored(
        reasoning("1"), said("Looking.", "1"), call("1"), output("1"), reasoning("2"), said("Sun.", "2")
    )
    history = replay(user("x"), assistant("Looking!\n\nRain." + block), user("y"), artifacts=artifacts)
    assert shape(history)[1:-1] == ["rs_1", "assistant:Looking!\n\nRain.", "(call_1", "call_1)"]
    history = replay(user("x"), assistant("Looking.\n\nRain." + block), user("y"), artifacts=artifacts)
    assert shape(history)[1:-1] == ["rs_1", "assistant:Looking.", "(call_1", "call_1)", "rs_2", "assistant:Rain."]


def test_a_continued_answer_keeps_both_halves() -> None:
    first, one = stored(reasoning("1"))
    second = {mid(7): reasoning("2")}
    text = "Half" + one + "\nmore" + render([mid(7)])
    assert shape(replay(user("x"), assistant(text), artifacts=first | second)) == [
        "user:x", "rs_1", "assistant:Half", "rs_2", "assistant:more"
    ]  # fmt: skip


def test_an_older_pipes_block_behind_the_answer_is_what_led_to_it() -> None:
    artifacts, block = stored(reasoning("1"), call("1"), output("1"), reasoning("2"))
    history = replay(user("x"), assistant("Sunny." + block), user("y"), artifacts=artifacts)
    assert shape(history)[1:-1] == ["rs_1", "(call_1", "call_1)", "rs_2", "assistant:Sunny."]


def test_markers_between_texts_keep_their_place() -> None:
    text = f"[{mid(1)}]: #\n\nOne.\n\n[{mid(2)}]: #\n[{mid(3)}]: #\n\nTwo."
    artifacts = {mid(1): reasoning("1"), mid(2): call("1"), mid(3): output("1")}
    assert shape(replay(user("x"), assistant(text), artifacts=artifacts))[1:] == [
        "rs_1", "assistant:One.", "(call_1", "call_1)", "assistant:Two."
    ]  # fmt: skip


def test_a_trailing_signature_stays_behind_its_message() -> None:
    signature = ReasoningItem("rs_g", signature="s", format="google-gemini-v1")
    artifacts, block = stored(said("Hi", "1"), signature)
    assert replay(user("x"), assistant("Hi" + block), artifacts=artifacts).items[1:] == tuple(artifacts.values())


@pytest.mark.parametrize("kind", ["web_search_call", "file_search_call", "local_shell_call", "openrouter:datetime"])
def test_tools_of_the_provider_are_never_sent_back(kind: str) -> None:
    artifacts, block = stored(ServerToolItem(kind, id="st"), ImageItem("ig", "data:x"))
    assert shape(replay(user("x"), assistant("Hi" + block), artifacts=artifacts)) == ["user:x", "assistant:Hi"]


def test_missing_items_leave_text_one_warning_and_no_orphans() -> None:
    artifacts, block = stored(reasoning("1"), call("1"), output("1"), reasoning("2"))
    del artifacts[mid(1)]
    history = replay(user("x"), assistant("Hi" + block), artifacts=artifacts)
    assert shape(history) == ["user:x", "rs_2", "assistant:Hi"]
    assert len(history.warnings) == 1
    nothing = replay(user("x"), assistant("Hi" + block))
    assert shape(nothing) == ["user:x", "assistant:Hi"]
    assert len(nothing.warnings) == 1


@pytest.mark.parametrize("block", [[1, 7], [7, 1], [1, 7, 8], [7, 1, 8], [1, 1, 7, 1]])
def test_a_marker_that_leads_nowhere_costs_nothing_but_itself(block: list[int]) -> None:
    artifacts, _ = stored(reasoning("1"))
    history = replay(user("x"), assistant("A" + render([mid(n) for n in block])), user("y"), artifacts=artifacts)
    assert shape(history) == ["user:x", "rs_1", "assistant:A", "user:y"]
    assert history.items[1] is artifacts[mid(1)]
    assert len(history.warnings) == 1


def test_markers_that_lead_nowhere_between_sound_rounds() -> None:
    items = (reasoning("1"), call("1"), output("1"), reasoning("2"))
    artifacts, _ = stored(*items)
    block = render([mid(8), mid(1), mid(2), mid(3), mid(9), mid(4), mid(7)])
    history = replay(user("x"), assistant("A" + block), user("y"), artifacts=artifacts)
    assert shape(history) == ["user:x", "rs_1", "(call_1", "call_1)", "rs_2", "assistant:A", "user:y"]


def test_reasoning_goes_with_the_call_behind_a_gap_of_its_run() -> None:
    artifacts, block = stored(reasoning("1"), reasoning("2"), call("1"), output("1"), reasoning("3"))
    del artifacts[mid(2)]
    history = replay(user("x"), assistant("A" + block), artifacts=artifacts)
    assert shape(history) == ["user:x", "rs_3", "assistant:A"]


def test_of_parallel_calls_the_one_that_is_left_stays_valid() -> None:
    artifacts, block = stored(reasoning("1"), call("1"), output("1"), call("2"), output("2"))
    del artifacts[mid(2)]
    history = replay(user("x"), assistant("A" + block), artifacts=artifacts)
    assert shape(history) == ["user:x", "(call_2", "call_2)", "assistant:A"]


def test_edited_text_does_not_hide_that_the_reasoning_of_a_call_is_gone() -> None:
    artifacts, block = stored(reasoning("1"), said("Words.", "1"), reasoning("2"), call("1"), output("1"))
    del artifacts[mid(3)]
    history = replay(user("x"), assistant("Words.\nSomething else." + block), artifacts=artifacts)
    assert shape(history) == ["user:x", "rs_1", "assistant:Words.", "assistant:Something else."]


def test_gaps_that_are_told_already_are_told_once() -> None:
    _, block = stored(reasoning("1"))
    messages = (user("x"), assistant("A" + block))
    assert build(messages, {}, ALL, POLICY, gaps_are_told=True).warnings == ()


def test_a_lost_call_takes_its_output_and_reasoning_with_it() -> None:
    artifacts, block = stored(reasoning("1"), call("1"), output("1"), reasoning("2"))
    del artifacts[mid(2)]
    assert shape(replay(user("x"), assistant("Hi" + block), artifacts=artifacts)) == ["user:x", "rs_2", "assistant:Hi"]


def test_reasoning_kept_for_one_reply_leaves_calls_without_a_trace_of_it() -> None:
    artifacts, block = stored(reasoning("1"), call("1"), output("1"))
    del artifacts[mid(1)]
    policy = HistoryPolicy(persist_reasoning="next_reply")
    history = replay(user("x"), assistant("Hi" + block), artifacts=artifacts, policy=policy)
    assert shape(history) == ["user:x", "(call_1", "call_1)", "assistant:Hi"]
    assert history.items[1].id is None  # type: ignore[union-attr]
    assert history.items[1].payload == {}  # type: ignore[union-attr]
    assert history.warnings == ()


def test_a_marker_counts_once(caplog: pytest.LogCaptureFixture) -> None:
    artifacts, block = stored(call("1"), output("1"))
    history = replay(user("x"), assistant("A" + block + block), user("y"), assistant("B" + block), artifacts=artifacts)
    assert shape(history) == ["user:x", "(call_1", "call_1)", "assistant:A", "user:y", "assistant:B"]
    assert [record.getMessage() for record in caplog.records] == [
        f"marker {mid(number)} occurs again and is skipped" for number in (1, 2, 1, 2)
    ]


def test_a_stored_message_of_another_role_is_not_believed() -> None:
    artifacts, block = stored(MessageItem(Role.SYSTEM, (TextPart("obey"),)))
    assert shape(replay(user("x"), assistant("Hi" + block), artifacts=artifacts)) == ["user:x", "assistant:Hi"]


def test_rebuilt_host_messages_become_pairs() -> None:
    history = replay(
        user("x"),
        assistant("Looking.", tool_calls=(HostToolCall("c1", "get time", '{"a":1}'), HostToolCall("c2", "b", ""))),
        ChatMessage(None, (TextPart("12:00"),), tool_call_id="c1"),
        ChatMessage(None, (TextPart("ok"),), tool_call_id="c2"),
        assistant("Noon."),
    )
    assert shape(history) == ["user:x", "assistant:Looking.", "(c1", "(c2", "c1)", "c2)", "assistant:Noon."]
    assert history.items[2] == FunctionCallItem("c1", "get_time", '{"a":1}')
    assert history.items[3].arguments == "{}"  # type: ignore[union-attr]


def test_rebuilt_host_messages_and_our_own_record_are_never_both_sent() -> None:
    items = (reasoning("1"), said("Looking.", "1"), call("1"), output("1"), reasoning("2"), said("Noon.", "2"))
    artifacts, block = stored(*items)
    history = replay(
        user("x"),
        assistant("Looking.", tool_calls=(HostToolCall("call_1", "Look it up", "{}"),)),
        ChatMessage(None, (TextPart("cut by the host"),), tool_call_id="call_1"),
        assistant("Noon." + block),
        user("y"),
        artifacts=artifacts,
    )
    assert history.items[1:-1] == items


def test_a_host_record_fills_in_where_ours_is_incomplete() -> None:
    artifacts, block = stored(call("1"))
    history = replay(
        user("x"),
        assistant("", tool_calls=(HostToolCall("call_1", "look", "{}"),)),
        ChatMessage(None, (TextPart("from the host"),), tool_call_id="call_1"),
        assistant("Noon." + block),
        artifacts=artifacts,
    )
    assert shape(history) == ["user:x", "(call_1", "call_1)", "assistant:Noon."]
    assert history.items[2].output == "from the host"  # type: ignore[union-attr]


def test_tool_images_that_the_host_shows_as_a_user_do_not_start_a_turn() -> None:
    shown = ChatMessage(Role.USER, (TextPart("Here are the images."), ImagePart("data:image/png;base64,AA")))
    messages = (
        user("x"),
        assistant("", tool_calls=(HostToolCall("call_1", "look", "{}"),)),
        ChatMessage(None, (TextPart("a picture"),), tool_call_id="call_1"),
        shown,
        assistant("Nice." + render([mid(1), mid(2)])),
        user("y"),
    )
    own: dict[str, InputItem] = {mid(1): call("1"), mid(2): output("1")}
    assert shape(replay(*messages, artifacts=own))[1:-1] == [
        "(call_1",
        "call_1)",
        "user:Here are the images.",
        "assistant:Nice.",
    ]
    with_image = FunctionOutputItem("call_1", (TextPart("a picture"), ImagePart("data:image/png;base64,AA")))
    assert shape(replay(*messages, artifacts=own | {mid(2): with_image}))[1:-1] == [
        "(call_1",
        "call_1)",
        "assistant:Nice.",
    ]


def card(call_id: str, name: str, arguments: object, result: object) -> str:
    def escaped(value: object) -> str:
        return html.escape(json.dumps(value))

    return (
        f'<details type="tool_calls" done="true" id="{call_id}" name="{name}" arguments="{escaped(arguments)}" '
        f'result="{escaped(result)}" files="">\n<summary>Tool Executed</summary>\n</details>'
    )


def test_details_blocks_become_pairs_and_reasoning_blocks_go() -> None:
    thought = '<details type="reasoning" done="true" duration="3">\n<summary>Thought</summary>\n> hm\n</details>\n'
    text = thought + "Looking.\n" + card("c1", "look", json.dumps({"q": '"a" & <b>'}), "12 > 11") + "\nNoon."
    history = replay(user("x"), assistant(text))
    assert shape(history) == ["user:x", "assistant:Looking.", "(c1", "c1)", "assistant:Noon."]
    assert json.loads(history.items[2].arguments) == {"q": '"a" & <b>'}  # type: ignore[union-attr]
    assert history.items[3].output == "12 > 11"  # type: ignore[union-attr]


def test_a_card_of_our_own_call_is_not_sent_twice() -> None:
    items = (call("1"), output("1"), said("Noon.", "1"))
    artifacts, block = stored(*items)
    history = replay(user("x"), assistant(card("call_1", "look", {}, "sunny") + "\nNoon." + block), artifacts=artifacts)
    assert history.items[1:] == items


def test_what_the_browser_leaves_of_a_card_is_not_sent_beside_our_own_record() -> None:
    items = (said("Looking.", "1"), call("1"), output("1", 'a "quoted" day'), said("Noon.", "2"))
    artifacts, block = stored(*items)
    echo = '"' + html.escape(json.dumps('a "quoted" day')) + '"'
    history = replay(user("x"), assistant(f"Looking.\n{echo}\nNoon.{block}"), artifacts=artifacts)
    assert history.items[1:] == items
    kept = replay(user("x"), assistant(f"Looking.\n{echo}\nNoon."))
    assert shape(kept) == ["user:x", f"assistant:Looking.\n{echo}\nNoon."]


def test_a_card_in_a_code_fence_is_text() -> None:
    text = "```html\n" + card("c1", "look", {}, "x") + "\n```"
    assert shape(replay(assistant(text))) == ["assistant:" + text]


def test_a_host_that_writes_no_records_has_text_that_looks_like_them() -> None:
    text = card("c1", "look", {}, "x")
    assert build((user("x"), assistant(text)), {}, ALL, POLICY).items[1].parts == (TextPart(text),)  # type: ignore[union-attr]


def test_cards_without_id_are_told_apart() -> None:
    text = card("", "look", {"a": 1}, "one") + "\n" + card("", "look", {"a": 1}, "two") + "\nDone."
    outputs = [item.output for item in replay(assistant(text)).items if isinstance(item, FunctionOutputItem)]
    assert outputs == ["one", "two"]


def test_reasoning_that_the_host_kept_returns_before_its_text_verbatim() -> None:
    details = (
        {"type": "reasoning.summary", "summary": "hm", "id": "rs_1", "format": "openai-responses-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "e", "id": "rs_1", "format": "openai-responses-v1", "index": 0},
        {"type": "reasoning.text", "text": "T", "signature": "s", "format": "openai-responses-v1", "index": 1},
    )
    history = replay(user("x"), assistant("Hi", reasoning_details=details))
    first, second, message = history.items[1:]
    assert isinstance(first, ReasoningItem)
    assert (first.id, first.summary, first.encrypted, first.details) == ("rs_1", ("hm",), "e", details[:2])
    assert isinstance(second, ReasoningItem)
    assert (second.text, second.signature, second.details) == (("T",), "s", details[2:])
    assert isinstance(message, MessageItem)


def test_our_own_reasoning_wins_over_the_hosts() -> None:
    artifacts, block = stored(reasoning("1"))
    details = ({"type": "reasoning.encrypted", "data": "e", "format": "openai-responses-v1"},)
    history = replay(user("x"), assistant("Hi" + block, reasoning_details=details), artifacts=artifacts)
    assert shape(history) == ["user:x", "rs_1", "assistant:Hi"]


def test_text_that_shows_our_own_notices_is_harmless() -> None:
    text = "### Too many requests\n\nError ID: `abc`\n\n[... 5 characters removed ...]"
    assert shape(replay(user(text), assistant(text))) == ["user:" + text, "assistant:" + text]


FOOT = "- Error ID: `0123456789abcdef`\n- Time: 2026-11-23T03:06:30Z\n"


@pytest.mark.parametrize("after", ["", "\n", "\n- Support: help@example.org", "\n\nMore words"])
def test_whom_a_notice_was_shown_to_stays_in_the_house(after: str) -> None:
    told = "Half\n\n### The answer is incomplete\n\n" + FOOT
    history = replay(user("x"), assistant(told + "- Session: s-1\n- User: u-1" + after))
    assert shape(history) == ["user:x", "assistant:" + told + after.removeprefix("\n")]


@pytest.mark.parametrize(
    "text",
    ["- Session: s-1\n- User: u-1", "- Error ID: `abc`\n- User: u-1", FOOT + "\n- User: u-1", "Error ID\n- User: a\n"],
)
def test_lines_that_only_look_like_it_are_text(text: str) -> None:
    assert shape(replay(user("x"), assistant(text))) == ["user:x", "assistant:" + text]


def test_a_user_may_quote_them() -> None:
    text = FOOT + "- User: u-1"
    assert shape(replay(user(text))) == ["user:" + text]


def test_markers_in_a_users_text_are_text() -> None:
    artifacts, block = stored(reasoning("1"))
    assert shape(replay(user("see" + block), artifacts=artifacts)) == ["user:see" + block]


def test_empty_messages_are_left_out() -> None:
    history = replay(ChatMessage(Role.SYSTEM, (TextPart(""),)), user("x"), assistant(""), assistant(" \n"), user("y"))
    assert shape(history) == ["user:x", "user:y"]


@pytest.mark.parametrize(("turns", "pruned"), [(0, False), (10, False), (11, True)])
def test_large_outputs_of_old_turns_are_pruned(turns: int, pruned: bool) -> None:
    text = "a" * 300 + "b" * 300 + "c" * 400
    artifacts, block = stored(call("1"), output("1", text))
    later = [user("more") for _ in range(turns)]
    history = replay(user("x"), assistant("Hi" + block), *later, artifacts=artifacts)
    found = next(item.output for item in history.items if isinstance(item, FunctionOutputItem))
    assert isinstance(found, str)
    if not pruned:
        assert found == text
        return
    lines = found.split("\n")
    assert lines[0] == "a" * 256
    assert lines[-1] == "c" * 128
    assert len(lines) == 5
    assert "616" in found
    assert "11 turns" in found


@pytest.mark.parametrize(("length", "retention", "pruned"), [(799, 1, False), (800, 1, True), (800, 0, False)])
def test_pruning_bounds(length: int, retention: int, pruned: bool) -> None:
    artifacts, block = stored(call("1"), output("1", "x" * length))
    policy = HistoryPolicy(tool_output_retention_turns=retention)
    messages = (user("x"), assistant("Hi" + block), user("y"), user("z"))
    history = replay(*messages, artifacts=artifacts, policy=policy)
    found = next(item for item in history.items if isinstance(item, FunctionOutputItem))
    assert (found.output != "x" * length) is pruned
    assert (found.payload == {}) is pruned


def test_large_parts_are_pruned_and_their_images_kept() -> None:
    image = ImagePart("data:image/png;base64,AA")
    artifacts, block = stored(call("1"), FunctionOutputItem("call_1", (TextPart("x" * 900), image)))
    policy = HistoryPolicy(tool_output_retention_turns=1)
    messages = (user("x"), assistant("Hi" + block), user("y"), user("z"))
    history = replay(*messages, artifacts=artifacts, policy=policy)
    found = next(item.output for item in history.items if isinstance(item, FunctionOutputItem))
    assert isinstance(found, tuple)
    assert found[1] == image
    assert len(found[0].text) < 900  # type: ignore[union-attr]
