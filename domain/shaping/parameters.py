"""Sampling and routing parameters: which leave under their own name, and in what shape.

Numbers out of range are the provider's to judge; what the schema refuses outright costs the whole request and is
therefore left out here, with one warning that says why.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from openrouter_pipe.domain.shaping import documented, values
from openrouter_pipe.domain.shaping.provider_preferences import read_preferences
from openrouter_pipe.domain.shaping.values import Reader, UnusableError, Warn
from openrouter_pipe.ports.json import JsonObject, JsonValue
from openrouter_pipe.ports.provider import Endpoint

_log = logging.getLogger(__name__)

_MOST_STOPS: Final = 4
_INCLUDES: Final = frozenset(
    {
        "code_interpreter_call.outputs",
        "computer_call_output.output.image_url",
        "file_search_call.results",
        "message.input_image.image_url",
        "reasoning.encrypted_content",
    }
)
_CONDITIONS_WANTED: Final = "a list of documented conditions, each with its type"
_CONDITIONS: Final[Mapping[str, tuple[str, Reader]]] = {
    "step_count_is": ("step_count", values.integer),
    "has_tool_call": ("tool_name", values.text),
    "max_tokens_used": ("max_tokens", values.integer),
    "max_cost": ("max_cost_in_dollars", values.number),
    "finish_reason_is": ("reason", values.text),
}
_TRACE_NAMES: Final = frozenset({"trace_id", "trace_name", "span_name", "generation_name", "parent_span_id"})


def forwarded(parameters: JsonObject, endpoint: Endpoint, warn: Warn) -> dict[str, JsonValue]:
    """The caller's parameters that this endpoint documents; the names of all others are logged once, at DEBUG."""
    kept: dict[str, JsonValue] = {}
    for name in sorted(documented.FORWARDED[endpoint].intersection(parameters)):
        value = values.take(parameters, name, _READERS[name], warn)
        if name == "provider" and isinstance(value, Mapping):
            value = read_preferences(value, warn) or None
        if name == "modalities" and endpoint is Endpoint.RESPONSES and isinstance(value, tuple) and "audio" in value:
            warn("Parameter modalities: audio can be asked for on the chat completions endpoint only")
            value = tuple(word for word in value if word != "audio") or None
        if value is not None:
            kept[name] = value
    dropped = sorted(
        name[:64]
        for name, value in parameters.items()
        if name not in documented.FORWARDED[endpoint] and name not in documented.UNDERSTOOD and value is not None
    )
    if dropped:
        _log.debug("Not documented for %s and left out: %s", endpoint.value, ", ".join(map(repr, dropped))[:1000])
    return kept


def _stops(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return values.text(value)
    try:
        stops = values.json_list(value)
    except UnusableError:
        stops = ()
    if not stops or len(stops) > _MOST_STOPS or not all(isinstance(stop, str) and stop for stop in stops):
        raise UnusableError(f"text or a list of at most {_MOST_STOPS} texts")
    return tuple(values.text(stop) for stop in stops)


def _logit_bias(value: JsonValue) -> JsonValue:
    return {token: values.number(bias) for token, bias in values.json_object(value).items()}


def _modalities(value: JsonValue) -> JsonValue:
    kinds = tuple(kind.lower() for kind in values.words(value))
    if not kinds or not {"text", "image", "audio"}.issuperset(kinds):
        raise UnusableError("a list of text, image and audio")
    return kinds


def _includes(value: JsonValue) -> JsonValue:
    names = values.words(value)
    if not _INCLUDES.issuperset(names):
        raise UnusableError(f"a list of {', '.join(sorted(_INCLUDES))}")
    return names


def _image_config(value: JsonValue) -> JsonValue:
    config = {name: option for name, option in values.json_object(value).items() if option is not None}
    if any(isinstance(option, bool | Mapping) for option in config.values()):
        raise UnusableError("an object of texts, numbers and lists")
    return config


def _conditions(value: JsonValue) -> JsonValue:
    conditions = tuple(_condition(entry) for entry in values.json_list(value))
    if not conditions:
        raise UnusableError(_CONDITIONS_WANTED)
    return conditions


def _condition(entry: JsonValue) -> JsonValue:
    """All of them or none: without one of several the provider's tools would run longer than the caller wants."""
    kind = entry.get("type") if isinstance(entry, Mapping) else None
    if not isinstance(entry, Mapping) or not isinstance(kind, str) or kind not in _CONDITIONS:
        raise UnusableError(_CONDITIONS_WANTED)
    name, reader = _CONDITIONS[kind]
    if values.is_unset(entry.get(name)):
        raise UnusableError(f"a list in which {kind} has {name}")
    try:
        return {"type": kind, name: reader(entry[name])}
    except UnusableError as problem:
        raise UnusableError(f"a list in which {name} is {problem}") from None


def read_cache_control(value: JsonValue) -> JsonValue:
    """An automatic cache breakpoint: its type, and its life time where one is named. Raises `UnusableError`."""
    directive = values.json_object(value)
    ttl = directive.get("ttl")
    if directive.get("type") != "ephemeral" or ttl not in (None, "5m", "1h"):
        raise UnusableError("an object with type ephemeral and ttl 5m or 1h")
    return {"type": "ephemeral"} if ttl is None else {"type": "ephemeral", "ttl": ttl}


def _cache_options(value: JsonValue) -> JsonValue:
    options = values.json_object(value)
    ttl = options.get("ttl")
    if options.get("mode") != "explicit" or not (ttl is None or isinstance(ttl, str)):
        raise UnusableError("an object with mode explicit and an optional ttl")
    return {"mode": "explicit"} if ttl is None else {"mode": "explicit", "ttl": ttl}


def _debug(value: JsonValue) -> JsonValue:
    return {"echo_upstream_body": values.boolean(values.json_object(value).get("echo_upstream_body"))}


def _prompt(value: JsonValue) -> JsonValue:
    prompt = values.json_object(value)
    if not isinstance(prompt.get("id"), str) or not isinstance(prompt.get("variables") or {}, Mapping):
        raise UnusableError("an object with an id, and variables that are an object")
    return prompt


def _prediction(value: JsonValue) -> JsonValue:
    prediction = values.json_object(value)
    content = prediction.get("content")
    blocks = content if isinstance(content, list | tuple) else ({"type": "text", "text": content},)
    fit = all(isinstance(b, Mapping) and b.get("type") == "text" and isinstance(b.get("text"), str) for b in blocks)
    if prediction.get("type") != "content" or not fit:
        raise UnusableError("an object with type content and a content that is text or a list of text blocks")
    return {"type": "content", "content": content}


def _trace(value: JsonValue) -> JsonValue:
    trace = values.json_object(value)
    return {
        name: field
        for name, field in trace.items()
        if field is not None and (name not in _TRACE_NAMES or isinstance(field, str))
    }


_READERS: Final[Mapping[str, Reader]] = {
    **dict.fromkeys(
        ("temperature", "top_p", "top_a", "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty"),
        values.number,
    ),
    **dict.fromkeys(("top_k", "top_logprobs", "seed", "max_tool_calls"), values.integer),
    **dict.fromkeys(("logprobs", "background"), values.boolean),
    **dict.fromkeys(("prompt_cache_key", "safety_identifier"), values.text),
    **dict.fromkeys(("provider", "audio", "x_search_filter"), values.json_object),
    "service_tier": values.choice("auto", "default", "fast", "flex", "priority", "scale"),
    "route": values.choice("fallback", "sort"),
    "truncation": values.choice("auto", "disabled"),
    "cache_control": read_cache_control,
    "debug": _debug,
    "image_config": _image_config,
    "include": _includes,
    "logit_bias": _logit_bias,
    "modalities": _modalities,
    "prediction": _prediction,
    "prompt": _prompt,
    "prompt_cache_options": _cache_options,
    "stop": _stops,
    "stop_server_tools_when": _conditions,
    "trace": _trace,
}
