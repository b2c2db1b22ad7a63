"""Reasoning of another family: when a chat changes models, opaque proofs of one provider family are refused by another.

The rest of the history stays; calls that stood behind such reasoning lose the provider's own item ids, so that nothing
refers to what is no longer there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import evolve

from openrouter_pipe.ports.items import FunctionCallItem, InputItem, ReasoningItem

_FAMILIES: Final = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google": "gemini",
    "x-ai": "xai",
    "meta-llama": "meta",
}
"""The vendor in a model's id, and the word in the format of reasoning that its models read."""


def without_foreign_reasoning(items: Sequence[InputItem], model: str) -> tuple[InputItem, ...]:
    """``items`` as ``model`` (vendor/slug) can read them; the very same objects where nothing is foreign.

    Routers and vendors without a family of their own get everything: they read what they know and refuse nothing.
    """
    own = _FAMILIES.get(model.lower().lstrip("~").partition("/")[0])
    if own is None:
        return tuple(items)
    kept: list[InputItem] = []
    behind_foreign = False
    for item in items:
        match item:
            case ReasoningItem():
                behind_foreign = _is_foreign(item.format, own)
                if not behind_foreign:
                    kept.append(item)
            case FunctionCallItem() if behind_foreign:
                kept.append(evolve(item, id=None, payload={}))
            case _:
                behind_foreign = False
                kept.append(item)
    return tuple(kept)


def _is_foreign(format_name: str | None, own: str) -> bool:
    family = next((word for word in _FAMILIES.values() if word in (format_name or "")), None)
    return family is not None and family != own
