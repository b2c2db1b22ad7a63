"""The documented HTTP errors, by status and kind.

What lives here: the bodies and headers of the contract's sections 2.8 and 6. Not here: when they are given
(``validation`` for real mistakes, knobs for faults on order).
"""

from collections.abc import Mapping
from typing import Any

import orjson
from attrs import field, frozen

Json = dict[str, Any]

_DOCS = "https://openrouter.ai/docs"
_MESSAGES = {
    400: "Invalid request parameters",
    401: "User not found.",
    402: "Insufficient credits. Add more using https://openrouter.ai/credits",
    403: "Your chosen model requires moderation and your input was flagged",
    404: "No endpoints found that support the requested combination.",
    408: "Operation timed out. Please try again later.",
    413: "Request payload too large",
    422: "Invalid argument",
    425: "Too early. Please try again later.",
    429: "Provider returned error",
    500: "Internal Server Error",
    502: "Provider returned error",
    503: "Service temporarily unavailable",
    524: "Request timed out. Please try again later.",
    529: "Provider returned error",
}
_HTML = b"<!DOCTYPE html><html><head><title>Error</title></head><body><h1>Bad gateway</h1>cloudflare</body></html>"


@frozen
class ErrorReply:
    """One HTTP error: status, body as sent, and the headers that belong to it (content-type included)."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(factory=dict)


def json_error(status: int, body: object, retry_after: float | None = None, **headers: str) -> ErrorReply:
    """An error with this body, as JSON."""
    extra = {"retry-after": f"{retry_after:g}"} if retry_after is not None else {}
    return ErrorReply(status, orjson.dumps(body), {"content-type": "application/json"} | extra | headers)


def plain_error(status: int, message: str, metadata: Json | None = None) -> ErrorReply:
    """The usual envelope with a numeric code."""
    error: Json = {"message": message, "code": status}
    if metadata is not None:
        error["metadata"] = metadata
    return json_error(status, {"error": error})


def upstream_error(status: int, raw: object, provider: str = "FakeProvider", **metadata: object) -> ErrorReply:
    """An error of the model's provider, its own body quoted in ``metadata.raw`` as text."""
    text = raw if isinstance(raw, str) else orjson.dumps(raw).decode()
    return plain_error(
        status, "Provider returned error", {"raw": text, "provider_name": provider, "is_byok": False, **metadata}
    )


def invalid_prompt(issues: list[Json]) -> ErrorReply:
    """The Responses endpoint's answer to a body that does not fit: a string code, and metadata beside the error."""
    return json_error(
        400,
        {
            "error": {"code": "invalid_prompt", "message": "Invalid Responses API request"},
            "metadata": {"raw": orjson.dumps(issues).decode()},
        },
    )


def ordered_error(status: int, kind: str | None, model: str, retry_after: float | None) -> ErrorReply:
    """The error that a knob orders: ``kind`` picks among those documented for the status, else the usual one."""
    maker = (_KINDS.get((status, kind)) or _KINDS.get((0, kind))) if kind else None
    reply = maker(status, model, retry_after) if maker else _usual(status, model, retry_after)
    if retry_after is not None and "retry-after" not in reply.headers:
        return ErrorReply(reply.status, reply.body, {**reply.headers, "retry-after": f"{retry_after:g}"})
    return reply


def known_kinds() -> tuple[str, ...]:
    """Every kind that an error may be ordered by."""
    return tuple(sorted({kind for _, kind in _KINDS if kind}))


def _usual(status: int, model: str, retry_after: float | None) -> ErrorReply:
    message = _MESSAGES.get(status, "Unexpected error")
    match status:
        case 403:
            metadata: Json | None = {
                "reasons": ["violence"],
                "flagged_input": "flagged words",
                "provider_name": "FakeProvider",
                "model_slug": model,
            }
        case 429 | 502 | 529:
            return _upstream(status, model, retry_after)
        case 404:
            metadata = {"routing_funnel": [{"step": "Filter by Parameters", "endpoint_count": 0}]}
        case _:
            metadata = None
    return plain_error(status, message, metadata)


def _upstream(status: int, model: str, retry_after: float | None) -> ErrorReply:
    text = "is temporarily rate-limited upstream. Please retry shortly" if status == 429 else "is overloaded"
    metadata: Json = {"limit_source": "upstream_provider_shared_pool"} if status == 429 else {}
    if retry_after is not None:
        metadata["retry_after_seconds"] = retry_after
        metadata["headers"] = {"Retry-After": f"{retry_after:g}"}
    return upstream_error(status, f"{model} {text}", provider_error_code=str(status), **metadata)


def _platform_limit(status: int, model: str, retry_after: float | None) -> ErrorReply:
    limits = {"X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1790000060000"}
    body = {
        "error": {
            "message": "Rate limit exceeded: free-models-per-min. ",
            "code": 429,
            "metadata": {
                "headers": limits,
                "limit_source": "openrouter_free_tier_per_minute",
                "remedy_hint": "Wait, or add credits",
                "provider_name": None,
            },
        },
        "user_id": "user_simulated",
    }
    return json_error(status, body, retry_after, **{key.lower(): value for key, value in limits.items()})


def _availability(status: int, model: str, retry_after: float | None) -> ErrorReply:
    after = retry_after if retry_after is not None else 40
    error_type = "rate_limit_exceeded" if status == 429 else "provider_overloaded"
    code = "capacity_exhausted" if status == 429 else "temporarily_unavailable"
    error = {
        "message": f"All providers for {model} are at capacity. Retry after {after:g} seconds.",
        "error_type": error_type,
        "http_status": status,
        "availability": {
            "code": code,
            "retryable": True,
            "retry_after": after,
            "requested_models": [model],
            "affected_providers": ["fakeprovider"],
            "fallback_models": ["sim/plain"],
            "docs_url": f"{_DOCS}/errors#{code}",
        },
        "metadata": {"previous_errors": [{"provider": "fakeprovider", "code": code, "status": status}]},
    }
    return json_error(status, {"error": error})


def _schema(status: int, model: str, retry_after: float | None) -> ErrorReply:
    return invalid_prompt([{"code": "invalid_union", "path": ["input"], "message": "Invalid input"}])


def _unknown_model(status: int, model: str, retry_after: float | None) -> ErrorReply:
    return plain_error(status, f"{model} is not a valid model ID")


def _cache_control(status: int, model: str, retry_after: float | None) -> ErrorReply:
    return upstream_error(status, _native("cache_control: Extra inputs are not permitted"), provider="Anthropic")


def _thinking(status: int, model: str, retry_after: float | None) -> ErrorReply:
    return upstream_error(status, _native("thinking: thinking must be enabled for this request"), provider="Anthropic")


def _effort(status: int, model: str, retry_after: float | None) -> ErrorReply:
    return unsupported_effort(model, "xhigh", ("low", "medium", "high"))


def unsupported_effort(model: str, effort: str, supported: tuple[str, ...]) -> ErrorReply:
    """The upstream's refusal of a reasoning effort, which lists what it would take."""
    quoted = [f"'{value}'" for value in supported]
    listed = quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])}, and {quoted[-1]}"
    message = (
        f"Unsupported value: '{effort}' is not supported with the '{model}' model. Supported values are: {listed}."
    )
    raw = {
        "error": {
            "message": message,
            "type": "invalid_request_error",
            "param": "reasoning.effort",
            "code": "unsupported_value",
        }
    }
    return upstream_error(400, raw, provider_error_code="unsupported_value")


def _encrypted(status: int, model: str, retry_after: float | None) -> ErrorReply:
    raw = {"error": {"message": "The encrypted content could not be verified.", "code": "invalid_encrypted_content"}}
    return upstream_error(status, raw)


def _context(status: int, model: str, retry_after: float | None) -> ErrorReply:
    return plain_error(
        status,
        "This endpoint's maximum context length is 8192 tokens. However, you requested about 9000 tokens. "
        "Please reduce the length of either one, or use the context-compression plugin.",
    )


def _key_limit(status: int, model: str, retry_after: float | None) -> ErrorReply:
    message = "Key limit exceeded (total limit). Manage it using https://openrouter.ai/settings/keys"
    return plain_error(status, message, {"limit_source": "openrouter_key_limit"})


def _in_flight(status: int, model: str, retry_after: float | None) -> ErrorReply:
    message = "This request requires more credits than are left beside the requests in flight."
    metadata = {"limit_source": "openrouter_in_flight_budget", "reason": "in_flight_budget_exhausted"}
    return plain_error(status, message, metadata)


def _afford(status: int, model: str, retry_after: float | None) -> ErrorReply:
    message = (
        "This request requires more credits, or fewer max_tokens. You requested up to 64000 tokens, "
        "but can only afford 1200. To increase, visit https://openrouter.ai/settings/credits"
    )
    return plain_error(status, message, {"limit_source": "openrouter_credits"})


def _privacy(status: int, model: str, retry_after: float | None) -> ErrorReply:
    return plain_error(
        status,
        "No endpoints found matching your data policy. Configure: https://openrouter.ai/settings/privacy",
        {"failed_routing_step": "Filter by Data Policy"},
    )


def _zod(status: int, model: str, retry_after: float | None) -> ErrorReply:
    return json_error(status, {"success": False, "error": {"name": "ZodError", "message": "[{}]"}})


def _html(status: int, model: str, retry_after: float | None) -> ErrorReply:
    return ErrorReply(status, _HTML, {"content-type": "text/html; charset=UTF-8"})


def _empty(status: int, model: str, retry_after: float | None) -> ErrorReply:
    return ErrorReply(status, b"", {"content-type": "application/json"})


def _shape(status: int, model: str, retry_after: float | None) -> ErrorReply:
    return json_error(status, {"error": [17, "a list where an object should be"], "code": {"deep": True}})


def _number(status: int, model: str, retry_after: float | None) -> ErrorReply:
    return json_error(status, 17)


def _no_key(status: int, model: str, retry_after: float | None) -> ErrorReply:
    return plain_error(status, "No cookie auth credentials found")


def _native(message: str) -> Json:
    return {"type": "error", "error": {"type": "invalid_request_error", "message": message}}


_KINDS = {
    (400, "schema"): _schema,
    (400, "unknown-model"): _unknown_model,
    (400, "cache_control"): _cache_control,
    (400, "thinking"): _thinking,
    (400, "effort"): _effort,
    (400, "encrypted"): _encrypted,
    (400, "context"): _context,
    (401, "no-key"): _no_key,
    (402, "in-flight"): _in_flight,
    (402, "afford"): _afford,
    (402, "key-limit"): _key_limit,
    (403, "key-limit"): _key_limit,
    (404, "privacy"): _privacy,
    (429, "platform"): _platform_limit,
    (429, "availability"): _availability,
    (503, "availability"): _availability,
    (0, "upstream"): _upstream,
    (0, "zod"): _zod,
    (0, "html"): _html,
    (0, "empty"): _empty,
    (0, "shape"): _shape,
    (0, "number"): _number,
}


def check_kind(status: int, kind: str) -> bool:
    """Whether an error of this kind is known for the status."""
    return (status, kind) in _KINDS or (0, kind) in _KINDS
