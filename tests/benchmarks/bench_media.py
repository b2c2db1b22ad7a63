"""What a large attachment costs: memory at its peak, and for how long it holds the event loop up.

A server in a process of its own sends 50 MB over loopback; host files come from memory in pieces. Memory is what Python
allocates above what was there before, in multiples of the content's size; what already existed (a data URL inside the request)
does not count. ``bench.py`` runs this file in a process of its own; alone it prints a table.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import subprocess
import sys
import time
import tracemalloc
from collections.abc import AsyncGenerator, Awaitable, Callable

import attrs
from bench_figures import Figure

from openrouter_pipe.adapters.memory.web import MemoryFetcher
from openrouter_pipe.adapters.system import SystemClock
from openrouter_pipe.adapters.web import GuardedFetcher
from openrouter_pipe.domain.media.addresses import OutboundGuard
from openrouter_pipe.domain.media.loading import Loader
from openrouter_pipe.domain.media.policy import MediaPolicy
from openrouter_pipe.domain.media.resolve import resolve
from openrouter_pipe.ports.files import FetchPolicy, FileBytes, FileStream, StoredFile
from openrouter_pipe.ports.items import FilePart, MessageItem, Role

SIZE = 50 * 1024 * 1024
MEMORY_LIMIT = 2.2
LOOP_LIMIT = 100.0
"""Milliseconds that the loop may stand still while one 50 MB attachment is worked on, waiting for a busy machine included."""
STEP_LIMIT = 10.0
"""Milliseconds that one turn of the loop may compute meanwhile."""

_PDF = b"%PDF-1.7\n"
_CHUNK = 1024 * 1024
_INPUTS = frozenset({"text", "image", "file"})
_SERVER = f"""
import asyncio
async def serve(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Type: application/pdf\\r\\nContent-Length: {SIZE}\\r\\n\\r\\n" + {_PDF!r})
    piece = bytes(65536)
    left = {SIZE} - {len(_PDF)}
    while left:
        writer.write(piece[:left])
        left -= min(left, len(piece))
        await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


class HostFiles:
    """`FileStore` with one file that is read in pieces, as hosts give them; keeps nothing."""

    def __init__(self) -> None:
        self.content = _PDF + bytes(SIZE - len(_PDF))

    async def save(self, content: FileBytes) -> StoredFile:
        """Pretend to store."""
        return StoredFile("1", "", content.name, content.content_type, len(content.data))

    async def keep(self, key: str, content: FileBytes) -> StoredFile:
        """Pretend to store."""
        return await self.save(content)

    async def kept(self, key: str) -> str | None:
        """Nothing."""
        return None

    def locate(self, address: str) -> str | None:
        """Nothing."""
        return None

    async def limit(self) -> int | None:
        """None."""
        return None

    async def read(self, file_id: str, max_bytes: int, chunk_bytes: int) -> FileStream:
        """The one file."""

        async def pieces() -> AsyncGenerator[bytes, None]:
            for at in range(0, SIZE, chunk_bytes):
                yield self.content[at : at + chunk_bytes]

        return FileStream("a.pdf", "application/pdf", pieces())


async def longest_step(work: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds that the loop's thread computed at most between two turns of the loop."""
    longest, over = 0.0, False

    async def tick() -> None:
        nonlocal longest
        while not over:
            began = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - began)

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0)
    await work()
    over = True
    await ticking
    return longest * 1e3


async def longest_stop(work: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds that the loop stood still at most."""
    longest, over = 0.0, False

    async def tick() -> None:
        nonlocal longest
        while not over:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            longest = max(longest, time.perf_counter() - began - 0.001)

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0.01)
    longest = 0.0
    await work()
    over = True
    await ticking
    return longest * 1e3


async def peak(work: Callable[[], Awaitable[object]]) -> float:
    """Bytes at the peak, in multiples of `SIZE`; the result counts, it is held until the end."""
    tracemalloc.start()
    result = await work()
    highest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    del result
    return highest / SIZE


async def measure(port: int, runs: int) -> list[Figure]:
    """All figures."""

    class Loopback(OutboundGuard):
        def admits(self, address: str, policy: FetchPolicy) -> bool:
            return address == "127.0.0.1" or super().admits(address, policy)

    class Names:
        async def addresses(self, host: str, port: int) -> tuple[str, ...]:
            return ("127.0.0.1",)

    fetch = FetchPolicy(SIZE, insecure_hosts=frozenset({"files.example"}), max_retries=0)
    policy = attrs.evolve(MediaPolicy(), fetch=fetch)
    fetcher = GuardedFetcher(Loopback(), SystemClock(), Names())
    url = f"http://files.example:{port}/a.pdf"
    host = HostFiles()
    data_url = f"data:application/pdf;base64,{base64.b64encode(host.content).decode()}"
    twice = [MessageItem(Role.USER, (FilePart(data_url=one),)) for one in (data_url, data_url[:1] + data_url[1:])]
    from_host = Loader(host, MemoryFetcher(), _INPUTS, policy)
    stored = Loader(host, fetcher, _INPUTS, policy)
    bare = Loader(None, fetcher, _INPUTS, policy)
    cases: dict[str, tuple[str, Callable[[], Awaitable[object]]]] = {
        "fetch": ("download", lambda: fetcher.fetch(url, fetch)),
        "host": ("file of the host, to base64", lambda: from_host.load(FilePart(host_id="1"), keep=False)),
        "inline": ("data URL, checked", lambda: from_host.load(FilePart(data_url=data_url), keep=False)),
        "twice": ("data URL, twice in a request", lambda: resolve(twice, _INPUTS, policy, host, fetcher, keep=False)),
        "remote": ("download, stored, to base64", lambda: stored.load(FilePart(url=url), keep=True)),
        "unstored": ("download, not stored, to base64", lambda: bare.load(FilePart(url=url), keep=False)),
    }
    figures = []
    for key, (title, work) in cases.items():
        await work()
        memory = Figure(f"media_{key}_memory", f"50 MB {title}: peak memory", "x size", note="Python's allocations")
        loop = Figure(f"media_{key}_loop", f"50 MB {title}: longest stop of the loop", "ms", note=f"{runs} runs")
        step = Figure(f"media_{key}_step", f"50 MB {title}: longest step of the loop", "ms", note="computing time")
        memory.runs = [await peak(work) for _ in range(max(1, runs // 3))]
        loop.runs = [await longest_stop(work) for _ in range(runs)]
        step.runs = [await longest_step(work) for _ in range(runs)]
        figures += [memory.at_most(MEMORY_LIMIT), step.at_most(STEP_LIMIT), loop.at_most(LOOP_LIMIT)]
    await fetcher.aclose()
    return figures


def main() -> int:
    """Print the outcome as `bench.py` reads it, or as a table with ``--table``."""
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    runs = next((int(one) for one in sys.argv[1:] if one.isdigit()), 5)
    with subprocess.Popen([sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            figures = asyncio.run(measure(int(server.stdout.readline()), runs))
        finally:
            server.kill()
    if "--table" in sys.argv:
        for figure in figures:
            print(f"{figure.title:64} {figure.value:8.2f} {figure.unit:8} {figure.verdict}")
        return 0
    print(json.dumps({"figures": [figure.as_json() for figure in figures], "wrong": [], "answers": 0}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
