"""Large attachments leave the event loop free: no step of it computes for ten milliseconds, whatever way the content comes.

Measured is the loop thread's own computing time from one turn of the loop to the next, which a busy machine does not change.
"""

import asyncio
import base64
import gc
import time
from collections.abc import AsyncGenerator, Awaitable

import attrs
import pytest

from openrouter_pipe.adapters.memory.files import MemoryFileStore
from openrouter_pipe.adapters.memory.web import MemoryFetcher
from openrouter_pipe.domain.media.policy import MediaPolicy
from openrouter_pipe.domain.media.resolve import resolve
from openrouter_pipe.ports.files import FileAccessError, FileBytes, FileStream, StoredFile
from openrouter_pipe.ports.items import FilePart, MessageItem, Part, Role, TextPart

MIB = 1024 * 1024
SIZE = 24 * MIB
CONTENT = b"%PDF-1.7\n" + bytes(SIZE - 9)
BASE64 = base64.b64encode(CONTENT).decode()
URL = "https://files.example/a.pdf"
POLICY = attrs.evolve(MediaPolicy(), chunk=8 * MIB)
LONGEST = 0.010  # seconds


class Host(MemoryFileStore):
    """Files arrive in the largest pieces that a setting allows; nothing is stored."""

    async def keep(self, key: str, content: FileBytes) -> StoredFile:
        raise FileAccessError("the disk is full")

    async def read(self, file_id: str, max_bytes: int, chunk_bytes: int) -> FileStream:
        return FileStream("a.pdf", "application/pdf", self._chunks(chunk_bytes))

    async def _chunks(self, chunk_bytes: int) -> AsyncGenerator[bytes, None]:
        for at in range(0, SIZE, chunk_bytes):
            yield CONTENT[at : at + chunk_bytes]


async def longest_step(work: Awaitable[object]) -> float:
    """The most seconds that the loop's thread computed between two turns of the loop."""
    longest, over = 0.0, False

    async def tick() -> None:
        nonlocal longest
        while not over:
            before = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - before)

    gc.collect()
    gc.disable()  # a collection takes as long as the process is large, and the process is the test suite's
    try:
        ticking = asyncio.create_task(tick())
        await asyncio.sleep(0)
        await work
        over = True
        await ticking
    finally:
        gc.enable()
    return longest


def again(text: str) -> str:
    """An equal string that is another object, whose hash nobody has asked for."""
    return "".join([text[:1], text[1:]])


def data_url(body: str) -> FilePart:
    return FilePart("a.pdf", data_url="data:application/octet-stream;base64," + body)


CASES = {
    "file of the host": lambda: [FilePart(host_id="1")],
    "download": lambda: [FilePart(url=URL)],
    "data URL": lambda: [data_url(BASE64)],
    "data URL without padding": lambda: [data_url(BASE64[:-2])],
    "data URL of escapes": lambda: [FilePart("a.pdf", data_url="data:application/pdf,%25PDF-" + "%41" * (4 * MIB))],
    "the same twice": lambda: [data_url(BASE64), data_url(again(BASE64))],
}


@pytest.mark.parametrize("case", CASES)
async def test_no_step_of_the_loop_is_long(case: str) -> None:
    parts: list[Part] = [*CASES[case]()]
    item = MessageItem(Role.USER, (TextPart("Look"), *parts))
    web = MemoryFetcher({URL: FileBytes(CONTENT, "application/pdf")})
    ready = []

    async def work() -> None:
        ready.append(await resolve((item,), frozenset({"text", "file"}), POLICY, Host(), web, keep=True))

    longest = await longest_step(work())
    assert ready[0].warnings == ()
    assert isinstance(ready[0].items[0], MessageItem)
    assert len(ready[0].items[0].parts) == 1 + len(parts)
    assert longest < LONGEST, f"{longest * 1e3:.1f} ms"
