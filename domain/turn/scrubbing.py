"""What a tool answered, without what is the operator's own: a tool that worked may have read a setting or the environment.

Only that goes: what else looks like a secret may be what the user asked the tool for. What a tool says in failing is
redacted in full where it is run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from attrs import evolve

from openrouter_pipe.domain.redaction import Redactor
from openrouter_pipe.domain.tools.orchestration import CallFinished, ToolProgress
from openrouter_pipe.ports.items import Part, TextPart
from openrouter_pipe.ports.tools import ToolFile, ToolOutput, ToolSource

_THREAD_CHARACTERS: Final = 128 * 1024


async def without_own(
    progress: AsyncGenerator[ToolProgress, None], own: Redactor
) -> AsyncGenerator[ToolProgress, None]:
    """The same steps, each output without secrets."""
    async with aclosing(progress):
        async for step in progress:
            match step:
                case CallFinished(call, output):
                    yield CallFinished(call, await _scrubbed_in_time(output, own))
                case _:
                    yield step


async def _scrubbed_in_time(output: ToolOutput, own: Redactor) -> ToolOutput:
    """``output`` without secrets in anything that the model or the user reads of it; a large one in a thread."""
    if _size(output) < _THREAD_CHARACTERS:
        return _scrubbed(output, own)
    return await asyncio.to_thread(_scrubbed, output, own)


def _scrubbed(output: ToolOutput, own: Redactor) -> ToolOutput:
    clean = evolve(
        output,
        text=own.text(output.text),
        parts=tuple(_part(part, own) for part in output.parts),
        files=tuple(ToolFile(own.text(file.url), file.kind, own.text(file.name)) for file in output.files),
        embeds=tuple(own.text(embed) for embed in output.embeds),
        sources=tuple(_source(source, own) for source in output.sources),
        reason=own.text(output.reason),
    )
    return output if clean == output else clean


def _part(part: Part, own: Redactor) -> Part:
    return evolve(part, text=own.text(part.text)) if isinstance(part, TextPart) else part


def _source(source: ToolSource, own: Redactor) -> ToolSource:
    payload = own.json(source.payload)
    return ToolSource(payload) if isinstance(payload, dict) else source


def _size(output: ToolOutput) -> int:
    texts = sum(len(part.text) for part in output.parts if isinstance(part, TextPart))
    files = sum(len(file.url) for file in output.files)
    return len(output.text) + texts + files + sum(map(len, output.embeds))
