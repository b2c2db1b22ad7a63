"""The command line: `openrouter-pipe SUBCOMMAND`. Each subcommand imports what it needs when it runs.

Here: the parser as a whole and the entry point. The subcommands are in `cli_talking`, `cli_examining`, `cli_recorded`,
`cli_keeping`, `cli_making` and `cli_completion`, what they share in `cli_parts` and `cli_console`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final

from openrouter_pipe.composition import (
    cli_completion,
    cli_examining,
    cli_keeping,
    cli_making,
    cli_recorded,
    cli_talking,
)
from openrouter_pipe.composition.cli_parts import Command, Parser

_DESCRIPTION: Final = """\
The pipe between Open WebUI and OpenRouter, on the command line.

  openrouter-pipe chat                       talk to a model (simulated unless OPENROUTER_API_KEY is set)
  openrouter-pipe chat --once "2+2?" --json  one answer as JSON lines, for scripts
  openrouter-pipe models gemini              what is on offer
  openrouter-pipe simulate --port 8080       a local OpenRouter for tests
  openrouter-pipe bundle                     write dist/openrouter_pipe.py for Open WebUI
  openrouter-pipe valves                     every setting with its default and bounds
  openrouter-pipe rotate-key                 encrypt stored reasoning and tool results with a new key
  openrouter-pipe logs find --chat CHAT_ID   the encrypted records of turns: find, show, verify, prune
  openrouter-pipe replay MESSAGE_ID          run a recorded turn again, offline, and compare
  openrouter-pipe doctor                     what is wrong with this installation, and what to do
  openrouter-pipe validate --simulate        try what users do, with this configuration
  openrouter-pipe rules MODEL_ID             the rules that hold for a model, and what is sent by them

Settings go by the names of the valves: --set REASONING_EFFORT=high, or the environment variables named in docs/valves.md.
"""
_EPILOG: Final = """\
`openrouter-pipe SUBCOMMAND --help` shows options and examples. Colours and progress appear on terminals only; NO_COLOR
switches them off.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the console script; returns the exit status."""
    options, unknown = make_parser().parse_known_args(arguments)
    if unknown:
        chosen: Parser = options.parser
        chosen.unrecognized(unknown)
    command: Command = options.command
    try:
        status = command(options)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return status


def make_parser() -> Parser:
    """The parser of everything; also what completion and documents are made from."""
    parser = Parser(
        prog="openrouter-pipe",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="SUBCOMMAND")
    for rooms in (cli_talking, cli_examining, cli_recorded, cli_keeping, cli_making, cli_completion):
        rooms.add(commands)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
