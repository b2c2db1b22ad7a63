"""Which models are on offer, and why another one is refused. Fails closed: a list that matches nothing offers nothing."""

from __future__ import annotations

import logging
from typing import Final

from attrs import frozen

from openrouter_pipe.domain.catalog import ids
from openrouter_pipe.domain.catalog.catalog import Catalog, ResolvedModel, as_offered
from openrouter_pipe.ports.catalog import ModelCard

_log = logging.getLogger(__name__)

AUTO: Final = "auto"
"""The allowlist that lists everything."""


@frozen
class SelectionPolicy:
    """The operator's choice: ``model_ids`` is ``auto`` or comma-separated ids in any spelling; ``free`` and ``tools`` are
    ``all``, ``only`` or ``exclude``, and any other word offers nothing. ``host_prefix`` is what the host puts before the ids
    that it shows."""

    model_ids: str = AUTO
    free: str = "all"
    tools: str = "all"
    host_prefix: str = ""

    @property
    def allows_everything(self) -> bool:
        """Whether nothing is restricted."""
        return self.model_ids.strip().lower() in {"", AUTO} and self.free == self.tools == "all"


def exposed(catalog: Catalog, policy: SelectionPolicy, host_prefix: str = "") -> tuple[ModelCard, ...]:
    """The models on offer: those listed (in the order of the list) that pass the filters and can answer a chat."""
    listed = _listed(catalog, policy, host_prefix)
    candidates = [ResolvedModel(card.id, card, card.id) for card in catalog.cards] if listed is None else list(listed)
    offered: dict[str, ModelCard] = {}
    for resolved in candidates:
        if _answers_chats(resolved.card) and not _filter_reasons(resolved, policy):
            offered.setdefault(resolved.api_id, as_offered(resolved))
    if not offered and catalog.cards:
        _log.warning(
            "No model is on offer: nothing in the catalogue passes MODEL_ID, FREE_MODEL_FILTER and TOOL_CALLING_FILTER"
        )
    return tuple(offered.values())


def restriction_reasons(
    resolved: ResolvedModel, catalog: Catalog, policy: SelectionPolicy, host_prefix: str = ""
) -> tuple[str, ...]:
    """Every reason why this model may not be used; empty when it may.

    A variant or preset without an entry of its own is judged by its base model, or by its own place on the list.
    """
    listed = _listed(catalog, policy, host_prefix)
    reasons = list(_filter_reasons(resolved, policy))
    if listed is not None:
        allowed = {entry.api_id for entry in listed}
        if allowed.isdisjoint({resolved.card.id, resolved.api_id, ids.parse(resolved.api_id).base}):
            reasons.insert(0, "it is not on the list of allowed models (MODEL_ID)")
    return tuple(reasons)


def _listed(catalog: Catalog, policy: SelectionPolicy, host_prefix: str) -> tuple[ResolvedModel, ...] | None:
    """The allowlist, resolved; None when everything is allowed."""
    text = policy.model_ids.strip()
    if not text or text.lower() == AUTO:
        return None
    names = [name.strip() for name in text.replace("\n", ",").split(",") if name.strip()]
    found = [(name, catalog.resolve(name, host_prefix or policy.host_prefix)) for name in names]
    unknown = [name for name, resolved in found if resolved is None]
    if unknown and catalog.cards:
        _log.debug("MODEL_ID names models that the catalogue does not have: %s", ", ".join(unknown)[:500])
    return tuple(resolved for _, resolved in found if resolved is not None)


def _filter_reasons(resolved: ResolvedModel, policy: SelectionPolicy) -> tuple[str, ...]:
    card = resolved.card
    unknown = card.id.startswith("@preset/")
    checks = (
        ("FREE_MODEL_FILTER", policy.free, is_free(resolved), "free", "a paid model"),
        ("TOOL_CALLING_FILTER", policy.tools, card.capabilities.tools, "able to call tools", "unable to call tools"),
    )
    reasons: list[str] = []
    for setting, mode, holds, yes, no in checks:
        if mode == "all":
            continue
        if unknown:
            reasons.append(f"it names no model, so {setting} ({mode}) cannot be checked")
        elif mode == "only":
            reasons.extend([] if holds else [f"it is {no} ({setting} is only)"])
        elif mode == "exclude":
            reasons.extend([f"it is {yes} ({setting} is exclude)"] if holds else [])
        else:
            reasons.append(f"{setting} has an unknown value")
    return tuple(reasons)


def is_free(resolved: ResolvedModel) -> bool:
    """Whether the request costs nothing: the card's prices, or the ``:free`` variant of a model that costs."""
    if resolved.card.free:
        return True
    base = ids.parse(resolved.api_id).base
    while True:
        base, variant = ids.split_variant(base)
        if not variant:
            return False
        if variant == "free":
            return True


def _answers_chats(card: ModelCard) -> bool:
    return card.capabilities.text_output or card.capabilities.image_output
