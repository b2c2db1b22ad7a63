"""The marker grammar: invisible lines in an assistant's text that name stored items.

A marker is a line of its own, ``[`` + 20 characters of upper-case Crockford base 32 + ``]: #`` with blanks allowed around
it. Markdown reads it as a link definition that nothing refers to and shows nothing. Inside a code fence the same
characters are text. What a marker stands for is not known here.

What is left of a marker that was cut counts as one, which leads nowhere: a line of another length right beside a marker, and
the beginning of one at the very end of the text. Anywhere else it is the author's text.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from attrs import frozen

from openrouter_pipe.ports.artifacts import MARKER_END

_CHARACTER: Final = "[0-9A-HJKMNP-TV-Z]"
_LENGTH: Final = 20
_MARKER_LINE: Final = re.compile(rf"^[ \t]*+\[({_CHARACTER}{{1,40}}+){re.escape(MARKER_END)}[ \t]*+\r?$", re.MULTILINE)
_CUT_MARKER: Final = re.compile(rf"(?<=\n)\[({_CHARACTER}{{10,20}}+)(?:\](?:: ?)?)?\Z")
_FENCE_LINE: Final = re.compile(r"^ {0,3}(`{3,}|~{3,})([^\n]*)$", re.MULTILINE)
_LONGEST_CUT: Final = 40
_TELLTALE: Final = "["


@frozen
class TextSegment:
    """Text between markers, blank lines next to a marker removed."""

    text: str


@frozen
class MarkerSegment:
    """One marker."""

    id: str


Segment: TypeAlias = TextSegment | MarkerSegment


def render(ids: Sequence[str], after: str = "") -> str:
    """The block of markers to append to a message: a blank line, then one marker a line; empty without ids.

    ``after`` is the text the block follows. Where that leaves a code fence open (an answer cut short), the block closes
    it first: inside the fence the markers would be visible, and text on the way back.
    """
    if not ids:
        return ""
    fence = open_fence(after)
    closing = f"\n{fence}" if fence else ""
    return closing + "\n\n" + "".join(f"[{one}{MARKER_END}\n" for one in ids)


def split(text: str) -> tuple[Segment, ...]:
    """Text and markers in order; blank text between markers is dropped, text without any marker is kept as it is."""
    matches = list(_markers(text))
    if not matches:
        return (TextSegment(text),) if text else ()
    segments: list[Segment] = []
    position = 0
    for match in matches:
        _add_text(segments, text[position : match.start()])
        segments.append(MarkerSegment(match.group(1)))
        position = match.end()
    _add_text(segments, text[position:])
    return tuple(segments)


def ids(text: str) -> tuple[str, ...]:
    """The ids of the markers in ``text``, in order, repetitions included."""
    return tuple(match.group(1) for match in _markers(text))


def strip(text: str) -> str:
    """``text`` as a reader sees it: markers gone, the rest joined by blank lines."""
    segments = split(text)
    if not any(isinstance(segment, MarkerSegment) for segment in segments):
        return text
    return "\n\n".join(segment.text for segment in segments if isinstance(segment, TextSegment))


def fenced_spans(text: str) -> tuple[tuple[int, int], ...]:
    """Start and end offsets of the code fences in ``text``, fence lines included; an open fence reaches to the end."""
    return tuple((start, end) for start, end, _ in _fences(text))


def open_fence(text: str) -> str:
    """The fence that would close the one ``text`` leaves open, empty if it leaves none."""
    fence = ""
    for _, _, still_open in _fences(text):
        fence = still_open
    return fence


def inside(spans: Sequence[tuple[int, int]], offset: int) -> bool:
    """Whether ``offset`` lies in one of ``spans`` (ascending, not overlapping)."""
    before = bisect_right(spans, offset, key=lambda span: span[0])
    return before > 0 and offset < spans[before - 1][1]


def _markers(text: str) -> Iterator[re.Match[str]]:
    if _TELLTALE not in text:
        return
    lines = list(_MARKER_LINE.finditer(text)) if MARKER_END in text else []
    cut = _CUT_MARKER.search(text, max(0, len(text) - _LONGEST_CUT))
    if not lines and cut is None:
        return
    spans = fenced_spans(text)
    block: list[re.Match[str]] = []
    for match in lines:
        if inside(spans, match.start()):
            continue
        if block and match.start() != block[-1].end() + 1:
            yield from _sound(block)
            block = []
        block.append(match)
    yield from _sound(block)
    if cut is not None and not inside(spans, cut.start()) and _stands_alone(text, cut.start(), block):
        yield cut


def _sound(block: Sequence[re.Match[str]]) -> Sequence[re.Match[str]]:
    """The lines of one block, if there is a marker among them."""
    return block if any(len(match.group(1)) == _LENGTH for match in block) else ()


def _stands_alone(text: str, start: int, block: Sequence[re.Match[str]]) -> bool:
    """Whether what begins at ``start`` follows a blank line or the last block of markers."""
    return text[:start].endswith("\n\n") or bool(block and block[-1].end() + 1 == start and _sound(block))


def _fences(text: str) -> Iterator[tuple[int, int, str]]:
    """Each fence as start, end, and the characters that would close it (empty when it is closed)."""
    if "```" not in text and "~~~" not in text:
        return
    start = 0
    fence = ""
    for match in _FENCE_LINE.finditer(text):
        run, rest = match.group(1), match.group(2)
        if not fence:
            if run[0] == "`" and "`" in rest:
                continue  # inline code, not a fence
            start, fence = match.start(), run
        elif run[0] == fence[0] and len(run) >= len(fence) and not rest.strip():
            yield start, match.end(), ""
            fence = ""
    if fence:
        yield start, len(text), fence


def _add_text(segments: list[Segment], text: str) -> None:
    # Only whole blank lines go: they belong to the markers; indentation and inner white space are the author's.
    trimmed = re.sub(r"\A(?:[ \t\r]*\n)+", "", text).rstrip()
    if trimmed:
        segments.append(TextSegment(trimmed))
