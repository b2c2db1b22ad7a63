"""Progress lines while a turn runs: their words and their pace. The last line of a turn is made in `domain.usage`.

Every line costs the host a write to its database, so at most two a second leave; a line that comes too early waits for
the next event and is replaced by a newer one. The newest line of a thought that has ended leaves at once where two a second
allow it: a short thought would otherwise never be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from openrouter_pipe.ports.chat import StatusChanged
from openrouter_pipe.ports.items import Citation, ServerToolItem
from openrouter_pipe.ports.runtime import Clock

THINKING: Final = "Thinking…"
"""Shown once a turn, before the first thought."""

_INTERVAL_SECONDS: Final = 0.5
_SECOND: Final = 1.0
_LINE_CHARACTERS: Final = 200
_RUNNING: Final = (
    ("web_search", "Searching the web…"),
    ("web_fetch", "Reading a web page…"),
    ("file_search", "Searching files…"),
    ("image", "Generating an image…"),
    ("code", "Running code…"),
    ("shell", "Running a command…"),
    ("datetime", "Looking at the clock…"),
)


class StatusLine:
    """Paces the lines of one turn. Tells whether any line was shown, since only then the host waits for a last one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_time: float | None = None
        self._time_before: float | None = None
        self._last_text = ""
        self._waiting: StatusChanged | None = None
        self.shown = False

    @property
    def waiting(self) -> bool:
        """Whether a line waits for its time."""
        return self._waiting is not None

    def show(self, text: str, sources: Sequence[Citation] = ()) -> StatusChanged | None:
        """The line to send now, or None when it repeats the last one or has to wait."""
        if text == self._last_text and not sources:
            self._waiting = None
            return None
        self._waiting = StatusChanged(text, sources=sources)
        return self.due()

    def due(self, *, at_once: bool = False) -> StatusChanged | None:
        """The waiting line if its time has come; ``at_once``: if it would not be the third within a second."""
        line, now = self._waiting, self._clock.monotonic()
        if line is None or self._is_within(self._time_before, now, _SECOND):
            return None
        if not at_once and self._is_within(self._last_time, now, _INTERVAL_SECONDS):
            return None
        self._waiting = None
        self._time_before, self._last_time = self._last_time, now
        self._last_text, self.shown = line.text, True
        return line

    @staticmethod
    def _is_within(earlier: float | None, now: float, seconds: float) -> bool:
        return earlier is not None and now - earlier < seconds


class ThoughtLine:
    """The newest line of a stream of thought, in memory bounded by one line."""

    def __init__(self) -> None:
        self._line = ""

    def add(self, text: str) -> str:
        """The newest line with words in it, without Markdown marks, cut to 200 characters; empty if there is none."""
        lines = (self._line + text).split("\n")
        spoken = [line for line in lines if line.strip(" *#_>`-\t\r")]
        self._line = lines[-1][: 4 * _LINE_CHARACTERS]
        return _shortened(spoken[-1].strip(" *#_>`\t\r")) if spoken else ""

    def end_line(self) -> None:
        """The next text begins a new line."""
        self._line = ""


def tool_running(kind: str) -> str:
    """The line for a provider-run tool at work; ``kind`` is the provider's name for it."""
    for mark, text in _RUNNING:
        if mark in kind:
            return text
    return f"Using {_spoken(kind)}…"


def tool_done(item: ServerToolItem) -> str:
    """The line for a provider-run tool that has ended."""
    if item.status == "failed":
        return f"{_spoken(item.kind).capitalize()} failed"
    if "search" in item.kind and item.query:
        return _shortened(f"Searched for “{item.query}”")
    return f"{_spoken(item.kind).capitalize()} done"


def _spoken(kind: str) -> str:
    return kind.rpartition(":")[2].removesuffix("_call").replace("_", " ") or "a tool"


def _shortened(text: str) -> str:
    return text if len(text) <= _LINE_CHARACTERS else text[: _LINE_CHARACTERS - 1] + "…"
