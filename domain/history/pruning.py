"""Pruning: large tool outputs of turns long past are cut to their beginning and end."""

from __future__ import annotations

from typing import Final

from attrs import evolve

from openrouter_pipe.ports.items import FunctionOutputItem, InputItem, TextPart

SMALLEST: Final = 800
"""Characters from which an output is worth pruning."""
HEAD: Final = 256
TAIL: Final = 128


def prune(item: InputItem, age: int, retention_turns: int) -> InputItem:
    """The item, cut when it is a large output older than ``retention_turns`` user turns (0 = never)."""
    if not isinstance(item, FunctionOutputItem) or retention_turns <= 0 or age <= retention_turns:
        return item
    if isinstance(item.output, str):
        return evolve(item, output=_cut(item.output, age), payload={}) if len(item.output) >= SMALLEST else item
    text = "".join(part.text for part in item.output if isinstance(part, TextPart))
    if len(text) < SMALLEST:
        return item
    others = tuple(part for part in item.output if not isinstance(part, TextPart))
    return evolve(item, output=(TextPart(_cut(text, age)), *others), payload={})


def _cut(text: str, age: int) -> str:
    removed = len(text) - HEAD - TAIL
    note = (
        f"[{removed} characters of this tool output were removed here.]\n"
        f"[The output is {age} turns old; the characters before and after this note are unchanged.]\n"
        "[Call the tool again if the full output is needed.]"
    )
    return f"{text[:HEAD]}\n{note}\n{text[-TAIL:]}"
