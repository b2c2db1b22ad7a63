"""A large attachment from the host to the provider: byte for byte, over a socket, and without a second copy of it."""

import base64
import gc
import hashlib
import json
import tracemalloc
from collections.abc import AsyncGenerator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_pipe.adapters.memory.files import MemoryFileStore
from openrouter_pipe.adapters.memory.web import MemoryFetcher
from openrouter_pipe.adapters.openrouter import HttpClients, OpenRouterProvider
from openrouter_pipe.adapters.openrouter.large_body import LONG, LargeBody, render
from openrouter_pipe.adapters.openrouter.wirejson import dumps
from openrouter_pipe.adapters.simulator.app import create_app
from openrouter_pipe.adapters.simulator.config import SimulatorConfig
from openrouter_pipe.adapters.simulator.server import SimulatorServer
from openrouter_pipe.composition.policies import connection
from openrouter_pipe.domain.media.policy import MediaPolicy
from openrouter_pipe.domain.media.resolve import resolve
from openrouter_pipe.ports.files import FetchPolicy, FileAccessError, FileBytes, FileStream, StoredFile
from openrouter_pipe.ports.items import FilePart, ImagePart, MessageItem, Part, Role, TextPart
from openrouter_pipe.ports.provider import Endpoint, ProviderError, ProviderRequest
from openrouter_pipe.ports.settings import Secret, Settings

SIZE = 12 * 1024 * 1024
HEAD = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes([0, 0, 0, 9]) * 2 + bytes(5)
INPUTS = frozenset({"text", "image", "file"})


async def joined(body: bytes | LargeBody) -> bytes:
    return body if isinstance(body, bytes) else b"".join([piece async for piece in body])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=30),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
        max_leaves=12,
    ),
    st.sampled_from(
        ["A" * LONG, "a/+=" * LONG, 'quote"' * LONG, "back\\" * LONG, "ä" * LONG, "\n" * LONG, "A" * (LONG - 1)]
    ),
)
async def test_what_leaves_as_a_stream_is_the_same_json(value: object, long: str) -> None:
    body = {"input": [{"text": long, "more": value}, long], "model": "a/b", "value": value}
    rendered = render(body)
    whole = await joined(rendered)
    assert whole == dumps(body)
    assert await joined(rendered) == whole  # a repeated request sends it again
    if isinstance(rendered, LargeBody):
        assert rendered.length == len(whole)


class Disk(MemoryFileStore):
    """A host whose file is made while it is read."""

    async def read(self, file_id: str, max_bytes: int, chunk_bytes: int) -> FileStream:
        return FileStream("a.png", "image/png", self._chunks(chunk_bytes))

    async def _chunks(self, chunk_bytes: int) -> AsyncGenerator[bytes, None]:
        yield HEAD
        for sent in range(len(HEAD), SIZE, chunk_bytes):
            yield b"\xa5" * min(chunk_bytes, SIZE - sent)


class Counting(httpx.AsyncBaseTransport):
    """A connection that only counts what it sends."""

    def __init__(self) -> None:
        self.sent = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async for piece in request.stream:  # type: ignore[union-attr]
            self.sent += len(piece)
        assert self.sent == int(request.headers["content-length"])
        assert "transfer-encoding" not in request.headers
        return httpx.Response(500, json={"error": {"message": "seen"}})


async def send(part: Part, store: MemoryFileStore, fetcher: MemoryFetcher, endpoint: Endpoint, *, keep: bool) -> int:
    transport = Counting()
    clients = HttpClients(transport_factory=lambda: transport)
    item = MessageItem(Role.USER, (TextPart("Look"), part))
    ready = await resolve((item,), INPUTS, MediaPolicy(), store, fetcher, keep=keep)
    assert ready.warnings == ()
    request = ProviderRequest(model="a/b", input=ready.items, endpoint=endpoint)
    with pytest.raises(ProviderError, match="seen"):
        async for _ in OpenRouterProvider(clients).stream(request, connection(Settings(API_KEY=Secret("k")))):
            pass
    await clients.aclose()
    return transport.sent


@pytest.mark.parametrize("endpoint", list(Endpoint))
@pytest.mark.parametrize("source", ["host", "data URL", "web, stored", "web", "file"])
async def test_an_attachment_costs_little_more_than_its_base64(source: str, endpoint: Endpoint) -> None:
    content = HEAD + b"\xa5" * (SIZE - len(HEAD))
    url = "https://example.org/a.png"
    text = f"data:image/png;base64,{base64.b64encode(content).decode()}" if source in {"data URL", "file"} else ""
    part: Part = ImagePart({"host": "/api/v1/files/x/content", "data URL": text}.get(source, url))
    if source == "file":
        part = FilePart("a.bin", data_url=text)
    fetcher = MemoryFetcher({url: FileBytes(content, "image/png")})
    store = Disk()
    del text
    gc.collect()
    tracemalloc.start()
    try:
        sent = await send(part, store, fetcher, endpoint, keep=source in {"data URL", "web, stored"})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sent > SIZE * 4 / 3
    # What the caller holds already (the data URL, the download) is not counted.
    assert peak < SIZE * 1.6, f"{source}: {peak / SIZE:.2f} times its size"


class Fresh(MemoryFetcher):
    """Downloads that nobody else holds."""

    async def fetch(self, url: str, policy: FetchPolicy) -> FileBytes:
        return FileBytes(HEAD + b"\xa5" * (SIZE - len(HEAD)), "image/png")


class Full(Disk):
    """A host that stores nothing more."""

    async def keep(self, key: str, content: FileBytes) -> StoredFile:
        raise FileAccessError("the disk is full")


async def test_a_download_that_is_not_stored_is_let_go_while_it_is_encoded() -> None:
    gc.collect()
    tracemalloc.start()
    try:
        await send(ImagePart("https://example.org/a.png"), Full(), Fresh(), Endpoint.RESPONSES, keep=True)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < SIZE * 2.2, f"{peak / SIZE:.2f} times its size"


@pytest.mark.parametrize("aiohttp", [True, False])
async def test_it_arrives_byte_for_byte(aiohttp: bool) -> None:
    content = HEAD + hashlib.sha256(b"seed").digest() * 40_000
    store = MemoryFileStore()
    saved = await store.save(FileBytes(content, "image/png"))
    item = MessageItem(Role.USER, (ImagePart(saved.url),))
    ready = await resolve((item,), INPUTS, MediaPolicy(), store, MemoryFetcher(), keep=False)
    app = create_app(SimulatorConfig())
    server = SimulatorServer(app)
    await server.start()
    clients = HttpClients(aiohttp=aiohttp)
    try:
        settings = Settings(API_KEY=Secret("sk-or-v1-simulator"), BASE_URL=server.url)
        request = ProviderRequest(model="google/gemini-2.5-flash", input=ready.items, endpoint=Endpoint.RESPONSES)
        assert [event async for event in OpenRouterProvider(clients).stream(request, connection(settings))]
        async with httpx.AsyncClient(trust_env=False) as http:
            seen = json.loads((await http.get(f"{server.origin}/simulator/requests")).text)
    finally:
        await clients.aclose()
        await server.stop()
    rows = seen["requests"] if isinstance(seen, dict) else seen
    (block,) = rows[-1]["body"]["input"][-1]["content"]
    assert base64.b64decode(block["image_url"].partition(",")[2]) == content
