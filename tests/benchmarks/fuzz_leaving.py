"""What may leave with a request, said by a small model of its own: no content and no address that was not allowed.

``leaves`` takes messages all the way to the bodies of both endpoints. Whatever stands there where attachments belong must be
content that the caller sent or may read, inline and of the type that it says, or a public address that the caller sent.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
import re
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from openrouter_pipe.adapters.memory.files import MemoryFileStore
from openrouter_pipe.adapters.memory.web import MemoryFetcher
from openrouter_pipe.adapters.openrouter import chat, responses
from openrouter_pipe.domain.history.build import build
from openrouter_pipe.domain.history.policy import HistoryPolicy
from openrouter_pipe.domain.media.policy import MediaPolicy
from openrouter_pipe.domain.media.resolve import resolve
from openrouter_pipe.ports.chat import ChatMessage
from openrouter_pipe.ports.files import FetchPolicy, FileBytes
from openrouter_pipe.ports.provider import Endpoint, ProviderRequest

OWN = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes([0, 0, 0, 9]) * 2 + b"own"
PAGE = b"%PDF-1.7 a page"
ADDRESS = "https://example.com/a.png"
_INPUTS = frozenset({"text", "image", "file", "audio", "video"})
_POLICIES = (MediaPolicy(), MediaPolicy(save_remote_files=False, fetch=FetchPolicy(1000), max_inline=60))
_MAGIC = {
    "image/png": b"\x89PNG",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
    "application/pdf": b"%PDF",
}
_MEMBERS = {"image_url", "file_data", "file_url", "video_url", "url"}
_TYPES = {"input_image", "input_file", "input_audio", "input_video", "image_url", "file", "video_url"}
_LOOP = asyncio.new_event_loop()


class Host(MemoryFileStore):
    """One file may be read; all others are somebody else's."""

    def __init__(self) -> None:
        super().__init__()
        self.files["1"] = FileBytes(OWN, "image/png", "own.png")


def leaves(messages: tuple[ChatMessage, ...], body: object, number: int) -> None:
    """Check what of ``messages``, read from ``body``, leaves under one of the policies."""
    policy = _POLICIES[number % len(_POLICIES)]
    history = build(messages, {}, _INPUTS, HistoryPolicy())
    web = MemoryFetcher({ADDRESS: FileBytes(PAGE, "image/png", "a.png")})
    work = resolve(history.items, _INPUTS, policy, Host(), web, keep=number % 3 == 0)
    ready = _LOOP.run_until_complete(work)
    for warning in (*history.warnings, *ready.warnings):
        assert len(warning) < 400, warning
        assert warning.isprintable(), warning
    sent = list(_texts(body))
    allowed = {OWN, PAGE, *(content for text in sent for content in _contents(text))}
    for endpoint, wire in ((Endpoint.RESPONSES, responses), (Endpoint.CHAT_COMPLETIONS, chat)):
        request = ProviderRequest(model="a/b", input=ready.items, endpoint=endpoint)
        try:
            outgoing = json.loads(json.dumps(wire.body(request)))
        except ValueError:
            continue  # NaN and the like: the request is refused as a whole
        for block in _attachments(outgoing.get("input", outgoing.get("messages"))):
            _judge(block, allowed, sent)


def _attachments(items: Any) -> Iterator[dict[str, Any]]:
    """Blocks of the types that carry attachments; what nobody here knows travels on as the caller sent it."""
    for item in items:
        for member in (item.get("content"), item.get("output")):
            for block in member if isinstance(member, list) else ():
                if isinstance(block, dict) and isinstance(block.get("type"), str) and block["type"] in _TYPES:
                    yield block


def _judge(block: dict[str, Any], allowed: set[bytes], sent: list[str]) -> None:
    kind = block["type"]
    held = block.get(kind, block)
    held = {kind: held} if isinstance(held, str) else held
    assert isinstance(held, dict), block
    assert not held.get("file_id"), block
    if kind == "input_audio":
        content = base64.b64decode(held["data"], validate=True)
        assert content in allowed, block
        assert content, block
        return
    found = [value for key, value in held.items() if key in _MEMBERS and value]
    assert len(found) == 1, block
    (address,) = found
    if address.startswith("data:"):
        head, _, data = address.partition(",")
        mime, _, encoding = head.removeprefix("data:").partition(";")
        assert encoding == "base64", block
        content = base64.b64decode(data, validate=True)
        assert content, block
        assert content in allowed, block
        assert content.lstrip(b"\xef\xbb\xbf\0 \t\r\n").startswith(_MAGIC.get(mime, b"")), block
        assert kind not in {"input_image", "image_url"} or mime in _MAGIC, block
        return
    assert address in sent, block
    parts = urlsplit(address)
    assert parts.scheme.lower() == "https", block
    assert not parts.username, block
    assert parts.hostname, block
    number = resolver_number(parts.hostname)
    assert number is None or number.is_global, block


def resolver_number(host: str) -> IPv4Address | IPv6Address | None:
    """What the system's resolver connects to without asking anybody; None for a name."""
    try:
        found = socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None
    return ip_address(str(found[0][4][0]))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _texts(key)
            yield from _texts(one)


def _contents(text: str) -> Iterator[bytes]:
    """Every content that a text can be read to hold: as base64, as a data URL, as an image inside Markdown."""
    found = [text, *re.findall(r"data:[^\s)>]*", text)]
    for one in found:
        head, comma, body = one.partition(",")
        for candidate in (one, body) if comma else (one,):
            plain = re.sub(r"[ \t\r\n\f\v]", "", candidate).translate(str.maketrans("-_", "+/")).rstrip("=")
            with contextlib.suppress(binascii.Error, ValueError):
                yield base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
        if comma and head[:5].lower() == "data:":
            with contextlib.suppress(UnicodeEncodeError):
                yield unquote_to_bytes(body)
