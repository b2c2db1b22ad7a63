"""A request's body with attachments in it, as a stream: megabytes of base64 leave piece by piece and are copied nowhere.

JSON is made of everything but the long strings, in whose places stand unique words; when the body is sent each of them is
replaced by its string, a piece at a time. Not here: what is in the body.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, TypeAlias

import httpx

from openrouter_pipe.adapters.openrouter.wirejson import Wire, dumps

LONG: Final = 64 * 1024
"""Characters from which on a string is sent on its own."""

_PIECE: Final = 256 * 1024

_Segment: TypeAlias = bytes | str


class LargeBody(httpx.AsyncByteStream):
    """The body as pieces of bytes; may be sent again. ``length`` is that of all pieces."""

    def __init__(self, segments: Sequence[_Segment]) -> None:
        self._segments = segments
        self.length = sum(map(len, segments))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for segment in self._segments:
            for at in range(0, len(segment), _PIECE):
                piece = segment[at : at + _PIECE]
                yield piece if isinstance(piece, bytes) else piece.encode("ascii")


def render(body: Wire) -> bytes | LargeBody:
    """JSON in UTF-8, at once or, where long strings are in it, as a stream. Raises `ValueError` as `dumps` does.

    Takes time in proportion to the body's size, in steps that let other threads run.
    """
    word = secrets.token_hex(16)
    taken: list[str] = []

    def place(text: str) -> str:
        taken.append(text)
        return f"{word}{len(taken) - 1}."

    skeleton = dumps(_without_long(body, place))
    if not taken:
        return skeleton
    segments: list[_Segment] = []
    rest = skeleton
    while word.encode() in rest:
        before, _, rest = rest.partition(word.encode())
        number, _, rest = rest.partition(b".")
        segments += [before, taken[int(number)]]
    return LargeBody([*segments, rest])


def _without_long(value: Any, place: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return place(value) if len(value) >= LONG and _plain(value) else value
    if isinstance(value, dict):
        return {key: _without_long(member, place) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_without_long(member, place) for member in value]
    return value


def _plain(text: str) -> bool:
    """Whether JSON writes it as it is."""
    pieces = (text[at : at + _PIECE] for at in range(0, len(text), _PIECE))
    return text.isascii() and all(piece.isprintable() and '"' not in piece and "\\" not in piece for piece in pieces)
