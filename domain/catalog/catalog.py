"""The list of models, and finding the one that a name means.

Names come in the provider's spelling (``vendor/slug``), in the display spelling (``vendor.slug``), with the host's prefix
or without, in any case, dated or not, with variants and presets. Every id of the catalogue maps back to exactly itself.

Two ids may look the same in the display spelling: ``a/b.c`` and ``a.b/c``. One of them keeps it, the others are shown in
the provider's spelling, which is nobody else's. Who keeps it depends on the models alone: the one whose id is written so,
else the oldest, so that a newcomer takes over no name that chats and presets remember; among equals the first by id.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve, frozen

from openrouter_pipe.domain.catalog import ids
from openrouter_pipe.ports.catalog import Capabilities, ModelCard

_PRESET_CAPABILITIES = Capabilities(tools=True)  # what a bare preset can do is known upstream only


@frozen
class ResolvedModel:
    """A model that was asked for: the name as given, its card, and the id that is sent (variant and preset included).

    ``listed`` False: no catalogue knows it, and the card holds nothing but the name.
    """

    requested: str
    card: ModelCard
    api_id: str
    listed: bool = True


class Catalog:
    """An immutable list of models with indices over their names."""

    def __init__(self, cards: Iterable[ModelCard]) -> None:
        by_id: dict[str, ModelCard] = {}
        for card in cards:
            by_id.setdefault(card.id, card)
        self._by_id = by_id
        self._by_key: dict[str, ModelCard] = {}
        self._by_spelling: dict[str, ModelCard] = {}  # of models that share a key only
        self._by_undated_key: dict[str, ModelCard] = {}
        self._by_canonical_key: dict[str, ModelCard] = {}
        self._index_keys()
        dated: dict[str, list[ModelCard]] = {}
        for card in sorted(by_id.values(), key=lambda card: card.id):
            if (bare := ids.undated(card.id)) != card.id:
                dated.setdefault(ids.lookup_key(bare), []).append(card)
            if card.canonical_slug:
                self._by_canonical_key.setdefault(ids.lookup_key(card.canonical_slug), card)
        self._by_undated_key.update((key, _newest(group)) for key, group in dated.items())

    @property
    def cards(self) -> tuple[ModelCard, ...]:
        """All models, in the order in which they came, each id once."""
        return tuple(self._by_id.values())

    def resolve(self, name: str, host_prefix: str = "") -> ResolvedModel | None:
        """The model that ``name`` means, or None.

        An exact id wins, then any spelling, then the newest dated entry of an undated name, then the provider's
        permanent slug, then the base model of a variant. A bare preset resolves to a card of its own, because which
        model it names is known upstream only.
        """
        for candidate in dict.fromkeys((ids.without_prefix(name.strip(), host_prefix), name.strip())):
            parsed = ids.parse(candidate)
            if not parsed.base:
                if parsed.preset:
                    return ResolvedModel(name, _preset_card(parsed.preset), f"@preset/{parsed.preset}")
                continue
            found = self._find(parsed.base)
            if found is not None:
                card, api_id = found
                return ResolvedModel(name, card, f"{api_id}@preset/{parsed.preset}" if parsed.preset else api_id)
        return None

    def _index_keys(self) -> None:
        groups: dict[str, list[ModelCard]] = {}
        for card in self._by_id.values():
            groups.setdefault(ids.lookup_key(card.id), []).append(card)
        for key, group in groups.items():
            if len(group) > 1:
                group.sort(key=lambda card: (card.id != ids.display_id(card.id), card.created, card.id))
                self._tell_apart(group)
            self._by_key[key] = self._by_id[group[0].id]

    def _tell_apart(self, group: list[ModelCard]) -> None:
        """Give each of several models of one key an id of its own to be shown, and index all exact spellings."""
        for card in group:
            taken = ids.display_id(card.id) in self._by_spelling
            self._by_id[card.id] = shown = evolve(card, shown_as=card.id) if taken else card
            self._by_spelling[shown_id(shown)] = shown
        for card in group:
            self._by_spelling.setdefault(card.id.lower(), self._by_id[card.id])

    def _find(self, base: str) -> tuple[ModelCard, str] | None:
        """The card of a name without preset, and what to send for it."""
        suffixes = ""
        while True:
            key = ids.lookup_key(base)
            card = (
                self._by_id.get(base)
                or self._by_spelling.get(base)
                or self._by_spelling.get(base.lower())
                or self._by_key.get(key)
                or self._by_undated_key.get(key)
                or self._by_canonical_key.get(key)
            )
            if card is not None:
                return card, card.id + suffixes
            base, variant = ids.split_variant(base)
            if not variant:
                return None
            suffixes = f":{variant}{suffixes}"


def as_offered(resolved: ResolvedModel) -> ModelCard:
    """The card as it is listed: a variant or preset without an entry of its own appears under the id that is sent."""
    card = resolved.card
    if resolved.api_id == card.id:
        return card
    extra = resolved.api_id.removeprefix(card.id)
    shown = card.shown_as and resolved.api_id
    return evolve(card, id=resolved.api_id, name=f"{card.name} ({extra.lstrip(':@')})", shown_as=shown)


def shown_id(card: ModelCard) -> str:
    """The id as front ends show it, which is the id of no other model in the catalogue."""
    return card.shown_as or ids.display_id(card.id)


def _newest(group: list[ModelCard]) -> ModelCard:
    """Of snapshots of one model the newest: by the dates of their ids where all name the year, else by their age in the list."""
    dates = [ids.date(card.id) for card in group]
    known = [date or (0, 0, 0) for date in dates]
    by_date = None not in dates
    return max(zip(group, known, strict=True), key=lambda one: (by_date and one[1], one[0].created, one[1], one[0].id))[
        0
    ]


def _preset_card(slug: str) -> ModelCard:
    return ModelCard(id=f"@preset/{slug}", name=f"Preset {slug}", capabilities=_PRESET_CAPABILITIES)
