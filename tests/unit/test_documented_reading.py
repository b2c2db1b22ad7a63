"""How the tests of the documentation read a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from documented import Documented, blocks, commands, inline


def page(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "page.md"
    path.write_text(text)
    return path


def test_commands_come_with_line_and_status_and_without_comments(tmp_path: Path) -> None:
    text = "# A\n\n```sh\nmake test  # all of them\n\n# a comment\nopenrouter-pipe doctor  # status 2\n```\n"
    assert commands(page(tmp_path, text)) == [
        Documented("page.md", 4, "make test"),
        Documented("page.md", 7, "openrouter-pipe doctor", 2),
    ]


def test_a_continued_line_is_one_command(tmp_path: Path) -> None:
    text = "```sh\nopenrouter-pipe chat \\\n  --once hi\n```\n"
    assert commands(page(tmp_path, text)) == [Documented("page.md", 2, "openrouter-pipe chat --once hi")]


def test_in_a_console_only_what_is_typed_counts(tmp_path: Path) -> None:
    text = "```console\n$ openrouter-pipe models\nmake sense of this\n```\n"
    assert commands(page(tmp_path, text)) == [Documented("page.md", 2, "openrouter-pipe models")]


def test_a_block_without_language_may_hold_anything_else(tmp_path: Path) -> None:
    text = "```\n### {heading}\nmake help\n```\n\n```text\nopenrouter-pipe nothing\n```\n"
    assert commands(page(tmp_path, text)) == [Documented("page.md", 3, "make help")]


def test_a_line_of_a_shell_block_that_is_no_known_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"page\.md, line 3: 'frobnicate --all' is no command"):
        commands(page(tmp_path, "```sh\nmake help\nfrobnicate --all\n```\n"))


def test_commands_within_the_text_are_found_outside_of_blocks(tmp_path: Path) -> None:
    text = "Run `make help`.\n\n```\n`make nothing`\n```\n| `openrouter-pipe logs` | x |\n"
    assert list(inline(page(tmp_path, text))) == [
        Documented("page.md", 1, "make help"),
        Documented("page.md", 6, "openrouter-pipe logs"),
    ]


def test_blocks_know_their_language_and_line(tmp_path: Path) -> None:
    [block] = blocks(page(tmp_path, "x\n\n```json\n{}\n```\n"))
    assert (block.language, block.line, block.body) == ("json", 4, "{}\n")
