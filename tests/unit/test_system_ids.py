"""Identifiers of the running machine: their form, their order, their spread."""

from __future__ import annotations

import re

from openrouter_pipe.adapters.system import SystemIds


def test_artifact_ids_have_the_compatible_form_and_sort_by_time_even_when_the_clock_stands_or_steps_back() -> None:
    moments = iter([10**18, 10**18, 10**18 - 5, 10**18 + 7])
    ids = SystemIds(lambda: next(moments))
    made = [ids.artifact_id() for _ in range(4)]
    assert all(re.fullmatch("[0-9A-HJKMNP-TV-Z]{20}", one) for one in made)
    assert [one[:16] for one in made] == sorted({one[:16] for one in made})


def test_error_and_item_ids() -> None:
    ids = SystemIds()
    assert re.fullmatch("[0-9a-f]{16}", ids.error_id())
    assert re.fullmatch("msg_[0-9a-z]{24}", ids.item_id("msg_"))
    assert len({ids.item_id("") for _ in range(1000)}) == 1000
