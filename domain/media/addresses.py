"""Which addresses may be fetched: pure judgement of parsed URLs and of the addresses that their names lead to.

Here: `OutboundGuard`, and whether an IP address is globally reachable. Not here: how a URL is read (`domain.media.urls`), the
registries (`domain.media.registries`), looking names up and connecting (adapters).
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from openrouter_pipe.domain.media.registries import IPV4, IPV6, IPV6_UNICAST, STRICTER, SpecialBlock
from openrouter_pipe.domain.media.urls import canonical_host, read_url
from openrouter_pipe.ports.files import FetchPolicy, FileAccessError, WebTarget

_Line = tuple[IPv4Network | IPv6Network, bool]


def _lines(*tables: tuple[SpecialBlock, ...]) -> tuple[_Line, ...]:
    """The tables by prefix, the longest first; a refusal stands before a permission of the same length."""
    lines = [(ip_network(block.prefix), block.reachable) for table in tables for block in table]
    return tuple(sorted(lines, key=lambda line: (-line[0].prefixlen, line[1])))


_BLOCKS: Final = _lines(IPV4, IPV6, STRICTER)
_UNICAST: Final = IPv6Network(IPV6_UNICAST)
_TRANSLATED: Final = IPv6Network("64:ff9b::/96")
_ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})
"""The upper half of an interface identifier that carries an IPv4 address (RFC 5214)."""


class OutboundGuard:
    """`AddressGuard` of the product: https to whatever is globally reachable; http only to hosts that the policy lists."""

    def target(self, url: str, policy: FetchPolicy) -> WebTarget:
        """Read and judge a URL; raises `FileAccessError` with a reason that names neither the URL nor an address."""
        target = read_url(url)
        if target.scheme != "https" and target.host not in _canonical(policy.insecure_hosts):
            raise FileAccessError("the address must begin with https://")
        if target.is_address and not self.admits(target.host, policy):
            raise FileAccessError("the address does not lead to the public internet")
        return target

    def admits(self, address: str, policy: FetchPolicy) -> bool:
        """Whether a connection to this IP address may be made; what is no address, or one with a zone, never."""
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        if "%" in address:
            return False
        return is_reachable(parsed) if policy.guard_addresses else True


def is_reachable(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is globally reachable unicast, in every disguise: an embedded IPv4 address is judged itself."""
    if isinstance(address, IPv6Address):
        if (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP:
            return False
        if address in _TRANSLATED:
            return is_reachable(IPv4Address(int(address) & 0xFFFF_FFFF))
    for network, reachable in _BLOCKS:
        if network.version == address.version and address in network:
            return reachable
    return address.version == 4 or address in _UNICAST


@lru_cache(maxsize=32)
def _canonical(hosts: frozenset[str]) -> frozenset[str]:
    """Host names of a setting as `read_url` spells them; what is none permits nothing."""
    found = set()
    for host in hosts:
        try:
            found.add(canonical_host(host)[0])
        except FileAccessError:
            continue
    return frozenset(found)
