"""What of a turn is stored, and that what is stored brings the turn back."""

import pytest

from openrouter_pipe.domain.history.build import build
from openrouter_pipe.domain.history.markers import render
from openrouter_pipe.domain.history.policy import HistoryPolicy
from openrouter_pipe.domain.retention import expired, keep
from openrouter_pipe.ports.chat import ChatMessage
from openrouter_pipe.ports.items import (
    FunctionCallItem,
    FunctionOutputItem,
    ImageItem,
    InputItem,
    MessageItem,
    ReasoningItem,
    Role,
    ServerToolItem,
    TextPart,
)

CONVERSATION = HistoryPolicy()


def thought(name: str) -> ReasoningItem:
    return ReasoningItem(f"rs_{name}", encrypted="e", format="openai-responses-v1")


def said(text: str, phase: str | None = None) -> MessageItem:
    return MessageItem(Role.ASSISTANT, (TextPart(text),), id=f"msg_{text}", phase=phase)


def call(name: str) -> FunctionCallItem:
    return FunctionCallItem(name, "f", "{}", id=f"fc_{name}")


def output(name: str) -> FunctionOutputItem:
    return FunctionOutputItem(name, "o")


TURN = (thought("1"), said("Look"), call("a"), output("a"), thought("2"), said("Done"))


def test_everything_is_kept_that_replay_needs() -> None:
    assert keep(TURN, CONVERSATION) == TURN


def test_the_text_of_a_plain_answer_is_not_kept_twice() -> None:
    assert keep((thought("1"), said("Done")), CONVERSATION) == (thought("1"),)
    assert keep((said("Done"),), CONVERSATION) == ()
    assert keep((said("Done", "final_answer"),), CONVERSATION) == (said("Done", "final_answer"),)


def test_provider_tools_images_and_open_calls_are_not_kept() -> None:
    items = (ServerToolItem("web_search_call"), ImageItem("i"), thought("1"), call("a"), said("Done"))
    assert keep(items, CONVERSATION) == (thought("1"),)


def test_without_reasoning() -> None:
    assert keep(TURN, HistoryPolicy(persist_reasoning="disabled")) == (
        said("Look"),
        call("a"),
        output("a"),
        said("Done"),
    )


def test_without_tools_no_reasoning_is_left_whose_call_is_gone() -> None:
    kept = keep(
        (thought("1"), call("a"), output("a"), thought("2"), said("Done")), HistoryPolicy(persist_tool_results=False)
    )
    assert kept == (thought("2"),)


def test_neither() -> None:
    assert keep(TURN, HistoryPolicy(persist_tool_results=False, persist_reasoning="disabled")) == ()


@pytest.mark.parametrize(("mode", "gone"), [("next_reply", ("1",)), ("conversation", ()), ("disabled", ())])
def test_reasoning_kept_for_one_reply_expires(mode: str, gone: tuple[str, ...]) -> None:
    artifacts: dict[str, InputItem] = {"1": thought("1"), "2": call("a"), "3": output("a")}
    assert expired(artifacts, HistoryPolicy(persist_reasoning=mode)) == gone


@pytest.mark.parametrize(
    "turn",
    [
        TURN,
        (thought("1"), said("Done")),
        (thought("1"), call("a"), call("b"), output("a"), output("b"), thought("2"), said("Done")),
        (said("Look"), thought("1"), call("a"), output("a"), said("More"), call("b"), output("b"), said("Done")),
        (said("One", "commentary"), said("Two", "final_answer")),
        (said("Done"), ReasoningItem("rs_g", signature="s", format="google-gemini-v1")),
    ],
)
@pytest.mark.parametrize("joint", ["", "\n", "\n\n"])
def test_a_kept_turn_comes_back_in_order(turn: tuple[InputItem, ...], joint: str) -> None:
    kept = keep(turn, CONVERSATION)
    artifacts = {f"{number:020d}": item for number, item in enumerate(kept)}
    text = joint.join(item.parts[0].text for item in turn if isinstance(item, MessageItem))  # type: ignore[union-attr]
    shown = ChatMessage(Role.ASSISTANT, (TextPart(text + render(list(artifacts))),))
    history = build((shown, ChatMessage(Role.USER, (TextPart("y"),))), artifacts, frozenset({"text"}), CONVERSATION)

    def told(items: tuple[InputItem, ...]) -> list[object]:
        return [(item.parts, item.phase) if isinstance(item, MessageItem) else item for item in items]

    assert told(history.items[:-1]) == told(turn)
