# ruff: noqa: RUF001 - digits that are none are the subject
"""The fetcher against a web server and a name service on loopback that do everything a hostile one can.

Loopback counts as public through an injected guard; no setting does that. `Web.fetch` checks after every call that nothing
was connected to, by anybody, that the guard had not admitted in that call.
"""

from __future__ import annotations

import asyncio
import gzip
import time
import tracemalloc
import zlib

import attrs
import httpx
import pytest

from hostile_web import LOOPBACK, WITNESS, FickleNames, InstantClock, Web, certificates, hostile_web
from openrouter_pipe.adapters.web import GuardedFetcher
from openrouter_pipe.adapters.web.resolver import LookupFailedError
from openrouter_pipe.domain.media.addresses import OutboundGuard
from openrouter_pipe.ports.files import FetchPolicy, FileAccessError

HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
async def web():
    async with hostile_web() as one:
        yield one


async def test_a_file_arrives_and_the_request_says_nothing_of_us(web: Web):
    web.server.on("/f", web.server.file(b"\x89PNG bytes", Content_Type="Image/PNG; charset=x", Set_Cookie="a=1"))
    for _ in range(2):
        got = await web.fetch(web.url("/f?x=a%2Fb#part"))
        assert WITNESS.connected == [LOOPBACK]
        assert (got.data, got.content_type, got.name) == (b"\x89PNG bytes", "image/png", "f")
    assert [one.line for one in web.server.asked] == ["GET /f?x=a%2Fb HTTP/1.1"] * 2
    assert web.server.asked[1].headers == {
        "host": f"files.example:{web.server.port}",
        "user-agent": "Mozilla/5.0 (compatible; openrouter-pipe)",
        "accept": "*/*",
        "accept-encoding": "identity",
        "connection": "close",
    }


async def test_proxies_of_the_environment_are_not_asked(web: Web, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://10.0.0.9:3128")
    web.server.on("/f", web.server.file())
    assert (await web.fetch()).data == b"hello"


# Lies about type, name and length


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ("image/png", "image/png"),
        ("", "application/octet-stream"),
        ("nonsense", "application/octet-stream"),
        ("text/html\x01", "application/octet-stream"),
        ("a/" + "b" * 500, "application/octet-stream"),
        ("image/png, text/html", "application/octet-stream"),
        ("../../etc/passwd", "application/octet-stream"),
        ("multipart/x-mixed-replace;boundary=x", "multipart/x-mixed-replace"),
    ],
)
async def test_a_content_type_is_a_plain_one_or_unknown(web: Web, told, kind):
    web.server.on("/f", web.server.file(Content_Type=told))
    assert (await web.fetch()).content_type == kind


@pytest.mark.parametrize(
    ("disposition", "path", "name"),
    [
        ('attachment; filename="report.pdf"', "/f", "report.pdf"),
        ("attachment; filename*=UTF-8''%c3%a4.png", "/f", "ä.png"),
        ("attachment; filename*=KOI-NONE''%ff", "/f", None),
        ('attachment; filename="../../etc/passwd"', "/f", "passwd"),
        ('attachment; filename="..\\\\..\\\\boot.ini"', "/f", "boot.ini"),
        ('attachment; filename="..."', "/a/b.gif", "b.gif"),
        ("attachment; filename=" + "n" * 400 + ".jpeg", "/f", "n" * 115 + ".jpeg"),
        ("attachment; filename=" + "n" * 4000, "/f", "f"),
        (";;;=;filename", "/f", "f"),
        ("", "/a/photo%20one.png", "photo one.png"),
        ("", "/a/%2e%2e%2f%2e%2e%2fpasswd", "passwd"),
        ("", "/a/%00%0a", ""),
        ("", "/%ff", "\ufffd"),
        ("", "/", ""),
    ],
)
async def test_a_name_is_a_plain_one(web: Web, disposition, path, name):
    web.server.on(path, web.server.file(Content_Disposition=disposition))
    got = (await web.fetch(web.url(path))).name
    assert name is None or got == name
    assert not set(got) & set("/\\\x00\n\r")
    assert len(got) <= 120


async def test_an_announcement_over_the_limit_is_refused_before_reading(web: Web):
    web.server.on("/f", web.server.forever(HEAD + b"Content-Length: 1073741824\r\n\r\n", b"x" * 65536))
    policy = attrs.evolve(web.policy, max_bytes=2 * 1024 * 1024)
    assert await web.refusal(policy=policy) == "the file is larger than 2 MB"
    assert web.server.sent < 8 * 1024 * 1024


async def test_one_gigabyte_without_announcement_is_cut_at_the_limit(web: Web):
    web.server.on("/f", web.server.forever(HEAD + b"\r\n", b"x" * 65536))
    tracemalloc.start()
    assert await web.refusal() == "the file is larger than 1000000 bytes"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert web.server.sent < 16 * 1024 * 1024
    assert peak < 16 * 1024 * 1024
    assert len(web.server.asked) == 1


async def test_an_endless_chunked_body_is_cut_at_the_limit(web: Web):
    web.server.on(
        "/f", web.server.forever(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"400\r\n" + b"y" * 1024 + b"\r\n")
    )
    assert "larger than" in await web.refusal()
    assert web.server.sent < 16 * 1024 * 1024


async def test_a_file_of_exactly_the_limit_is_taken(web: Web):
    web.server.on("/f", web.server.file(b"z" * 1_000_000), web.server.file(b"z" * 1_000_001))
    assert len((await web.fetch()).data) == 1_000_000
    assert "larger than" in await web.refusal()


async def test_more_than_was_announced_is_not_taken(web: Web):
    web.server.on("/f", web.server.file(b"hello and more", Content_Length="5"))
    assert (await web.fetch()).data == b"hello"


@pytest.mark.parametrize("length", ["-5", "5, 6", "0x5", "1e3", "９", "9" * 30])
async def test_a_length_that_is_no_length(web: Web, length):
    web.server.on("/f", web.server.raw(HEAD + f"Content-Length: {length}\r\n\r\nhello".encode()))
    assert await web.refusal() in {
        "the server's answer is damaged or incomplete",
        "the file is larger than 1000000 bytes",
    }


async def test_two_lengths_are_no_length(web: Web):
    web.server.on("/f", web.server.raw(HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"))
    assert "damaged" in await web.refusal()


async def test_a_truncated_file_is_asked_for_again_and_then_refused(web: Web):
    web.server.on("/f", web.server.file(b"hel", Content_Length="5"), web.server.file(b"hello"))
    assert (await web.fetch()).data == b"hello"
    web.server.on("/f", web.server.file(b"hel", Content_Length="5"))
    assert await web.refusal() == "the server's answer is damaged or incomplete"
    assert len(web.server.asked) == 2 + 4


@pytest.mark.parametrize("status", ["200 OK", "203 Non-Authoritative Information"])
async def test_an_empty_file_is_refused(web: Web, status):
    web.server.on("/f", web.server.file(b"", status))
    assert await web.refusal() == "the file is empty"


# Compression


def packed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


async def test_what_was_packed_unasked_is_unpacked(web: Web):
    body = b"text " * 10_000
    for sent in (packed(body), packed(body[:100]) + packed(body[100:])):
        web.server.on("/f", web.server.file(sent, Content_Encoding="gzip"))
        assert (await web.fetch()).data == body


async def test_a_bomb_is_met_at_the_limit(web: Web):
    bomb = packed(b"\0" * 300_000_000)
    assert len(bomb) < 1_000_000
    web.server.on("/f", web.server.file(bomb, Content_Encoding="gzip"))
    tracemalloc.start()
    assert "larger than" in await web.refusal()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8_000_000


async def test_many_small_members_do_not_hold_the_loop(web: Web):
    web.server.on("/f", web.server.file(packed(b"") * 20_000 + packed(b"x"), Content_Encoding="gzip"))
    longest, last, done = 0.0, time.monotonic(), asyncio.Event()

    async def tick() -> None:
        nonlocal longest, last
        while not done.is_set():
            await asyncio.sleep(0)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()

    ticking = asyncio.create_task(tick())
    assert (await web.fetch()).data == b"x"
    done.set()
    await ticking
    assert longest < 0.5


@pytest.mark.parametrize(
    ("body", "encoding", "reason"),
    [
        (packed(b"hello")[:-4], "gzip", "the server's answer is damaged"),
        (b"no gzip at all", "gzip", "the server's answer is damaged"),
        (packed(b"hello") + b"trailing", "gzip", "the server's answer is damaged"),
        (packed(packed(b"hello")), "gzip, gzip", "compresses the file in a way that is not supported"),
        (zlib.compress(b"hello"), "deflate", "compresses the file in a way that is not supported"),
        (b"\x0b\x02\x80hello\x03", "br", "compresses the file in a way that is not supported"),
        (b"(\xb5/\xfd", "zstd", "compresses the file in a way that is not supported"),
        (packed(b""), "gzip", "the file is empty"),
    ],
)
async def test_damaged_and_strange_encodings_are_refused_at_once(web: Web, body, encoding, reason):
    web.server.on("/f", web.server.file(body, Content_Encoding=encoding))
    assert reason in await web.refusal()
    assert len(web.server.asked) == 1


# Time


@pytest.mark.parametrize(
    "pieces",
    [
        (HEAD + b"Content-Length: 900000\r\n\r\n", b"x"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (HEAD, b"X: y\r\n"),
        (b"", b"H"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["body", "chunks", "headers", "status line", "informational answers"],
)
async def test_a_server_that_dribbles_is_left(web: Web, pieces):
    web.server.on("/f", web.server.forever(*pieces, every=0.02))
    policy = attrs.evolve(web.policy, max_retries=0, connect_time=0.2)
    begun = time.monotonic()
    assert await web.refusal(policy=policy) in {
        "the server sends too slowly",
        "the server did not answer in time",
        "the server's answer is damaged or incomplete",
    }
    assert time.monotonic() - begun < 3


async def test_a_server_that_is_silent_is_left(web: Web):
    web.server.on("/f", web.server.silent())
    assert await web.refusal(policy=attrs.evolve(web.policy, max_retries=1)) == "the server did not answer in time"
    assert len(web.server.asked) == 2


async def test_one_limit_of_time_ends_it_all(web: Web):
    web.server.on("/f", web.server.forever(HEAD + b"\r\n", b"x" * 5000, every=0.05))
    begun = time.monotonic()
    assert await web.refusal(policy=attrs.evolve(web.policy, max_time=0.5)) == "the download takes too long"
    assert time.monotonic() - begun < 3
    assert len(web.server.asked) == 1


async def test_a_slow_but_honest_server_is_waited_for(web: Web):
    body = b"x" * 5000
    web.server.on("/f", web.server.raw(HEAD + b"Content-Length: 40000\r\n\r\n", *[body] * 8, every=0.1))
    assert len((await web.fetch()).data) == 40_000


# Floods, and connections that are lost


async def test_a_flood_of_headers_is_cut(web: Web):
    web.server.on("/f", web.server.forever(HEAD, b"X-Flood: " + b"y" * 8000 + b"\r\n"))
    assert "damaged" in await web.refusal(policy=attrs.evolve(web.policy, max_retries=0))
    assert web.server.sent < 16 * 1024 * 1024


@pytest.mark.parametrize(
    "head",
    [b"", HEAD, HEAD + b"Content-Length: 5\r\n\r\nhe"],
    ids=["at once", "in the head", "in the body"],
)
async def test_a_reset_is_tried_again(web: Web, head):
    web.server.on("/f", web.server.reset(head), web.server.file())
    assert (await web.fetch()).data == b"hello"
    web.server.on("/f", web.server.reset(head))
    assert "server" in await web.refusal()
    assert web.clock.slept == [5.0, 5.0, 10.0, 20.0]


@pytest.mark.parametrize(
    "noise", [b"\x00\xff" * 50 + b"\r\n\r\n", b"SSH-2.0-OpenSSH_9\r\n\r\n", b"+OK redis\r\n\r\n", b"HTTP/2 200\r\n\r\n"]
)
async def test_what_is_not_http_is_refused(web: Web, noise):
    web.server.on("/f", web.server.raw(noise))
    assert "damaged" in await web.refusal()


# Redirects


async def test_redirects_are_followed_and_the_file_keeps_the_name_that_was_asked_for(web: Web):
    web.server.on("/a.png", web.server.redirect("/b?token=1", "301 Moved"))
    web.server.on("/b", web.server.redirect(f"//other.example:{web.server.port}/c", "303 See Other"))
    web.server.on("/c", web.server.redirect("d/../e#x", "307 Temporary"))
    web.server.on("/e", web.server.redirect(web.url("/g"), "308 Permanent"))
    web.server.on("/g", web.server.file())
    got = await web.fetch(web.url("/a.png"))
    assert (got.data, got.name) == (b"hello", "a.png")
    assert web.names.looked_up == ["files.example", "files.example", "other.example", "other.example", "files.example"]
    assert [one.headers["host"].partition(":")[0] for one in web.server.asked] == web.names.looked_up
    assert not any("referer" in one.headers or "cookie" in one.headers for one in web.server.asked)


@pytest.mark.parametrize("there", ["/f", "?again", "#x"])
async def test_a_loop_ends(web: Web, there):
    web.server.on("/f", web.server.redirect(there))
    assert await web.refusal() == "the address redirects more than 5 times"
    assert len(web.server.asked) == 6


@pytest.mark.parametrize(
    ("there", "reason"),
    [
        ("http://near.example/", "https://"),
        ("https://near.example/secret", "public internet"),
        ("https://10.0.0.5/secret", "public internet"),
        ("https://169.254.169.254/latest/meta-data/", "public internet"),
        ("https://[::ffff:127.0.0.1]/", "public internet"),
        ("//10.0.0.5:8443/", "must begin with https://"),
        ("https://0x7f.1/", "unusual form"),
        ("https://user:secret@other.example/", "user name"),
        ("file:///etc/passwd", "https://"),
        ("gopher://10.0.0.5:6379/_x", "https://"),
        ("data:text/plain,secret", "https://"),
        ("javascript:alert(1)", "https://"),
        ("https://", "no host"),
        ("https://[::1", "refused"),
        ("https://other.example:22/", "another kind"),
        ("https://other.example/a b", "spaces"),
        ("\\\\10.0.0.5\\x", "backslashes"),
        ("https://other.example/" + "x" * 9000, "longer"),
        ("https://unknown.example/", "not known"),
    ],
)
async def test_a_redirect_is_judged_like_any_url(web: Web, there, reason):
    web.server.on("/f", web.server.redirect(there))
    assert reason in await web.refusal()
    assert len(web.server.asked) == 1


@pytest.mark.parametrize("lines", [b"", b"Location: /a\r\nLocation: /b\r\n"])
async def test_a_redirect_to_nowhere(web: Web, lines):
    web.server.on("/f", web.server.raw(b"HTTP/1.1 302 Found\r\n" + lines + b"Content-Length: 0\r\n\r\n"))
    assert await web.refusal() == "the address redirects to nowhere"


async def test_a_redirect_in_bytes_beyond_ascii(web: Web):
    web.server.on("/%C3%A4", web.server.file(b"utf-8"))
    web.server.on("/f", web.server.raw(b"HTTP/1.1 302 Found\r\nLocation: /\xc3\xa4\r\n\r\n"))
    assert (await web.fetch()).data == b"utf-8"
    web.server.on("/f", web.server.raw(b"HTTP/1.1 302 Found\r\nLocation: /\xe4\r\n\r\n"))
    assert (await web.fetch()).data == b"utf-8"


@pytest.mark.parametrize(
    "status",
    ["300 Choices", "304 Not Modified", "305 Use Proxy", "204 No Content", "206 Partial", "401 X", "404 X", "418 X"],
)
async def test_other_answers_are_refused_at_once(web: Web, status):
    web.server.on("/f", web.server.file(b"", status, Location="/f"))
    assert await web.refusal() == f"the server answered with status {status[:3]}"
    assert len(web.server.asked) == 1
    assert not web.clock.slept


# Names


@pytest.mark.parametrize(
    "found",
    [
        ("10.0.0.5",),
        ("127.0.0.2",),
        ("::1",),
        ("::ffff:127.0.0.1",),
        ("64:ff9b::a00:5",),
        (LOOPBACK, "10.0.0.5"),
        ("10.0.0.5", LOOPBACK),
        (LOOPBACK,) * 9 + ("192.168.0.1",),
        ("fe80::1%eth0",),
        ("not an address",),
        ("0x7f000001",),
        ("",),
    ],
)
async def test_one_near_address_condemns_the_name(web: Web, found):
    web.names.names["files.example"] = [found]
    web.server.on("/f", web.server.file())
    assert await web.refusal() == "the address does not lead to the public internet"
    assert not web.server.asked


async def test_a_name_that_changes_between_answers_is_judged_each_time(web: Web):
    web.names.names["files.example"] = [(LOOPBACK,), ("10.0.0.5",)]
    web.server.on("/f", web.server.file(b"", "503 Busy"), web.server.file())
    assert await web.refusal() == "the address does not lead to the public internet"
    web.names.names["files.example"] = [(LOOPBACK,), ("10.0.0.5",)]
    web.server.on("/f", web.server.redirect("/g"))
    assert await web.refusal() == "the address does not lead to the public internet"
    assert [one.line for one in web.server.asked] == ["GET /f HTTP/1.1"] * 2


async def test_rebinding_between_look_and_connection_leads_nowhere():
    """A name that is public when looked at and loopback when connected to; nobody looks twice."""
    connected: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        connected.append(request.url.host)
        return httpx.Response(500)

    names, policy = FickleNames(), FetchPolicy(1000, max_retries=10, max_retry_time=1e9, max_time=30)
    names.names["files.example"] = [("93.184.216.34",), (LOOPBACK,)] * 20
    fetcher = GuardedFetcher(OutboundGuard(), InstantClock(), names, lambda _: httpx.MockTransport(answer))
    for _ in range(20):
        with pytest.raises(FileAccessError):
            await fetcher.fetch("https://files.example/", policy)
    assert set(connected) == {"93.184.216.34"}
    assert len(names.looked_up) >= 2 * len(connected)


async def test_a_name_service_that_never_answers_is_left(web: Web):
    web.names.names["files.example"] = [None]
    policy = attrs.evolve(web.policy, max_retries=1)
    assert await web.refusal(policy=policy) == "the host name of the address could not be looked up in time"
    assert len(web.names.looked_up) == 2


async def test_unknown_names_are_not_asked_for_again_and_troubled_services_are(web: Web):
    assert await web.refusal(web.url(host="files.example").replace("http", "https").replace("files", "none")) == (
        "the host name of the address is not known"
    )
    web.names.names["files.example"] = [()]
    assert await web.refusal() == "the host name of the address is not known"
    assert not web.clock.slept
    web.names.names["files.example"] = [LookupFailedError("try again", permanent=False), (LOOPBACK,)]
    web.server.on("/f", web.server.file())
    assert (await web.fetch()).data == b"hello"


async def test_an_address_that_does_not_answer_gives_way_to_the_next(web: Web):
    web.guard.public |= {"127.0.0.9", "::1"}
    web.names.names["files.example"] = [("127.0.0.9", "::1", LOOPBACK)]
    web.server.on("/f", web.server.file())
    assert (await web.fetch()).data == b"hello"
    assert not web.clock.slept
    web.names.names["files.example"] = [("127.0.0.9",)]
    assert await web.refusal() == "the server cannot be reached"
    assert web.clock.slept == [5.0, 10.0, 20.0]


async def test_without_the_protection_all_other_rules_stay(web: Web):
    fetcher = GuardedFetcher(OutboundGuard(), InstantClock(), web.names)
    free = attrs.evolve(web.policy, guard_addresses=False)
    web.server.on("/f", web.server.file())
    assert (await fetcher.fetch(web.url(), free)).data == b"hello"
    assert len(web.server.asked) == 1
    web.server.on(
        "/f", web.server.file(b"x" * 1_000_001), web.server.redirect("file:///etc/passwd"), web.server.redirect("/f")
    )
    for _ in range(3):
        with pytest.raises(FileAccessError):
            await fetcher.fetch(web.url(), free)
    for url in (web.url(host="near.example"), web.url().replace("//", "//me@"), "http://127.0.0.1/"):
        with pytest.raises(FileAccessError):
            await fetcher.fetch(url, free)
    assert len(web.server.asked) == 1 + 1 + 1 + 6


# Retries


@pytest.mark.parametrize("status", ["408 X", "425 X", "429 X", "500 X", "502 X", "503 X", "599 X"])
async def test_what_may_pass_is_tried_again_with_growing_delays(web: Web, status):
    web.server.on("/f", *[web.server.file(b"", status)] * 3, web.server.file())
    assert (await web.fetch()).data == b"hello"
    assert web.clock.slept == [5.0, 10.0, 20.0]
    web.server.on("/f", web.server.file(b"", status))
    assert await web.refusal() == f"the server answered with status {status[:3]}"
    assert len(web.server.asked) == 8


@pytest.mark.parametrize(
    ("wish", "slept"),
    [
        ("7", [7.0]),
        ("Sun, 22 Nov 2026 12:00:09 GMT", [9.0]),
        ("Sunday, 22-Nov-26 12:00:09 GMT", [9.0]),
        ("Sun, 22 Nov 2026 13:00:09 +0100", [9.0]),
        ("Sun, 22 Nov 2020 12:00:00 GMT", [5.0]),
        ("0", [5.0]),
        ("-3", [5.0]),
        ("nan", [5.0]),
        ("1e3", [5.0]),
        ("soon", [5.0]),
        ("７", [5.0]),
        ("Sun, 99 Nov 2026 12:00:00 GMT", [5.0]),
        ("x" * 5000, [5.0]),
        ("46", None),
        ("86400", None),
        ("9" * 60, None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None),
    ],
)
async def test_both_forms_of_retry_after_and_nonsense(web: Web, wish, slept):
    web.server.on(
        "/f",
        web.server.raw(f"HTTP/1.1 429 X\r\nRetry-After: {wish}\r\nContent-Length: 0\r\n\r\n".encode()),
        web.server.file(),
    )
    if slept is None:
        assert await web.refusal() == "the server answered with status 429"
        assert not web.clock.slept
    else:
        assert (await web.fetch()).data == b"hello"
        assert web.clock.slept == slept


async def test_retries_end_with_their_budget_of_time(web: Web):
    web.server.on("/f", web.server.file(b"", "500 X"))
    await web.refusal(policy=attrs.evolve(web.policy, max_retries=10, max_retry_time=20.0))
    assert web.clock.slept == [5.0, 10.0]
    web.clock.slept.clear()
    await web.refusal(policy=attrs.evolve(web.policy, max_retries=0))
    assert not web.clock.slept


# TLS


async def test_the_certificate_is_verified_against_the_name(tmp_path):
    serving, trusting = certificates(tmp_path, "files.example", LOOPBACK)
    async with hostile_web(serving, trusting) as web:
        web.server.on("/f", web.server.file())
        assert (await web.fetch()).data == b"hello"
        assert web.server.names == ["files.example"]
        assert (
            await web.refusal(web.url(host="other.example")) == "the server's certificate is not valid for the address"
        )
        assert len(web.server.asked) == 1
        assert not web.clock.slept


async def test_a_certificate_of_nobody_is_refused(tmp_path):
    serving, _ = certificates(tmp_path, "files.example")
    async with hostile_web(serving) as web:
        web.server.on("/f", web.server.file())
        assert await web.refusal() == "the server's certificate is not valid for the address"
        assert not web.server.asked


async def test_from_https_no_redirect_leads_to_http(tmp_path):
    serving, trusting = certificates(tmp_path, "files.example")
    async with hostile_web(serving, trusting) as web, hostile_web() as plain:
        plain.server.on("/f", plain.server.file())
        web.server.on("/f", web.server.redirect(plain.url()))
        assert await web.refusal() == "the address redirects from https:// to http://"
        assert not plain.server.asked


async def test_a_server_without_tls_is_not_spoken_to_in_clear(web: Web):
    web.server.on("/f", web.server.file())
    assert "server" in await web.refusal(web.url().replace("http:", "https:"), attrs.evolve(web.policy, max_retries=0))
    assert not web.server.asked


# The end


async def test_closing_ends_downloads_and_refuses_new_ones(web: Web):
    web.server.on("/f", web.server.forever(HEAD + b"\r\n", b"x" * 100, every=0.01))
    running = asyncio.create_task(web.refusal(policy=attrs.evolve(web.policy, least_bytes=1)))
    while web.server.sent < 500:
        await asyncio.sleep(0.01)
    await web.fetcher.aclose()
    await asyncio.wait_for(running, 3)
    assert await web.refusal() == "the server is shutting down"
    await web.fetcher.aclose()
    assert len(web.server.asked) == 1


async def test_a_cancelled_download_leaves_nothing_open(web: Web):
    web.server.on("/f", web.server.forever(HEAD + b"\r\n", b"x" * 100, every=0.01))
    running = asyncio.create_task(web.fetch(policy=attrs.evolve(web.policy, least_bytes=1)))
    while web.server.sent < 500:
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    for _ in range(300):
        if web.server.cut:
            break
        await asyncio.sleep(0.01)
    assert web.server.cut == 1


async def test_a_large_file_costs_little_more_than_its_size(web: Web):
    size = 32 * 1024 * 1024
    web.server.on("/f", web.server.forever(HEAD + f"Content-Length: {size}\r\n\r\n".encode(), b"x" * 65536, total=size))
    tracemalloc.start()
    got = await web.fetch(policy=attrs.evolve(web.policy, max_bytes=size))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(got.data) == size
    assert peak <= 1.5 * size


async def test_a_large_file_in_pieces_is_let_go_as_it_is_read(web: Web):
    size = 16 * 1024 * 1024
    web.server.on("/f", web.server.forever(HEAD + b"\r\n", b"x" * 65536, total=size))
    file = await web.fetcher.stream(web.url(), attrs.evolve(web.policy, max_bytes=2 * size))
    tracemalloc.start()
    lengths = [len(chunk) async for chunk in file.chunks]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(lengths) == size
    assert 8 < len(lengths) < 20
    assert peak < 100_000
