"""The catalogue: what models there are and what each can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from attrs import frozen

from openrouter_pipe.ports.json import JsonObject
from openrouter_pipe.ports.provider import Connection


@frozen
class Capabilities:
    """What a model can do, read from its catalogue entry."""

    tools: bool = False
    reasoning: bool = False
    legacy_reasoning: bool = False
    web_search: bool = False
    image_output: bool = False
    text_output: bool = True
    inputs: frozenset[str] = frozenset({"text"})


@frozen
class ReasoningSupport:
    """How a model reasons. ``efforts`` None means no list is published; empty fields mean unknown."""

    mandatory: bool = False
    efforts: tuple[str, ...] | None = None
    default_enabled: bool | None = None
    supports_max_tokens: bool | None = None


@frozen
class ModelCard:
    """One model of the catalogue. ``id`` is the provider's own (vendor/slug[:variant]).

    ``shown_as`` is what front ends show where the usual form of the id, with dots, belongs to another model.
    """

    id: str
    name: str
    canonical_slug: str = ""
    description: str = ""
    context_length: int | None = None
    max_output_tokens: int | None = None
    capabilities: Capabilities = Capabilities()
    reasoning: ReasoningSupport = ReasoningSupport()
    free: bool = False
    created: int = 0
    shown_as: str = ""


class CatalogSource(Protocol):
    """Where the catalogue comes from (driven port)."""

    async def fetch(self, connection: Connection) -> tuple[JsonObject, ...]:
        """All entries as published, unread.

        Raises:
            ProviderError: no answer, an error status, or a body without a non-empty list of entries.
        """


@runtime_checkable
class SharedCatalogSource(Protocol):
    """What a source can do besides where several processes share one: hand out what another one fetched."""

    async def fetch_shared(self, connection: Connection, max_age: float) -> tuple[tuple[JsonObject, ...], float]:
        """All entries and their age in seconds, less than ``max_age``; fetched only where nobody has them so young.

        Raises:
            ProviderError: as `CatalogSource.fetch`.
        """


class CatalogMemory(Protocol):
    """Keeps the last good catalogue across restarts (driven port). Neither method raises."""

    async def load(self, connection: Connection) -> tuple[tuple[JsonObject, ...], float] | None:
        """The entries last kept for this address and their age in seconds; None when there are none."""

    async def save(self, connection: Connection, entries: Sequence[JsonObject]) -> None:
        """Keep entries that were good."""
