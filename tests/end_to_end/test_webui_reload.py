"""Twenty hot reloads of the bundle in a running server leave threads, sockets and files where they were."""

import time

import pytest
from webui_host import Census, WebUIHost, chunks_of, text_of
from webui_setup import FUNCTION_ID, bundle_text, model_id

RELOADS = 20
# The host's own thread pools and keep-alive connections breathe a little; a leak of one per reload would show as 20.
SLACK = 6


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


def reload_and_chat(host: WebUIHost, source: str, number: int) -> None:
    host.update_function(FUNCTION_ID, f"{source}\n# reload {number}\n")
    text = f"after reload {number}"
    chunks = chunks_of(host.stream_data(model_id("sim/echo"), [{"role": "user", "content": text}]))
    assert text_of(chunks) == f"{text} (turn 1)"


@pytest.mark.slow
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
    assert after.threads <= before.threads + SLACK
    assert after.sockets <= before.sockets + SLACK
    assert after.files <= before.files + SLACK
    assert after.rss_mib <= before.rss_mib + 10 * RELOADS, "each reload keeps more than 10 MiB"
