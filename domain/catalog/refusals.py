"""All the words of a provider's refusal in one text, wherever in the error they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from openrouter_pipe.ports.json import JsonValue
from openrouter_pipe.ports.provider import ProviderFault

_MOST_CHARACTERS: Final = 32_768
_MOST_VALUES: Final = 500


def fault_text(fault: ProviderFault) -> str:
    """Message, code, type, metadata (an upstream error is often JSON as text inside ``raw``) and body, a line each.

    Bounded, because the sender chooses the size. For matching only; never show it.
    """
    pieces = [fault.message, fault.code or "", fault.error_type or "", *_strings(fault.metadata), fault.body]
    return "\n".join(piece for piece in pieces if piece)[:_MOST_CHARACTERS].replace("\\", "")


def _strings(value: JsonValue) -> list[str]:
    found: list[str] = []
    waiting: list[JsonValue] = [value]
    for _ in range(_MOST_VALUES):
        if not waiting:
            break
        match waiting.pop():
            case str() as text:
                found.append(text)
            case Mapping() as inner:
                waiting.extend(inner.values())
            case Sequence() as inner:
                waiting.extend(inner)
            case _:
                continue
    return found
