"""How long the answer may get."""

from __future__ import annotations

from openrouter_pipe.domain.shaping import values
from openrouter_pipe.domain.shaping.policy import ShapingPolicy
from openrouter_pipe.domain.shaping.values import Warn
from openrouter_pipe.ports.catalog import ModelCard
from openrouter_pipe.ports.json import JsonObject

_SPELLINGS = ("max_output_tokens", "max_completion_tokens", "max_tokens")


def choose_max_output_tokens(
    parameters: JsonObject, card: ModelCard, policy: ShapingPolicy, warn: Warn, ruled: int | None = None
) -> int | None:
    """The caller's limit in any spelling, newest first; else what the operator's rules say (``ruled``), never more than the
    model can; else the model's maximum where the operator wants that.

    Zero and less are no limits: the provider would refuse the whole request.
    """
    for name in _SPELLINGS:
        limit = values.take(parameters, name, values.positive, warn)
        if isinstance(limit, int):
            return limit
    if ruled is not None:
        return min(ruled, card.max_output_tokens or ruled)
    return card.max_output_tokens if policy.use_model_max_output_tokens else None
