"""The worker that brings the host's records in line: when it looks, what it writes, and what a host that fails costs."""

from __future__ import annotations

import asyncio
import io
import re
from typing import Any

import pytest
from attrs import evolve
from rich.console import Console

from openrouter_pipe.adapters.memory import ScriptedCatalog
from openrouter_pipe.adapters.memory.host_models import MemoryHostFunctions, MemoryHostModels, MemoryIcons
from openrouter_pipe.adapters.memory.runtime import ManualClock
from openrouter_pipe.adapters.openwebui.companions import SEARCH_FILTER, SEARCH_FLAG
from openrouter_pipe.adapters.openwebui.request import HostCall, wants_search
from openrouter_pipe.composition.model_sync import sync_policy
from openrouter_pipe.composition.sync_command import print_plan
from openrouter_pipe.domain.catalog.service import CatalogService
from openrouter_pipe.domain.catalog.sync import Host, ModelSync, SyncPolicy, planned, prepare
from openrouter_pipe.ports.host_models import HostModel, HostModelError
from openrouter_pipe.ports.settings import read_settings


def entry(model_id: str, **more: Any) -> dict[str, Any]:
    return {
        "id": model_id,
        "name": model_id.upper(),
        "description": f"About {model_id}",
        "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
        "pricing": {"prompt": "0.1", "completion": "0.1"},
        "supported_parameters": ["tools"],
        **more,
    }


class Bench:
    """A catalogue, a host in memory, and the worker between them."""

    def __init__(self) -> None:
        self.source = ScriptedCatalog()
        self.source.entries = (entry("a/one"), entry("a/two"))
        self.clock = ManualClock()
        self.catalog = CatalogService(self.source, self.clock)
        self.models, self.functions, self.icons = MemoryHostModels(), MemoryHostFunctions(), MemoryIcons()
        host = Host(self.models, self.functions, self.icons, SEARCH_FILTER)
        self.sync = ModelSync(self.catalog, host, self.clock, lambda: None)

    def policy(self, **settings: Any) -> SyncPolicy:
        return sync_policy(read_settings({"API_KEY": "k", **settings}, {}), "pipe")

    async def once(self, **settings: Any) -> int:
        policy = self.policy(**settings)
        await self.catalog.current(policy.connection, policy.refresh_seconds, insist=True)
        return await self.sync.sync(policy)


OFF = {
    "UPDATE_MODEL_IMAGES": False,
    "UPDATE_MODEL_DESCRIPTIONS": False,
    "UPDATE_MODEL_CAPABILITIES": False,
    "AUTO_ATTACH_ORS_FILTER": False,
    "AUTO_INSTALL_ORS_FILTER": False,
}


async def test_once_per_catalogue() -> None:
    bench = Bench()
    bench.icons.urls = {"a/one": "data:image/png;base64,AAAA"}
    assert await bench.once() == 2
    assert set(bench.models.records) == {"pipe.a.one", "pipe.a.two"}
    assert list(bench.functions.sources) == ["openrouter_search"]
    assert bench.models.records["pipe.a.one"].meta["profile_image_url"] == "data:image/png;base64,AAAA"
    assert "profile_image_url" not in bench.models.records["pipe.a.two"].meta
    assert await bench.once() == 0
    assert bench.models.writes == 2


async def test_a_changed_setting_is_a_reason_to_look_again() -> None:
    bench = Bench()
    assert await bench.once() == 2
    assert await bench.once(UPDATE_MODEL_DESCRIPTIONS=True) == 2
    assert bench.models.records["pipe.a.one"].meta["description"] == "About a/one"


async def test_a_permission_to_download_is_a_reason_to_look_again() -> None:
    bench = Bench()
    await bench.once()
    bench.icons.urls = {"a/one": "data:image/png;base64,AAAA"}
    assert await bench.once() == 0
    assert await bench.once(ENABLE_SSRF_PROTECTION=False) == 1


async def test_only_models_on_offer_have_records() -> None:
    bench = Bench()
    assert await bench.once(MODEL_ID="a/two") == 1
    assert set(bench.models.records) == {"pipe.a.two"}


async def test_everything_off_leaves_the_host_alone() -> None:
    bench = Bench()
    assert not bench.policy(**OFF).does_anything
    assert await bench.once(**OFF) == 0
    assert (bench.models.records, bench.functions.sources) == ({}, {})


async def test_an_administrators_edit_during_the_synchronisation_stays() -> None:
    bench = Bench()
    await bench.once()
    theirs = bench.models.records["pipe.a.one"]
    read = bench.models.all

    async def all_then_edit() -> Any:
        found = await read()
        bench.models.records["pipe.a.one"] = evolve(theirs, meta={**theirs.meta, "description": "Mine."})
        del bench.models.records["pipe.a.two"]
        return found

    bench.models.all = all_then_edit  # type: ignore[method-assign]
    assert await bench.once(UPDATE_MODEL_DESCRIPTIONS=True) == 0
    assert bench.models.records["pipe.a.one"].meta["description"] == "Mine."
    assert "pipe.a.two" not in bench.models.records


async def test_a_record_that_the_host_refuses_costs_itself_only(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.models.refuse = {"pipe.a.one"}
    assert await bench.once() == 1
    assert "pipe.a.one was not written" in caplog.text


async def test_an_uninstalled_switch_leaves_no_id_behind() -> None:
    bench = Bench()
    await bench.once()
    bench.functions.sources.clear()
    assert await bench.once(AUTO_INSTALL_ORS_FILTER=False) == 2
    assert bench.models.records["pipe.a.one"].meta["filterIds"] == []
    assert bench.models.records["pipe.a.one"].meta["defaultFilterIds"] == []


async def test_a_removed_switch_is_named_nowhere_even_by_models_that_are_no_longer_on_offer() -> None:
    """Hosts have refused to start over records that name a function which is gone."""
    bench = Bench()
    await bench.once()
    theirs = {
        **bench.models.records["pipe.a.two"].meta,
        "description": "Mine.",
        "filterIds": ["x", "openrouter_search"],
    }
    bench.models.records["pipe.a.two"] = evolve(bench.models.records["pipe.a.two"], meta=theirs)
    bench.functions.sources.clear()
    assert await bench.once(MODEL_ID="a/one", AUTO_INSTALL_ORS_FILTER=False, UPDATE_MODEL_DESCRIPTIONS=True) == 2
    hidden = bench.models.records["pipe.a.two"]
    assert (hidden.meta["filterIds"], hidden.meta["defaultFilterIds"]) == (["x"], [])
    assert (hidden.name, hidden.meta["description"]) == ("A/TWO", "Mine.")
    for record in bench.models.records.values():
        assert "openrouter_search" not in str(record.meta)


async def test_two_workers_at_once_write_each_record_once_and_refuse_nothing(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.source.entries = tuple(entry(f"a/{number}") for number in range(35))
    bench.models.slow = True
    policy = bench.policy()
    host = Host(bench.models, bench.functions, bench.icons, SEARCH_FILTER)
    workers = [ModelSync(bench.catalog, host, bench.clock, lambda: None) for _ in range(3)]
    await bench.catalog.current(policy.connection, policy.refresh_seconds, insist=True)
    written = await asyncio.gather(*(worker.sync(policy) for worker in workers))
    assert len(bench.models.records) == 35
    assert sum(written) == 35
    assert list(bench.functions.sources) == ["openrouter_search"]
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    assert [await worker.sync(policy) for worker in workers] == [0, 0, 0]


async def test_an_administrator_deletes_and_adds_records_while_they_are_written() -> None:
    bench = Bench()
    await bench.once()
    theirs = HostModel("pipe.a.new", "Theirs", {"description": "Theirs."})
    bench.source.entries = (entry("a/one"), entry("a/two"), entry("a/new"))
    bench.clock.advance(10**6)
    bench.catalog = CatalogService(bench.source, bench.clock)
    bench.sync = ModelSync(
        bench.catalog, Host(bench.models, bench.functions, bench.icons, SEARCH_FILTER), bench.clock, lambda: None
    )
    read = bench.models.get

    async def get_after_them(model_id: str) -> HostModel | None:
        bench.models.records.pop("pipe.a.one", None)
        bench.models.records.setdefault("pipe.a.new", theirs)
        return await read(model_id)

    bench.models.get = get_after_them  # type: ignore[method-assign]
    assert await bench.once(UPDATE_MODEL_DESCRIPTIONS=True) == 2
    assert "pipe.a.one" not in bench.models.records
    assert bench.models.records["pipe.a.two"].meta["description"] == "About a/two"
    new = bench.models.records["pipe.a.new"]
    assert (new.name, new.meta["description"], "capabilities" in new.meta) == ("Theirs", "Theirs.", True)


async def test_a_host_that_fails_half_way_is_finished_later(caplog: pytest.LogCaptureFixture) -> None:
    """The first round writes what it can, the next only the rest, and then there is peace."""
    bench = Bench()
    bench.source.entries = tuple(entry(f"a/{number}") for number in range(25))
    bench.models.refuse = {f"pipe.a.{number}" for number in range(12, 25)}
    policy = bench.policy()
    await bench.catalog.current(policy.connection, policy.refresh_seconds, insist=True)
    clock = ManualClock()
    host = Host(bench.models, bench.functions, bench.icons, SEARCH_FILTER)
    worker = asyncio.create_task(ModelSync(bench.catalog, host, clock, lambda: policy).run())
    await wake(clock, 3)
    assert (len(bench.models.records), len(caplog.records)) == (12, 13)
    bench.models.refuse = set()
    await wake(clock, 3)
    assert len(bench.models.records) == 12  # not at once again
    await wake(clock, 300)
    await wake(clock, 3)
    assert (len(bench.models.records), bench.models.writes) == (25, 25)
    for _ in range(5):
        await wake(clock, 300)
    assert bench.models.writes == 25
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)


@pytest.mark.parametrize("broken", ["models", "functions"])
async def test_a_host_that_cannot_be_asked_is_asked_again_later(broken: str, caplog: pytest.LogCaptureFixture) -> None:
    bench, clock, calls = Bench(), ManualClock(), 0

    async def refuse(*_: object) -> Any:
        nonlocal calls
        calls += 1
        raise HostModelError("the host's database is locked")

    policy = bench.policy()
    await bench.catalog.current(policy.connection, policy.refresh_seconds, insist=True)
    setattr(bench.models if broken == "models" else bench.functions, "all" if broken == "models" else "install", refuse)
    host = Host(bench.models, bench.functions, bench.icons, SEARCH_FILTER)
    worker = asyncio.create_task(ModelSync(bench.catalog, host, clock, lambda: policy).run())
    for _ in range(1200):
        await wake(clock, 3)
    assert 10 <= calls <= 12  # an hour, every five minutes
    assert len([one for one in caplog.records if "database is locked" in one.getMessage()]) == calls
    assert bench.models.records == {}
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)


async def wake(clock: ManualClock, seconds: float) -> None:
    """Let time pass, and whoever it wakes do its work."""
    for _ in range(3):
        await asyncio.sleep(0)
    clock.advance(seconds)
    for _ in range(60):
        await asyncio.sleep(0)


async def test_the_plan_shows_icons_and_what_else_is_written() -> None:
    bench = Bench()
    bench.icons.urls = {"a/one": "data:image/png;base64," + "A" * 3050}
    policy = bench.policy(UPDATE_MODEL_DESCRIPTIONS=True)
    host = Host(bench.models, bench.functions, bench.icons, SEARCH_FILTER)
    catalog = await bench.catalog.current(policy.connection, policy.refresh_seconds, insist=True)
    todo = await planned(host, catalog.cards, await prepare(host, policy))
    console = Console(file=io.StringIO(), width=160)
    print_plan(todo, console)
    shown = console.file.getvalue()
    assert re.search(r"pipe\.a\.one\W+new\W+3\.0 KiB\W+description, vision", shown)
    assert re.search(r"pipe\.a\.two\W+new\W+description, vision", shown)
    assert "base64" not in shown


async def test_records_of_other_pipes_are_not_looked_at() -> None:
    bench = Bench()
    theirs = HostModel("other.a.one", "x", {"openrouter_pipe": {"filter": "gone"}, "filterIds": ["gone"]})
    bench.models.records["other.a.one"] = theirs
    await bench.once()
    assert bench.models.records["other.a.one"] == theirs


def test_the_source_of_the_switch_is_constant_and_ours() -> None:
    space: dict[str, Any] = {}
    exec(SEARCH_FILTER.source, space)
    switch = space["Filter"]()
    assert switch.toggle is True
    body = {"model": "m", "features": {"web_search": True, "memory": True}}
    after = asyncio.run(switch.inlet(body))
    assert after == {"model": "m", "features": {"web_search": False, "memory": True}, SEARCH_FLAG: True}
    assert SEARCH_FILTER.marker in SEARCH_FILTER.source
    for word in ("from utils", "from config", "from main", "import"):
        assert word not in SEARCH_FILTER.source


@pytest.mark.parametrize(
    ("body", "features", "wanted"),
    [
        ({}, None, None),
        ({}, {}, None),
        ({}, {"web_search": False}, None),
        ({}, {"web_search": True}, True),
        ({SEARCH_FLAG: True}, {"web_search": False}, True),
        ({SEARCH_FLAG: False}, {}, None),
        ({SEARCH_FLAG: "no"}, {"web_search": "yes"}, None),
    ],
)
def test_only_a_switch_asks_for_a_search(body: dict[str, Any], features: Any, wanted: bool | None) -> None:
    assert wants_search(HostCall(body=body, metadata={"features": features})) is wanted
