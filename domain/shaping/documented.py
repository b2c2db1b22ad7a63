"""The fields that each endpoint documents, grouped by what becomes of them here.

Source: the published schema; a test compares these groups with it, so that a change upstream shows. What a caller sends
beyond them does not leave.
"""

from __future__ import annotations

from typing import Final

from openrouter_pipe.ports import model_rules
from openrouter_pipe.ports.provider import Endpoint

SHARED: Final = frozenset(
    {
        "cache_control",
        "debug",
        "frequency_penalty",
        "image_config",
        "modalities",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "provider",
        "route",
        "service_tier",
        "stop_server_tools_when",
        "temperature",
        "top_k",
        "top_logprobs",
        "top_p",
        "trace",
    }
)
"""Forwarded on both endpoints."""

# x_search_filter and audio: the documentation names them although the schema does not.
RESPONSES_ONLY: Final = frozenset(
    {"background", "include", "max_tool_calls", "prompt", "safety_identifier", "truncation", "x_search_filter"}
)
CHAT_ONLY: Final = frozenset(
    {"audio", "logit_bias", "logprobs", "min_p", "prediction", "repetition_penalty", "seed", "stop", "top_a"}
)

FORWARDED: Final = {Endpoint.RESPONSES: SHARED | RESPONSES_ONLY, Endpoint.CHAT_COMPLETIONS: SHARED | CHAT_ONLY}
"""What goes out under its own name, per endpoint, when the caller sets it to something usable."""

MAPPED: Final = {
    Endpoint.RESPONSES: frozenset(
        {
            "input",
            "instructions",
            "max_output_tokens",
            "model",
            "models",
            "parallel_tool_calls",
            "plugins",
            "reasoning",
            "stream",
            "text",
            "tool_choice",
            "tools",
        }
    ),
    Endpoint.CHAT_COMPLETIONS: frozenset(
        {
            "max_completion_tokens",
            "max_tokens",
            "messages",
            "model",
            "models",
            "parallel_tool_calls",
            "plugins",
            "reasoning",
            "reasoning_effort",
            "response_format",
            "stream",
            "tool_choice",
            "tools",
        }
    ),
}
"""What has a field of its own in `ProviderRequest`; a caller may use either endpoint's spelling on both."""

WITHHELD: Final = {
    Endpoint.RESPONSES: frozenset({"metadata", "previous_response_id", "session_id", "store", "user"}),
    Endpoint.CHAT_COMPLETIONS: frozenset({"metadata", "session_id", "stream_options", "user"}),
}
"""Documented, but never taken from a caller: identifiers are ours to set, the rest can only fail or does nothing."""

UNDERSTOOD: Final = frozenset().union(*MAPPED.values(), *WITHHELD.values()) | {
    "disable_native_websearch",
    "include_reasoning",
    "model_fallback",
    "preset",
    "transforms",
    "verbosity",
}
"""Names that need no word in the log although they do not leave under that name."""

WEB_SEARCH_TOOLS: Final = frozenset(
    {
        "openrouter:web_search",
        "web_search",
        "web_search_2025_08_26",
        "web_search_preview",
        "web_search_preview_2025_03_11",
    }
)
_BOTH: Final = WEB_SEARCH_TOOLS | {
    "openrouter:advisor",
    "openrouter:datetime",
    "openrouter:experimental__search_models",
    "openrouter:files",
    "openrouter:fusion",
    "openrouter:image_generation",
    "openrouter:subagent",
    "openrouter:web_fetch",
}
HOSTED_TOOLS: Final = {
    Endpoint.RESPONSES: _BOTH
    | {
        "apply_patch",
        "code_interpreter",
        "computer_use_preview",
        "custom",
        "file_search",
        "image_generation",
        "local_shell",
        "mcp",
        "namespace",
        "openrouter:apply_patch",
        "openrouter:shell",
        "openrouter:tool_search",
        "shell",
    },
    Endpoint.CHAT_COMPLETIONS: _BOTH,
}
"""Types of tools that are no functions, per endpoint; any other type costs the whole request."""

EFFORTS: Final = model_rules.EFFORTS
"""Reasoning efforts in ascending order."""

VERBOSITIES: Final = ("low", "medium", "high", "xhigh", "max")
