"""Reasoning details of a shape that nobody documents: kept or dropped, never an error."""

import pytest

from openrouter_pipe.domain.history.build import build
from openrouter_pipe.domain.history.policy import HistoryPolicy
from openrouter_pipe.ports.chat import ChatMessage
from openrouter_pipe.ports.items import Role, TextPart


@pytest.mark.parametrize("odd", [{}, [], [{}], 5, True, None, {"type": "reasoning.text"}])
@pytest.mark.parametrize("key", ["type", "id", "index", "format", "text", "summary", "data", "signature"])
def test_odd_members_cost_no_answer(key: str, odd: object) -> None:
    detail = {"type": "reasoning.text", "text": "hm", "format": "anthropic-claude-v1", "signature": "s", "index": 0}
    for details in ({**detail, key: odd}, {key: odd}, {"type": "reasoning.text", key: odd}):
        messages = (
            ChatMessage(Role.USER, (TextPart("x"),)),
            ChatMessage(Role.ASSISTANT, (TextPart("y"),), reasoning_details=(details, detail)),  # type: ignore[arg-type]
            ChatMessage(Role.USER, (TextPart("z"),)),
        )
        assert build(messages, {}, frozenset({"text"}), HistoryPolicy()).items
