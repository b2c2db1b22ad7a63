"""Reasoning of another family does not follow the chat to another model."""

import pytest

from openrouter_pipe.domain.history.families import without_foreign_reasoning
from openrouter_pipe.ports.items import FunctionCallItem, FunctionOutputItem, InputItem, ReasoningItem


def turn(family: str | None) -> tuple[InputItem, ...]:
    call = FunctionCallItem("c", "f", "{}", id="fc_1", payload={"id": "fc_1"})
    return ReasoningItem("rs", encrypted="e", format=family), call, FunctionOutputItem("c", "o")


@pytest.mark.parametrize(
    ("family", "model"),
    [
        ("openai-responses-v1", "openai/gpt-5.6"),
        ("azure-openai-responses-v1", "openai/gpt-5.6:online"),
        ("anthropic-claude-v1", "anthropic/claude-sonnet-5"),
        ("anthropic-claude-v1", "~anthropic/claude-latest"),
        ("google-gemini-v1", "google/gemini-3-pro"),
        ("bedrock-xai-responses-v1", "x-ai/grok-5"),
        ("openai-responses-v1", "openrouter/auto"),
        (None, "anthropic/claude-sonnet-5"),
        ("unknown", "deepseek/deepseek-r2"),
        ("google-gemini-v1", "deepseek/deepseek-r2"),
    ],
)
def test_reasoning_of_the_same_family_or_of_none_stays(family: str | None, model: str) -> None:
    items = turn(family)
    assert all(one is other for one, other in zip(without_foreign_reasoning(items, model), items, strict=True))


@pytest.mark.parametrize(
    ("family", "model"),
    [
        ("openai-responses-v1", "anthropic/claude-sonnet-5"),
        ("anthropic-claude-v1", "openai/gpt-5.6"),
        ("google-gemini-v1", "meta-llama/llama-5"),
        ("xai-responses-v1", "google/gemini-3-pro"),
    ],
)
def test_foreign_reasoning_goes_and_its_calls_stay_without_its_ids(family: str, model: str) -> None:
    items = turn(family)
    assert without_foreign_reasoning(items, model) == (FunctionCallItem("c", "f", "{}"), items[2])
