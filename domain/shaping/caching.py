"""Prompt caching where it must be asked for: on Anthropic's models.

Breakpoints stand at places that do not move while a conversation grows: the end of the system prompt and the last user
messages. A caller's own breakpoints are kept and count against the provider's limit of four.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from openrouter_pipe.domain.catalog import ids
from openrouter_pipe.domain.shaping.policy import ShapingPolicy
from openrouter_pipe.ports.catalog import ModelCard
from openrouter_pipe.ports.items import InputItem, MessageItem, Role, TextPart
from openrouter_pipe.ports.json import JsonObject
from openrouter_pipe.ports.provider import PromptCaching

INTERLEAVED_THINKING: Final = "interleaved-thinking-2025-05-14"
"""The opt-in by which Anthropic's models think between tool calls."""

_MOST_BREAKPOINTS: Final = 4
_USER_MESSAGES: Final = 3
_INSTRUCTORS: Final = frozenset({Role.SYSTEM, Role.DEVELOPER})


def is_anthropic(card: ModelCard) -> bool:
    """Whether the model is one of Anthropic's."""
    return ids.vendor(card.id) == "anthropic"


def beta_features(card: ModelCard, policy: ShapingPolicy) -> tuple[str, ...]:
    """Opt-ins for this model."""
    wanted = policy.enable_anthropic_interleaved_thinking and is_anthropic(card)
    return (INTERLEAVED_THINKING,) if wanted else ()


def choose_caching(
    items: Sequence[InputItem], card: ModelCard, parameters: JsonObject, policy: ShapingPolicy
) -> PromptCaching | None:
    """Where to put breakpoints; None where the model caches by itself or the caller said all there is to say.

    ``parameters`` are those that leave: a caller's own automatic breakpoint among them stands for all of ours.
    """
    if not policy.enable_anthropic_prompt_caching or not is_anthropic(card) or "cache_control" in parameters:
        return None
    own = [_own_breakpoints(item) for item in items]
    room = _MOST_BREAKPOINTS - sum(own)
    candidates = [place for place in _stable_places(items) if not own[place]][: max(room, 0)]
    if not candidates:
        return None
    return PromptCaching(policy.anthropic_prompt_cache_ttl, tuple(sorted(candidates)))


def _stable_places(items: Sequence[InputItem]) -> list[int]:
    """Indices, most valuable first: the last system block, then user messages from the newest back."""
    messages = [(place, item) for place, item in enumerate(items) if isinstance(item, MessageItem) and item.parts]
    system = [place for place, item in messages if item.role in _INSTRUCTORS]
    users = [place for place, item in messages if item.role is Role.USER]
    return [*system[-1:], *reversed(users[-_USER_MESSAGES:])]


def _own_breakpoints(item: InputItem) -> int:
    if not isinstance(item, MessageItem):
        return 0
    return sum(isinstance(part, TextPart) and part.cache_control is not None for part in item.parts)
