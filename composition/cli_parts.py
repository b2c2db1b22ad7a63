"""What every subcommand is made of: the parser with its suggestions, common options, and talking to whoever called."""

from __future__ import annotations

import argparse
import difflib
import getpass
import re
import sys
from collections.abc import Callable, Iterable
from typing import Final, NoReturn, Protocol, TypeAlias

Command: TypeAlias = Callable[[argparse.Namespace], int]
"""What a subcommand does with its options; the result is the exit status."""

_WRONG_CHOICE: Final = re.compile(r"invalid choice: '(?P<given>[^']*)' \(choose from (?P<known>.*)\)", re.DOTALL)


class Parser(argparse.ArgumentParser):
    """An argument parser that says what was probably meant."""

    def error(self, message: str) -> NoReturn:
        """Tell what is wrong, with a suggestion where there is one, and end with status 2."""
        if found := _WRONG_CHOICE.search(message):
            message += suggestion(found["given"], re.findall(r"[\w.-]+", found["known"]))
        super().error(message)

    def unrecognized(self, arguments: Iterable[str]) -> NoReturn:
        """End with status 2 for arguments that this parser does not know."""
        unknown = list(arguments)
        known = [name for action in self._actions for name in action.option_strings if name.startswith("--")]
        first = next((one.partition("=")[0] for one in unknown if one.startswith("-")), "")
        self.error(f"unrecognized arguments: {' '.join(unknown)}{suggestion(first, known)}")


class Subcommands(Protocol):
    """What `argparse.ArgumentParser.add_subparsers` returns: where subcommands are added."""

    def add_parser(
        self,
        name: str,
        *,
        help: str,
        description: str,
        epilog: str | None,
        formatter_class: type[argparse.HelpFormatter],
    ) -> Parser:
        """The parser of a new subcommand."""


def suggestion(given: str, known: Iterable[str]) -> str:
    """``; did you mean X?`` for the nearest of what is known, or nothing."""
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(given.lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean {by_lower[near[0]]}?" if near else ""


def add_command(
    commands: Subcommands, name: str, command: Command | None, *, help: str, description: str, epilog: str = ""
) -> Parser:
    """One subcommand, or one action of a subcommand; ``description`` and ``epilog`` are shown as they are written."""
    parser = commands.add_parser(
        name,
        help=help,
        description=description,
        epilog=epilog or None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(parser=parser)
    if command is not None:
        parser.set_defaults(command=command)
    return parser


def add_setting(parser: argparse.ArgumentParser, help: str = "set a setting; repeatable") -> None:
    """``--set NAME=VALUE``."""
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings", help=help)


def asking() -> Callable[[str], str] | None:
    """How to ask for a secret without showing it; None where nobody sits at a keyboard."""
    return getpass.getpass if sys.stdin.isatty() else None


def announce(text: str) -> None:
    """One line on standard output, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """One line on standard error."""
    sys.stderr.write(text + "\n")
