"""The command line as documents: tables of subcommands and options, and docs/commands.md, all from the parser itself."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from typing import Final

from openrouter_pipe.composition.cli import make_parser

_HEAD: Final = """\
# Command line

Written by `make format` from the parser itself; `make check` fails when this page is out of date.

The command comes with the Python package. `NAME=VALUE` stands for a setting of [the atlas](valves.md). Secrets are never
arguments, where other users of the machine would see them: they come from variables, files or a prompt. Colours and progress
appear on terminals only; `NO_COLOR` switches them off. Exit status 2 means that the command itself was wrong; for `doctor`
also that something failed.

"""

_COMMAND: Final = re.compile(r" {2,}(openrouter-pipe|export|read) ")


def walk(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser, str]]:
    """Every subcommand and action below a parser: name (`logs find`), its parser, its one line of help."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to look at a parser
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            helps = {one.dest: one.help or "" for one in action._choices_actions}  # noqa: SLF001
            for name, child in action.choices.items():
                yield name, child, helps[name]
                for below, grandchild, told in walk(child):
                    yield f"{name} {below}", grandchild, told


def commands_table() -> str:
    """Command, what it does."""
    lines = [
        f"| [`openrouter-pipe {name}`](commands.md#{_anchor(name)}) | {told} |"
        for name, _, told in walk(make_parser())
        if " " not in name
    ]
    return "\n".join(["| Command | |", "|---|---|", *lines])


def options_table(command: str) -> str:
    """Argument or option, meaning; of one subcommand. Raises `LookupError` for one that there is not."""
    found = {name: parser for name, parser, _ in walk(make_parser())}
    if command not in found:
        raise LookupError(f"there is no subcommand {command!r}; there are: {', '.join(found)}")
    return "\n".join(["| Argument | Meaning |", "|---|---|", *_rows(found[command])])


def commands_document() -> str:
    """The whole of docs/commands.md."""
    parts = [_HEAD, commands_table(), "\n"]
    for name, parser, _ in walk(make_parser()):
        depth = "###" if " " in name else "##"
        parts.append(f"\n{depth} {name}\n\n{_prose(parser.description or '')}")
        if not any(" " in below for below, _, _ in walk(parser)) and _rows(parser):
            parts.append(f"\n{options_table(name)}\n")
        if parser.epilog and " " not in name:
            parts.append(f"\n{_prose(parser.epilog)}")
    return "".join(parts)


def _rows(parser: argparse.ArgumentParser) -> list[str]:
    rows: list[str] = []
    for action in parser._actions:  # noqa: SLF001
        if isinstance(action, argparse._SubParsersAction | argparse._HelpAction):  # noqa: SLF001
            continue
        value = "" if action.nargs == 0 else f" {action.metavar or _choices(action) or action.dest.upper()}"
        shown = f"{action.option_strings[-1]}{value}" if action.option_strings else str(action.metavar or action.dest)
        meaning = (action.help or "") % {"default": action.default}
        required = "; required" if action.required and action.option_strings else ""
        rows.append(f"| `{_cell(shown)}` | {_cell(meaning)}{required} |")
    return rows


def _choices(action: argparse.Action) -> str:
    return "|".join(map(str, action.choices)) if action.choices else ""


def _prose(text: str) -> str:
    """A help text as Markdown: lines that are commands come into blocks, with their explanation as a comment behind."""
    parts: list[str] = []
    within = False
    for line in text.strip("\n").split("\n"):
        is_command = bool(_COMMAND.match(line))
        if is_command != within:
            parts.append("```\n" if within else "\n```sh\n" if parts and parts[-1] != "\n" else "```sh\n")
            within = is_command
        parts.append((re.sub(r"(\S) {2,}(\S)", r"\1  # \2", line.strip()) if within else line.strip()) + "\n")
    return "".join([*parts, "```\n" if within else ""])


def _anchor(name: str) -> str:
    return name.replace(" ", "-")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
