"""The item codec: nothing of a payload is lost, broken items are refused, unknown ones kept."""

from __future__ import annotations

from typing import Any

import pytest

from openrouter_pipe.adapters.openrouter import OpenRouterItemCodec
from openrouter_pipe.ports.items import (
    FunctionCallItem,
    FunctionOutputItem,
    ImageItem,
    MessageItem,
    OpaqueItem,
    ReasoningItem,
    Role,
    ServerToolItem,
    TextPart,
)

CODEC = OpenRouterItemCodec()


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (
            {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]},
            MessageItem,
        ),
        ({"role": "user", "content": "plain"}, MessageItem),
        ({"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "e", "future": 1}, ReasoningItem),
        ({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}, FunctionCallItem),
        ({"type": "function_call_output", "call_id": "c", "output": "x"}, FunctionOutputItem),
        ({"type": "image_generation_call", "id": "i", "status": "completed", "result": "data:x"}, ImageItem),
        ({"type": "openrouter:image_generation", "status": "completed", "imageB64": "AA"}, ImageItem),
        ({"type": "openrouter:web_search", "status": "completed"}, ServerToolItem),
        ({"type": "web_search_call", "id": "w", "status": "completed"}, ServerToolItem),
        ({"type": "openrouter:not_yet_known", "status": "completed"}, ServerToolItem),
        ({"type": "custom_tool_call", "call_id": "c", "name": "n", "input": "i"}, OpaqueItem),
        ({"type": "martian"}, OpaqueItem),
    ],
)
def test_items_survive_the_round_trip(payload: dict[str, Any], kind: type) -> None:
    item = CODEC.decode(payload)
    assert type(item) is kind
    assert CODEC.encode(item) == payload
    assert CODEC.decode(CODEC.encode(item)) == item


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"type": None},
        {"type": 5},
        {"type": "function_call", "name": "f"},
        {"type": "function_call", "call_id": "c", "name": ""},
        {"type": "function_call_output", "call_id": "c"},
        {"type": "function_call_output", "output": "x"},
        {"type": "message", "role": "tool", "content": "x"},
    ],
)
def test_broken_items_are_refused(payload: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        CODEC.decode(payload)


def test_items_of_our_own_can_be_stored() -> None:
    items = [
        MessageItem(Role.ASSISTANT, (TextPart("x"),)),
        ReasoningItem(summary=("s",), text=("t",), details=({"type": "reasoning.text", "text": "t"},)),
        FunctionCallItem("c", "f", "{}"),
        FunctionOutputItem("c", "out"),
        FunctionOutputItem("c", (TextPart("out"),)),
    ]
    for item in items:
        read = CODEC.decode(CODEC.encode(item))
        assert type(read) is type(item)
        assert CODEC.encode(read) == CODEC.encode(item)
    reasoning = CODEC.decode(CODEC.encode(items[1]))
    assert isinstance(reasoning, ReasoningItem)
    assert (reasoning.summary, reasoning.text, reasoning.details) == (("s",), ("t",), items[1].details)  # type: ignore[union-attr]


def test_odd_members_do_not_cost_the_item() -> None:
    payload = {
        "type": "reasoning",
        "id": None,
        "summary": ["bare", {"text": 5}, 7],
        "signature": 0,
        "reasoning_details": [1],
    }
    item = CODEC.decode(payload)
    assert isinstance(item, ReasoningItem)
    assert item.summary == ("bare", "", "")
    assert (item.id, item.signature, item.details) == (None, None, ())


def test_sources_of_a_search() -> None:
    action = {"type": "search", "query": "q", "sources": [{"type": "url", "url": "https://a"}, {"type": "url"}, 5]}
    item = CODEC.decode({"type": "openrouter:web_search", "id": "s", "status": "completed", "action": action})
    assert isinstance(item, ServerToolItem)
    assert (item.kind, item.query, [source.url for source in item.sources]) == ("web_search", "q", ["https://a"])
