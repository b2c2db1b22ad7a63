"""What is counted: token usage and cost, and where the counts go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from attrs import field, frozen

from openrouter_pipe.ports.json import JsonObject


@frozen
class Usage:
    """Tokens and money of one round, or summed over the rounds of a turn. ``cost`` is in US dollars.

    ``raw`` is the provider's own usage object of the last round, for hosts that show more than we name.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost: float | None = None
    rounds: int = 1
    raw: JsonObject = field(factory=dict, repr=False)


@frozen
class CostSnapshot:
    """What one provider round or one task cost, for export. ``guid``, ``email`` and ``name`` say who the user is.

    ``usage`` is the provider's own object, ``ts`` seconds since 1970.
    """

    guid: str
    email: str
    name: str
    model: str
    usage: JsonObject
    ts: float


class CostSink(Protocol):
    """Receives one snapshot per provider round; must never raise or wait on the network for long."""

    async def record(self, user_id: str, snapshot: CostSnapshot, ttl_seconds: int) -> None:
        """Keep ``snapshot`` for ``ttl_seconds``; one with an empty field, or with a time that is none, is dropped."""


class Metrics(Protocol):
    """Counters, gauges and histograms by name; the names and units stand in docs/telemetry.md."""

    def count(self, name: str, amount: float = 1.0, labels: Mapping[str, str] | None = None) -> None:
        """Add ``amount`` to a counter; one below 0 is not counted."""

    def gauge(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Set a gauge."""

    def observe(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Record one observation of a histogram."""
