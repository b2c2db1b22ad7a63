"""The subcommands that talk: chat and models, the bundle as the host runs it, and the simulator to talk to."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from openrouter_pipe.composition.assignments import assignments
from openrouter_pipe.composition.cli_parts import Subcommands, add_command, add_setting, announce, complain

CHAT: Final = """\
Talks to a model: reasoning dim, text as it comes, then tokens and cost in US dollars.

  openrouter-pipe chat                                  a chat; /help lists what can be typed
  openrouter-pipe chat --once "2+2?"                    one answer, then the end
  openrouter-pipe chat --once "2+2?" --json             its events, one JSON object a line, for scripts
  openrouter-pipe chat --model openai/gpt-5 --set REASONING_EFFORT=high

Without OPENROUTER_API_KEY a simulated OpenRouter answers: nothing leaves this machine.
"""
MODELS: Final = """\
Lists the models on offer, at most 60: id and name.

  openrouter-pipe models                 all of them
  openrouter-pipe models gemini          those whose id or name holds this word
  openrouter-pipe models --set FREE_MODEL_FILTER=only
"""
RUN: Final = """\
Loads the function file as Open WebUI does, lists its models and chats two turns; in a terminal it then stays open.

  openrouter-pipe run                                  the bundle in dist/
  openrouter-pipe run --bundle /tmp/openrouter_pipe.py

Without OPENROUTER_API_KEY a simulated OpenRouter answers.
"""
SIMULATE: Final = """\
Serves a local, simulated OpenRouter until Ctrl-C: catalogue, both endpoints, scenarios and faults.

  openrouter-pipe simulate --port 8080     set BASE_URL to http://127.0.0.1:8080/api/v1, any key will do
  openrouter-pipe simulate --port 0        any free port; the first line says which
"""
STATUS: Final = "Exit status: 0 answered, 1 failed, 2 the command was wrong, 130 stopped with Ctrl-C.\n"


def add(commands: Subcommands) -> None:
    """The subcommands of this module."""
    chat = add_command(commands, "chat", _chat, help="talk to a model in the terminal", description=CHAT, epilog=STATUS)
    chat.add_argument("--once", metavar="TEXT", help="ask once, print the answer, exit (status 1 if it failed)")
    chat.add_argument(
        "--model", help="model id, for example openai/gpt-5 (default: openrouter/auto, simulated: sim/echo)"
    )
    chat.add_argument("--json", action="store_true", help="one JSON object a line for every event")
    _add_settings(chat)
    models = add_command(
        commands, "models", _models, help="list the models on offer", description=MODELS, epilog=STATUS
    )
    models.add_argument("word", nargs="?", default="", help="only models whose id or name holds this word")
    _add_settings(models)
    run = add_command(
        commands,
        "run",
        _run,
        help="load the bundle as Open WebUI does and chat through it",
        description=RUN,
        epilog=STATUS,
    )
    run.add_argument(
        "--bundle", type=Path, default=Path("dist/openrouter_pipe.py"), help="the function file (default: %(default)s)"
    )
    simulate = add_command(
        commands, "simulate", _simulate, help="serve a local, simulated OpenRouter", description=SIMULATE
    )
    simulate.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    simulate.add_argument(
        "--port", type=int, default=8080, help="port number, 0 for any free one (default: %(default)s)"
    )
    simulate.add_argument(
        "--schema", type=Path, help="OpenRouter's OpenAPI document; requests that do not fit it are answered with 400"
    )


def _add_settings(parser: argparse.ArgumentParser) -> None:
    add_setting(parser)
    parser.add_argument("--simulate", action="store_true", help="use the simulated OpenRouter even when a key is set")


def _chat(options: argparse.Namespace) -> int:
    from openrouter_pipe.composition.terminal import ChatOptions, run_chat

    return run_chat(
        ChatOptions(
            once=options.once,
            model=options.model,
            as_json=options.json,
            simulate=options.simulate,
            settings=assignments(options.settings),
        )
    )


def _models(options: argparse.Namespace) -> int:
    from openrouter_pipe.composition.terminal import ChatOptions, run_chat

    return run_chat(ChatOptions(models=options.word, simulate=options.simulate, settings=assignments(options.settings)))


def _run(options: argparse.Namespace) -> int:
    from openrouter_pipe.composition import run

    return run.main(options.bundle)


def _simulate(options: argparse.Namespace) -> int:
    from openrouter_pipe.adapters.simulator.config import SimulatorConfig, find_schema
    from openrouter_pipe.adapters.simulator.server import serve_forever

    if options.schema is not None and not options.schema.is_file():
        complain(f"--schema {options.schema}: there is no such file")
        return 2
    config = SimulatorConfig(schema_path=options.schema or find_schema())
    try:
        return serve_forever(options.host, options.port, config, announce=announce)
    except OSError as error:
        complain(f"{options.host}:{options.port} cannot be used: {error.strerror}; choose another with --port")
        return 1
