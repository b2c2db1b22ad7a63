# ruff: noqa: RUF001 - confusable characters are the subject
"""What `make fuzz` feeds, and the second judgement that each reader's answer is held against.

The second judgements share no code with the product: a small reader of URLs as browsers read them, the C library's reader of
numeric hosts, ``ipaddress``, and ``base64``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import socket
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import unquote, unquote_to_bytes, urlsplit

import httpx
from fuzz_leaving import leaves, resolver_number

from openrouter_pipe.adapters.openwebui.content import read_messages, read_parts
from openrouter_pipe.domain.media import data_urls
from openrouter_pipe.domain.media.addresses import OutboundGuard, is_reachable
from openrouter_pipe.domain.media.policy import NotSentError
from openrouter_pipe.domain.media.registries import IPV4, IPV6, STRICTER
from openrouter_pipe.ports.chat import ChatMessage
from openrouter_pipe.ports.files import FetchPolicy, FileAccessError
from openrouter_pipe.ports.items import AudioPart, FilePart, ImagePart, OpaquePart, RefusalPart, TextPart, VideoPart


@dataclass(frozen=True)
class Target:
    """A reader. ``feed`` returns whether the input was taken; it raises for a failure."""

    name: str
    samples: tuple[str, ...]
    fragments: tuple[str, ...]
    feed: Callable[[str, random.Random], bool]


def _refused(reason: str) -> bool:
    assert 0 < len(reason) < 160, reason
    return False


# URLs and addresses

_GUARD = OutboundGuard()
_POLICY = FetchPolicy(1, insecure_hosts=frozenset({"files.example"}))
_NEAR = tuple(ip_network(block.prefix) for block in (*IPV4, *IPV6, *STRICTER) if not block.reachable)


def browser_host(url: str) -> str | None:
    """The host as a browser reads it: blanks dropped, backslashes as slashes, escapes undone, numbers in any form; or None."""
    url = re.sub("[\t\r\n]", "", url.strip("".join(map(chr, range(0x21))))).replace("\\", "/")
    found = re.match(r"(?i)https?:/*([^/?#]*)", url)
    if not found:
        return None
    host = found[1].rpartition("@")[2]
    if host.startswith("["):
        try:
            return str(IPv6Address(host[1:].partition("]")[0]))
        except ValueError:
            return None
    host = unicodedata.normalize("NFKC", unquote(host.partition(":")[0]))
    host = unicodedata.normalize("NFKC", "".join(char.lower() for char in host)).replace("\u3002", ".")
    number = _browser_number(host)
    return number if number is not None else host


def _browser_number(host: str) -> str | None:
    parts = host.removesuffix(".").split(".")
    numbers = []
    for part in parts:
        match re.match(r"(0x(?=[0-9a-f]*$)|0(?=[0-7]+$)|(?=(?:0|[1-9][0-9]*)$))", part):
            case None:
                return None
            case found:
                base = {"0x": 16, "0": 8, "": 10}[found[1]]
                numbers.append(int(part[found.end() :] or "0", base))
    if len(parts) > 4:
        return None
    whole = numbers[-1]
    for place, number in enumerate(numbers[:-1]):
        whole += number * 256 ** (3 - place)
    return str(IPv4Address(whole)) if whole < 2**32 else None


def _is_far(address: IPv4Address | IPv6Address) -> bool:
    """The standard library's opinion, and embedded IPv4 addresses judged themselves."""
    if isinstance(address, IPv6Address):
        inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in ip_network("64:ff9b::/96"):
            return _is_far(IPv4Address(int(address) & 0xFFFFFFFF))
        if any(one is not None for one in inner):
            return False
    return address.is_global and not (
        address.is_private
        or address.is_multicast
        or address.is_reserved
        or address.is_loopback
        or address.is_unspecified
    )


def feed_url(url: str, chance: random.Random) -> bool:
    """A URL that is taken names the same host to every reader, and no near address in any form."""
    _feed_address(chance)
    if chance.random() < 0.2:
        url = re.sub(r"(?<=//)[^/?#]*", lambda _: _spelled(_near_v4(chance), chance), url, count=1)
    try:
        target = _GUARD.target(url, _POLICY)
    except FileAccessError as refused:
        return _refused(str(refused))
    host = target.host
    assert host.isascii()
    assert browser_host(url) == host or _idna(browser_host(url) or "") == host, (browser_host(url), host)
    assert browser_host(target.url) == host
    assert urlsplit(target.url).hostname == host
    assert httpx.URL(target.url).raw_host.decode() == host
    assert target.scheme == "https" or host == "files.example"
    assert 0 < target.port < 65536
    assert all("!" <= char <= "~" for char in target.path)
    assert target.path.startswith("/")
    numeric = resolver_number(host)
    assert (numeric is not None) == target.is_address, (host, numeric)
    if target.is_address:
        assert ip_address(host) == numeric, (host, numeric)
        assert _is_far(ip_address(host)), host
        assert not any(ip_address(host) in network for network in _NEAR if network.version == ip_address(host).version)
        return True
    for reader in (socket.inet_aton, ip_address):
        try:
            reader(host)
        except (OSError, ValueError):
            continue
        raise AssertionError(f"{host} is taken for a name, but {reader} reads an address")
    return True


def _near_v4(chance: random.Random) -> int:
    network = chance.choice([one for one in _NEAR if one.version == 4])
    return int(network[0]) + chance.randrange(network.num_addresses)


def _spelled(number: int, chance: random.Random) -> str:
    """One of the many ways to write an IPv4 address: fewer parts, octal, hexadecimal, full-width, escaped, inside IPv6."""
    count = chance.randrange(1, 5)
    values = [number >> 24, number >> 16 & 255, number >> 8 & 255, number & 255]
    values = [*values[: count - 1], number & (1 << 8 * (5 - count)) - 1]
    forms = ("{}", "{}", "0{:o}", "0x{:x}", "0X{:X}", "00{:o}", "{:03}")
    host = chance.choice((".", ".", "\u3002", "%2e")).join(chance.choice(forms).format(value) for value in values)
    match chance.randrange(8):
        case 0:
            return "".join(chr(ord(char) + 0xFEE0) if char.isdigit() else char for char in host)
        case 1:
            return "".join(f"%{ord(char):02x}" for char in host)
        case 2:
            before = chance.choice(("::ffff:", "::", "64:ff9b::", "2002:", "::ffff:0:", "fe80::5efe:", "64:ff9b:1::"))
            return f"[{before}{number >> 16:x}:{number & 0xFFFF:x}{'::' if before == '2002:' else ''}]"
        case 3:
            return host + "."
        case _:
            return host


def _idna(host: str) -> str:
    return ".".join(
        label if label.isascii() else "xn--" + label.encode("punycode").decode("ascii") for label in host.split(".")
    )


def _feed_address(chance: random.Random) -> None:
    """An address near the edge of a block, or anywhere; what we call reachable the standard library does not call near."""
    network = chance.choice(_NEAR)
    number = chance.choice((int(network[0]), int(network[-1]))) + chance.randrange(-300, 300)
    family = IPv4Address if network.version == 4 else IPv6Address
    if chance.random() < 0.3:
        number = chance.getrandbits(network.max_prefixlen)
    elif family is IPv6Address and chance.random() < 0.3:
        number = chance.choice((0, 0xFFFF << 32, 0x64FF9B << 96, 0x2002 << 112, 0x5EFE << 32)) | chance.getrandbits(32)
    address = family(number % 2**network.max_prefixlen)
    if is_reachable(address):
        assert _is_far(address), address
        assert not any(address in one for one in _NEAR if one.version == address.version), address


# Data URLs

_LIMIT = 300_000


def feed_data_url(url: str, chance: random.Random) -> bool:
    """A data URL that is taken decodes to what `base64` makes of it, and nothing over the limit is ever decoded."""
    if chance.random() < 0.02:
        at = chance.choice((len(url), chance.randrange(len(url) + 1)))
        filler = chance.choice(("QUJD", "QUJD", "QU JD\n", "-_-_", "%41%4", "x", "=", "\xe4%"))
        url = url[:at] + filler * chance.randrange(480_000 // len(filler)) + url[at:]
    try:
        inline = data_urls.parse(url, _LIMIT)
        checked = data_urls.check(inline)
    except NotSentError as refused:
        return _refused(str(refused))
    data = data_urls.decode(checked)
    assert len(data) == checked.size
    assert 0 < len(data) <= _LIMIT + 2
    assert hashlib.sha256(data).hexdigest() == checked.digest
    assert data.startswith(checked.head)
    head, _, body = url.partition(",")
    if "base64" in [word.strip() for word in head.lower().split(";")[1:]]:
        plain = re.sub(r"[ \t\r\n\f\v]", "", body).translate(str.maketrans("-_", "+/")).rstrip("=")
        assert data == base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    else:
        assert data == unquote_to_bytes(body)
    return True


# Blocks of messages

_KEYS = [
    *(
        "type",
        "role",
        "content",
        "text",
        "image_url",
        "url",
        "file",
        "file_data",
        "file_url",
        "filename",
        "name",
        "media",
    ),
    *(
        "input_audio",
        "audio",
        "data",
        "format",
        "media_type",
        "id",
        "file_id",
        "detail",
        "video_url",
        "video",
        "source",
    ),
    *(
        "input_file",
        "input_image",
        "refusal",
        "cache_control",
        "tool_calls",
        "tool_call_id",
        "function",
        "arguments",
        "files",
    ),
    "reasoning_details",
]
_VALUES: list[object] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1.5,
        1e308,
        "",
        "x",
        "\ud800",
        "\x00",
        "user",
        "assistant",
        "tool",
        "system",
        "function",
    ),
    *("text", "image_url", "input_image", "image", "file", "input_file", "input_audio", "audio", "video_url", "video"),
    *("refusal", "data:image/png;base64,iVBORw0KGgo=", "data:,", "data:", "https://example.com/a.png"),
    *(
        "/api/v1/files/1/content",
        "/api/v1/files/../../etc/passwd/content",
        [],
        {},
        [[]],
        [{}],
        {"url": {}},
        {"url": ["x"]},
    ),
    *(
        {"id": "1"},
        [None, 1, "x"],
        "1",
        "9",
        "https://10.0.0.1/a.mp4",
        "https://[::1]/a.pdf",
        "http://example.com/a.mp4",
    ),
]
_PARTS = (AudioPart, FilePart, ImagePart, OpaquePart, RefusalPart, TextPart, VideoPart)


def feed_blocks(text: str, chance: random.Random) -> bool:
    """Whatever a body holds where messages belong, what comes out are messages and parts with text where text belongs,
    and what leaves is what may."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = text
    body = _disturbed(body, chance, 0)
    before = repr(body)
    messages = read_messages(body if isinstance(body, list) else [body])
    for message in messages:
        assert isinstance(message, ChatMessage)
        _look_at(message.parts)
    _look_at(read_parts(body))
    assert repr(body) == before, "the reader changed what belongs to the host"
    leaves(messages, body, chance.randrange(6))
    return bool(messages)


def _look_at(parts: tuple[object, ...]) -> None:
    for part in parts:
        assert isinstance(part, _PARTS)
        match part:
            case TextPart(text=words) | RefusalPart(text=words) | ImagePart(url=words) | VideoPart(url=words):
                assert isinstance(words, str)
            case AudioPart(data=words, format=form):
                assert isinstance(words, str)
                assert isinstance(form, str)
            case FilePart() as one:
                assert all(isinstance(word, str | None) for word in (one.filename, one.url, one.data_url, one.host_id))


def _disturbed(value: object, chance: random.Random, depth: int) -> object:
    if depth < 6 and chance.random() < 0.08:
        value = chance.choice(_VALUES)
    if isinstance(value, dict):
        entries = {
            (chance.choice(_KEYS) if chance.random() < 0.05 else key): _disturbed(one, chance, depth + 1)
            for key, one in value.items()
            if chance.random() > 0.03
        }
        if chance.random() < 0.1:
            entries[chance.choice(_KEYS)] = chance.choice(_VALUES)
        return entries
    if isinstance(value, list):
        return [_disturbed(one, chance, depth + 1) for one in value] * (2 if chance.random() < 0.02 else 1)
    return value


_BLOCKS = tuple(
    json.dumps([{"role": role, "content": content}])
    for role in ("user", "assistant")
    for content in (
        "Hello",
        [
            {"type": "text", "text": "Look"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        ],
        [{"type": "image_url", "image_url": "https://example.com/a.png"}],
        [{"type": "input_image", "image_url": "/api/v1/files/1/content", "detail": "low"}],
        [{"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}}],
        [{"type": "input_file", "filename": "a.pdf", "file_url": "https://example.com/a.pdf", "file_id": "7"}],
        [{"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}],
        [{"type": "audio", "audio": {"media_type": "audio/ogg", "data": "data:audio/ogg;base64,T2dnUw=="}}],
        [
            {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}},
            {"type": "video", "video": {"id": "9"}},
        ],
        [{"type": "refusal", "refusal": "No."}, {"type": "unheard_of", "x": [1, {"y": None}]}],
        [{"type": "video_url", "video_url": {"url": "https://10.0.0.1/a.mp4"}}],
        [{"type": "file", "file": {"file_data": "https://169.254.169.254/latest", "filename": "a.pdf"}}],
        [{"type": "input_file", "file_url": "https://localhost/a.pdf"}, {"type": "image", "image": {"file_id": "1"}}],
        "Here ![a](/api/v1/files/1/content) and ![b](data:image/png;base64,iVBORw0KGgo=)",
    )
)
_CHATS = (
    json.dumps(
        [
            {"role": "user", "content": [{"type": "file", "file": {"file_id": "1"}}]},
            {"role": "assistant", "content": "![a](/api/v1/files/1/content)"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                "reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": "s", "index": 0}],
            },
            {
                "role": "tool",
                "tool_call_id": "c",
                "content": [{"type": "image_url", "image_url": {"url": "/api/v1/files/9/content"}}],
            },
            {"role": "user", "content": "And now?"},
        ]
    ),
)

TARGETS = (
    Target(
        "urls",
        (
            "https://example.com/a/b.png?x=1#y",
            "http://files.example/x",
            "https://8.8.8.8:8443/",
            "https://127.0.0.1/",
            "https://[2606:4700:4700::1111]/x",
            "https://[::ffff:127.0.0.1]:443/",
            "https://user:pass@example.com/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://127.0.0.1.nip.io/",
            "https://bücher.example/ä",
            "https://xn--bcher-kva.example/",
            "https://１２７.０.０.１/",
            "https://a.b.c.d.e/",
            "https://[64:ff9b::8.8.8.8]/",
            "https://169.254.169.254/latest/meta-data/",
            "https://example.com:65535/",
        ),
        (
            "@",
            ":",
            "/",
            "\\",
            "?",
            "#",
            "%",
            "[",
            "]",
            ".",
            "..",
            "//",
            "\t",
            "\n",
            " ",
            "\x00",
            "%00",
            "%2e",
            "%40",
            "%25",
            "0x",
            "0",
            "00",
            "127",
            "255",
            "256",
            "1",
            "::",
            "ffff",
            "::ffff:",
            "\u3002",
            "\uff0e",
            "\uff61",
            "\u00ad",
            "\u200d",
            "\u202e",
            "１",
            "²",
            "①",
            "ß",
            "ẞ",
            "ς",
            "İ",
            "K",
            "xn--",
            "-",
            "_",
            "http:",
            "https:",
            "HTTPS://",
            "localhost",
            "127.0.0.1",
            "10.0.0.1",
            "[::1]",
            ":80",
            ":443",
            ":22",
            "é",
            "e\u0301",
            "\ud800",
            "😀",
            "℀",
            "／",
            "＠",
            "：",
            "\xa0",
        ),
        feed_url,
    ),
    Target(
        "data-urls",
        (
            "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAE=",
            "data:,hello",
            "data:text/plain,a%20b",
            "data:;base64,QUJD",
            "data:text/plain;charset=utf-8;base64,w6Q=",
            "DATA:IMAGE/PNG;BASE64,QUI=",
            "data:a/b;base64,QU JD\n",
            "data:image/",
            "data:image/svg+xml,%3Csvg%3E",
            "data:image/png;base64,-_-_",
            "data:application/pdf;name=a.pdf;base64,JVBERi0x",
            "https://example.com/",
        ),
        (
            "=",
            "==",
            "===",
            ",",
            ";",
            ":",
            ";base64",
            ";base64,",
            "base64",
            "data:",
            "%",
            "%4",
            "%00",
            "%ff",
            " ",
            "\n",
            "\t",
            "\x0b",
            "\xa0",
            "-",
            "_",
            "+",
            "/",
            "A",
            "AAAA",
            "QUJD" * 50,
            "\x00",
            "é",
            "\ud800",
            "１",
            "ﬀ",
            "İ",
            "a/b",
            "image/png",
        ),
        feed_data_url,
    ),
    Target(
        "blocks",
        (*_BLOCKS, *_CHATS),
        ("null", "{}", "[]", '"', "1e999", "\\u0000", "\\ud800", "NaN", "[" * 60, '{"a":' * 60, "true"),
        feed_blocks,
    ),
)
