"""The operator's rules by model (MODEL_RULES) for one request: which hold, what they fill in and what they enforce.

What is filled in comes from the rules that match the model that was asked for. What is enforced comes from the rules of
every model that might answer; where nobody knows which one will, from every rule that might be about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

from attrs import field, frozen

from openrouter_pipe.domain.catalog import globs, ids
from openrouter_pipe.domain.catalog.catalog import ResolvedModel
from openrouter_pipe.domain.shaping.enforcement import RulesConflictError, combined
from openrouter_pipe.ports.catalog import ModelCard
from openrouter_pipe.ports.json import JsonObject, JsonValue
from openrouter_pipe.ports.model_rules import ModelRule
from openrouter_pipe.ports.preferences import Enforcement
from openrouter_pipe.ports.provider import Endpoint

FindCard: TypeAlias = Callable[[str], ModelCard | None]
"""The card of the model that an id stands for, None for one that the catalogue does not have."""

_ROUTERS: Final = "openrouter"
_SEVERAL: Final = "openrouter/fusion"
_CHOOSING_PLUGINS: Final = frozenset({"auto-router", "auto-beta-router", "pareto-router"})
ASKING_PLUGINS: Final = frozenset({"fusion"})
"""Plugins that make requests of their own to other models; nothing says that our preferences hold for those."""

_ASKING_TOOLS: Final = frozenset(
    {"openrouter:advisor", "openrouter:fusion", "openrouter:image_generation", "openrouter:subagent"}
)


@frozen
class Defaults:
    """What the rules fill in where the request says nothing; None and empty: nothing. ``provider`` in the form sent."""

    effort: str | None = None
    max_output_tokens: int | None = None
    endpoint: Endpoint | None = None
    provider: JsonObject = field(factory=dict)


_NOTHING: Final = Defaults()


@frozen
class ModelRules:
    """The rules in their order; ``enforcing`` are those that enforce something."""

    rules: tuple[ModelRule, ...] = ()
    enforcing: tuple[ModelRule, ...] = field(init=False)

    @enforcing.default
    def _(self) -> tuple[ModelRule, ...]:
        return tuple(rule for rule in self.rules if rule.enforce)

    def matching(self, model_id: str, card: ModelCard | None) -> tuple[ModelRule, ...]:
        """The rules whose globs match this model, in any of its spellings."""
        if not self.rules:
            return ()
        names = globs.all_spellings(model_id, card.canonical_slug if card is not None else None)
        return tuple(rule for rule in self.rules if globs.matches(names, rule.keys))

    def defaults(self, model: ResolvedModel) -> Defaults:
        """What is filled in for this model; a later rule overrides an earlier one, key by key."""
        effort: str | None = None
        tokens: int | None = None
        endpoint: Endpoint | None = None
        provider: dict[str, JsonValue] = {}
        found = self.matching(model.api_id, model.card)
        for rule in found:
            effort = rule.effort or effort
            tokens = rule.max_output_tokens or tokens
            endpoint = Endpoint(rule.endpoint) if rule.endpoint else endpoint
            provider |= rule.provider
        return Defaults(effort, tokens, endpoint, provider) if found else _NOTHING

    def binding(self, model_id: str, card: ModelCard | None) -> tuple[ModelRule, ...]:
        """The rules that enforce something and match, or could match, whatever model answers to this id.

        A router or a preset may choose any model, and so may an id that the catalogue lacks (``card`` None): it may be an old
        name of one that is there. An alias stands for some model of its vendor.
        """
        if not self.enforcing:
            return ()
        vendor = ids.lookup_key(model_id).lstrip("~").partition(".")[0]
        if card is None or vendor == _ROUTERS or ids.parse(model_id).preset:
            return self.enforcing
        matched, alias = self.matching(model_id, card), model_id.startswith("~")
        return tuple(
            rule
            for rule in self.enforcing
            if rule in matched or (alias and any(globs.may_match_vendor(vendor, key) for key in rule.keys))
        )

    def enforcement(
        self, model: ResolvedModel, api_id: str, others: Iterable[str], plugins: Iterable[JsonObject], find: FindCard
    ) -> Enforcement:
        """What holds for a request to ``api_id``, as ``model`` is sent, and to ``others`` if it fails.

        Raises:
            RulesConflictError: no provider could answer; or the model asks others in ways that no rule reaches.
        """
        if not self.enforcing:
            return Enforcement()
        candidates = {api_id: model.card if model.listed else None} | {
            other: find(other) for other in others if other != api_id
        }
        for candidate in candidates:
            if ids.lookup_key(candidate).lstrip("~").startswith(ids.lookup_key(_SEVERAL)):
                raise RulesConflictError(
                    f"{candidate} asks several models by itself, which the routing enforced here (MODEL_RULES) cannot reach"
                )
        if any(plugin.get("id") in _CHOOSING_PLUGINS for plugin in plugins):
            return combined(self.enforcing)
        binding = [self.binding(model_id, card) for model_id, card in candidates.items()]
        return combined([rule for rule in self.rules if any(rule in found for found in binding)])


def asks_other_models(tool: JsonObject) -> bool:
    """The same of a tool that OpenRouter runs, or of one inside it."""
    kind, inner = tool.get("type"), tool.get("tools")
    if isinstance(kind, str) and kind in _ASKING_TOOLS:
        return True
    return isinstance(inner, list | tuple) and any(asks_other_models(one) for one in inner if isinstance(one, Mapping))
