"""What the host reads as "nothing came of it"."""

from __future__ import annotations

import json

import pytest

from openrouter_pipe.domain.tasks import no_result


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("title_generation", {"title": ""}),
        ("tags_generation", {"tags": []}),
        ("follow_up_generation", {"follow_ups": []}),
        ("query_generation", {"queries": []}),
        ("TASKS.TITLE_GENERATION", {"title": ""}),
    ],
)
def test_tasks_that_answer_in_json_get_an_empty_answer(kind: str, value: object) -> None:
    assert json.loads(no_result(kind)) == value


@pytest.mark.parametrize("kind", ["emoji_generation", "moa_response_generation", "unheard_of", ""])
def test_other_tasks_get_nothing(kind: str) -> None:
    assert no_result(kind) == ""
