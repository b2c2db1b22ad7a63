"""The bytes of the stream: SSE lines in the two dialects the host understands. Not here: which line is due when.

The host forwards a yielded string that starts with ``data:`` untouched and adds the blank line itself; each string is
therefore exactly one event. Encoding here rather than there saves the host its slower encoder on every delta.
"""

from __future__ import annotations

import html
import json
from typing import Any, Final

import orjson

from openrouter_pipe.ports.chat import Failed
from openrouter_pipe.ports.items import Citation
from openrouter_pipe.ports.telemetry import Usage

DONE: Final = "data: [DONE]"


def encode(value: Any) -> str:
    """JSON text. Half characters, which no JSON reader takes, become the replacement character; no number becomes null."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        text = _whole(json.dumps(value, ensure_ascii=False, default=str))
        return json.dumps(json.loads(text, parse_constant=lambda _: None), ensure_ascii=False)


def line(value: Any) -> str:
    """One event."""
    return "data: " + encode(value)


def _whole(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class ChunkWriter:
    """``chat.completion.chunk`` events of one answer; ``created`` in epoch seconds."""

    def __init__(self, completion_id: str, model: str, created: int) -> None:
        self._head = {"id": completion_id, "object": "chat.completion.chunk", "created": created, "model": model}
        opening = encode({**self._head, "choices": []})[:-2]
        self._delta_head = f'data: {opening}{{"index":0,"finish_reason":null,"delta":{{'

    def content(self, text: str) -> str:
        """More answer text."""
        return f'{self._delta_head}"content":{encode(text)}}}}}]}}'

    def reasoning(self, text: str) -> str:
        """More reasoning."""
        return f'{self._delta_head}"reasoning_content":{encode(text)}}}}}]}}'

    def delta(self, delta: dict[str, Any], **extra: Any) -> str:
        """Any other delta; ``extra`` stands beside the choices."""
        return line({**self._head, "choices": [{"index": 0, "finish_reason": None, "delta": delta}], **extra})

    def finish(self, reason: str, **extra: Any) -> str:
        """The chunk that says why the answer ended."""
        return line({**self._head, "choices": [{"index": 0, "finish_reason": reason, "delta": {}}], **extra})

    def usage(self, usage: dict[str, Any]) -> str:
        """Usage alone, as hosts want it."""
        return line({**self._head, "choices": [], "usage": usage})


def usage_fields(usage: Usage) -> dict[str, Any]:
    """Usage in the names of both APIs; the host shows whatever is there."""
    known: dict[str, Any] = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
    if usage.cost is not None:
        known["cost"] = usage.cost
    # The provider's own object describes one round only, so its further fields are true only for a turn of one.
    further = (
        {key: value for key, value in usage.raw.items() if key not in {"cost", *known}} if usage.rounds == 1 else {}
    )
    return {**further, **known}


def error_fields(failed: Failed) -> dict[str, Any]:
    """A failure as OpenAI's clients expect it; ``detail`` is where the host looks first."""
    return {
        "message": failed.text,
        "detail": failed.text,
        "type": failed.code,
        "code": failed.status,
        "error_id": failed.error_id,
    }


def citation_annotation(citation: Citation) -> dict[str, Any]:
    """A citation as chat completions carry it."""
    return {
        "type": "url_citation",
        "url_citation": {
            "url": citation.url,
            "title": citation.title,
            "content": citation.content,
            "start_index": citation.start,
            "end_index": citation.end,
        },
    }


def tool_card(call_id: str, name: str, arguments: str, result: str, files: list[str]) -> str:
    """The block by which hosts that keep text show a tool that ran; it must stand on lines of its own."""

    def attribute(value: str) -> str:
        return html.escape(value, quote=True)

    return (
        f'<details type="tool_calls" done="true" id="{attribute(call_id)}" name="{attribute(name)}"'
        f' arguments="{attribute(json.dumps(arguments))}"'
        f' result="{attribute(json.dumps(_whole(result), ensure_ascii=False))}"'
        f' files="{attribute(encode(files)) if files else ""}">\n<summary>Tool Executed</summary>\n</details>\n'
    )
