"""The SSE decoder: framing only, whatever the bytes mean."""

from __future__ import annotations

import itertools
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_pipe.adapters.openrouter.sse import SseDecoder


def decode(*pieces: bytes) -> list[bytes]:
    decoder = SseDecoder()
    found = [data for piece in pieces for data in decoder.feed(piece)]
    return [data if isinstance(data, bytes) else b"".join(data) for data in found + decoder.finish()]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        pytest.param(b"data: a\n\ndata: b\n\n", [b"a", b"b"], id="plain"),
        pytest.param(b"data:a\n\ndata:  b\n\n", [b"a", b" b"], id="one space at most belongs to the frame"),
        pytest.param(b"data: a\ndata: b\ndata:\ndata:c\n\n", [b"a\nb\n\nc"], id="lines of an event are joined"),
        pytest.param(b": OPENROUTER PROCESSING\n\n: \n\n:\ndata: a\n\n", [b"a"], id="comments"),
        pytest.param(b"event: x\nid: 1\nretry: 5\ndata: a\nunknown\n\n", [b"a"], id="other fields"),
        pytest.param(b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"], id="crlf"),
        pytest.param(b"data: a\r\rdata: b\r\r", [b"a", b"b"], id="cr"),
        pytest.param(b"data: a\r\n\ndata: b\n\r\n", [b"a", b"b"], id="mixed"),
        pytest.param(b"\n\n\ndata: a\n\n\n\n\ndata: b\n\n", [b"a", b"b"], id="blank lines"),
        pytest.param(b"data: a\n\ndata: b", [b"a", b"b"], id="missing last blank line"),
        pytest.param(b"data: a\n\ndata: b\n", [b"a", b"b"], id="missing last line end"),
        pytest.param(b"data: a\n\ndata: [DONE]\n\ndata: b\n\n", [b"a"], id="done ends"),
        pytest.param(b"data:[DONE] \r\n\r\ndata: b\n\n", [], id="done with blanks"),
        pytest.param(b"\xef\xbb\xbfdata: a\n\n", [b"a"], id="byte order mark"),
        pytest.param(b"data\ndata:\n\n", [], id="nothing to say"),
        pytest.param(b"", [], id="empty"),
        pytest.param("data: é😀\n\n".encode(), ["é😀".encode()], id="utf-8"),
    ],
)
def test_framing(stream: bytes, expected: list[bytes]) -> None:
    assert decode(stream) == expected
    assert decode(*(stream[i : i + 1] for i in range(len(stream)))) == expected


line = st.sampled_from(
    [
        b"data: x",
        b"data:y",
        b'data: {"type": "event of its own"}',
        b"data: \xf0\x9f\x98\x80",
        b": note",
        b":",
        b"event: e",
        b"",
        b"",
        b"data: [DONE]",
        b"junk",
    ]
)


@given(
    lines=st.lists(line, max_size=30),
    ends=st.lists(st.sampled_from([b"\n", b"\r\n", b"\r"]), min_size=1, max_size=7),
    cuts=st.lists(st.integers(0, 400), max_size=40),
)
def test_any_split_gives_the_same_events(lines: list[bytes], ends: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(text + ends[i % len(ends)] for i, text in enumerate(lines))
    ends_of_events = [found.end() for found in re.finditer(rb"\n\n", stream)]
    for wanted in (cuts, ends_of_events, [*cuts, *ends_of_events]):
        places = [0, *sorted(min(cut, len(stream)) for cut in wanted), len(stream)]
        assert decode(*(stream[start:end] for start, end in itertools.pairwise(places))) == decode(stream)


@given(lines=st.lists(line, max_size=30))
def test_line_ends_are_alike(lines: list[bytes]) -> None:
    streams = [b"".join(text + end for text in lines) for end in (b"\n", b"\r\n", b"\r")]
    assert decode(streams[0]) == decode(streams[1]) == decode(streams[2])


def test_events_come_with_the_bytes_that_complete_them() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: a\n") == []
    assert decoder.feed(b"\n") == [b"a"]
    assert decoder.feed(b"data: b\r\n\r") == [b"b"]
    assert decoder.feed(b"\ndata: c\n\ndata: [DO") == [b"c"]
    assert not decoder.done
    assert decoder.feed(b"NE]\n\n") == []
    assert decoder.done
    assert decoder.finish() == []


def test_a_line_of_many_megabytes_costs_no_more_per_byte() -> None:
    def seconds_for(size: int) -> float:
        decoder = SseDecoder()
        piece = b"A" * 16384
        began = time.perf_counter()
        decoder.feed(b"data: ")
        for _ in range(size // len(piece)):
            assert decoder.feed(piece) == []
        (data,) = decoder.feed(b"\n\n")
        assert isinstance(data, tuple), "in the pieces in which it came"
        assert sum(map(len, data)) == size
        return time.perf_counter() - began

    small = min(seconds_for(1 << 20) for _ in range(3))
    large = min(seconds_for(20 << 20) for _ in range(2))
    assert large < 20 * small * 8 + 0.05, "time must not grow faster than size"


@pytest.mark.parametrize("head", [b"data: ", b"data:", b": note\ndata: ", b"\ndata: ", b"event: x\ndata: "])
@pytest.mark.parametrize(
    "tail", [b"\n\n", b"\r\n\r\n", b"\nid: 1\n\n", b"\ndata: b\n\n", b"\n\ndata: last\n\ndata: [DONE]\n\ndata: no\n\n"]
)
@pytest.mark.parametrize("size", [1, 6, 1000, 30_000, 70_000, 500_000, 2_000_000])
@pytest.mark.parametrize("first", [b"", b"data: first\n\n"])
def test_a_large_event_is_framed_as_a_small_one(first: bytes, head: bytes, tail: bytes, size: int) -> None:
    stream = first + head + b"x" * 1_200_000 + tail
    small = first + head + b"y" + tail
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)] if size > 1 else [stream]
    assert [data.replace(b"x" * 1_200_000, b"y") for data in decode(*pieces)] == decode(small)


def test_an_event_that_never_ends_is_given_up_and_what_came_before_is_kept() -> None:
    decoder = SseDecoder(most=100)
    assert decoder.feed(b"data: " + b"a" * 94 + b"\n\ndata: b\n\ndata: " + b"c" * 90) == [b"a" * 94, b"b"]
    assert not decoder.overrun
    assert decoder.feed(b"c" * 10) == []
    assert decoder.overrun
    assert decoder.feed(b"\n\ndata: d\n\n") == []
    assert decoder.finish() == []


def test_the_limit_is_one_events_and_not_the_streams() -> None:
    decoder = SseDecoder(most=100)
    for _ in range(50):
        assert decoder.feed(b"data: " + b"a" * 60) == []
        assert decoder.feed(b"a" * 20 + b"\n\n") == [b"a" * 80]
    assert not decoder.overrun
