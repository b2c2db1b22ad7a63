"""What reasoning to ask for: the caller's wish, else the operator's, in the form that this model takes.

Forms: an effort (most families), a token budget (Gemini 2.5), a level (Gemini 3, which is an effort of few steps), the old
switch (models that know nothing else). Effort and budget never go together. A wish that the model's card rules out is
bent to the nearest thing the card allows, instead of being refused upstream.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import evolve, field, frozen

from openrouter_pipe.domain.shaping import values
from openrouter_pipe.domain.shaping.documented import EFFORTS
from openrouter_pipe.domain.shaping.policy import ShapingPolicy
from openrouter_pipe.domain.shaping.values import Reader, UnusableError, Warn
from openrouter_pipe.ports.catalog import ModelCard, ReasoningSupport
from openrouter_pipe.ports.json import JsonObject, JsonValue
from openrouter_pipe.ports.provider import Endpoint, Reasoning

_OFF: Final = "none"
_LOWEST_COMMON: Final = "low"
_BUDGET_SHARES: Final[Mapping[str, float]] = {
    "minimal": 0.25,
    "low": 0.5,
    "medium": 1.0,
    "high": 2.0,
    "xhigh": 4.0,
    "max": 4.0,
}
_SUMMARIES: Final = ("auto", "concise", "detailed")
_GEMINI: Final = re.compile(r"~?google/gemini-(?P<major>\d+)")


@frozen
class Wish:
    """What the caller said. All None: nothing. ``enabled`` False means off."""

    effort: str | None = None
    max_tokens: int | None = None
    enabled: bool | None = None
    summary: str | None = None
    extra: JsonObject = field(factory=dict)

    @property
    def is_off(self) -> bool:
        """Whether reasoning is to be off."""
        return self.enabled is False or self.effort == _OFF or (self.max_tokens is not None and self.max_tokens <= 0)

    @property
    def is_silent(self) -> bool:
        """Whether nothing was said about reasoning on or off, more or less."""
        return self.effort is None and self.max_tokens is None and self.enabled is None


def read_wish(parameters: JsonObject, endpoint: Endpoint, warn: Warn) -> Wish:
    """The caller's ``reasoning`` (object, switch or effort), else ``reasoning_effort``, else ``include_reasoning``."""
    wish = _read_reasoning(parameters.get("reasoning"), endpoint, warn)
    if wish.is_silent:
        effort = values.take(parameters, "reasoning_effort", values.choice(*EFFORTS), warn)
        wish = evolve(wish, effort=effort if isinstance(effort, str) else None)
    if wish.is_silent:
        included = values.take(parameters, "include_reasoning", values.boolean, warn)
        wish = evolve(wish, enabled=included if isinstance(included, bool) else None)
    return wish


def choose_reasoning(
    wish: Wish, card: ModelCard, policy: ShapingPolicy, *, task: bool, max_output_tokens: int | None = None
) -> Reasoning | None:
    """What to ask of this model; None asks nothing.

    A task obeys its own effort and shows nothing. ``max_output_tokens`` is the answer's limit, which a budget of our own
    making must leave room in.
    """
    if task:
        wish = Wish(effort=policy.task_model_reasoning_effort if _may_reason(card, policy) else None)
    if not card.capabilities.reasoning:
        wanted = not task and not wish.is_off and (not wish.is_silent or _default_effort(policy) is not None)
        return Reasoning(legacy=True) if card.capabilities.legacy_reasoning and wanted else None
    if wish.is_silent and (task or not policy.enable_reasoning):
        return None
    reasoning = _form(wish, card, policy, max_output_tokens)
    if reasoning is None or _is_off(reasoning):
        return reasoning
    return evolve(reasoning, summary=None if task else _summary(wish, policy), extra=wish.extra)


def nearest_effort(wanted: str, accepted: Sequence[str]) -> str | None:
    """The accepted effort closest to ``wanted``; the lower of two equally close ones, and off only when off is wanted."""
    known = [effort for effort in EFFORTS if effort in accepted]
    if wanted == _OFF:
        return known[0] if known else None
    place = EFFORTS.index(wanted)
    steps = [effort for effort in known if effort != _OFF]
    return min(steps, key=lambda effort: (abs(EFFORTS.index(effort) - place), EFFORTS.index(effort)), default=None)


def _may_reason(card: ModelCard, policy: ShapingPolicy) -> bool:
    """Whether a task has anything to say: not where reasoning is switched off and the model is silent by itself."""
    return policy.enable_reasoning or card.reasoning.mandatory or card.reasoning.default_enabled is True


def _default_effort(policy: ShapingPolicy) -> str | None:
    if not policy.enable_reasoning or policy.reasoning_effort == _OFF:
        return None
    return policy.reasoning_effort


def _form(wish: Wish, card: ModelCard, policy: ShapingPolicy, limit: int | None) -> Reasoning | None:
    support = card.reasoning
    if wish.is_off:
        return _off(support)
    if wish.max_tokens is not None:
        return Reasoning(max_tokens=wish.max_tokens)
    gemini = _GEMINI.match(card.id.lower())
    default = policy.reasoning_effort
    if gemini and wish.effort is None and default != _OFF and int(gemini["major"]) >= 3:
        default = default if policy.gemini_thinking_level == "auto" else policy.gemini_thinking_level
    effort = wish.effort or default
    if effort == _OFF:
        return Reasoning(enabled=True) if wish.enabled else _off(support)
    if gemini and int(gemini["major"]) < 3 and (support.supports_max_tokens or support.efforts is None):
        return _budget(effort, card, policy, limit)
    if support.efforts is None:
        return Reasoning(effort=effort)
    nearest = nearest_effort(effort, support.efforts)
    return Reasoning(enabled=True) if nearest is None else Reasoning(effort=nearest)


def _budget(effort: str, card: ModelCard, policy: ShapingPolicy, limit: int | None) -> Reasoning:
    if policy.gemini_thinking_budget == 0:
        return _off(card.reasoning)
    budget = max(1, int(policy.gemini_thinking_budget * _BUDGET_SHARES[effort]))
    for most in (limit, card.max_output_tokens):
        if most is not None and most > 1 and budget >= most:
            budget = most // 2
    return Reasoning(max_tokens=budget)


def _off(support: ReasoningSupport) -> Reasoning:
    """As good as off gets: models that must reason answer an error to a plain "off"."""
    if support.mandatory:
        lowest = next((effort for effort in EFFORTS if effort in (support.efforts or ())), None)
        if lowest is not None:
            return Reasoning(effort=lowest)
        return Reasoning(effort=_LOWEST_COMMON) if support.efforts is None else Reasoning(enabled=True)
    if support.efforts is None or _OFF in support.efforts:
        return Reasoning(effort=_OFF)
    return Reasoning(enabled=False)


def _is_off(reasoning: Reasoning) -> bool:
    return reasoning.effort == _OFF or reasoning.enabled is False


def _summary(wish: Wish, policy: ShapingPolicy) -> str | None:
    chosen = wish.summary or policy.reasoning_summary_mode
    return chosen if chosen in _SUMMARIES else None


def _read_reasoning(given: JsonValue, endpoint: Endpoint, warn: Warn) -> Wish:
    if values.is_unset(given):
        return Wish()
    if isinstance(given, bool):
        return Wish(enabled=given)
    if isinstance(given, str) and given.strip().lower() in EFFORTS:
        return Wish(effort=given.strip().lower())
    try:
        fields = values.json_object(given)
    except UnusableError:
        warn(f"Parameter reasoning was left out: it must be an object or an effort, not {values.shown(given)}")
        return Wish()
    named = {f"reasoning.{name}": value for name, value in fields.items()}
    effort = values.take(named, "reasoning.effort", values.choice(*EFFORTS), warn)
    budget = values.take(named, "reasoning.max_tokens", values.integer, warn)
    enabled = values.take(named, "reasoning.enabled", values.boolean, warn)
    summary = values.take(named, "reasoning.summary", values.choice(*_SUMMARIES, "disabled", "none"), warn)
    return Wish(
        effort=effort if isinstance(effort, str) else None,
        max_tokens=budget if isinstance(budget, int) else None,
        enabled=enabled if isinstance(enabled, bool) else None,
        summary=summary if isinstance(summary, str) else None,
        extra=_extra(named, endpoint, warn),
    )


def _extra(named: JsonObject, endpoint: Endpoint, warn: Warn) -> JsonObject:
    """What only one endpoint documents beside effort, budget and summary."""
    if endpoint is Endpoint.CHAT_COMPLETIONS:
        readers: dict[str, Reader] = {"exclude": values.boolean}
    else:
        readers = {
            "context": values.choice("auto", "all_turns", "current_turn"),
            "mode": values.choice("standard", "pro"),
        }
    read = {name: values.take(named, f"reasoning.{name}", reader, warn) for name, reader in readers.items()}
    return {name: value for name, value in read.items() if value is not None}
