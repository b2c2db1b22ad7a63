"""Chat events on a terminal: for people (live, styled) or for programs (one JSON object a line)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Protocol

import attrs
from rich.console import Console

from openrouter_pipe.ports.chat import (
    ChatEvent,
    CitationsFound,
    Completed,
    Failed,
    ImageProduced,
    ItemClosed,
    ItemOpened,
    MarkersIssued,
    NoticeAdded,
    Notified,
    ReasoningAdded,
    StatusChanged,
    TextAdded,
    ToolFinished,
    ToolStarted,
)


class Renderer(Protocol):
    """Shows the events of one turn."""

    def show(self, event: ChatEvent) -> None:
        """Show one event, in order."""


def printable(text: str) -> str:
    """``text`` without control and escape characters (line feed and tab stay): a model must not steer the terminal."""
    return "".join(
        char for char in text if char in "\n\t" or (char >= " " and char != "\x7f" and not "\x80" <= char <= "\x9f")
    )


class LiveRenderer:
    """Writes reasoning dim, text plain, notices and errors marked, usage last."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._mode = ""
        self._fresh = True

    def show(self, event: ChatEvent) -> None:
        """Write one event; markers and item boundaries are not for the eye."""
        match event:
            case TextAdded(text=text):
                self._stream("text", text, "")
            case ReasoningAdded(text=text):
                self._stream("reasoning", text, "dim italic")
            case NoticeAdded(text=text):
                self._block(text, "yellow")
            case ToolStarted(call=call):
                self._block(f"→ {call.name}({call.arguments})", "cyan")
            case ToolFinished(call=call, output=output):
                self._block(f"{'✓' if output.ok else '✗'} {call.name}: {_shortened(output.text)}", "cyan")
            case CitationsFound(citations=citations):
                for citation in citations:
                    self._block(f"[source] {citation.title or citation.url} {citation.url}", "blue")
            case ImageProduced(url=url):
                self._block(f"[image] {_shortened(url)}", "blue")
            case StatusChanged(text=text, done=done):
                self._block(text, "dim" if not done else "dim green")
            case Notified(text=text):
                self._block(text, "yellow")
            case Failed(text=text, partial=partial):
                self._block("" if partial else text, "red")
            case Completed(reason=reason):
                if reason:
                    self._block(f"(incomplete: {reason})", "yellow")
                self._break()
            case ItemOpened() | ItemClosed() | MarkersIssued():
                pass

    def _stream(self, mode: str, text: str, style: str) -> None:
        if mode != self._mode:
            self._break()
            self._mode = mode
        clean = printable(text)
        if clean:
            self._fresh = clean.endswith("\n")
            self._console.print(clean, end="", style=style, markup=False, highlight=False, soft_wrap=True)

    def _block(self, text: str, style: str) -> None:
        self._break()
        if text.strip():
            self._console.print(printable(text).strip(), style=style, markup=False, highlight=False, soft_wrap=True)

    def _break(self) -> None:
        if not self._fresh:
            self._console.print()
        self._fresh = True
        self._mode = ""


class JsonRenderer:
    """Writes each event as one JSON object with a ``type`` and the event's own fields."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def show(self, event: ChatEvent) -> None:
        """Write one line."""
        fields = attrs.asdict(event)
        self._write(json.dumps({"type": _snake(type(event).__name__), **fields}, ensure_ascii=False, default=str))


def _snake(name: str) -> str:
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name).lstrip("_")


def _shortened(text: str, limit: int = 200) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
