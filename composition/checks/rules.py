"""Minimum functional: the rules by model, what they enforce, and globs that match nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from openrouter_pipe.composition.checks.result import Check, Checklist, Group, Subject
from openrouter_pipe.composition.policies import model_rules
from openrouter_pipe.domain.catalog import globs
from openrouter_pipe.ports.catalog import ModelCard
from openrouter_pipe.ports.preferences import STRICTEST, Enforcement

NAME: Final = "model rules"
_SETTING: Final = "MODEL_RULES"
_LIST: Final = Checklist(Group.FUNCTIONAL)
_MOST_TOLD: Final = 10


def check(subject: Subject, cards: Sequence[ModelCard] | None) -> Check:
    """How many rules there are, and what they enforce. ``cards`` are the catalogue's models, None where it cannot be had."""
    if _SETTING in subject.problems:
        return _LIST.failed(
            NAME,
            f"{_SETTING} {subject.problems[_SETTING]}; nothing is sent as long as it cannot be read",
            f"Correct {_SETTING}; docs/catalogue.md has the keys and an example.",
        )
    rules = model_rules(subject.settings).rules
    if not rules:
        return _LIST.ok(NAME, f"{_SETTING} is empty")
    enforcing = [f"{', '.join(rule.models)}: {enforced_in_words(rule.enforce)}" for rule in rules if rule.enforce]
    told = f"{len(rules)} rules, {len(enforcing)} of them enforce something"
    if enforcing:
        told += f" ({'; '.join(enforcing[:_MOST_TOLD])}{'; ...' if len(enforcing) > _MOST_TOLD else ''})"
    idle = [] if cards is None else [glob for rule in rules for glob in _idle(rule.models, cards)]
    if idle:
        return _LIST.warning(
            NAME,
            f"{told}; no model of the catalogue matches {', '.join(idle[:_MOST_TOLD])}",
            "Correct or remove these globs; `openrouter-pipe rules MODEL` shows which rules hold for a model.",
        )
    return _LIST.ok(NAME, told)


def enforced_in_words(enforcement: Enforcement) -> str:
    """For tables and checklists: ``zdr=true, only=anthropic``."""
    told = [f"{name}={json.dumps(STRICTEST[name])}" for name in sorted(enforcement.flags)]
    lists = (("only", enforcement.only), ("ignore", enforcement.ignore), ("quantizations", enforcement.quantizations))
    told += [f"{name}={'+'.join(values)}" for name, values in lists if values]
    told += [f"max_price.{kind}={price}" for kind, price in sorted(enforcement.max_price.items())]
    return ", ".join(told).replace('"', "")


def _idle(models: Sequence[str], cards: Sequence[ModelCard]) -> list[str]:
    """The globs that match no card; those about variants and presets are left alone, since few of them have cards."""
    waiting = {glob: glob.replace("/", ".").lower() for glob in models if not {":", "@"} & set(glob)}
    for card in cards:
        names = globs.all_spellings(card.id, card.canonical_slug)
        waiting = {glob: key for glob, key in waiting.items() if not globs.matches(names, (key,))}
    return list(waiting)
