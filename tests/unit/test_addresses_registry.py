"""The judgement of IP addresses against IANA's special-purpose registries, line by line and at every edge."""

from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_pipe.domain.media import registries
from openrouter_pipe.domain.media.addresses import OutboundGuard, is_reachable
from openrouter_pipe.ports.files import FetchPolicy

# iana-ipv4-special-registry and iana-ipv6-special-registry, updated 2025-10-09: every block with its column "Globally
# Reachable". "N/A" is False: what may or may not be reachable is not reached.
IANA = {
    "0.0.0.0/8": False,
    "0.0.0.0/32": False,
    "10.0.0.0/8": False,
    "100.64.0.0/10": False,
    "127.0.0.0/8": False,
    "169.254.0.0/16": False,
    "172.16.0.0/12": False,
    "192.0.0.0/24": False,
    "192.0.0.0/29": False,
    "192.0.0.8/32": False,
    "192.0.0.9/32": True,
    "192.0.0.10/32": True,
    "192.0.0.170/32": False,
    "192.0.0.171/32": False,
    "192.0.2.0/24": False,
    "192.31.196.0/24": True,
    "192.52.193.0/24": True,
    "192.88.99.0/24": False,
    "192.88.99.2/32": False,
    "192.168.0.0/16": False,
    "192.175.48.0/24": True,
    "198.18.0.0/15": False,
    "198.51.100.0/24": False,
    "203.0.113.0/24": False,
    "240.0.0.0/4": False,
    "255.255.255.255/32": False,
    "::1/128": False,
    "::/128": False,
    "::ffff:0:0/96": False,
    "64:ff9b::/96": True,
    "64:ff9b:1::/48": False,
    "100::/64": False,
    "100:0:0:1::/64": False,
    "2001::/23": False,
    "2001::/32": False,
    "2001:1::1/128": True,
    "2001:1::2/128": True,
    "2001:1::3/128": True,
    "2001:2::/48": False,
    "2001:3::/32": True,
    "2001:4:112::/48": True,
    "2001:10::/28": False,
    "2001:20::/28": True,
    "2001:30::/28": True,
    "2001:db8::/32": False,
    "2002::/16": False,
    "2620:4f:8000::/48": True,
    "3fff::/20": False,
    "5f00::/16": False,
    "fc00::/7": False,
    "fe80::/10": False,
}
OTHER_REGISTRIES = {
    "224.0.0.0/4": False,  # multicast
    "ff00::/8": False,  # multicast
    "::/96": False,  # IPv4-compatible, RFC 4291
    "::ffff:0:0:0/96": False,  # IPv4-translated, RFC 2765
    "fec0::/10": False,  # site local, RFC 3879
    "0000::/8": False,  # reserved, RFC 4291, but for 64:ff9b::/96
    "0100::/8": False,
    "0200::/7": False,
    "0400::/6": False,
    "0800::/5": False,
    "1000::/4": False,
    "4000::/3": False,
    "6000::/3": False,
    "8000::/3": False,
    "a000::/3": False,
    "c000::/3": False,
    "e000::/4": False,
    "f000::/5": False,
    "f800::/6": False,
    "fe00::/9": False,
}
STRICTER = {
    "192.0.0.9/32",
    "192.0.0.10/32",
    "2001:1::1/128",
    "2001:1::2/128",
    "2001:1::3/128",
    "2001:20::/28",
    "2001:30::/28",
}
TRANSLATED = ip_network("64:ff9b::/96")
GUARDED, OPEN = FetchPolicy(1), FetchPolicy(1, guard_addresses=False)


def samples(prefix: str) -> list[IPv4Address | IPv6Address]:
    network = ip_network(prefix)
    inside = random.Random(prefix)
    return [network[0], network[-1], *(network[inside.randrange(network.num_addresses)] for _ in range(20))]


def expected(address: IPv4Address | IPv6Address) -> bool:
    """The longest prefix of both tables; what none names is as its family is."""
    tables = {**IANA, **OTHER_REGISTRIES, **dict.fromkeys(STRICTER, False)}
    lines = [(ip_network(prefix), told) for prefix, told in tables.items()]
    lines = [(network, told) for network, told in lines if network.version == address.version and address in network]
    return max(lines, key=lambda line: line[0].prefixlen, default=(None, True))[1]


@pytest.mark.parametrize("prefix", [*IANA, *OTHER_REGISTRIES])
def test_every_line_of_the_registries_is_judged_as_it_says(prefix):
    for address in samples(prefix):
        if address in TRANSLATED:
            assert is_reachable(address) is is_reachable(IPv4Address(int(address) & 0xFFFFFFFF)), address
        else:
            assert is_reachable(address) is expected(address), address


@pytest.mark.parametrize("prefix", [*IANA, *OTHER_REGISTRIES])
def test_what_lies_beside_a_block_is_not_judged_with_it(prefix):
    network = ip_network(prefix)
    family = type(network[0])
    for number in (int(network[0]) - 1, int(network[-1]) + 1):
        if 0 <= number < 2**network.max_prefixlen and family(number) not in TRANSLATED:
            assert is_reachable(family(number)) is expected(family(number)), family(number)


def test_our_table_has_every_block_of_the_registries_and_says_the_same():
    ours = {block.prefix: block.reachable for block in (*registries.IPV4, *registries.IPV6)}
    assert ours == IANA | {"224.0.0.0/4": False, "ff00::/8": False}
    assert all(block.source and block.name for block in (*registries.IPV4, *registries.IPV6, *registries.STRICTER))
    assert {block.prefix for block in registries.STRICTER} == STRICTER | {"168.63.129.16/32"}


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "9.9.9.9",
        "93.184.216.34",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.1",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.0.3.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2001:4860:4860::8888",
        "2a00:1450:4001:800::200e",
        "2001:200::1",
        "3ffe::1",
        "2620:4f:7fff:ffff::1",
        "64:ff9b::808:808",
    ],
)
def test_the_public_internet_is_reachable(address):
    assert is_reachable(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "168.63.129.16",
        "169.254.169.254",
        "100.100.100.200",
        "192.0.0.192",
        "fd00:ec2::254",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::a83f:8110",
        "64:ff9b:1::808:808",
        "64:ff9b:1:ffff::10.0.0.1",
        "2002:7f00:1::",
        "2002:808:808::1",
        "2001::7f00:1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2a00:1450::5efe:7f00:1",
        "2a00:1450::200:5efe:10.0.0.1",
        "2606:4700::5efe:8.8.8.8",
        "fe80::5efe:192.168.0.1",
        "fec0::1",
        "ff02::1",
        "::1",
        "::",
        "0.0.0.0",
        "0.1.2.3",
        "255.255.255.255",
        "224.0.0.1",
        "239.255.255.250",
    ],
)
def test_disguises_of_near_addresses_are_not_reachable(address):
    assert not is_reachable(ip_address(address))
    assert not OutboundGuard().admits(address, GUARDED)


@given(st.integers(0, 2**32 - 1))
def test_an_ipv4_address_is_judged_alike_behind_a_translator(number):
    assert (
        is_reachable(IPv6Address((0x64FF9B << 96) | number))
        is is_reachable(IPv4Address(number))
        is expected(IPv4Address(number))
    )


@given(st.ip_addresses())
def test_nothing_is_reachable_that_the_standard_library_calls_near(address):
    if address in TRANSLATED if address.version == 6 else False:
        return
    near = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    private = address.is_private and not any(
        address in ip_network(prefix)
        for prefix, told in IANA.items()
        if told and ip_network(prefix).version == address.version
    )
    if near or private or (address.version == 4 and address.is_reserved):
        assert not is_reachable(address)


@pytest.mark.parametrize(
    "text",
    ["", "localhost", "1.2.3", "8.8.8.8 ", "8.8.8.8%1", "2606:4700::1%eth0", "0x8080808", "[::1]", "\x00", "८.8.8.8"],
)
@pytest.mark.parametrize("policy", [GUARDED, OPEN])
def test_what_is_no_plain_address_is_never_admitted(text, policy):
    assert not OutboundGuard().admits(text, policy)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.8", "fd00::1", "169.254.169.254", "8.8.8.8"])
def test_without_the_protection_every_address_is_admitted(address):
    assert OutboundGuard().admits(address, OPEN)
