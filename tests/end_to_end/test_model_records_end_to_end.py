"""The host's records of models and the search switch, in real Open WebUI of both versions."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import venvs
import webui_setup
from webui_host import WebUIHost, chunks_of, text_of
from webui_setup import FUNCTION_ID, Provider, model_id

GPT = model_id("openai/gpt-5")
ECHO = model_id("sim/echo")
SEARCH = "openrouter_search"
FEW = {"MODEL_ID": "openai/gpt-5,sim/echo,anthropic/claude-sonnet-4.5"}
OFF = {
    "UPDATE_MODEL_IMAGES": False,
    "UPDATE_MODEL_CAPABILITIES": False,
    "AUTO_ATTACH_ORS_FILTER": False,
    "AUTO_INSTALL_ORS_FILTER": False,
}


@pytest.fixture(scope="module", params=[venvs.MAIN_VERSION, venvs.OLDEST_VERSION])
def fresh(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, base_valves: dict[str, Any]
) -> Iterator[WebUIHost]:
    """A host of its own, in which nothing was synchronised before."""
    venvs.ensure(request.param)
    with WebUIHost(request.param, tmp_path_factory.mktemp("records")) as running:
        webui_setup.install_pipe(running, base_valves | FEW | OFF)
        yield running


def set_valves(host: WebUIHost, base_valves: Mapping[str, Any], **changes: Any) -> None:
    host.set_valves(FUNCTION_ID, {**base_valves, **FEW, **changes})
    host.models()


def eventually(look: Callable[[], Any], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.25)
    return found


def record(host: WebUIHost, name: str = GPT) -> dict[str, Any] | None:
    reply = host.request("GET", "/api/v1/models/model", params={"id": name})
    return dict(reply.json()) if reply.status_code == 200 and reply.json() else None


def tables(host: WebUIHost) -> list[tuple[Any, ...]]:
    """What the database holds of models and of functions other than the pipe itself."""
    with sqlite3.connect(Path(host.data_dir) / "webui.db") as connection:
        models = connection.execute("SELECT * FROM model ORDER BY id").fetchall()
        functions = connection.execute("SELECT id, content FROM function WHERE id != ?", (FUNCTION_ID,)).fetchall()
    return [*models, *functions]


def test_everything_off_leaves_the_database_alone(fresh: WebUIHost) -> None:
    before = tables(fresh)
    assert GPT in fresh.model_ids()
    time.sleep(7)  # twice as long as the worker takes to look
    assert (tables(fresh), before) == (before, [])


def test_records_appear_private_and_with_what_models_can_do(fresh: WebUIHost, base_valves: dict[str, Any]) -> None:
    set_valves(fresh, base_valves)
    found = eventually(lambda: record(fresh))
    capabilities = found["meta"]["capabilities"]
    assert (capabilities["vision"], capabilities["web_search"], capabilities["citations"]) == (True, True, True)
    assert found["meta"]["filterIds"] == [SEARCH]
    assert found["base_model_id"] is None
    shown = {model["id"]: model for model in fresh.models()}
    assert shown[GPT]["name"] == found["name"]
    person = fresh.add_user("Somebody")
    assert GPT not in fresh.model_ids(token=person)  # private until an administrator says otherwise


def test_an_administrators_edit_survives_the_next_synchronisation(
    fresh: WebUIHost, base_valves: dict[str, Any]
) -> None:
    found = eventually(lambda: record(fresh))
    meta = {**found["meta"], "capabilities": {**found["meta"]["capabilities"], "vision": False}, "filterIds": []}
    form = {**found, "name": "Our GPT", "meta": meta}
    if "access_control" in found:
        form["access_control"] = None  # public
    else:
        everybody = {"principal_type": "user", "principal_id": "*", "permission": "read"}
        fresh.post("/api/v1/models/model/access/update", {"id": GPT, "access_grants": [everybody]})
    reply = fresh.request("POST", "/api/v1/models/model/update", params={"id": GPT}, json=form)
    assert reply.status_code == 200, reply.text
    set_valves(fresh, base_valves, UPDATE_MODEL_DESCRIPTIONS=True)
    after = eventually(lambda: (now := record(fresh)) and now["meta"].get("description") and now)
    assert after["name"] == "Our GPT"
    assert after["meta"]["capabilities"]["vision"] is False
    assert after["meta"]["filterIds"] == []
    assert after["user_id"] == found["user_id"]
    person = fresh.add_user("Anybody")
    assert GPT in fresh.model_ids(token=person)  # access as the administrator left it


def test_the_search_switch(fresh: WebUIHost, base_valves: dict[str, Any], provider: Provider) -> None:
    set_valves(fresh, base_valves)
    eventually(lambda: (now := record(fresh, ECHO)) and now["meta"].get("filterIds") == [SEARCH])
    functions = {one["id"]: one for one in fresh.get("/api/v1/functions/")}
    assert functions[SEARCH]["is_active"]
    assert functions[SEARCH]["type"] == "filter"
    shown = {model["id"]: model for model in fresh.models()}
    assert [one["id"] for one in shown[ECHO]["filters"]] == [SEARCH]

    def tools(**extra: Any) -> list[str]:
        said = [{"role": "user", "content": "What is new?"}]
        assert text_of(chunks_of(fresh.stream_data(ECHO, said, **extra)))
        return [tool.get("type", "") for tool in provider.turns()[-1]["body"].get("tools") or []]

    assert tools() == []
    assert tools(filter_ids=[SEARCH]) == ["openrouter:web_search"]
    assert provider.turns()[-1]["body"]["tools"][0]["parameters"] == {"max_results": 3}


def test_somebody_elses_function_of_that_name_is_left_alone(fresh: WebUIHost, base_valves: dict[str, Any]) -> None:
    theirs = "class Filter:\n    def inlet(self, body):\n        return body\n"
    set_valves(fresh, base_valves, **OFF)
    fresh.delete_function(SEARCH)
    fresh.create_function(SEARCH, theirs)
    # Settings that were not in force before: the worker looks again when catalogue or settings change.
    set_valves(fresh, base_valves, AUTO_DEFAULT_OPENROUTER_SEARCH_FILTER=False)
    eventually(lambda: any(one["id"] == f"{SEARCH}_2" for one in fresh.get("/api/v1/functions/")))
    assert fresh.get(f"/api/v1/functions/id/{SEARCH}")["content"] == theirs
    eventually(lambda: (now := record(fresh, ECHO)) and now["meta"].get("filterIds") == [f"{SEARCH}_2"])


def test_the_plan_on_the_command_line(fresh: WebUIHost, base_valves: dict[str, Any]) -> None:
    set_valves(fresh, base_valves, **OFF)
    before = tables(fresh)
    chosen = {"MODEL_ID": "sim/echo,openai/gpt-5-mini", "UPDATE_MODEL_CAPABILITIES": True}
    fresh.set_valves(
        FUNCTION_ID, {**base_valves, **OFF, **chosen}
    )  # the server's own worker learns of it at the next call

    def command(*words: str) -> str:
        done = fresh.command("sync", *words)
        assert done.returncode == 0, done.stderr[-2000:]
        assert webui_setup.SIMULATOR_KEY not in done.stdout + done.stderr
        return done.stdout

    shown = command("--dry-run")
    assert model_id("openai/gpt-5-mini") in shown
    assert "new" in shown
    planned = re.search(r"(\d) records would be written, 2 models are on offer", shown)
    assert planned
    assert tables(fresh) == before
    assert f"{planned[1]} records were written, 2 models are on offer" in command()
    written = record(fresh, model_id("openai/gpt-5-mini"))
    assert written is not None
    assert written["meta"]["capabilities"]["vision"] is True
    assert "0 records would be written" in command("--dry-run")
