"""Every fault of sockets, TLS and HTTP against the pipe in a host: what the user reads, what the operator finds.

Each row runs the real provider adapter over a real connection. Afterwards nothing is held, and as soon as the provider is
well again the next turn is answered.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import re
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import pytest
from dependency_injector import providers

from broken_servers import (
    BEGUN,
    CREATED,
    GOOD,
    HEAD,
    Behaviour,
    answer,
    babbles,
    certificate,
    chunk,
    delta,
    drips,
    full_house,
    goes_silent,
    good_catalogue,
    hangs_up,
    never_reads,
    resets,
    says,
    serving,
    status,
)
from openrouter_pipe.adapters.openrouter import HttpClients
from pipe_house import KEY, House, assert_told
from transports import TRANSPORTS

HOSTS = pytest.mark.parametrize("recent", [True, False], ids=["0.12.4", "0.6.28"])
WAYS = pytest.mark.parametrize("way", TRANSPORTS)

STATUSES = {
    400: "openrouter_error", 401: "authentication", 402: "insufficient_credits", 403: "authentication",
    404: "openrouter_error", 405: "openrouter_error", 408: "server_timeout", 409: "openrouter_error",
    412: "openrouter_error", 413: "payload_too_large", 415: "openrouter_error", 418: "openrouter_error",
    422: "openrouter_error", 425: "openrouter_error", 429: "rate_limit", 451: "openrouter_error", 499: "openrouter_error",
    500: "service_error", 501: "service_error", 502: "service_error", 503: "service_error", 504: "service_error",
    520: "service_error", 522: "service_error", 524: "service_error", 529: "service_error", 599: "service_error",
}  # fmt: skip
REPEATED = {408, 425, 429, *range(500, 600)}


def house_of(way: str, url: str, *, recent: bool = True, catalogue: bool = False, **valves: object) -> House:
    """The pipe with the real provider adapter (and catalogue) behind it."""
    overrides = {"provider": None, **({"catalog_source": None} if catalogue else {})}
    house = House(recent=recent, overrides=overrides, BASE_URL=url, **valves)
    house.container.clients.override(providers.Singleton(HttpClients, **TRANSPORTS[way]))
    return house


@HOSTS
@WAYS
@pytest.mark.parametrize("code", STATUSES)
async def test_every_status(code, way, recent, caplog):
    message = f"The provider's words, with {KEY} in them"
    async with serving(status(code, message)) as server:
        house = house_of(way, server.url, recent=recent)
        with caplog.at_level(logging.INFO):
            text = await house.ask()
        line = assert_told(text, STATUSES[code], caplog.records)
        assert str(code) in line
        assert "words, with" in text
        assert server.connections == (3 if code in REPEATED else 1)
        assert house.outcomes() == {STATUSES[code]: 1}
        assert house.nothing_held()
        server.behaviour = GOOD
        assert "The beginning." in await house.read()


@WAYS
@pytest.mark.parametrize("code", [301, 302, 303, 307, 308, 304, 204])
async def test_answers_that_are_neither_good_nor_an_error(code, way, caplog):
    async with serving(good_catalogue) as elsewhere:
        head = f"HTTP/1.1 {code} R\r\nLocation: {elsewhere.url}\r\nContent-Length: 0\r\n\r\n".encode()
        async with serving(says(head)) as server:
            house = house_of(way, server.url)
            with caplog.at_level(logging.INFO):
                text = await house.read()
        assert elsewhere.connections == 0, "the key goes nowhere else"
    assert_told(text, "service_error", caplog.records)


SECONDS = {"HTTP_SOCK_READ_SECONDS": 1, "HTTP_CONNECT_TIMEOUT_SECONDS": 1}
# behaviour, valves, code, what else the user reads, how many connections
ROWS: dict[str, tuple[Behaviour, dict, str, str, int]] = {
    "read timeout before headers": (goes_silent(), SECONDS, "network_timeout", "Limit: 1 seconds", 1),
    "read timeout after headers": (goes_silent(HEAD), SECONDS, "network_timeout", "Limit: 1 seconds", 1),
    "read timeout before text": (goes_silent(HEAD, chunk(CREATED)), SECONDS, "network_timeout", "Limit: 1 seconds", 1),
    "read timeout in the text": (goes_silent(HEAD, chunk(BEGUN)), SECONDS, "stream_interrupted", "in time", 1),
    "total timeout before text": (
        drips(chunk(CREATED), b": still here\n\n", 0.05), {"HTTP_TOTAL_TIMEOUT_SECONDS": 1}, "network_timeout",
        "Limit: 1 seconds", 1,
    ),
    "total timeout in the text": (
        drips(chunk(BEGUN), delta("word "), 0.05), {"HTTP_TOTAL_TIMEOUT_SECONDS": 1}, "stream_interrupted", "in time", 1,
    ),
    "closed at once": (hangs_up, {}, "connection_error", "", 3),
    "closed after the request": (says(), {}, "connection_error", "", 3),
    "reset before headers": (resets(), {}, "connection_error", "", 3),
    "reset within headers": (resets(b"HTTP/1.1 200 OK\r\nContent-"), {}, "connection_error", "", 3),
    "reset after headers": (resets(HEAD), {}, "connection_error", "", 3),
    "reset in the text": (resets(HEAD, chunk(BEGUN)), {}, "stream_interrupted", "lost", 1),
    "cut within a chunk, before text": (says(HEAD, chunk(CREATED)[:-20]), {}, "connection_error", "", 3),
    "cut within a chunk, in the text": (says(HEAD, chunk(BEGUN), b"ffff\r\ndata: {"), {}, "stream_interrupted", "lost", 1),
    "cut between chunks, before text": (says(HEAD, chunk(CREATED)), {}, "stream_interrupted", "lost", 3),
    "cut between chunks, in the text": (says(HEAD, chunk(BEGUN)), {}, "stream_interrupted", "lost", 1),
    "a good end of HTTP, none of the answer": (
        says(HEAD, chunk(BEGUN), b"0\r\n\r\n"), {}, "stream_interrupted", "lost", 1,
    ),
    "less than Content-Length says": (
        says(answer(200, BEGUN).replace(b"Length: ", b"Length: 9")), {}, "stream_interrupted", "lost", 1,
    ),
    "no HTTP": (says(b"220 mail.example.org ESMTP ready\r\n"), {}, "connection_error", "", 3),
    "headers without end": (says(b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"a" * 200_000), {}, "connection_error", "", 3),
    "chunks of no size": (says(HEAD, b"zz\r\nabc\r\n"), {}, "connection_error", "", 3),
    "gzip that is none": (says(answer(200, b"not gzip", "Content-Encoding: gzip")), {}, "service_error", "", 1),
    "a page of HTML": (says(answer(200, b"<html><script>alert(1)</script>")), {}, "service_error", "could not be read", 1),
    "nothing at all": (says(answer(200, b"")), {}, "service_error", "could not be read", 1),
    "an error in a 200": (
        says(answer(200, b'{"error":{"code":402,"message":"no credits"}}')), {}, "insufficient_credits", "no credits", 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("row", "recent"),
    [
        (row, recent) for row in ROWS for recent in (True, False) if recent or "timeout" not in row
    ],  # those take a second
)
@WAYS
async def test_every_way_to_fail(row, way, recent, caplog):
    behaviour, valves, code, words, connections = ROWS[row]
    async with serving(behaviour) as server:
        house = house_of(way, server.url, recent=recent, **valves)
        with caplog.at_level(logging.INFO):
            text = await house.ask()
        assert_told(text, code, caplog.records)
        assert words in text
        assert text.startswith("The beginning") is ("in the text" in row or "of the answer" in row or "less" in row)
        assert server.connections == connections
        assert house.outcomes() == {code: 1}
        assert house.nothing_held()
        server.behaviour = GOOD
        assert "The beginning." in await house.read()


@WAYS
async def test_a_request_that_nobody_reads_ends_at_the_write_timeout(way, caplog):
    async with serving(never_reads) as server:
        house = house_of(way, server.url, **SECONDS)
        began = time.monotonic()
        text = await house.read("word " * 4_000_000)
        assert time.monotonic() - began < 15
    assert_told(text, "network_timeout", caplog.records)
    assert "Limit: 1 seconds" in text


@WAYS
async def test_a_queue_that_is_full_ends_at_the_connect_timeout(way, caplog):
    async with full_house() as url:
        house = house_of(way, url, **SECONDS)
        text = await house.read()
    assert_told(text, "network_timeout", caplog.records)
    assert "Limit: 1 seconds" in text


async def test_a_pool_without_a_free_connection_is_no_connection_in_time(caplog):
    class Exhausted(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            raise httpx.PoolTimeout(f"pool for {KEY}")

    house = House(overrides={"provider": None})
    house.container.transport_factory.override(providers.Object(Exhausted))
    assert_told(await house.read(), "network_timeout", caplog.records)


@asynccontextmanager
async def nobody_listens():
    async with serving(GOOD) as server:
        url = server.url
    yield url


@asynccontextmanager
async def no_such_name():
    yield "https://nowhere.invalid/v1"


@asynccontextmanager
async def no_address_for_a_name():
    yield f"https://{'a' * 70}.example/v1"


UNREACHABLE: dict[str, tuple[Callable[[], AbstractAsyncContextManager[str]], str]] = {
    "refused": (nobody_listens, "http://127.0.0.1:"),
    "DNS": (no_such_name, "https://nowhere.invalid/v1/"),
    "a name that cannot be one": (no_address_for_a_name, ".example/v1/"),
}


@HOSTS
@WAYS
@pytest.mark.parametrize("row", UNREACHABLE)
@pytest.mark.parametrize("catalogue", [False, True], ids=["answer", "catalogue"])
async def test_nobody_there(row, catalogue, way, recent, caplog):
    opened, address = UNREACHABLE[row]
    async with opened() as url:
        house = house_of(way, url, recent=recent, catalogue=catalogue)
        with caplog.at_level(logging.INFO):
            text = await house.read()
    assert_told(text, "connection_error", caplog.records)
    assert f"- Address: {address}" in text.replace("\\", "") or address in text
    assert house.outcomes() == {"connection_error": 1}
    assert house.nothing_held()


TLS = {
    "signed by nobody we trust": ("127.0.0.1", False, 1),
    "for another name": ("openrouter.example", True, 1),
    "expired": ("127.0.0.1", True, -1),
}


@HOSTS
@WAYS
@pytest.mark.parametrize("row", TLS)
async def test_certificates(row, way, recent, caplog, tmp_path, monkeypatch):
    name, trusted, days = TLS[row]
    context, path = certificate(tmp_path, name, days=days)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
    async with serving(good_catalogue, tls=context) as server:
        house = house_of(way, server.url, recent=recent)
        with caplog.at_level(logging.INFO):
            text = await house.read()
    line = assert_told(text, "connection_error", caplog.records)
    assert "certificate" in text
    assert "certificate" in line
    assert house.nothing_held()


@WAYS
async def test_a_certificate_that_is_good_is_accepted(way, tmp_path, monkeypatch):
    context, path = certificate(tmp_path, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    async with serving(good_catalogue, tls=context) as server:
        assert "The beginning." in await house_of(way, server.url, catalogue=True).read()


@HOSTS
@WAYS
@pytest.mark.parametrize("behaviour", [babbles, hangs_up])
async def test_plain_text_where_tls_is_expected(behaviour, way, recent, caplog):
    async with serving(behaviour) as server:
        house = house_of(way, server.url.replace("http:", "https:"), recent=recent)
        with caplog.at_level(logging.INFO):
            text = await house.read()
    assert_told(text, "connection_error", caplog.records)
    assert house.nothing_held()


@WAYS
async def test_a_server_that_waits_for_plain_text_ends_at_the_connect_timeout(way, caplog):
    async with serving(good_catalogue) as server:
        text = await house_of(way, server.url.replace("http:", "https:"), **SECONDS).read()
    assert_told(text, "network_timeout", caplog.records)


@WAYS
async def test_tls_where_plain_text_is_expected(way, caplog, tmp_path):
    context, _ = certificate(tmp_path, "127.0.0.1")
    async with serving(good_catalogue, tls=context) as server:
        text = await house_of(way, server.url.replace("https:", "http:")).read()
    assert_told(text, "connection_error", caplog.records)


CATALOGUES = {
    **{f"status {code}": (status(code, "no"), told) for code, told in STATUSES.items() if code in (401, 403, 429, 500)},
    "reset": (resets(), "connection_error"),
    "cut": (says(answer(200, b'{"data":[').replace(b"Length: ", b"Length: 9")), "connection_error"),
    "no JSON": (says(answer(200, b"<html>")), "service_error"),
    "an empty list": (says(answer(200, b'{"data":[]}')), "service_error"),
    "another shape": (says(answer(200, b'{"data":{"a":1}}')), "service_error"),
    "silence": (goes_silent(), "network_timeout"),
}


@HOSTS
@WAYS
@pytest.mark.parametrize("row", CATALOGUES)
async def test_a_catalogue_that_cannot_be_had_is_told_and_locks_nobody_out(row, way, recent, caplog):
    behaviour, code = CATALOGUES[row]
    async with serving(behaviour) as server:
        house = house_of(way, server.url, recent=recent, catalogue=True, **SECONDS)
        with caplog.at_level(logging.INFO):
            assert await house.host.models() == []
            text = await house.ask()
        assert_told(text, code, caplog.records)
        assert house.outcomes() == {code: 1}
        server.behaviour = good_catalogue
        assert "The beginning." in await house.read()
        assert house.nothing_held()


HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)>![x](http://evil.test/pixel) [click](javascript:alert(3)) "
    "\x1b[31mred\x1b]0;title\x07 \u202eright to left {error_id} {{#if user_id}}{user_id}{{/if}} ``` \n# Heading\n"
)


@HOSTS
@WAYS
async def test_a_hostile_error_of_ten_megabytes(way, recent, caplog):
    async with serving(
        status(400, HOSTILE * 60_000, metadata={"raw": HOSTILE * 100, "reasons": [HOSTILE] * 1000})
    ) as server:
        house = house_of(way, server.url, recent=recent)
        began = time.monotonic()
        text = await house.read()
        assert time.monotonic() - began < 5
    assert 200 < len(text) < 20_000
    for start in ("<script", "<img", "![x](", "\x1b", "\u202e", "\n# Heading", "\n```"):
        assert start not in text
    assert re.findall(r".*user-1.*", text) == ["- User: user-1"], "a value was evaluated"
    assert all(len(record.getMessage()) < 20_000 for record in caplog.records)


@WAYS
async def test_a_bomb_of_compression_costs_little(way, caplog):
    bomb = gzip.compress(b'{"error":{"code":400,"message":"' + b"a" * 100_000_000)
    async with serving(says(answer(400, bomb, "Content-Encoding: gzip"))) as server:
        text = await house_of(way, server.url).read()
    assert_told(text, "openrouter_error", caplog.records)
    assert len(text) < 20_000


@WAYS
async def test_users_who_leave_in_the_middle_of_every_fault_hold_nothing(way):
    for behaviour, valves, *_ in ROWS.values():
        async with serving(behaviour) as server:
            house = house_of(way, server.url, **valves)
            turn = asyncio.create_task(house.ask())
            await asyncio.sleep(0.02)
            turn.cancel()
            await asyncio.wait({turn})
            for _ in range(100):
                if house.nothing_held():
                    break
                await asyncio.sleep(0.01)
            assert house.nothing_held()
            await house.close()
