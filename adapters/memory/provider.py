"""A provider whose answers are written down beforehand, and the catalogue that goes with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import TypeAlias

from openrouter_pipe.ports.items import ItemKind, MessageItem, ReasoningItem, Role, TextPart
from openrouter_pipe.ports.json import JsonObject
from openrouter_pipe.ports.provider import (
    Connection,
    FaultKind,
    FinishStatus,
    ItemFinished,
    ItemStarted,
    ProviderError,
    ProviderEvent,
    ProviderFault,
    ProviderRequest,
    ReasoningDelta,
    ResponseFinished,
    ResponseStarted,
    TextDelta,
)
from openrouter_pipe.ports.telemetry import Usage

Script: TypeAlias = Sequence[ProviderEvent | ProviderFault]
"""What one round yields, in order; a fault in it is raised as `ProviderError`."""


def answer(text: str, *, reasoning: str = "", model: str = "memory/echo") -> Script:
    """The script of a plain answer, word by word, with an optional reasoning summary before it."""
    events: list[ProviderEvent] = [ResponseStarted("gen-memory", model)]
    output: list[ReasoningItem | MessageItem] = []
    if reasoning:
        thought = ReasoningItem(id="rs_memory", summary=(reasoning,))
        events.append(ItemStarted(0, ItemKind.REASONING, ReasoningItem(id="rs_memory")))
        events.extend(ReasoningDelta(0, 0, word, summary=True) for word in _words(reasoning))
        events.append(ItemFinished(0, thought))
        output.append(thought)
    index = len(output)
    message = MessageItem(Role.ASSISTANT, (TextPart(text),), id="msg_memory")
    events.append(ItemStarted(index, ItemKind.MESSAGE, MessageItem(Role.ASSISTANT, (), id="msg_memory")))
    events.extend(TextDelta(index, 0, word) for word in _words(text))
    events.append(ItemFinished(index, message))
    output.append(message)
    used, made = 10, len(text.split()) + len(reasoning.split())
    usage = Usage(input_tokens=used, output_tokens=made, total_tokens=used + made, cost=0.00001)
    events.append(ResponseFinished(FinishStatus.COMPLETED, usage, output=tuple(output), model=model))
    return tuple(events)


def _words(text: str) -> Iterable[str]:
    head, *rest = text.split(" ")
    return (head, *(" " + word for word in rest))


def _echo(request: ProviderRequest) -> Script:
    said = [
        part.text
        for item in request.input
        if isinstance(item, MessageItem) and item.role is Role.USER
        for part in item.parts
        if isinstance(part, TextPart)
    ]
    wants_reasoning = request.reasoning is not None
    return answer(said[-1] if said else "Hello", reasoning="Echoing." if wants_reasoning else "", model=request.model)


class ScriptedProvider:
    """`ResponsesProvider` that plays scripts.

    Queued scripts are played in order, one a round; when none is left, ``fallback`` makes one from the request (by
    default it echoes the last user text). ``requests`` holds what was asked, ``open_streams`` how many streams run now.
    """

    def __init__(self, scripts: Iterable[Script] = (), fallback: Callable[[ProviderRequest], Script] = _echo) -> None:
        self._scripts = list(scripts)
        self._fallback = fallback
        self.requests: list[ProviderRequest] = []
        self.open_streams = 0

    def queue(self, *scripts: Script) -> None:
        """Add scripts for the next rounds."""
        self._scripts.extend(scripts)

    async def stream(self, request: ProviderRequest, connection: Connection) -> AsyncGenerator[ProviderEvent, None]:
        """Play the next script; raises `ProviderError` where the script holds a fault."""
        self.requests.append(request)
        script = self._scripts.pop(0) if self._scripts else self._fallback(request)
        self.open_streams += 1
        try:
            await asyncio.sleep(0)
            for step in script:
                if isinstance(step, ProviderFault):
                    raise ProviderError(step)
                yield step
        finally:
            self.open_streams -= 1


def card_entry(model_id: str, *parameters: str, context_length: int = 128_000) -> JsonObject:
    """A catalogue entry as OpenRouter publishes it, with the given supported parameters."""
    return {
        "id": model_id,
        "canonical_slug": model_id,
        "name": model_id,
        "created": 1_767_225_600,
        "description": "",
        "context_length": context_length,
        "architecture": {
            "modality": "text->text",
            "input_modalities": ["text", "image"],
            "output_modalities": ["text"],
            "tokenizer": "Other",
            "instruct_type": None,
        },
        "pricing": {"prompt": "0.000001", "completion": "0.000002"},
        "top_provider": {"context_length": context_length, "max_completion_tokens": 8192, "is_moderated": False},
        "per_request_limits": None,
        "supported_parameters": list(parameters) or ["max_tokens", "temperature", "tools", "tool_choice", "reasoning"],
        "default_parameters": None,
        "supported_voices": None,
        "links": {"details": f"/api/v1/models/{model_id}/endpoints"},
    }


class ScriptedCatalog:
    """`CatalogSource` over a list of entries; a fault set in ``fault`` is raised instead. ``fetches`` counts calls."""

    def __init__(self, entries: Iterable[JsonObject] | None = None) -> None:
        self.entries = tuple(entries) if entries is not None else (card_entry("memory/echo"),)
        self.fault: ProviderFault | None = None
        self.fetches = 0

    async def fetch(self, connection: Connection) -> tuple[JsonObject, ...]:
        """The entries, or `ProviderError`."""
        self.fetches += 1
        await asyncio.sleep(0)
        if self.fault is not None:
            raise ProviderError(self.fault)
        if not self.entries:
            raise ProviderError(ProviderFault(FaultKind.MALFORMED, "the catalogue has no entries", 200))
        return self.entries
