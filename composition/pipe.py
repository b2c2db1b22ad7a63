"""The pipe build: the domain over OpenRouter's HTTP, the host's database and the host itself.

Open WebUI finds class ``Pipe`` in the function file; that class is made here, and builds this container for its own id at
the first request. Importing and constructing do no I/O and start nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final, Protocol, cast, runtime_checkable

import httpx
from dependency_injector import containers, providers

from openrouter_pipe.adapters.filesystem.catalogue import CatalogueFile
from openrouter_pipe.adapters.filesystem.writer import ArchiveWriter
from openrouter_pipe.adapters.observability.chat import LoggedChat
from openrouter_pipe.adapters.observability.console import PipeLogging
from openrouter_pipe.adapters.observability.memory import recorded_store
from openrouter_pipe.adapters.observability.prometheus import PrometheusMetrics
from openrouter_pipe.adapters.observability.provider import RecordedProvider
from openrouter_pipe.adapters.openrouter import (
    HttpClients,
    OpenRouterCatalog,
    OpenRouterItemCodec,
    OpenRouterProvider,
)
from openrouter_pipe.adapters.openwebui import make_pipe_class
from openrouter_pipe.adapters.openwebui.host import told
from openrouter_pipe.adapters.system import SystemClock, SystemIds, SystemRandomness
from openrouter_pipe.adapters.web import GuardedFetcher, WebIcons
from openrouter_pipe.composition.core import CoreContainer
from openrouter_pipe.composition.diagnostics import DiagnosticsChat
from openrouter_pipe.composition.gauges import Gauges
from openrouter_pipe.composition.metrics import make_metrics
from openrouter_pipe.composition.model_sync import host_of, icon_place, latest_policy
from openrouter_pipe.composition.policies import log_redaction
from openrouter_pipe.composition.redis import RedisPolicies, Sharing, artifact_store, cost_sink, write_behind
from openrouter_pipe.composition.served import LatestSettings, ServedChat
from openrouter_pipe.composition.session_logs import LogRetention, archiving
from openrouter_pipe.composition.steady_telemetry import SteadyMetrics
from openrouter_pipe.composition.supervisor import Supervisor, Worker
from openrouter_pipe.domain.admission import Admission
from openrouter_pipe.domain.breakers import Breakers
from openrouter_pipe.domain.catalog.service import CatalogService
from openrouter_pipe.domain.catalog.sync import ModelSync
from openrouter_pipe.domain.clean_up import CleanUp
from openrouter_pipe.domain.media.addresses import OutboundGuard
from openrouter_pipe.ports.artifacts import ArtifactStore
from openrouter_pipe.ports.chat import ChatService
from openrouter_pipe.ports.runtime import Clock, Ids
from openrouter_pipe.ports.settings import Settings
from openrouter_pipe.ports.telemetry import CostSink, Metrics

_log: Final = logging.getLogger(__name__)
_LONGEST_STEP: Final = 2.5

_PACKAGE: Final = __name__.removesuffix(".composition.pipe")
"""Name of the package's logger: the bundle loads everything under a private name."""


def cache_folder(environment: Mapping[str, str]) -> Path | None:
    """Where small things are kept between starts: below the host's data folder; None where there is none."""
    data = environment.get("DATA_DIR") or told("DATA_DIR")
    if not data or not Path(data).is_dir():
        return None  # a mistyped folder is not brought to life
    return Path(data) / "cache" / "openrouter_pipe"


class PipeContainer(containers.DeclarativeContainer):
    """One of each service per pipe. Override ``transport_factory`` or ``store`` before first use to change the outside."""

    pipe_id = providers.Object("openrouter")
    environment = providers.Object(os.environ)
    transport_factory: providers.Object[Callable[[], httpx.AsyncBaseTransport] | None] = providers.Object(None)

    clock = providers.Singleton(SystemClock)
    ids = providers.Singleton(SystemIds)
    randomness = providers.Singleton(SystemRandomness)
    metrics: providers.Singleton[Metrics] = providers.Singleton(make_metrics, environment, pipe_id)
    steady_metrics = providers.Singleton(SteadyMetrics, metrics)
    codec = providers.Singleton(OpenRouterItemCodec)
    clients = providers.Singleton(HttpClients, transport_factory=transport_factory)
    provider = providers.Singleton(RecordedProvider, providers.Singleton(OpenRouterProvider, clients))
    latest = providers.Singleton(LatestSettings, pipe_id)
    sharing = providers.Singleton(Sharing, environment, pipe_id, latest)
    catalog_memory = providers.Singleton(CatalogueFile, providers.Callable(cache_folder, environment))
    catalog_source = providers.Singleton(Sharing.catalog, sharing, providers.Singleton(OpenRouterCatalog, clients))
    store: providers.Singleton[ArtifactStore] = providers.Singleton(
        artifact_store, environment, pipe_id, steady_metrics
    )
    costs: providers.Singleton[CostSink | None] = providers.Singleton(cost_sink, environment, pipe_id)
    fetcher = providers.Singleton(GuardedFetcher, providers.Singleton(OutboundGuard), clock)
    policies = providers.Singleton(RedisPolicies, environment, pipe_id)

    core = providers.Container(
        CoreContainer,
        provider=provider,
        catalog_source=catalog_source,
        catalog_memory=catalog_memory,
        store=providers.Singleton(recorded_store, store),
        codec=codec,
        clock=clock,
        ids=ids,
        randomness=randomness,
        metrics=metrics,
        costs=costs,
        fetcher=fetcher,
        policies=policies,
    )
    admission: providers.Provider[Admission] = core.admission
    breakers: providers.Provider[Breakers] = core.breakers
    catalog: providers.Provider[CatalogService] = core.catalog
    artifact_clean_up = providers.Singleton(Sharing.clean_up, sharing, store)
    clean_up = providers.Singleton(CleanUp, artifact_clean_up, clock, randomness, latest.provided.clean_up)
    gauges = providers.Singleton(Gauges, metrics, admission, breakers, catalog, latest, clock)
    session_logs = providers.Singleton(ArchiveWriter, steady_metrics)
    log_retention = providers.Singleton(LogRetention, latest, clock, randomness)
    icons = providers.Singleton(WebIcons, fetcher, providers.Callable(icon_place, latest), clock)
    model_sync = providers.Singleton(
        ModelSync,
        catalog,
        providers.Callable(host_of, icons),
        clock,
        providers.Callable(latest_policy, latest, pipe_id),
    )
    supervisor = providers.Singleton(
        Supervisor,
        clock,
        providers.Factory(Worker, "the clean-up of artifacts", clean_up.provided.run),
        providers.Factory(Worker, "the gauges", gauges.provided.run),
        providers.Factory(Worker, "the write-behind queue", providers.Callable(write_behind, store)),
        providers.Factory(Worker, "the writing of session logs", session_logs.provided.run),
        providers.Factory(Worker, "the clean-up of session logs", log_retention.provided.run),
        providers.Factory(Worker, "the host's records of models", model_sync.provided.run),
    )
    console = providers.Singleton(PipeLogging, _PACKAGE)
    logged = providers.Singleton(
        LoggedChat, core.conversation, console, log_redaction, providers.Callable(archiving, session_logs, catalog)
    )
    diagnosed = providers.Singleton(DiagnosticsChat, logged, environment, pipe_id, clients, ids)
    chat = providers.Singleton(ServedChat, diagnosed, supervisor, latest)


@runtime_checkable
class _Closable(Protocol):
    async def aclose(self) -> None: ...


class PipeServices:
    """What one `Pipe` drives, and the one place that releases it."""

    def __init__(self, container: PipeContainer) -> None:
        self._container = container
        self.chat: ChatService = container.chat()
        self.environment: Mapping[str, str] = container.environment()
        self.clock: Clock = container.clock()
        self.ids: Ids = container.ids()
        # Until a turn brings its own settings: what cannot even be read as a request is logged too, and redacted too.
        container.console().configure("INFO", log_redaction(Settings()))

    async def close(self) -> None:
        """End background work and connections, within 5 seconds whatever happens; may be called again.

        The services cannot be used afterwards; turns that still run end as interrupted ones.
        """
        container = self._container
        await _ended("the workers", container.supervisor().close())
        # The store may be in the middle of a transaction for a turn; nothing here waits for anything else.
        await asyncio.gather(
            _ended("the catalogue", container.catalog().close()),
            _ended("the connections", container.clients().aclose()),
            _ended("what the workers share", container.sharing().aclose()),
            _ended("the session logs", container.session_logs().aclose()),
            _ended("the downloads", container.fetcher().aclose()),
            *([_ended("the store", store.aclose())] if isinstance(store := container.store(), _Closable) else []),
            *(
                [_ended("the costs", costs.aclose())]
                if isinstance(costs := cast("object", container.costs()), _Closable)
                else []
            ),
        )
        if isinstance(metrics := container.metrics(), PrometheusMetrics):
            await asyncio.to_thread(metrics.close)
        container.logged().close()


async def _ended(what: str, end: Coroutine[Any, Any, None]) -> None:
    """Await ``end`` for a moment; what fails or does not come to its end is told and left."""
    task = asyncio.ensure_future(end)
    await asyncio.wait({task}, timeout=_LONGEST_STEP)
    if not task.done():
        _log.warning("%s could not be closed within %.1f s", what, _LONGEST_STEP)
        task.cancel()
    elif not task.cancelled() and (error := task.exception()) is not None:
        _log.warning("%s could not be closed in order", what, exc_info=error)


def build(pipe_id: str) -> PipeServices:
    """The services of one pipe; ``pipe_id`` is the host's function id."""
    container = PipeContainer()
    container.pipe_id.override(pipe_id)
    return PipeServices(container)


def pipe_class(module_name: str) -> type:
    """Class ``Pipe`` for the function module of this name, as Open WebUI calls it."""
    return make_pipe_class(build, module_name)
