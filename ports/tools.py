"""Tools as the core sees them: what is offered, what is called, what comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Protocol

from attrs import field, frozen

from openrouter_pipe.ports.items import Part
from openrouter_pipe.ports.json import JsonObject, JsonValue


@frozen
class ToolSpec:
    """A tool on offer. ``name`` is the display name, not yet made valid; ``kind`` groups tools by where they run
    (local, builtin, openapi, mcp, direct, terminal, extra)."""

    name: str
    description: str
    parameters: JsonObject
    kind: str = "local"


@frozen
class ToolCall:
    """One call to run; ``name`` and ``kind`` are those of the spec.

    ``pause`` stops the clocks of the call while a person is being asked, and lets others have its place meanwhile: a
    toolbox waits for people inside of it. All pauses of a call together are bounded by ten minutes.
    """

    call_id: str
    name: str
    arguments: Mapping[str, JsonValue] = field(repr=False)
    kind: str = "local"
    pause: Callable[[], AbstractAsyncContextManager[None]] = field(default=nullcontext, repr=False, eq=False)


@frozen
class ToolFile:
    """A file or image that a tool handed over; ``url`` is an address inside the host, http(s) or a data URL."""

    url: str = field(repr=False)
    kind: str = "file"
    name: str = ""


@frozen
class ToolSource:
    """A source that a tool names, in the host's own citation shape."""

    payload: JsonObject


@frozen
class ToolOutput:
    """What a tool answered. ``text`` goes to the model; files, embeds (HTML or address) and sources to the user.

    ``ok`` False marks a failure that is told to the model as text. ``parts`` replaces the text towards the model when it
    answered with images or files.
    """

    call_id: str
    text: str = field(repr=False)
    ok: bool = True
    parts: tuple[Part, ...] = field(default=(), repr=False)
    files: tuple[ToolFile, ...] = field(default=(), repr=False)
    embeds: tuple[str, ...] = field(default=(), repr=False)
    sources: tuple[ToolSource, ...] = field(default=(), repr=False)
    reason: str = ""


class ToolNotRunError(Exception):
    """Raised by a toolbox when it is certain that nothing happened, so that trying again is safe."""


class Toolbox(Protocol):
    """The tools of one turn (driven port); made by the front end for each request."""

    def specs(self) -> Sequence[ToolSpec]:
        """What is on offer, in order of precedence: a later spec of the same (kind, name) wins."""

    async def run(self, call: ToolCall) -> ToolOutput:
        """Run one tool once. That there is no such tool is told to the model, in a failed output.

        Raises:
            ToolNotRunError: nothing happened; the call may be repeated.
            Exception: anything the tool raised; the caller turns it into a failed output and never repeats it.
        """
