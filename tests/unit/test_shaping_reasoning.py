"""What reasoning is asked for, per family, and who wins: caller, task, operator."""

import pytest

from openrouter_pipe.domain.shaping.policy import ShapingPolicy
from openrouter_pipe.domain.shaping.reasoning import Wish, choose_reasoning, nearest_effort, read_wish
from openrouter_pipe.ports.catalog import Capabilities, ModelCard, ReasoningSupport
from openrouter_pipe.ports.provider import Endpoint, Reasoning

CAN = Capabilities(reasoning=True, legacy_reasoning=True)


def card(model_id: str = "a/b", *, can: Capabilities = CAN, **support: object) -> ModelCard:
    return ModelCard(id=model_id, name="x", capabilities=can, reasoning=ReasoningSupport(**support))  # type: ignore[arg-type]


PLAIN = card()
NEW_GPT = card("openai/gpt-5.4", efforts=("xhigh", "high", "medium", "low", "none"))
PRO = card("openai/gpt-5.4-pro", efforts=("xhigh", "high", "medium"), mandatory=True)
LEGACY = card("qwen/qwq-32b", can=Capabilities(legacy_reasoning=True))
DUMB = card("openai/gpt-4o", can=Capabilities())
CLAUDE = card("anthropic/claude-opus-5", efforts=("max", "xhigh", "high", "medium", "low"), supports_max_tokens=True)
GEMINI25 = card("google/gemini-2.5-flash", supports_max_tokens=True)
GEMINI25_EFFORTS = card("google/gemini-2.5-pro", efforts=("high", "low"), mandatory=True)
GEMINI25_PRO = card("google/gemini-2.5-pro", supports_max_tokens=True, mandatory=True)
GEMINI3 = card("google/gemini-3-pro-preview", efforts=("high", "low"), mandatory=True, supports_max_tokens=True)
SILENT = card("x-ai/grok-4", mandatory=True)


NOTHING = Wish()


def asked(model: ModelCard, wish: Wish = NOTHING, *, task: bool = False, limit: int | None = None, **policy: object):
    return choose_reasoning(wish, model, ShapingPolicy(**policy), task=task, max_output_tokens=limit)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "policy", "expected"),
    [
        (PLAIN, {}, Reasoning(effort="medium", summary="auto")),
        (PLAIN, {"reasoning_summary_mode": "disabled"}, Reasoning(effort="medium")),
        (
            PLAIN,
            {"reasoning_effort": "xhigh", "reasoning_summary_mode": "detailed"},
            Reasoning(effort="xhigh", summary="detailed"),
        ),
        (PLAIN, {"reasoning_effort": "none"}, Reasoning(effort="none")),
        (PLAIN, {"enable_reasoning": False}, None),
        (DUMB, {}, None),
        (LEGACY, {}, Reasoning(legacy=True)),
        (LEGACY, {"enable_reasoning": False}, None),
        (LEGACY, {"reasoning_effort": "none"}, None),
        (NEW_GPT, {"reasoning_effort": "minimal"}, Reasoning(effort="low", summary="auto")),
        (NEW_GPT, {"reasoning_effort": "none"}, Reasoning(effort="none")),
        (PRO, {"reasoning_effort": "low"}, Reasoning(effort="medium", summary="auto")),
        (PRO, {"reasoning_effort": "none"}, Reasoning(effort="medium", summary="auto")),
        (SILENT, {"reasoning_effort": "none"}, Reasoning(effort="low", summary="auto")),
        (CLAUDE, {"reasoning_effort": "none"}, Reasoning(enabled=False)),
        (card(efforts=()), {}, Reasoning(enabled=True, summary="auto")),
        (card(efforts=(), mandatory=True), {"reasoning_effort": "none"}, Reasoning(enabled=True, summary="auto")),
    ],
)
def test_the_operators_default_in_the_form_the_model_takes(model: ModelCard, policy: dict, expected: object) -> None:
    assert asked(model, **policy) == expected


@pytest.mark.parametrize(
    ("model", "policy", "expected"),
    [
        (GEMINI25, {"reasoning_effort": "minimal"}, Reasoning(max_tokens=256, summary="auto")),
        (GEMINI25, {"reasoning_effort": "low"}, Reasoning(max_tokens=512, summary="auto")),
        (GEMINI25, {}, Reasoning(max_tokens=1024, summary="auto")),
        (GEMINI25, {"reasoning_effort": "high"}, Reasoning(max_tokens=2048, summary="auto")),
        (GEMINI25, {"reasoning_effort": "xhigh"}, Reasoning(max_tokens=4096, summary="auto")),
        (
            GEMINI25,
            {"gemini_thinking_budget": 1, "reasoning_effort": "minimal"},
            Reasoning(max_tokens=1, summary="auto"),
        ),
        (GEMINI25, {"gemini_thinking_budget": 0}, Reasoning(effort="none")),
        (GEMINI25, {"reasoning_effort": "none"}, Reasoning(effort="none")),
        (GEMINI25_PRO, {"gemini_thinking_budget": 0}, Reasoning(effort="low", summary="auto")),
        (GEMINI25_EFFORTS, {}, Reasoning(effort="low", summary="auto")),
        (GEMINI3, {"reasoning_effort": "high"}, Reasoning(effort="high", summary="auto")),
        (GEMINI3, {"gemini_thinking_level": "high"}, Reasoning(effort="high", summary="auto")),
        (
            GEMINI3,
            {"gemini_thinking_level": "low", "reasoning_effort": "xhigh"},
            Reasoning(effort="low", summary="auto"),
        ),
        (GEMINI3, {"gemini_thinking_budget": 0}, Reasoning(effort="low", summary="auto")),
    ],
)
def test_gemini_really_reasons_and_budget_0_really_disables(model: ModelCard, policy: dict, expected: object) -> None:
    assert asked(model, **policy) == expected


def test_a_budget_of_ours_leaves_room_for_the_answer() -> None:
    assert asked(GEMINI25, limit=500) == Reasoning(max_tokens=250, summary="auto")
    assert asked(GEMINI25, Wish(max_tokens=9000), limit=500) == Reasoning(max_tokens=9000, summary="auto")


@pytest.mark.parametrize(
    ("model", "wish", "policy", "expected"),
    [
        (PLAIN, Wish(effort="high"), {}, Reasoning(effort="high", summary="auto")),
        (PLAIN, Wish(effort="high"), {"enable_reasoning": False}, Reasoning(effort="high", summary="auto")),
        (PLAIN, Wish(effort="high", max_tokens=77), {}, Reasoning(max_tokens=77, summary="auto")),
        (PLAIN, Wish(max_tokens=0), {}, Reasoning(effort="none")),
        (PLAIN, Wish(enabled=False), {}, Reasoning(effort="none")),
        (PLAIN, Wish(enabled=True), {"reasoning_effort": "none"}, Reasoning(enabled=True, summary="auto")),
        (PLAIN, Wish(summary="concise"), {}, Reasoning(effort="medium", summary="concise")),
        (PLAIN, Wish(summary="disabled"), {}, Reasoning(effort="medium")),
        (GEMINI3, Wish(effort="high"), {"gemini_thinking_level": "low"}, Reasoning(effort="high", summary="auto")),
        (GEMINI25, Wish(effort="max"), {}, Reasoning(max_tokens=4096, summary="auto")),
        (LEGACY, Wish(effort="high"), {"enable_reasoning": False}, Reasoning(legacy=True)),
        (LEGACY, Wish(effort="none"), {}, None),
        (DUMB, Wish(effort="high"), {}, None),
    ],
)
def test_the_callers_wish_beats_every_default(model: ModelCard, wish: Wish, policy: dict, expected: object) -> None:
    assert asked(model, wish, **policy) == expected


@pytest.mark.parametrize(
    ("model", "policy", "expected"),
    [
        (PLAIN, {}, Reasoning(effort="low")),
        (PLAIN, {"task_model_reasoning_effort": "none"}, Reasoning(effort="none")),
        (PRO, {"task_model_reasoning_effort": "minimal"}, Reasoning(effort="medium")),
        (GEMINI25, {}, Reasoning(max_tokens=512)),
        (PLAIN, {"enable_reasoning": False}, None),
        (SILENT, {"enable_reasoning": False}, Reasoning(effort="low")),
        (LEGACY, {}, None),
        (DUMB, {}, None),
    ],
)
def test_tasks_have_their_own_effort_and_show_nothing(model: ModelCard, policy: dict, expected: object) -> None:
    assert asked(model, Wish(effort="xhigh", summary="auto"), task=True, **policy) == expected


@pytest.mark.parametrize(
    ("parameters", "expected", "warnings"),
    [
        ({}, Wish(), 0),
        ({"reasoning_effort": "High"}, Wish(effort="high"), 0),
        ({"reasoning_effort": "high", "reasoning": {"effort": "low"}}, Wish(effort="low"), 0),
        ({"reasoning_effort": "high", "reasoning": {"summary": "concise"}}, Wish(effort="high", summary="concise"), 0),
        ({"reasoning": {"max_tokens": "2000", "enabled": "true"}}, Wish(max_tokens=2000, enabled=True), 0),
        ({"reasoning": '{"effort": "minimal"}'}, Wish(effort="minimal"), 0),
        ({"reasoning": True}, Wish(enabled=True), 0),
        ({"reasoning": "xhigh"}, Wish(effort="xhigh"), 0),
        ({"include_reasoning": False}, Wish(enabled=False), 0),
        ({"include_reasoning": "true", "reasoning_effort": "low"}, Wish(effort="low"), 0),
        (
            {"reasoning": {"context": "all_turns", "mode": "pro", "exclude": True}},
            Wish(extra={"context": "all_turns", "mode": "pro"}),
            0,
        ),
        ({"reasoning_effort": " "}, Wish(), 0),
        ({"reasoning_effort": "ultra"}, Wish(), 1),
        ({"reasoning_effort": 3}, Wish(), 1),
        ({"reasoning": [1]}, Wish(), 1),
        ({"reasoning": {"effort": "ultra", "max_tokens": "lots", "enabled": {}, "summary": 5}}, Wish(), 4),
        ({"reasoning": None, "include_reasoning": "perhaps"}, Wish(), 1),
    ],
)
def test_reading_the_callers_wish(parameters: dict, expected: Wish, warnings: int) -> None:
    lines: list[str] = []
    assert read_wish(parameters, Endpoint.RESPONSES, lines.append) == expected
    assert len(lines) == warnings


def test_chat_knows_exclude_and_responses_context() -> None:
    given = {"reasoning": {"context": "auto", "exclude": True}}
    assert read_wish(given, Endpoint.CHAT_COMPLETIONS, [].append).extra == {"exclude": True}


@pytest.mark.parametrize(
    ("wanted", "accepted", "nearest"),
    [
        ("medium", ("low", "high"), "low"),
        ("high", ("max", "medium"), "medium"),
        ("minimal", ("none", "high"), "high"),
        ("none", ("low", "none"), "none"),
        ("none", ("high", "low"), "low"),
        ("max", ("low", "medium"), "medium"),
        ("low", (), None),
        ("low", ("none",), None),
        ("low", ("strange",), None),
    ],
)
def test_nearest_effort(wanted: str, accepted: tuple[str, ...], nearest: str | None) -> None:
    assert nearest_effort(wanted, accepted) == nearest


def test_effort_and_budget_never_go_together() -> None:
    for model in (PLAIN, NEW_GPT, PRO, CLAUDE, GEMINI25, GEMINI25_PRO, GEMINI3, SILENT):
        for wish in (Wish(), Wish(effort="high", max_tokens=5), Wish(effort="none"), Wish(max_tokens=1)):
            reasoning = asked(model, wish)
            assert reasoning is not None
            assert reasoning.effort is None or reasoning.max_tokens is None
