"""Searching the web: when the host asks for it, and when the caller forbids it.

Today's form is a tool that the provider runs and the model calls as it sees fit. Models that cannot call tools get the
older plugin, which searches once before the answer.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from openrouter_pipe.domain.catalog import ids
from openrouter_pipe.domain.catalog.catalog import ResolvedModel
from openrouter_pipe.domain.shaping import values
from openrouter_pipe.domain.shaping.documented import WEB_SEARCH_TOOLS
from openrouter_pipe.domain.shaping.plugins import WEB, has_plugin
from openrouter_pipe.domain.shaping.policy import ShapingPolicy
from openrouter_pipe.domain.shaping.values import Warn
from openrouter_pipe.ports.json import JsonObject
from openrouter_pipe.ports.provider import HostedTool, ProviderTool, Reasoning

_ONLINE: Final = "online"
_TOOL: Final = "openrouter:web_search"


@frozen
class Search:
    """Plugins, tools and model id with the search put in or taken out."""

    plugins: tuple[JsonObject, ...]
    tools: tuple[ProviderTool, ...]
    api_id: str


def is_forbidden(parameters: JsonObject, warn: Warn) -> bool:
    """Whether ``disable_native_websearch`` is set; a value that cannot be read forbids."""
    name = "disable_native_websearch"
    if values.is_unset(parameters.get(name)):
        return False
    return values.take(parameters, name, values.boolean, warn) is not False


def without_search(search: Search) -> Search:
    """Neither plugin, nor tool, nor the variant that stands for the plugin."""
    parsed = ids.parse(search.api_id)
    base, variants = parsed.base, list[str]()
    while True:
        base, variant = ids.split_variant(base)
        if not variant:
            break
        variants.insert(0, variant)
    model = base + "".join(f":{variant}" for variant in variants if variant != _ONLINE)
    return Search(
        plugins=tuple(plugin for plugin in search.plugins if plugin.get("id") != WEB),
        tools=tuple(tool for tool in search.tools if not _searches(tool)),
        api_id=f"{model}@preset/{parsed.preset}" if parsed.preset else model,
    )


def with_search(
    search: Search, model: ResolvedModel, reasoning: Reasoning | None, policy: ShapingPolicy, warn: Warn
) -> Search:
    """Attach the search unless the request already has one or the model cannot take it."""
    capabilities = model.card.capabilities
    if _has_search(search):
        return search
    if not capabilities.text_output:
        warn("Web search was not attached: the model answers with images only")
        return search
    if _refuses_at(model.card.id, reasoning):
        warn("Web search was not attached: the provider refuses it at reasoning effort minimal")
        return search
    options: JsonObject = (
        {} if policy.web_search_max_results is None else {"max_results": policy.web_search_max_results}
    )
    if capabilities.tools:
        payload: JsonObject = {"type": _TOOL, "parameters": options} if options else {"type": _TOOL}
        return Search(search.plugins, (*search.tools, HostedTool(payload)), search.api_id)
    return Search((*search.plugins, {"id": WEB, **options}), search.tools, search.api_id)


def _has_search(search: Search) -> bool:
    online = f":{_ONLINE}" in ids.parse(search.api_id).base.lower()
    return online or has_plugin(search.plugins, WEB) or any(_searches(tool) for tool in search.tools)


def _searches(tool: ProviderTool) -> bool:
    return isinstance(tool, HostedTool) and tool.payload.get("type") in WEB_SEARCH_TOOLS


def _refuses_at(model_id: str, reasoning: Reasoning | None) -> bool:
    return (
        reasoning is not None
        and reasoning.effort == "minimal"
        and ids.vendor(model_id) == "openai"
        and "/gpt-5" in model_id.lower()
    )
