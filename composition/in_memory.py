"""The in-memory build: the whole domain over `adapters.memory`, without file, socket or host.

The clock is the system's, because turns wait in real time, and the codec is the real one, because it is pure.

This is the public way to test against openrouter-pipe, and the starting point for another front end:

    container = InMemoryContainer()
    container.provider().queue(answer("Hello", reasoning="Say hello."))
    async for event in container.chat().respond(a_request):
        ...

Every port can be replaced before first use: ``container.provider.override(providers.Object(mine))``.
"""

from __future__ import annotations

from dependency_injector import containers, providers

from openrouter_pipe.adapters.memory import (
    CountingIds,
    MemoryArtifactStore,
    MemoryFetcher,
    MemoryMetrics,
    ScriptedCatalog,
    ScriptedProvider,
    SteadyRandomness,
)
from openrouter_pipe.adapters.openrouter import OpenRouterItemCodec
from openrouter_pipe.adapters.system import SystemClock
from openrouter_pipe.composition.core import CoreContainer
from openrouter_pipe.composition.policies import turn_policies
from openrouter_pipe.domain.admission import Admission
from openrouter_pipe.domain.breakers import Breakers
from openrouter_pipe.domain.catalog.service import CatalogService
from openrouter_pipe.domain.conversation import Conversation
from openrouter_pipe.ports.artifacts import ArtifactStore


class InMemoryContainer(containers.DeclarativeContainer):
    """One of each service per container; `chat` is the driving port."""

    provider = providers.Singleton(ScriptedProvider)
    catalog_source = providers.Singleton(ScriptedCatalog)
    store: providers.Singleton[ArtifactStore] = providers.Singleton(MemoryArtifactStore)
    codec = providers.Singleton(OpenRouterItemCodec)
    clock = providers.Singleton(SystemClock)
    ids = providers.Singleton(CountingIds)
    randomness = providers.Singleton(SteadyRandomness)
    metrics = providers.Singleton(MemoryMetrics)
    fetcher = providers.Singleton(MemoryFetcher)
    policies = providers.Object(turn_policies)

    core = providers.Container(
        CoreContainer,
        provider=provider,
        catalog_source=catalog_source,
        store=store,
        codec=codec,
        clock=clock,
        ids=ids,
        randomness=randomness,
        metrics=metrics,
        fetcher=fetcher,
        policies=policies,
    )
    admission: providers.Provider[Admission] = core.admission
    breakers: providers.Provider[Breakers] = core.breakers
    catalog: providers.Provider[CatalogService] = core.catalog
    chat: providers.Provider[Conversation] = core.conversation
