"""Wire objects that are structured as a whole, with cattrs: usage and error envelopes.

Deltas are not here: they are too many for anything but plain dictionary access. Structuring never fails: what is missing,
null or of the wrong type takes the field's default, because a provider's odd number must not cost the answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from attrs import frozen, has
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn

from openrouter_pipe.adapters.openrouter.wirejson import Wire, mapping, whole
from openrouter_pipe.ports.telemetry import Usage

T = TypeVar("T")


@frozen
class InputDetails:
    """Of the tokens that went in."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0


@frozen
class OutputDetails:
    """Of the tokens that came out."""

    reasoning_tokens: int = 0


@frozen
class ResponsesUsage:
    """``usage`` of the responses endpoint."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    input_tokens_details: InputDetails = InputDetails()
    output_tokens_details: OutputDetails = OutputDetails()
    cost: float | None = None


@frozen
class ChatUsage:
    """``usage`` of the chat completions endpoint."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    prompt_tokens_details: InputDetails = InputDetails()
    completion_tokens_details: OutputDetails = OutputDetails()
    cost: float | None = None


@frozen
class Availability:
    """The availability object of routing errors (contract 6.4)."""

    code: str = ""
    retryable: bool | None = None
    retry_after: float | None = None


@frozen
class ErrorMetadata:
    """The members of ``error.metadata`` that mean the same in all its shapes (contract 6.2)."""

    error_type: str = ""
    provider_name: str = ""
    reason: str = ""
    request_id: str = ""


@frozen
class ErrorObject:
    """``error`` in every envelope: HTTP bodies, stream events, chunks, failed responses."""

    code: str = ""
    message: str = ""
    name: str = ""
    type: str = ""
    error_type: str = ""
    http_status: int | None = None
    request_id: str = ""
    provider: str = ""
    provider_name: str = ""
    availability: Availability = Availability()
    metadata: ErrorMetadata = ErrorMetadata()


def responses_usage(value: object) -> Usage | None:
    """Usage of a response; None if there is none."""
    if not isinstance(value, dict):
        return None
    usage = _CONVERTER.structure(value, ResponsesUsage)
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens or usage.input_tokens + usage.output_tokens,
        cached_tokens=usage.input_tokens_details.cached_tokens,
        cache_write_tokens=usage.input_tokens_details.cache_write_tokens,
        reasoning_tokens=usage.output_tokens_details.reasoning_tokens,
        cost=_price(usage.cost),
        raw=value,
    )


def chat_usage(value: object) -> Usage | None:
    """Usage of a chat completion; None if there is none."""
    if not isinstance(value, dict):
        return None
    usage = _CONVERTER.structure(value, ChatUsage)
    return Usage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens or usage.prompt_tokens + usage.completion_tokens,
        cached_tokens=usage.prompt_tokens_details.cached_tokens,
        cache_write_tokens=usage.prompt_tokens_details.cache_write_tokens,
        reasoning_tokens=usage.completion_tokens_details.reasoning_tokens,
        cost=_price(usage.cost),
        raw=value,
    )


def error_object(value: object) -> ErrorObject:
    """Structure an ``error`` member; a bare string becomes its message."""
    if isinstance(value, str):
        return ErrorObject(message=value)
    return _CONVERTER.structure(mapping(value), ErrorObject)


def seconds(value: object) -> float | None:
    """A number of seconds that is finite and not negative, given as a number or as its text; else None."""
    found = number(value)
    return None if found is None else max(0.0, found)


def _converter() -> Converter:
    converter = Converter()
    converter.register_structure_hook(int, lambda value, _: max(0, whole(number(value)) or 0))
    converter.register_structure_hook(float, lambda value, _: number(value))
    converter.register_structure_hook(str, lambda value, _: _word(value))
    converter.register_structure_hook_func(lambda kind: kind == (int | None), lambda value, _: whole(number(value)))
    converter.register_structure_hook_func(lambda kind: kind == (float | None), lambda value, _: number(value))
    converter.register_structure_hook_func(
        lambda kind: kind == (bool | None), lambda value, _: value if isinstance(value, bool) else None
    )

    def lenient(kind: type[T]) -> Callable[[Mapping[str, Any], type[T]], T]:
        structure = make_dict_structure_fn(kind, converter)

        def structured(value: object, kind: type[T]) -> T:
            present: Wire = {key: member for key, member in mapping(value).items() if member is not None}
            return structure(present, kind)

        return structured

    converter.register_structure_hook_factory(has, lenient)
    return converter


def _price(value: float | None) -> float | None:
    """What something cost; nothing costs less than nothing."""
    return None if value is None else max(0.0, value)


def number(value: object) -> float | None:
    """A finite number, also from its text; else None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def _word(value: object) -> str:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


_CONVERTER = _converter()
