"""Background tasks and the second endpoint, end to end against the simulator: what leaves, and what comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from openrouter_pipe.adapters.memory.tools import MemoryToolbox
from openrouter_pipe.ports.chat import Completed, Failed, ReasoningAdded, StatusChanged, Task, ToolFinished
from openrouter_pipe.ports.tools import ToolSpec
from wired import Wired, in_process, notices, shown

TASKS = (
    "title_generation",
    "tags_generation",
    "follow_up_generation",
    "query_generation",
    "autocomplete_generation",
    "image_prompt_generation",
    "emoji_generation",
    "function_calling",
    "moa_response_generation",
    "a_task_of_tomorrow",
)
ENDPOINTS = pytest.mark.parametrize("endpoint", ["responses", "chat_completions"])


@pytest.fixture
async def wired() -> AsyncIterator[Wired]:
    async with in_process() as running:
        yield running


def toolbox() -> MemoryToolbox:
    async def look(arguments: object) -> str:
        return "seen"

    box = MemoryToolbox()
    box.add(ToolSpec("weather", "does", {"type": "object", "properties": {"city": {"type": "string"}}}), look)
    return box


@ENDPOINTS
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("kind", TASKS)
async def test_a_task_is_bare_and_says_the_same_streamed_or_not(
    wired: Wired, kind: str, stream: bool, endpoint: str
) -> None:
    events = await wired.hear(
        "[[sim: scenario=reasoning-summary]]\nA title, please.",
        task=Task(kind),
        stream=stream,
        toolbox=toolbox(),
        parameters={"plugins": [{"id": "web"}], "reasoning_effort": "high", "tools": [{"type": "web_search"}]},
        settings={
            "DEFAULT_LLM_ENDPOINT": endpoint,
            "MODEL_ID": "acme/other",
            "TASK_MODEL_REASONING_EFFORT": "low",
            "SHOW_FINAL_USAGE_STATUS": True,
        },
    )
    assert shown(events) == "42", notices(events)
    assert not any(isinstance(event, ReasoningAdded | StatusChanged) for event in events)
    (sent,) = wired.sent
    assert sent.body["stream"] is False
    assert not {"tools", "plugins", "tool_choice"} & sent.body.keys()
    assert sent.body["reasoning"]["effort"] == "low"


@pytest.mark.parametrize("kind", TASKS)
async def test_a_task_that_fails_gives_no_error_as_its_answer(wired: Wired, kind: str) -> None:
    events = await wired.hear("[[sim: status=503]]\nA title, please.", task=Task(kind))
    assert isinstance(events[-1], Failed)
    assert len(events) == 1
    assert len(wired.sent) == 2
    assert wired.store is not None


@pytest.mark.parametrize("stream", [True, False])
async def test_a_refusing_responses_endpoint_is_replaced_once_with_the_same_events(wired: Wired, stream: bool) -> None:
    direct = await wired.hear(
        "[[sim: scenario=web-search]]\nGo.", settings={"DEFAULT_LLM_ENDPOINT": "chat_completions"}
    )
    sent = len(wired.sent)
    wired.refuse_responses()
    events = await wired.hear("[[sim: scenario=web-search]]\nGo.", stream=stream)
    assert [one.path for one in wired.sent[sent:]] == ["/responses", "/chat/completions"]
    assert shown(events) == shown(direct) == "It is X."
    assert isinstance(events[-1], Completed)
    assert (events[-1].usage.total_tokens, events[-1].usage.cost) == (912, 0.0081)
    switched_off = {"AUTO_FALLBACK_CHAT_COMPLETIONS": False}
    wired.refuse_responses()
    assert isinstance((await wired.hear("Go.", settings=switched_off))[-1], Failed)


@pytest.mark.parametrize("way", ["forced", "fallback"])
async def test_reasoning_details_go_back_verbatim_in_the_second_round(wired: Wired, way: str) -> None:
    model = "google.gemini-3.1-pro-preview"
    settings = {"FORCE_CHAT_COMPLETIONS_MODELS": "google/gemini*"} if way == "forced" else {}
    if way == "fallback":
        wired.refuse_responses()
    events = await wired.hear(
        "[[sim: scenario=tool-loop]]\nCall it.", model=model, toolbox=toolbox(), settings=settings
    )
    assert any(isinstance(event, ToolFinished) for event in events), notices(events)
    assert isinstance(events[-1], Completed), notices(events)
    second = [one for one in wired.sent if one.path == "/chat/completions"][1]
    (turn,) = [message for message in second.body["messages"] if message.get("tool_calls")]
    assert turn["reasoning_details"]
    for detail in turn["reasoning_details"]:
        assert detail["type"].startswith("reasoning.")
        assert {"index", "format"} <= detail.keys()
    assert any(detail.get("signature") or detail.get("data") for detail in turn["reasoning_details"])
    kept = [message["role"] for message in second.body["messages"]]
    assert kept.index("tool") == kept.index("assistant") + 1
