"""The pipe build: the domain over OpenRouter's HTTP, the host's database and the host itself.

Open WebUI finds class ``Pipe`` in the function file; that class is made here, and builds this container for its own id at
the first request. Importing and constructing do no I/O and start nothing.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import Final

import httpx
from dependency_injector import containers, providers

from openrouter_pipe.adapters.memory.telemetry import NullMetrics
from openrouter_pipe.adapters.observability.chat import LoggedChat
from openrouter_pipe.adapters.observability.console import PipeLogging
from openrouter_pipe.adapters.openrouter import (
    HttpClients,
    OpenRouterCatalog,
    OpenRouterItemCodec,
    OpenRouterProvider,
)
from openrouter_pipe.adapters.openwebui import make_pipe_class
from openrouter_pipe.adapters.sql import SqlArtifactStore
from openrouter_pipe.adapters.system import SystemClock, SystemIds, SystemRandomness
from openrouter_pipe.composition.policies import log_redaction, turn_policies
from openrouter_pipe.domain.admission import Admission
from openrouter_pipe.domain.breakers import Breakers
from openrouter_pipe.domain.catalog.service import CatalogService
from openrouter_pipe.domain.conversation import Conversation
from openrouter_pipe.domain.tools.orchestration import ToolOrchestrator
from openrouter_pipe.ports.artifacts import ArtifactStore
from openrouter_pipe.ports.chat import ChatService
from openrouter_pipe.ports.runtime import Clock, Ids

_PACKAGE: Final = __name__.removesuffix(".composition.pipe")
"""Name of the package's logger: the bundle loads everything under a private name."""


class PipeContainer(containers.DeclarativeContainer):
    """One of each service per pipe. Override ``transport_factory`` or ``store`` before first use to change the outside."""

    pipe_id = providers.Object("openrouter")
    environment = providers.Object(os.environ)
    transport_factory: providers.Object[Callable[[], httpx.AsyncBaseTransport] | None] = providers.Object(None)

    clock = providers.Singleton(SystemClock)
    ids = providers.Singleton(SystemIds)
    randomness = providers.Singleton(SystemRandomness)
    metrics = providers.Singleton(NullMetrics)
    codec = providers.Singleton(OpenRouterItemCodec)
    clients = providers.Singleton(HttpClients, transport_factory=transport_factory)
    provider = providers.Singleton(OpenRouterProvider, clients)
    catalog_source = providers.Singleton(OpenRouterCatalog, clients)
    store: providers.Singleton[ArtifactStore] = providers.Singleton(SqlArtifactStore, environment)
    policies = providers.Factory(functools.partial, turn_policies, pipe_id=pipe_id)

    admission = providers.Singleton(Admission)
    breakers = providers.Singleton(Breakers, clock)
    catalog = providers.Singleton(CatalogService, catalog_source, clock)
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
        metrics=metrics,
    )
    console = providers.Singleton(PipeLogging, _PACKAGE)
    chat = providers.Singleton(LoggedChat, conversation, console, log_redaction)


class PipeServices:
    """What one `Pipe` drives, and the one place that releases it."""

    def __init__(self, container: PipeContainer) -> None:
        self._container = container
        self.chat: ChatService = container.chat()
        self.environment: Mapping[str, str] = container.environment()
        self.clock: Clock = container.clock()
        self.ids: Ids = container.ids()

    async def close(self) -> None:
        """End background work and connections; the services cannot be used afterwards."""
        await self._container.catalog().close()
        store = self._container.store()
        if isinstance(store, SqlArtifactStore):
            await store.aclose()
        await self._container.clients().aclose()
        self._container.console().close()


def build(pipe_id: str) -> PipeServices:
    """The services of one pipe; ``pipe_id`` is the host's function id."""
    container = PipeContainer()
    container.pipe_id.override(pipe_id)
    return PipeServices(container)


def pipe_class(module_name: str) -> type:
    """Class ``Pipe`` for the function module of this name, as Open WebUI calls it."""
    return make_pipe_class(build, module_name)
