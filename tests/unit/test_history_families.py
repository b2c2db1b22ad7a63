"""Reasoning of another family does not follow the chat to another model."""

import pytest

from openrouter_pipe.domain.history.families import without_foreign_reasoning, without_proofs
from openrouter_pipe.ports.items import (
    FunctionCallItem,
    FunctionOutputItem,
    InputItem,
    MessageItem,
    ReasoningItem,
    Role,
    TextPart,
)


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
        ("google-gemini-v1", "deepseek/deepseek-r2"),
    ],
)
def test_foreign_reasoning_goes_and_its_calls_stay_without_its_ids(family: str, model: str) -> None:
    items = turn(family)
    assert without_foreign_reasoning(items, model) == (FunctionCallItem("c", "f", "{}"), items[2])


def made(model: str, family: str | None = None, **proof: str) -> ReasoningItem:
    return ReasoningItem("rs", summary=("s",), format=family, made_by=model, **proof)


@pytest.mark.parametrize(
    ("item", "model"),
    [
        (made("openai/gpt-5", "openai-responses-v1"), "openai/gpt-6"),
        (made("openai.gpt-5", "unknown"), "openai/gpt-6"),
        (made("~openai/gpt-latest"), "openai/gpt-6:nitro"),
        (made("deepseek/deepseek-r1", "unknown"), "deepseek/deepseek-r2"),
        (made("acme/thinker", "openai-responses-v1"), "acme/thinker-2"),  # served in another family's format
        (made("acme/thinker", "openai-responses-v1"), "openai/gpt-6"),
        (made("openrouter/auto", "anthropic-claude-v1"), "anthropic/claude-sonnet-5"),
        (made("openrouter/auto", "unknown"), "mistralai/large"),  # nobody knows who made it
        (made("@preset/mine"), "mistralai/large"),
        (made(""), "mistralai/large"),
        (made("gpt-5-2025-08-07"), "openai/gpt-6"),  # a gateway that answers without the vendor
        (made("gpt-4.1"), "openai/gpt-6"),
        (made("openai/gpt-5", "openai-responses-v1"), "openrouter/auto"),  # nobody knows who answers
        (made("openai/gpt-5", "openai-responses-v1"), "@preset/mine"),
        (made("openai/gpt-5", "openai-responses-v1"), "local-model"),
    ],
)
def test_reasoning_goes_back_to_the_family_that_made_it(item: ReasoningItem, model: str) -> None:
    assert without_foreign_reasoning((item,), model) == (item,)


@pytest.mark.parametrize(
    ("item", "model"),
    [
        (made("openai/gpt-5", "openai-responses-v1", encrypted="e"), "deepseek/deepseek-r2"),
        (made("openai/gpt-5", "openai-responses-v1", encrypted="e"), "mistralai/large"),
        (made("", "openai-responses-v1", encrypted="e"), "mistralai/large"),
        (made("openai/gpt-5", None, encrypted="e"), "anthropic/claude-sonnet-5"),
        (made("openai.gpt-5", None, encrypted="e"), "x-ai/grok-5"),
        (made("anthropic/claude-sonnet-5", "anthropic-claude-v1", signature="s"), "qwen/qwen-4"),
        (made("google/gemini-3-pro", "google-gemini-v1", encrypted="e"), "deepseek/deepseek-r2"),
        (made("deepseek/deepseek-r2", "unknown"), "openai/gpt-6"),
        (made("acme/thinker", "openai-responses-v1", encrypted="e"), "anthropic/claude-sonnet-5"),
    ],
)
def test_reasoning_of_one_family_is_not_sent_to_another(item: ReasoningItem, model: str) -> None:
    said = MessageItem(Role.ASSISTANT, (TextPart("hello"),))
    assert without_foreign_reasoning((item, said), model) == (said,)


def test_without_proofs_only_what_can_be_refused_goes() -> None:
    call = FunctionCallItem("c", "f", "{}", id="fc_1", payload={"id": "fc_1"})
    kept = FunctionCallItem("d", "f", "{}", id="fc_2", payload={"id": "fc_2"})
    words = ReasoningItem("rs_2", text=("aloud",))
    twin = ReasoningItem("rs_3", details=({"type": "reasoning.encrypted", "data": "e"},))
    items: tuple[InputItem, ...] = (
        *(ReasoningItem("rs_0", encrypted="e"), ReasoningItem("rs_1", signature="s"), call),
        *(FunctionOutputItem("c", "o"), words, kept, FunctionOutputItem("d", "o"), twin),
    )
    assert without_proofs(items) == (FunctionCallItem("c", "f", "{}"), items[3], words, kept, items[6])
    assert without_proofs(without_proofs(items)) == without_proofs(items)


def test_words_between_reasoning_and_its_calls_hide_it_from_neither() -> None:
    said = MessageItem(Role.ASSISTANT, (TextPart("Let me look."),))
    reasoning, call, output = turn("openai-responses-v1")
    asked = MessageItem(Role.USER, (TextPart("and now?"),))
    later = FunctionCallItem("d", "f", "{}", id="fc_2", payload={"id": "fc_2"})
    items = (reasoning, said, call, output, later, asked, later)
    assert without_proofs(items) == (said, FunctionCallItem("c", "f", "{}"), output, later, asked, later)
