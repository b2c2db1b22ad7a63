"""What of the tools' outputs the model is given, when the context has little room left."""

from __future__ import annotations

import pytest

from openrouter_pipe.adapters.memory import CountingIds, ManualClock
from openrouter_pipe.domain.streaming.reducer import TurnReducer
from openrouter_pipe.domain.turn.tool_round import ToolRound, tokens_left
from openrouter_pipe.ports.items import FunctionCallItem


def told(*sizes: int, left: int | None) -> list[int]:
    """How many characters of each of the results, so many long, the model is given."""
    reducer = TurnReducer(ManualClock(), CountingIds(), "none", quiet=True)
    outputs = []
    for number, size in enumerate(sizes):
        call = FunctionCallItem(f"call_{number}", "big", "{}")
        one = ToolRound([(number, call)], reducer, frozenset({"text"}))
        list(one.refuse("x" * size, "test"))
        (item,) = one.items(left)
        outputs.append(len(item.output))
    return outputs


def test_what_fits_passes_whole_and_what_does_not_is_named_with_its_size() -> None:
    assert told(4000, left=1000) == [4000]
    (stub,) = told(40_000, left=1000)
    assert 0 < stub < 400
    assert told(40_000_000, left=None) == [40_000_000]


@pytest.mark.parametrize("size", [0, 5, 200])
def test_a_result_shorter_than_the_words_that_replace_it_is_not_replaced(size: int) -> None:
    assert told(size, left=0) == [size]


def test_results_side_by_side_share_what_is_left() -> None:
    reducer = TurnReducer(ManualClock(), CountingIds(), "none", quiet=True)
    calls = [(number, FunctionCallItem(f"call_{number}", "big", "{}")) for number in range(3)]
    one = ToolRound(calls, reducer, frozenset({"text"}))
    list(one.refuse("x" * 4000, "test"))
    outputs = [str(item.output) for item in one.items(2500)]
    assert [len(text) == 4000 for text in outputs] == [True, True, False]
    assert "4000 characters, about 1000 tokens, and about 500 tokens of the context are left" in outputs[2]


def test_a_twentieth_of_the_context_is_kept_for_the_answer_within_bounds() -> None:
    assert tokens_left(None, 5) is None
    assert tokens_left(10_000, 1000) == 10_000 - 1000 - 500
    assert tokens_left(1_000_000, 0) == 1_000_000 - 4096
    assert tokens_left(1000, 0) == 1000 - 256
    assert tokens_left(1000, 5000) == 0
