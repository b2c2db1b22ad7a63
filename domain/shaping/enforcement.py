"""What an operator enforces about providers, several rules at once, laid over what a request asks for.

Nothing here loosens: each function's result is at least as strict as each of its inputs, or there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from openrouter_pipe.ports.json import JsonObject, JsonValue
from openrouter_pipe.ports.model_rules import ModelRule
from openrouter_pipe.ports.preferences import STRICTEST, Enforcement

_SETTING: Final = "MODEL_RULES"


class RulesConflictError(Exception):
    """What is enforced leaves nobody who could answer; ``reason`` is a sentence for the user."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def combined(rules: Sequence[ModelRule]) -> Enforcement:
    """All of them at once; raises `RulesConflictError` where they leave no provider."""
    limits = [rule.enforce for rule in rules if rule.enforce]
    if not limits:
        return Enforcement()
    names = ", ".join(rule.name for rule in rules if rule.enforce)
    only = _common((one.only for one in limits), f"{_SETTING}: {names} have no provider in common in only")
    ignore: tuple[str, ...] = ()
    for one in limits:
        ignore = _union(ignore, one.ignore)
    if only is not None and all(_is_among(slug, ignore) for slug in only):
        raise RulesConflictError(f"{_SETTING}: {names} leave no provider: each one in only is in ignore too")
    return Enforcement(
        only=only,
        ignore=ignore,
        quantizations=_common(
            (one.quantizations for one in limits), f"{_SETTING}: {names} have no quantization in common"
        ),
        max_price=_lowest(one.max_price for one in limits),
        flags=frozenset().union(*(one.flags for one in limits)),
    )


def enforced(wanted: JsonObject, limits: Enforcement, own: frozenset[str]) -> dict[str, JsonValue]:
    """``wanted`` within ``limits``.

    ``own`` names the preferences that come from the request itself. Where one of those leaves nothing, nobody may answer;
    a mere default gives way.

    Raises:
        RulesConflictError: the request asks for nothing that is allowed.
    """
    result = dict(wanted)
    if not limits:
        return result
    result |= {name: STRICTEST[name] for name in limits.flags}
    if limits.only is not None or limits.ignore:
        _providers(result, limits, own)
    if limits.max_price:
        result["max_price"] = _lowest((_prices(result.get("max_price")), limits.max_price))
    if limits.quantizations is not None:
        given = _texts(result.get("quantizations"))
        result["quantizations"] = _within(given, limits.quantizations, "quantizations", own, _same)
    return result


def _providers(result: dict[str, JsonValue], limits: Enforcement, own: frozenset[str]) -> None:
    given = _texts(result.get("only"))
    only = given if limits.only is None else _within(given, limits.only, "only", own, _covers)
    ignore = _union(limits.ignore, _texts(result.get("ignore")))
    if only and all(_is_among(slug, ignore) for slug in only):
        raise RulesConflictError(
            f"no provider is left: of those allowed ({_listed(only)}) each one is ignored ({_listed(ignore)})"
        )
    result.pop("only", None)
    result.pop("ignore", None)
    result |= {name: slugs for name, slugs in (("only", only), ("ignore", ignore)) if slugs}
    order = tuple(
        slug
        for slug in _texts(result.pop("order", None))
        if not _is_among(slug, ignore) and (not only or any(_covers(slug, allowed) for allowed in only))
    )
    if order:
        result["order"] = order


def _within(
    given: tuple[str, ...],
    allowed: tuple[str, ...],
    name: str,
    own: frozenset[str],
    matches: Callable[[str, str], bool],
) -> tuple[str, ...]:
    """What of ``allowed`` is asked for; all of it where nothing is."""
    if not given:
        return allowed
    both = tuple(one for one in allowed if any(matches(asked, one) for asked in given))
    if both:
        return both
    if name not in own:
        return allowed
    raise RulesConflictError(
        f"parameter provider.{name} asks for {_listed(given)}, and only {_listed(allowed)} may answer here ({_SETTING})"
    )


def _common(lists: Iterable[tuple[str, ...] | None], otherwise: str) -> tuple[str, ...] | None:
    """What is in each list, None where there is none."""
    common: tuple[str, ...] | None = None
    for one in lists:
        if one is None:
            continue
        common = one if common is None else tuple(slug for slug in common if any(_same(slug, other) for other in one))
        if not common:
            raise RulesConflictError(otherwise)
    return common


def _same(asked: str, allowed: str) -> bool:
    return asked.casefold() == allowed.casefold()


def _covers(asked: str, allowed: str) -> bool:
    """Whether ``asked`` is ``allowed`` or names a provider of which ``allowed`` is one place (google-vertex/europe).

    The other way round says nothing: a place may be one that the provider's bare name does not include (openai/priority).
    """
    return allowed.casefold() == asked.casefold() or allowed.casefold().startswith(f"{asked.casefold()}/")


def _is_among(slug: str, ignored: tuple[str, ...]) -> bool:
    return any(_covers(one, slug) for one in ignored)


def _union(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    chosen: dict[str, str] = {}
    for slug in (*first, *second):
        chosen.setdefault(slug.casefold(), slug)
    return tuple(chosen.values())


def _lowest(prices: Iterable[Mapping[str, str]]) -> dict[str, str]:
    lowest: dict[str, str] = {}
    for one in prices:
        for kind, price in one.items():
            if kind not in lowest or float(price) < float(lowest[kind]):
                lowest[kind] = price
    return lowest


def _prices(value: JsonValue) -> dict[str, str]:
    return {kind: str(price) for kind, price in value.items()} if isinstance(value, Mapping) else {}


def _texts(value: JsonValue) -> tuple[str, ...]:
    return tuple(str(one) for one in value) if isinstance(value, tuple | list) else ()


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:10])
