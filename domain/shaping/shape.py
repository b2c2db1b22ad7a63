"""One request, put together from every concern; reads like the table of contents of this room."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from attrs import evolve, frozen

from openrouter_pipe.domain.catalog.catalog import ResolvedModel
from openrouter_pipe.domain.shaping import caching, plugins, rules, trimming, values, web_search
from openrouter_pipe.domain.shaping import tools as own_tools
from openrouter_pipe.domain.shaping.enforcement import enforced
from openrouter_pipe.domain.shaping.identifiers import choose_identifiers
from openrouter_pipe.domain.shaping.limits import choose_max_output_tokens
from openrouter_pipe.domain.shaping.model_fallback import ModelResolver, choose_fallbacks
from openrouter_pipe.domain.shaping.parameters import forwarded
from openrouter_pipe.domain.shaping.policy import ShapingPolicy
from openrouter_pipe.domain.shaping.reasoning import choose_reasoning, read_wish
from openrouter_pipe.domain.shaping.rules import Defaults, FindCard
from openrouter_pipe.domain.shaping.structured_output import read_output_format, read_verbosity
from openrouter_pipe.domain.shaping.values import UnusableError, Warn
from openrouter_pipe.ports.catalog import ModelCard
from openrouter_pipe.ports.chat import ChatRequest
from openrouter_pipe.ports.items import InputItem
from openrouter_pipe.ports.json import JsonObject, JsonValue
from openrouter_pipe.ports.preferences import Enforcement
from openrouter_pipe.ports.provider import (
    Endpoint,
    FunctionTool,
    HostedTool,
    ProviderRequest,
    ProviderTool,
    Reasoning,
)

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
    find: FindCard | None = None,
) -> Shaped:
    """The request for one round.

    ``tools`` are the host's functions. ``resolve`` turns a fallback's name into an id that may be used; without it names
    are taken as they stand. ``find`` knows the catalogue; without it nothing is in there.

    Raises:
        RulesConflictError: what the operator enforces and what the caller asks for leave no provider that could answer.
    """
    notes: list[str] = []
    warn = notes.append
    card, given = model.card, request.parameters
    ruled = policy.rules.defaults(model)
    policy = _with_effort(policy, ruled, request)
    sent = forwarded(given, endpoint, warn)
    limit = choose_max_output_tokens(given, card, policy, warn, ruled.max_output_tokens)
    wish, is_task = read_wish(given, endpoint, warn), request.task is not None
    reasoning = choose_reasoning(wish, card, policy, task=is_task, max_output_tokens=limit)
    search = _equipment(request, model, tools, endpoint, policy, reasoning, warn)
    if not is_task:
        sent.update(_modalities(card, sent))
    fallbacks = choose_fallbacks(given, frozenset({search.api_id, model.api_id, card.id}), resolve, warn)
    limits = policy.rules.enforcement(model, search.api_id, fallbacks, search.plugins, find or _unknown)
    _route(sent, ruled.provider, limits, warn)
    use = own_tools.choose_tool_use(given, search.tools, endpoint, warn)
    identifiers = choose_identifiers(request.identity, policy)
    return Shaped(
        ProviderRequest(
            endpoint=endpoint,
            model=search.api_id,
            input=items,
            stream=request.stream and not is_task,
            fallback_models=fallbacks,
            instructions=_instructions(given.get("instructions"), warn),
            tools=use.tools,
            tool_choice=use.choice,
            parallel_tool_calls=use.parallel,
            max_output_tokens=limit,
            reasoning=reasoning,
            output_format=read_output_format(given, endpoint, warn),
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
    chosen = web_search.without_search(chosen) if forbidden else chosen
    return _within_reach(chosen, warn) if policy.rules.enforcing else chosen


def _within_reach(chosen: web_search.Search, warn: Warn) -> web_search.Search:
    """Without the tools and plugins that ask other models, where nothing says that what is enforced holds."""
    tools = tuple(
        tool for tool in chosen.tools if not (isinstance(tool, HostedTool) and rules.asks_other_models(tool.payload))
    )
    plugins_ = tuple(one for one in chosen.plugins if one.get("id") not in rules.ASKING_PLUGINS)
    if (tools, plugins_) == (chosen.tools, chosen.plugins):
        return chosen
    warn(
        "Tools and plugins that ask another model were left out: the routing enforced here cannot reach it (MODEL_RULES)"
    )
    return evolve(chosen, tools=tools, plugins=plugins_)


def _with_effort(policy: ShapingPolicy, ruled: Defaults, request: ChatRequest) -> ShapingPolicy:
    """The rules' effort in place of the operator's general one, and of the level derived from it; never of a user's own."""
    if ruled.effort is None or request.task is not None or "REASONING_EFFORT" in request.settings.set_by_user:
        return policy
    return evolve(policy, reasoning_effort=ruled.effort, gemini_thinking_level="auto")


def _route(sent: dict[str, JsonValue], defaults: JsonObject, limits: Enforcement, warn: Warn) -> None:
    """The preferences about providers: the caller's, else the rules', both within what is enforced."""
    given = sent.get("provider")
    own: JsonObject = given if isinstance(given, Mapping) else {}
    wanted = {**defaults, **own}
    routed = enforced(wanted, limits, frozenset(own))
    for name in own:
        if routed.get(name) != own[name]:
            warn(f"Parameter provider.{name}: it was changed to what is enforced here (MODEL_RULES)")
    if routed:
        sent["provider"] = routed


def _unknown(_: str) -> ModelCard | None:
    return None


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
