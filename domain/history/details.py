"""Reasoning that a host kept for us: opaque detail objects, as chat completions spell them.

The objects are carried verbatim; only what decides whether a block may be sent back is read here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from openrouter_pipe.ports.items import ReasoningItem
from openrouter_pipe.ports.json import JsonObject, JsonValue

_NEED_PROOF: Final = "anthropic"
_NEED_FOLLOWER: Final = "openai"
_KINDS_OF_DETAIL: Final = frozenset({"reasoning.text", "reasoning.summary", "reasoning.encrypted"})


def reasoning_items(details: Sequence[JsonObject]) -> tuple[ReasoningItem, ...]:
    """One item per block, in order; neighbouring objects of the same id or index and format are one block."""
    groups: list[list[JsonObject]] = []
    for detail in details:
        if groups and _same_block(groups[-1][-1], detail):
            groups[-1].append(detail)
        else:
            groups.append([detail])
    return tuple(_item(group) for group in groups)


def is_proven(item: ReasoningItem) -> bool:
    """Whether the provider that made the block will take it back: blocks of some families need a signature.

    A blank signature, or one that is not text, counts as none.
    """
    family = item.format or next((text for detail in item.details if (text := _text(detail, "format"))), "")
    if not family.startswith(_NEED_PROOF):
        return True
    if _filled(item.signature) or _filled(item.encrypted):
        return True
    # The signature may have come in a later fragment of the same block.
    signed = {_index(detail) for detail in item.details if _filled(detail.get("signature"))} - {None}
    return bool(item.details) and all(_holds_proof(detail) or _index(detail) in signed for detail in item.details)


def is_empty(item: ReasoningItem) -> bool:
    """Whether the block says nothing and proves nothing; such a block only refers to what no provider has kept."""
    words = (*item.summary, *item.text, item.encrypted, item.signature)
    return not any(map(_filled, words)) and all(map(_is_empty_detail, item.details))


def holds_proof(item: ReasoningItem) -> bool:
    """Whether the block holds something encrypted or signed, which only its maker can check."""
    return _filled(item.encrypted) or _filled(item.signature) or any(map(_holds_proof, item.details))


def needs_follower(item: ReasoningItem) -> bool:
    """Whether the provider refuses the block when nothing of the assistant's follows it."""
    return _NEED_FOLLOWER in (item.format or "")


def _is_empty_detail(detail: JsonObject) -> bool:
    known = _text(detail, "type") in _KINDS_OF_DETAIL
    return known and not any(_filled(detail.get(key)) for key in ("text", "summary", "data", "signature"))


def _holds_proof(detail: JsonObject) -> bool:
    return _filled(detail.get("signature")) or _filled(detail.get("data"))


def _index(detail: JsonObject) -> int | float | str | None:
    value = detail.get("index")
    return value if isinstance(value, int | float | str) else None


def _same_block(left: JsonObject, right: JsonObject) -> bool:
    if left.get("format") != right.get("format"):
        return False
    left_id, right_id = left.get("id"), right.get("id")
    if _filled(left_id) and _filled(right_id):
        return left_id == right_id
    return "index" in left and left["index"] == right.get("index")


def _item(group: Sequence[JsonObject]) -> ReasoningItem:
    def texts(key: str) -> tuple[str, ...]:
        return tuple(text for detail in group if (text := _text(detail, key)))

    def first(key: str) -> str | None:
        return next((text for detail in group if (text := _text(detail, key)).strip()), None)

    return ReasoningItem(
        id=first("id"),
        summary=texts("summary"),
        text=texts("text"),
        encrypted=first("data"),
        signature=first("signature"),
        format=first("format"),
        details=tuple(group),
    )


def _text(detail: JsonObject, key: str) -> str:
    value = detail.get(key)
    return value if isinstance(value, str) else ""


def _filled(value: JsonValue) -> bool:
    return isinstance(value, str) and bool(value.strip())
