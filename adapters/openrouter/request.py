"""What both endpoints' requests have in common: the lists of documented fields, headers, addresses, shared members.

The lists are the properties of ResponsesRequest and ChatRequest in the published schema, plus what the documentation
names beside it. Only they leave; null never does.
"""

from __future__ import annotations

import functools
import logging
from typing import Final

import httpx

from openrouter_pipe.adapters.openrouter import faults
from openrouter_pipe.adapters.openrouter.wirejson import Wire, without_nulls
from openrouter_pipe.ports.provider import (
    Connection,
    FaultKind,
    PromptCaching,
    ProviderError,
    ProviderFault,
    ProviderRequest,
    Reasoning,
)

_log = logging.getLogger(__name__)

_SHARED_FIELDS: Final = frozenset(
    {
        "cache_control",
        "debug",
        "frequency_penalty",
        "image_config",
        "metadata",
        "modalities",
        "model",
        "models",
        "parallel_tool_calls",
        "plugins",
        "presence_penalty",
        "preset",
        "prompt_cache_key",
        "prompt_cache_options",
        "provider",
        "reasoning",
        "route",
        "service_tier",
        "session_id",
        "stop_server_tools_when",
        "stream",
        "temperature",
        "tool_choice",
        "tools",
        "top_k",
        "top_logprobs",
        "top_p",
        "trace",
        "user",
        "x_search_filter",
    }
)
RESPONSES_FIELDS: Final = _SHARED_FIELDS | {
    "background",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "prompt",
    "safety_identifier",
    "text",
    "truncation",
}
"""Documented members of a request to the responses endpoint; ``store`` and ``previous_response_id`` only ever fail."""

CHAT_FIELDS: Final = _SHARED_FIELDS | {
    "audio",
    "include_reasoning",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "messages",
    "min_p",
    "prediction",
    "reasoning_effort",
    "repetition_penalty",
    "response_format",
    "seed",
    "stop",
    "top_a",
    "verbosity",
}
"""Documented members of a request to the chat completions endpoint."""

_MAX_PORT: Final = 65535
MAX_BREAKPOINTS: Final = 4
"""Cache breakpoints that Anthropic takes in one request, the automatic one included."""


def shared_members(request: ProviderRequest, documented: frozenset[str]) -> Wire:
    """The members that both endpoints spell alike, the caller's own parameters among them."""
    body: Wire = {}
    dropped = []
    for name, value in request.parameters.items():
        if name not in documented:
            dropped.append(name)
        elif value is not None:
            body[name] = without_nulls(value)
    if dropped:
        _log.debug("not documented for %s, not sent: %s", request.endpoint.value, ", ".join(sorted(dropped)))
    body["model"] = request.model
    body["stream"] = request.stream
    if request.fallback_models:
        body["models"] = list(request.fallback_models)
    if request.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = request.parallel_tool_calls
    if request.plugins:
        body["plugins"] = [*body.get("plugins", ()), *(without_nulls(plugin) for plugin in request.plugins)]
    if request.user:
        body["user"] = request.user
    if request.session_id:
        body["session_id"] = request.session_id
    if request.metadata:
        body["metadata"] = without_nulls(request.metadata)
    return body


def add_reasoning(body: Wire, reasoning: Reasoning | None) -> None:
    """Ask for reasoning; nothing is asked where every field is left to the provider."""
    if reasoning is None:
        return
    if reasoning.legacy:
        # In no schema, but the catalogue lists it as the one switch that these models understand.
        body["include_reasoning"] = reasoning.enabled is not False
        return
    asked: Wire = dict(without_nulls(reasoning.extra))
    for name, value in (
        ("effort", reasoning.effort),
        ("max_tokens", reasoning.max_tokens),
        ("summary", reasoning.summary),
        ("enabled", reasoning.enabled),
    ):
        if value is not None:
            asked[name] = value
    if asked:
        body["reasoning"] = asked


def cache_directive(caching: PromptCaching) -> Wire:
    """``cache_control`` with its life time."""
    return {"type": "ephemeral", "ttl": caching.ttl} if caching.ttl else {"type": "ephemeral"}


def spread(candidates: list[int], room: int) -> list[int]:
    """At most ``room`` of the breakpoints: the first (the system prompt, most stable) and the last ones."""
    if len(candidates) <= room:
        return candidates
    if room <= 0:
        return []
    return candidates[:1] + (candidates[1 - room :] if room > 1 else [])


def headers(request: ProviderRequest, connection: Connection) -> list[tuple[bytes, bytes]]:
    """The request's headers.

    Raises:
        ProviderError: the key holds characters that no header can carry; the same kind of failure as a wrong key.
    """
    accepted = b"text/event-stream" if request.stream else b"application/json"
    sent = [*base_headers(connection), (b"Accept", accepted), (b"Content-Type", b"application/json")]
    if request.beta_features:
        sent.append((b"x-anthropic-beta", _header_value(",".join(request.beta_features))))
    return sent


def base_headers(connection: Connection) -> list[tuple[bytes, bytes]]:
    """Authorization and attribution. Raises `ProviderError` as `headers` does."""
    key = connection.api_key.reveal().strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ProviderError(
            ProviderFault(
                kind=FaultKind.STATUS,
                message="The API key holds characters that no key has; nothing was sent",
                status=401,
                code="invalid_api_key",
            )
        )
    sent: list[tuple[bytes, bytes]] = []
    if key:
        sent.append((b"Authorization", b"Bearer " + key.encode("ascii")))
    if connection.referer:
        sent.append((b"HTTP-Referer", _header_value(connection.referer)))
    if connection.title:
        title = _header_value(connection.title)
        sent += [(b"X-OpenRouter-Title", title), (b"X-Title", title)]
    return sent


@functools.lru_cache(maxsize=64)
def address(base_url: str, path: str) -> httpx.URL:
    """The address of ``path`` under the base, whose own path, port and query are kept (gateways have them).

    Credentials inside the base are left out: httpx would put them in the place of our key.

    Raises:
        ProviderError: the base is not an http(s) address.
    """
    try:
        base = httpx.URL(base_url.strip())
        joined = base.copy_with(
            path=f"{base.path.rstrip('/')}/{path.lstrip('/')}", username=None, password=None, fragment=None
        )
    except (httpx.InvalidURL, ValueError, TypeError):
        joined = httpx.URL("")
    if joined.scheme not in {"http", "https"} or not joined.host or (joined.port or 0) > _MAX_PORT:
        message = "the base URL is not an http(s) address; check BASE_URL"
        raise ProviderError(faults.no_connection(message, "(not a valid address)", ""))
    return joined


def _header_value(value: str) -> bytes:
    return "".join(char for char in value if char.isprintable()).strip().encode("utf-8", "replace")
