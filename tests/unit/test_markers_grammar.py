"""The marker grammar: what is a marker, what is text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_pipe.domain.history import markers
from openrouter_pipe.domain.history.markers import MarkerSegment, TextSegment

A = "0123456789ABCDEFGHJK"
B = "ZZZZZZZZZZZZZZZZZZZZ"
marker_ids = st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=20, max_size=20)


@pytest.mark.parametrize(
    "line",
    [f"[{A}]: #", f"  [{A}]: #", f"[{A}]: #   ", f"\t[{A}]: #\t", f"[{A}]: #\r"],
)
def test_markers_may_have_blanks_around(line: str) -> None:
    assert markers.split(f"Hello\n\n{line}\n") == (TextSegment("Hello"), MarkerSegment(A))


@pytest.mark.parametrize(
    "line",
    [
        f"[{A.lower()}]: #",
        f"[{A[:-1]}]: #",
        f"[{A}0]: #",
        f"[{A[:-1]}U]: #",
        f"[{A}]: # note",
        f"[{A}]:#",
        f"[{A}]:  #",
        f"x [{A}]: #",
        f"[{A}]: #x",
        f"> [{A}]: #",
    ],
)
def test_lookalikes_are_text(line: str) -> None:
    text = f"Hello\n\n{line}"
    assert markers.split(text) == (TextSegment(text),)
    assert markers.ids(text) == ()


@pytest.mark.parametrize(
    ("opening", "closing"),
    [("```", "```"), ("```python", "```"), ("~~~", "~~~"), ("````", "````"), ("  ~~~~ x", "~~~~~"), ("```", "````  ")],
)
def test_inside_a_fence_is_text_and_after_it_is_not(opening: str, closing: str) -> None:
    text = f"See\n{opening}\n[{A}]: #\n{closing}\n\n[{B}]: #\n"
    assert markers.ids(text) == (B,)
    assert f"[{A}]: #" in markers.strip(text)


@pytest.mark.parametrize(
    "inner", ["~~~", "``", "``` x", "```"], ids=["other character", "too short", "with info", "shorter than the fence"]
)
def test_what_does_not_close_a_fence(inner: str) -> None:
    opening = "````" if inner == "```" else "```"
    assert markers.ids(f"{opening}\n{inner}\n[{A}]: #\n{opening}\n") == ()


def test_an_open_fence_reaches_to_the_end_and_rendering_closes_it() -> None:
    cut_short = "Look:\n```python\nprint("
    assert markers.ids(cut_short + markers.render([A])) == ()
    text = cut_short + markers.render([A], after=cut_short)
    assert markers.ids(text) == (A,)
    assert markers.open_fence(text) == ""


def test_inline_code_opens_no_fence() -> None:
    assert markers.ids(f"``` not a fence ```\n\n[{A}]: #") == (A,)


def test_text_between_markers_keeps_its_inner_white_space() -> None:
    text = f"\n    code\n\n  two  \n\n[{A}]: #\n[{B}]: #\n\n  three\n"
    assert markers.split(text) == (
        TextSegment("    code\n\n  two"),
        MarkerSegment(A),
        MarkerSegment(B),
        TextSegment("  three"),
    )


def test_text_without_markers_is_untouched() -> None:
    text = "\n  hello \n\n"
    assert markers.split(text) == (TextSegment(text),)
    assert markers.strip(text) == text
    assert markers.split("") == ()


def test_nothing_is_rendered_without_ids() -> None:
    assert markers.render([]) == ""


@pytest.mark.parametrize("candidate", ["", A.lower(), A + "0", A[:-1], "I" * 20, A[:-1] + "\n"])
def test_what_is_no_marker_id(candidate: str) -> None:
    assert markers.ids(f"x\n\n[{candidate}]: #\n") == ()


@pytest.mark.parametrize(
    "cut", [f"[{A[:12]}", f"[{A[:19]}", f"[{A}", f"[{A}]", f"[{A}]:", f"[{A}]: ", f"[{A[:16]}]: #", f"[{A}0]: #\n"]
)
def test_a_marker_that_was_cut_is_one_that_leads_nowhere(cut: str) -> None:
    (text, first, second) = markers.split(f"Hi\n\n[{A}]: #\n{cut}")
    assert (text, first) == (TextSegment("Hi"), MarkerSegment(A))
    assert isinstance(second, MarkerSegment)
    assert markers.strip(f"Hi\n\n[{A}]: #\n{cut}") == "Hi"


def test_the_only_marker_may_be_cut_too_but_nothing_else_is_taken_for_one() -> None:
    assert markers.split(f"Hi\n\n[{A[:15]}") == (TextSegment("Hi"), MarkerSegment(A[:15]))
    for text in (
        f"Hi\n\n[{A[:15]}]: #",
        f"Hi\n[{A[:15]}",
        f"Hi [{A[:15]}",
        f"```\n\n[{A[:15]}",
        "Hi\n\n[1]: #",
        "x\n\n[12",
    ):
        assert markers.split(text) == (TextSegment(text),)
    assert markers.split(f"[1]: #\n\n[{A}]: #\n\n[2]: #") == (
        TextSegment("[1]: #"),
        MarkerSegment(A),
        TextSegment("[2]: #"),
    )


@given(st.text(), st.lists(marker_ids, min_size=1, max_size=5))
def test_what_is_rendered_after_any_text_is_read_back(text: str, some: list[str]) -> None:
    assert markers.ids(text + markers.render(some, after=text))[-len(some) :] == tuple(some)


@given(st.text(st.sampled_from("`~ab \n[]:#0Z"), max_size=200))
def test_any_text_is_split_and_stripped(text: str) -> None:
    assert markers.ids(markers.strip(text)) == () or markers.ids(text) != ()
    assert all(start < end for start, end in markers.fenced_spans(text))


def test_five_thousand_markers_and_fences_take_no_time() -> None:
    text = f"```\nx\n```\n\n[{A}]: #\n" * 5000
    assert len(markers.ids(text)) == 5000
