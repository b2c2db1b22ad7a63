"""Rounds of thought, words and calls, damaged in every way a chat can be: what is left is valid and in the provider's order."""

from __future__ import annotations

import html
import json

from attrs import evolve, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from openrouter_pipe.adapters.openwebui.history_text import HistoryText
from openrouter_pipe.domain.history.build import build
from openrouter_pipe.domain.history.markers import render
from openrouter_pipe.domain.history.policy import HistoryPolicy
from openrouter_pipe.ports.chat import ChatMessage, HostToolCall
from openrouter_pipe.ports.items import (
    FunctionCallItem,
    FunctionOutputItem,
    InputItem,
    MessageItem,
    ReasoningItem,
    Role,
    TextPart,
)

TEXT = frozenset({"text"})
FORMATS = ("openai-responses-v1", "anthropic-claude-v1", "google-gemini-v1")


@frozen
class Round:
    """One provider round as it was stored; ``number`` is in every id."""

    number: int
    thoughts: int
    says: bool
    calls: int
    family: str

    def items(self) -> list[InputItem]:
        thoughts = [
            ReasoningItem(f"rs_{self.number}_{at}", encrypted="e", signature="s", format=self.family, payload={"p": at})
            for at in range(self.thoughts)
        ]
        said = [MessageItem(Role.ASSISTANT, (TextPart(f"Words {self.number}."),), id=f"msg_{self.number}")]
        calls = [
            FunctionCallItem(f"call_{self.number}_{at}", "look", "{}", id=f"fc_{self.number}_{at}", payload={"p": at})
            for at in range(self.calls)
        ]
        outputs = [FunctionOutputItem(call.call_id, "sunny", payload={"p": 1}) for call in calls]
        return [*thoughts, *(said if self.says else ()), *calls, *outputs]


rounds = st.lists(
    st.builds(Round, st.just(0), st.integers(0, 2), st.booleans(), st.integers(0, 2), st.sampled_from(FORMATS)),
    min_size=1,
    max_size=4,
).map(lambda some: [evolve(one, number=at) for at, one in enumerate(some)])


def card(call: FunctionCallItem) -> str:
    """The call as 0.6.28 writes it into the text."""
    result = html.escape(json.dumps("sunny"))
    return (
        f'\n<details type="tool_calls" done="true" id="{call.call_id}" name="{call.name}" arguments="{{}}" '
        f'result="{result}">\n<summary>Tool Executed</summary>\n</details>\n'
    )


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[ChatMessage], dict[str, InputItem], list[InputItem]]:
    """A chat of one damaged turn: the host's messages, what of the store can be read, and what there once was."""
    turn = draw(rounds)
    made = [item for one in turn for item in one.items()]
    ids = [f"{at:020d}" for at in range(1, len(made) + 1)]
    lost = draw(st.sets(st.sampled_from(ids), max_size=3)) if ids else set()
    stored = {one: item for one, item in zip(ids, made, strict=True) if one not in lost}
    shown = [one for one in ids if one not in draw(st.sets(st.sampled_from(ids), max_size=2))] if ids else []
    for stranger in draw(st.lists(st.sampled_from(["7" * 20, "8" * 20]), max_size=2)):
        shown.insert(draw(st.integers(0, len(shown))), stranger)
    shown += draw(st.lists(st.sampled_from(shown), max_size=2)) if shown else []
    words = [f"Words {one.number}." for one in turn if one.says] or ["Words."]
    edited = draw(st.booleans())
    text = "\n".join([*words[:-1], "Something else." if edited else words[-1]])
    calls = [item for item in made if isinstance(item, FunctionCallItem)]
    shape = draw(st.sampled_from(["ours alone", "cards", "rebuilt"]))
    messages = [ChatMessage(Role.USER, (TextPart("Weather?"),))]
    if shape == "rebuilt" and calls:
        records = tuple(HostToolCall(call.call_id, call.name, call.arguments) for call in calls)
        messages.append(ChatMessage(Role.ASSISTANT, (), tool_calls=records))
        messages += [ChatMessage(None, (TextPart("sunny"),), tool_call_id=call.call_id) for call in calls]
    elif shape == "cards":
        text = "".join(map(card, calls)) + text
    messages.append(ChatMessage(Role.ASSISTANT, (TextPart(text + render(shown)),)))
    messages.append(ChatMessage(Role.USER, (TextPart("Thanks"),)))
    return messages, stored, made


@settings(max_examples=400)
@given(histories(), st.sampled_from(["conversation", "next_reply", "disabled"]))
def test_calls_follow_their_reasoning_and_have_one_output_each(
    history: tuple[list[ChatMessage], dict[str, InputItem], list[InputItem]], mode: str
) -> None:
    messages, stored, made = history
    items = build(messages, stored, TEXT, HistoryPolicy(persist_reasoning=mode), records=HistoryText()).items
    assert items[0] == MessageItem(Role.USER, (TextPart("Weather?"),))
    assert items[-1] == MessageItem(Role.USER, (TextPart("Thanks"),))

    calls = [at for at, item in enumerate(items) if isinstance(item, FunctionCallItem)]
    outputs = [at for at, item in enumerate(items) if isinstance(item, FunctionOutputItem)]
    assert sorted(items[at].call_id for at in calls) == sorted(items[at].call_id for at in outputs)  # type: ignore[union-attr]
    places = {items[at].call_id: at for at in calls}  # type: ignore[union-attr]
    assert len(places) == len(calls), "a call id twice"
    assert all(places[items[at].call_id] < at for at in outputs)  # type: ignore[union-attr]

    # What came back of the store keeps the provider's order, reasoning before its calls.
    once = {item.id: at for at, item in enumerate(made) if isinstance(item, ReasoningItem | FunctionCallItem)}
    order = [once[item.id] for item in items if isinstance(item, ReasoningItem | FunctionCallItem) and item.id in once]
    assert order == sorted(order)

    # A call under its own id refers to reasoning of its round: all of that was read, or the call is not there.
    missing = {item.id for item in made} - {item.id for item in stored.values()}
    for item in items:
        if isinstance(item, FunctionCallItem) and item.id is not None:
            last_thought = _last_thought(made, item)
            assert last_thought is None or last_thought.id not in missing or _hidden(messages, made, last_thought)


def _last_thought(made: list[InputItem], call: FunctionCallItem) -> ReasoningItem | None:
    """The reasoning right before the calls of the round, where nothing was said in between."""
    for item in reversed(made[: next(at for at, one in enumerate(made) if one.id == call.id)]):
        match item:
            case ReasoningItem():
                return item
            case FunctionCallItem():
                continue
            case _:
                return None
    return None


def _hidden(messages: list[ChatMessage], made: list[InputItem], thought: ReasoningItem) -> bool:
    """Whether the user took the marker of the thought out of the message: then nothing tells that it is missing."""
    one = f"{made.index(thought) + 1:020d}"
    return all(one not in part.text for message in messages for part in message.parts if isinstance(part, TextPart))
