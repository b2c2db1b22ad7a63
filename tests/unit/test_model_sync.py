"""The worker that brings the host's records in line: when it looks, what it writes, and what a host that fails costs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from attrs import evolve

from openrouter_pipe.adapters.memory import ScriptedCatalog
from openrouter_pipe.adapters.memory.host_models import MemoryHostFunctions, MemoryHostModels, MemoryIcons
from openrouter_pipe.adapters.memory.runtime import ManualClock
from openrouter_pipe.adapters.openwebui.companions import SEARCH_FILTER, SEARCH_FLAG
from openrouter_pipe.adapters.openwebui.request import HostCall, wants_search
from openrouter_pipe.composition.model_sync import sync_policy
from openrouter_pipe.domain.catalog.service import CatalogService
from openrouter_pipe.domain.catalog.sync import Host, ModelSync, SyncPolicy
from openrouter_pipe.ports.host_models import HostModel
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
