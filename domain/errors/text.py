"""Text of strangers made harmless for Markdown, HTML and terminals.

Only the neutralising of text lives here; which value gets which treatment is decided in templates.py.
"""

from __future__ import annotations

import re
from typing import Final

_TERMINAL: Final = re.compile(
    r"\x1b\[[0-?]*+[ -/]*+[@-~]?"  # colours, cursor movements
    r"|\x1b[\]PX^_][^\x07\x1b]*+(?:\x07|\x1b\\)?"  # titles, links, strings
    r"|\x1b[ -/]*+[0-~]?"
)
_LINE_ENDS: Final = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
# Control characters and those that turn the direction of writing, with which a text can show what it does not say.
_CONTROL: Final = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_HTML_START: Final = re.compile(r"<(?=[^\s=<]|$)")
_IMAGE: Final = re.compile(r"!\[")
_FENCE: Final = re.compile(r"^([ \t>]*+)(```|~~~|:::|\$\$)", re.MULTILINE)
_SPECIAL: Final = re.compile(r"[\\`*\[\]$|~]|(?<!\w)_|_(?!\w)")
_LINE_START: Final = re.compile(
    r"^[ \t]*+(?:(?P<mark>[#>+=:-])|(?P<number>\d{1,9}+)(?P<end>[.)])(?=\s|$))?", re.MULTILINE
)
_SPACES: Final = re.compile(r"\s+")


def clean(text: str) -> str:
    """``text`` without control characters, terminal sequences and lone surrogates; every line ends with ``\\n``."""
    text = _LINE_ENDS.sub("\n", _TERMINAL.sub("", text))
    return _SURROGATE.sub("\ufffd", _CONTROL.sub("", text))


def inert(text: str) -> str:
    """Cleaned text in which nothing starts HTML, an image or a fence; other Markdown stays."""
    text = _HTML_START.sub("&lt;", clean(text))
    return _FENCE.sub(r"\1\\\2", _IMAGE.sub(r"!\\[", text))


def escape(text: str) -> str:
    """Cleaned text that Markdown shows as it is written."""
    text = _SPECIAL.sub(r"\\\g<0>", clean(text)).replace("<", "&lt;")
    return _LINE_START.sub(_escaped_start, text)


def fold(text: str) -> str:
    """``text`` in one line."""
    return _SPACES.sub(" ", text).strip()


def _escaped_start(match: re.Match[str]) -> str:
    if match["mark"]:
        return "\\" + match["mark"]
    return f"{match['number']}\\{match['end']}" if match["number"] else ""
