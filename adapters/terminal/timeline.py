"""A session log as a timeline: what was asked and known, what the provider said, what the tools did, how it ended, and when.

Works on the JSON of a record alone, so that a record of an older version still shows what can be understood of it; runs of
deltas become one line. Everything shown came from users, models and networks: nothing in it is obeyed by the terminal.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
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
    """One line: seconds since the beginning of the turn, who (asked, known, memory, sent, provider, shown, tool, log, record,
    error), what."""

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
        told = _told(message) if kind != "log" else None
        value = told if isinstance(told, dict) else {}
        if (name := _DELTAS.get(str(value.get("_")))) is not None:
            who = "provider" if kind.startswith("provider") else "shown"
            runs.setdefault((who, name), _Run(who, name, at)).add(at, str(value.get("text", "")))
            continue
        if value.get("_") == "ItemOpened":
            lines.extend(_lines(at, kind, told, entry, logs=logs))
            continue
        lines.extend(run.line() for run in runs.values())
        runs.clear()
        lines.extend(_lines(at, kind, told, entry, logs=logs))
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


def _lines(at: float, kind: str, told: Any, entry: Mapping[str, Any], *, logs: bool) -> Iterator[Line]:
    if kind in _LABELS:
        who, words = _LABELS[kind](told)
        yield Line(at, who, safe(words))
        return
    if kind not in {"log", ""}:  # a record of a newer version
        yield Line(at, "record", safe(f"{kind}: {_short(told) or entry.get('message', '')}"))
        return
    loud = entry.get("level") in {"WARNING", "ERROR", "CRITICAL"}
    if logs or loud:
        trace = f" | {entry['exception']}" if entry.get("exception") else ""
        words = f"{entry.get('level', '')} {entry.get('message', '')}{trace}"
        yield Line(at, "error" if loud else "log", safe(words))


def _asked(told: Any) -> tuple[str, str]:
    said, chosen = _list(told, "messages"), _get(told, "settings") or {}
    parts = Counter(
        str(_get(part, "_")).removesuffix("Part").lower() for message in said for part in _list(message, "parts")
    )
    kinds = "".join(
        f", {_counted(count, kind)}" for kind, count in sorted(parts.items()) if kind not in {"text", "none"}
    )
    return "asked", f"{_get(told, 'model') or ''}, {_counted(len(said), 'message')}{kinds}, settings {_short(chosen)}"


def _card(told: Any) -> tuple[str, str]:
    if not told:
        return "known", "the catalogue has no such model"
    able = _get(told, "capabilities") or {}
    length = f", context {_get(told, 'context_length')}" if _get(told, "context_length") else ""
    return "known", f"model {_get(told, 'id') or ''}{length}, {_short(_rest(able)) or 'no capabilities'}"


def _no_catalogue(told: Any) -> tuple[str, str]:
    return "error", f"no catalogue: {_short(_rest(told))}"


def _offered(told: Any) -> tuple[str, str]:
    names = ", ".join(str(_get(spec, "name")) for spec in _list(told))
    return "known", f"{_counted(len(_list(told)), 'tool')} on offer: {names}" if names else "no tools on offer"


def _loaded(told: Any) -> tuple[str, str]:
    kinds = Counter(str(_get(one, "item_type")) for one in _list(told))
    listed = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return "memory", f"{_counted(len(_list(told)), 'stored item')} read{': ' if listed else ''}{listed}"


def _saved(told: Any) -> tuple[str, str]:
    return "memory", f"{sum(one is True for one in _list(told))} of {_counted(len(_list(told)), 'item')} stored"


def _store_fault(told: Any) -> tuple[str, str]:
    step, words = (*_list(told), "", "")[:2]
    return "error", f"memory, {step}: {words}"


def _sent(told: Any) -> tuple[str, str]:
    items, tools = _list(told, "input"), _list(told, "tools")
    where = f"{_get(told, 'model') or ''} by {_get(told, 'endpoint') or ''}"
    return "sent", f"{where}, {_counted(len(items), 'item')}, {_counted(len(tools), 'tool')}"


def _said(told: Any) -> tuple[str, str]:
    return "provider", f"{_get(told, '_') or ''} {_short(_rest(told))}"


def _fault(told: Any) -> tuple[str, str]:
    return "error", f"provider: {_short(told)}"


def _shown(told: Any) -> tuple[str, str]:
    name = str(_get(told, "_") or "")
    who = "tool" if name.startswith("Tool") else "error" if name == "Failed" else "shown"
    return who, f"{name} {_short(_rest(told))}"


_LABELS: Final[Mapping[str, Callable[[Any], tuple[str, str]]]] = {
    "request": _asked,
    "model.card": _card,
    "catalogue.fault": _no_catalogue,
    "tools": _offered,
    "artifacts": _loaded,
    "artifacts.saved": _saved,
    "artifacts.fault": _store_fault,
    "provider.request": _sent,
    "provider.event": _said,
    "provider.fault": _fault,
    "event": _shown,
}
"""What is said of a structure, by the type under which records keep it."""


def safe(text: str) -> str:
    """``text`` on one line, cut, without anything that a terminal would obey."""
    cut = text[:_LONGEST] + ("…" if len(text) > _LONGEST else "")
    return "".join(char if char.isprintable() else " " for char in cut)


def _rest(value: Any) -> dict[str, Any]:
    return (
        {key: inner for key, inner in value.items() if key not in {"_", "payload"}} if isinstance(value, dict) else {}
    )


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _list(value: Any, name: str = "") -> list[Any]:
    found = _get(value, name) if name else value
    return found if isinstance(found, list) else []


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _short(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if value else ""


def _told(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _seconds(value: object) -> float:
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except ValueError:
        return 0.0
