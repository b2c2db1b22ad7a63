"""The model provider as the core sees it: one request, a stream of events, one kind of error.

Nothing here names a wire: two endpoints of one provider, or a simulator in memory, speak these same events. Events of
different output items may overlap; ``index`` tells them apart and is the item's position in the final output.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from enum import StrEnum
from typing import Protocol, TypeAlias, runtime_checkable

from attrs import field, frozen

from openrouter_pipe.ports.items import Citation, InputItem, ItemKind, OutputItem
from openrouter_pipe.ports.json import JsonObject, JsonValue
from openrouter_pipe.ports.settings import Secret
from openrouter_pipe.ports.telemetry import Usage


class Endpoint(StrEnum):
    """The two ways OpenRouter answers a chat."""

    RESPONSES = "responses"
    CHAT_COMPLETIONS = "chat_completions"


@frozen
class Reasoning:
    """What reasoning to ask for; every field None asks for the provider's default.

    ``legacy`` asks through the older on/off switch (include_reasoning) and nothing else.
    """

    effort: str | None = None
    max_tokens: int | None = None
    summary: str | None = None
    enabled: bool | None = None
    legacy: bool = False
    extra: JsonObject = field(factory=dict)


@frozen
class OutputFormat:
    """Structured output: ``kind`` is text, json_object or json_schema (then name and schema are set).

    The chat completions endpoint also knows grammar (then grammar is set) and python.
    """

    kind: str
    name: str = ""
    schema: JsonObject | None = None
    strict: bool | None = None
    description: str | None = None
    grammar: str = ""


@frozen
class FunctionTool:
    """A function that the model may call. ``name`` fits ``^[a-zA-Z0-9_-]{1,64}$``."""

    name: str
    description: str = ""
    parameters: JsonObject | None = None
    strict: bool | None = None


@frozen
class HostedTool:
    """A tool that the provider runs, given in the provider's own JSON."""

    payload: JsonObject


ProviderTool: TypeAlias = FunctionTool | HostedTool


@frozen
class PromptCaching:
    """Ask for prompt caching: life time (5m or 1h) and the indices of the input items that carry a breakpoint."""

    ttl: str
    breakpoints: tuple[int, ...] = ()


@frozen
class ProviderRequest:
    """Everything that one round asks of the provider.

    ``parameters`` holds documented sampling and routing parameters by the provider's names (temperature, top_p, stop,
    provider, plugins, …), already checked against the endpoint's list. ``beta_features`` are opt-in names of the
    upstream (interleaved thinking). ``tool_choice`` is auto, none, required, or a mapping as the flat form has it.
    """

    endpoint: Endpoint
    model: str
    input: tuple[InputItem, ...]
    stream: bool = True
    fallback_models: tuple[str, ...] = ()
    instructions: str | None = None
    tools: tuple[ProviderTool, ...] = ()
    tool_choice: JsonValue = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: int | None = None
    reasoning: Reasoning | None = None
    output_format: OutputFormat | None = None
    verbosity: str | None = None
    caching: PromptCaching | None = None
    plugins: tuple[JsonObject, ...] = ()
    user: str | None = None
    session_id: str | None = None
    metadata: JsonObject = field(factory=dict)
    parameters: JsonObject = field(factory=dict)
    beta_features: tuple[str, ...] = ()


@frozen
class Connection:
    """Where and how to reach the provider, read from the settings at the start of a turn. Times in seconds.

    More than ``event_queue_warn_size`` events waiting in one stream are worth a warning in the log.
    """

    base_url: str
    api_key: Secret
    referer: str
    title: str
    connect_timeout: float = 10.0
    read_timeout: float = 300.0
    total_timeout: float | None = None
    event_queue_warn_size: int = 1000


@frozen
class ResponseStarted:
    """The provider took the request."""

    response_id: str | None
    model: str | None


@frozen
class ItemStarted:
    """An output item began; ``item`` holds what is known of it so far (calls: id and name)."""

    index: int
    kind: ItemKind
    item: OutputItem


@frozen
class TextDelta:
    """More text of a message. ``part`` counts parts within the item."""

    index: int
    part: int
    text: str


@frozen
class TextSnapshot:
    """All text of one message part so far; may repeat what deltas brought."""

    index: int
    part: int
    text: str


@frozen
class RefusalDelta:
    """More of a refusal."""

    index: int
    part: int
    text: str


@frozen
class RefusalSnapshot:
    """All of a refusal so far."""

    index: int
    part: int
    text: str


@frozen
class ReasoningDelta:
    """More reasoning; ``summary`` tells the provider's summary from the raw text."""

    index: int
    part: int
    text: str
    summary: bool


@frozen
class ReasoningSnapshot:
    """All reasoning of one part so far; may repeat what deltas brought."""

    index: int
    part: int
    text: str
    summary: bool


@frozen
class ArgumentsDelta:
    """More argument text of a function call."""

    index: int
    text: str


@frozen
class ArgumentsSnapshot:
    """All argument text of a function call; counts more than what deltas brought."""

    index: int
    text: str


@frozen
class CitationAdded:
    """A source for the message at ``index``."""

    index: int
    citation: Citation


@frozen
class ServerToolProgress:
    """A provider-run tool moved on; ``phase`` is in_progress, searching, generating, completed, …"""

    index: int
    kind: str
    phase: str


@frozen
class ItemFinished:
    """An output item is final; ``item`` is the truth even where deltas were missing."""

    index: int
    item: OutputItem


class FinishStatus(StrEnum):
    """How a response ended."""

    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    FAILED = "failed"


@frozen
class ResponseFinished:
    """The one terminal event of a whole stream.

    ``reason`` says why an incomplete answer stopped (max_output_tokens, content_filter, …). ``output`` is the final list
    as the provider repeats it, possibly empty. ``fault`` is set when the status is failed.
    """

    status: FinishStatus
    usage: Usage | None = None
    reason: str | None = None
    output: tuple[OutputItem, ...] = ()
    model: str | None = None
    response_id: str | None = None
    native_finish_reason: str | None = None
    fault: ProviderFault | None = None


ProviderEvent: TypeAlias = (
    ResponseStarted
    | ItemStarted
    | TextDelta
    | TextSnapshot
    | RefusalDelta
    | RefusalSnapshot
    | ReasoningDelta
    | ReasoningSnapshot
    | ArgumentsDelta
    | ArgumentsSnapshot
    | CitationAdded
    | ServerToolProgress
    | ItemFinished
    | ResponseFinished
)


class FaultKind(StrEnum):
    """Where a failure arose."""

    STATUS = "status"  # the provider answered with an error status
    STREAM = "stream"  # the provider reported an error inside a running stream
    CONNECT_TIMEOUT = "connect_timeout"
    READ_TIMEOUT = "read_timeout"
    TOTAL_TIMEOUT = "total_timeout"
    CONNECTION = "connection"  # refused, reset, DNS, TLS
    TRUNCATED = "truncated"  # the stream ended without a terminal event
    MALFORMED = "malformed"  # an answer that is not what the contract says


class FaultCause(StrEnum):
    """What the provider says was wrong, where it says more than its status does."""

    MODERATION = "moderation"  # a moderator or a guardrail refused the text
    NO_ROUTE = "no_route"  # no endpoint of the model may or can take the request
    KEY_LIMIT = "key_limit"  # the spending limit of the API key
    LENGTH = "length"  # more tokens than the model takes or can answer with


@frozen
class FaultEvidence:
    """What an error tells beside its message; empty where it tells nothing. Texts are the provider's own, not yet redacted.

    ``upstream_*`` is the error of the provider behind OpenRouter: its type, its words, and the whole as an object or as
    text. ``rate_limit`` says what was limited, ``required_cost`` and ``account_balance`` are in credits, ``hints`` are for
    whoever runs this.
    """

    causes: tuple[FaultCause, ...] = ()
    upstream_type: str = ""
    upstream_message: str = field(default="", repr=False)
    upstream_error: JsonValue = field(default="", repr=False)
    reason: str = ""
    moderation_reasons: tuple[str, ...] = ()
    flagged_text: str = field(default="", repr=False)
    rate_limit: str = ""
    required_cost: float | None = None
    account_balance: float | None = None
    hints: tuple[str, ...] = field(default=(), repr=False)


@frozen
class ProviderFault:
    """One failure of the provider or of the way to it, with everything that was learnt about it.

    ``status`` is the HTTP status, the one named inside the stream, or the one that the error's type stands for; None if
    there is none. ``metadata`` is what came with the error, to be shown and not to be read: what it means is in
    ``evidence``. ``body`` is the raw error body, cut to 16 KiB and not yet redacted. ``retry_after`` is in seconds from
    now, None when not told. ``provider`` is who is to blame, ``stream_provider`` who the stream says that it comes from.
    """

    kind: FaultKind
    message: str
    status: int | None = None
    code: str | None = None
    error_type: str | None = None
    provider: str | None = None
    request_id: str | None = None
    retry_after: float | None = None
    retryable: bool | None = None
    evidence: FaultEvidence = FaultEvidence()
    metadata: JsonObject = field(factory=dict, repr=False)
    body: str = field(default="", repr=False)
    endpoint_url: str | None = None
    timeout: float | None = None
    model: str | None = None
    chunk_id: str | None = None
    chunk_created: int | None = None
    native_finish_reason: str | None = None
    stream_provider: str | None = None


class ProviderError(Exception):
    """Raised by `ResponsesProvider.stream`, before or between events; carries the fault."""

    def __init__(self, fault: ProviderFault) -> None:
        super().__init__(f"{fault.kind.value}: {fault.message}")
        self.fault = fault


class ProviderStream(Protocol):
    """The events of one round; an asynchronous generator is one. It may also be able to `LookAhead`."""

    def __aiter__(self) -> AsyncIterator[ProviderEvent]:
        """The stream itself."""

    def __anext__(self) -> Awaitable[ProviderEvent]:
        """The next event."""

    def aclose(self) -> Awaitable[None]:
        """End the round, wherever it is."""


@runtime_checkable
class LookAhead(Protocol):
    """What a `ProviderStream` may offer beyond being iterated; without it no event is ever held back to be merged."""

    def ready(self) -> bool:
        """Whether the next event will come without waiting. Must be exact: what is held back waits for that event."""


class ResponsesProvider(Protocol):
    """A provider of model answers (driven port)."""

    def stream(self, request: ProviderRequest, connection: Connection) -> ProviderStream:
        """Run one round.

        Yields events in the provider's order and ends after `ResponseFinished`. ``request.stream`` False asks the
        provider for one whole answer; the same events come out. Closing the stream closes the connection at once.
        Never retries: whether to try again is the caller's knowledge.

        Raises:
            ProviderError: an error status, no connection, a time-out, an error inside the stream, a truncated stream.
        """
