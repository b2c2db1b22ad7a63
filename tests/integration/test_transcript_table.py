"""Recorded and composed transcripts, played by the simulator on both wires: the exact chat events that come of them."""

from __future__ import annotations

from ast import literal_eval
from collections.abc import AsyncIterator

import pytest

from heard import lines
from openrouter_pipe.ports.chat import TextAdded
from transcript_events import CHAT, NOT_ON_CHAT, RESPONSES
from transcripts import CONTRACT, PITFALLS, installed
from wired import Wired, in_process, over_socket, shown

WAYS = {"in process": in_process, "over a socket": over_socket}
CASES = [("responses", name) for name in RESPONSES] + [
    ("chat_completions", name) for name in CHAT if name not in NOT_ON_CHAT
]


@pytest.fixture(scope="module", autouse=True)
def scenarios():
    with installed():
        yield


@pytest.fixture(params=WAYS)
async def wired(request: pytest.FixtureRequest) -> AsyncIterator[Wired]:
    async with WAYS[request.param]() as running:
        yield running


def test_the_table_holds_the_contract_and_at_least_twenty_pitfalls() -> None:
    assert set(RESPONSES) == {*CONTRACT, *PITFALLS}
    assert len(PITFALLS) >= 20
    assert len(CHAT.keys() - NOT_ON_CHAT) >= 38


@pytest.mark.parametrize("endpoint", ["responses", "chat_completions"])
async def test_transcripts_become_exactly_these_chat_events(wired: Wired, endpoint: str) -> None:
    wrong = {}
    for wire, name in CASES:
        if wire != endpoint:
            continue
        # One event a write: what one read brings is merged, and that is another test's business.
        settings = {"DEFAULT_LLM_ENDPOINT": endpoint, "STREAMING_DELTA_CHAR_LIMIT": 1, "BREAKER_MAX_FAILURES": 50}
        events = await wired.hear(f"[[sim: scenario={name}]]\nGo.", settings=settings)
        expected = (RESPONSES if endpoint == "responses" else CHAT)[name]
        if lines(events) != expected:
            wrong[name] = (lines(events), expected)
    assert wrong == {}


@pytest.mark.parametrize("endpoint", ["responses", "chat_completions"])
async def test_merged_deltas_and_whole_answers_show_the_same_text(wired: Wired, endpoint: str) -> None:
    for wire, name in CASES:
        if wire != endpoint or name in {"failed", "error-1", "error-2", "error-3", "error-4", "events-without-shape"}:
            continue
        table = RESPONSES if endpoint == "responses" else CHAT
        expected = "".join(literal_eval(line.split(" ", 2)[2]) for line in table[name] if line.startswith("text "))
        settings = {"DEFAULT_LLM_ENDPOINT": endpoint, "STREAMING_DELTA_CHAR_LIMIT": 4096}
        # The simulator makes whole answers of finished items, which these transcripts lack or contradict.
        unfinished = name in {"closed-only-by-the-last-event", "second-terminal-event"}
        for stream in (True,) if unfinished else (True, False):
            events = await wired.hear(f"[[sim: scenario={name}]]\nGo.", settings=settings, stream=stream)
            assert shown(events) == expected, (name, stream)
            assert not any(isinstance(event, TextAdded) and not event.text for event in events)
