"""The host's own records of models, and the small functions beside us that it runs: what we may read and write there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from attrs import field, frozen

from openrouter_pipe.ports.json import JsonObject


@frozen
class HostModel:
    """One record. ``id`` is the host's id with its prefix; ``meta`` is the host's own JSON, kept whole."""

    id: str
    name: str
    meta: JsonObject = field(factory=dict, repr=False)


class HostModelError(Exception):
    """The host did not take a change, or could not be asked; the message says which."""


class HostModels(Protocol):
    """The host's records of models (driven port). Owner and access rules of a record are never touched.

    Every method raises `HostModelError`.
    """

    async def all(self) -> Mapping[str, HostModel]:
        """All records by id."""

    async def get(self, model_id: str) -> HostModel | None:
        """One record as it is now."""

    async def create(self, model: HostModel) -> None:
        """Add a record that nobody but administrators may use until they say otherwise."""

    async def update(self, model: HostModel) -> None:
        """Write name and meta of an existing record; nothing if it is gone meanwhile."""


@frozen
class Companion:
    """A function of ours that the host runs beside the pipe; recognised by ``marker`` in its source, whatever its id."""

    marker: str
    version: int
    suggested_id: str
    name: str
    description: str
    source: str = field(repr=False)


class HostFunctions(Protocol):
    """The host's functions (driven port). Every method raises `HostModelError`."""

    async def installed(self, companion: Companion) -> str | None:
        """The id under which the companion is installed, None if it is not; inactive ones count."""

    async def install(self, companion: Companion) -> str:
        """Install it, or bring an older version up to date; returns its id. What others wrote is never touched."""


class IconSource(Protocol):
    """Icons of models (driven port)."""

    async def icons(self, model_ids: Sequence[str]) -> Mapping[str, str]:
        """PNG data URLs by model id, for those that have one; never raises."""
