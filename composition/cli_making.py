"""The subcommands that write what is derived from this project: the bundle, the documents, shell completion."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from openrouter_pipe.composition.cli_parts import Subcommands, add_command, complain

BUNDLE: Final = """\
Writes the one-file function for Open WebUI from the sources (needs a checkout).

  openrouter-pipe bundle --output dist/openrouter_pipe.py
"""
VALVES: Final = """\
Prints every setting with default and bounds, as Markdown; numbers are in the unit that the name or the text says.

  openrouter-pipe valves
  openrouter-pipe valves --check docs/valves.md
"""
DOCS: Final = """\
Fills in or checks what is generated in the pages of a folder: everything between `<!-- generated: NAME -->` and
`<!-- end generated -->`, and all of valves.md and commands.md.

  openrouter-pipe docs --list             the names that a page can use
  openrouter-pipe docs --check docs       what is out of date, by page and name (then status 1)
  openrouter-pipe docs --write docs
"""


def add(commands: Subcommands) -> None:
    """The subcommands of this module."""
    bundle = add_command(
        commands, "bundle", _bundle, help="write the one-file function for Open WebUI", description=BUNDLE
    )
    bundle.add_argument(
        "--output", type=Path, default=Path("dist/openrouter_pipe.py"), help="where to write it (default: %(default)s)"
    )
    valves = add_command(
        commands, "valves", _valves, help="print, write or check the table of settings", description=VALVES
    )
    group = valves.add_mutually_exclusive_group()
    group.add_argument("--write", type=Path, metavar="FILE", help="write the table")
    group.add_argument("--check", type=Path, metavar="FILE", help="exit with 1 when the file differs from the table")
    docs = add_command(
        commands, "docs", _docs, help="write or check the generated parts of the documentation", description=DOCS
    )
    what = docs.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", type=Path, metavar="FOLDER", help="fill in the pages of this folder")
    what.add_argument("--check", type=Path, metavar="FOLDER", help="exit with 1 when a page differs")
    what.add_argument("--list", action="store_true", help="print the names")


def _bundle(options: argparse.Namespace) -> int:
    from openrouter_pipe.composition import bundle

    return bundle.main(["--output", str(options.output)])


def _valves(options: argparse.Namespace) -> int:
    from openrouter_pipe.composition.documents import settings_document

    document = settings_document()
    if options.write is not None:
        options.write.write_text(document, encoding="utf-8")
        return 0
    if options.check is not None:
        if options.check.is_file() and options.check.read_text(encoding="utf-8") == document:
            return 0
        complain(f"{options.check} differs from ports/settings.py; run `make format`")
        return 1
    sys.stdout.write(document)
    return 0


def _docs(options: argparse.Namespace) -> int:
    from openrouter_pipe.composition.documents_pages import PageError, names, refresh

    if options.list:
        sys.stdout.writelines(f"{name}\n" for name in names())
        return 0
    folder: Path = options.write or options.check
    if not folder.is_dir():
        complain(f"{folder} is no directory; name the folder of the pages")
        return 2
    try:
        stale = refresh(folder, write=options.write is not None)
    except PageError as error:
        complain(str(error))
        return 2
    if options.write is not None:
        sys.stdout.writelines(f"{one.page}: {one.name}\n" for one in stale)
        return 0
    for one in stale:
        complain(f"{one.page}: {one.name} is out of date; run `make format`")
    return 1 if stale else 0
