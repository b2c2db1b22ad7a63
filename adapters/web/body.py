"""Reading the body of an answer: bounded in size, in time and in what it may unpack to, and copied as little as can be."""

from __future__ import annotations

import asyncio
import io
import zlib
from collections import deque
from typing import Final

import httpx

from openrouter_pipe.adapters.web.faults import TemporaryError, of_network
from openrouter_pipe.ports.files import FetchPolicy, FileAccessError

_UNPACK_STEP: Final = 256 * 1024
_GZIP: Final = 16 + zlib.MAX_WBITS


async def read_body(response: httpx.Response, policy: FetchPolicy, piece: int) -> deque[bytes]:
    """The whole body in pieces of about ``piece`` bytes, in one if that is the limit.

    Raises:
        FileAccessError: empty, too large by announcement or in fact, or encoded in a way that was not asked for.
        TemporaryError: the connection broke, or too little arrived in too much time.
    """
    announced = response.headers.get("content-length", "").strip()
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > policy.max_bytes:
        raise too_large(policy)
    sink = _sink(response.headers.get("content-encoding", ""), policy, piece)
    loop = asyncio.get_running_loop()
    arrived = 0
    try:
        async with asyncio.timeout(policy.answer_time) as patience:
            async for chunk in response.aiter_raw():
                await sink.add(chunk)
                arrived += len(chunk)
                if arrived >= policy.least_bytes:
                    arrived = 0
                    patience.reschedule(loop.time() + policy.answer_time)
    except TimeoutError:
        raise TemporaryError("the server sends too slowly") from None
    except httpx.HTTPError as error:
        raise of_network(error) from error
    return sink.finished()


def too_large(policy: FetchPolicy) -> FileAccessError:
    """The refusal of a file over the limit."""
    megabytes = policy.max_bytes / (1024 * 1024)
    limit = f"{megabytes:g} MB" if megabytes >= 1 else f"{policy.max_bytes} bytes"
    return FileAccessError(f"the file is larger than {limit}")


class _Plain:
    """Collects bytes. A `io.BytesIO` hands its buffer out without a copy, so one file costs little more than its size."""

    def __init__(self, policy: FetchPolicy, piece: int) -> None:
        self._policy = policy
        self._piece = piece
        self._size = 0
        self._pieces: deque[bytes] = deque()
        self._buffer = io.BytesIO()

    async def add(self, chunk: bytes) -> None:
        """Keep a piece; raises `FileAccessError` over the limit."""
        self._size += len(chunk)
        if self._size > self._policy.max_bytes:
            raise too_large(self._policy)
        self._buffer.write(chunk)
        if self._buffer.tell() >= self._piece:
            self._cut()

    def finished(self) -> deque[bytes]:
        """Everything; raises `FileAccessError` for nothing."""
        if not self._size:
            raise FileAccessError("the file is empty")
        if self._buffer.tell():
            self._cut()
        return self._pieces

    def _cut(self) -> None:
        self._pieces.append(self._buffer.getvalue())
        self._buffer = io.BytesIO()


class _Gzip(_Plain):
    """Unpacks what a server packed although it was asked not to, a little at a time, so that a bomb is met early."""

    def __init__(self, policy: FetchPolicy, piece: int) -> None:
        super().__init__(policy, piece)
        self._unpacker = zlib.decompressobj(_GZIP)

    async def add(self, chunk: bytes) -> None:
        """Unpack and keep a piece."""
        try:
            while chunk:
                if self._unpacker.eof:
                    self._unpacker = zlib.decompressobj(_GZIP)
                await super().add(self._unpacker.decompress(chunk, _UNPACK_STEP))
                chunk = self._unpacker.unconsumed_tail or self._unpacker.unused_data
                if chunk:
                    await asyncio.sleep(0)
        except zlib.error:
            raise FileAccessError("the server's answer is damaged") from None

    def finished(self) -> deque[bytes]:
        """Everything, if the packed data came to its end."""
        if not self._unpacker.eof:
            raise FileAccessError("the server's answer is damaged")
        return super().finished()


def _sink(encoding: str, policy: FetchPolicy, piece: int) -> _Plain:
    match encoding.strip().lower():
        case "" | "identity":
            return _Plain(policy, piece)
        case "gzip" | "x-gzip":
            return _Gzip(policy, piece)
        case _:
            raise FileAccessError("the server compresses the file in a way that is not supported")
