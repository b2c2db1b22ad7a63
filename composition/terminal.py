"""The terminal build: the pipe's own domain and provider, with the conversation kept in memory."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial

from attrs import frozen
from dependency_injector import providers
from rich.console import Console

from openrouter_pipe.adapters.memory.artifacts import MemoryArtifactStore
from openrouter_pipe.adapters.simulator.app import create_app
from openrouter_pipe.adapters.simulator.transport import SimulatorTransport
from openrouter_pipe.adapters.terminal import JsonRenderer, LiveRenderer, TerminalChat
from openrouter_pipe.adapters.terminal.chat import models_table
from openrouter_pipe.composition.cli_console import make_console
from openrouter_pipe.composition.pipe import PipeContainer, PipeServices
from openrouter_pipe.ports.settings import SettingError, Settings, read_settings

SIMULATED_KEY = "sk-or-simulated"
"""The key shown to the simulator, which takes any."""

DEFAULT_MODEL = "openrouter/auto"
SIMULATED_MODEL = "sim/echo"


@frozen
class ChatOptions:
    """What the command line asked for."""

    once: str | None = None
    model: str | None = None
    as_json: bool = False
    simulate: bool = False
    settings: Mapping[str, str] = {}
    models: str | None = None


def settings_from(assignments: Mapping[str, str], environment: Mapping[str, str]) -> Settings:
    """Settings from NAME=VALUE pairs over the environment; raises `SettingError`."""
    return read_settings(dict(assignments), environment)


async def chat(options: ChatOptions, console: Console, read: Callable[[], str]) -> int:
    """Run `openrouter-pipe chat`; returns the exit status."""
    settings = settings_from(options.settings, os.environ)
    simulated = options.simulate or not settings.API_KEY
    container = PipeContainer()
    container.store.override(providers.Singleton(MemoryArtifactStore))
    if simulated:
        container.transport_factory.override(providers.Object(partial(SimulatorTransport, create_app())))
        settings = settings_from({**options.settings, "API_KEY": SIMULATED_KEY}, os.environ)
        if not options.as_json:
            console.print("No API_KEY is set: a simulated OpenRouter answers (it echoes).", style="yellow")
    model = options.model or (SIMULATED_MODEL if simulated else DEFAULT_MODEL)
    renderer = JsonRenderer(_write_line) if options.as_json else LiveRenderer(console)
    services = PipeServices(container)
    service = services.chat
    try:
        if options.models is not None:
            console.print(models_table(await service.models(settings), options.models))
            return 0
        conversation = TerminalChat(service, settings, container.ids(), renderer, model)
        if options.once is not None:
            return 0 if await conversation.ask(options.once) else 1
        await conversation.interact(console, read)
        return 0
    finally:
        await services.close()


def run_chat(options: ChatOptions) -> int:
    """The same, from synchronous code; prints a readable error for a bad setting."""
    console = make_console(stderr=options.as_json)
    try:
        return asyncio.run(chat(options, console, lambda: input("> ")))
    except SettingError as error:
        console.print(str(error), style="red", markup=False)
        return 2
    except KeyboardInterrupt:
        return 130


def _write_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
