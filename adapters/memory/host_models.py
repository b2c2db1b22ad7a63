"""A host's records, functions and icons in memory; every record can be changed from outside, as an administrator does."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Mapping, Sequence

from openrouter_pipe.ports.host_models import Companion, HostModel, HostModelError


class MemoryHostModels:
    """`HostModels` over ``records``; ``writes`` counts, ``refuse`` holds ids whose writing fails.

    ``slow`` lets others run between a question and its answer, as a database does.
    """

    def __init__(self) -> None:
        self.records: dict[str, HostModel] = {}
        self.writes = 0
        self.refuse: set[str] = set()
        self.slow = False

    async def all(self) -> Mapping[str, HostModel]:
        """All records; see `HostModels.all`."""
        await self._pause()
        return dict(self.records)

    async def get(self, model_id: str) -> HostModel | None:
        """One record; see `HostModels.get`."""
        found = self.records.get(model_id)
        await self._pause()
        return found

    async def create(self, model: HostModel) -> None:
        """Add a record; see `HostModels.create`."""
        await self._pause()
        if model.id in self.records:
            raise HostModelError("the host did not add a model: it exists")
        self._write(model)

    async def update(self, model: HostModel) -> None:
        """Change a record; see `HostModels.update`."""
        await self._pause()
        if model.id in self.records:
            self._write(model)

    async def _pause(self) -> None:
        if self.slow:
            await asyncio.sleep(0)

    def _write(self, model: HostModel) -> None:
        if model.id in self.refuse:
            raise HostModelError("the host did not change a model: refused")
        self.writes += 1
        self.records[model.id] = model


class MemoryHostFunctions:
    """`HostFunctions` over ``sources`` by id."""

    def __init__(self) -> None:
        self.sources: dict[str, str] = {}

    async def installed(self, companion: Companion) -> str | None:
        """The companion's id; see `HostFunctions.installed`."""
        return min((one for one, source in self.sources.items() if companion.marker in source), default=None)

    async def install(self, companion: Companion) -> str:
        """Install it; see `HostFunctions.install`."""
        found = await self.installed(companion)
        if found is None:
            found = self._free_id(companion.suggested_id)
            self.sources[found] = companion.source
        elif _version_of(self.sources[found]) < companion.version:
            self.sources[found] = companion.source
        return found

    def _free_id(self, wanted: str) -> str:
        names = (wanted if number == 1 else f"{wanted}_{number}" for number in itertools.count(1))
        return next(name for name in names if name not in self.sources)


def _version_of(source: str) -> int:
    found = re.search(r"^companion_version:[ ]*(\d{1,9})[ ]*$", source, re.MULTILINE)
    return int(found[1]) if found else 0


class MemoryIcons:
    """`IconSource` over ``urls`` by model id."""

    def __init__(self) -> None:
        self.urls: dict[str, str] = {}

    async def icons(self, model_ids: Sequence[str]) -> Mapping[str, str]:
        """The icons that there are; see `IconSource.icons`."""
        return {one: self.urls[one] for one in model_ids if one in self.urls}
