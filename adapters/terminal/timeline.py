"""A session log as a timeline: what was asked, what the provider said, what the tools did, how it ended, and when.

Works on the JSON of a record alone, so that a record of an older version still shows what can be understood of it; runs of
deltas become one line. Everything shown came from users, models and networks: nothing in it is obeyed by the terminal.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from attrs import frozen

_LONGEST: Final = 400
_DELTAS: Final = {
    "TextDelta": "text",
    "TextAdded": "text",
    "ReasoningDelta": "reasoning",
    "ReasoningAdded": "reasoning",
    "RefusalDelta": "refusal",
    "ArgumentsDelta": "arguments",
}


@frozen
class Line:
    """One line: seconds since the beginning of the turn, who (asked, sent, provider, shown, tool, log, error), what."""

    at: float
    who: str
    what: str


def timeline(entries: Iterable[Mapping[str, Any]], *, logs: bool = True) -> list[Line]:
    """The lines of a record. ``logs`` False leaves out what was logged in words below WARNING."""
    lines: list[Line] = []
    runs: dict[tuple[str, str], _Run] = {}  # what the provider says is shown at once: the two take turns
    start: float | None = None
    for entry in entries:
        seconds = _seconds(entry.get("ts"))
        start = seconds if start is None else start
        at = seconds - start
        kind, message = str(entry.get("event_type", "")), str(entry.get("message", ""))
        value = _object(message) if kind != "log" else {}
        if (name := _DELTAS.get(str(value.get("_")))) is not None:
            who = "provider" if kind.startswith("provider") else "shown"
            runs.setdefault((who, name), _Run(who, name, at)).add(at, str(value.get("text", "")))
            continue
        if value.get("_") == "ItemOpened":
            lines.extend(_lines(at, kind, value, message, entry, logs=logs))
            continue
        lines.extend(run.line() for run in runs.values())
        runs.clear()
        lines.extend(_lines(at, kind, value, message, entry, logs=logs))
    lines.extend(run.line() for run in runs.values())
    return lines


class _Run:
    """Deltas of one kind in a row."""

    def __init__(self, who: str, name: str, at: float) -> None:
        self._key = (who, name)
        self._at = self._end = at
        self._count = 0
        self._text = ""
        self._length = 0

    def add(self, at: float, text: str) -> None:
        self._end, self._count, self._length = at, self._count + 1, self._length + len(text)
        if len(self._text) < _LONGEST:
            self._text += text

    def line(self) -> Line:
        who, name = self._key
        took = self._end - self._at
        return Line(
            self._at, who, f"{self._count} {name} events ({self._length} characters, {took:.2f} s): {safe(self._text)}"
        )


def _lines(
    at: float, kind: str, value: Mapping[str, Any], message: str, entry: Mapping[str, Any], *, logs: bool
) -> Iterator[Line]:
    name = str(value.get("_", ""))
    match kind:
        case "request":
            said = value.get("messages") or []
            chosen = value.get("settings") or {}
            yield Line(
                at,
                "asked",
                f"{safe(str(value.get('model', '')))}, {len(said)} messages, settings {safe(_short(chosen))}",
            )
        case "provider.request":
            items, tools = value.get("input") or [], value.get("tools") or []
            where = f"{safe(str(value.get('model', '')))} by {safe(str(value.get('endpoint', '')))}"
            yield Line(at, "sent", f"{where}, {len(items)} items, {len(tools)} tools")
        case "provider.fault":
            yield Line(at, "error", f"provider: {safe(_short(value))}")
        case "provider.event":
            yield Line(at, "provider", f"{name} {safe(_short(_rest(value)))}")
        case "event":
            who = "tool" if name.startswith("Tool") else "error" if name == "Failed" else "shown"
            yield Line(at, who, f"{name} {safe(_short(_rest(value)))}")
        case _:
            loud = entry.get("level") in {"WARNING", "ERROR", "CRITICAL"}
            if logs or loud:
                trace = f" | {entry['exception']}" if entry.get("exception") else ""
                yield Line(at, "error" if loud else "log", safe(f"{entry.get('level', '')} {message}{trace}"))


def safe(text: str) -> str:
    """``text`` on one line, cut, without anything that a terminal would obey."""
    cut = text[:_LONGEST] + ("…" if len(text) > _LONGEST else "")
    return "".join(char if char.isprintable() else " " for char in cut)


def _rest(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: inner for key, inner in value.items() if key not in {"_", "payload"}}


def _short(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if value else ""


def _object(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _seconds(value: object) -> float:
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except ValueError:
        return 0.0
