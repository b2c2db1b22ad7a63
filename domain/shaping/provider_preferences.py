"""The caller's wishes about who serves the request (routing preferences).

The provider refuses the whole request over one unknown or badly typed preference, so each is read on its own. A privacy
preference that cannot be read is taken at its strictest: a typing mistake must not send a prompt where it may be kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from openrouter_pipe.domain.shaping import values
from openrouter_pipe.domain.shaping.values import Reader, UnusableError, Warn
from openrouter_pipe.ports.json import JsonObject, JsonValue
from openrouter_pipe.ports.preferences import PARTITIONS, PERCENTILES, PRICES, QUANTIZATIONS, SORTS, STRICTEST

_QUANTIZATIONS: Final = "quantizations"
# Whether providers that lack a parameter are left out is no matter of privacy: a mistake there is left out itself.
_STRICTEST: Final = {name: value for name, value in STRICTEST.items() if name != "require_parameters"}


def read_preferences(given: JsonObject, warn: Warn) -> dict[str, JsonValue]:
    """The preferences that can be sent; each that cannot costs one warning."""
    kept: dict[str, JsonValue] = {}
    for name, value in given.items():
        if values.is_unset(value):
            continue
        reader = _READERS.get(name)
        if reader is None:
            warn(f"Parameter provider: there is no preference called {values.shown(name)}; it was left out")
            continue
        try:
            kept[name] = _quantizations(value, warn) if name == _QUANTIZATIONS else reader(value)
        except UnusableError as problem:
            if name in _STRICTEST:
                kept[name] = _STRICTEST[name]
                outcome = f"the strictest value ({_STRICTEST[name]}) is used"
            else:
                outcome = "it was left out"
            warn(f"Parameter provider.{name}: it must be {problem}, not {values.shown(value)}; {outcome}")
    return kept


def _sort(value: JsonValue) -> JsonValue:
    if not isinstance(value, Mapping):
        return values.choice(*SORTS)(value)
    sort: dict[str, JsonValue] = {}
    if not values.is_unset(by := value.get("by")):
        sort["by"] = values.choice(*SORTS)(by)
    if not values.is_unset(partition := value.get("partition")):
        sort["partition"] = values.choice(*PARTITIONS)(partition)
    return sort


def _quantizations(value: JsonValue, warn: Warn) -> JsonValue:
    """Those that there are: without the others the caller's choice still holds, without any of them it would not."""
    names = tuple(dict.fromkeys(name.lower() for name in values.words(value)))
    unknown = [name for name in names if name not in QUANTIZATIONS]
    wanted = f"a list of {', '.join(sorted(QUANTIZATIONS))}"
    if unknown and len(unknown) == len(names):
        raise UnusableError(wanted)
    if unknown:
        shown = ", ".join(values.shown(name) for name in unknown[:5])
        warn(f"Parameter provider.{_QUANTIZATIONS}: it must be {wanted}, not {shown}; the others are used")
    return tuple(name for name in names if name in QUANTIZATIONS)


def _percentiles(value: JsonValue) -> JsonValue:
    """A number (meaning p50) or numbers per percentile."""
    if not isinstance(value, Mapping):
        return values.number(value)
    return {name: values.number(value[name]) for name in PERCENTILES if not values.is_unset(value.get(name))}


def _max_price(value: JsonValue) -> JsonValue:
    """Prices in USD; the schema wants them as text."""
    limits = values.json_object(value)
    return {name: str(values.number(limits[name])) for name in PRICES if not values.is_unset(limits.get(name))}


_READERS: Final[Mapping[str, Reader]] = {
    **dict.fromkeys(("order", "only", "ignore"), values.words),
    **dict.fromkeys(("allow_fallbacks", "require_parameters", "zdr", "enforce_distillable_text"), values.boolean),
    **dict.fromkeys(("preferred_min_throughput", "preferred_max_latency"), _percentiles),
    "data_collection": values.choice("allow", "deny"),
    "max_price": _max_price,
    _QUANTIZATIONS: values.words,
    "sort": _sort,
}

PREFERENCES: Final = frozenset(_READERS)
"""Every preference that the schema documents."""
