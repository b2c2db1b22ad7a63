"""What every turn of a process shares: the ports, and the process-wide limits."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from openrouter_pipe.domain.admission import Admission
from openrouter_pipe.domain.breakers import Breakers
from openrouter_pipe.domain.catalog.service import CatalogService
from openrouter_pipe.domain.policies import TurnPolicies
from openrouter_pipe.domain.tools.orchestration import ToolOrchestrator
from openrouter_pipe.ports.artifacts import ArtifactStore
from openrouter_pipe.ports.files import RemoteFetcher
from openrouter_pipe.ports.items import ItemCodec
from openrouter_pipe.ports.provider import ResponsesProvider
from openrouter_pipe.ports.runtime import Clock, Ids, Randomness
from openrouter_pipe.ports.settings import Settings
from openrouter_pipe.ports.telemetry import CostSink, Metrics


@frozen(eq=False)
class Services:
    """Handed to every step of a turn; holds no state of any turn."""

    provider: ResponsesProvider
    catalog: CatalogService
    admission: Admission
    breakers: Breakers
    store: ArtifactStore | None
    codec: ItemCodec
    clock: Clock
    ids: Ids
    randomness: Randomness
    policies: Callable[[Settings], TurnPolicies]
    metrics: Metrics
    tools: ToolOrchestrator
    fetcher: RemoteFetcher
    costs: CostSink | None = None
