"""Reading one catalogue entry into a `ModelCard`.

The entry is hostile until read: every field that is missing or oddly typed falls back to "unknown" for that field alone,
so that a new shape upstream degrades one entry and never the catalogue.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from openrouter_pipe.ports.catalog import Capabilities, ModelCard, ReasoningSupport
from openrouter_pipe.ports.json import JsonObject, JsonValue

_NOT_PRICES: Final = frozenset({"discount", "min_prompt_tokens", "utc_start", "utc_end"})


def read_card(entry: JsonValue) -> ModelCard | None:
    """One entry as a card, or None when it has no usable id."""
    if not isinstance(entry, Mapping):
        return None
    model_id = _text(entry.get("id")).strip()
    if not model_id:
        return None
    parameters = frozenset(_words(entry.get("supported_parameters")))
    top = _object(entry.get("top_provider"))
    pricing = _object(entry.get("pricing"))
    reasoning = entry.get("reasoning")
    return ModelCard(
        id=model_id,
        name=_text(entry.get("name")).strip() or model_id,
        canonical_slug=_text(entry.get("canonical_slug")),
        description=_text(entry.get("description")),
        context_length=_positive(entry.get("context_length")) or _positive(top.get("context_length")),
        max_output_tokens=_positive(top.get("max_completion_tokens")),
        capabilities=_capabilities(entry, parameters, pricing),
        reasoning=_reasoning(reasoning) if isinstance(reasoning, Mapping) else ReasoningSupport(),
        free=is_free(pricing),
        created=_positive(entry.get("created")) or 0,
    )


def is_free(pricing: JsonValue) -> bool:
    """Whether there is at least one numeric price and all numeric prices, at any depth, are 0."""
    prices = list(_prices(pricing))
    return bool(prices) and all(price == 0 for price in prices)


def _capabilities(entry: JsonObject, parameters: frozenset[str], pricing: JsonObject) -> Capabilities:
    architecture = _object(entry.get("architecture"))
    inputs = frozenset(word.lower() for word in _words(architecture.get("input_modalities"))) or frozenset({"text"})
    outputs = frozenset(word.lower() for word in _words(architecture.get("output_modalities"))) or frozenset({"text"})
    return Capabilities(
        tools=bool(parameters & {"tools", "tool_choice"}),
        reasoning="reasoning" in parameters or isinstance(entry.get("reasoning"), Mapping),
        legacy_reasoning="include_reasoning" in parameters,
        web_search="web_search_options" in parameters or any(_prices(pricing.get("web_search"))),
        image_output="image" in outputs,
        text_output="text" in outputs,
        inputs=inputs,
    )


def _reasoning(published: JsonObject) -> ReasoningSupport:
    efforts = published.get("supported_efforts")
    return ReasoningSupport(
        mandatory=published.get("mandatory") is True,
        efforts=tuple(word.lower() for word in _words(efforts)) if _is_list(efforts) else None,
        default_enabled=_switch(published.get("default_enabled")),
        supports_max_tokens=_switch(published.get("supports_max_tokens")),
    )


def _prices(value: JsonValue) -> Iterator[float]:
    """Every number in a price list; an explicit stack, because the depth is the sender's choice."""
    waiting: list[JsonValue] = [value]
    while waiting:
        match waiting.pop():
            case bool() | None:
                continue
            case int() | float() as number:
                yield _float(number)
            case str() as text:
                try:
                    yield float(text)
                except ValueError:
                    continue
            case Mapping() as inner:
                waiting.extend(below for key, below in inner.items() if key not in _NOT_PRICES)
            case inner:
                waiting.extend(inner)


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _is_list(value: JsonValue) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _words(value: JsonValue) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return ()
    return tuple(word for word in value if isinstance(word, str) and word)


def _object(value: JsonValue) -> JsonObject:
    return value if isinstance(value, Mapping) else {}


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else ""


def _switch(value: JsonValue) -> bool | None:
    return value if isinstance(value, bool) else None


def _positive(value: JsonValue) -> int | None:
    """A whole number above 0, also as text or float; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return int(number) if math.isfinite(number) and number >= 1 else None
