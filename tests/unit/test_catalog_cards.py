"""Reading catalogue entries: odd fields degrade themselves, nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_pipe.domain.catalog.cards import is_free, read_card

ENTRY = {
    "id": "openai/gpt-x",
    "canonical_slug": "openai/gpt-x-20260101",
    "name": "OpenAI: GPT-X",
    "created": 1767225600,
    "context_length": 400000,
    "architecture": {"input_modalities": ["text", "image", "file"], "output_modalities": ["text", "image"]},
    "pricing": {"prompt": "0.00000125", "completion": "0.00001", "web_search": "0.01"},
    "top_provider": {"context_length": 400000, "max_completion_tokens": 128000, "is_moderated": True},
    "supported_parameters": ["include_reasoning", "reasoning", "structured_outputs", "tools"],
    "reasoning": {
        "mandatory": True,
        "supported_efforts": ["high", "low"],
        "default_effort": "high",
        "default_enabled": True,
        "supports_max_tokens": False,
    },
}


def test_a_whole_entry() -> None:
    card = read_card(ENTRY)
    assert card is not None
    assert (card.id, card.name, card.canonical_slug) == ("openai/gpt-x", "OpenAI: GPT-X", "openai/gpt-x-20260101")
    assert (card.context_length, card.max_output_tokens, card.created, card.free) == (400000, 128000, 1767225600, False)
    can = card.capabilities
    assert (can.tools, can.reasoning, can.legacy_reasoning, can.web_search) == (True, True, True, True)
    assert (can.image_output, can.text_output) == (True, True)
    assert can.inputs == {"text", "image", "file"}
    assert (card.reasoning.mandatory, card.reasoning.efforts, card.reasoning.supports_max_tokens) == (
        True,
        ("high", "low"),
        False,
    )


@pytest.mark.parametrize("field", [field for field in ENTRY if field != "id"])
@pytest.mark.parametrize("odd", [None, 7, -1, "x", "", [], {}, [None, 1], {"a": []}, True, float("nan")])
def test_odd_fields_cost_only_themselves(field: str, odd: object) -> None:
    card = read_card(ENTRY | {field: odd})
    assert card is not None
    assert card.id == "openai/gpt-x"
    if field != "supported_parameters":
        assert card.capabilities.tools
    if field != "pricing":
        assert not card.free


@pytest.mark.parametrize("entry", [None, 1, "x", [], {}, {"id": None}, {"id": ""}, {"id": "  "}, {"id": 5}])
def test_entries_without_an_id_are_no_cards(entry: object) -> None:
    assert read_card(entry) is None


def test_missing_output_modalities_mean_text() -> None:
    card = read_card({"id": "a/b"})
    assert card is not None
    assert card.capabilities.text_output
    assert not card.capabilities.image_output
    assert card.reasoning.efforts is None


@pytest.mark.parametrize(
    ("pricing", "free"),
    [
        ({"prompt": "0", "completion": "0"}, True),
        ({"prompt": 0, "completion": 0.0}, True),
        ({"prompt": "0", "completion": "0", "overrides": [{"min_prompt_tokens": 200000, "prompt": "0"}]}, True),
        ({"prompt": "0", "completion": "0", "discount": 0.25}, True),
        ({"prompt": "0", "overrides": [{"prompt": "0.1"}]}, False),
        ({"prompt": "0", "request": "0.01"}, False),
        ({"prompt": "-1", "completion": "-1"}, False),
        ({"prompt": "free"}, False),
        ({"prompt": "nan"}, False),
        ({"prompt": 10**400}, False),
        ({"prompt": True}, False),
        ({}, False),
        (None, False),
        ("0", True),
        ([], False),
    ],
)
def test_free_needs_a_price_and_only_zeros(pricing: object, free: bool) -> None:
    assert is_free(pricing) is free


def test_depth_of_a_price_list_is_no_weapon() -> None:
    deep: object = "0"
    for _ in range(5000):
        deep = {"x": deep}
    assert is_free({"prompt": deep})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*ENTRY, "x"]), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(list(ENTRY)), JSON))
def test_no_entry_breaks_it(entry: dict[str, object]) -> None:
    read_card(entry)
