"""A provider of plain bytes on loopback, and the pipe in a host before it: nothing of the simulator's understanding is shared.

Lives here: the server, the wiring, and the few events that tests put together. Not here: any expectation.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from fake_host import HOST_06, HOST_12, FakeHost
from openrouter_pipe.adapters.openwebui import make_pipe_class
from openrouter_pipe.composition.pipe import PipeContainer, PipeServices

KEY = "sk-or-v1-00112233445566778899aabbccddeeff"
MODEL = {
    "id": "vendor/model",
    "name": "M",
    "supported_parameters": ["tools", "reasoning", "max_tokens"],
    "pricing": {"prompt": "1"},
    "context_length": 100_000,
    "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
}
"""What is listed unless a test says otherwise."""


def message(text: str, index: int = 0) -> list[dict[str, Any]]:
    """The events of a message that comes in one delta."""
    part = {"type": "output_text", "text": text, "annotations": []}
    item = {"type": "message", "id": f"m{index}", "role": "assistant", "status": "completed", "content": [part]}
    where = {"item_id": f"m{index}", "output_index": index, "content_index": 0}
    return [
        {"type": "response.output_item.added", "output_index": index, "item": {**item, "content": []}},
        {"type": "response.output_text.delta", **where, "delta": text},
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


def call(name: str, arguments: str, index: int = 0) -> list[dict[str, Any]]:
    """The events of a function call."""
    item = {"type": "function_call", "id": f"fc{index}", "call_id": f"call_{index}", "name": name}
    done = {**item, "arguments": arguments, "status": "completed"}
    return [
        {"type": "response.output_item.added", "output_index": index, "item": {**done, "arguments": ""}},
        {"type": "response.output_item.done", "output_index": index, "item": done},
    ]


def ended(*events: Iterable[dict[str, Any]], **response: Any) -> bytes:
    """These events and a good end, as they stand on the wire."""
    flat = [event for group in events for event in group]
    output = [event["item"] for event in flat if event["type"] == "response.output_item.done"]
    end = {
        "type": "response.completed",
        "response": {"id": "gen-1", "status": "completed", "output": output, **response},
    }
    return wire(*flat, end)


def wire(*events: object) -> bytes:
    """Events as server-sent ones; bytes stand for themselves."""
    return b"".join(
        b"data: " + (one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n\n" for one in events
    )


class RawProvider:
    """Answers questions with the given bytes, the last of them again and again, and keeps what was asked."""

    def __init__(self, *streams: bytes, models: Iterable[dict[str, Any]] = (MODEL,)) -> None:
        self.streams = list(streams)
        self.models = list(models)
        self.asked: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = next((line[15:] for line in head.lower().split("\r\n") if line.startswith("content-length:")), "0")
            body = await reader.readexactly(int(length))
            if head.startswith("POST"):
                self.paths.append(head.split(" ")[1])
                self.asked.append(json.loads(body))
                kind, content = "text/event-stream", self.streams.pop(0) if self.streams[1:] else self.streams[0]
            else:
                kind, content = "application/json", json.dumps({"data": self.models}).encode()
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n".encode() + content)
            await writer.drain()
        writer.close()


class RawHost(FakeHost):
    """A host before a `RawProvider`; ``tools`` are handed over with every call from a chat."""

    provider: RawProvider
    tools: dict[str, Any]
    browser: list[Any]

    def tool(self, name: str, function: Any, schema: Any = None) -> None:
        spec = {"name": name, "description": "does", "parameters": schema or {"type": "object", "properties": {}}}
        self.tools[name] = {"tool_id": name, "callable": function, "spec": spec}

    async def call(self, text: str = "hi", **options: Any) -> Any:
        if not self.tools:
            return await super().call(text, **options)
        ids = {key: options.pop(key, None) for key in ("chat_id", "message_id", "session_id", "task")}
        self.pipe.valves = self.pipe.Valves(**self.valves)
        body = {
            "model": f"{self.function_id}.vendor.model",
            "messages": [{"role": "user", "content": text}],
            "tools": [{"type": "function", "function": tool["spec"]} for tool in self.tools.values()],
            **options,
        }
        return await self.pipe.pipe(
            body=body,
            __user__={"id": "user-1", "email": "ada@example.com", "name": "Ada", "role": "user"},
            __metadata__={**ids, "params": {"function_calling": "native"}, "tools": self.tools},
            __event_emitter__=self._record,
            __event_call__=self._browser,
            __tools__=self.tools,
        )

    async def _browser(self, event: dict[str, Any]) -> Any:
        self.browser.append(event)
        return {"error": "nobody there"}


@asynccontextmanager
async def raw_host(
    *streams: bytes, recent: bool = True, models: Iterable[dict[str, Any]] = (MODEL,), **valves: Any
) -> AsyncIterator[RawHost]:
    """A host whose pipe asks a provider that sends these bytes."""
    made: list[PipeServices] = []

    def build(_: str) -> PipeServices:
        made.append(PipeServices(PipeContainer()))
        return made[-1]

    name = "function_router_" + "0" * 32 if recent else "function_router"
    provider = RawProvider(*streams, models=models)
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    provider.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/v1"
    quiet = dict.fromkeys(("UPDATE_MODEL_IMAGES", "UPDATE_MODEL_CAPABILITIES", "AUTO_INSTALL_ORS_FILTER"), False)
    settings = {"API_KEY": KEY, "BASE_URL": provider.url, **quiet, **valves}
    host = RawHost(
        make_pipe_class(build, name, lambda: HOST_12 if recent else HOST_06)(), recent=recent, valves=settings
    )
    host.provider, host.tools, host.browser = provider, {}, []
    async with server:
        try:
            yield host
        finally:
            for services in made:
                await services.close()
