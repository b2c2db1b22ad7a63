"""`openrouter-pipe rules`: the rules by model as they are read, and what they come to for one model."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Final

from attrs import frozen
from rich.console import Console
from rich.table import Table
from rich.text import Text

from openrouter_pipe.composition.checks.rules import enforced_in_words
from openrouter_pipe.composition.doctor_command import gather
from openrouter_pipe.composition.policies import turn_policies
from openrouter_pipe.domain.catalog.catalog import ResolvedModel
from openrouter_pipe.domain.catalog.routing import choose_endpoint
from openrouter_pipe.domain.policies import TurnPolicies
from openrouter_pipe.domain.shaping.enforcement import RulesConflictError, enforced
from openrouter_pipe.ports.catalog import ModelCard
from openrouter_pipe.ports.host_models import HostModelError
from openrouter_pipe.ports.json import JsonObject
from openrouter_pipe.ports.model_rules import ModelRule
from openrouter_pipe.ports.settings import SettingError

_SETTING: Final = "MODEL_RULES"
_COULD: Final = "may answer"
"""Why a rule holds whose globs do not match: this name may stand for a model that they do match."""


@frozen
class RulesOptions:
    """What the command line said; ``source`` as for the doctor."""

    model: str = ""
    pipe_id: str = "openrouter"
    settings: Mapping[str, str] = {}
    source: str = "auto"
    as_json: bool = False


def run_rules(options: RulesOptions, environment: Mapping[str, str], console: Console) -> int:
    """Run `openrouter-pipe rules`; returns the exit status: 1 where the rules leave no provider, 2 where they are unreadable."""
    try:
        found, _ = asyncio.run(gather(options.source, options.pipe_id, options.settings, environment))
    except (SettingError, HostModelError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if _SETTING in found.problems:
        sys.stderr.write(f"{_SETTING}: {found.problems[_SETTING]}\n")
        return 2
    policies = turn_policies(found.settings, options.pipe_id)
    told = _told(options.model.strip(), policies)
    if options.as_json:
        sys.stdout.write(json.dumps(told, ensure_ascii=False, indent=1) + "\n")
    else:
        _print(told, found.source, console)
    return 1 if "refused" in told else 0


def _told(model: str, policies: TurnPolicies) -> dict[str, JsonObject | list[JsonObject] | str]:
    """The rules, all or those that hold for ``model``, and for a model what is sent where the request itself says nothing."""
    rules = policies.shaping.rules
    if not model:
        return {"rules": [_row(rule, "") for rule in rules.rules]}
    card = ModelCard(model, model)
    matching, binding = rules.matching(model, card), rules.binding(model, card)
    rows = [
        _row(rule, "matches" if rule in matching else _COULD)
        for rule in rules.rules
        if rule in matching or rule in binding
    ]
    resolved = ResolvedModel(model, card, model)
    defaults = rules.defaults(resolved)
    try:
        limits = rules.enforcement(resolved, model, (), (), lambda _: None)
        provider = enforced(defaults.provider, limits, frozenset())
    except RulesConflictError as conflict:
        return {"model": model, "rules": rows, "refused": conflict.reason}
    return {
        "model": model,
        "rules": rows,
        "sent": {
            "endpoint": choose_endpoint(model, policies.endpoint, defaults.endpoint).value,
            "effort": defaults.effort or policies.shaping.reasoning_effort,
            "max_output_tokens": defaults.max_output_tokens,
            "provider": provider,
        },
    }


def _row(rule: ModelRule, why: str) -> JsonObject:
    defaults = {
        "effort": rule.effort,
        "max_output_tokens": rule.max_output_tokens,
        "endpoint": rule.endpoint,
        "provider": rule.provider or None,
    }
    return {
        "rule": rule.name,
        "models": list(rule.models),
        **({"why": why} if why else {}),
        "fills_in": {} if why == _COULD else {name: value for name, value in defaults.items() if value is not None},
        "enforces": enforced_in_words(rule.enforce),
    }


def _print(told: Mapping[str, JsonObject | list[JsonObject] | str], source: str, console: Console) -> None:
    rows, sent = told["rules"], told.get("sent")
    if isinstance(rows, list) and rows:
        table = Table()
        for heading in ("rule", *(["why"] if "model" in told else []), "fills in", "enforces"):
            table.add_column(heading, overflow="fold")
        for row in rows:
            filled = json.dumps(row["fills_in"]) if row["fills_in"] else ""
            cells = [row["rule"], *([row["why"]] if "why" in row else []), filled, row["enforces"]]
            table.add_row(*(Text(str(cell)) for cell in cells))
        console.print(table)
    else:
        console.print("No rule of MODEL_RULES is about this model." if "model" in told else "MODEL_RULES is empty.")
    if isinstance(sent, Mapping):
        table = Table(
            title=f"sent for {told['model']}, unless the request says otherwise",
            title_justify="left",
            show_header=False,
        )
        for name, value in sent.items():
            table.add_row(name, Text(str(value) if isinstance(value, str) else json.dumps(value)))
        console.print(table)
    if "refused" in told:
        console.print(Text(f"Refused: {told['refused']}"))
    console.print(f"Settings from {source}.", highlight=False, markup=False)
