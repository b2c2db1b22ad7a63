"""Metrics of several real processes over one folder: the page of `openrouter-pipe metrics` adds up to what was done."""

from __future__ import annotations

import asyncio
import re
import sys
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

from openrouter_pipe.adapters.observability import prometheus
from openrouter_pipe.adapters.simulator.app import create_app
from openrouter_pipe.adapters.simulator.config import SimulatorConfig
from openrouter_pipe.adapters.simulator.server import serve

ROOT = Path(__file__).parents[2]
needs_library = pytest.mark.skipif(not prometheus.is_available(), reason="prometheus-client is not installed")

WORKER = """
import asyncio, sys
from openrouter_pipe.composition.pipe import PipeContainer, PipeServices
from openrouter_pipe.ports.chat import ChatMessage, ChatRequest, Identity
from openrouter_pipe.ports.items import Role, TextPart
from openrouter_pipe.ports.settings import read_settings

async def run():
    provider, folder, turns = sys.argv[1:]
    container = PipeContainer()
    container.environment.override({"DATA_DIR": folder, "OPENROUTER_PIPE_METRICS_DIR": folder + "/metrics"})
    services = PipeServices(container)
    settings = read_settings({"BASE_URL": provider, "API_KEY": "sk-or-v1-workers", "BREAKER_MAX_FAILURES": 50})
    async def turn(model):
        request = ChatRequest(model=model, messages=(ChatMessage(Role.USER, (TextPart("Hi"),)),), settings=settings,
                              request_id="r", identity=Identity("u", "s", "c", "m"))
        return [event async for event in services.chat.respond(request)]
    for _ in range(int(turns)):
        await turn("openai.gpt-5")
    await turn("no.such-model")
    container.gauges().tell()
    await asyncio.to_thread(container.metrics().write)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await services.close()

asyncio.run(run())
"""


def scraped(url: str) -> dict[str, float]:
    """The sums over the workers, by sample name and labels other than worker."""
    from prometheus_client.parser import text_string_to_metric_families

    with urllib.request.urlopen(url) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    sums: Counter[str] = Counter()
    for family in families:
        for sample in family.samples:
            assert sample.labels["pipe"] == "openrouter"
            labels = [value for name, value in sorted(sample.labels.items()) if name not in {"pipe", "worker", "le"}]
            sums["/".join([sample.name.removeprefix(prometheus.PREFIX), *labels])] += sample.value
    return dict(sums)


@needs_library
async def test_two_processes_add_up(tmp_path: Path) -> None:
    async with serve(create_app(SimulatorConfig())) as simulator:
        pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
        workers = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-c", WORKER, simulator.url, str(tmp_path), str(turns), **pipes
            )
            for turns in (2, 3)
        ]
        for worker in workers:
            assert worker.stdout is not None
            assert (await worker.stdout.readline()).strip() == b"ready"
        program = Path(sys.executable).parent / "openrouter-pipe"
        page = await asyncio.create_subprocess_exec(
            str(program), "metrics", "--dir", str(tmp_path / "metrics"), "--port", "0", **pipes
        )
        assert page.stdout is not None
        url = (await page.stdout.readline()).decode().split()[-1]
        assert url.startswith("http://127.0.0.1:")
        try:
            sums = await asyncio.to_thread(scraped, url)
            ends = await asyncio.gather(*(worker.communicate(b"\n") for worker in workers))
            after = await asyncio.to_thread(scraped, url)
        finally:
            page.kill()
            await page.wait()
        assert [worker.returncode for worker in workers] == [0, 0], ends
    assert sums["turns_total/chat/completed"] == 5
    failed = {name: value for name, value in sums.items() if name.startswith("turns_total") and "completed" not in name}
    assert list(failed.values()) == [2]
    assert sums["time_to_first_event_seconds_count/chat"] == 5
    assert sums["turn_seconds_count/chat"] == 7
    assert sums["tokens_total/input"] > 0
    assert sums["cost_usd_total"] > 0
    assert (sums["turns_running"], sums["turns_waiting"]) == (0, 0)
    assert sums["breakers_open/request"] == sums["breakers_open/tool"] == sums["breakers_open/store"] == 0
    assert 0 < sums["catalog_age_seconds"] < 120
    assert after == {}, "workers that ended take their numbers with them"


def test_every_metric_in_the_code_has_a_name_in_the_documents() -> None:
    used = set()
    for folder in ("domain", "adapters", "composition"):
        for path in (ROOT / folder).rglob("*.py"):
            used |= set(re.findall(r"metrics\.(?:count|gauge|observe)\(\s*\"(\w+)\"", path.read_text("utf-8")))
    assert used == set(prometheus.HELP)
