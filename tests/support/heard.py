"""What a front end heard, one line an event: complete, but readable, and without what differs from run to run."""

from __future__ import annotations

from collections.abc import Iterable

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
    ReasoningAdded,
    StatusChanged,
    TextAdded,
)
from openrouter_pipe.ports.items import (
    FunctionCallItem,
    MessageItem,
    OutputItem,
    ReasoningItem,
    RefusalPart,
    ServerToolItem,
    TextPart,
)


def lines(events: Iterable[ChatEvent]) -> list[str]:
    """One line for each event, in order."""
    return [_line(event) for event in events]


def _line(event: ChatEvent) -> str:
    match event:
        case ItemOpened(index, kind):
            return f"open {index} {kind.value}"
        case TextAdded(index, text):
            return f"text {index} {text!a}"
        case ReasoningAdded(index, part, text, summary):
            return f"{'summary' if summary else 'thought'} {index}.{part} {text!a}"
        case ItemClosed(index, item):
            return f"close {index} {_item(item)}"
        case CitationsFound(citations):
            return "cite " + " ".join(citation.url for citation in citations)
        case ImageProduced(url):
            return f"image {url[:22]}"
        case StatusChanged(text, done):
            return f"status {text}{' (last)' if done else ''}"
        case NoticeAdded(text):
            return f"notice {text.splitlines()[0].strip('#* ')}"
        case MarkersIssued():
            return "markers"
        case Completed(usage, _, reason):
            return f"completed{' ' + reason if reason else ''}{' with usage' if usage else ''}"
        case Failed(_, code, _, status, partial):
            return f"failed {code} {status}{' partial' if partial else ''}"
        case _:
            return type(event).__name__


def _item(item: OutputItem) -> str:
    match item:
        case MessageItem(parts=parts, status=status, phase=phase, citations=citations):
            said = [
                ascii(part.text) if isinstance(part, TextPart) else f"refusal {part.text!a}"
                for part in parts
                if isinstance(part, TextPart | RefusalPart)
            ]
            more = (
                [status] * (status != "completed")
                + [phase] * bool(phase)
                + [f"{len(citations)} sources"] * bool(citations)
            )
            return " ".join(["message", *said, *map(str, more)])
        case ReasoningItem(summary=summary, text=text, encrypted=encrypted, signature=signature, format=family):
            proofs = [f"encrypted {encrypted!a}"] * bool(encrypted) + [f"signed {signature!a}"] * bool(signature)
            return " ".join(["reasoning", *map(ascii, (*summary, *text)), *proofs, family or "no format"])
        case FunctionCallItem(call_id=call_id, name=name, arguments=arguments):
            return f"call {name} {arguments} {call_id}"
        case ServerToolItem(kind=kind, query=query):
            return f"{kind} {query}".strip()
        case _:
            return type(item).__name__
