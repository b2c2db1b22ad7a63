"""The generated parts of the pages in docs/: finding them between their markers, writing them, comparing them.

A part begins with a line `<!-- generated: NAME -->` and ends with a line `<!-- end generated -->`; what NAME stands for
is told in `composition.documents_tables`. docs/valves.md and docs/commands.md are generated as a whole.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from attrs import frozen

from openrouter_pipe.composition.documents import settings_document
from openrouter_pipe.composition.documents_commands import commands_document
from openrouter_pipe.composition.documents_tables import GENERATORS, generate

WHOLE: Final = {"valves.md": settings_document, "commands.md": commands_document}
"""The pages without any text by hand."""

_PART: Final = re.compile(
    r"^<!-- generated: (?P<name>.+?) -->\n(?P<body>.*?)^(?P<end><!-- end generated -->|<!-- generated: |\Z)",
    re.MULTILINE | re.DOTALL,
)
_END: Final = "<!-- end generated -->"


class PageError(Exception):
    """A page that cannot be filled in; the message names page, line and what is wrong."""


@frozen
class Stale:
    """A part that differs from what it should be; ``name`` is the generator's, or ``the page`` for a whole one."""

    page: str
    name: str


def names() -> tuple[str, ...]:
    """What may stand behind `generated:`; a name that ends in a colon wants something behind it."""
    return tuple(GENERATORS)


def refresh(folder: Path, *, write: bool) -> list[Stale]:
    """Every generated part of the pages in ``folder`` that is out of date; with ``write`` they are written.

    Raises:
        PageError: a marker names nothing that can be generated, or has no end.
    """
    stale: list[Stale] = []
    for page, document in WHOLE.items():
        path, text = folder / page, document()
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(Stale(page, "the page"))
            if write:
                path.write_text(text, encoding="utf-8")
    for path in sorted(folder.glob("**/*.md")):
        if path.name in WHOLE:
            continue
        before = path.read_text(encoding="utf-8")
        after, changed = filled_in(before, path.name)
        stale.extend(Stale(path.name, name) for name in changed)
        if write and changed:
            path.write_text(after, encoding="utf-8")
    return stale


def filled_in(text: str, page: str) -> tuple[str, list[str]]:
    """The text with every part generated anew, and the names of those that changed.

    Raises:
        PageError: see `refresh`.
    """
    changed: list[str] = []

    def replaced(found: re.Match[str]) -> str:
        name, line = found["name"], text.count("\n", 0, found.start()) + 1
        if found["end"] != _END:
            raise PageError(f"{page}, line {line}: `generated: {name}` has no `{_END}`")
        try:
            body = f"\n{generate(name).strip()}\n\n"
        except LookupError as error:
            raise PageError(f"{page}, line {line}: {error.args[0]}") from error
        if body != found["body"]:
            changed.append(name)
        return f"<!-- generated: {name} -->\n{body}{_END}"

    return _PART.sub(replaced, text), changed
