"""Data URLs and bare base64: what is malformed, mistyped, empty or too large, and what is merely unusual."""

import base64
import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_pipe.domain.media.data_urls import InlineText, check, decode, parse
from openrouter_pipe.domain.media.policy import NotSentError

LIMIT = 10_000_000


def content(url: str) -> bytes:
    return decode(check(parse(url, LIMIT)))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("data:image/png;base64,aGVsbG8=", b"hello"),
        ("DATA:image/png;charset=x;BASE64,aGVsbG8=", b"hello"),
        ("data:;base64,aGVsbG8", b"hello"),
        ("data:image/png;base64,aGVs\r\nbG8=", b"hello"),
        ("data:image/png;base64,-_-_", b"\xfb\xff\xbf"),
        ("data:image/png;base64,AAAA=", b"\0\0\0"),
        ("data:text/plain,hello%20there", b"hello there"),
        ("data:,x", b"x"),
    ],
)
def test_content_is_read(url: str, expected: bytes) -> None:
    assert content(url) == expected


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("data:", "malformed"),
        ("data:image/png;base64", "malformed"),
        ("data:" + "x" * 2000 + ",", "malformed"),
        ("http://example.org/,", "malformed"),
        ("data:image/png;base64,", "empty"),
        ("data:image/png;base64,====", "empty"),
        ("data:image/png,", "empty"),
        ("data:image/png;base64,a", "not valid base64"),
        ("data:image/png;base64,%%%%", "not valid base64"),
        ("data:image/png;base64,aGVsbG8=aGVsbG8=", "not valid base64"),
        ("data:image/png;base64,aGVsbG8\u2028", "not valid base64"),
        ("data:image/png;base64,aGV\ud800", "not valid base64"),
    ],
)
def test_what_is_no_content_is_refused_with_its_reason(url: str, reason: str) -> None:
    with pytest.raises(NotSentError, match=reason):
        content(url)


def test_the_limit_is_checked_before_anything_is_decoded() -> None:
    with pytest.raises(NotSentError, match="larger than 3 bytes"):
        parse("data:image/png;base64," + "%" * 12, 3)
    assert parse("data:image/png;base64,AAAA", 3).size == 3
    with pytest.raises(NotSentError, match="larger than 1 MB"):
        parse("data:text/plain," + "x" * 3_000_000, 1024 * 1024)


def test_a_clean_body_is_not_copied() -> None:
    url = "data:image/png;base64," + base64.b64encode(bytes(1000)).decode()
    assert check(parse(url, LIMIT)).inline.text is url


@pytest.mark.parametrize("filler", [" ", "=", "A=", "-", ",", "%41", "\u20ac"])
def test_hostile_bodies_take_time_in_proportion_to_their_length(filler: str) -> None:
    def seconds(length: int) -> float:
        url = "data:image/png;base64," + (filler * length)[:length]
        started = time.perf_counter()
        with contextlib.suppress(NotSentError):
            content(url)
        return time.perf_counter() - started

    seconds(1000)
    assert seconds(4_000_000) < 2


@given(st.text(max_size=300))
def test_no_text_raises_anything_else(text: str) -> None:
    for url in (text, "data:" + text, "data:image/png;base64," + text, "data:x," + text):
        try:
            data = content(url)
        except NotSentError:
            continue
        assert data


@given(st.binary(min_size=1, max_size=3000))
def test_whatever_was_encoded_is_read_back(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    for spelling in (text, text.rstrip("="), text.replace("+", "-").replace("/", "_"), text + "\n"):
        checked = check(InlineText(spelling))
        assert (decode(checked), checked.size, checked.head) == (data, len(data), data[: 64 * 1024])


@pytest.mark.parametrize("body", ["a\ud800", "\udfff", "%20\ud83d"])
def test_half_a_character_is_malformed(body: str) -> None:
    with pytest.raises(NotSentError, match="malformed"):
        parse(f"data:text/plain,{body}", 1000)
