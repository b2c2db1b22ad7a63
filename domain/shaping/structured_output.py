"""The shape of the answer: structured output and verbosity, in the caller's chat or Responses spelling."""

from __future__ import annotations

from collections.abc import Mapping

from openrouter_pipe.domain.shaping import values
from openrouter_pipe.domain.shaping.documented import VERBOSITIES
from openrouter_pipe.domain.shaping.values import UnusableError, Warn
from openrouter_pipe.ports.json import JsonObject, JsonValue
from openrouter_pipe.ports.provider import Endpoint, OutputFormat

_ONLY_ON_CHAT = frozenset({"grammar", "python"})
_LONGEST_NAME = 64  # a longer one costs the whole request, and nobody sees it
_WELL_FORMED = "an object with type text, json_object or json_schema (then with a name and a schema)"


def read_output_format(parameters: JsonObject, endpoint: Endpoint, warn: Warn) -> OutputFormat | None:
    """``text.format``, else ``response_format`` (nested or flat); a malformed one is left out with a warning."""
    for name, given in (("text.format", _text_member(parameters, "format", warn)), ("response_format", None)):
        candidate = given if name == "text.format" else parameters.get(name)
        if values.is_unset(candidate):
            continue
        try:
            wanted = _format(candidate)
        except UnusableError:
            warn(f"Parameter {name} was left out: it must be {_WELL_FORMED}, not {values.shown(candidate)}")
            continue
        if endpoint is Endpoint.CHAT_COMPLETIONS or wanted.kind not in _ONLY_ON_CHAT:
            return wanted
        warn(f"Parameter {name} was left out: {wanted.kind} can be asked for on the chat completions endpoint only")
    return None


def read_verbosity(parameters: JsonObject, warn: Warn) -> str | None:
    """``text.verbosity``, else ``verbosity``."""
    named = {"text.verbosity": _text_member(parameters, "verbosity"), "verbosity": parameters.get("verbosity")}
    for name in named:
        value = values.take(named, name, values.choice(*VERBOSITIES), warn)
        if isinstance(value, str):
            return value
    return None


def _text_member(parameters: JsonObject, member: str, warn: Warn | None = None) -> JsonValue:
    given = parameters.get("text")
    if values.is_unset(given):
        return None
    try:
        return values.json_object(given).get(member)
    except UnusableError:
        if warn is not None:
            warn(f"Parameter text was left out: it must be an object, not {values.shown(given)}")
        return None


def _format(given: JsonValue) -> OutputFormat:
    if isinstance(given, str) and given.strip() in {"text", "json_object"}:
        return OutputFormat(given.strip())
    fields = values.json_object(given)
    match fields.get("type"):
        case "text" | "json_object" | "python" as kind:
            return OutputFormat(kind)
        case "grammar" if isinstance(grammar := fields.get("grammar"), str) and grammar.strip():
            return OutputFormat("grammar", grammar=values.text(grammar))
        case "json_schema":
            nested = fields.get("json_schema")
            return _schema_format(nested if isinstance(nested, Mapping) else fields)
        case _:
            raise UnusableError(_WELL_FORMED)


def _schema_format(fields: JsonObject) -> OutputFormat:
    name, schema = fields.get("name"), fields.get("schema")
    strict, description = fields.get("strict"), fields.get("description")
    if not isinstance(name, str) or not name.strip() or not isinstance(schema, Mapping):
        raise UnusableError(_WELL_FORMED)
    return OutputFormat(
        "json_schema",
        name=values.text(name.strip())[:_LONGEST_NAME],
        schema=schema,
        strict=strict if isinstance(strict, bool) else None,
        description=description if isinstance(description, str) else None,
    )
