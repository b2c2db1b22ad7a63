"""MODEL_RULES: what an operator says about models by name, read from its text.

A JSON list of rules, or an object with globs as keys. Anything that cannot be read exactly is an error that names the entry
and the fix: a rule that silently did not hold would send what it was to keep back. What the rules mean for one request is
told in `openrouter_pipe.domain.shaping.rules`.
"""

from __future__ import annotations

import fnmatch
import functools
import json
import re
from collections.abc import Mapping
from typing import Final, cast

from attrs import field, frozen

from openrouter_pipe.ports.json import JsonObject, JsonValue
from openrouter_pipe.ports.preferences import (
    Enforcement,
    PreferenceError,
    choice,
    read_enforcement,
    read_wishes,
    shown,
)

EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Reasoning efforts in ascending order."""

ENDPOINTS: Final = ("responses", "chat_completions")

_LONGEST: Final = 100_000
_MOST_RULES: Final = 500
_KEYS: Final = ("models", "effort", "max_output_tokens", "endpoint", "provider", "enforce")
_GLOB: Final = re.compile(r"[\w.:~@/*?!\[\]-]{1,200}", re.ASCII)
_NEVER: Final = "(?!)"
"""In a glob's pattern: a class that no character is of, such as ``[9-0]``."""
_CLASS: Final = re.compile(r"\[!?[^\[\]!][^\[\]]*\]")


@frozen
class ModelRule:
    """One entry. ``models`` are globs as written, ``keys`` the same as they are compared: lower-case, dots for slashes.

    ``name`` is how messages call it. ``provider`` holds routing preferences in the form in which they are sent; ``effort``,
    ``max_output_tokens`` and ``endpoint`` None say nothing.
    """

    name: str
    models: tuple[str, ...]
    keys: tuple[str, ...]
    effort: str | None = None
    max_output_tokens: int | None = None
    endpoint: str | None = None
    provider: JsonObject = field(factory=dict)
    enforce: Enforcement = field(factory=Enforcement)


class ModelRulesError(ValueError):
    """The text cannot be read; the message names the entry and the fix."""


@functools.lru_cache(maxsize=64)
def parse_model_rules(text: str) -> tuple[ModelRule, ...]:
    """The rules in their order; none for blank text.

    Raises:
        ModelRulesError: no JSON of this form, or an entry that cannot be taken at its word.
    """
    if not text.strip():
        return ()
    if len(text) > _LONGEST:
        raise ModelRulesError(f"is longer than {_LONGEST} characters; use wider globs")
    match _parsed(text):
        case list() as entries:
            rules = [_rule(f"entry {place}", entry, None) for place, entry in enumerate(entries, 1)]
        case dict() as keyed:
            rules = [_rule(f"entry {shown(glob)}", entry, glob) for glob, entry in keyed.items()]
        case _:
            raise ModelRulesError("must be a JSON list of rules, or an object with globs as keys")
    if len(rules) > _MOST_RULES:
        raise ModelRulesError(f"has more than {_MOST_RULES} entries; use wider globs")
    return tuple(rules)


def _parsed(text: str) -> JsonValue:
    try:
        return cast("JsonValue", json.loads(text, object_pairs_hook=_object, parse_constant=_constant))
    except json.JSONDecodeError as problem:
        where = f"line {problem.lineno}, column {problem.colno}"
        raise ModelRulesError(
            f"is not valid JSON ({where}: {problem.msg}); check commas, quotes and brackets"
        ) from None
    except RecursionError:
        raise ModelRulesError("is nested too deeply; it is a list of flat rules") from None
    except ModelRulesError:
        raise
    except ValueError:
        raise ModelRulesError("holds a number that is too long to be read") from None


def _object(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    read: dict[str, JsonValue] = {}
    for name, value in pairs:
        if name in read:
            raise ModelRulesError(f"says {shown(name)} twice in one object; which of them holds? Keep one")
        read[name] = value
    return read


def _constant(word: str) -> JsonValue:
    raise ModelRulesError(f"holds {word}, which is no number of JSON")


def _rule(name: str, entry: JsonValue, glob: str | None) -> ModelRule:
    if not isinstance(entry, Mapping):
        raise ModelRulesError(f"{name}: must be an object, not {shown(entry)}")
    known = _KEYS if glob is None else _KEYS[1:]
    for key in entry:
        if key not in known:
            raise ModelRulesError(f"{name}: there is no key {shown(key)}; the keys are {', '.join(known)}")
    models = _globs(name, entry.get("models") if glob is None else glob)
    if not entry.keys() - {"models"}:
        raise ModelRulesError(f"{name}: says nothing about its models; add one of {', '.join(_KEYS[1:])}")
    if glob is None:
        name = f"{name} ({', '.join(models)[:60]})"
    read: dict[str, JsonValue] = {}
    enforce, provider = Enforcement(), dict[str, JsonValue]()
    for key, value in entry.items():
        try:
            match key:
                case "effort":
                    read[key] = choice(*EFFORTS)(value)
                case "endpoint":
                    read[key] = choice(*ENDPOINTS)(value)
                case "max_output_tokens":
                    read[key] = _tokens(value)
                case "provider":
                    provider = dict(read_wishes(value))
                case "enforce":
                    enforce = read_enforcement(value)
        except PreferenceError as problem:
            raise ModelRulesError(f"{name}: {key}{problem}") from None
    effort, tokens, endpoint = (read.get(key) for key in ("effort", "max_output_tokens", "endpoint"))
    return ModelRule(
        name=name,
        models=models,
        keys=tuple(model.replace("/", ".").lower() for model in models),
        effort=effort if isinstance(effort, str) else None,
        max_output_tokens=tokens if isinstance(tokens, int) else None,
        endpoint=endpoint if isinstance(endpoint, str) else None,
        provider=provider,
        enforce=enforce,
    )


def _globs(name: str, given: JsonValue) -> tuple[str, ...]:
    """A text, separated by commas as in other settings, or a list of texts. A glob that can match nothing is an error."""
    written = given if isinstance(given, list | tuple) else [given]
    globs: dict[str, None] = {}
    for one in written:
        if not isinstance(one, str):
            raise ModelRulesError(f'{name}: models must be a glob such as "anthropic/*" or a list of them')
        for piece in one.split(","):
            glob = piece.strip()
            is_whole = _GLOB.fullmatch(glob) and not {"[", "]"} & set(_CLASS.sub("", glob))
            if not is_whole or _NEVER in fnmatch.translate(glob.lower()):
                raise ModelRulesError(
                    f'{name}: models: {shown(glob)} is no glob; write a model id with * or ?, "openai/*"'
                )
            globs[glob] = None
    if not globs:
        raise ModelRulesError(f'{name}: models is empty; name the models, for example "anthropic/*"')
    return tuple(globs)


def _tokens(value: JsonValue) -> JsonValue:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise PreferenceError(f" must be a whole number of at least 1, not {shown(value)}")
