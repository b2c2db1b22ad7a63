"""What all builds have in common: the domain, wired over ports that each build provides.

A build holds this container as ``core``, hands its own adapters in and shows what others need under its own name:

    core = providers.Container(CoreContainer, provider=provider, store=store, ...)
    chat: providers.Provider[Conversation] = core.conversation

A port that a build forgets is an error at first use, not a silent default.
"""

from __future__ import annotations

from collections.abc import Callable

from dependency_injector import containers, providers

from openrouter_pipe.composition.steady_telemetry import SteadyMetrics, steady_costs
from openrouter_pipe.domain.admission import Admission
from openrouter_pipe.domain.breakers import Breakers
from openrouter_pipe.domain.catalog.service import CatalogService
from openrouter_pipe.domain.conversation import Conversation
from openrouter_pipe.domain.policies import TurnPolicies
from openrouter_pipe.domain.tools.orchestration import ToolOrchestrator
from openrouter_pipe.ports.artifacts import ArtifactStore
from openrouter_pipe.ports.catalog import CatalogMemory, CatalogSource
from openrouter_pipe.ports.files import RemoteFetcher
from openrouter_pipe.ports.items import ItemCodec
from openrouter_pipe.ports.provider import ResponsesProvider
from openrouter_pipe.ports.runtime import Clock, Ids, Randomness
from openrouter_pipe.ports.settings import Settings
from openrouter_pipe.ports.telemetry import CostSink, Metrics


class CoreContainer(containers.DeclarativeContainer):
    """One of each service; the ports come from the build."""

    provider: providers.Dependency[ResponsesProvider] = providers.Dependency()
    catalog_source: providers.Dependency[CatalogSource] = providers.Dependency()
    catalog_memory: providers.Dependency[CatalogMemory | None] = providers.Dependency(default=providers.Object(None))
    store: providers.Dependency[ArtifactStore] = providers.Dependency()
    codec: providers.Dependency[ItemCodec] = providers.Dependency()
    clock: providers.Dependency[Clock] = providers.Dependency()
    ids: providers.Dependency[Ids] = providers.Dependency()
    randomness: providers.Dependency[Randomness] = providers.Dependency()
    metrics: providers.Dependency[Metrics] = providers.Dependency()
    costs: providers.Dependency[CostSink | None] = providers.Dependency(default=providers.Object(None))
    fetcher: providers.Dependency[RemoteFetcher] = providers.Dependency()
    policies: providers.Dependency[Callable[[Settings], TurnPolicies]] = providers.Dependency()

    admission = providers.Singleton(Admission)
    breakers = providers.Singleton(Breakers, clock)
    catalog = providers.Singleton(CatalogService, catalog_source, clock, catalog_memory)
    tools = providers.Singleton(ToolOrchestrator, clock, breakers)
    conversation = providers.Singleton(
        Conversation,
        provider=provider,
        catalog=catalog,
        admission=admission,
        breakers=breakers,
        tools=tools,
        store=store,
        codec=codec,
        clock=clock,
        ids=ids,
        randomness=randomness,
        policies=policies,
        metrics=providers.Singleton(SteadyMetrics, metrics),
        costs=providers.Singleton(steady_costs, costs),
        fetcher=fetcher,
    )
