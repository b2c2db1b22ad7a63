"""What every rendering of an answer has in common."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, Protocol
from urllib.parse import quote

from openrouter_pipe.ports.chat import ChatEvent, Completed, Failed
from openrouter_pipe.ports.items import FunctionCallItem
from openrouter_pipe.ports.tools import ToolOutput

_SHOWN: Final = re.compile(r"https?://|data:image/|/(?![/\\])", re.IGNORECASE)
_KEPT: Final = "%:/?#@!$&'*+,;="  # characters of an address, besides letters and digits, that mean nothing to Markdown
_LENGTH: Final = frozenset({"max_output_tokens", "max_tokens", "length"})


class Renderer(Protocol):
    """Turns chat events into lines for the host, in order; `finish` is called exactly once, last."""

    def lines(self, event: ChatEvent) -> Iterable[str]:
        """What the host must be told now; events that it hears elsewhere give nothing."""

    def finish(self) -> Iterator[str]:
        """Whatever is needed so that the host ends the answer well."""


def image_markdown(url: str) -> str:
    """An image inside the text: kept by every host, in its place, and visible to later turns.

    The address is a stranger's: nothing in it ends the link, and only pictures, web pages and the host itself are named.
    """
    url = url.strip()
    if not _SHOWN.match(url):
        return "*The image has an address that cannot be shown.*"
    return f"![Generated image]({quote(url, safe=_KEPT, errors='replace')})"


def finish_reason(end: Completed | Failed | None, calls: int) -> str:
    """The OpenAI word for why an answer ended; ``calls`` counts the function calls left to the caller."""
    if end is None or isinstance(end, Failed):
        return "error"
    if calls:
        return "tool_calls"
    if end.reason is None:
        return "stop"
    return "length" if end.reason in _LENGTH else end.reason


def open_call(call: FunctionCallItem, index: int) -> dict[str, Any]:
    """A function call left to the caller, as chat completions carry it."""
    function = {"name": call.name, "arguments": call.arguments}
    return {"index": index, "id": call.call_id, "type": "function", "function": function}


def output_files(output: ToolOutput) -> list[dict[str, Any]]:
    """The files of a tool's answer in the host's shape."""
    return [{"type": file.kind, "url": file.url, "name": file.name} for file in output.files]
