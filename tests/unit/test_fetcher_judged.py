"""Whatever the fetcher connects to was judged in the same call, in random worlds of names, addresses and redirects."""

from __future__ import annotations

import asyncio
import socket
import threading
from ipaddress import ip_address

import httpx
import pytest
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from hostile_web import InstantClock, ordinary_trust
from openrouter_pipe.adapters.web import GuardedFetcher
from openrouter_pipe.adapters.web.resolver import LookupFailedError, SystemResolver
from openrouter_pipe.domain.media.addresses import OutboundGuard, is_reachable
from openrouter_pipe.ports.files import FetchPolicy, FileAccessError, WebTarget

PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:4700:4700::1111", "64:ff9b::808:808"]
NEAR = [
    "127.0.0.1",
    "10.1.2.3",
    "169.254.169.254",
    "::1",
    "::ffff:8.8.8.8",
    "fd00::1",
    "64:ff9b::7f00:1",
    "fe80::1%eth0",
    "junk",
]
HOSTS = ["a.example", "b.example", "c.example"]
LOCATIONS = [
    *(f"https://{host}/{path}" for host in HOSTS for path in "xy"),
    *(f"https://[{one}]/" if ":" in one else f"https://{one}/" for one in (*PUBLIC, *NEAR)),
    "/z",
    "//b.example/",
    "http://a.example/",
    "http://c.example/",
    "https://u@a.example/",
    "https://2130706433/",
    "ftp://a.example/",
]


@define
class World:
    """Draws what names and servers answer, and notes the order of looks, judgements and connections."""

    data: st.DataObject
    events: list[tuple[str, object]] = field(factory=list)
    guard: OutboundGuard = field(factory=OutboundGuard)

    def target(self, url: str, policy: FetchPolicy) -> WebTarget:
        target = self.guard.target(url, policy)
        self.events.append(("target", target))
        return target

    def admits(self, address: str, policy: FetchPolicy) -> bool:
        told = self.guard.admits(address, policy)
        self.events.append(("judged", (address, told)))
        return told

    async def addresses(self, host: str, port: int) -> tuple[str, ...]:
        found = self.data.draw(
            st.one_of(
                st.lists(st.sampled_from(PUBLIC), min_size=1, max_size=6),
                st.lists(st.sampled_from([*PUBLIC, *NEAR]), max_size=6),
                st.none(),
            )
        )
        self.events.append(("looked", host))
        if not found:
            self.events.append(("failed", host))
        if found is None:
            raise LookupFailedError("no", permanent=self.data.draw(st.booleans()))
        return tuple(found)

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.events.append(("connected", request))
        match self.data.draw(st.sampled_from(["file", "redirect", "redirect", "503", "404", "refuse", "break"])):
            case "file":
                return httpx.Response(200, stream=httpx.ByteStream(b"x"))
            case "redirect":
                status = self.data.draw(st.sampled_from([301, 302, 303, 307, 308]))
                return httpx.Response(status, headers={"location": self.data.draw(st.sampled_from(LOCATIONS))})
            case "refuse":
                raise httpx.ConnectError("no")
            case "break":
                raise httpx.ReadError("no")
            case status:
                return httpx.Response(int(status))


@settings(max_examples=200)
@given(st.data())
def test_every_connection_follows_its_own_judgement(data):
    world = World(data)
    fetcher = GuardedFetcher(world, InstantClock(), world, lambda _: httpx.MockTransport(world.answer), ordinary_trust)
    policy = FetchPolicy(1000, insecure_hosts=frozenset({"c.example"}), max_retries=2)
    try:
        got = asyncio.run(fetcher.fetch(data.draw(st.sampled_from(LOCATIONS)), policy))
        assert got.data == b"x"
    except FileAccessError:
        pass
    targets = {what.host: what for kind, what in world.events if kind == "target"}
    looked, judged, before, hops = "", [], "", 0
    for kind, what in world.events:
        match kind:
            case "looked":
                looked, judged = what, []
            case "judged":
                if before in {
                    "",
                    "target",
                    "connected",
                    "failed",
                }:  # a URL that names an address: nothing was looked up for it
                    looked, judged = "", []
                judged.append(what)
            case "connected":
                hops += 1
                target = targets[what.extensions["sni_hostname"]]
                assert looked == ("" if target.is_address else target.host), "a hop without a look of its own"
                assert judged, "connected without a judgement of this hop"
                assert all(told for _, told in judged), "one address was refused, and yet there was a connection"
                assert what.url.host in {address for address, _ in judged}
                assert is_reachable(ip_address(what.url.host))
                assert what.url.port in {None, 443, 80}
                assert what.headers["host"] == target.authority
                assert what.url.scheme == "https" or target.host == "c.example"
        before = kind
    assert hops <= 3 * 6 * 4


async def test_a_lookup_that_hangs_holds_nobody_up_and_ends_with_the_process():
    ending = threading.Event()

    def hang(*_: object, **__: object) -> list:
        ending.wait(20)
        raise OSError

    resolver = SystemResolver(hang)
    before = threading.active_count()
    tasks = [asyncio.create_task(resolver.addresses(f"{n}.example", 443)) for n in range(32)]
    await asyncio.sleep(0)
    hung = [thread for thread in threading.enumerate() if thread.name == "openrouter-pipe-lookup"]
    assert len(hung) == 32
    assert all(thread.daemon for thread in hung)
    with pytest.raises(LookupFailedError, match="too many") as refused:
        await resolver.addresses("more.example", 443)
    assert not refused.value.permanent
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    ending.set()
    for thread in hung:
        thread.join(5)
    assert threading.active_count() == before
    with pytest.raises(LookupFailedError, match="not known"):
        await resolver.addresses("again.example", 443)


async def test_what_the_machine_answers_becomes_addresses_without_repetition():
    def lookup(host: str, port: int, **_: object) -> list:
        kind = (socket.SOCK_STREAM, 6, "")
        found = [("8.8.8.8", port), ("8.8.8.8", port), ("2606:4700::1", port, 0, 0), (b"raw", 1)]
        return [(socket.AF_INET, *kind, address) for address in found]

    assert await SystemResolver(lookup).addresses("a.example", 443) == ("8.8.8.8", "2606:4700::1")


@pytest.mark.parametrize(
    ("error", "permanent"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), True),
        (socket.gaierror(socket.EAI_AGAIN, "x"), False),
        (OSError("x"), False),
        (UnicodeError("label too long"), True),
    ],
)
async def test_a_failed_lookup_says_whether_to_ask_again(error, permanent):
    def lookup(*_: object, **__: object) -> list:
        raise error

    with pytest.raises(LookupFailedError) as failed:
        await SystemResolver(lookup).addresses("a.example", 443)
    assert failed.value.permanent is permanent


def test_a_lookup_that_outlives_its_loop_harms_nobody():
    ending = threading.Event()

    def late(*_: object, **__: object) -> list:
        ending.wait(20)
        return []

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(SystemResolver(late).addresses("a.example", 443), 0.01)

    asyncio.run(give_up())
    ending.set()
    for thread in threading.enumerate():
        if thread.name == "openrouter-pipe-lookup":
            thread.join(5)
            assert not thread.is_alive()
