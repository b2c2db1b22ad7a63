"""The simulator's icons: every model has one, of every kind there is, and the pipe can show each of them."""

from __future__ import annotations

import base64
import io

import httpx
import pytest

from openrouter_pipe.adapters.memory import ManualClock
from openrouter_pipe.adapters.simulator.app import create_app
from openrouter_pipe.adapters.simulator.config import SimulatorConfig
from openrouter_pipe.adapters.simulator.transport import SimulatorTransport
from openrouter_pipe.adapters.web import IconPlace, WebIcons
from openrouter_pipe.adapters.web.rendering import has_renderer
from openrouter_pipe.ports.files import FetchPolicy, FileAccessError, FileBytes


class FromSimulator:
    """`RemoteFetcher` that asks the simulator in process."""

    def __init__(self) -> None:
        self.kinds: dict[str, str] = {}
        self._client = httpx.AsyncClient(transport=SimulatorTransport(create_app(SimulatorConfig())))

    async def fetch(self, url: str, policy: FetchPolicy) -> FileBytes:
        reply = await self._client.get(url)
        if reply.status_code != 200:
            raise FileAccessError("not there")
        self.kinds[url] = reply.headers["content-type"]
        return FileBytes(reply.content, reply.headers["content-type"])


async def test_every_model_has_an_icon_that_the_pipe_can_show() -> None:
    image = pytest.importorskip("PIL.Image")
    fetcher, app = FromSimulator(), create_app(SimulatorConfig())
    place = IconPlace("http://simulator/api/frontend/models", FetchPolicy(1_000_000))
    models = [model["id"] for model in app.catalogue.models]
    found = await WebIcons(fetcher, lambda: place, ManualClock()).icons(models)
    drawn = {"openai", "anthropic", "google", "x-ai"} if not has_renderer() else set()
    assert set(found) == {one for one in models if one.partition("/")[0].lstrip("~") not in drawn}
    assert set(fetcher.kinds.values()) == {
        "application/json", "image/svg+xml", "image/png", "image/jpeg", "image/webp"
    }  # fmt: skip
    for url in set(found.values()):
        with image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as picture:
            assert picture.convert("RGBA").getchannel("A").getextrema()[1] == 255
    assert len(set(found.values())) > 20


@pytest.mark.parametrize(
    "path", ["/images/icons/", "/images/icons/qwen.png", "/images/icons/../qwen.jpg", "/images/x.png"]
)
async def test_other_paths_are_not_found(path: str) -> None:
    with pytest.raises(FileAccessError):
        await FromSimulator().fetch(f"http://simulator{path}", FetchPolicy(1))
