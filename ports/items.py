"""What a conversation is made of: message parts, input items and output items, in provider-neutral terms.

An item that came from a provider carries its ``payload``, the exact JSON object as received, so that it can be sent back
or stored without loss; the typed fields beside it are what the core needs to reason about it. An item made by us has an
empty payload and is rendered from its fields by the provider adapter.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol, TypeAlias

from attrs import field, frozen

from openrouter_pipe.ports.json import JsonObject, JsonValue


class Role(StrEnum):
    """Who speaks."""

    SYSTEM = "system"
    DEVELOPER = "developer"
    USER = "user"
    ASSISTANT = "assistant"


@frozen
class TextPart:
    """Plain text. ``cache_control`` is a caller's own prompt-cache breakpoint, kept as given."""

    text: str
    cache_control: JsonObject | None = None


@frozen
class ImagePart:
    """An image by data URL, http(s) URL or address inside the host; ``detail`` is auto, low, high or original."""

    url: str = field(repr=False)
    detail: str = "auto"


@frozen
class FilePart:
    """A document: one of ``data_url``, ``url`` or ``host_id``."""

    filename: str | None = None
    data_url: str | None = field(default=None, repr=False)
    url: str | None = None
    host_id: str | None = None


@frozen
class AudioPart:
    """Audio as base64 ``data`` in its true ``format`` (mp3, wav, m4a, ogg, …)."""

    data: str = field(repr=False)
    format: str


@frozen
class VideoPart:
    """Video by data URL or http(s) URL."""

    url: str = field(repr=False)


@frozen
class RefusalPart:
    """The model's own words of refusal."""

    text: str


@frozen
class OpaquePart:
    """A content block nobody here knows; passed on unchanged."""

    value: JsonValue


Part: TypeAlias = TextPart | ImagePart | FilePart | AudioPart | VideoPart | RefusalPart | OpaquePart


@frozen
class Citation:
    """A source that the model names; offsets are characters into the text of its message."""

    url: str
    title: str = ""
    content: str = ""
    start: int = 0
    end: int = 0


@frozen
class MessageItem:
    """One message, of any role. ``phase`` is the provider's commentary or final_answer mark, replayed as received."""

    role: Role
    parts: tuple[Part, ...]
    id: str | None = None
    phase: str | None = None
    status: str = "completed"
    citations: tuple[Citation, ...] = ()
    payload: JsonObject = field(factory=dict, repr=False)


@frozen
class ReasoningItem:
    """One block of reasoning.

    ``summary`` and ``text`` are readable; ``encrypted`` and ``signature`` are opaque proofs without which some providers
    refuse the replay; ``format`` names the provider family that can read them. ``details`` are the chat-completions
    twin of the same block, kept verbatim. ``made_by`` is the id of the model that made a stored block; it is never sent.
    """

    id: str | None = None
    summary: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    encrypted: str | None = field(default=None, repr=False)
    signature: str | None = field(default=None, repr=False)
    format: str | None = None
    details: tuple[JsonObject, ...] = field(default=(), repr=False)
    payload: JsonObject = field(factory=dict, repr=False)
    made_by: str = field(default="", eq=False)


@frozen
class FunctionCallItem:
    """The model asks for a function; ``arguments`` is the JSON text exactly as streamed."""

    call_id: str
    name: str
    arguments: str = field(repr=False)
    id: str | None = None
    status: str = "completed"
    payload: JsonObject = field(factory=dict, repr=False)


@frozen
class FunctionOutputItem:
    """What the function answered: text, or parts when it answered with images or files."""

    call_id: str
    output: str | tuple[Part, ...] = field(repr=False)
    id: str | None = None
    status: str = "completed"
    payload: JsonObject = field(factory=dict, repr=False)


@frozen
class ImageItem:
    """An image that the model made; ``url`` is a data URL or an http(s) URL, None while it is being made."""

    id: str | None = None
    url: str | None = field(default=None, repr=False)
    status: str = "completed"
    payload: JsonObject = field(factory=dict, repr=False)


@frozen
class ServerToolItem:
    """A tool that the provider ran itself (search, fetch, …); shown, never sent back."""

    kind: str
    id: str | None = None
    status: str = "completed"
    query: str = ""
    sources: tuple[Citation, ...] = ()
    payload: JsonObject = field(factory=dict, repr=False)


@frozen
class OpaqueItem:
    """An item of a kind nobody here knows; ``payload`` is all there is."""

    kind: str
    payload: JsonObject = field(factory=dict, repr=False)


OutputItem: TypeAlias = MessageItem | ReasoningItem | FunctionCallItem | ImageItem | ServerToolItem | OpaqueItem
InputItem: TypeAlias = OutputItem | FunctionOutputItem


class ItemKind(StrEnum):
    """The kinds of output items that the core tells apart."""

    MESSAGE = "message"
    REASONING = "reasoning"
    FUNCTION_CALL = "function_call"
    IMAGE = "image"
    SERVER_TOOL = "server_tool"
    OPAQUE = "opaque"


class ItemCodec(Protocol):
    """Items to and from the provider's JSON; what stores keep and hosts hand back."""

    def decode(self, payload: JsonObject) -> InputItem:
        """Read one item; an unknown type becomes `OpaqueItem`, a broken one raises `ValueError`."""

    def encode(self, item: InputItem) -> JsonObject:
        """The provider's JSON for the item; equals ``item.payload`` wherever that is present."""

    def kind_of(self, item: InputItem) -> str:
        """The provider's name for this kind of item, under which stores file it."""
