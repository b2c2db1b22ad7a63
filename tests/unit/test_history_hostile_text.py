"""Reading hostile histories: the work grows with the text, never with its square.

The bound is CPU time of this process, a hundred times what linear work needs and far below what quadratic work takes.
"""

import html
import time
from collections.abc import Callable

import pytest

from openrouter_pipe.adapters.openwebui.history_text import HistoryText
from openrouter_pipe.domain.history.build import build
from openrouter_pipe.domain.history.details import is_proven
from openrouter_pipe.domain.history.markers import render
from openrouter_pipe.domain.history.pairing import repair
from openrouter_pipe.domain.history.policy import HistoryPolicy
from openrouter_pipe.ports.chat import ChatMessage, HostToolCall, HostToolRecord
from openrouter_pipe.ports.items import (
    FunctionCallItem,
    FunctionOutputItem,
    MessageItem,
    ReasoningItem,
    Role,
    TextPart,
)

CARDS = HistoryText()
SIZE = 400_000
SECONDS = 3.0
ALL = frozenset({"text", "image"})


def cpu(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def fill(piece: str) -> str:
    return (piece * (SIZE // len(piece) + 1))[:SIZE]


def user(text: str) -> ChatMessage:
    return ChatMessage(Role.USER, (TextPart(text),))


def assistant(text: str, **more: object) -> ChatMessage:
    return ChatMessage(Role.ASSISTANT, (TextPart(text),), **more)


@pytest.mark.parametrize(
    "text",
    [
        fill("<details "),
        fill('<details a="b"'),
        fill('<details type="tool_calls" '),
        fill('<details type="reasoning">'),
        fill('<details type="tool_calls" id="a" name="b">x</details>'),
        '<details type="tool_calls" name="x" ' + fill("a") + ">y</details>",
        '<details type="tool_calls" name="x" ' + fill('a="') + ">y</details>",
        '<details type="tool_calls" name="x" ' + fill("type=") + ">y</details>",
        '<details type="tool_calls" name="x">' + fill(" ") + "</details>",
        '<details type="tool_calls" name="x" result="' + fill("&amp;") + '">y</details>',
        '<details type="tool_calls" name="x" arguments="' + fill("[") + '">y</details>',
        fill("!["),
        fill("![](/"),
        fill("![](/a"),
        fill("![](data:image/"),
        fill("![](data:image/png;base64,"),
        "![](data:image/png;base64," + fill("A"),
        fill("]: #"),
        fill("[0123456789ABCDEFGHJK]: # "),
        fill("[0123456789ABCDEFGHJK]: #\n"),
        fill("[0123456789ABCDEFGHJK]: #\na\n"),
        fill(" \t"),
        fill("\n"),
        fill("```\n"),
        fill("```a\n~~~\n"),
        fill("``` `"),
        fill('"a"\n'),
    ],
    ids=lambda text: repr(text[:40]),
)
def test_assistant_text_is_read_in_linear_time(text: str) -> None:
    messages = (user("hi"), assistant(text), user("and?"))
    assert cpu(lambda: build(messages, {}, ALL, HistoryPolicy(), records=CARDS)) < SECONDS


def test_many_echoes_and_many_outputs() -> None:
    text = "\n".join(f'"{number}"' for number in range(40_000))
    outputs = [f"output {number}" for number in range(5_000)]
    assert cpu(lambda: CARDS.without_echoes(text, outputs)) < SECONDS
    assert CARDS.without_echoes('a\n"output 7"\nb', outputs) == "a\nb"


def test_calls_that_all_share_one_id() -> None:
    calls = [FunctionCallItem("call", "look", "{}") for _ in range(8_000)]
    outputs = [FunctionOutputItem("call", "x") for _ in calls]
    later = MessageItem(Role.USER, (TextPart("and?"),))
    repaired: list = []
    assert cpu(lambda: repaired.extend(repair([*calls, later, *outputs]))) < SECONDS
    ids = [item.call_id for item in repaired if isinstance(item, FunctionCallItem)]
    assert len(set(ids)) == len(calls)
    assert max(map(len, ids)) <= 64


def test_host_tool_calls_that_all_share_one_id() -> None:
    calls = tuple(HostToolCall("c" * 64, "look", "{}") for _ in range(8_000))
    assert (
        cpu(lambda: build((user("x"), assistant("y", tool_calls=calls)), {}, ALL, HistoryPolicy(), records=CARDS))
        < SECONDS
    )


def test_reasoning_in_many_fragments_whose_signature_comes_last() -> None:
    fragments = [{"type": "reasoning.text", "index": 0, "text": "a"} for _ in range(8_000)]
    item = ReasoningItem(format="anthropic-claude-v1", details=(*fragments, {"index": 0, "signature": "s"}))
    assert cpu(lambda: is_proven(item)) < SECONDS
    assert is_proven(item)
    assert not is_proven(ReasoningItem(format="anthropic-claude-v1", details=({"index": []}, {"signature": "s"})))


def test_many_cards_beside_many_stored_items_that_are_gone() -> None:
    card = '<details type="tool_calls" id="a" name="b">x</details>\nedited\n'
    gone = [f"{number:020d}" for number in range(2, 8_000)]
    last = f"{1:020d}"
    stored = {last: MessageItem(Role.ASSISTANT, (TextPart("what was said"),))}
    messages = (user("x"), assistant(card * 4_000 + render([*gone, last])), user("and?"))
    assert cpu(lambda: build(messages, stored, ALL, HistoryPolicy(), records=CARDS)) < SECONDS


def test_a_character_reference_of_thousands_of_digits_stays_text() -> None:
    hostile = "&#" + "1" * 5000 + ";"
    card = f'<details type="tool_calls" id="a" name="b" arguments="{{}}" result="{hostile}">\n</details>'
    (found,) = CARDS.split(card, ())
    assert isinstance(found, HostToolRecord)
    assert found.result == hostile
    assert CARDS.without_echoes(f'"{hostile}"', ["x"]) == f'"{hostile}"'


def test_angle_brackets_inside_attributes_are_escaped_by_the_host() -> None:
    arguments = html.escape('"{\\"q\\": \\"<b>\\"}"', quote=True)
    (found,) = CARDS.split(f'<details type="tool_calls" id="a" name="b" arguments="{arguments}">\nr\n</details>', ())
    assert isinstance(found, HostToolRecord)
    assert found.call.arguments == '{"q": "<b>"}'
