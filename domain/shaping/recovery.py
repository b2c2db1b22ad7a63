"""Refusals that a small change of the request cures, each tried once: replayed reasoning, effort, thinking, prompt caching.

The caller sends the new request only while nothing has been shown, and remembers the names it has tried.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from attrs import evolve, frozen

from openrouter_pipe.domain.catalog.refusals import fault_text
from openrouter_pipe.domain.history.families import without_proofs
from openrouter_pipe.domain.shaping.documented import EFFORTS
from openrouter_pipe.domain.shaping.reasoning import nearest_effort
from openrouter_pipe.ports.items import InputItem, MessageItem, TextPart
from openrouter_pipe.ports.provider import FaultKind, ProviderFault, ProviderRequest


@frozen
class Recovery:
    """A request to send instead; ``name`` goes into the next call's ``tried``, ``status`` is for the user."""

    name: str
    request: ProviderRequest
    status: str


def recover(request: ProviderRequest, fault: ProviderFault, tried: frozenset[str]) -> Recovery | None:
    """The cure for this refusal, or None when there is none or it was tried."""
    if fault.kind not in {FaultKind.STATUS, FaultKind.STREAM} or fault.status not in _CURABLE:
        return None
    text = fault_text(fault)
    for name, cure in _CURES:
        if name not in tried and (recovery := cure(request, text)) is not None:
            return recovery
    return None


def _effort(request: ProviderRequest, text: str) -> Recovery | None:
    """Another effort, when the refusal lists those that are accepted or says that off is not among them."""
    reasoning = request.reasoning
    if reasoning is None:
        return None
    is_off = reasoning.effort == "none" or reasoning.enabled is False
    if is_off and _MANDATORY.search(text):
        chosen: str | None = "low"
    elif reasoning.effort is not None and _is_about_effort(text.lower(), reasoning.effort):
        listed = [effort for effort in _accepted(text) if effort != reasoning.effort]
        chosen = nearest_effort(reasoning.effort, listed)
    else:
        return None
    if chosen is None:
        return None
    changed = evolve(reasoning, effort=chosen, enabled=None, max_tokens=None)
    return Recovery(
        "effort",
        evolve(request, reasoning=changed),
        f"Reasoning effort '{reasoning.effort or 'none'}' was refused; trying again with '{chosen}'",
    )


def _thinking(request: ProviderRequest, text: str) -> Recovery | None:
    if request.reasoning is None or not any(pattern.search(text) for pattern in _THINKING_REFUSED):
        return None
    return Recovery("thinking", evolve(request, reasoning=None), "Reasoning was refused; trying again without it")


def _proofs(request: ProviderRequest, text: str) -> Recovery | None:
    """Without replayed reasoning that the provider cannot read: another model's, another endpoint's, or out of date."""
    if not any(pattern.search(text) for pattern in _PROOF_REFUSED):
        return None
    kept = without_proofs(request.input)
    if len(kept) == len(request.input):
        return None
    changed = evolve(request, input=kept)
    return Recovery("proofs", changed, "Earlier reasoning was refused; trying again without it")


def _cache_control(request: ProviderRequest, text: str) -> Recovery | None:
    if not _NAMES_CACHING.search(text):
        return None
    kept = {name: value for name, value in request.parameters.items() if name != "cache_control"}
    changed = evolve(
        request, caching=None, parameters=kept, input=tuple(_without_breakpoints(item) for item in request.input)
    )
    if changed == request:
        return None
    return Recovery("cache_control", changed, "Prompt caching was refused; trying again without it")


def _without_breakpoints(item: InputItem) -> InputItem:
    if not isinstance(item, MessageItem):
        return item
    parts = tuple(evolve(part, cache_control=None) if isinstance(part, TextPart) else part for part in item.parts)
    return item if parts == item.parts else evolve(item, parts=parts)


def _is_about_effort(text: str, refused: str) -> bool:
    """Other settings have the same words for values (verbosity: low, medium, high) and the same refusals.

    A list of efforts that names no setting at all is about the effort: it is the one such value that every request has.
    """
    if "effort" in text:
        return True
    if "verbosity" in text:
        return False
    if "reasoning" in text or f"'{refused}'" in text or f'"{refused}"' in text:
        return True
    return refused not in (listed := _accepted(text)) and len(listed) > 1 and _BARE_LIST.match(text) is not None


def _accepted(text: str) -> list[str]:
    """The efforts that follow "supported values are" and the like, up to the end of that sentence."""
    found: list[str] = []
    for match in _LIST_BEGINS.finditer(text):
        rest = re.split(r"[.\n}]", text[match.end() : match.end() + 300], maxsplit=1)[0].lower()
        found += [word for word in re.findall(r"[a-z]+", rest) if word in EFFORTS]
    return found


_CURABLE: Final = frozenset({None, 400, 404, 422})
_LIST_BEGINS: Final = re.compile(
    r"(?:supported|accepted|allowed|valid|permitted)\s+(?:reasoning\s+)?(?:values?|efforts?|options?|levels?)"
    r"|(?:must be|expected|be)\s+one\s+of"
    r"|only\s+supports?",
    re.IGNORECASE,
)
_BARE_LIST: Final = re.compile(
    r"\W*(?:(?:invalid|unsupported|bad) (?:value|request|input)\W*)?(?:the )?supported values\b"
)
_MANDATORY: Final = re.compile(
    r"(?:reasoning|thinking)\b[^.\n]{0,60}(?:is mandatory|is required|cannot be disabled|can't be disabled)"
    r"|(?:cannot|can't|unable to)\s+(?:disable|turn off)\s+(?:reasoning|thinking)",
    re.IGNORECASE,
)
_THINKING_REFUSED: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"thinking\b[\W_]{0,3}(?:\w+\s+){0,3}(?:must|has to|needs to)\s+be\s+enabled",
        r"when\W+thinking\W+is\s+enabled",
        r"(?:does not|doesn't|do not)\s+support\s+(?:\w+\s+)?(?:thinking|reasoning)\b",
        r"(?:thinking|reasoning)\b[^.\n]{0,40}(?:is|are)\s+(?:not|un)\s?(?:supported|available)",
        r"expected\W+(?:thinking|redacted_thinking)\W",
    )
)
_PROOF_REFUSED: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"invalid_encrypted_content",
        r"encrypted[_ -]?(?:reasoning|content)\b[^\n]{0,400}(?:invalid|could not be|couldn't be|cannot be|can't be|failed)",
        r"(?:invalid|could not|couldn't|cannot|can't|unable to|failed to)[^.\n]{0,60}encrypted[_ -]?(?:reasoning|content)",
        r"(?:invalid|corrupt(?:ed)?|malformed)\W{1,3}thought[ _-]?signature\b",
        r"invalid\W{1,3}signature\W{1,3}in\W{1,3}(?:redacted_)?thinking\b",
        r"(?:thought|thinking)[ _-]?signature\b[^.\n]{0,40}(?:is not valid|is invalid|is corrupt|could not be|cannot be)",
        r"invalid\W{1,3}data\W{1,3}in\W{1,3}redacted_thinking",
        r"(?:thinking|redacted_thinking)\W{1,3}blocks?\b[^\n]{0,80}cannot be modified",
        r"\brs_\w+\W{1,3}not found",
    )
)
_NAMES_CACHING: Final = re.compile(r"cache[_-]control|prompt_cache_breakpoint|cache[ _-]?breakpoint", re.IGNORECASE)
_CURES: Final[tuple[tuple[str, Callable[[ProviderRequest, str], Recovery | None]], ...]] = (
    ("proofs", _proofs),
    ("cache_control", _cache_control),
    ("effort", _effort),
    ("thinking", _thinking),
)
