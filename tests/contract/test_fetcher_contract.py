"""What every `RemoteFetcher` does alike: the guarded one over a socket, and the one in memory."""

from __future__ import annotations

import attrs
import pytest

from hostile_web import POLICY, hostile_web
from openrouter_pipe.adapters.memory import MemoryFetcher
from openrouter_pipe.ports.files import FileAccessError, FileBytes

BODY = bytes(range(256)) * 40


@pytest.fixture(params=["web", "memory"])
async def world(request):
    """A fetcher and the address of a picture; below its host nothing else is to be had."""
    if request.param == "memory":
        url = "https://files.example/a.png"
        yield MemoryFetcher({url: FileBytes(BODY, "image/png", "a.png")}), url
        return
    async with hostile_web() as web:
        web.server.on("/a.png", web.server.file(BODY, Content_Type="image/png"))
        web.server.on("/none", web.server.file(b"", "404 Not Found"))
        yield web.fetcher, web.url("/a.png")


async def test_bytes_type_and_name_arrive(world):
    fetcher, url = world
    assert await fetcher.fetch(url, POLICY) == FileBytes(BODY, "image/png", "a.png")
    assert await fetcher.fetch(url, attrs.evolve(POLICY, max_bytes=len(BODY))) == FileBytes(BODY, "image/png", "a.png")


async def test_the_same_arrives_in_pieces(world):
    fetcher, url = world
    file = await fetcher.stream(url, POLICY)
    assert (file.content_type, file.name) == ("image/png", "a.png")
    assert b"".join([chunk async for chunk in file.chunks]) == BODY
    with pytest.raises(FileAccessError, match="larger than"):
        await fetcher.stream(url, attrs.evolve(POLICY, max_bytes=len(BODY) - 1))


async def test_too_large_is_refused_with_a_reason(world):
    fetcher, url = world
    with pytest.raises(FileAccessError, match="larger than"):
        await fetcher.fetch(url, attrs.evolve(POLICY, max_bytes=len(BODY) - 1))


async def test_what_is_not_there_is_refused_with_a_reason_that_shows_no_address(world):
    fetcher, url = world
    with pytest.raises(FileAccessError) as refused:
        await fetcher.fetch(url.replace("/a.png", "/none"), POLICY)
    assert "files.example" not in str(refused.value)
    assert str(refused.value)


async def test_a_scripted_refusal_is_raised():
    refusal = FileAccessError("the server is asleep")
    with pytest.raises(FileAccessError, match="asleep"):
        await MemoryFetcher({"https://a.example/": refusal}).fetch("https://a.example/", POLICY)
