"""Whatever a server answers instead of a list of models, the last good list stays: in memory, and after a start from its file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from attrs import define

from openrouter_pipe.adapters.filesystem.catalogue import CatalogueFile
from openrouter_pipe.adapters.memory.runtime import ManualClock
from openrouter_pipe.adapters.openrouter import HttpClients, OpenRouterCatalog
from openrouter_pipe.domain.catalog.service import CatalogService, CatalogUnavailableError
from openrouter_pipe.ports.provider import Connection, FaultKind
from openrouter_pipe.ports.settings import Secret

KEY = "sk-or-v1-0123456789abcdef0123456789abcdef"
GOOD = b'{"data":[{"id":"a/one","name":"One"},{"id":"a/two","name":"Two"}]}'
REFRESH = 60.0
ODD = {
    "number": b"5",
    "zero": b"0",
    "float": b"1e400",
    "string": b'"a/one"',
    "empty string": b'""',
    "null": b"null",
    "true": b"true",
    "list": b"[]",
    "list of models": b'[{"id":"a/one"}]',
    "object": b"{}",
    "data null": b'{"data":null}',
    "data number": b'{"data":5}',
    "data string": b'{"data":"a/one"}',
    "data object": b'{"data":{"id":"a/one"}}',
    "data empty": b'{"data":[]}',
    "entries null": b'{"data":[null,null]}',
    "entries numbers": b'{"data":[5,"a/one",[]]}',
    "entries without id": b'{"data":[{},{"name":"One"}]}',
    "ids of other types": b'{"data":[{"id":5},{"id":null},{"id":["a/one"]},{"id":"  "}]}',
    "an error inside": b'{"error":{"code":502,"message":"away"},"data":[{"id":"a/x"}]}',
    "nothing": b"",
    "blanks": b" \n ",
    "half": GOOD[:-20],
    "twice": GOOD + GOOD,
    "html": b"<html>Sign in</html>",
    "binary": b"\xff\xfe\x00{",
    "deep": b"[" * 100_000,
    "next page odd": b'{"data":[{"id":"a/new"}],"links":{"next":"?page=2"}}',
}
"""What comes with status 200 instead of a list."""


@define
class Server:
    """Answers every request with ``bodies`` in turn, the last one again and again."""

    url: str
    bodies: list[bytes]
    asked: int = 0


@asynccontextmanager
async def serving(*bodies: bytes) -> AsyncIterator[Server]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        server.asked += 1
        body = server.bodies.pop(0) if len(server.bodies) > 1 else server.bodies[0]
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        writer.write(head % len(body) + body)
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listener:
        server = Server(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1", list(bodies))
        yield server


@pytest.fixture(params=["aiohttp", "httpx"])
async def clients(request: pytest.FixtureRequest) -> AsyncIterator[HttpClients]:
    shared = HttpClients(aiohttp=request.param == "aiohttp")
    yield shared
    await shared.aclose()


def connection(url: str) -> Connection:
    return Connection(url, Secret(KEY), "", "", connect_timeout=5, read_timeout=5)


async def names(catalog: CatalogService, url: str) -> list[str]:
    return [card.id for card in (await catalog.current(connection(url), REFRESH, insist=True)).cards]


@pytest.mark.parametrize("case", ODD)
async def test_an_odd_answer_keeps_the_last_good_list(
    clients: HttpClients, tmp_path: Path, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    clock = ManualClock()
    async with serving(GOOD, ODD[case], b"5") as server:
        catalog = CatalogService(OpenRouterCatalog(clients), clock, CatalogueFile(tmp_path))
        assert await names(catalog, server.url) == ["a/one", "a/two"]
        clock.advance(REFRESH + 1)
        assert await names(catalog, server.url) == ["a/one", "a/two"]
        while catalog.fault() is None:
            await asyncio.sleep(0.001)
        assert await names(catalog, server.url) == ["a/one", "a/two"]
        assert catalog.fault().kind in {FaultKind.MALFORMED, FaultKind.STREAM, FaultKind.STATUS}
        assert caplog.text.count("The model catalogue could not be fetched") == 1
        assert "the last good catalogue stays in use" in caplog.text
        await catalog.close()
        started = CatalogService(OpenRouterCatalog(clients), clock, CatalogueFile(tmp_path))
        server.bodies[:] = [ODD[case], b"5"]
        assert await names(started, server.url) == ["a/one", "a/two"], "after a start, from the file"
        await started.close()


@pytest.mark.parametrize("case", ODD)
async def test_an_odd_answer_without_a_list_is_an_error_and_nothing_is_kept(
    clients: HttpClients, tmp_path: Path, case: str
) -> None:
    async with serving(ODD[case], b"5") as server:
        catalog = CatalogService(OpenRouterCatalog(clients), ManualClock(), CatalogueFile(tmp_path))
        with pytest.raises(CatalogUnavailableError):
            await names(catalog, server.url)
        assert list(tmp_path.iterdir()) == []
        await catalog.close()
