"""Usage over rounds and the last status line."""

from __future__ import annotations

import pytest

from openrouter_pipe.domain.usage import add, final_status
from openrouter_pipe.ports.telemetry import Usage


def test_rounds_are_summed() -> None:
    one = Usage(100, 20, 120, 5, 1, 7, 0.001, raw={"a": 1})
    two = Usage(200, 30, 230, 0, 0, 3, None)
    assert add(one, two) == Usage(300, 50, 350, 5, 1, 10, 0.001, 2, {"a": 1})
    assert add(None, two) is two
    assert add(one, None) is one
    assert add(None, None) is None


@pytest.mark.parametrize(
    ("usage", "line"),
    [
        (None, "Time: 12.3s"),
        (
            Usage(100, 23, 123, 5, 0, 7, 0.00123),
            "Time: 12.3s 11.5 tps | Cost $0.00123 | Total tokens: 123 (Input: 100, Output: 23, Cached: 5, Reasoning: 7)",
        ),
        (Usage(100, 0, 100, cost=0.0), "Time: 12.3s | Total tokens: 100 (Input: 100)"),
        (Usage(cost=0.0000004), "Time: 12.3s"),
        (Usage(cost=1.5), "Time: 12.3s | Cost $1.5"),
        (Usage(10, 2, 0, cost=20), "Time: 12.3s 1.0 tps | Cost $20 | Total tokens: 12 (Input: 10, Output: 2)"),
    ],
)
def test_the_last_line(usage: Usage | None, line: str) -> None:
    assert final_status(usage, 12.34, 2.0) == line
