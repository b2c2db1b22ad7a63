"""Every fault of the way to the provider, over a real socket: what the user reads and how often the provider was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from openrouter_pipe.ports.chat import Completed, Failed, StatusChanged, TextAdded
from wired import Wired, notices, over_socket, shown, with_header

WHOLE = "".join(f"word{place} " for place in range(8))
ENDPOINTS = pytest.mark.parametrize("endpoint", ["responses", "chat_completions"])


@pytest.fixture
async def wired() -> AsyncIterator[Wired]:
    async with over_socket() as running:
        yield running


# (knobs, settings, requests, text, code of the failure or "", words that the user reads)
TABLE = {
    "reset before headers, once": ("fault=reset;times=1", {}, 2, WHOLE, "", ""),
    "reset before headers, twice": ("fault=reset;times=2", {}, 3, WHOLE, "", ""),
    "reset before headers, always": ("fault=reset", {}, 3, "", "connection_error", "No connection to OpenRouter"),
    "reset before the first event, once": ("fault=reset-headers;after=0;times=1", {}, 2, WHOLE, "", ""),
    "reset before anything visible, once": ("fault=reset;after={early};times=1", {}, 2, WHOLE, "", ""),
    "reset in the text": (
        "fault=reset;speed=20;after={middle}",
        {},
        1,
        "word0 word1 word2 ",
        "stream_interrupted",
        "kept",
    ),
    "silence before the first byte": (
        "fault=silence;after=0",
        {"HTTP_SOCK_READ_SECONDS": 1},
        1,
        "",
        "network_timeout",
        "1 seconds",
    ),
    "silence in the text": (
        "fault=silence;after={middle}",
        {"HTTP_SOCK_READ_SECONDS": 1},
        1,
        "word0 word1 word2 ",
        "stream_interrupted",
        "kept",
    ),
    "garbage in the middle": ("fault=garbage;after={middle}", {}, 1, WHOLE, "", ""),
    "end in the text": ("fault=truncate;after={middle}", {}, 1, "word0 word1 word2 ", "stream_interrupted", "kept"),
    "end before anything, once": ("fault=truncate;after={early};times=1", {}, 2, WHOLE, "", ""),
    "end before anything, always": (
        "fault=truncate;after={early}",
        {},
        3,
        "",
        "stream_interrupted",
        "lost before its end",
    ),
    **{
        f"error of shape {shape} in the text": (
            f"fault=error;shape={shape};after={{middle}}",
            {},
            1,
            "word0 word1 word2 ",
            "rate_limit" if shape in (1, 3) else "service_error",
            "What to do",
        )
        for shape in (1, 2, 3, 4)
    },
    **{
        f"error of shape {shape} first and only, once": (
            f"fault=error;shape={shape};after=0;times=1",
            {},
            2,
            WHOLE,
            "",
            "",
        )
        for shape in (1, 2, 3, 4)
    },
    "error first and only, always": ("fault=error;shape=1;after=0", {}, 3, "", "rate_limit", "Rate limit exceeded"),
    **{
        f"status {status}, once": (f"status={status};times=1", {}, 2, WHOLE, "", "")
        for status in (408, 425, 429, 500, 502, 503, 524, 529)
    },
    "status 408, always": ("status=408", {}, 3, "", "server_timeout", "Operation timed out"),
    "status 429, always": ("status=429", {}, 3, "", "rate_limit", "rate-limited upstream"),
    "status 503, always": ("status=503", {}, 3, "", "service_error", "temporarily unavailable"),
    "status 400": ("status=400", {}, 1, "", "openrouter_error", "Invalid request parameters"),
    "status 401": ("status=401", {}, 1, "", "authentication", "User not found"),
    "status 402": ("status=402", {}, 1, "", "insufficient_credits", "Insufficient credits"),
    "status 403": ("status=403", {}, 1, "", "openrouter_error", "violence"),
    "status 404": ("status=404", {}, 1, "", "openrouter_error", "No endpoints found"),
    "status 413": ("status=413", {}, 1, "", "payload_too_large", "too large"),
    "HTML as the error": ("status=502;kind=html", {}, 3, "", "service_error", "502"),
    "an empty error": ("status=400;kind=empty", {}, 1, "", "openrouter_error", "status 400"),
    "an error of the wrong shape": ("status=400;kind=shape", {}, 1, "", "openrouter_error", ""),
    "a number as the error": ("status=400;kind=number", {}, 1, "", "openrouter_error", "status 400"),
}


@ENDPOINTS
@pytest.mark.parametrize("name", TABLE)
async def test_a_fault(wired: Wired, name: str, endpoint: str) -> None:
    knobs, settings, requests, text, code, words = TABLE[name]
    # Four events of the responses endpoint come before the first text, none of the other one.
    counts_events = endpoint == "responses" or "error" in knobs  # an error is put in before the chunks are made
    knobs = knobs.format(early=int(counts_events), middle=7 if counts_events else 3)
    events = await wired.hear(
        f"[[sim: scenario=long;text=8;{knobs}]]\nGo.", settings={"DEFAULT_LLM_ENDPOINT": endpoint, **settings}
    )
    last = events[-1]
    told = notices(events)
    assert (shown(events), last.code if isinstance(last, Failed) else "") == (text, code), told
    assert len(wired.sent) == requests
    assert {one.path for one in wired.sent} == {wired.sent[0].path}
    if isinstance(last, Failed):
        assert words in told
        assert last.error_id in told
        assert last.partial is bool(text)
        for forbidden in ("Traceback", "<html", "{", "None"):
            assert forbidden not in told
    else:
        assert told == ""
        assert isinstance(last, Completed)


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_in_seconds_is_the_least_delay(wired: Wired, status: int) -> None:
    events = await wired.hear(f"[[sim: scenario=plain;status={status};retry_after=7;times=1]]\nGo.")
    assert shown(events) == "Hello"
    assert wired.clock.sleeps == [7.0]


async def test_retry_after_as_a_date_is_the_least_delay() -> None:
    def in_a_while() -> str:
        return format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)

    async with over_socket(with_header("retry-after", in_a_while)) as wired:
        events = await wired.hear("[[sim: scenario=plain;status=503;times=1]]\nGo.")
        assert shown(events) == "Hello"
        (slept,) = wired.clock.sleeps
        assert 17 < slept <= 20


async def test_a_date_in_the_past_is_no_delay() -> None:
    def long_ago() -> str:
        return "Wed, 21 Oct 2015 07:28:00 GMT"

    async with over_socket(with_header("retry-after", long_ago)) as wired:
        assert shown(await wired.hear("[[sim: scenario=plain;status=503;times=1]]\nGo.")) == "Hello"
        assert wired.clock.sleeps[0] <= 1


async def test_delays_grow_and_without_patience_nothing_is_repeated(wired: Wired) -> None:
    await wired.hear("[[sim: status=503]]\nGo.")
    first, second = wired.clock.sleeps
    assert 0.5 <= first <= 1 <= second <= 2
    sent = len(wired.sent)
    events = await wired.hear("[[sim: status=503;retry_after=30]]\nGo.", settings={"HTTP_TOTAL_TIMEOUT_SECONDS": 20})
    assert events[-1].code == "service_error"
    assert "30 seconds" in notices(events)
    assert len(wired.sent) == sent + 1


async def test_a_breaker_refusal_costs_no_request(wired: Wired) -> None:
    settings = {"BREAKER_MAX_FAILURES": 1}
    await wired.hear("[[sim: status=503]]\nGo.", settings=settings)
    sent = len(wired.sent)
    assert isinstance((await wired.hear("Go.", settings=settings))[-1], Failed)
    assert len(wired.sent) == sent


@ENDPOINTS
async def test_cancelling_closes_the_upstream_at_once(wired: Wired, endpoint: str) -> None:
    asked = wired.respond("[[sim: scenario=long;text=500;speed=100]]\nGo.", settings={"DEFAULT_LLM_ENDPOINT": endpoint})
    async with aclosing(asked) as events:
        async for event in events:
            if isinstance(event, TextAdded):
                break
    async with asyncio.timeout(1):
        while not wired.sent[0].aborted:
            await asyncio.sleep(0.005)
    assert len(wired.sent) == 1


# Recoveries: one more request each, only before anything is seen.

RECOVERIES = {
    "effort": ("status=400;kind=effort", {"reasoning_effort": "xhigh"}, MODEL_THAT_REASONS := "openai.gpt-5.6-luna"),
    "thinking": ("status=400;kind=thinking", {"reasoning_effort": "high"}, MODEL_THAT_REASONS),
    "cache_control": ("status=400;kind=cache_control", {}, "anthropic.claude-sonnet-4.6"),
}


@ENDPOINTS
@pytest.mark.parametrize("name", RECOVERIES)
async def test_a_recovery_costs_exactly_one_more_request(wired: Wired, name: str, endpoint: str) -> None:
    knobs, parameters, model = RECOVERIES[name]
    settings = {"DEFAULT_LLM_ENDPOINT": endpoint}
    ask = {"model": model, "parameters": parameters, "settings": settings}
    events = await wired.hear(f"[[sim: scenario=plain;{knobs};times=1]]\nGo.", **ask)
    assert shown(events) == "Hello", notices(events)
    first, second = (one.body for one in wired.sent)
    assert wired.clock.sleeps == []
    lines = [event.text for event in events if isinstance(event, StatusChanged)]
    match name:
        case "effort":
            assert first["reasoning"]["effort"] == "xhigh"
            assert second["reasoning"]["effort"] in {"low", "medium", "high"}
        case "thinking":
            assert "reasoning" in first
            assert "reasoning" not in second
        case "cache_control":
            assert "'cache_control':" in repr(first)
            assert "'cache_control':" not in repr(second)
    assert any("refused" in line for line in lines), lines


@pytest.mark.parametrize("name", RECOVERIES)
async def test_a_recovery_that_is_refused_again_is_told(wired: Wired, name: str) -> None:
    knobs, parameters, model = RECOVERIES[name]
    events = await wired.hear(f"[[sim: {knobs}]]\nGo.", model=model, parameters=parameters)
    assert events[-1].code == "openrouter_error"
    assert len(wired.sent) == 2
