"""Models to try after the first one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from openrouter_pipe.domain.shaping import values
from openrouter_pipe.domain.shaping.values import Warn
from openrouter_pipe.ports.json import JsonObject

ModelResolver: TypeAlias = Callable[[str], str | None]
"""The provider's id for a name in any spelling; None when there is no such model or it may not be used."""


def choose_fallbacks(
    parameters: JsonObject, primary: frozenset[str], resolve: ModelResolver | None, warn: Warn
) -> tuple[str, ...]:
    """The caller's ``models``, then ``model_fallback``, each once, in order, without the primary's own ids.

    Without ``resolve`` names are taken for the provider's ids as they stand.
    """
    chosen: dict[str, None] = {}
    for parameter in ("models", "model_fallback"):
        names = values.take(parameters, parameter, values.words, warn)
        for name in names if isinstance(names, tuple) else ():
            if not isinstance(name, str):
                continue
            model_id = resolve(name) if resolve else name
            if model_id is None:
                warn(f"Parameter {parameter}: {values.shown(name)} is unknown or not allowed; it was left out")
            elif model_id not in primary:
                chosen[model_id] = None
    return tuple(chosen)
