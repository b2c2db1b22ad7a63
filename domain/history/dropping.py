"""Taking reasoning out of a history so that what stays is still valid. Not here: which reasoning goes, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import evolve

from openrouter_pipe.ports.items import FunctionCallItem, InputItem, MessageItem, ReasoningItem, Role


def without_reasoning(items: Iterable[InputItem], goes: Callable[[ReasoningItem], bool]) -> tuple[InputItem, ...]:
    """``items`` without the reasoning for which ``goes`` holds; the very same objects otherwise.

    Calls behind such reasoning, up to their outputs, lose the provider's own item ids, by which it would miss what is no
    longer there.
    """
    kept: list[InputItem] = []
    behind = False
    for item in items:
        match item:
            case ReasoningItem():
                behind = goes(item)
                if not behind:
                    kept.append(item)
            case FunctionCallItem() if behind:
                kept.append(evolve(item, id=None, payload={}))
            case MessageItem(role=Role.ASSISTANT):
                kept.append(item)
            case _:
                behind = False
                kept.append(item)
    return tuple(kept)
