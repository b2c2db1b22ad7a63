"""JSON with one very long string in it: the same value as a parser gives, or left to the parser."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_pipe.adapters.openrouter.wirejson import loads, loads_around

LONG = "QUJD" * 50_000


def pieces(data: bytes, size: int = 20_000) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@given(before=json_values, after=json_values, depth=st.integers(0, 6), ascii_only=st.booleans(), spaced=st.booleans())
async def test_the_same_as_a_parser(before: object, after: object, depth: int, ascii_only: bool, spaced: bool) -> None:
    value: object = LONG
    for level in range(depth):
        value = [before, value, after] if level % 2 else {"before": before, "it": value, "after": after}
    event = {"type": "x", "a": before, "item": value, "b": after}
    data = json.dumps(event, ensure_ascii=ascii_only, separators=None if spaced else (",", ":")).encode()
    assert await loads_around(pieces(data)) == loads(data) == event


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(json.dumps({"a": "short"}).encode(), id="nothing long"),
        pytest.param(json.dumps({"a": LONG, "b": LONG}).encode(), id="two of them"),
        pytest.param(json.dumps({"a": LONG + '"' + LONG}).encode(), id="an escaped quote inside"),
        pytest.param(json.dumps({"a": '"' + LONG}).encode(), id="an escaped quote at its begin"),
        pytest.param(json.dumps({"a": LONG + "\n"}).encode(), id="an escape at its end"),
        pytest.param(json.dumps({LONG: 1}).encode(), id="a key"),
        pytest.param(json.dumps(LONG).encode(), id="all there is"),
        pytest.param(b'{"a": "b"' + b" " * 200_000 + b', "c": "d"}', id="blanks between strings"),
        pytest.param(b'{"a": "' + LONG.encode(), id="no end"),
        pytest.param(b'{"a": "' + LONG.encode() + b'"', id="no end of the object"),
        pytest.param(b'{"a": "' + LONG.encode() + b'\xff"}', id="not UTF-8"),
        pytest.param(b"[" * 30_000 + b'"' + LONG.encode() + b'"' + b"]" * 30_000, id="too deep"),
        pytest.param(b'{"x":' * 500 + b'"' + LONG.encode() + b'"' + b"}" * 500, id="deep"),
        pytest.param(b"", id="empty"),
    ],
)
async def test_what_is_left_to_the_parser(data: bytes) -> None:
    with pytest.raises((LookupError, ValueError)):
        await loads_around(pieces(data))


async def test_an_image_of_eight_megabytes_lets_others_run() -> None:
    event = {
        "type": "response.output_item.done",
        "item": {"id": "ig", "result": "data:image/png;base64," + "A" * 8_000_000},
    }
    data = pieces(json.dumps(event).encode(), 65536)
    turns = 0
    done = False

    async def others() -> None:
        nonlocal turns
        while not done:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    assert await loads_around(data) == event
    done = True
    await task
    assert turns >= 8
