"""Which endpoint answers a model, and when the other one is worth a try."""

from __future__ import annotations

import re
from typing import Final

from attrs import frozen

from openrouter_pipe.domain.catalog import globs, ids
from openrouter_pipe.domain.catalog.refusals import fault_text
from openrouter_pipe.ports.provider import Endpoint, FaultKind, ProviderFault


@frozen
class EndpointPolicy:
    """``force_chat`` and ``force_responses`` are comma-separated globs in slash or dot spelling, in any case; the second
    wins. ``fallback`` allows one try on the other endpoint, see `wants_chat_completions`."""

    default: Endpoint = Endpoint.RESPONSES
    force_chat: str = ""
    force_responses: str = ""
    fallback: bool = True


def choose_endpoint(model_id: str, policy: EndpointPolicy, ruled: Endpoint | None = None) -> Endpoint:
    """The endpoint for a model id as it is sent; globs match it with and without variant and preset.

    ``ruled`` is what the operator's rules by model say: of all settings the most particular one.
    """
    if ruled is not None:
        return ruled
    if _matches(model_id, policy.force_responses):
        return Endpoint.RESPONSES
    if _matches(model_id, policy.force_chat):
        return Endpoint.CHAT_COMPLETIONS
    return policy.default


def wants_chat_completions(fault: ProviderFault) -> bool:
    """Whether the Responses endpoint says that the model or a feature is not to be had there."""
    if fault.kind not in {FaultKind.STATUS, FaultKind.STREAM} or fault.status not in _REFUSALS:
        return False
    text = fault_text(fault)
    if _OTHER_WAY_ROUND.search(text):
        return False
    return any(pattern.search(text) for pattern in _ELSEWHERE)


_REFUSALS: Final = frozenset({None, 400, 404, 405, 415, 422, 501})
_NOT: Final = (
    r"(?:not|n't|isn't|un)[ -]?(?:yet |currently )?(?:be )?(?:supported|supports?|available|implemented|served)"
)
_RESPONSES: Final = r"(?:/responses\b|responses[ -](?:api|endpoint)|openresponses)"
_CHAT: Final = r"chat[ /_.-]?completions?"
_ELSEWHERE: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\bwrong[ _]endpoint\b",
        rf"{_NOT}[^.\n]{{0,80}}{_RESPONSES}",
        rf"{_RESPONSES}[^.\n]{{0,80}}{_NOT}",
        rf"(?:use|try|requires?|only (?:supported|supports|available|served|works)|switch to)[^.\n]{{0,60}}{_CHAT}",
        rf"{_NOT} (?:on|by|at|via|through|with|for|in) this (?:api )?endpoint\b",
        r"\bthis (?:api )?endpoint (?:does not|doesn't|cannot|can't) (?:support|serve)",
    )
)
# "not supported on the Responses API; use chat completions" names both, and is not the other way round.
_ADVICE: Final = rf"{_RESPONSES}|\b(?:use|try|switch)\b"
_OTHER_WAY_ROUND: Final = re.compile(
    rf"{_NOT}(?:(?!{_ADVICE})[^.\n]){{0,80}}{_CHAT}|only (?:supported|available|served)[^.\n]{{0,30}}{_RESPONSES}",
    re.IGNORECASE,
)


def _matches(model_id: str, setting: str) -> bool:
    patterns = tuple(ids.lookup_key(glob) for glob in setting.split(",") if glob.strip())
    return bool(patterns) and globs.matches(globs.spellings(model_id), patterns)
