"""What every `IconSource` does alike: the one over downloads, and the twin in memory."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest
from attrs import frozen

from openrouter_pipe.adapters.memory import ManualClock, MemoryFetcher, MemoryIcons
from openrouter_pipe.adapters.web import WebIcons
from openrouter_pipe.adapters.web.icons import IconPlace
from openrouter_pipe.ports.files import FetchPolicy, FileAccessError, FileBytes
from openrouter_pipe.ports.host_models import IconSource

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
LIST = "https://openrouter.example/models"
POLICY = FetchPolicy(1_000_000)


@frozen
class World:
    """A source that has an icon for ``a/one`` and ``a/two``, and how to take everything away from it."""

    source: IconSource
    lose: Callable[[], object]


def _in_memory() -> World:
    icons = MemoryIcons()
    icons.urls.update({name: f"data:image/png;base64,{base64.b64encode(PNG).decode()}" for name in ("a/one", "a/two")})
    return World(icons, icons.urls.clear)


def _downloaded() -> World:
    entries = [{"slug": name, "icon": {"url": "https://openrouter.example/icon.png"}} for name in ("a/one", "a/two")]
    entries.append({"slug": "a/broken", "icon": {"url": "https://openrouter.example/broken.png"}})
    pages: dict[str, FileBytes | FileAccessError] = {
        LIST: FileBytes(json.dumps({"data": entries}).encode(), "application/json", "models"),
        "https://openrouter.example/icon.png": FileBytes(PNG, "image/png", "icon.png"),
        "https://openrouter.example/broken.png": FileBytes(b"<html>", "image/png", "broken.png"),
    }
    fetcher, clock = MemoryFetcher(pages), ManualClock()

    def lose() -> None:
        fetcher.pages.clear()
        clock.advance(48 * 3600.0)

    return World(WebIcons(fetcher, lambda: IconPlace(LIST, POLICY), clock), lose)


@pytest.fixture(params=[_in_memory, _downloaded], ids=["memory", "web"])
def world(request: pytest.FixtureRequest) -> World:
    made: World = request.param()
    return made


async def test_icons_are_small_pictures_by_model(world: World) -> None:
    found = await world.source.icons(["a/one", "a/two"])
    assert set(found) == {"a/one", "a/two"}
    for url in found.values():
        assert url.startswith("data:image/png;base64,")
        assert base64.b64decode(url.partition(",")[2]).startswith(b"\x89PNG")


async def test_only_what_was_asked_for_and_is_there(world: World) -> None:
    assert set(await world.source.icons(["a/two", "b/none", "a/broken"])) == {"a/two"}
    assert dict(await world.source.icons([])) == {}


async def test_nothing_is_raised_when_everything_is_gone(world: World) -> None:
    world.lose()
    assert dict(await world.source.icons(["a/one"])) == {}
