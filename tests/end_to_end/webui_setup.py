"""What the tests and ``make webui`` both need: a provider to talk to, and the bundle installed in a host.

Here: starting the simulator as the provider, reading what it saw, uploading the bundle and its valves.
Not here: the server (``webui_host.py``).
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import venvs
from webui_host import HostError, WebUIHost

from openrouter_pipe.adapters.simulator.app import create_app
from openrouter_pipe.adapters.simulator.config import SimulatorConfig, find_schema
from openrouter_pipe.adapters.simulator.server import SimulatorServer

FUNCTION_ID = "openrouter"
FUNCTION_NAME = "OpenRouter"
SIMULATOR_KEY = "sk-or-v1-simulator-end-to-end"

# The simulator speaks http on a loopback address, from which nothing is downloaded unless all three say so.
SIMULATOR_ICONS: dict[str, Any] = {
    "ENABLE_SSRF_PROTECTION": False,
    "ALLOW_INSECURE_HTTP": True,
    "ALLOW_INSECURE_HTTP_HOSTS": "127.0.0.1",
}


class Provider:
    """The simulator behind the pipe, and what it saw of the requests."""

    def __init__(self, server: SimulatorServer) -> None:
        self.url = server.url
        self._origin = server.origin
        self._http = httpx.Client(trust_env=False, timeout=10)

    def requests(self) -> list[dict[str, Any]]:
        """Every request since the start, oldest first; a turn's has ``aborted`` once its client has gone early."""
        found = self._http.get(f"{self._origin}/simulator/requests").raise_for_status().json()
        return list(found["requests"] if isinstance(found, dict) else found)

    def turns(self) -> list[dict[str, Any]]:
        """The requests for an answer, without catalogue reads."""
        return [seen for seen in self.requests() if str(seen["path"]).endswith(("/responses", "/chat/completions"))]

    def close(self) -> None:
        """Closes the client; the simulator is its owner's to stop."""
        self._http.close()


@contextlib.contextmanager
def simulated_provider() -> Iterator[Provider]:
    """The simulator on a loopback socket, in a thread of this process; checks requests against the published schema."""
    config = SimulatorConfig(schema_path=find_schema(), max_recorded=100_000)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="simulator", daemon=True)
    thread.start()
    try:
        server = SimulatorServer(create_app(config))
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(30)
        provider = Provider(server)
        try:
            yield provider
        finally:
            provider.close()
            asyncio.run_coroutine_threadsafe(server.stop(), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def bundle_text() -> str:
    """The source of the function file under test."""
    if not venvs.BUNDLE.exists():
        raise HostError(f"{venvs.BUNDLE.relative_to(venvs.ROOT)} is missing: run `make bundle`")
    return venvs.BUNDLE.read_text(encoding="utf-8")


def install_pipe(host: WebUIHost, valves: dict[str, Any]) -> None:
    """Uploads the bundle as function ``openrouter``, sets its valves and switches it on."""
    host.install_function(FUNCTION_ID, bundle_text(), name=FUNCTION_NAME)
    host.set_valves(FUNCTION_ID, valves)


def model_id(provider_id: str) -> str:
    """The id that Open WebUI gives a provider's model: ``vendor/name`` becomes ``openrouter.vendor.name``."""
    return f"{FUNCTION_ID}.{provider_id.replace('/', '.')}"
