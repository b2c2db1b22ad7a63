"""The terminal as a front end: what is shown, what is kept, what a hostile model cannot do."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncGenerator, Sequence

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from openrouter_pipe.adapters.memory import CountingIds
from openrouter_pipe.adapters.terminal import JsonRenderer, LiveRenderer, TerminalChat, printable
from openrouter_pipe.adapters.terminal.chat import models_table
from openrouter_pipe.ports.chat import (
    ChatEvent,
    ChatRequest,
    CitationsFound,
    Completed,
    Failed,
    ItemClosed,
    ItemOpened,
    MarkersIssued,
    ModelListing,
    NoticeAdded,
    ReasoningAdded,
    StatusChanged,
    TextAdded,
    ToolFinished,
    ToolStarted,
)
from openrouter_pipe.ports.items import Citation, FunctionCallItem, ItemKind, MessageItem, Role, TextPart
from openrouter_pipe.ports.settings import Settings
from openrouter_pipe.ports.telemetry import Usage
from openrouter_pipe.ports.tools import ToolOutput

CALL = FunctionCallItem("call_1", "clock", "{}")
EVERYTHING: tuple[ChatEvent, ...] = (
    ItemOpened(0, ItemKind.REASONING, "rs"),
    ReasoningAdded(0, 0, "Thinking", summary=True),
    ToolStarted(1, CALL),
    ToolFinished(2, CALL, ToolOutput("call_1", "noon")),
    ItemOpened(3, ItemKind.MESSAGE, "msg"),
    TextAdded(3, "Hel"),
    TextAdded(3, "lo"),
    ItemClosed(3, MessageItem(Role.ASSISTANT, (TextPart("Hello"),))),
    CitationsFound((Citation("https://a.example", "A"),)),
    NoticeAdded("A notice"),
    MarkersIssued("[0123456789ABCDEFGHJK]: #"),
    StatusChanged("Time: 1s", done=True),
    Completed(Usage(total_tokens=3), "m"),
)


class Scripted:
    """A chat service that plays one list of events a turn."""

    def __init__(self, *turns: Sequence[ChatEvent]) -> None:
        self.turns = list(turns)
        self.requests: list[ChatRequest] = []

    async def respond(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        self.requests.append(request)
        for event in self.turns.pop(0):
            yield event

    async def models(self, settings: Settings) -> tuple[ModelListing, ...]:
        return ()


def live(events: Sequence[ChatEvent]) -> str:
    out = io.StringIO()
    renderer = LiveRenderer(Console(file=out, width=200, no_color=True))
    for event in events:
        renderer.show(event)
    return out.getvalue()


def test_reasoning_tools_text_sources_and_usage_each_on_their_own_lines() -> None:
    assert live(EVERYTHING).splitlines() == [
        "Thinking",
        "→ clock({})",
        "✓ clock: noon",
        "Hello",
        "[source] A https://a.example",
        "A notice",
        "Time: 1s",
    ]


def test_json_lines_hold_every_event_with_its_type() -> None:
    lines: list[str] = []
    renderer = JsonRenderer(lines.append)
    for event in EVERYTHING:
        renderer.show(event)
    read = [json.loads(line) for line in lines]
    assert [entry["type"] for entry in read][:4] == ["item_opened", "reasoning_added", "tool_started", "tool_finished"]
    assert "".join(entry["text"] for entry in read if entry["type"] == "text_added") == "Hello"
    assert read[-1]["usage"]["total_tokens"] == 3


@given(st.text())
def test_no_control_character_reaches_the_terminal(text: str) -> None:
    shown = printable(text + "\x1b]0;owned\x07\x1b[2J\x9b31m")
    assert not any(char < " " and char not in "\n\t" for char in shown)
    assert "\x7f" not in shown
    assert not any("\x80" <= char <= "\x9f" for char in shown)


async def test_the_history_holds_what_was_said_and_the_markers_but_no_failed_turn() -> None:
    failed = Failed("0" * 16, "rate_limit", "Too many requests", 429)
    service = Scripted(EVERYTHING, [failed], [Completed()])
    chat = TerminalChat(service, Settings(), CountingIds(), JsonRenderer(lambda line: None), "m")
    assert await chat.ask("one")
    assert not await chat.ask("two")
    assert await chat.ask("three")
    messages = service.requests[2].messages
    assert [message.role for message in messages] == [Role.USER, Role.ASSISTANT, Role.USER]
    assert messages[1].parts == (TextPart("HelloA notice\n\n[0123456789ABCDEFGHJK]: #"),)
    assert messages[2].parts == (TextPart("three"),)


async def test_commands_change_the_model_and_forget_the_conversation() -> None:
    service = Scripted(EVERYTHING, EVERYTHING)
    chat = TerminalChat(service, Settings(), CountingIds(), JsonRenderer(lambda line: None), "m")
    lines = iter(["hello", "/model x/y", "/reset", "/help", "/models", "again", "/quit"])
    out = io.StringIO()
    await chat.interact(Console(file=out, width=200), lambda: next(lines))
    assert [request.model for request in service.requests] == ["m", "x/y"]
    assert len(service.requests[1].messages) == 1
    assert "/reset" in out.getvalue()


def test_the_model_table_filters_and_says_how_many() -> None:
    listings = tuple(ModelListing(f"vendor.m{n}", f"Model {n}") for n in range(100))
    table = models_table(listings, "m9")
    assert str(table.title) == "11 of 100 models"
    assert table.row_count == 11
    assert str(models_table(listings).title) == "100 of 100 models (first 60 shown)"
