"""Twenty hot reloads of the bundle in a running server, idle and under traffic: no turn is lost and nothing piles up."""

import json
import threading
import time
from collections.abc import Iterator

import pytest
from webui_host import Census, HostError, WebUIHost, chunks_of, text_of
from webui_setup import FUNCTION_ID, bundle_text, model_id

RELOADS = 20
USERS = 4
# The host's own thread pools and keep-alive connections breathe a little; a leak of one per reload would show as 20.
SLACK = 6
PROBE_ID = "probe"
# A second function looks from inside at what /proc does not show.
PROBE = '''"""
title: Probe
"""
import asyncio, gc, json, sys, threading

class Pipe:
    async def pipe(self, body: dict) -> str:
        gc.collect()
        instances = sys.modules.get("_openrouter_pipe_instances")
        live = {name: len(found) for name, found in instances.live.items()} if instances else {}
        bundles = sum(name.startswith("openrouter_pipe_") and "." not in name for name in sys.modules)
        return json.dumps({"tasks": len(asyncio.all_tasks()), "threads": threading.active_count(), "live": live,
                           "bundles": bundles})
'''


@pytest.fixture
def probe(host: WebUIHost) -> Iterator[None]:
    host.install_function(PROBE_ID, PROBE)
    host.models()
    yield
    host.delete_function(PROBE_ID)


def inside(host: WebUIHost) -> dict[str, object]:
    """What the probe counts."""
    reply = host.complete(PROBE_ID, [{"role": "user", "content": "count"}])
    if reply.status_code != 200:
        raise HostError(reply.text)
    return dict(json.loads(reply.json()["choices"][0]["message"]["content"]))


def settled(host: WebUIHost) -> Census:
    """A census once the numbers have stopped moving."""
    last = host.census()
    for _ in range(20):
        time.sleep(0.25)
        now = host.census()
        if (now.threads, now.sockets, now.files) == (last.threads, last.sockets, last.files):
            return now
        last = now
    return last


def ask(host: WebUIHost, text: str) -> str:
    return text_of(chunks_of(host.stream_data(model_id("sim/echo"), [{"role": "user", "content": text}])))


def reload_and_chat(host: WebUIHost, source: str, number: int) -> None:
    host.update_function(FUNCTION_ID, f"{source}\n# reload {number}\n")
    text = f"after reload {number}"
    assert ask(host, text) == f"{text} (turn 1)"


def assert_nothing_piled_up(before: Census, after: Census) -> None:
    assert after.threads <= before.threads + SLACK
    assert after.sockets <= before.sockets + SLACK
    assert after.files <= before.files + SLACK
    assert after.rss_mib <= before.rss_mib + 10 * RELOADS, "each reload keeps more than 10 MiB"


@pytest.mark.slow
@pytest.mark.timeout(900)  # 0.6.28 runs pip for the function's requirements at each reload
def test_twenty_reloads_leak_nothing(host: WebUIHost) -> None:
    source = bundle_text()
    try:
        for number in range(3):  # the first uses fill pools that stay
            reload_and_chat(host, source, -number)
        before = settled(host)
        started = time.monotonic()
        for number in range(RELOADS):
            reload_and_chat(host, source, number)
        took = time.monotonic() - started
        after = settled(host)
    finally:
        host.update_function(FUNCTION_ID, source)
        host.models()
    print(f"\nOpen WebUI {host.version}, {RELOADS} reloads in {took:.1f} s\n  before {before}\n  after  {after}")
    assert_nothing_piled_up(before, after)


class Traffic:
    """Users that ask one question after the other, each answer long enough to run into a reload."""

    def __init__(self, host: WebUIHost) -> None:
        self._host = host
        self._stop = threading.Event()
        self.answered = 0
        self.lost: list[str] = []
        self._threads = [threading.Thread(target=self._user, args=(number,)) for number in range(USERS)]

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _user(self, number: int) -> None:
        expected = "".join(f"word{place} " for place in range(40))
        count = 0
        while not self._stop.is_set():
            count += 1
            text = f"[[sim: scenario=long; text=40; speed=50]]\nuser {number} asks {count}"
            try:
                heard = ask(self._host, text)
            except Exception as error:  # noqa: BLE001 - whatever a user meets is a lost turn
                heard = f"{type(error).__name__}: {error}"
            if heard.strip() == expected.strip():
                self.answered += 1
            else:
                self.lost.append(heard[-300:])


@pytest.mark.slow
@pytest.mark.timeout(900)  # 0.6.28 runs pip for the function's requirements at each reload
@pytest.mark.usefixtures("probe")
def test_twenty_reloads_under_traffic_lose_no_turn(host: WebUIHost) -> None:
    source = bundle_text()
    try:
        with Traffic(host):  # fills pools that stay
            for number in range(3):
                reload_and_chat(host, source, -number)
        before, inner_before = settled(host), inside(host)
        started = time.monotonic()
        with Traffic(host) as traffic:
            for number in range(RELOADS):
                reload_and_chat(host, source, 100 + number)
                time.sleep(0.3)
        took = time.monotonic() - started
        time.sleep(1.5)  # an old instance that was used once more goes after a second
        after, inner_after = settled(host), inside(host)
    finally:
        host.update_function(FUNCTION_ID, source)
        host.models()
    print(
        f"\nOpen WebUI {host.version}, {RELOADS} reloads in {took:.1f} s under traffic: {traffic.answered} turns "
        f"answered, {len(traffic.lost)} lost\n  before {before} {inner_before}\n  after  {after} {inner_after}"
    )
    assert not traffic.lost
    assert traffic.answered >= RELOADS
    assert int(str(inner_after["tasks"])) <= int(str(inner_before["tasks"])) + SLACK
    assert inner_after["live"] == {FUNCTION_ID: 1}
    assert_nothing_piled_up(before, after)
