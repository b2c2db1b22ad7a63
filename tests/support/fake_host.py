"""Open WebUI's behaviour towards a pipe, in process, for 0.6.28 and 0.12.4. What it does is what those hosts were seen doing.

`load` executes a function file as the host does; `FakeHost.call` injects by name, wraps every line, and consumes a chat's
stream into the stored message (items on 0.12.4, text with ``<details>`` on 0.6.28) or hands a program its raw events.
"""

from __future__ import annotations
import __future__

import html
import inspect
import json
import os
import sys
import tempfile
import types
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

from attrs import define, field

from openrouter_pipe.adapters.openwebui.host import Host

REWRITES = {f"from {word}": f"from open_webui.{word}" for word in ("utils", "apps", "main", "config")}
HOST_12 = Host(present=True, native_items=True)
HOST_06 = Host(
    present=True,
    native_items=False,
    closes_stream=False,
    renders_inputs=False,
    temporary_sources=False,
)


def modules(*, recent: bool) -> dict[str, types.ModuleType]:
    """What a running host has in `sys.modules`, as far as capabilities are read from it."""
    names = ("open_webui", "open_webui.functions", "open_webui.env", "open_webui.utils")
    found = {
        name: types.ModuleType(name) for name in (*names, "open_webui.utils.plugin", "open_webui.utils.middleware")
    }
    found["open_webui.env"].VERSION = "0.12.4" if recent else "0.6.28"
    if recent:
        found["open_webui.utils.middleware"].handle_responses_streaming_event = None
        found["open_webui.utils.plugin"].resolve_valves_schema_options = None
        found["open_webui.utils.plugin"].set_function_module_in_cache = None
    return found


def load(
    function_id: str, content: str, *, recent: bool = True, prepare: Callable[[Any], None] = lambda _: None
) -> Any:
    """The function's instance, as `load_function_module_by_id` makes it; the temporary file is gone afterwards."""
    for old, new in REWRITES.items():
        content = content.replace(old, new)
    name = f"function_{function_id}_{uuid.uuid4().hex}" if recent else f"function_{function_id}"
    module = types.ModuleType(name)
    sys.modules[name] = module
    handle, path = tempfile.mkstemp()
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(content)
        module.__dict__["__file__"] = path
        flags = __future__.annotations.compiler_flag if recent else 0
        exec(compile(content, "<string>", "exec", flags=flags, dont_inherit=True), module.__dict__)
        prepare(module)
        return module.Pipe()
    finally:
        Path(path).unlink()
        sys.modules.pop(name, None)


def get_function_module_by_id(pipe: Any, stored: dict[str, Any]) -> Any:
    """Valves before a call or a listing; the name is the host's."""
    if hasattr(pipe, "valves") and hasattr(pipe, "Valves"):
        pipe.valves = pipe.Valves(**stored)
    return pipe


def get_function_params(pipe: Any, stored: dict[str, Any]) -> Any:
    """A user's valves before a call; the name is the host's."""
    try:
        return pipe.UserValves(**stored)
    except Exception:  # noqa: BLE001 - as the host does
        return pipe.UserValves()


def update_function_valves_by_id(pipe: Any, form: dict[str, Any], *, recent: bool) -> dict[str, Any]:
    """What the host stores when an administrator saves."""
    valves = pipe.Valves(**{key: value for key, value in form.items() if value is not None})
    return valves.model_dump(exclude_unset=True) if recent else valves.model_dump()


@define
class Stored:
    """The assistant's message after a call from a chat."""

    output: list[dict[str, Any]] = field(factory=list)
    content: str = ""
    usage: dict[str, Any] | None = None
    error: Any = None
    opened_calls: list[str] = field(factory=list)

    @property
    def text(self) -> str:
        """The text that a later turn would be given."""
        if not self.output:
            return self.content
        parts = [part for item in self.output if item["type"] == "message" for part in item["content"]]
        return "\n".join(part["text"] for part in parts if part["type"] == "output_text")


@define
class FakeHost:
    """One host with one function."""

    pipe: Any
    recent: bool = True
    function_id: str = "router"
    valves: dict[str, Any] = field(factory=dict)
    user_valves: dict[str, Any] = field(factory=dict)
    events: list[dict[str, Any]] = field(factory=list)
    emit: Callable[[dict[str, Any]], Awaitable[None]] | None = None
    role: str = "user"

    async def models(self) -> list[str]:
        """The ids of GET /api/models."""
        get_function_module_by_id(self.pipe, self.valves)
        return [f"{self.function_id}.{model['id']}" for model in await self.pipe.pipes()]

    async def chat(self, text: str = "hi", **body: Any) -> Stored:
        """A turn of a saved chat, from the browser."""
        lines = await self.lines(text, chat_id="chat-1", message_id="message-1", session_id="session-1", **body)
        return _reduce_items(lines) if self.recent else _reduce_text(lines)

    async def api(self, text: str = "hi", **body: Any) -> list[Any]:
        """The events that a program receives; ``[DONE]`` as that word."""
        lines = await self.lines(text, **body)
        return [_parsed(line) for line in lines]

    async def lines(self, text: str = "hi", **options: Any) -> list[str]:
        """Every line of a streamed answer, as the host passes it on."""
        return [line async for line in self.stream(text, **options)]

    async def stream(self, text: str = "hi", **options: Any) -> AsyncGenerator[str, None]:
        """The streamed answer."""
        result = await self.call(text, stream=True, **options)
        async for line in result:
            if not isinstance(line, str):
                raise TypeError("the host takes strings")
            yield f"{line}\n\n" if line.startswith("data:") else _wrapped(line)
        if self.recent:
            yield 'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
            yield "data: [DONE]"

    async def call(self, text: str = "hi", **options: Any) -> Any:
        """Whatever the pipe returns; ids and the task travel in the metadata, everything else in the body."""
        ids = {key: options.pop(key, None) for key in ("chat_id", "message_id", "session_id", "task")}
        get_function_module_by_id(self.pipe, self.valves)
        user = {"id": "user-1", "email": "ada@example.com", "name": "Ada", "role": self.role}
        if hasattr(self.pipe, "UserValves"):
            user["valves"] = get_function_params(self.pipe, self.user_valves)
        body = {"model": f"{self.function_id}.vendor.model", "messages": [{"role": "user", "content": text}], **options}
        injected = {
            "__user__": user,
            "__metadata__": {**ids, "params": {}},
            "__event_emitter__": self.emit or self._record,
            "__task__": ids["task"],
            "__request__": None,
            "__tools__": {},
        }
        wanted = inspect.signature(self.pipe.pipe).parameters
        return await self.pipe.pipe(body=body, **{key: value for key, value in injected.items() if key in wanted})

    async def _record(self, event: dict[str, Any]) -> None:
        self.events.append(event)


def _wrapped(text: str) -> str:
    return f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': text}, 'finish_reason': None}]})}\n\n"


def _parsed(line: str) -> Any:
    text = line.removeprefix("data:").strip()
    return text if text == "[DONE]" else json.loads(text)


def _reduce_items(lines: list[str]) -> Stored:
    stored = Stored()
    for line in lines:
        event = _parsed(line)
        if event == "[DONE]":
            continue
        kind = event.get("type", "")
        if kind.startswith("response."):
            _reduce_event(stored, kind, event)
        elif event.get("error"):
            stored.error = event["error"]
    answered = {item["call_id"] for item in stored.output if item["type"] == "function_call_output"}
    stored.opened_calls = [
        item["call_id"] for item in stored.output if item["type"] == "function_call" and item["call_id"] not in answered
    ]
    if stored.output and stored.output[-1]["type"] == "message":
        part = stored.output[-1]["content"][-1]
        part["text"] = part["text"].strip()
    return stored


def _reduce_event(stored: Stored, kind: str, event: dict[str, Any]) -> None:
    output, index = stored.output, event.get("output_index", len(stored.output) - 1)
    if kind == "response.output_item.added":
        output.insert(index, event["item"])
    elif kind == "response.output_item.done":
        output[index] = event["item"]
    elif kind == "response.content_part.added":
        output[index].setdefault("content", []).append(event["part"])
    elif kind == "response.completed":
        # As 0.8 to 0.11 do it: any list replaces the items, also an empty one (0.12.4 ignores that).
        final = event["response"].get("output")
        stored.output = output if final is None else final
        if event["response"].get("usage"):
            if stored.usage is not None:
                raise AssertionError("usage is added up: it may be sent once only")
            stored.usage = event["response"]["usage"]
    elif kind.endswith(".delta"):
        where = "summary" if "summary" in kind else "content"
        parts = output[index].setdefault(where, [])
        if not parts:
            parts.append({"type": "text", "text": ""})
        parts[event.get("summary_index", event.get("content_index", 0))]["text"] += event["delta"]


def _reduce_text(lines: list[str]) -> Stored:
    stored, blocks = Stored(), []
    for line in lines:
        event = _parsed(line)
        if event == "[DONE]":
            continue
        if not event.get("choices"):
            stored.usage = event.get("usage") or stored.usage
            continue  # an error without choices is shown and forgotten
        delta = event["choices"][0].get("delta") or {}
        stored.opened_calls.extend(call["id"] for call in delta.get("tool_calls") or [])
        for kind in ("reasoning_content", "content"):
            if delta.get(kind):
                if not blocks or blocks[-1][0] != kind:
                    blocks.append([kind, ""])
                blocks[-1][1] += delta[kind]
    for kind, text in blocks:
        if kind == "content":
            stored.content += text.strip() + "\n"
        else:
            quoted = "\n".join(f"> {part}" for part in text.splitlines())
            stored.content += f'<details type="reasoning" done="true" duration="0">\n{quoted}\n</details>\n'
    stored.content = stored.content.strip()
    return stored


def unescaped(attribute: str) -> Any:
    """What an attribute of a ``<details>`` block stands for."""
    return json.loads(html.unescape(attribute))
