"""What `make docs` does beside what mkdocs does: hooks that mkdocs.yml names.

README.md becomes the front page and CHANGELOG.md the page of changes, so that neither is written twice. Links to code lead
nowhere in a site, so they become what they say. What belongs to an item of a list is indented by two blanks here and wants
four there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

_ROOT: Final = Path(__file__).resolve().parent.parent
_PAGES: Final = {"README.md": "index.md", "CHANGELOG.md": "changelog.md"}
_LINK: Final = re.compile(r"(?<!!)\[(?P<words>[^\]]*)\]\((?P<target>[^)#\s]*)(?P<anchor>#[^)\s]*)?\)")

_FENCED: Final = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_NARROW: Final = re.compile(r"^ {2,3}(?=\S)", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    from mkdocs.structure.files import File

    for name, page in _PAGES.items():
        text = (_ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=relinked(text, "")))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """A page as the site wants it."""
    return indented(relinked(markdown, "docs/"))


def indented(markdown: str) -> str:
    """The text with two or three blanks in front of a line widened to four, except within fenced blocks."""
    parts = _FENCED.split(markdown)
    return "".join(part if place % 2 else _NARROW.sub("    ", part) for place, part in enumerate(parts))


def relinked(markdown: str, folder: str) -> str:
    """The text of a page that stands in ``folder`` of the project, with its links as the site wants them."""

    def replaced(found: re.Match[str]) -> str:
        target, anchor = found["target"], found["anchor"] or ""
        if not target or ":" in target:
            return found[0]
        place = (_ROOT / folder / target).resolve()
        if not place.is_relative_to(_ROOT) or not place.exists():
            return found[0]  # mkdocs complains about it
        inside = place.relative_to(_ROOT)
        if inside.name in _PAGES and len(inside.parts) == 1:
            return f"[{found['words']}]({_PAGES[inside.name]}{anchor})"
        if inside.parts[0] == "docs" and place.is_file():
            return f"[{found['words']}]({inside.relative_to('docs').as_posix()}{anchor})"
        return str(found["words"])

    return _LINK.sub(replaced, markdown)
