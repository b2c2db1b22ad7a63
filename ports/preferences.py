"""OpenRouter's preferences about who serves a request: their names and words, and a strict reading of them.

Strict is for what an operator wrote: a mistake is an error that says what would be right. What a user sends along is bent
instead, see `openrouter_pipe.domain.shaping.provider_preferences`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Final, TypeAlias

from attrs import field, frozen

from openrouter_pipe.ports.json import JsonObject, JsonValue

Reader: TypeAlias = Callable[[JsonValue], JsonValue]

SORTS: Final = ("price", "throughput", "latency", "exacto")
PARTITIONS: Final = ("model", "none")
PERCENTILES: Final = ("p50", "p75", "p90", "p99")
PRICES: Final = ("audio", "completion", "image", "prompt", "request")
QUANTIZATIONS: Final = frozenset(
    {"int4", "int8", "fp4", "mxfp4", "nvfp4", "fp6", "fp8", "mxfp8", "fp16", "bf16", "fp32", "unknown"}
)
STRICTEST: Final[Mapping[str, JsonValue]] = {
    "data_collection": "deny",
    "zdr": True,
    "enforce_distillable_text": True,
    "require_parameters": True,
    "allow_fallbacks": False,
}
"""Preferences of two values, with the one that restricts."""

_SLUG: Final = re.compile(r"[^\s,\x00-\x1f\x7f][^,\x00-\x1f\x7f]{0,127}")
_HIGHEST_PRICE: Final = 1e6
_DECIMALS: Final = 12


@frozen
class Enforcement:
    """What holds whatever anybody asks for; empty allows everything.

    ``only`` and ``quantizations`` None: any. ``max_price`` maps a kind of price to text, in USD per million tokens (or per
    image, request, unit of audio). ``flags`` names preferences of two values (`STRICTEST`) that are at their strictest.
    """

    only: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    quantizations: tuple[str, ...] | None = None
    max_price: Mapping[str, str] = field(factory=dict)
    flags: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return self != Enforcement()


class PreferenceError(ValueError):
    """A preference that cannot be taken; the message completes the sentence "provider…"."""


def read_wishes(given: JsonValue) -> JsonObject:
    """Preferences in the form in which they are sent. Raises `PreferenceError`."""
    fields = json_object(given)
    _check_names(fields, _READERS)
    return {name: _read(name, value) for name, value in fields.items()}


def read_enforcement(given: JsonValue) -> Enforcement:
    """What is to be enforced: only what can be compared, so that the strictest of several is known.

    Raises:
        PreferenceError: as `read_wishes`; a wish (an order cannot be enforced); a value that restricts nothing.
    """
    fields = json_object(given)
    for name in fields:
        if name in _READERS and name not in _ENFORCED:
            raise PreferenceError(
                f".{name} is a wish and cannot be enforced; put it into provider. Enforceable are: {_listed(_ENFORCED)}"
            )
    _check_names(fields, _ENFORCED)
    read = {name: _read(name, value) for name, value in fields.items()}
    for name, strictest in STRICTEST.items():
        if name in read and read[name] != strictest:
            raise PreferenceError(
                f".{name} must be {json.dumps(strictest)}, since nothing else restricts anything; or leave it out"
            )
    prices = read.get("max_price")
    only, ignore, quantizations = (_texts(read.get(name)) for name in ("only", "ignore", "quantizations"))
    return Enforcement(
        only=only or None,
        ignore=ignore,
        quantizations=quantizations or None,
        max_price={name: str(price) for name, price in prices.items()} if isinstance(prices, Mapping) else {},
        flags=frozenset(STRICTEST.keys() & read.keys()),
    )


def json_object(given: JsonValue) -> JsonObject:
    """An object that says something; raises `PreferenceError`."""
    if not isinstance(given, Mapping):
        raise PreferenceError(f" must be an object, not {shown(given)}")
    if not given:
        raise PreferenceError(" is empty; leave it out")
    return given


def shown(value: JsonValue) -> str:
    """A value in a message: as JSON, and short."""
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def choice(*words: str) -> Reader:
    """A reader of one of these words, in any case."""

    def read(value: JsonValue) -> str:
        word = value.strip().lower() if isinstance(value, str) else ""
        if word not in words:
            raise PreferenceError(f" must be one of {', '.join(words)}, not {shown(value)}")
        return word

    return read


def _read(name: str, value: JsonValue) -> JsonValue:
    try:
        return _READERS[name](value)
    except PreferenceError as problem:
        raise PreferenceError(f".{name}{problem}") from None


def _check_names(fields: JsonObject, known: Collection[str]) -> None:
    for name in fields:
        if name not in known:
            raise PreferenceError(f" has no field {shown(name)}; the fields are {_listed(known)}")


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names))


def _texts(value: JsonValue) -> tuple[str, ...]:
    return tuple(str(one) for one in value) if isinstance(value, tuple) else ()


def _slugs(value: JsonValue) -> JsonValue:
    """Providers, each once; compared without regard to case, as the provider does."""
    if not isinstance(value, list | tuple) or not value:
        raise PreferenceError(f' must be a list of providers such as ["anthropic"], not {shown(value)}')
    slugs: dict[str, str] = {}
    for entry in value:
        slug = entry.strip() if isinstance(entry, str) else ""
        if not _SLUG.fullmatch(slug):
            raise PreferenceError(f" must be a list of providers, each a text of its own; {shown(entry)} is none")
        slugs.setdefault(slug.casefold(), slug)
    return tuple(slugs.values())


def _boolean(value: JsonValue) -> JsonValue:
    if isinstance(value, bool):
        return value
    raise PreferenceError(f" must be true or false, not {shown(value)}")


def _quantizations(value: JsonValue) -> JsonValue:
    names = value if isinstance(value, list | tuple) else ()
    words = tuple(name.strip().lower() if isinstance(name, str) else "" for name in names)
    if not words or not QUANTIZATIONS.issuperset(words):
        raise PreferenceError(f" must be a list of {_listed(QUANTIZATIONS)}, not {shown(value)}")
    return tuple(dict.fromkeys(words))


def _number(value: JsonValue, most: float = math.inf) -> float:
    """A number of at least 0, also as text, as the provider's schema has it."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not (math.isfinite(number) and 0 <= number <= most):
        limit = "" if most == math.inf else f" and at most {most:.0f}"
        raise PreferenceError(f" must be a number of at least 0{limit}, not {shown(value)}")
    return abs(number)


def _max_price(value: JsonValue) -> JsonValue:
    prices = json_object(value)
    _check_names(prices, PRICES)
    return {name: _price(name, price) for name, price in prices.items()}


def _price(name: str, value: JsonValue) -> str:
    """As text without exponent, which is what the provider's schema wants."""
    try:
        number = _number(value, _HIGHEST_PRICE)
    except PreferenceError as problem:
        raise PreferenceError(f".{name}{problem}") from None
    return f"{number:.{_DECIMALS}f}".rstrip("0").rstrip(".")


def _sort(value: JsonValue) -> JsonValue:
    if not isinstance(value, Mapping):
        return choice(*SORTS)(value)
    fields = json_object(value)
    readers: Mapping[str, Reader] = {"by": choice(*SORTS), "partition": choice(*PARTITIONS)}
    _check_names(fields, readers)
    return {name: _read_field(name, field, readers[name]) for name, field in fields.items()}


def _percentiles(value: JsonValue) -> JsonValue:
    if not isinstance(value, Mapping):
        return _number(value)
    fields = json_object(value)
    _check_names(fields, PERCENTILES)
    return {name: _read_field(name, number, _number) for name, number in fields.items()}


def _read_field(name: str, value: JsonValue, reader: Reader) -> JsonValue:
    try:
        return reader(value)
    except PreferenceError as problem:
        raise PreferenceError(f".{name}{problem}") from None


_READERS: Final[Mapping[str, Reader]] = {
    **dict.fromkeys(("order", "only", "ignore"), _slugs),
    **dict.fromkeys(("allow_fallbacks", "require_parameters", "zdr", "enforce_distillable_text"), _boolean),
    **dict.fromkeys(("preferred_min_throughput", "preferred_max_latency"), _percentiles),
    "data_collection": choice("allow", "deny"),
    "max_price": _max_price,
    "quantizations": _quantizations,
    "sort": _sort,
}
_ENFORCED: Final = frozenset({*STRICTEST, "only", "ignore", "max_price", "quantizations"})

PREFERENCES: Final = frozenset(_READERS)
"""Every preference that the schema documents."""
