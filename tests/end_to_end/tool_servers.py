"""Tools for the end-to-end tests that count how often they really ran: in Python, behind HTTP, behind MCP, in a tab.

Here: the tools, their servers on loopback, and a tab that answers for direct tools and approvals as the browser does.
Not here: assertions, and installing any of it (``test_tools_end_to_end.py``).
"""

import asyncio
import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import venvs
from webui_host import HostError, WebUIHost, free_port
from webui_tab import JsonDict, WebUITab

_PYTHON_TOOL = '''
"""
title: Dice
"""
import asyncio


class Tools:
    async def roll_dice(self, sides: int, __user__: dict = {{}}) -> str:
        """
        Rolls a die.

        :param sides: how many sides it has
        """
        await asyncio.sleep({seconds})
        with open({log!r}, "a") as log:
            log.write(f"{{sides}} for {{__user__.get('role')}}\\n")
        return f"the die with {{sides}} sides shows four"

    async def weather(self, city: str) -> str:
        """
        Tells the weather.

        :param city: which city
        """
        await asyncio.sleep({seconds})
        with open({log!r}, "a") as log:
            log.write(city + "\\n")
        return f"fog in {{city}}"
'''

_MCP_SERVER = """
import asyncio
import sys

from mcp.server import MCPServer

server = MCPServer("counter")


def count(word):
    with open(sys.argv[2], "a") as log:
        log.write(word + "\\n")


@server.tool()
def add_up(first: int, second: int) -> str:
    "Adds two numbers."
    count("add_up")
    return f"the sum is {first + second}"


@server.tool()
async def sleep_long() -> str:
    "Sleeps for a minute."
    count("sleep_long")
    await asyncio.sleep(60)
    return "awake"


server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
"""

WEATHER_PARAMETERS: JsonDict = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "which city"}},
    "required": ["city"],
}


class Counter:
    """What a tool in another process wrote down, one line for each run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def runs(self) -> list[str]:
        """The lines so far."""
        return self.path.read_text().splitlines() if self.path.exists() else []


def python_tool(counter: Counter, seconds: float = 0) -> str:
    """The source of a tool for the host's workspace; ``seconds`` is how long it takes."""
    return _PYTHON_TOOL.format(log=str(counter.path), seconds=seconds).lstrip()


class WeatherServer:
    """An OpenAPI tool server with one operation, ``get_weather``; a context manager."""

    def __init__(self) -> None:
        self.calls: list[JsonDict] = []
        weather = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._send(200, weather.openapi) if self.path == "/openapi.json" else self._send(404, {})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
                weather.calls.append(body)
                self._send(200, {"forecast": f"it rains in {body.get('city')}"})

            def _send(self, status: int, value: Any) -> None:
                data = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def openapi(self) -> JsonDict:
        """The description that hosts and browsers read."""
        operation = {
            "operationId": "get_weather",
            "summary": "Tells the weather.",
            "requestBody": {"required": True, "content": {"application/json": {"schema": WEATHER_PARAMETERS}}},
            "responses": {"200": {"description": "the forecast"}},
        }
        info = {"title": "Weather", "version": "1"}
        return {"openapi": "3.1.0", "info": info, "paths": {"/weather": {"post": operation}}}

    def as_direct(self) -> JsonDict:
        """The entry that a browser sends with a chat for a server of its own user."""
        spec = {"name": "get_weather", "description": "Tells the weather.", "parameters": WEATHER_PARAMETERS}
        return {"url": self.url, "openapi": self.openapi, "info": self.openapi["info"], "specs": [spec]}

    def __enter__(self) -> "WeatherServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class McpProcess:
    """An MCP server with the tools ``add_up`` and ``sleep_long``, in a process of its own."""

    def __init__(self, counter: Counter) -> None:
        self.counter = counter
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/mcp"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts and waits until it listens."""
        # Open WebUI brings the MCP library; the tests' own environment does without.
        python = venvs.venv_python(venvs.venv_path(venvs.MAIN_VERSION))
        self._process = subprocess.Popen(
            [str(python), "-c", _MCP_SERVER, str(self.port), str(self.counter.path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(self.url, timeout=2, trust_env=False)
                return
            time.sleep(0.1)
        raise HostError("the MCP server did not come up")

    def kill(self) -> None:
        """Ends it without a good-bye."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def mcp_process(counter: Counter) -> Iterator[McpProcess]:
    """A running `McpProcess`."""
    process = McpProcess(counter)
    process.start()
    try:
        yield process
    finally:
        process.kill()


class ToolTab(WebUITab):
    """A tab that runs direct tools for the server and answers its questions; ``approves`` is what the user says."""

    def __init__(self, host: WebUIHost, *, approves: bool = True) -> None:
        super().__init__(host)
        self.approves = approves
        self.asked: list[JsonDict] = []

    async def _hear(self, event: JsonDict, *rest: Any) -> Any:
        await super()._hear(event, *rest)
        data = event.get("data") or {}
        match data.get("type"):
            case "execute:tool":
                return await self._execute(data["data"])
            case "confirmation":
                self.asked.append(data["data"])
                return self.approves
            case _:
                return True

    async def _execute(self, call: JsonDict) -> Any:
        if call.get("session_id") != self.session_id:
            await asyncio.sleep(3600)  # another tab's business: the browser does not answer at all
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            reply = await client.post(f"{call['server']['url']}/weather", json=call["params"])
        if self.host.profile.server_keeps_history:
            return [reply.json(), dict(reply.headers)]
        return reply.json()
