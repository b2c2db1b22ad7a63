"""What the documentation says as code: its fenced blocks, the commands within them, and the commands in its prose."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
SHELL = {"", "sh", "bash", "console"}
STARTS = re.compile(
    r"(openrouter-pipe|make|python3?|pip|curl|export|read|cd|git|docker|mkdocs|source|eval|mkdir|grep)(\s|$)"
)
_FENCE = re.compile(r"^ {0,3}```(?P<language>\w*)[^\n]*\n(?P<body>.*?)^ {0,3}```$", re.MULTILINE | re.DOTALL)
OF_THE_PROJECT = r"openrouter-pipe|make"
OTHER_PROGRAMS = r"python3?|pip|curl|docker|git|mkdocs|(?:[\w.-]+/)*\w+\.(?:py|sh)"
_STATUS = re.compile(r"#\s*status (\d+)$")


@frozen
class Block:
    """A fenced block; ``line`` is that of its first line of text."""

    page: str
    line: int
    language: str
    body: str


@frozen
class Documented:
    """One command; ``status`` is how it is to exit."""

    page: str
    line: int
    text: str
    status: int = 0

    @property
    def where(self) -> str:
        return f"{self.page}, line {self.line}"


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start("body")) + 1
        yield Block(page.name, line, found["language"], found["body"])


def commands(page: Path) -> list[Documented]:
    """The commands of a page's blocks, continued lines joined, comments removed."""
    found: list[Documented] = []
    for block in blocks(page):
        if block.language not in SHELL:
            continue
        prompted = block.language == "console" and "$ " in block.body
        lines = iter(enumerate(block.body.splitlines(), block.line))
        for number, line in lines:
            text = line.strip()
            if prompted and not text.startswith("$ "):
                continue  # what the command prints
            text = text.removeprefix("$ ")
            while text.endswith("\\"):
                text = text[:-1].rstrip() + " " + next(lines)[1].strip()
            if not STARTS.match(text):
                if block.language and text and not text.startswith("#"):
                    raise AssertionError(f"{block.page}, line {number}: {text!r} is no command that a test knows")
                continue
            status = _STATUS.search(text)
            without = re.sub(r"\s+#.*$", "", text)
            found.append(Documented(block.page, number, without, int(status[1]) if status else 0))
    return found


def inline(page: Path, programs: str = OF_THE_PROJECT) -> Iterator[Documented]:
    """The commands of these programs between single backticks, outside of blocks."""
    text = _FENCE.sub(lambda found: "\n" * found[0].count("\n"), page.read_text(encoding="utf-8"))
    for found in re.finditer(rf"(?<!`)`((?:{programs}) [^`\n]+)`(?!`)", text):
        yield Documented(page.name, text.count("\n", 0, found.start()) + 1, found[1])
