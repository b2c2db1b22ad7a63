"""What a front end asks and what it hears (driving port).

A front end turns whatever its host hands over into one `ChatRequest`, iterates `ChatService.respond` and shows the events.
It may stop at any time by closing the iterator; that is the one and only way to cancel a turn.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from enum import StrEnum
from typing import Protocol, TypeAlias

from attrs import field, frozen

from openrouter_pipe.ports.files import FileStore
from openrouter_pipe.ports.items import Citation, FunctionCallItem, ItemKind, OutputItem, Part, Role
from openrouter_pipe.ports.json import JsonObject, JsonValue
from openrouter_pipe.ports.settings import Settings
from openrouter_pipe.ports.telemetry import Usage
from openrouter_pipe.ports.tools import Toolbox, ToolOutput


@frozen
class HostToolCall:
    """A tool call that the host's own history reports."""

    call_id: str
    name: str
    arguments: str = field(repr=False)


@frozen
class HostToolRecord:
    """A finished tool call that a host wrote into the text of an answer; ``result`` None: it does not say what came of it."""

    call: HostToolCall
    result: str | None = field(repr=False)


class HostRecords(Protocol):
    """How a host writes its own records into the text of answers (driven port, given with the request)."""

    def split(self, text: str, code: Sequence[tuple[int, int]]) -> tuple[str | HostToolRecord, ...]:
        """Text and finished tool calls in order; records of reasoning are left out, unfinished calls stay text.

        ``code`` are the offsets of code fences, ascending: what stands in them is text. An id may be empty.
        """

    def without_echoes(self, text: str, outputs: Sequence[str]) -> str:
        """``text`` without the lines by which the host repeats these tool outputs."""


@frozen
class ChatMessage:
    """One message of the history, as the front end read it.

    ``tool_calls`` (assistant) and ``tool_call_id`` (a tool's answer, role None) are the host's own record of tool use;
    ``reasoning_details`` is the opaque reasoning that the host kept for us. ``phase`` as in `MessageItem`.
    """

    role: Role | None
    parts: tuple[Part, ...]
    tool_calls: tuple[HostToolCall, ...] = ()
    tool_call_id: str | None = None
    reasoning_details: tuple[JsonObject, ...] = field(default=(), repr=False)
    phase: str | None = None


@frozen
class Identity:
    """Who asks, and where in the host. Empty strings mean unknown. ``email`` and ``name`` never leave for the provider.

    ``role`` is the host's own word for what the user may do; ``admin`` may administer it.
    """

    user_id: str = ""
    session_id: str = ""
    chat_id: str = ""
    message_id: str = ""
    email: str = field(default="", repr=False)
    name: str = field(default="", repr=False)
    role: str = ""


@frozen
class Task:
    """A background task of the host (title, tags, queries, …). ``kind`` is the host's name for it."""

    kind: str


@frozen
class ChatRequest:
    """One turn to answer.

    ``model`` is the id as the user's front end names it, with or without the host's prefix. ``parameters`` are the
    caller's own request parameters in chat or Responses spelling, unread. ``persistent`` says whether this turn may leave
    anything behind (saved chats only). ``web_search`` is the host's wish for a search (None: not asked).
    ``records`` reads what the host wrote into the text of answers; None: it writes nothing.
    """

    model: str
    messages: tuple[ChatMessage, ...]
    settings: Settings
    request_id: str
    parameters: Mapping[str, JsonValue] = field(factory=dict)
    stream: bool = True
    identity: Identity = Identity()
    persistent: bool = False
    task: Task | None = None
    toolbox: Toolbox | None = None
    files: FileStore | None = None
    web_search: bool | None = None
    host_prefix: str = ""
    records: HostRecords | None = field(default=None, repr=False)


@frozen
class ItemOpened:
    """An output item becomes visible at ``index``; indices count over the whole turn, in true order."""

    index: int
    kind: ItemKind
    id: str


@frozen
class TextAdded:
    """More answer text at ``index``; never empty."""

    index: int
    text: str


@frozen
class ReasoningAdded:
    """More reasoning at ``index``; ``part`` counts its paragraphs, ``summary`` tells summary from raw text."""

    index: int
    part: int
    text: str
    summary: bool


@frozen
class ItemClosed:
    """The item at ``index`` is final. ``seconds`` is how long it took, for reasoning."""

    index: int
    item: OutputItem
    seconds: float = 0.0


@frozen
class CitationsFound:
    """New sources, each shown once."""

    citations: tuple[Citation, ...]


@frozen
class ImageProduced:
    """An image is ready at ``url`` (inside the host where a file store was given, else as the provider sent it)."""

    url: str = field(repr=False)


@frozen
class ToolStarted:
    """A tool of ours begins; ``index`` is where its call is shown."""

    index: int
    call: FunctionCallItem


@frozen
class ToolFinished:
    """A tool of ours ended, well or badly; ``index`` is where its output is shown."""

    index: int
    call: FunctionCallItem
    output: ToolOutput


@frozen
class StatusChanged:
    """One line about progress; the last one of a turn has ``done`` True."""

    text: str
    done: bool = False
    sources: Sequence[Citation] = ()


@frozen
class NoticeAdded:
    """Words from us, not from the model, that belong to the answer (Markdown)."""

    text: str


@frozen
class MarkersIssued:
    """Artifacts are durable; these lines must reach the host's stored message (already rendered, one a line).

    ``text`` follows the answer as one string; ``apart``, where it differs, follows its last message, for a host that
    keeps the messages of an answer apart: a code fence that an earlier one leaves open is open in that one only.
    """

    text: str
    apart: str | None = None


@frozen
class Completed:
    """The turn ended as it should. ``reason`` is set when the answer is incomplete."""

    usage: Usage | None = None
    model: str = ""
    reason: str | None = None


@frozen
class Failed:
    """The turn ended in an error. ``text`` is the rendered template, ready to show; ``partial`` tells that answer text
    was shown before; then a `NoticeAdded` has already said ``text``. ``status`` is the HTTP status that fits."""

    error_id: str
    code: str
    text: str
    status: int = 500
    partial: bool = False
    usage: Usage | None = None


class Severity(StrEnum):
    """How loud a line in the host's notification area is."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@frozen
class Notified:
    """A short line outside the answer (toast).

    ``in_answer``: whoever reads the answer must know it; a front end without a place beside the answer says it in there.
    """

    text: str
    severity: Severity = Severity.INFO
    in_answer: bool = False


ChatEvent: TypeAlias = (
    ItemOpened
    | TextAdded
    | ReasoningAdded
    | ItemClosed
    | CitationsFound
    | ImageProduced
    | ToolStarted
    | ToolFinished
    | StatusChanged
    | NoticeAdded
    | MarkersIssued
    | Notified
    | Completed
    | Failed
)


@frozen
class ModelListing:
    """A model on offer: ``id`` in display form (vendor.slug), without the host's prefix."""

    id: str
    name: str
    description: str = ""


class ChatService(Protocol):
    """Answers turns (driving port)."""

    def respond(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Answer one turn.

        The last event is `Completed` or `Failed`, exactly once; nothing is raised but cancellation. Closing the
        generator cancels the turn: the upstream connection closes, running tools are cancelled, permits return.
        """

    async def models(self, settings: Settings) -> tuple[ModelListing, ...]:
        """The models that these settings expose; never raises, empty when no catalogue is to be had."""
