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

# Every pattern here is linear in the text: a run of characters is read once, never given back, never started within.
_OPEN: Final = re.compile(r"<details\b([^<>]*+)>")  # attributes are escaped: no bare angle bracket inside
_TYPE: Final = re.compile(r'\btype="(reasoning|tool_calls)"')
_CLOSE: Final = "</details>"
_ATTRIBUTE: Final = re.compile(r'(?<![\w-])([\w-]++)="([^"]*+)"')
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
    whole = frozenset(outputs)
    by_head: dict[str, list[str]] = {}
    for output in whole:
        by_head.setdefault(output[:_ECHO_PREFIX], []).append(output)

    def is_echo(line: str) -> bool:
        if len(line) < 2 or line[0] != '"' or line[-1] != '"':
            return False
        shown = _plain(_unescaped(line[1:-1]))
        if shown in whole:
            return True
        alike = by_head.get(shown[:_ECHO_PREFIX], ()) if len(shown) >= _ECHO_PREFIX else ()
        return any(output.startswith(shown) for output in alike)

    lines = text.split("\n")
    kept = [line for line in lines if not is_echo(line.strip())]
    return text if len(kept) == len(lines) else "\n".join(kept)


def _blocks(text: str) -> Iterator[tuple[int, int, ToolCard | None]]:
    spans = fenced_spans(text)
    position = 0
    while (match := _OPEN.search(text, position)) is not None:
        position = match.end()
        kind = _TYPE.search(match.group(1))
        if kind is None or inside(spans, match.start()):
            continue
        end = text.find(_CLOSE, position)
        if end < 0:
            return
        end += len(_CLOSE)
        if kind.group(1) == "reasoning":
            yield match.start(), end, None
        else:
            yield match.start(), end, _card(match.group(1), text[position : end - len(_CLOSE)])
        position = end


def _card(attributes: str, body: str) -> ToolCard | None:
    values = {name: _unescaped(value) for name, value in _ATTRIBUTE.findall(attributes)}
    name = values.get("name", "").strip()
    if not name or values.get("done") == "false":
        return None
    shown = _SUMMARY.sub("", body).strip()
    result = _plain(values["result"]) if "result" in values else _unescaped(shown) or None
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


def _unescaped(text: str) -> str:
    try:
        return html.unescape(text)
    except ValueError:  # a character reference of thousands of digits
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
