"""`make run`: the built bundle, loaded exactly as Open WebUI loads it, answers a two-turn chat.

The point is that nothing here is special to this command: the function file is executed from a string with the host's
own text replacements, its class is instantiated inside a running loop, valves are assigned before the call, the call gets
a body and metadata as the host gives them, and what is printed is parsed back from the lines that the host would stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import secrets
import sys
import tempfile
import types
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from openrouter_pipe.adapters.simulator.app import create_app
from openrouter_pipe.adapters.simulator.config import SimulatorConfig, find_schema
from openrouter_pipe.adapters.simulator.server import SimulatorServer
from openrouter_pipe.adapters.terminal import printable
from openrouter_pipe.composition.cli_console import make_console

FUNCTION_ID: Final = "openrouter"
_REPLACEMENTS: Final = (
    ("from utils", "from open_webui.utils"),
    ("from apps", "from open_webui.apps"),
    ("from main", "from open_webui.main"),
    ("from config", "from open_webui.config"),
)
_QUESTIONS: Final = ("Please remember the word lighthouse.", "Which word did I ask you to remember?")


def load_function(path: Path, function_id: str = FUNCTION_ID) -> Any:
    """Execute a function file as Open WebUI 0.12 does and return an instance of its ``Pipe``."""
    source = path.read_text(encoding="utf-8")
    for old, new in _REPLACEMENTS:
        source = source.replace(old, new)
    name = f"function_{function_id}_{secrets.token_hex(16)}"
    module = types.ModuleType(name)
    sys.modules[name] = module
    with tempfile.NamedTemporaryFile("w", suffix=".py", encoding="utf-8") as file:
        file.write(source)
        file.flush()
        module.__dict__["__file__"] = file.name
        exec(source, module.__dict__)  # noqa: S102 - this is what the host does
    return module.__dict__["Pipe"]()


async def ask(pipe: Any, model: str, messages: list[dict[str, str]], show: Callable[[str, str], None]) -> str:
    """One streamed turn as an API caller of Open WebUI sees it; returns the answer's text."""
    body = {"model": f"{FUNCTION_ID}.{model}", "stream": True, "messages": messages}
    offered = {
        "body": body,
        "__user__": {"id": "run", "name": "Run", "email": "run@localhost", "role": "admin"},
        "__metadata__": {"chat_id": "", "message_id": None, "session_id": None, "params": {}},
    }
    names = inspect.signature(pipe.pipe).parameters
    result = pipe.pipe(**{name: offered.get(name) for name in names})
    if inspect.isawaitable(result):
        result = await result
    said: list[str] = []
    async with contextlib.aclosing(_lines(result)) as lines:
        async for chunk in lines:
            if "error" in chunk:
                show("error", json.dumps(chunk["error"]))
            for choice in chunk.get("choices", ()):
                delta = choice.get("delta", {})
                if thought := delta.get("reasoning_content"):
                    show("reasoning", thought)
                if text := delta.get("content"):
                    said.append(text)
                    show("text", text)
            if usage := chunk.get("usage"):
                show("usage", _usage_line(usage))
    show("end", "")
    return "".join(said)


async def _lines(result: Any) -> AsyncGenerator[dict[str, Any], None]:
    if isinstance(result, str):
        yield {"choices": [{"delta": {"content": result}}]}
        return
    async for item in result:
        if isinstance(item, dict):
            yield item
        elif isinstance(item, str) and item.startswith("data:"):
            payload = item.removeprefix("data:").strip()
            if payload != "[DONE]":
                yield json.loads(payload)
        elif item:
            yield {"choices": [{"delta": {"content": str(item)}}]}


def _usage_line(usage: Mapping[str, Any]) -> str:
    cost = usage.get("cost")
    return f"tokens: {usage.get('total_tokens', 0)}" + (f", cost: ${cost:.6f}" if cost else "")


class _Printer:
    """Writes the stream as it comes: reasoning dim, text plain."""

    _STYLES: Final = {"reasoning": "dim italic", "text": "", "usage": "dim green", "error": "red"}

    def __init__(self, console: Console) -> None:
        self._console = console
        self._kind = ""

    def __call__(self, kind: str, text: str) -> None:
        if kind != self._kind and self._kind:
            self._console.print()
        self._kind = "" if kind == "end" else kind
        self._console.print(
            printable(text), end="", style=self._STYLES.get(kind, ""), markup=False, highlight=False, soft_wrap=True
        )


async def run(bundle: Path, console: Console, *, interactive: bool) -> int:
    """Load the bundle, list the models, chat; returns the exit status."""
    key = os.environ.get("OPENROUTER_API_KEY", "").strip()
    async with contextlib.AsyncExitStack() as stack:
        valves: dict[str, str] = {}
        if not key:
            server = await stack.enter_async_context(
                SimulatorServer(create_app(SimulatorConfig(schema_path=find_schema())))
            )
            valves = {"BASE_URL": server.url, "API_KEY": "sk-or-simulated"}
            console.print(f"OPENROUTER_API_KEY is not set: a simulated OpenRouter answers at {server.url}.")
        console.print(f"Loading {bundle} as Open WebUI would ...")
        pipe = load_function(bundle)
        stack.push_async_callback(pipe.close)
        pipe.valves = pipe.Valves(**valves)
        models = await pipe.pipes()
        if not models:
            console.print("No models: see the log line above for what to check.", style="red")
            return 1
        console.print(f"{len(models)} models, among them: " + ", ".join(entry["id"] for entry in models[:6]))
        wanted = "openrouter.auto" if key else "sim.echo"
        model = wanted if any(entry["id"] == wanted for entry in models) else models[0]["id"]
        history: list[dict[str, str]] = []
        show = _Printer(console)
        for question in _QUESTIONS:
            if not await _turn(pipe, model, history, question, console, show):
                return 1
        console.print("Two turns answered.")
        while interactive:
            try:
                line = (await asyncio.to_thread(input, "\nyou> ")).strip()
            except EOFError:
                break
            if line in {"/quit", "/exit"}:
                break
            if line:
                await _turn(pipe, model, history, line, console, show)
    return 0


async def _turn(
    pipe: Any,
    model: str,
    history: list[dict[str, str]],
    question: str,
    console: Console,
    show: Callable[[str, str], None],
) -> bool:
    console.print(f"\n[bold]you>[/bold] {question}", highlight=False)
    console.print(f"[bold]{model}>[/bold]", highlight=False)
    history.append({"role": "user", "content": question})
    answer = await ask(pipe, model, history, show)
    history.append({"role": "assistant", "content": answer})
    return bool(answer.strip())


def main(bundle: Path) -> int:
    """Run from synchronous code; with a terminal attached it stays open for the user's own chat."""
    console = make_console()
    if not bundle.is_file():
        console.print(f"{bundle} does not exist; `make bundle` writes it.", style="red")
        return 2
    try:
        return asyncio.run(run(bundle, console, interactive=sys.stdin.isatty()))
    except KeyboardInterrupt:
        return 130
