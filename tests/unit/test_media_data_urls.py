"""Data URLs and bare base64: what is malformed, mistyped, empty or too large, and what is merely unusual."""

import base64
import contextlib
import re
import time
import tracemalloc
from urllib.parse import unquote_to_bytes

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
        ("data:image/png;base64,aGVs bG8 = \t=\n", b"hello"),
        ("data:,%4%41%%41%", b"%4A%A%"),
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


@pytest.mark.parametrize("before", range(4))
@pytest.mark.parametrize("unit", ["%41", "%4", "%", "a%4", "%%41", "\u00e4%c3", "x"])
def test_escapes_are_read_alike_wherever_they_stand(unit: str, before: int) -> None:
    """Long bodies are read in pieces; no border between two of them shows."""
    body = "x" * before + unit * 90_000
    assert content("data:," + body) == unquote_to_bytes(body)


@pytest.mark.parametrize("shape", ["{}", " {}", "{}\n", "{} = =", "-{}", "{}" + " " * 300_000])
@pytest.mark.parametrize("cut", range(4))
def test_odd_bodies_are_mended_alike_however_long(shape: str, cut: int) -> None:
    body = base64.b64encode(bytes(range(256)) * 1200).decode().rstrip("=")
    body = shape.format(body[: len(body) - cut])
    plain = re.sub(r"[ \n]", "", body).replace("-", "+").rstrip("=")
    url = "data:image/png;base64," + body
    if len(plain) % 4 == 1:
        with pytest.raises(NotSentError, match="not valid base64"):
            content(url)
        return
    assert content(url) == base64.b64decode(plain + "=" * (-len(plain) % 4))


@pytest.mark.parametrize(
    ("url", "most"),
    [
        ("data:application/pdf;base64," + "QUJD" * 3_000_000 + " ", 1.6),
        ("data:application/pdf;base64," + "QUJD" * 3_000_000 + "QQ", 1.6),
        ("data:application/pdf," + "%41" * 3_000_000, 2.2),
    ],
    ids=["white space", "no padding", "escapes"],
)
def test_odd_bodies_cost_little_more_than_what_they_hold(url: str, most: float) -> None:
    tracemalloc.start()
    try:
        checked = check(parse(url, LIMIT))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < checked.size * most, f"{peak / checked.size:.2f} times its size"
