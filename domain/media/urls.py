"""Reading URLs that strangers wrote: one strict grammar, one spelling of each host, a reason for every refusal.

Here: from text to `WebTarget`. Not here: which addresses may be reached (`domain.media.addresses`). Readers of URLs disagree
about odd spellings, and every disagreement is a way around a check; what is odd is refused, not repaired.
"""

from __future__ import annotations

import re
import unicodedata
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final
from urllib.parse import quote

from openrouter_pipe.ports.files import FileAccessError, WebTarget

MAX_URL_CHARS: Final = 8192

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_DOTTED: Final = re.compile(r"(?:0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2})){3}")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_IPV6: Final = re.compile(r"[0-9A-Fa-f:.]{2,45}")
_PRINTABLE: Final = "".join(map(chr, range(0x21, 0x7F)))
_DOTS: Final = str.maketrans(dict.fromkeys("\u3002\uff0e\uff61", "."))
"""What IDNA reads as a dot (RFC 3490)."""

_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"
)
"""Characters that show nothing and are in no category of their own."""

_SERVICES: Final = frozenset(
    {
        1719,
        1720,
        1723,
        2049,
        3659,
        4045,
        4190,
        5060,
        5061,
        6000,
        6379,
        6566,
        *range(6665, 6670),
        6679,
        6697,
        10080,
        11211,
    }
)
"""Ports of services that take a request of ours for one of theirs: the fetch standard's list, Redis and memcached."""


def read_url(url: str) -> WebTarget:
    """What a URL asks of which host. Fragments are dropped.

    Raises:
        FileAccessError: anything but http or https, user names, odd numbers, ports or characters; the reason can be shown
            and repeats nothing of the URL.
    """
    if len(url) > MAX_URL_CHARS:
        raise FileAccessError(f"the address is longer than {MAX_URL_CHARS} characters")
    if "\\" in url or any(unicodedata.category(char) in {"Cc", "Cs", "Zs", "Zl", "Zp"} for char in url):
        raise FileAccessError("the address contains spaces, backslashes or control characters")
    found = _SCHEME.match(url)
    scheme = found[1].lower() if found else ""
    if found is None or scheme not in {"http", "https"}:
        raise FileAccessError("the address must begin with https://")
    rest = url[found.end() :]
    if not rest.startswith("//"):
        raise FileAccessError("the address names no host")
    authority, path = _divided(rest[2:].partition("#")[0])
    host, port_text = _host_and_port(authority)
    name, is_address = canonical_host(host)
    path = path if path.startswith("/") else "/" + path
    return WebTarget(scheme, name, _port(port_text, scheme), quote(path, safe=_PRINTABLE), is_address)


def canonical_host(host: str) -> tuple[str, bool]:
    """A host as ASCII in lower case and whether it is an IP address (IPv6 without brackets, in its shortest form).

    Raises:
        FileAccessError: it is neither a name nor an address in its ordinary form.
    """
    if host.startswith("["):
        return _ipv6(host), True
    if not host:
        raise FileAccessError("the address names no host")
    name = host.lower() if host.isascii() else _folded(_folded(host)).translate(_DOTS)
    labels = name.split(".")
    last = labels[-2] if len(labels) > 1 and not labels[-1] else labels[-1]
    if _NUMBER.fullmatch(last):
        return _ipv4(name, host), True
    name = ".".join(_label(label) for label in labels)
    if len(name) > 253:
        raise FileAccessError("the host name of the address is too long")
    return name, False


def _folded(host: str) -> str:
    """Compatible characters as one; letter by letter, because a final sigma keeps its form."""
    return unicodedata.normalize("NFKC", "".join(char.lower() for char in host))


def _divided(rest: str) -> tuple[str, str]:
    """Authority, and path with query."""
    cut = min((position for position in map(rest.find, "/?") if position >= 0), default=len(rest))
    return rest[:cut], rest[cut:]


def _host_and_port(authority: str) -> tuple[str, str | None]:
    if "@" in authority:
        raise FileAccessError("the address contains a user name or password")
    if "%" in authority:
        raise FileAccessError("the host name of the address is percent-encoded or carries a zone")
    if authority.startswith("["):
        host, bracket, port = authority.partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise FileAccessError("the host of the address is not a valid IPv6 address")
        return host + bracket, port[1:] if port else None
    host, colon, port = authority.partition(":")
    return host, port if colon else None


def _port(text: str | None, scheme: str) -> int:
    if text is None:
        return 443 if scheme == "https" else 80
    if not re.fullmatch(r"[1-9][0-9]{0,4}", text) or int(text) > 65535:
        raise FileAccessError("the port of the address is not valid")
    port = int(text)
    if (port < 1024 and port not in {80, 443}) or port in _SERVICES:
        raise FileAccessError("the port of the address belongs to another kind of service")
    return port


def _ipv6(host: str) -> str:
    try:
        if not host.endswith("]") or not _IPV6.fullmatch(host[1:-1]):
            raise FileAccessError("the host of the address is not a valid IPv6 address")
        return str(IPv6Address(host[1:-1]))
    except AddressValueError:
        raise FileAccessError("the host of the address is not a valid IPv6 address") from None


def _ipv4(name: str, written: str) -> str:
    """Four decimal numbers as everybody writes them; octal, hexadecimal, shortened and dressed-up forms are refused."""
    try:
        if name != written or not _DOTTED.fullmatch(name):
            raise FileAccessError("the host of the address is a number in an unusual form")
        return str(IPv4Address(name))
    except AddressValueError:
        raise FileAccessError("the host of the address is a number in an unusual form") from None


def _label(label: str) -> str:
    """One part of a host name, in ASCII (RFC 3490's form, with today's Unicode, and without its exceptions for old letters)."""
    if not label.isascii():
        if _INVISIBLE.search(label) or any(unicodedata.category(char)[0] in "CZ" for char in label):
            raise FileAccessError("the host name of the address contains invisible characters")
        letters = "".join(char for char in label if char.isascii()).strip("-")
        if label.startswith("xn--") or not _LABEL.fullmatch(letters or "x"):
            raise FileAccessError("the host name of the address is not valid")
        label = "xn--" + label.encode("punycode").decode("ascii")
    if not _LABEL.fullmatch(label):
        raise FileAccessError("the host name of the address is not valid")
    return label
