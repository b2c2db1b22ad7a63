"""Frames become bytes in time: line ends, comments, pacing, write sizes, and the faults that strike within a stream.

What lives here: ``play``. Not here: what is said (``scenarios``), HTTP (``app``), resetting a connection (the server
under the application does it; ``Reset`` asks for it).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

from openrouter_pipe.adapters.simulator.config import Knobs
from openrouter_pipe.adapters.simulator.responses_wire import Data, Done, Frame, encode
from openrouter_pipe.adapters.simulator.script import Comment

# A malformed event, one that is no UTF-8, and one that is JSON but no object: a reader must step over all three.
GARBAGE = (
    b'data: {"type":"response.output_text.delta","delta":"oops\n\n',
    b'data: {"type":"response.output_text.delta","delta":"\xff\xfe\xc3"}\n\n',
    b"data: 17\n\n",
)
_KEEP_ALIVES = (Comment(" OPENROUTER PROCESSING"), Comment(" "))


class Reset(Exception):  # noqa: N818 - an order to the server, no error of ours
    """The connection is to be reset now."""


async def play(
    frames: Iterable[Frame], knobs: Knobs, sleep: Callable[[float], Awaitable[object]]
) -> AsyncIterator[bytes]:
    """The writes of one stream. Raises Reset where the knobs order it; never ends where they order silence."""
    carry = bytearray()
    ending = b"\r\n" if knobs.crlf else b"\n"
    async for piece in _faulted(frames, knobs, sleep):
        framed = piece.replace(b"\n", ending) if knobs.crlf else piece
        if knobs.chunk is None:
            if framed:
                yield framed
            continue
        carry += framed
        # An empty piece announces a pause, a fault or the end: what is held back goes out first.
        least = 1 if not framed else knobs.chunk
        while len(carry) >= least:
            yield bytes(carry[: knobs.chunk])
            del carry[: knobs.chunk]


async def _faulted(
    frames: Iterable[Frame], knobs: Knobs, sleep: Callable[[float], Awaitable[object]]
) -> AsyncIterator[bytes]:
    strike = (knobs.after or 0) if knobs.fault in {"reset", "reset-headers", "silence", "garbage", "truncate"} else -1
    pause = 1 / knobs.speed if knobs.speed else 0.0
    count = 0
    for frame in frames:
        if isinstance(frame, Data | Done) and count == strike:
            strike = -1
            async for piece in _strike(knobs):
                yield piece
            if knobs.fault == "truncate":
                return
        if isinstance(frame, Data):
            if knobs.comments and count % knobs.comments == 0:
                for comment in _KEEP_ALIVES:
                    yield as_bytes(comment)
            if pause and count:
                yield b""
                await sleep(pause)
            count += 1
        yield as_bytes(frame)
    yield b""


async def _strike(knobs: Knobs) -> AsyncIterator[bytes]:
    match knobs.fault:
        case "garbage":
            for piece in GARBAGE:
                yield piece
        case "truncate":
            yield b""
        case "silence":
            yield b""
            await asyncio.Event().wait()
        case _:
            yield b""
            raise Reset


def as_bytes(frame: Frame) -> bytes:
    """A frame as server-sent events write it."""
    match frame:
        case Data(value=value):
            return b"data: " + encode(value) + b"\n\n"
        case Comment(text=text):
            return b":" + text.encode() + b"\n\n"
        case Done():
            return b"data: [DONE]\n\n"
