"""Open WebUI's records of tool use and reasoning inside an answer's text: ``<details>`` blocks and what browsers leave of them.

Attributes hold HTML-escaped JSON. A block inside a code fence is text. What becomes of the records is the domain's.
"""

from __future__ import annotations

import html
import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final

from attrs import frozen

from openrouter_pipe.ports.chat import HostToolCall, HostToolRecord
from openrouter_pipe.ports.json import JsonValue

# Every pattern here is linear in the text: a run of characters is read once, never given back, never started within.
_OPEN: Final = re.compile(r"<details\b([^<>]*+)>")  # attributes are escaped: no bare angle bracket inside
_TYPE: Final = re.compile(r'\btype="(reasoning|tool_calls)"')
_CLOSE: Final = "</details>"
_ATTRIBUTE: Final = re.compile(r'(?<![\w-])([\w-]++)="([^"]*+)"')
_SUMMARY: Final = re.compile(r"\A\s*<summary>[^<]*</summary>\s*")
_ECHO_PREFIX: Final = 200


@frozen
class HistoryText:
    """`HostRecords` of Open WebUI; holds nothing."""

    def split(self, text: str, code: Sequence[tuple[int, int]]) -> tuple[str | HostToolRecord, ...]:
        """See `HostRecords.split`."""
        if "<details" not in text:
            return (text,) if text else ()
        segments: list[str | HostToolRecord] = []
        position = 0
        for start, end, record in _blocks(text, code):
            _add_text(segments, text[position:start])
            if record is not None:
                segments.append(record)
            position = end
        if position == 0:
            return (text,)
        _add_text(segments, text[position:])
        return tuple(segments)

    def without_echoes(self, text: str, outputs: Sequence[str]) -> str:
        """See `HostRecords.without_echoes`.

        The browser of 0.6.28 replaces a card by its result attribute in quotes before it sends the history.
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


def _blocks(text: str, code: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, HostToolRecord | None]]:
    position = 0
    while (match := _OPEN.search(text, position)) is not None:
        position = match.end()
        kind = _TYPE.search(match.group(1))
        if kind is None or _inside(code, match.start()):
            continue
        end = text.find(_CLOSE, position)
        if end < 0:
            return
        end += len(_CLOSE)
        if kind.group(1) == "reasoning":
            yield match.start(), end, None
        else:
            yield match.start(), end, _record(match.group(1), text[position : end - len(_CLOSE)])
        position = end


def _record(attributes: str, body: str) -> HostToolRecord | None:
    values = {name: _unescaped(value) for name, value in _ATTRIBUTE.findall(attributes)}
    name = values.get("name", "").strip()
    if not name or values.get("done") == "false":
        return None
    shown = _SUMMARY.sub("", body).strip()
    result = _plain(values["result"]) if "result" in values else _unescaped(shown) or None
    call = HostToolCall(values.get("id", "").strip(), name, _object_text(values.get("arguments", "")))
    return HostToolRecord(call, result)


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


def _inside(spans: Sequence[tuple[int, int]], offset: int) -> bool:
    before = bisect_right(spans, offset, key=lambda span: span[0])
    return before > 0 and offset < spans[before - 1][1]


def _add_text(segments: list[str | HostToolRecord], text: str) -> None:
    if text.strip():
        segments.append(text.strip("\n"))
