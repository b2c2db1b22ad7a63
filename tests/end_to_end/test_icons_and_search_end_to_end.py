"""Icons of models and the search switch as people see them: real Open WebUI of both versions, a real browser."""

from __future__ import annotations

import base64
import json
import re
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import venvs
import webui_setup
from webui_browser import Browser, open_browser
from webui_host import WebUIHost, chunks_of, text_of
from webui_setup import FUNCTION_ID, SIMULATOR_ICONS, Provider, model_id

DRAWN = ("openai/gpt-5", "anthropic/claude-sonnet-4.5", "google/gemini-2.5-pro", "x-ai/grok-4")
PAINTED = ("deepseek/deepseek-chat", "qwen/qwen3-max", "mistralai/mistral-large", "sim/echo", "sim/web-search")
PLUGIN = "perplexity/sonar"
SEARCH = "openrouter_search"
RESULTS = 4
FEW = {
    "MODEL_ID": ",".join((*DRAWN, *PAINTED, PLUGIN)),
    "AUTO_DEFAULT_OPENROUTER_SEARCH_FILTER": False,
    "WEB_SEARCH_MAX_RESULTS": RESULTS,
}
ICON_LIST = "/api/frontend/models"
ROWS = "[role=option], [aria-roledescription=model-item]"  # 0.12.4, 0.6.28


@pytest.fixture(scope="module", params=[venvs.MAIN_VERSION, venvs.OLDEST_VERSION])
def pictured(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, base_valves: dict[str, Any]
) -> Iterator[WebUIHost]:
    """A host of its own with a few models; the newer one has the renderer of SVG beside it, the older one has not."""
    venvs.ensure(request.param)
    with WebUIHost(request.param, tmp_path_factory.mktemp("icons")) as running:
        webui_setup.install_pipe(running, base_valves | FEW)
        yield running


def has_renderer(host: WebUIHost) -> bool:
    python = venvs.venv_python(venvs.venv_path(host.version))
    return subprocess.run([str(python), "-c", "import resvg_py"], capture_output=True, check=False).returncode == 0


def eventually(look: Callable[[], Any], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.25)
    return found


def metas(host: WebUIHost) -> dict[str, dict[str, Any]]:
    """What the database holds of each model."""
    with sqlite3.connect(Path(host.data_dir) / "webui.db") as connection:
        return {name: json.loads(meta) for name, meta in connection.execute("SELECT id, meta FROM model")}


def icons(host: WebUIHost) -> dict[str, str]:
    """The icons that the database holds, by model."""
    found = {name: str(meta.get("profile_image_url") or "") for name, meta in metas(host).items()}
    return {name: icon for name, icon in found.items() if icon.startswith("data:")}


def with_icon(host: WebUIHost) -> set[str]:
    shown = {*PAINTED, PLUGIN, *(DRAWN if has_renderer(host) else ())}
    return {model_id(one) for one in shown}


def permit_icons(host: WebUIHost, base_valves: Mapping[str, Any], **more: Any) -> None:
    host.set_valves(FUNCTION_ID, {**base_valves, **FEW, **SIMULATOR_ICONS, **more})
    host.models()


def test_an_icon_on_a_loopback_address_is_refused_as_delivered(pictured: WebUIHost, provider: Provider) -> None:
    before = [seen["path"] for seen in provider.requests()].count(ICON_LIST)
    assert model_id("sim/echo") in pictured.model_ids()
    eventually(lambda: len(metas(pictured)) == len(DRAWN) + len(PAINTED) + 1)
    assert icons(pictured) == {}
    assert [seen["path"] for seen in provider.requests()].count(ICON_LIST) == before


def test_icons_appear_once_the_operator_permits_them(pictured: WebUIHost, base_valves: dict[str, Any]) -> None:
    permit_icons(pictured, base_valves)
    wanted = with_icon(pictured)
    found = eventually(lambda: icons(pictured) if wanted <= icons(pictured).keys() else None)
    assert set(found) == wanted
    for icon in found.values():
        assert icon.startswith("data:image/png;base64,")
        assert base64.b64decode(icon.partition(",")[2]).startswith(b"\x89PNG\r\n\x1a\n")
    told = pictured.log_text().count("icons that are drawings are left out")
    assert told == (0 if has_renderer(pictured) else 1)


def test_the_plan_on_the_command_line_shows_icons(pictured: WebUIHost, base_valves: dict[str, Any]) -> None:
    """A model that is new to the host, so that there is something to plan, and then to write."""
    more = {"MODEL_ID": "sim/long," + FEW["MODEL_ID"]}
    permit_icons(pictured, base_valves, UPDATE_MODEL_IMAGES=False, UPDATE_MODEL_CAPABILITIES=False)
    pictured.set_valves(FUNCTION_ID, {**base_valves, **FEW, **SIMULATOR_ICONS, **more})
    name = model_id("sim/long")
    planned = run_sync(pictured, "--dry-run")
    assert re.search(rf"{re.escape(name)}\W+new\W+0\.\d KiB", planned), planned
    assert "would be written" in planned
    assert "base64" not in planned
    if name not in metas(pictured):  # the server's own worker may have been quicker
        assert "were written" in run_sync(pictured)
    assert name in icons(pictured)
    permit_icons(pictured, base_valves)


def run_sync(host: WebUIHost, *options: str) -> str:
    """What the command prints."""
    done = host.command("sync", *options)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_plugin_searches_where_only_that_works(pictured: WebUIHost, provider: Provider) -> None:
    def asked(**extra: Any) -> dict[str, Any]:
        said = [{"role": "user", "content": "What is new?"}]
        assert text_of(chunks_of(pictured.stream_data(model_id(PLUGIN), said, **extra)))
        return dict(provider.turns()[-1]["body"])

    assert not searches(asked())
    body = asked(filter_ids=[SEARCH])
    assert searches(body) == [{"id": "web", "max_results": RESULTS}]
    assert not body.get("tools")


def test_people_see_the_icons_in_the_model_selector(pictured: WebUIHost, tmp_path: Path) -> None:
    with open_browser(tmp_path / "profile") as person:
        person.sign_in(pictured.url)
        person.page.locator("[id^=model-selector-][id$=-button]").first.click()
        person.page.locator("#model-search-input").wait_for()
        person.page.locator(ROWS).locator("img").first.wait_for()
        person.page.wait_for_function(
            "rows => [...document.querySelectorAll(rows)].every(row => row.querySelector('img')?.complete)", arg=ROWS
        )
        shown = person.page.eval_on_selector_all(
            ROWS,
            """rows => rows.map(row => {
                const icon = row.querySelector("img");
                return [row.innerText.trim().split("\\n")[0], icon.complete ? icon.naturalWidth : 0, icon.currentSrc];
            })""",
        )
        person.screenshot(venvs.ROOT / "build" / f"webui-models-{pictured.version}.png")
    names = {model["name"]: model["id"] for model in pictured.models()}
    ours = {names[name]: (width, source) for name, width, source in shown if names.get(name) in with_icon(pictured)}
    assert set(ours) == with_icon(pictured)
    for name, (width, source) in ours.items():
        # 0.12.4 serves a record's icon under an address of its own, and a picture of its own where there is none.
        assert source.startswith("data:image/png") or f"profile/image?id={name}" in source
        assert width in {48, 256}, f"the icon of {name} did not load from {source[:80]}"


def searches(body: Mapping[str, Any]) -> list[Any]:
    """The parts of a request that ask for a search."""
    tools = [tool for tool in body.get("tools") or () if "search" in str(tool.get("type"))]
    return [*tools, *(plugin for plugin in body.get("plugins") or () if plugin.get("id") == "web")]


def turn_of(turns: Sequence[Mapping[str, Any]], words: str) -> dict[str, Any]:
    """The request of the chat turn whose last message holds these words; titles and the like quote them, too."""
    bodies = [seen["body"] for seen in turns]
    found = [body for body in bodies if body.get("stream") and words in json.dumps(body["input"][-1])]
    assert len(found) == 1, f"{len(found)} requests with {words!r}"
    return dict(found[0])


def press_search(person: Browser, version: str) -> None:
    """Presses the switch under the message."""
    page = person.page
    if version == venvs.MAIN_VERSION:
        page.locator("#integration-menu-button").click()
        switch = page.locator("[role=menuitemcheckbox]").filter(has_text="OpenRouter Search")
        before = switch.get_attribute("aria-checked")
        switch.click()
        page.wait_for_function(
            "before => document.querySelector('[role=menuitemcheckbox]')?.getAttribute('aria-checked') !== before",
            arg=before,
        )
        page.keyboard.press("Escape")
    else:
        page.get_by_role("button", name="OpenRouter Search").click()


def test_the_search_switch_in_the_browser(pictured: WebUIHost, provider: Provider, tmp_path: Path) -> None:
    names = {model["id"]: model["name"] for model in pictured.models()}
    before = len(provider.turns())
    with open_browser(tmp_path / "profile") as person:
        try:
            person.sign_in(pictured.url)
            person.pick_model(names[model_id("sim/web-search")])
            person.page.locator("#model-search-input").wait_for(state="detached")  # which had the keyboard
            person.ask("Say something without looking.")
            person.watch("It is X.")
            press_search(person, pictured.version)
            person.ask("Now look it up.")
            person.page.locator(".chat-assistant").nth(1).wait_for()
            person.watch("1 Source")
            person.answer.get_by_text("1 Source").click()
            person.page.get_by_text("https://example.org/t").first.wait_for()
            person.page.keyboard.press("Escape")  # 0.6.28 shows it in a window of its own
            press_search(person, pictured.version)
            person.ask("And once more without.")
            person.page.locator(".chat-assistant").nth(2).wait_for()
            person.watch("It is X.")
        finally:
            person.screenshot(venvs.ROOT / "build" / f"webui-search-{pictured.version}.png")
    turns = provider.turns()[before:]
    assert searches(turn_of(turns, "Say something without looking.")) == []
    asked = searches(turn_of(turns, "Now look it up."))
    assert asked == [{"type": "openrouter:web_search", "parameters": {"max_results": RESULTS}}]
    assert searches(turn_of(turns, "And once more without.")) == []
