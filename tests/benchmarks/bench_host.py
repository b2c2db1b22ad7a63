"""The place the pipe is measured in: a process as large as Open WebUI's, that loads and calls the function as it does.

Nothing of openrouter-pipe is imported here: what is measured is the one file that users install.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import importlib.util
import inspect
import json
import os
import sys
import tempfile
import time
import types
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
from bench_streams import SCENARIOS, STAMP, STAMPED, answer

FUNCTION_ID = "openrouter"
# What an Open WebUI process has loaded before any function is, as far as it is installed here.
HOST_LIBRARIES = (
    "aiohttp", "anyio", "attrs", "cryptography.fernet", "httpx", "h2", "orjson", "pydantic.main", "pydantic.types",
    "pydantic.functional_validators", "redis.asyncio", "rich",
    "sqlalchemy", "sqlalchemy.ext.asyncio", "starlette.responses", "uvicorn", "requests", "PIL",
)  # fmt: skip


def pretend_to_be_a_host() -> None:
    """Leave the traces by which the pipe knows Open WebUI 0.12."""
    for name in ("open_webui", "open_webui.functions", "open_webui.env", "open_webui.utils", "open_webui.utils.plugin"):
        sys.modules.setdefault(name, types.ModuleType(name))
    middleware = types.ModuleType("open_webui.utils.middleware")
    middleware.handle_responses_streaming_event = None
    sys.modules["open_webui.utils.middleware"] = middleware
    sys.modules["open_webui.env"].VERSION = "0.12.4"
    plugin = sys.modules["open_webui.utils.plugin"]
    plugin.resolve_valves_schema_options = plugin.set_function_module_in_cache = None
    _keep_files()


def _keep_files() -> None:
    """The host's file storage, as far as the pipe uses it; it reads what it is given and forgets it."""

    class Users:
        @staticmethod
        async def get_user_by_id(user_id: str) -> Any:
            return types.SimpleNamespace(id=user_id, role="user")

    async def upload_file_handler(request: Any, *, file: Any, metadata: Any, process: bool, user: Any) -> Any:
        size = await asyncio.to_thread(lambda: len(file.file.read()))
        return {"id": f"file-{size}"}

    class UploadFile:
        def __init__(self, file: Any, *, filename: str, headers: Any) -> None:
            self.file, self.filename, self.headers = file, filename, headers

    contents: dict[str, dict[str, Any]] = {
        "open_webui.models": {},
        "open_webui.models.users": {"Users": Users},
        "open_webui.models.chats": {"Chats": object()},
        "open_webui.routers": {},
        "open_webui.routers.files": {"upload_file_handler": upload_file_handler},
    }
    if importlib.util.find_spec("starlette") is None:
        contents |= {"starlette": {}, "starlette.datastructures": {"Headers": dict, "UploadFile": UploadFile}}
    for name, members in contents.items():
        module = types.ModuleType(name)
        module.__dict__.update(members)
        sys.modules[name] = module


def load_libraries() -> None:
    """Import what the host has imported anyway."""
    for name in HOST_LIBRARIES:
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    with contextlib.suppress(
        ImportError
    ):  # the first model of a process makes pydantic look for plug-ins, the host's does
        importlib.import_module("pydantic").create_model("Hosts", id=(str, ""))


def load_function(path: Path) -> Any:
    """The instance of ``Pipe`` that 0.12 makes of a function file."""
    source = path.read_text(encoding="utf-8")
    for word in ("utils", "apps", "main", "config"):
        source = source.replace(f"from {word}", f"from open_webui.{word}")
    name = f"function_{FUNCTION_ID}_{uuid.uuid4().hex}"
    module = types.ModuleType(name)
    sys.modules[name] = module
    with tempfile.NamedTemporaryFile("w", suffix=".py", encoding="utf-8") as file:
        file.write(source)
        file.flush()
        module.__dict__["__file__"] = file.name
        exec(source, module.__dict__)
    return module.__dict__["Pipe"]()


def heap(megabytes: int) -> list[Any]:
    """Long-lived objects of that size, in the mixture of a Python server: small dicts, lists and strings."""
    gc.disable()
    kept: list[Any] = []
    target = resident() + megabytes * 1024 * 1024
    number = 0
    while megabytes and resident() < target:
        kept += [
            {"id": f"item-{number + step}", "tags": [step, str(step)], "meta": {"owner": f"user-{step}", "size": step}}
            for step in range(5000)
        ]
        number += 5000
    gc.enable()
    gc.collect()
    return kept


def resident() -> int:
    """Resident memory in bytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class Collections:
    """Pauses of the garbage collector, in milliseconds, since `clear`."""

    def __init__(self) -> None:
        self.pauses: list[tuple[int, float]] = []
        self._began = 0.0
        gc.callbacks.append(self._note)

    def clear(self) -> None:
        """Forget, and start from a clean heap."""
        gc.collect()
        self.pauses.clear()

    @property
    def longest(self) -> float:
        """The longest pause, 0 if there was none."""
        return max((pause for _, pause in self.pauses), default=0.0)

    @property
    def full(self) -> int:
        """How many collections went through the whole heap."""
        return sum(generation == 2 for generation, _ in self.pauses)

    def _note(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.pauses.append((info["generation"], (time.perf_counter() - self._began) * 1000))


class Caller:
    """Calls a pipe as the host does, from a chat (``ui``) or for a program."""

    def __init__(self, pipe: Any, base_url: str) -> None:
        self.pipe = pipe
        self.stored = {"BASE_URL": base_url, "API_KEY": "sk-or-bench", "MAX_CONCURRENT_REQUESTS": 2000}
        self.emitted = 0

    async def call(
        self,
        scenario: str,
        messages: list[dict[str, Any]] | None = None,
        *,
        ui: bool = False,
        tools: dict[str, Any] | None = None,
        chat_id: str = "chat-1",
    ) -> Any:
        """What ``Pipe.pipe`` returns; valves are made anew before, as the host does."""
        self.pipe.valves = self.pipe.Valves(**self.stored)
        body: dict[str, Any] = {
            "model": f"{FUNCTION_ID}.bench.{scenario}",
            "messages": messages or [{"role": "user", "content": "Say what you were told to say."}],
            "stream": True,
        }
        if tools:
            body["tools"] = [{"type": "function", "function": tool["spec"]} for tool in tools.values()]
        ids = {"chat_id": chat_id, "message_id": "message-1", "session_id": "session-1"} if ui else {}
        user = {"id": "user-1", "email": "ada@example.com", "name": "Ada", "role": "user"}
        offered = {
            "body": body,
            "__user__": {**user, "valves": self.pipe.UserValves()},
            "__metadata__": {"user_id": "user-1", **ids, "params": {"function_calling": "native"}, "features": {}},
            "__event_emitter__": self._emit if ui else None,
            "__tools__": tools or {},
            "__chat_id__": ids.get("chat_id"),
        }
        wanted = inspect.signature(self.pipe.pipe).parameters
        return await self.pipe.pipe(**{name: value for name, value in offered.items() if name in wanted})

    async def lines(self, scenario: str, *args: Any, **options: Any) -> list[str]:
        """The whole answer."""
        return [line async for line in await self.call(scenario, *args, **options)]

    async def _emit(self, event: dict[str, Any]) -> None:
        self.emitted += 1


def parsed(lines: list[str]) -> list[dict[str, Any]]:
    """The JSON of the lines."""
    return [orjson.loads(line[5:]) for line in lines if line.startswith("data:") and "[DONE]" not in line[:16]]


def text_of(lines: list[str]) -> tuple[str, str]:
    """Text and reasoning as the host would put them together."""
    text: list[str] = []
    reasoning: list[str] = []
    for event in parsed(lines):
        kind = event.get("type", "")
        if kind.endswith("output_text.delta"):
            text.append(event["delta"])
        elif kind.endswith(".delta"):
            reasoning.append(event["delta"])
        for choice in event.get("choices", ()):
            text.append(choice["delta"].get("content") or "")
            reasoning.append(choice["delta"].get("reasoning_content") or "")
    return "".join(text), "".join(reasoning)


def difference(scenario: str, lines: list[str]) -> str:
    """Empty if the lines say what was sent, else what differs. Notes of ours may follow the text (markers)."""
    text, reasoning = text_of(lines)
    sent = answer(scenario, SCENARIOS[scenario].tools)
    if SCENARIOS[scenario].stamped:
        text = STAMPED.sub(STAMP, text)
    if scenario == "image":  # the picture stands before the text
        text = text[text.rfind(")") + 1 :].lstrip()
    for what, got, expected in (("text", text, sent.text), ("reasoning", reasoning, sent.reasoning)):
        rest = got[len(expected) :].strip()
        if got[: len(expected)] != expected or (rest and not rest.startswith("[")):
            at = next(
                (i for i, (a, b) in enumerate(zip(got, expected, strict=False)) if a != b), min(len(got), len(expected))
            )
            return f"{scenario}: {what} differs at {at} of {len(expected)}: {got[at : at + 60]!r}; {failure(lines)}"
    return ""


def failure(lines: list[str]) -> str:
    """The error among the lines, for a message."""
    errors = [event["error"] for event in parsed(lines) if event.get("error")]
    return json.dumps(errors[0])[:300] if errors else ""


def text_line(line: str) -> bool:
    """Whether a line carries answer text."""
    return '"content":"' in line or "output_text.delta" in line


async def read_until_text(lines: AsyncIterator[str]) -> str:
    """The first line with text."""
    async for line in lines:
        if text_line(line):
            return line
    return ""


def run(main: Callable[[], Any], *, plain: bool = False) -> Any:
    """Run in the host's event loop; ``plain`` asks for asyncio's own."""
    factory = None if plain else loop_factory()
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, as uvicorn takes it, where it is installed."""
    try:
        return importlib.import_module("uvloop").new_event_loop
    except ImportError:
        return None
