"""From a chat request to the first provider request: checks, catalogue, restrictions, history, tools, shaping."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

import attrs
from attrs import frozen

from openrouter_pipe.domain.breakers import Scope
from openrouter_pipe.domain.catalog.catalog import Catalog, ResolvedModel
from openrouter_pipe.domain.catalog.ids import lookup_key
from openrouter_pipe.domain.catalog.routing import choose_endpoint, wants_chat_completions
from openrouter_pipe.domain.catalog.selection import SelectionPolicy, restriction_reasons
from openrouter_pipe.domain.catalog.service import CatalogUnavailableError
from openrouter_pipe.domain.catalog.unlisted import unlisted
from openrouter_pipe.domain.errors.classify import classify
from openrouter_pipe.domain.errors.reports import ErrorSubject
from openrouter_pipe.domain.errors.situations import (
    bad_request,
    breaker_open,
    not_configured,
    restricted,
    unknown_model,
)
from openrouter_pipe.domain.history import build as history
from openrouter_pipe.domain.history.families import without_foreign_reasoning
from openrouter_pipe.domain.media.resolve import needs_chat_completions
from openrouter_pipe.domain.media.resolve import resolve as resolve_media
from openrouter_pipe.domain.policies import TurnPolicies
from openrouter_pipe.domain.shaping.enforcement import RulesConflictError
from openrouter_pipe.domain.shaping.model_fallback import ModelResolver
from openrouter_pipe.domain.shaping.rules import FindCard
from openrouter_pipe.domain.shaping.shape import shape
from openrouter_pipe.domain.tools.schemas import Offer, offer
from openrouter_pipe.domain.turn.failures import TurnRefusedError
from openrouter_pipe.domain.turn.memory import Memory
from openrouter_pipe.domain.turn.services import Services
from openrouter_pipe.ports.catalog import ModelCard
from openrouter_pipe.ports.chat import ChatRequest
from openrouter_pipe.ports.items import InputItem
from openrouter_pipe.ports.provider import Endpoint, ProviderFault, ProviderRequest

_log = logging.getLogger(__name__)

_NO_KEY = "No provider key is configured. An administrator has to set API_KEY (or the variable OPENROUTER_API_KEY)."
_NOTHING_SAID = "messages: nothing in them can be sent to the model; write some text in the last one."


@frozen
class Prepared:
    """What the rounds of a turn start from. ``warnings`` are for the user; ``allowed`` and ``find`` know fallback models."""

    model: ResolvedModel
    request: ProviderRequest
    offer: Offer
    items: tuple[InputItem, ...]
    warnings: tuple[str, ...]
    allowed: ModelResolver
    find: FindCard


def check(request: ChatRequest, policies: TurnPolicies) -> None:
    """Refuse what cannot be answered before anything is spent on it. Raises `TurnRefusedError`."""
    if not request.messages:
        raise TurnRefusedError(bad_request("messages: send at least one message; the list is empty."))
    if not request.model.strip():
        raise TurnRefusedError(bad_request("model: name the model to use; it is empty."))
    if not policies.connection.api_key:
        raise TurnRefusedError(not_configured(_NO_KEY))


def check_breaker(services: Services, user_id: str, policies: TurnPolicies) -> None:
    """Refuse while the user's requests keep failing at the provider. Raises `TurnRefusedError`."""
    key = (Scope.REQUEST, user_id)
    if not services.breakers.allows(key, policies.breaker):
        raise TurnRefusedError(breaker_open(services.breakers.retry_after(key, policies.breaker)))


async def resolve(
    services: Services, request: ChatRequest, policies: TurnPolicies, subject: ErrorSubject
) -> tuple[ResolvedModel, Catalog]:
    """The model that the request names, if it may be used, and the catalogue it is in. Raises `TurnRefusedError`."""
    try:
        catalog = await services.catalog.current(policies.connection, policies.catalog_refresh_seconds, insist=True)
    except CatalogUnavailableError as error:
        restricted_to = policies.selection if request.task is None else SelectionPolicy()
        guess = unlisted(request.model, request.host_prefix, restricted_to)
        if guess is None:
            raise TurnRefusedError(classify(error.fault, subject), error.fault) from error
        _log.warning("there is no catalogue: %s is asked for by its name, with text only", guess.api_id)
        return guess, Catalog((guess.card,))
    model = catalog.resolve(request.model, request.host_prefix)
    if model is None:
        raise TurnRefusedError(unknown_model(subject))
    if request.task is None:
        _restrict(model, catalog, request, policies, subject)
    return model, catalog


def subject_of(model: ResolvedModel, request: ChatRequest, subject: ErrorSubject) -> ErrorSubject:
    """``subject`` with what is known once the model is."""
    return attrs.evolve(
        subject,
        api_model_id=model.api_id,
        normalized_model_id=lookup_key(request.model, request.host_prefix),
        card=model.card,
    )


async def prepare(
    services: Services,
    request: ChatRequest,
    policies: TurnPolicies,
    model: ResolvedModel,
    catalog: Catalog,
    memory: Memory,
) -> Prepared:
    """History, tools and the shape of the first request."""
    stored = await memory.load(history.marker_ids(request.messages))
    inputs = model.card.capabilities.inputs
    past = history.build(
        request.messages, stored, inputs, policies.history, records=request.records, gaps_are_told=memory.trouble
    )
    media = await resolve_media(
        past.items,
        inputs,
        policies.media,
        request.files,
        services.fetcher,
        keep=request.persistent,
        images_before=past.images_before,
    )
    items = without_foreign_reasoning(media.items, model.api_id)
    past = attrs.evolve(past, items=items, warnings=(*past.warnings, *media.warnings))
    if past.is_empty:
        raise TurnRefusedError(bad_request(" ".join((_NOTHING_SAID, *past.warnings))))
    offered = Offer()
    if request.toolbox is not None and request.task is None and model.card.capabilities.tools:
        offered = offer(request.toolbox.specs(), policies.tools.strict)
    endpoint = choose_endpoint(model.api_id, policies.endpoint, policies.shaping.rules.defaults(model).endpoint)
    if needs_chat_completions(items):
        endpoint = Endpoint.CHAT_COMPLETIONS
    allowed, find = partial(_allowed_id, catalog, request, policies), partial(_card_of, catalog)
    first = _shape(request, model, items, offered, endpoint, policies, allowed, find)
    return Prepared(model, first, offered, items, past.warnings, allowed, find)


def fallback_for(
    request: ChatRequest, policies: TurnPolicies, prepared: Prepared, sent: ProviderRequest, more: tuple[InputItem, ...]
) -> Callable[[ProviderFault], ProviderRequest | None] | None:
    """How to make the same round for chat completions once, if that is allowed; ``more`` is what the turn has added.

    Without tools in ``sent`` the other request has none either: it is the last round after the limit of tool rounds.
    """
    if sent.endpoint is not Endpoint.RESPONSES or not policies.endpoint.fallback:
        return None
    return partial(_for_chat, request, policies, prepared, sent, more)


def _for_chat(
    request: ChatRequest,
    policies: TurnPolicies,
    prepared: Prepared,
    sent: ProviderRequest,
    more: tuple[InputItem, ...],
    fault: ProviderFault,
) -> ProviderRequest | None:
    if not wants_chat_completions(fault):
        return None
    _log.info("the responses endpoint does not serve %s; using chat completions", prepared.model.api_id)
    chat = Endpoint.CHAT_COMPLETIONS
    allowed, find = prepared.allowed, prepared.find
    shaped = _shape(request, prepared.model, prepared.items, prepared.offer, chat, policies, allowed, find)
    shaped = attrs.evolve(shaped, input=(*shaped.input, *more))
    return shaped if sent.tools else attrs.evolve(shaped, tools=(), tool_choice=None)


def _shape(
    request: ChatRequest,
    model: ResolvedModel,
    items: tuple[InputItem, ...],
    offered: Offer,
    endpoint: Endpoint,
    policies: TurnPolicies,
    allowed: ModelResolver,
    find: FindCard,
) -> ProviderRequest:
    try:
        shaped = shape(request, model, items, offered.functions, endpoint, policies.shaping, resolve=allowed, find=find)
    except RulesConflictError as conflict:
        subject = ErrorSubject(
            requested_model=request.model, session_id=request.identity.session_id, user_id=request.identity.user_id
        )
        raise TurnRefusedError(restricted([conflict.reason], subject_of(model, request, subject))) from conflict
    for warning in shaped.warnings:
        _log.warning("request shaped: %s", warning)
    return shaped.request


def _card_of(catalog: Catalog, model_id: str) -> ModelCard | None:
    found = catalog.resolve(model_id)
    return found.card if found is not None else None


def _allowed_id(catalog: Catalog, request: ChatRequest, policies: TurnPolicies, name: str) -> str | None:
    """The provider's id for a fallback model, None for one that the operator does not allow or nobody knows."""
    model = catalog.resolve(name, request.host_prefix)
    if model is None:
        # Where nothing is restricted the provider may know more models than the catalogue lists.
        return name if policies.selection.allows_everything and "/" in name else None
    if request.task is None and restriction_reasons(model, catalog, policies.selection, request.host_prefix):
        return None
    return model.api_id


def _restrict(
    model: ResolvedModel, catalog: Catalog, request: ChatRequest, policies: TurnPolicies, subject: ErrorSubject
) -> None:
    selection = policies.selection
    reasons = restriction_reasons(model, catalog, selection, request.host_prefix)
    if reasons:
        report = restricted(
            reasons,
            subject_of(model, request, subject),
            model_id_filter=selection.model_ids,
            free_model_filter=selection.free,
            tool_calling_filter=selection.tools,
        )
        raise TurnRefusedError(report)
