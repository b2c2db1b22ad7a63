"""What a fault's loose JSON has to say: a reader of error metadata and raw bodies that expects nothing of their shape.

The shapes that occur are listed in the provider's contract (upstream errors, rate limits, credits, routing, moderation,
guardrails, availability). Here they become template variables; what they mean for the user is decided in classify.py.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Final

from openrouter_pipe.ports.json import JsonObject, JsonValue
from openrouter_pipe.ports.provider import ProviderFault

_GENERIC: Final = frozenset({"", "provider returned error", "error", "unknown error", "internal server error"})
_RATE_LIMITS: Final = {
    "openrouter_free_tier_per_minute": "free models, requests per minute",
    "openrouter_free_tier_daily": "free models, requests per day",
    "upstream_provider_shared_pool": "capacity of this model's provider, shared by all its users",
    "openrouter_key_limit": "spending limit of the API key",
    "openrouter_credits": "credits of the account",
    "openrouter_in_flight_budget": "credits reserved by requests that are still running",
}


def as_object(value: JsonValue) -> JsonObject:
    """``value`` if it is an object, else an empty one; a string that holds JSON is read first."""
    if isinstance(value, str) and value.lstrip()[:1] == "{":
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, Mapping) else {}


def as_text(value: JsonValue) -> str:
    """A string or a number as text, anything else as nothing."""
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def as_texts(value: JsonValue) -> list[str]:
    """A list of texts out of a text, a list of texts, or a list of objects that name something."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [text for text in (_name(entry) for entry in value[:50]) if text]
    text = _name(value)
    return [text] if text else []


def as_number(value: JsonValue) -> float | None:
    """A finite number, also from text."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _name(value: JsonValue) -> str:
    if isinstance(value, Mapping):
        return next(
            (text for key in ("name", "pattern", "reason", "message", "type") if (text := as_text(value.get(key)))), ""
        )
    return as_text(value)


def upstream(metadata: JsonObject) -> tuple[str, str]:
    """Type and message of the provider's own error, wherever its raw answer has them."""
    raw = metadata.get("raw")
    body = as_object(raw)
    if not body:
        return "", as_text(raw)
    error = as_object(body.get("error")) or body
    kind = as_text(error.get("type")) or as_text(error.get("status")) or as_text(error.get("code"))
    message = as_text(error.get("message")) or as_text(body.get("message")) or as_text(body.get("detail"))
    return kind, message or as_text(body.get("error"))


def availability(fault: ProviderFault) -> JsonObject:
    """The availability object, which some answers put beside the metadata."""
    found = as_object(fault.metadata.get("availability"))
    return found or as_object(as_object(as_object(fault.body).get("error")).get("availability"))


def detail(fault: ProviderFault) -> str:
    """What the provider said, whole: its own message where ours only says that there was one."""
    message, (_, said) = fault.message.strip(), upstream(fault.metadata)
    if not said or said in message:
        return message
    return said if message.rstrip(".").lower() in _GENERIC or message in said else f"{message}: {said}"


def provider(fault: ProviderFault) -> str:
    """The upstream provider that failed."""
    previous = fault.metadata.get("previous_errors")
    names = [fault.provider or "", as_text(fault.metadata.get("provider_name"))]
    if isinstance(previous, Sequence) and not isinstance(previous, str):
        names += [as_text(as_object(entry).get(key)) for entry in previous[:1] for key in ("provider_name", "provider")]
    return next((name for name in names if name), "")


def moderation_reasons(metadata: JsonObject) -> list[str]:
    """Why a moderator or a guardrail refused the text."""
    return as_texts(metadata.get("reasons")) or as_texts(metadata.get("patterns"))


def retry_after(fault: ProviderFault) -> int | None:
    """Seconds to wait, rounded up."""
    headers = as_object(fault.metadata.get("headers"))
    told = (
        fault.retry_after,
        as_number(availability(fault).get("retry_after")),
        as_number(fault.metadata.get("retry_after_seconds")),
        as_number(next((value for name, value in headers.items() if name.lower() == "retry-after"), None)),
    )
    seconds = next((second for second in told if second is not None and math.isfinite(second)), None)
    return None if seconds is None else max(0, math.ceil(seconds))


def rate_limit_type(metadata: JsonObject) -> str:
    """What was limited, in words where we know them."""
    source = as_text(metadata.get("limit_source"))
    return _RATE_LIMITS.get(source, source) or as_text(metadata.get("rate_limit_type"))


def credit_numbers(metadata: JsonObject) -> tuple[float | None, float | None]:
    """Credits needed and credits left, where they are told."""

    def first(*names: str) -> float | None:
        return next((number for name in names if (number := as_number(metadata.get(name))) is not None), None)

    return (
        first("required_cost", "required_credits", "estimated_cost", "cost", "required"),
        first("account_balance", "remaining_credits", "credits_remaining", "balance", "available"),
    )


def diagnostics(fault: ProviderFault) -> list[str]:
    """Hints for whoever runs this."""
    metadata, available = fault.metadata, availability(fault)
    constraint = as_object(available.get("constraint"))
    hints = [
        as_text(metadata.get("remedy_hint")),
        _labelled("Limit", as_text(metadata.get("limit_source"))),
        _labelled("Reason", as_text(metadata.get("reason"))),
        _labelled("Routing stopped at", as_text(metadata.get("failed_routing_step"))),
        _labelled("Not eligible", ", ".join(as_texts(metadata.get("ineligibility_reasons")))),
        _labelled("Missing attestations", ", ".join(as_texts(metadata.get("missing_attestation_types")))),
        _labelled("Availability", as_text(available.get("code"))),
        _labelled("Excluded by", ", ".join(as_texts(available.get("excluded_by")))),
        as_text(constraint.get("detail")),
        _labelled("Models that work instead", ", ".join(as_texts(available.get("fallback_models")))),
        as_text(available.get("docs_url")),
    ]
    if metadata.get("is_byok") is True:
        hints.append("The request used the operator's own provider key (BYOK)")
    return [hint for hint in hints if hint]


def _labelled(label: str, text: str) -> str:
    return f"{label}: {text}" if text else ""
