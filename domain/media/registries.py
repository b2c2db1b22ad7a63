"""Addresses with a special purpose: IANA's registries as a table of our own, and what we refuse beyond them.

Here: data. Not here: judgement (`domain.media.addresses`). `ipaddress.is_global` is not asked: what it answers changed with
releases of Python, within one minor version too. The tables are those of iana.org/assignments/iana-ipv4-special-registry,
iana-ipv6-special-registry, multicast-addresses and ipv6-address-space, as of 2025-10.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen


@frozen
class SpecialBlock:
    """One line of a registry; ``reachable`` is its column "Globally Reachable", where "N/A" counts as no."""

    prefix: str
    name: str
    source: str
    reachable: bool = False


IPV4: Final = (
    SpecialBlock("0.0.0.0/8", "this network", "RFC 791"),
    SpecialBlock("0.0.0.0/32", "this host on this network", "RFC 1122"),
    SpecialBlock("10.0.0.0/8", "private use", "RFC 1918"),
    SpecialBlock("100.64.0.0/10", "shared address space", "RFC 6598"),
    SpecialBlock("127.0.0.0/8", "loopback", "RFC 1122"),
    SpecialBlock("169.254.0.0/16", "link local", "RFC 3927"),
    SpecialBlock("172.16.0.0/12", "private use", "RFC 1918"),
    SpecialBlock("192.0.0.0/24", "IETF protocol assignments", "RFC 6890"),
    SpecialBlock("192.0.0.0/29", "IPv4 service continuity prefix", "RFC 7335"),
    SpecialBlock("192.0.0.8/32", "IPv4 dummy address", "RFC 7600"),
    SpecialBlock("192.0.0.9/32", "port control protocol anycast", "RFC 7723", reachable=True),
    SpecialBlock("192.0.0.10/32", "traversal using relays around NAT anycast", "RFC 8155", reachable=True),
    SpecialBlock("192.0.0.170/32", "NAT64/DNS64 discovery", "RFC 8880"),
    SpecialBlock("192.0.0.171/32", "NAT64/DNS64 discovery", "RFC 8880"),
    SpecialBlock("192.0.2.0/24", "documentation (TEST-NET-1)", "RFC 5737"),
    SpecialBlock("192.31.196.0/24", "AS112-v4", "RFC 7535", reachable=True),
    SpecialBlock("192.52.193.0/24", "AMT", "RFC 7450", reachable=True),
    SpecialBlock("192.88.99.0/24", "deprecated (6to4 relay anycast)", "RFC 7526"),
    SpecialBlock("192.88.99.2/32", "6a44 relay anycast", "RFC 6751"),
    SpecialBlock("192.168.0.0/16", "private use", "RFC 1918"),
    SpecialBlock("192.175.48.0/24", "direct delegation AS112 service", "RFC 7534", reachable=True),
    SpecialBlock("198.18.0.0/15", "benchmarking", "RFC 2544"),
    SpecialBlock("198.51.100.0/24", "documentation (TEST-NET-2)", "RFC 5737"),
    SpecialBlock("203.0.113.0/24", "documentation (TEST-NET-3)", "RFC 5737"),
    SpecialBlock("224.0.0.0/4", "multicast", "RFC 5771"),
    SpecialBlock("240.0.0.0/4", "reserved", "RFC 1112"),
    SpecialBlock("255.255.255.255/32", "limited broadcast", "RFC 8190"),
)
"""The special-purpose registry for IPv4, and multicast."""

IPV6: Final = (
    SpecialBlock("::1/128", "loopback", "RFC 4291"),
    SpecialBlock("::/128", "unspecified", "RFC 4291"),
    SpecialBlock("::ffff:0:0/96", "IPv4-mapped", "RFC 4291"),
    SpecialBlock("64:ff9b::/96", "IPv4-IPv6 translation", "RFC 6052", reachable=True),
    SpecialBlock("64:ff9b:1::/48", "IPv4-IPv6 translation, local use", "RFC 8215"),
    SpecialBlock("100::/64", "discard only", "RFC 6666"),
    SpecialBlock("100:0:0:1::/64", "dummy IPv6 prefix", "RFC 9780"),
    SpecialBlock("2001::/23", "IETF protocol assignments", "RFC 2928"),
    SpecialBlock("2001::/32", "Teredo", "RFC 4380"),
    SpecialBlock("2001:1::1/128", "port control protocol anycast", "RFC 7723", reachable=True),
    SpecialBlock("2001:1::2/128", "traversal using relays around NAT anycast", "RFC 8155", reachable=True),
    SpecialBlock("2001:1::3/128", "DNS-SD service registration anycast", "RFC 9665", reachable=True),
    SpecialBlock("2001:2::/48", "benchmarking", "RFC 5180"),
    SpecialBlock("2001:3::/32", "AMT", "RFC 7450", reachable=True),
    SpecialBlock("2001:4:112::/48", "AS112-v6", "RFC 7535", reachable=True),
    SpecialBlock("2001:10::/28", "deprecated (ORCHID)", "RFC 4843"),
    SpecialBlock("2001:20::/28", "ORCHIDv2", "RFC 7343", reachable=True),
    SpecialBlock("2001:30::/28", "drone remote ID entity tags", "RFC 9374", reachable=True),
    SpecialBlock("2001:db8::/32", "documentation", "RFC 3849"),
    SpecialBlock("2002::/16", "6to4", "RFC 3056"),
    SpecialBlock("2620:4f:8000::/48", "direct delegation AS112 service", "RFC 7534", reachable=True),
    SpecialBlock("3fff::/20", "documentation", "RFC 9637"),
    SpecialBlock("5f00::/16", "segment routing identifiers", "RFC 9602"),
    SpecialBlock("fc00::/7", "unique local", "RFC 4193"),
    SpecialBlock("fe80::/10", "link local", "RFC 4291"),
    SpecialBlock("ff00::/8", "multicast", "RFC 4291"),
)
"""The special-purpose registry for IPv6, and multicast."""

IPV6_UNICAST: Final = "2000::/3"
"""What IANA gives out as global unicast (RFC 4291); outside it only a reachable line of `IPV6` counts."""

STRICTER: Final = (
    SpecialBlock("168.63.129.16/32", "the platform's own services inside Azure", "Azure, IP address 168.63.129.16"),
    SpecialBlock("192.0.0.9/32", "anycast that the local network answers", "RFC 7723"),
    SpecialBlock("192.0.0.10/32", "anycast that the local network answers", "RFC 8155"),
    SpecialBlock("2001:1::1/128", "anycast that the local network answers", "RFC 7723"),
    SpecialBlock("2001:1::2/128", "anycast that the local network answers", "RFC 8155"),
    SpecialBlock("2001:1::3/128", "anycast that the local network answers", "RFC 9665"),
    SpecialBlock("2001:20::/28", "names of hosts, not places", "RFC 7343"),
    SpecialBlock("2001:30::/28", "names of aircraft, not places", "RFC 9374"),
)
"""Refused although the registries call it reachable: nothing to download lives there, but something near us might."""
