"""The responses endpoint: request bodies. How its events become provider events is in `responses_reader`.

Prompt caching, as the endpoint takes it today (contract 9): a top-level ``cache_control`` sets an automatic breakpoint on
the last block, the only one that can have a life time of its own; explicit ``prompt_cache_breakpoint`` marks on text blocks
always live five minutes. Upstream wants longer-lived breakpoints before shorter ones, so that explicit marks are sent only
beside a five-minute automatic one; and it takes four in all, so that there are at most three of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from openrouter_pipe.adapters.openrouter.encoding import sent_forms
from openrouter_pipe.adapters.openrouter.request import (
    MAX_BREAKPOINTS,
    RESPONSES_FIELDS,
    add_reasoning,
    cache_directive,
    shared_members,
    spread,
)
from openrouter_pipe.adapters.openrouter.wirejson import Wire, mapping, without_nulls
from openrouter_pipe.ports.items import (
    MessageItem,
    Role,
    TextPart,
)
from openrouter_pipe.ports.provider import (
    FunctionTool,
    OutputFormat,
    ProviderRequest,
    ProviderTool,
)

PATH: Final = "responses"


def body(request: ProviderRequest) -> Wire:
    """The JSON of one request."""
    built = shared_members(request, RESPONSES_FIELDS)
    built["input"] = _input(request, built)
    if request.instructions:
        built["instructions"] = request.instructions
    if request.tools:
        built["tools"] = [_tool(tool) for tool in request.tools]
    if request.tool_choice is not None and not _forces_server_tool(request.tool_choice):
        built["tool_choice"] = without_nulls(request.tool_choice)
    if request.max_output_tokens is not None:
        built["max_output_tokens"] = request.max_output_tokens
    wording: Wire = mapping(built.get("text"))
    if request.output_format is not None:
        wording["format"] = _format(request.output_format)
    if request.verbosity:
        wording["verbosity"] = request.verbosity
    if wording:
        built["text"] = wording
    add_reasoning(built, request.reasoning)
    return built


def _input(request: ProviderRequest, built: Wire) -> list[Wire]:
    encoded: list[Wire] = []
    own: list[Wire] = []
    wanted: list[Wire] = []
    breakpoints = frozenset(request.caching.breakpoints) if request.caching else frozenset()
    for position, item in enumerate(request.input):
        sent = sent_forms(item)
        encoded += sent
        if not isinstance(item, MessageItem) or item.role is Role.ASSISTANT:
            continue
        blocks = list(zip(item.parts, sent[0]["content"], strict=True))
        own += [block for part, block in blocks if isinstance(part, TextPart) and part.cache_control]
        last = next((block for part, block in reversed(blocks) if isinstance(part, TextPart)), None)
        if position in breakpoints and last is not None:
            wanted.append(last)
    _place_breakpoints(request, built, own, wanted)
    return encoded


def _place_breakpoints(request: ProviderRequest, built: Wire, own: list[Wire], wanted: list[Wire]) -> None:
    room = MAX_BREAKPOINTS
    if request.caching is not None:
        room -= 1
        directive = cache_directive(request.caching)
        if own:
            directive.pop("ttl", None)  # theirs live five minutes, so must ours
        built["cache_control"] = directive
        if directive.get("ttl", "5m") != "5m":
            wanted = []
    elif "cache_control" in built:
        room -= 1
    marked = own[-room:]
    wanted = [block for block in wanted if not any(block is other for other in own)]
    marked += [wanted[i] for i in spread(list(range(len(wanted))), room - len(marked))]
    for block in marked:
        block["prompt_cache_breakpoint"] = {"mode": "explicit"}


def _tool(tool: ProviderTool) -> Wire:
    if not isinstance(tool, FunctionTool):
        return dict(tool.payload)
    rendered: Wire = {
        "type": "function",
        "name": tool.name,
        "parameters": tool.parameters if tool.parameters is not None else {"type": "object", "properties": {}},
    }
    if tool.description:
        rendered["description"] = tool.description
    if tool.strict is not None:
        rendered["strict"] = tool.strict
    return rendered


def _forces_server_tool(choice: object) -> bool:
    # Forcing openrouter:… exists on the chat endpoint only; here it would be refused.
    return isinstance(choice, Mapping) and str(choice.get("type", "")).startswith("openrouter:")


def _format(wanted: OutputFormat) -> Wire:
    if wanted.kind != "json_schema":
        return {"type": wanted.kind}
    rendered: Wire = {"type": "json_schema", "name": wanted.name, "schema": wanted.schema or {}}
    if wanted.strict is not None:
        rendered["strict"] = wanted.strict
    if wanted.description:
        rendered["description"] = wanted.description
    return rendered
