"""A start without the provider: the list of the last time, until a new one can be fetched."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from openrouter_pipe.adapters.filesystem.catalogue import CatalogueFile
from openrouter_pipe.adapters.memory.runtime import ManualClock
from openrouter_pipe.domain.catalog.service import CatalogService, CatalogUnavailableError
from openrouter_pipe.ports.json import JsonObject
from openrouter_pipe.ports.provider import Connection, FaultKind, ProviderError, ProviderFault
from openrouter_pipe.ports.settings import Secret

HERE = Connection("https://one.example/api/v1", Secret("sk-or-v1-key-of-one"), "", "")
THERE = Connection("https://two.example/api/v1", Secret("sk-or-v1-key-of-one"), "", "")
MODELS: tuple[JsonObject, ...] = ({"id": "a/one", "name": "One"}, {"id": "a/two", "name": "Two"})


class Source:
    """A provider that is there or not."""

    def __init__(self, *, there: bool = True) -> None:
        self.there = there
        self.fetches = 0

    async def fetch(self, connection: Connection) -> tuple[JsonObject, ...]:
        self.fetches += 1
        if not self.there:
            raise ProviderError(ProviderFault(FaultKind.CONNECTION, "no way to the provider"))
        return MODELS


def service(tmp_path: Path, source: Source, clock: ManualClock, now: float = 1_000_000.0) -> CatalogService:
    return CatalogService(source, clock, CatalogueFile(tmp_path / "cache", lambda: now))


async def names(catalog: CatalogService, connection: Connection = HERE) -> list[str]:
    return [card.id for card in (await catalog.current(connection, 60, insist=True)).cards]


async def test_a_start_without_network_lists_the_models_of_the_last_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert await names(service(tmp_path, Source(), ManualClock())) == ["a/one", "a/two"]
    source, clock = Source(there=False), ManualClock()
    later = service(tmp_path, source, clock, now=1_000_000.0 + 7_200)
    assert await names(later) == ["a/one", "a/two"]
    assert later.age() == pytest.approx(7_200)
    [told] = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "the last good catalogue stays in use (2.0 hours old)" in told
    assert "no models" not in told
    assert await names(later) == ["a/one", "a/two"]
    assert source.fetches == 1  # in back-off: a stale list is no reason to ask more often
    source.there = True
    clock.advance(5.1)
    await names(later)
    await clock.sleep(0)
    assert source.fetches == 2


async def test_the_list_of_another_provider_is_not_taken(tmp_path: Path) -> None:
    await names(service(tmp_path, Source(), ManualClock()))
    with pytest.raises(CatalogUnavailableError):
        await names(service(tmp_path, Source(there=False), ManualClock()), THERE)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '{"entries": 3}',
        '{"entries": [], "fetched_at": 1}',
        '{"entries": [1], "fetched_at": "x"}',
        "[" * 100_000,
    ],
    ids=range(8),
)
async def test_a_damaged_copy_is_no_copy(tmp_path: Path, content: str) -> None:
    file = CatalogueFile(tmp_path)
    await file.save(HERE, MODELS)
    next(tmp_path.glob("*.json")).write_text(content)
    assert await file.load(HERE) is None


async def test_what_cannot_be_kept_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    assert await names(service(tmp_path, Source(), ManualClock())) == ["a/one", "a/two"]
    await CatalogueFile(None).save(HERE, MODELS)
    assert await CatalogueFile(None).load(HERE) is None


async def test_a_copy_holds_no_key_and_leaves_no_scrap(tmp_path: Path) -> None:
    await CatalogueFile(tmp_path, lambda: 5.0).save(HERE, MODELS)
    files = list(tmp_path.iterdir())
    assert len(files) == 1
    text = files[0].read_text()
    assert json.loads(text) == {"fetched_at": 5.0, "entries": list(MODELS)}
    assert "sk-or" not in text
