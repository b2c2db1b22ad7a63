"""The template language, and what a value may become in it.

A template is Markdown with placeholders (docs/errors.md explains it to operators):

- ``{name}`` is replaced by a value. A line whose placeholder has a known name and no value disappears. ``{x}`` with an
  unknown name stays as it is.
- ``{{#if name}}`` … ``{{/if}}`` keeps what is between them when the name has a value; blocks nest and may stand within a
  line or around lines. A block that is never closed and an end that closes nothing count as not written.

Rendering is one pass over the template: inserted text is never looked at again, so neither braces nor block tags in a
value mean anything. Values come from providers, tools and users and are hostile: all lose control characters, terminal
sequences and anything that starts HTML, an image or a code fence; all but the few that are wanted raw have Markdown
escaped; long ones are cut. Nothing raises; time is linear in template and values.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Final, TypeAlias

from attrs import frozen

from openrouter_pipe.domain.errors.text import escape, fold, inert
from openrouter_pipe.ports.json import JsonValue

KNOWN: Final = frozenset({
    "error_id", "timestamp", "session_id", "user_id", "support_email", "support_url", "heading", "detail",
    "sanitized_detail", "provider", "model_identifier", "requested_model", "api_model_id", "normalized_model_id",
    "openrouter_code", "openrouter_message", "upstream_type", "upstream_message", "reason", "request_id",
    "request_id_reference", "moderation_reasons", "flagged_excerpt", "raw_body", "context_limit_tokens",
    "max_output_tokens", "include_model_limits", "metadata_json", "provider_raw_json", "native_finish_reason",
    "error_chunk_id", "error_chunk_created", "streaming_provider", "streaming_model", "retry_after_seconds",
    "rate_limit_type", "required_cost", "account_balance", "diagnostics", "error_type", "status_code",
    "timeout_seconds", "endpoint", "restriction_reasons", "model_id_filter", "free_model_filter",
    "tool_calling_filter", "max_function_call_loops",
})  # fmt: skip
"""Every name of the language; each is explained in docs/errors.md."""

LONGEST_VALUE: Final = 4000
"""Characters of one value that are shown."""
LONGEST_LIST: Final = 20
"""Entries of one list that are shown."""

_RAW: Final = frozenset({"detail", "openrouter_message", "upstream_message", "flagged_excerpt", "raw_body"})
_OURS: Final = frozenset({"heading", "support_email", "support_url"})
_MULTI_LINE: Final = _RAW | {"sanitized_detail"}

_TOKEN: Final = re.compile(
    r"(?P<open>\{\{\s{0,8}#if\s{1,8}(?P<condition>[A-Za-z_]\w{0,63})\s{0,8}\}\})"
    r"|(?P<close>\{\{\s{0,8}/if\s{0,8}\}\})"
    r"|\{(?P<name>[A-Za-z_]\w{0,63})\}"
)


@frozen
class _Text:
    text: str


@frozen
class _Placeholder:
    name: str


@frozen(eq=False)
class _Open:
    name: str


@frozen(eq=False)
class _Close:
    """The end of a block."""


_Piece: TypeAlias = _Text | _Placeholder | _Open | _Close


def render(template: str, values: Mapping[str, JsonValue]) -> str:
    """Fill ``template``; a name of `KNOWN` that ``values`` lacks has no value."""
    lines = [list(_pieces(line)) for line in template.replace("\r\n", "\n").split("\n")]
    paired = _paired(lines)
    shown: dict[str, tuple[str, str]] = {}

    def look_up(name: str) -> tuple[str, str]:
        if name not in shown:
            shown[name] = _forms(name, values.get(name))
        return shown[name]

    known = KNOWN | values.keys()
    rendered: list[str] = []
    blocks: list[bool] = []
    for pieces in lines:
        kept = [piece for piece in pieces if not isinstance(piece, _Open | _Close) or piece in paired]
        line = _line(kept, blocks, look_up, known)
        if line is None or (not line.strip() and (not rendered or not rendered[-1].strip())):
            continue  # a line that disappeared leaves no gap behind
        rendered.append(line)
    return "\n".join(rendered).rstrip()


def _pieces(line: str) -> Iterator[_Piece]:
    end = 0
    for match in _TOKEN.finditer(line):
        if match.start() > end:
            yield _Text(line[end : match.start()])
        end = match.end()
        if match["open"]:
            yield _Open(match["condition"])
        elif match["close"]:
            yield _Close()
        else:
            yield _Placeholder(match["name"])
    if end < len(line):
        yield _Text(line[end:])


def _paired(lines: Sequence[Sequence[_Piece]]) -> set[_Piece]:
    """The block tags that have a partner."""
    open_tags: list[_Open] = []
    paired: set[_Piece] = set()
    for piece in (piece for pieces in lines for piece in pieces):
        if isinstance(piece, _Open):
            open_tags.append(piece)
        elif isinstance(piece, _Close) and open_tags:
            paired |= {open_tags.pop(), piece}
    return paired


def _line(
    pieces: Sequence[_Piece],
    blocks: list[bool],
    look_up: Callable[[str], tuple[str, str]],
    known: Set[str],
) -> str | None:
    """One line, None when it disappears; ``blocks`` holds what the blocks around it decided and is brought up to date."""
    has_tags = dropped = False
    hidden = bool(blocks) and not blocks[-1]
    alone = sum(isinstance(piece, _Placeholder) for piece in pieces) == 1 and all(
        isinstance(piece, _Placeholder | _Open | _Close) or not piece.text.strip() for piece in pieces
    )
    written: list[str] = []
    for piece in pieces:
        match piece:
            case _Open(name=name):
                has_tags = True
                blocks.append(bool(look_up(name)[0]) and (not blocks or blocks[-1]))
            case _Close():
                has_tags = True
                blocks.pop()
            case _ if blocks and not blocks[-1]:
                hidden = True
            case _Text(text=text):
                written.append(text)
            case _Placeholder(name=name) if name in known:
                inline, block = look_up(name)
                dropped = dropped or not inline
                written.append(block if alone else inline)
            case _Placeholder(name=name):
                written.append("{" + name + "}")
    line = "".join(written)
    if dropped or ((has_tags or hidden) and not line.strip()):
        return None
    return line


def _forms(name: str, value: JsonValue) -> tuple[str, str]:
    """A value as it stands within a line, and alone on its line; both empty when there is no value."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        entries = [_entry(entry) for entry in value[:LONGEST_LIST]]
        entries = [entry for entry in entries if entry]
        if entries and len(value) > LONGEST_LIST:
            entries.append(f"… {len(value) - LONGEST_LIST} more")
        return "; ".join(entries), "\n".join(f"- {entry}" for entry in entries)
    text = _text(name, value)
    return text, text


def _entry(value: JsonValue) -> str:
    return escape(fold(_cut(_plain(value), LONGEST_VALUE // 10)))


def _text(name: str, value: JsonValue) -> str:
    if isinstance(value, Mapping):
        return inert(_cut(_dumped(value), LONGEST_VALUE)) if value else ""
    text = _cut(_plain(value), LONGEST_VALUE)
    if not isinstance(value, str) or not text.strip():
        return text.strip()
    if name not in _MULTI_LINE:
        text = fold(text)
    return inert(text.strip()) if name in _RAW | _OURS else escape(text.strip())


def _plain(value: JsonValue) -> str:
    match value:
        case None | False:
            return ""
        case True:
            return "true"
        case float() if not math.isfinite(value):
            return ""
        case float() if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        case str():
            return value
        case int() | float():
            return str(value)
        case _:
            return _dumped(value)


def _dumped(value: JsonValue) -> str:
    try:
        return json.dumps(value, indent=2, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return ""


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
