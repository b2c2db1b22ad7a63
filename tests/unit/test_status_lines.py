"""Progress lines: words and pace."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from openrouter_pipe.adapters.memory.runtime import ManualClock
from openrouter_pipe.domain.streaming.status import StatusLine, ThoughtLine, tool_done, tool_running
from openrouter_pipe.ports.items import ServerToolItem


def test_a_line_that_comes_too_early_waits_and_is_replaced_by_a_newer_one() -> None:
    clock = ManualClock()
    line = StatusLine(clock)
    assert line.show("one").text == "one"
    assert line.show("two") is None
    assert line.show("three") is None
    assert line.due() is None
    clock.advance(0.5)
    assert line.due().text == "three"
    assert not line.waiting


def test_the_same_line_twice_is_one() -> None:
    clock = ManualClock()
    line = StatusLine(clock)
    line.show("one")
    clock.advance(10)
    assert line.show("one") is None


def test_a_line_may_leave_at_once_where_it_is_the_second_of_its_second() -> None:
    clock = ManualClock()
    line = StatusLine(clock)
    assert line.show("one").text == "one"
    assert line.show("two") is None
    assert line.due(at_once=True).text == "two"
    assert line.show("three") is None
    assert line.due(at_once=True) is None
    clock.advance(0.6)
    assert line.due() is None
    clock.advance(0.4)
    assert line.due().text == "three"


@given(st.lists(st.tuples(st.floats(0, 1), st.text(max_size=3), st.booleans()), max_size=60))
def test_never_more_than_two_lines_in_any_second(steps: list[tuple[float, str, bool]]) -> None:
    clock = ManualClock()
    line = StatusLine(clock)
    times = []
    for pause, text, at_once in steps:
        clock.advance(pause)
        if line.show(text) or line.due(at_once=at_once):
            times.append(clock.monotonic())
    assert all(later - earlier >= 0.999 for earlier, later in zip(times, times[2:], strict=False))


def test_the_newest_line_of_thought_is_shown_without_its_marks() -> None:
    thought = ThoughtLine()
    assert thought.add("**Plan") == "Plan"
    assert thought.add("ning**\n") == "Planning"
    assert thought.add("  ") == ""
    assert thought.add("next") == "next"
    assert len(thought.add("x" * 10_000)) == 200


def test_tools_have_words() -> None:
    assert tool_running("web_search_call") == "Searching the web…"
    assert tool_running("openrouter:something_new") == "Using something new…"
    assert tool_done(ServerToolItem("web_search_call", query="towers")) == "Searched for “towers”"
    assert tool_done(ServerToolItem("openrouter:web_fetch", status="failed")) == "Web fetch failed"
