# ruff: noqa: RUF001, RUF003 - confusable characters are the subject
"""How URLs are read: more than 150 spellings, each with what it means or why it is refused."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

import attrs
import httpx
import idna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_pipe.domain.media.addresses import OutboundGuard, is_reachable
from openrouter_pipe.domain.media.urls import MAX_URL_CHARS, read_url
from openrouter_pipe.ports.files import FetchPolicy, FileAccessError

GUARD = OutboundGuard()
POLICY = FetchPolicy(1000)

NUMBER = "number in an unusual form"
NEAR = "public internet"
HTTPS = "must begin with https://"
NO_HOST = "names no host"
USER = "user name or password"
PERCENT = "percent-encoded or carries a zone"
CHARS = "spaces, backslashes or control"
NAME = "host name of the address is not valid"
UNSEEN = "invisible"
IPV6 = "not a valid IPv6"
PORT = "port of the address is not valid"
SERVICE = "another kind of service"

REFUSED = {
    # schemes
    "": HTTPS,
    "/": HTTPS,
    "//example.com/x": HTTPS,
    "example.com": HTTPS,
    "example.com/x.png": HTTPS,
    "http://example.com/": HTTPS,
    "HTTP://example.com/": HTTPS,
    "ftp://example.com/": HTTPS,
    "file:///etc/passwd": HTTPS,
    "file://localhost/etc/passwd": HTTPS,
    "gopher://example.com/_x": HTTPS,
    "dict://example.com/": HTTPS,
    "ldap://example.com/": HTTPS,
    "jar:https://example.com!/x": HTTPS,
    "data:text/plain,x": HTTPS,
    "javascript:alert(1)": HTTPS,
    "blob:https://example.com/1": HTTPS,
    "ws://example.com/": HTTPS,
    "httpss://example.com/": HTTPS,
    "https+unix://example.com/": HTTPS,
    "unix:/var/run/docker.sock": HTTPS,
    "1https://example.com/": HTTPS,
    "ｈttps://example.com/": HTTPS,
    "httpſ://example.com/": HTTPS,
    # authority
    "https:": NO_HOST,
    "https:/": NO_HOST,
    "https://": NO_HOST,
    "https:example.com": NO_HOST,
    "https:/example.com": NO_HOST,
    "https:///example.com": NO_HOST,
    "https:////example.com": NO_HOST,
    "https://?x": NO_HOST,
    "https://#x": NO_HOST,
    "https://:443/": NO_HOST,
    "https://user@example.com/": USER,
    "https://user:secret@example.com/": USER,
    "https://@example.com/": USER,
    "https://example.com@127.0.0.1/": USER,
    "https://127.0.0.1@example.com/": USER,
    "https://example.com:443@127.0.0.1/": USER,
    "https://a@b@example.com/": USER,
    "https://[::1]@example.com/": USER,
    "https://example.com%40127.0.0.1/": PERCENT,
    "https://%31%32%37.0.0.1/": PERCENT,
    "https://127.0.0.1%2f@x/": USER,
    "https://example%2ecom/": PERCENT,
    "https://ex%61mple.com/": PERCENT,
    "https://example.com%00.evil/": PERCENT,
    "https://example.com%0d%0aHost:x/": PERCENT,
    # characters
    " https://example.com/": CHARS,
    "https://example.com/ ": CHARS,
    "https://example.com/a b": CHARS,
    "https://exa mple.com/": CHARS,
    "https://example.com/\n": CHARS,
    "https://example.com/\r\nX: y": CHARS,
    "https://example.com/\tx": CHARS,
    "ht\ttps://example.com/": CHARS,
    "https://exam\nple.com/": CHARS,
    "https://example.com\x00.evil/": CHARS,
    "https://example.com/\x7f": CHARS,
    "https://example.com/\x85": CHARS,
    "https://example.com/\xa0": CHARS,
    "https://example.com/\u2028": CHARS,
    "https://example.com/\u3000": CHARS,
    "https://example.com/\ud800": CHARS,
    "https:\\\\example.com\\": CHARS,
    "https://example.com\\@127.0.0.1/": CHARS,
    "https://127.0.0.1\\.example.com/": CHARS,
    "https://example.com/\\..": CHARS,
    # numbers instead of names
    "https://2130706433/": NUMBER,
    "https://017700000001/": NUMBER,
    "https://0x7f000001/": NUMBER,
    "https://0X7F000001/": NUMBER,
    "https://0x7f.0x0.0x0.0x1/": NUMBER,
    "https://0x7f.1/": NUMBER,
    "https://127.1/": NUMBER,
    "https://127.0.1/": NUMBER,
    "https://127.0.0.01/": NUMBER,
    "https://0177.0.0.1/": NUMBER,
    "https://127.0.0.0x1/": NUMBER,
    "https://127.0.0.1./": NUMBER,
    "https://127.0.0.1../": NAME,
    "https://.127.0.0.1/": NUMBER,
    "https://127..0.0.1/": NUMBER,
    "https://0/": NUMBER,
    "https://0x/": NUMBER,
    "https://1/": NUMBER,
    "https://256.256.256.256/": NUMBER,
    "https://127.0.0.256/": NUMBER,
    "https://127.0.0.1.1/": NUMBER,
    "https://1.2.3.4.5/": NUMBER,
    "https://8.8.8/": NUMBER,
    "https://008.008.008.008/": NUMBER,
    "https://example.1/": NUMBER,
    "https://example.0x1/": NUMBER,
    "https://00000000127.0.0.1/": NUMBER,
    "https://4294967295/": NUMBER,
    "https://4294967296/": NUMBER,
    "https://99999999999999999999/": NUMBER,
    "https://-1/": NAME,
    "https://+127.0.0.1/": NUMBER,
    "https://１２７.０.０.１/": NUMBER,
    "https://127。0。0。1/": NUMBER,
    "https://127．0．0．1/": NUMBER,
    "https://127｡0｡0｡1/": NUMBER,
    "https://①②⑦.⓪.⓪.①/": NUMBER,
    "https://¹²⁷.0.0.1/": NUMBER,
    "https://8.8.8.⑧/": NUMBER,
    "https://𝟏𝟐𝟕.𝟎.𝟎.𝟏/": NUMBER,
    "https://０ｘ7f000001/": NUMBER,
    "https://⒈1.1.1/": NUMBER,
    "https://١٢٧.0.0.1/": NUMBER,
    # near addresses in their ordinary form
    "https://127.0.0.1/": NEAR,
    "https://127.255.255.254/": NEAR,
    "https://0.0.0.0/": NEAR,
    "https://10.0.0.1/": NEAR,
    "https://100.64.0.1/": NEAR,
    "https://169.254.169.254/latest/meta-data/": NEAR,
    "https://168.63.129.16/": NEAR,
    "https://172.16.0.1/": NEAR,
    "https://192.0.0.192/": NEAR,
    "https://192.168.1.1/": NEAR,
    "https://198.18.0.1/": NEAR,
    "https://203.0.113.7/": NEAR,
    "https://224.0.0.1/": NEAR,
    "https://255.255.255.255/": NEAR,
    "https://[::]/": NEAR,
    "https://[::1]/": NEAR,
    "https://[0:0:0:0:0:0:0:1]/": NEAR,
    "https://[0000::0001]:443/": NEAR,
    "https://[::127.0.0.1]/": NEAR,
    "https://[::ffff:127.0.0.1]/": NEAR,
    "https://[::FFFF:7F00:1]/": NEAR,
    "https://[0:0:0:0:0:ffff:169.254.169.254]/": NEAR,
    "https://[::ffff:0:127.0.0.1]/": NEAR,
    "https://[64:ff9b::127.0.0.1]/": NEAR,
    "https://[64:ff9b:1::8.8.8.8]/": NEAR,
    "https://[2002:7f00:1::]/": NEAR,
    "https://[2001:0:7f00:1::]/": NEAR,
    "https://[2a00:1450::5efe:127.0.0.1]/": NEAR,
    "https://[fd00:ec2::254]/": NEAR,
    "https://[fe80::1]/": NEAR,
    "https://[ff02::1]/": NEAR,
    # IPv6 that is none
    "https://::1/": NO_HOST,
    "https://[::1/": IPV6,
    "https://::1]/": NO_HOST,
    "https://[]/": IPV6,
    "https://[:]/": IPV6,
    "https://[::1]x/": IPV6,
    "https://[::1].example.com/": IPV6,
    "https://[[::1]]/": IPV6,
    "https://[::1%25eth0]/": PERCENT,
    "https://[fe80::1%eth0]/": PERCENT,
    "https://[v1.fe80::a]/": IPV6,
    "https://[127.0.0.1]/": IPV6,
    "https://[example.com]/": IPV6,
    "https://[::ffff:127.1]/": IPV6,
    "https://[::ffff:0177.0.0.1]/": IPV6,
    "https://[1:2:3:4:5:6:7:8:9]/": IPV6,
    "https://[::12345]/": IPV6,
    "https://[：：1]/": IPV6,
    # ports
    "https://example.com:/": PORT,
    "https://example.com:0/": PORT,
    "https://example.com:0443/": PORT,
    "https://example.com:65536/": PORT,
    "https://example.com:99999999999/": PORT,
    "https://example.com:-1/": PORT,
    "https://example.com:+443/": PORT,
    "https://example.com:4 43/": CHARS,
    "https://example.com:443:80/": PORT,
    "https://example.com:http/": PORT,
    "https://example.com:４４３/": PORT,
    "https://example.com:0x1bb/": PORT,
    "https://example.com:22/": SERVICE,
    "https://example.com:25/": SERVICE,
    "https://example.com:445/": SERVICE,
    "https://example.com:2049/": SERVICE,
    "https://example.com:6000/": SERVICE,
    "https://example.com:6379/": SERVICE,
    "https://example.com:11211/": SERVICE,
    # names
    "https://./": NAME,
    "https://../": NAME,
    "https://example.com./": NAME,
    "https://.example.com/": NAME,
    "https://example..com/": NAME,
    "https://-example.com/": NAME,
    "https://example-.com/": NAME,
    "https://exa$mple.com/": NAME,
    "https://exa,mple.com/": NAME,
    "https://example.com;127.0.0.1/": NUMBER,
    "https://example.com&x/": NAME,
    "https://*.example.com/": NAME,
    "https://ex<b>ample.com/": NAME,
    "https://" + "a" * 64 + ".com/": NAME,
    "https://" + "a." * 130 + "com/": "too long",
    "https://xn--bücher.com/": NAME,
    "https://exam\u200bple.com/": UNSEEN,
    "https://exam\u200dple.com/": UNSEEN,
    "https://exam\u00adple.com/": UNSEEN,
    "https://exam\u202eple.com/": UNSEEN,
    "https://exam\ufe0fple.com/": UNSEEN,
    "https://exam\u3164ple.com/": UNSEEN,
    "https://example.com／x/": NAME,
    "https://example.com＠127.0.0.1/": NUMBER,
    "https://example.com：443/": NAME,
    "https://example.com？x/": NAME,
    "https://example.com＃x/": NAME,
    "https://a℀b.com/": NAME,
    "https://" + "ü" * 63 + ".com/": NAME,
    "https://example.com/" + "a" * MAX_URL_CHARS: "longer than",
}

TAKEN = {
    "https://example.com": "https://example.com/",
    "HTTPS://EXAMPLE.COM/Path": "https://example.com/Path",
    "https://example.com:443/": "https://example.com/",
    "https://example.com:80/": "https://example.com:80/",
    "https://example.com:8443/a": "https://example.com:8443/a",
    "https://example.com:65535/": "https://example.com:65535/",
    "https://example.com?x=1": "https://example.com/?x=1",
    "https://example.com/?": "https://example.com/?",
    "https://example.com#top": "https://example.com/",
    "https://example.com/a?b#c?d": "https://example.com/a?b",
    "https://example.com#@127.0.0.1/": "https://example.com/",
    "https://example.com?@127.0.0.1/": "https://example.com/?@127.0.0.1/",
    "https://example.com/@127.0.0.1": "https://example.com/@127.0.0.1",
    "https://example.com/https://127.0.0.1/": "https://example.com/https://127.0.0.1/",
    "https://example.com/%2e%2e/%41?q=%20&r=a+b": "https://example.com/%2e%2e/%41?q=%20&r=a+b",
    "https://example.com/ä/😀.png": "https://example.com/%C3%A4/%F0%9F%98%80.png",
    "https://s3.eu-central-1.amazonaws.com/b/k?X-Amz-Signature=ab%2Fcd": "https://s3.eu-central-1.amazonaws.com/b/k?X-Amz-Signature=ab%2Fcd",
    "https://my_bucket.example.com/": "https://my_bucket.example.com/",
    "https://bücher.example/": "https://xn--bcher-kva.example/",
    "https://BÜCHER.example/": "https://xn--bcher-kva.example/",
    "https://bu\u0308cher.example/": "https://xn--bcher-kva.example/",
    "https://xn--bcher-kva.example/": "https://xn--bcher-kva.example/",
    "https://straße.example/": "https://xn--strae-oqa.example/",
    "https://ｅｘａｍｐｌｅ.com/": "https://example.com/",
    "https://example。com/": "https://example.com/",
    "https://ℰxample.com/": "https://example.com/",
    "https://аррle.com/": "https://xn--le-6kc8da.com/",  # Cyrillic а, р: its own name, not apple's
    "https://例え.テスト/": "https://xn--r8jz45g.xn--zckzah/",
    "https://βόλος.com/": "https://xn--nxasmm1c.com/",  # the final sigma stays, as in today's browsers
    "https://3com.com/": "https://3com.com/",
    "https://1.1.1.1.example.com/": "https://1.1.1.1.example.com/",
    "https://0xdeadbeef.example/": "https://0xdeadbeef.example/",
    "https://127.0.0.1.nip.io/": "https://127.0.0.1.nip.io/",  # judged by where it leads
    "https://localhost/": "https://localhost/",  # likewise
    "https://8.8.8.8/": "https://8.8.8.8/",
    "https://93.184.216.34:8080/x": "https://93.184.216.34:8080/x",
    "https://[2606:4700:4700::1111]/": "https://[2606:4700:4700::1111]/",
    "https://[2606:4700:4700:0:0:0:0:1111]:8443/": "https://[2606:4700:4700::1111]:8443/",
    "https://[64:ff9b::8.8.8.8]/": "https://[64:ff9b::808:808]/",
}


@pytest.mark.parametrize("url", REFUSED)
def test_what_is_odd_or_near_is_refused_with_a_reason(url):
    with pytest.raises(FileAccessError) as refused:
        GUARD.target(url, POLICY)
    assert REFUSED[url] in str(refused.value)
    assert len(str(refused.value)) < 100
    assert url == "" or len(url) < 12 or url not in str(refused.value)


@pytest.mark.parametrize("url", TAKEN)
def test_what_is_ordinary_gets_one_spelling(url):
    target = GUARD.target(url, POLICY)
    assert target.url == TAKEN[url]
    assert GUARD.target(target.url, POLICY) == target


def test_there_are_enough_spellings():
    assert len(REFUSED) + len(TAKEN) >= 240


@pytest.mark.parametrize(
    ("host", "listed", "taken"),
    [
        ("files.example", {"files.example"}, True),
        ("FILES.example", {"files.example"}, True),
        ("bücher.example", {"bücher.example"}, True),
        ("8.8.8.8", {"8.8.8.8"}, True),
        ("[2606:4700::1]", {"[2606:4700::1]"}, True),
        ("files.example:8080", {"files.example"}, True),
        ("files.example", {"other.example", "not a host", ""}, False),
        ("sub.files.example", {"files.example"}, False),
        ("files.example.evil", {"files.example"}, False),
        ("files.example", {"*"}, False),
        ("127.0.0.1", {"127.0.0.1"}, False),
    ],
)
def test_http_is_for_listed_hosts_only(host, listed, taken):
    policy = FetchPolicy(1, insecure_hosts=frozenset(listed))
    if taken:
        assert GUARD.target(f"http://{host}/x", policy).scheme == "http"
    else:
        with pytest.raises(FileAccessError):
            GUARD.target(f"http://{host}/x", policy)


def test_without_the_protection_only_addresses_are_free():
    free = FetchPolicy(1, guard_addresses=False)
    assert GUARD.target("https://127.0.0.1:8080/x", free).authority == "127.0.0.1:8080"
    assert GUARD.target("https://[fd00::1]/", free).host == "fd00::1"
    for url in (
        "http://10.0.0.1/",
        "https://u@10.0.0.1/",
        "https://0x7f.1/",
        "file:///etc/passwd",
        "https://10.0.0.1:22/",
    ):
        with pytest.raises(FileAccessError):
            GUARD.target(url, free)


def test_targets_do_not_show_what_a_query_may_hide():
    target = read_url("https://example.com/x?token=secret")
    assert "secret" not in repr(target)
    assert attrs.evolve(target, path="/").url == "https://example.com/"


@pytest.mark.parametrize("name", ["bücher", "例え", "ελληνικά", "βόλος", "straße", "пример", "مثال", "उदाहरण", "한국"])
def test_names_become_ascii_as_the_library_of_httpx_does_it(name):
    assert read_url(f"https://{name}.example/").host == idna.encode(f"{name}.example").decode()


HOSTILE = st.text(
    st.sampled_from("0123456789abcdefxX.:[]%@/\\?#-_ \t\n\u3002\uff0e１²①ßÜ\u200b\u202e\x00\ud800"), max_size=40
)


@given(st.one_of(HOSTILE.map("https://".__add__), st.text(max_size=60).map("https://".__add__), st.text(max_size=60)))
def test_no_text_is_read_as_one_host_by_us_and_as_another_by_others(url):
    try:
        target = GUARD.target(url, POLICY)
    except FileAccessError:
        return
    host = target.host
    assert host.isascii()
    assert host == host.lower()
    assert not set(host) & set("/\\?#@%[] \t\r\n")
    # Every other reader of the normalised URL sees the same host.
    seen = urlsplit(target.url).hostname
    assert seen == host
    assert httpx.URL(target.url).raw_host.decode() == host
    if target.is_address:
        assert is_reachable(ip_address(host))
        assert host == str(ip_address(host))
    else:
        with pytest.raises(OSError, match="illegal IP"):
            socket.inet_aton(host)  # the loosest reader of numbers that there is
        with pytest.raises(ValueError, match="IPv4 or IPv6"):
            ip_address(host)
