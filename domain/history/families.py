"""Reasoning of another family: when a chat changes models, opaque proofs of one provider family are refused by another.

Reasoning goes back only to the family that made it. The family is that of the model that made the item (a stored item
knows it) and the one that its format names; either is enough, because models of one vendor may be served in the format of
another. Where neither is known, or a router decides who answers, everything goes back: `without_proofs` is for the refusal
that may follow. The rest of the history always stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from openrouter_pipe.domain.history.details import holds_proof
from openrouter_pipe.domain.history.dropping import without_reasoning
from openrouter_pipe.ports.items import InputItem, ReasoningItem

_FAMILIES: Final = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google": "gemini",
    "x-ai": "xai",
    "meta-llama": "meta",
}
"""The vendor in a model's id, and the word in the format of reasoning that its models read. Other vendors are families of
their own, under their own name."""

_ROUTERS: Final = frozenset({"", "openrouter", "@preset"})


def without_foreign_reasoning(items: Sequence[InputItem], model: str) -> tuple[InputItem, ...]:
    """``items`` as ``model`` (vendor/slug) can read them; the very same objects where nothing is foreign."""
    own = _family(model)
    if own is None:
        return tuple(items)
    return without_reasoning(items, lambda item: bool(origins := _origins(item)) and own not in origins)


def without_proofs(items: Sequence[InputItem]) -> tuple[InputItem, ...]:
    """``items`` without reasoning that holds anything encrypted or signed, which is what a provider may refuse."""
    return without_reasoning(items, holds_proof)


def _origins(item: ReasoningItem) -> frozenset[str]:
    named = next((word for word in _FAMILIES.values() if word in (item.format or "")), None)
    return frozenset(family for family in (named, _family(item.made_by)) if family is not None)


def _family(model: str) -> str | None:
    """The family of a model; None for routers, presets, no name, and the names of gateways that leave the vendor out.

    Older rows spell ids with dots; such a name counts when it begins with a vendor of the list above.
    """
    name = model.lower().lstrip("~")
    vendor, slash, _ = name.partition("/")
    if not slash:
        return _FAMILIES.get(name.partition(".")[0])
    return None if vendor in _ROUTERS else _FAMILIES.get(vendor, vendor)
