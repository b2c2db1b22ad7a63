"""The policies of one turn in one bundle. Composition builds it from the settings; each part is owned by its module."""

from __future__ import annotations

from attrs import field, frozen

from openrouter_pipe.domain.admission import AdmissionPolicy
from openrouter_pipe.domain.breakers import BreakerPolicy
from openrouter_pipe.domain.catalog.routing import EndpointPolicy
from openrouter_pipe.domain.catalog.selection import SelectionPolicy
from openrouter_pipe.domain.errors.policy import ErrorPolicy
from openrouter_pipe.domain.history.policy import HistoryPolicy
from openrouter_pipe.domain.media.policy import MediaPolicy
from openrouter_pipe.domain.shaping.policy import ShapingPolicy
from openrouter_pipe.domain.tools.policy import ToolPolicy
from openrouter_pipe.ports.artifacts import StorePolicy
from openrouter_pipe.ports.provider import Connection


@frozen
class StreamingPolicy:
    """How an answer reaches the front end.

    ``delta_char_limit`` bounds the text of one merged update, 0 merges nothing; ``idle_flush_seconds`` bounds how long
    text may be held. ``thinking_output_mode`` is boxes, status or both.
    """

    delta_char_limit: int = 256
    idle_flush_seconds: float = 0.03
    thinking_output_mode: str = "boxes"
    show_final_usage_status: bool = True


@frozen
class TurnPolicies:
    """Everything that the settings say about one turn. ``cost_ttl_seconds`` None exports no costs."""

    connection: Connection
    selection: SelectionPolicy
    endpoint: EndpointPolicy
    shaping: ShapingPolicy
    history: HistoryPolicy
    tools: ToolPolicy
    admission: AdmissionPolicy
    breaker: BreakerPolicy
    store: StorePolicy
    errors: ErrorPolicy
    streaming: StreamingPolicy = StreamingPolicy()
    catalog_refresh_seconds: float = 3600.0
    cost_ttl_seconds: int | None = None
    media: MediaPolicy = field(factory=MediaPolicy)
