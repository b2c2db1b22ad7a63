"""Host records of tool use and reasoning inside an assistant's text: ``<details>`` blocks and what browsers leave of them.

Attributes hold HTML-escaped JSON. A block inside a code fence is text.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from attrs import field, frozen

from openrouter_pipe.domain.history.markers import fenced_spans, inside
from openrouter_pipe.ports.json import JsonValue

_OPEN: Final = re.compile(r'<details\b(?=[^>]*\btype="(reasoning|tool_calls)")([^>]*)>')
_CLOSE: Final = "</details>"
_ATTRIBUTE: Final = re.compile(r'([\w-]+)="([^"]*)"')
_SUMMARY: Final = re.compile(r"\A\s*<summary>[^<]*</summary>\s*")
_ECHO_PREFIX: Final = 200


@frozen
class CardText:
    """Text outside the blocks."""

    text: str


@frozen
class ToolCard:
    """One finished tool call; ``result`` None means the card shows none."""

    call_id: str
    name: str
    arguments: str = field(repr=False)
    result: str | None = field(repr=False)


CardSegment: TypeAlias = CardText | ToolCard


def split(text: str) -> tuple[CardSegment, ...]:
    """Text and tool cards in order; reasoning blocks disappear, an unfinished block stays text."""
    if "<details" not in text:
        return (CardText(text),) if text else ()
    segments: list[CardSegment] = []
    position = 0
    for start, end, card in _blocks(text):
        _add_text(segments, text[position:start])
        if card is not None:
            segments.append(card)
        position = end
    if position == 0:
        return (CardText(text),)
    _add_text(segments, text[position:])
    return tuple(segments)


def without_echoes(text: str, outputs: Sequence[str]) -> str:
    """``text`` without the lines by which a browser repeats tool outputs that are known from elsewhere.

    Some hosts replace a card by its result attribute in quotes before they send the history.
    """
    if not outputs or '"' not in text:
        return text
    lines = text.split("\n")
    kept = [line for line in lines if not _is_echo(line.strip(), outputs)]
    return text if len(kept) == len(lines) else "\n".join(kept)


def _is_echo(line: str, outputs: Sequence[str]) -> bool:
    if len(line) < 2 or line[0] != '"' or line[-1] != '"':
        return False
    shown = _plain(html.unescape(line[1:-1]))
    return any(shown == output or (len(shown) >= _ECHO_PREFIX and output.startswith(shown)) for output in outputs)


def _blocks(text: str) -> Iterator[tuple[int, int, ToolCard | None]]:
    spans = fenced_spans(text)
    position = 0
    while (match := _OPEN.search(text, position)) is not None:
        position = match.end()
        if inside(spans, match.start()):
            continue
        end = text.find(_CLOSE, position)
        if end < 0:
            return
        end += len(_CLOSE)
        if match.group(1) == "reasoning":
            yield match.start(), end, None
        else:
            yield match.start(), end, _card(match.group(2), text[position : end - len(_CLOSE)])
        position = end


def _card(attributes: str, body: str) -> ToolCard | None:
    values = {name: html.unescape(value) for name, value in _ATTRIBUTE.findall(attributes)}
    name = values.get("name", "").strip()
    if not name or values.get("done") == "false":
        return None
    shown = _SUMMARY.sub("", body).strip()
    result = _plain(values["result"]) if "result" in values else html.unescape(shown) or None
    return ToolCard(
        call_id=values.get("id", "").strip(),
        name=name,
        arguments=_object_text(values.get("arguments", "")),
        result=result,
    )


def _object_text(text: str) -> str:
    """The JSON text of the arguments; hosts encode them once or twice."""
    value = _parsed(text)
    if isinstance(value, str):
        inner = _parsed(value)
        return value if isinstance(inner, dict) else text
    return text


def _plain(text: str) -> str:
    value = _parsed(text)
    return value if isinstance(value, str) else text


def _parsed(text: str) -> JsonValue:
    try:
        value: JsonValue = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


def _add_text(segments: list[CardSegment], text: str) -> None:
    if text.strip():
        segments.append(CardText(text.strip("\n")))
