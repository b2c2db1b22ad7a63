"""A chat that changes its model, and a provider that refuses earlier reasoning: whole turns over the simulator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from openrouter_pipe.ports.chat import Completed, Failed, StatusChanged
from remembering import LOOP, Remembering, remembered

CLAUDE, GPT, GEMINI, DEEPSEEK = (
    "anthropic.claude-sonnet-4.5",
    "openai.gpt-5",
    "google.gemini-2.5-pro",
    "deepseek.deepseek-r1",
)


def kinds(items: Sequence[Mapping[str, Any]]) -> list[str]:
    return [item["type"] for item in remembered(items)]


def pipe_in(tmp_path: Path) -> Remembering:
    return Remembering({"DATA_DIR": str(tmp_path)})


@pytest.mark.parametrize("maker", [CLAUDE, GPT, GEMINI, DEEPSEEK])
@pytest.mark.parametrize("answerer", [CLAUDE, GPT, GEMINI, DEEPSEEK, "mistralai.mistral-large", "openrouter.auto"])
async def test_reasoning_is_replayed_to_its_own_family_and_to_routers(
    tmp_path: Path, maker: str, answerer: str
) -> None:
    async with pipe_in(tmp_path) as pipe:
        assert isinstance((await pipe.ask("Hi", maker))[-1], Completed)
        assert isinstance((await pipe.ask("And now?", answerer))[-1], Completed)
        replayed = kinds(pipe.sent()[-1])
    assert set(replayed) == ({"reasoning"} if answerer in {maker, "openrouter.auto"} else set())


async def test_refused_reasoning_costs_one_more_request(tmp_path: Path) -> None:
    async with pipe_in(tmp_path) as pipe:
        await pipe.ask(LOOP + "Look.", GPT)
        before = len(pipe.sent())
        events = await pipe.ask("[[sim: status=400,kind=encrypted,times=1]] And now?", GPT)
        assert isinstance(events[-1], Completed), events[-1]
        first, second = map(kinds, pipe.sent()[before:])
    assert "reasoning" in first
    assert second == ["function_call", "function_call_output"]
    assert [event.text for event in events if isinstance(event, StatusChanged) and "refused" in event.text] == [
        "Earlier reasoning was refused; trying again without it"
    ]


async def test_reasoning_refused_for_good_is_a_failure_after_two_requests(tmp_path: Path) -> None:
    async with pipe_in(tmp_path) as pipe:
        await pipe.ask(LOOP + "Look.", GPT)
        before = len(pipe.sent())
        events = await pipe.ask("[[sim: status=400,kind=encrypted,times=9]] And now?", GPT)
        assert isinstance(events[-1], Failed)
        assert len(pipe.sent()) == before + 2


async def test_the_refusal_of_a_request_without_reasoning_is_not_tried_again(tmp_path: Path) -> None:
    async with pipe_in(tmp_path) as pipe:
        events = await pipe.ask("[[sim: status=400,kind=encrypted,times=9]] Hi", GPT)
        assert isinstance(events[-1], Failed)
        assert len(pipe.sent()) == 1
