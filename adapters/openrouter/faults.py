"""Everything that goes wrong, as `ProviderFault`: error bodies, errors inside streams, time-outs, broken connections.

What a fault means (whose fault, worth another try, which words for the user) is not decided here. ``message`` is the
words of OpenRouter's own error object; the upstream provider's words, and all else that the metadata tell, become the
fault's ``evidence`` (evidence.py). An availability object is kept as ``metadata["availability"]``, and lends its code
where the error has none.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

import httpx
from attrs import evolve, field, frozen

from openrouter_pipe.adapters.openrouter.evidence import evidence_of, provider_of, status_of
from openrouter_pipe.adapters.openrouter.structures import ErrorObject, error_object, seconds
from openrouter_pipe.adapters.openrouter.wirejson import (
    Wire,
    dumps,
    listing,
    loads,
    mapping,
    text,
    text_or_none,
    whole,
)
from openrouter_pipe.ports.provider import FaultKind, ProviderFault

BODY_LIMIT: Final = 16 * 1024
"""Bytes of an error body that a fault keeps."""

_MESSAGE_LIMIT: Final = 4000
_REQUEST_ID_HEADERS: Final = ("x-request-id", "request-id", "x-generation-id", "cf-ray")
_RETRY_ADVICE: Final[Mapping[str, bool]] = {"in_flight_budget_exhausted": True, "weight_exceeds_budget": False}


@frozen
class Context:
    """What is known beside the error itself: the wall clock (epoch seconds), the answer's headers, the model asked for.

    ``provider`` is the one that earlier events of the stream have named.
    """

    now: float
    model: str = ""
    provider: str = ""
    headers: Mapping[str, str] = field(factory=dict)


def from_status(status: int, body: bytes, context: Context) -> ProviderFault:
    """The fault of an HTTP answer with an error status, whatever its body is."""
    envelope = _envelope(body)
    fault = _from_envelope(FaultKind.STATUS, envelope, context, status=status)
    fallback = f"OpenRouter answered with status {status} and no readable error"
    return evolve(fault, message=fault.message or fallback, body=cut(body))


def from_event(event: Wire, context: Context) -> ProviderFault:
    """The fault of an error inside a stream, in any of its shapes (contract 5.4 j), or of a 200 that holds only one."""
    envelope = event if "error" in event else {"error": event}
    fault = _from_envelope(FaultKind.STREAM, envelope, context, status=None)
    choice = mapping(next(iter(listing(event.get("choices"))), None))
    return evolve(
        fault,
        message=fault.message or "OpenRouter reported an error without saying which",
        body=_shown(event),
        model=text_or_none(event.get("model")) or fault.model,
        chunk_id=text_or_none(event.get("id")),
        chunk_created=whole(event.get("created")),
        native_finish_reason=text_or_none(choice.get("native_finish_reason")),
    )


def from_failed_response(response: Wire, context: Context) -> ProviderFault:
    """The fault of a response whose status is failed or cancelled."""
    envelope: Wire = {key: member for key, member in response.items() if key in _ENVELOPE_KEYS}
    fault = _from_envelope(FaultKind.STREAM, envelope, context, status=None)
    status = text(response.get("status")) or "failed"
    return evolve(
        fault,
        message=fault.message or f"the response ended with status {status}",
        body=_shown(envelope),
        model=text_or_none(response.get("model")) or fault.model,
        chunk_id=text_or_none(response.get("id")),
        chunk_created=whole(response.get("created_at")),
    )


def malformed(message: str, context: Context, *, status: int | None = None, body: bytes = b"") -> ProviderFault:
    """An answer that is not what the contract says; ``message`` holds no content."""
    return ProviderFault(
        kind=FaultKind.MALFORMED,
        message=message,
        status=status,
        request_id=_header_request_id(context.headers),
        body=cut(body),
        model=context.model or None,
    )


def truncated(context: Context) -> ProviderFault:
    """The stream ended, but the answer did not."""
    return ProviderFault(
        kind=FaultKind.TRUNCATED,
        message="the stream ended before the answer was complete",
        request_id=_header_request_id(context.headers),
        model=context.model or None,
        stream_provider=_first(context.provider, context.headers.get("x-provider-name", "")),
    )


def timed_out(kind: FaultKind, limit: float | None, url: str, model: str) -> ProviderFault:
    """One of our own limits was hit; ``limit`` in seconds."""
    what = {
        FaultKind.CONNECT_TIMEOUT: "no connection",
        FaultKind.READ_TIMEOUT: "no data",
        FaultKind.TOTAL_TIMEOUT: "no complete answer",
    }[kind]
    within = "" if limit is None else f" within {limit:g} seconds"
    return ProviderFault(kind=kind, message=f"{what}{within}", endpoint_url=url, timeout=limit, model=model or None)


def no_connection(reason: str, url: str, model: str) -> ProviderFault:
    """Refused, reset, DNS, TLS, or an address that is none."""
    return ProviderFault(kind=FaultKind.CONNECTION, message=reason, endpoint_url=url, model=model or None)


@functools.lru_cache(maxsize=64)
def bare_url(url: httpx.URL | str) -> str:
    """An address fit for display: scheme, host, port and path; no credentials, query or fragment."""
    try:
        parsed = httpx.URL(url)
        return str(parsed.copy_with(username=None, password=None, query=None, fragment=None))
    except (httpx.InvalidURL, ValueError, TypeError):
        return "(not a valid address)"


def cut(body: bytes) -> str:
    """An error body as text of at most 16 KiB; bytes that are not UTF-8 become U+FFFD."""
    shown = body[:BODY_LIMIT].decode("utf-8", "replace")
    return shown if len(body) <= BODY_LIMIT else f"{shown}… [cut]"


def _shown(event: Wire) -> str:
    try:
        return cut(dumps(event))
    except ValueError:
        return ""


_ENVELOPE_KEYS: Final = frozenset({"error", "error_type", "openrouter_metadata", "metadata", "provider", "request_id"})


def _envelope(body: bytes) -> Wire:
    try:
        parsed = loads(body.strip())
    except ValueError:
        return {}
    if not isinstance(parsed, dict):
        return {}
    return parsed if "error" in parsed else {"error": parsed}


def _from_envelope(kind: FaultKind, envelope: Wire, context: Context, *, status: int | None) -> ProviderFault:
    error = envelope.get("error")
    known = error_object(error)
    members = mapping(error)
    metadata = _metadata(envelope, members)
    error_type = known.metadata.error_type or known.error_type or text(envelope.get("error_type")) or _type(known)
    message = known.message.strip()[:_MESSAGE_LIMIT]
    code = known.code or known.availability.code or known.name or None
    return ProviderFault(
        kind=kind,
        message=message,
        status=status or _status(known, error_type, code),
        code=code,
        error_type=error_type or None,
        evidence=evidence_of(metadata, message, error_type, code),
        provider=_provider(known, envelope, context) or provider_of(metadata) or None,
        request_id=_request_id(known, envelope, context.headers),
        retry_after=_retry_after(known, metadata, context),
        retryable=_retryable(known),
        metadata=metadata,
        model=context.model or text_or_none(metadata.get("model_slug")),
        stream_provider=_named(envelope, context) if kind is FaultKind.STREAM else None,
    )


def _metadata(envelope: Wire, error: Wire) -> Wire:
    # A schema failure on /responses puts metadata beside the error instead of inside it.
    metadata = {**mapping(envelope.get("metadata")), **mapping(error.get("metadata"))}
    metadata.pop("user_id", None)
    availability = mapping(error.get("availability"))
    if availability:
        metadata.setdefault("availability", availability)
    return metadata


def _type(error: ErrorObject) -> str:
    return "" if error.type in {"error", "response.error", "response.failed"} else error.type


def _status(error: ErrorObject, error_type: str, code: str | None) -> int | None:
    for candidate in (error.code, error.http_status):
        try:
            number = int(candidate or 0)
        except ValueError:
            continue
        if 400 <= number <= 599:
            return number
    return status_of(error_type, error.error_type, code)


def _provider(error: ErrorObject, envelope: Wire, context: Context) -> str | None:
    blamed = _first(error.metadata.provider_name, error.provider_name, error.provider)
    return blamed or _named(envelope, context)


def _named(envelope: Wire, context: Context) -> str | None:
    """The provider that the answer says that it comes from."""
    selected = (
        text(mapping(endpoint).get("provider"))
        for endpoint in listing(mapping(mapping(envelope.get("openrouter_metadata")).get("endpoints")).get("available"))
        if mapping(endpoint).get("selected") is True
    )
    return _first(
        text(envelope.get("provider")), context.provider, next(selected, ""), context.headers.get("x-provider-name", "")
    )


def _request_id(error: ErrorObject, envelope: Wire, headers: Mapping[str, str]) -> str | None:
    return _first(
        _header_request_id(headers) or "",
        error.request_id,
        error.metadata.request_id,
        text(envelope.get("request_id")),
        text(mapping(envelope.get("openrouter_metadata")).get("request_id")),
    )


def _header_request_id(headers: Mapping[str, str]) -> str | None:
    return _first(*(headers.get(name, "") for name in _REQUEST_ID_HEADERS))


def _retry_after(error: ErrorObject, metadata: Wire, context: Context) -> float | None:
    """Seconds from now, by the documented precedence."""
    inner = {str(key).lower(): member for key, member in mapping(metadata.get("headers")).items()}
    advice = (
        seconds(error.availability.retry_after),
        seconds(mapping(metadata.get("availability")).get("retry_after")),
        seconds(metadata.get("retry_after_seconds")),
        retry_delay(inner.get("retry-after"), context.now),
        retry_delay(context.headers.get("retry-after"), context.now),
        _until_reset(inner.get("x-ratelimit-reset"), context.now),
        _until_reset(context.headers.get("x-ratelimit-reset"), context.now),
    )
    return next((delay for delay in advice if delay is not None), None)


def retry_delay(value: object, now: float) -> float | None:
    """A Retry-After value, in seconds or as an HTTP date, as seconds from ``now``; past dates give 0, nonsense None."""
    delay = seconds(value)
    if delay is not None or not isinstance(value, str):
        return delay
    try:
        date = parsedate_to_datetime(value)
        when = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return max(0.0, when - now)


def _until_reset(value: object, now: float) -> float | None:
    """X-RateLimit-Reset counts milliseconds since the epoch."""
    reset = seconds(value)
    return None if reset is None else max(0.0, reset / 1000 - now)


def _retryable(error: ErrorObject) -> bool | None:
    if error.availability.retryable is not None:
        return error.availability.retryable
    return _RETRY_ADVICE.get(error.metadata.reason)


def _first(*candidates: str) -> str | None:
    return next((candidate for candidate in candidates if candidate), None)
