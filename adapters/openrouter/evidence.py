"""What an error's loose JSON has to say beside its message, as `FaultEvidence`: a reader that expects nothing of its shape.

The shapes that occur are listed in the provider's contract (upstream errors, rate limits, credits, routing, moderation,
guardrails, availability). Also here: which HTTP status the provider's error types stand for, where an error names none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from openrouter_pipe.adapters.openrouter.structures import number
from openrouter_pipe.adapters.openrouter.wirejson import Wire, loads, mapping
from openrouter_pipe.ports.json import JsonValue
from openrouter_pipe.ports.provider import FaultCause, FaultEvidence

_RATE_LIMITS: Final = {
    "openrouter_free_tier_per_minute": "free models, requests per minute",
    "openrouter_free_tier_daily": "free models, requests per day",
    "upstream_provider_shared_pool": "capacity of this model's provider, shared by all its users",
    "openrouter_key_limit": "spending limit of the API key",
    "openrouter_credits": "credits of the account",
    "openrouter_in_flight_budget": "credits reserved by requests that are still running",
}
_TYPES_OF_STATUS: Final[Mapping[int, tuple[str, ...]]] = {
    400: (
        "context_length_exceeded", "max_tokens_exceeded", "token_limit_exceeded", "string_too_long", "invalid_request",
        "invalid_request_error", "invalid_prompt", "content_policy_violation", "image_content_policy_violation", "refusal",
        "invalid_image", "image_too_large", "image_too_small", "unsupported_image_format", "image_download_failed",
        "invalid_image_format", "invalid_base64_image", "invalid_image_url", "image_parse_error", "invalid_image_mode",
        "image_file_too_large", "unsupported_image_media_type", "empty_image_file", "failed_to_download_image",
        "image_file_not_found", "bio_policy", "data_residency_mismatch",
    ),
    401: ("authentication", "authentication_error", "invalid_api_key"),
    402: ("payment_required", "insufficient_credits", "insufficient_quota"),
    403: ("permission_denied", "permission_error"),
    404: ("not_found", "image_not_found", "not_found_error"),
    412: ("precondition_failed",),
    413: ("payload_too_large", "request_too_large"),
    422: ("unprocessable",),
    429: ("rate_limit_exceeded", "rate_limit_error"),
    500: ("server", "server_error", "unmapped", "api_error", "internal_error"),
    502: ("provider_unavailable",),
    503: ("provider_overloaded", "overloaded_error"),
    504: ("timeout", "vector_store_timeout"),
}  # fmt: skip
_STATUS_OF_TYPE: Final = {name: status for status, names in _TYPES_OF_STATUS.items() for name in names}
_LENGTH_TYPES: Final = frozenset(
    {"context_length_exceeded", "max_tokens_exceeded", "token_limit_exceeded", "string_too_long"}
)
_LENGTH_WORDS: Final = (
    "context length",
    "context window",
    "max_tokens",
    "maximum tokens",
    "too many tokens",
    "too long",
)
_POLICY_TYPES: Final = frozenset(
    {"content_policy_violation", "image_content_policy_violation", "refusal", "bio_policy"}
)
_LIMIT: Final = re.compile(r"\s*rate limit exceeded:\s*([a-z0-9]+(?:[-_][a-z0-9]+)+)", re.IGNORECASE)
_WORDS_READ: Final = 2000
"""Characters of a message in which words are looked for."""


def status_of(*names: str | None) -> int | None:
    """The status that the first of these types, codes or numbers stands for; None where none of them stands for one."""
    for name in names:
        word = (name or "").strip().lower()
        if word in _STATUS_OF_TYPE:
            return _STATUS_OF_TYPE[word]
        if word.isascii() and word.isdigit() and len(word) == 3 and 400 <= int(word) <= 599:
            return int(word)
    return None


def evidence_of(metadata: Wire, message: str, error_type: str | None, code: str | None) -> FaultEvidence:
    """Everything that ``metadata`` and the words of an error tell."""
    raw = metadata.get("raw")
    kind, said = _upstream(raw)
    reasons = _texts(metadata.get("reasons")) or _texts(metadata.get("patterns"))
    source = _text(metadata.get("limit_source"))
    return FaultEvidence(
        causes=tuple(
            cause
            for cause, is_told in (
                (FaultCause.MODERATION, reasons or "flagged_input" in metadata or {error_type, code} & _POLICY_TYPES),
                (FaultCause.NO_ROUTE, "routing_funnel" in metadata or "failed_routing_step" in metadata),
                (FaultCause.KEY_LIMIT, source == "openrouter_key_limit" or "key limit" in message[:200].lower()),
                (FaultCause.LENGTH, error_type in _LENGTH_TYPES or _tells_of_length(message) or _tells_of_length(said)),
            )
            if is_told
        ),
        upstream_type=kind,
        upstream_message=said,
        upstream_error=_object(raw) or _text(raw),
        reason=next(iter(reasons), "") or _text(metadata.get("reason")),
        moderation_reasons=tuple(reasons),
        flagged_text=_text(metadata.get("flagged_input")),
        rate_limit=_RATE_LIMITS.get(source, source) or _text(metadata.get("rate_limit_type")) or _limit_named(message),
        required_cost=_first_number(
            metadata, "required_cost", "required_credits", "estimated_cost", "cost", "required"
        ),
        account_balance=_first_number(
            metadata, "account_balance", "remaining_credits", "credits_remaining", "balance", "available"
        ),
        hints=tuple(_hints(metadata)),
    )


def provider_of(metadata: Wire) -> str:
    """The upstream provider that the metadata blame."""
    previous = metadata.get("previous_errors")
    names = [_text(metadata.get("provider_name"))]
    if isinstance(previous, list):
        names += [_text(mapping(entry).get(key)) for entry in previous[:1] for key in ("provider_name", "provider")]
    return next((name for name in names if name), "")


def _limit_named(message: str) -> str:
    """What the platform's own message says was limited: ``Rate limit exceeded: free-models-per-day``."""
    found = _LIMIT.match(message[:_WORDS_READ])
    return found[1] if found else ""


def _tells_of_length(said: str) -> bool:
    lowered = said[:_WORDS_READ].lower()
    return any(word in lowered for word in _LENGTH_WORDS)


def _upstream(raw: JsonValue) -> tuple[str, str]:
    """Type and message of the provider's own error, wherever its raw answer has them."""
    body = _object(raw)
    if not body:
        return "", _text(raw)
    error = _object(body.get("error")) or body
    kind = _text(error.get("type")) or _text(error.get("status")) or _text(error.get("code"))
    message = _text(error.get("message")) or _text(body.get("message")) or _text(body.get("detail"))
    return kind, message or _text(body.get("error"))


def _hints(metadata: Wire) -> list[str]:
    """For whoever runs this."""
    available = _object(metadata.get("availability"))
    hints = [
        _text(metadata.get("remedy_hint")),
        _labelled("Limit", _text(metadata.get("limit_source"))),
        _labelled("Reason", _text(metadata.get("reason"))),
        _labelled("Routing stopped at", _text(metadata.get("failed_routing_step"))),
        _labelled("Not eligible", ", ".join(_texts(metadata.get("ineligibility_reasons")))),
        _labelled("Missing attestations", ", ".join(_texts(metadata.get("missing_attestation_types")))),
        _labelled("Availability", _text(available.get("code"))),
        _labelled("Excluded by", ", ".join(_texts(available.get("excluded_by")))),
        _text(_object(available.get("constraint")).get("detail")),
        _labelled("Models that work instead", ", ".join(_texts(available.get("fallback_models")))),
        _text(available.get("docs_url")),
    ]
    if metadata.get("is_byok") is True:
        hints.append("The request used the operator's own provider key (BYOK)")
    return [hint for hint in hints if hint]


def _labelled(label: str, said: str) -> str:
    return f"{label}: {said}" if said else ""


def _object(value: JsonValue) -> Wire:
    """``value`` if it is an object, else an empty one; a string that holds JSON is read first."""
    if isinstance(value, str) and value.lstrip()[:1] == "{":
        try:
            value = loads(value)
        except ValueError:
            return {}
    return mapping(value)


def _text(value: JsonValue) -> str:
    """A string or a number as text, anything else as nothing."""
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _texts(value: JsonValue) -> list[str]:
    """A list of texts out of a text, a list of texts, or a list of objects that name something."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [said for said in (_name(entry) for entry in value[:50]) if said]
    said = _name(value)
    return [said] if said else []


def _name(value: JsonValue) -> str:
    if isinstance(value, Mapping):
        keys = ("name", "pattern", "reason", "message", "type")
        return next((said for key in keys if (said := _text(value.get(key)))), "")
    return _text(value)


def _first_number(metadata: Wire, *names: str) -> float | None:
    return next((found for name in names if (found := number(metadata.get(name))) is not None), None)
