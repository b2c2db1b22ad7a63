"""One request, put together from every concern; reads like the table of contents of this room."""

from __future__ import annotations

import re
from typing import Final

from attrs import evolve, frozen

from openrouter_pipe.domain.catalog.catalog import ResolvedModel
from openrouter_pipe.domain.shaping import caching, plugins, trimming, values, web_search
from openrouter_pipe.domain.shaping import tools as own_tools
from openrouter_pipe.domain.shaping.identifiers import choose_identifiers
from openrouter_pipe.domain.shaping.limits import choose_max_output_tokens
from openrouter_pipe.domain.shaping.model_fallback import ModelResolver, choose_fallbacks
from openrouter_pipe.domain.shaping.parameters import forwarded
from openrouter_pipe.domain.shaping.policy import ShapingPolicy
from openrouter_pipe.domain.shaping.reasoning import choose_reasoning, read_wish
from openrouter_pipe.domain.shaping.structured_output import read_output_format, read_verbosity
from openrouter_pipe.domain.shaping.values import UnusableError, Warn
from openrouter_pipe.ports.catalog import ModelCard
from openrouter_pipe.ports.chat import ChatRequest
from openrouter_pipe.ports.items import InputItem
from openrouter_pipe.ports.json import JsonValue
from openrouter_pipe.ports.provider import Endpoint, FunctionTool, ProviderRequest, ProviderTool, Reasoning

_PRESET: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")


@frozen
class Shaped:
    """The request, and what was bent or left out on the way: one line each, ready for the log and the user."""

    request: ProviderRequest
    warnings: tuple[str, ...] = ()


def shape(
    request: ChatRequest,
    model: ResolvedModel,
    items: tuple[InputItem, ...],
    tools: tuple[FunctionTool, ...],
    endpoint: Endpoint,
    policy: ShapingPolicy,
    *,
    resolve: ModelResolver | None = None,
) -> Shaped:
    """The request for one round.

    ``tools`` are the host's functions. ``resolve`` turns a fallback's name into an id that may be used; without it names
    are taken as they stand. Never raises for what a caller sent.
    """
    notes: list[str] = []
    warn = notes.append
    card, given = model.card, request.parameters
    sent = forwarded(given, endpoint, warn)
    limit = choose_max_output_tokens(given, card, policy, warn)
    wish, is_task = read_wish(given, endpoint, warn), request.task is not None
    reasoning = choose_reasoning(wish, card, policy, task=is_task, max_output_tokens=limit)
    search = _equipment(request, model, tools, endpoint, policy, reasoning, warn)
    if not is_task:
        sent.update(_modalities(card, sent))
    use = own_tools.choose_tool_use(given, search.tools, endpoint, warn)
    identifiers = choose_identifiers(request.identity, policy)
    return Shaped(
        ProviderRequest(
            endpoint=endpoint,
            model=search.api_id,
            input=items,
            stream=request.stream and not is_task,
            fallback_models=choose_fallbacks(given, frozenset({search.api_id, model.api_id, card.id}), resolve, warn),
            instructions=_instructions(given.get("instructions"), warn),
            tools=use.tools,
            tool_choice=use.choice,
            parallel_tool_calls=use.parallel,
            max_output_tokens=limit,
            reasoning=reasoning,
            output_format=read_output_format(given, warn),
            verbosity=read_verbosity(given, warn),
            caching=None if is_task else caching.choose_caching(items, card, sent, policy),
            plugins=search.plugins,
            user=identifiers.user,
            session_id=identifiers.session_id,
            metadata=identifiers.metadata,
            parameters=sent,
            beta_features=caching.beta_features(card, policy),
        ),
        tuple(dict.fromkeys(notes)),
    )


def _equipment(
    request: ChatRequest,
    model: ResolvedModel,
    tools: tuple[FunctionTool, ...],
    endpoint: Endpoint,
    policy: ShapingPolicy,
    reasoning: Reasoning | None,
    warn: Warn,
) -> web_search.Search:
    """Plugins, tools and the id that is sent; a task gets neither plugins nor tools."""
    given = request.parameters
    chosen = web_search.Search((), (), _with_preset(model.api_id, given.get("preset"), warn))
    forbidden = web_search.is_forbidden(given, warn)
    if request.task is None:
        chosen = evolve(
            chosen,
            plugins=trimming.with_trimming(plugins.read_plugins(given, warn), given, endpoint, policy),
            tools=_all_tools(request, model.card, tools, endpoint, warn),
        )
        if request.web_search and not forbidden:
            chosen = web_search.with_search(chosen, model, reasoning, policy, warn)
    return web_search.without_search(chosen) if forbidden else chosen


def _all_tools(
    request: ChatRequest, card: ModelCard, tools: tuple[FunctionTool, ...], endpoint: Endpoint, warn: Warn
) -> tuple[ProviderTool, ...]:
    """The host's functions and the caller's own tools; none for a model that cannot call any."""
    own = own_tools.read_own_tools(request.parameters, endpoint, warn, functions=request.toolbox is None)
    if card.capabilities.tools:
        return (*tools, *own)
    if own:
        warn("Parameter tools was left out: the model cannot call tools")
    return ()


def _modalities(card: ModelCard, sent: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Models that can draw do so only when asked to."""
    if "modalities" in sent or not card.capabilities.image_output:
        return {}
    return {"modalities": ("image", "text") if card.capabilities.text_output else ("image",)}


def _with_preset(api_id: str, preset: JsonValue, warn: Warn) -> str:
    """A caller's ``preset`` joins the model's id, which is where both endpoints document it."""
    if values.is_unset(preset) or "@preset/" in api_id:
        return api_id
    slug = preset.strip().removeprefix("@preset/") if isinstance(preset, str) else ""
    if not _PRESET.fullmatch(slug):
        warn(f"Parameter preset was left out: it must be a preset's slug, not {values.shown(preset)}")
        return api_id
    return f"{api_id}@preset/{slug}"


def _instructions(given: JsonValue, warn: Warn) -> str | None:
    if values.is_unset(given):
        return None
    try:
        return values.text(given)
    except UnusableError as problem:
        warn(f"Parameter instructions was left out: it must be {problem}")
        return None
