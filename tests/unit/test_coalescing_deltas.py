"""Coalescing: merges what is there, waits for nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from openrouter_pipe.adapters.memory.runtime import ManualClock
from openrouter_pipe.domain.streaming.coalescing import Coalescer
from openrouter_pipe.ports.provider import ArgumentsDelta, ReasoningDelta, TextDelta


class Ahead:
    def __init__(self) -> None:
        self.is_ready = False

    def ready(self) -> bool:
        return self.is_ready


def play(events: list[tuple[object, bool]], limit: int, longest: float = 1.0) -> list[list[object]]:
    """For each (event, is another one ready) what is passed on at once; the last entry is the flush."""
    ahead = Ahead()
    coalescer = Coalescer(ahead, limit, longest, ManualClock())
    passed = []
    for event, more in events:
        ahead.is_ready = more
        passed.append(list(coalescer.push(event)))
    return [*passed, list(coalescer.flush())]


def test_on_an_idle_stream_every_delta_passes_at_once() -> None:
    events = [TextDelta(0, 0, letter) for letter in "abc"]
    assert play([(event, False) for event in events], 256) == [[event] for event in events] + [[]]


def test_what_is_ready_is_merged_up_to_the_last_of_it() -> None:
    events = [(TextDelta(0, 0, letter), letter != "c") for letter in "abc"]
    assert play(events, 256) == [[], [], [TextDelta(0, 0, "abc")], []]


def test_the_limit_of_characters_is_kept() -> None:
    events = [(TextDelta(0, 0, "ab"), True)] * 3
    assert play(events, 4) == [[], [TextDelta(0, 0, "abab")], [], [TextDelta(0, 0, "ab")]]


def test_no_time_to_hold_means_nothing_is_held() -> None:
    assert play([(TextDelta(0, 0, "a"), True)], 256, 0.0) == [[TextDelta(0, 0, "a")], []]


def test_another_item_or_another_event_comes_behind_what_was_held() -> None:
    events = [(TextDelta(0, 0, "a"), True), (TextDelta(1, 0, "b"), True), (ArgumentsDelta(2, "{"), True)]
    assert play(events, 256) == [[], [TextDelta(0, 0, "a")], [TextDelta(1, 0, "b"), ArgumentsDelta(2, "{")], []]


def test_reasoning_is_merged_like_text_and_each_kind_of_it_apart() -> None:
    raw = [ReasoningDelta(0, 0, letter, summary=False) for letter in "ab"]
    said = [ReasoningDelta(0, 0, letter, summary=True) for letter in "cd"]
    merged = [ReasoningDelta(0, 0, "ab", summary=False), ReasoningDelta(0, 0, "cd", summary=True)]
    text = TextDelta(0, 0, "e")
    passed = play([(event, event is not text) for event in (*raw, *said, text)], 256)
    assert passed == [[], [], merged[:1], [], [merged[1], text], []]


pieces = st.text("abc", min_size=1, max_size=5)
deltas = st.builds(TextDelta, st.integers(0, 1), st.integers(0, 1), pieces)
thoughts = st.builds(ReasoningDelta, st.integers(0, 1), st.integers(0, 1), pieces, st.booleans())
anything = st.one_of(deltas, thoughts, st.builds(ArgumentsDelta, st.integers(0, 1), st.just("{")))


@given(st.lists(st.tuples(anything, st.booleans())), st.integers(1, 20))
def test_nothing_is_lost_repeated_or_reordered_and_nothing_is_held_when_nothing_follows(
    events: list[tuple[object, bool]], limit: int
) -> None:
    passed = play(events, limit)

    def letters(flow: list) -> list[tuple]:
        return [
            (type(event), event.index, getattr(event, "part", None), getattr(event, "summary", None), letter)
            for event in flow
            for letter in event.text
        ]

    assert letters([event for event, _ in events]) == letters([event for step in passed for event in step])
    so_far = 0
    for (event, more), step in zip(events, passed, strict=False):
        so_far += len(event.text) - sum(len(out.text) for out in step)
        assert so_far < limit
        assert more or so_far == 0
