"""Repair: whatever the items, the answer is a sequence that every provider takes.

After `repair` every output has its call before it, every call has exactly one output, no call id and no item id occurs
twice, nothing is left of kinds that providers must not see again, no reasoning lacks the proof or the follower that its
provider insists on or carries nothing at all, and no assistant message is empty. Items that need no repair come back as
the very same objects.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

from attrs import evolve

from openrouter_pipe.domain.history.details import is_empty, is_proven, needs_follower
from openrouter_pipe.domain.history.dropping import without_reasoning
from openrouter_pipe.ports.items import (
    FunctionCallItem,
    FunctionOutputItem,
    ImageItem,
    InputItem,
    MessageItem,
    OpaqueItem,
    ReasoningItem,
    RefusalPart,
    Role,
    ServerToolItem,
    TextPart,
)

NO_OUTPUT: Final = "[No output of this call was recorded.]"
"""Stands in for the output of a call that has none."""

_LONGEST_STEM: Final = 54
"""Of a call id that gets a number; ids have at most 64 characters."""

_LONGEST_NAME: Final = 64
_BAD_NAME: Final = re.compile(r"[^a-zA-Z0-9_-]")


def repair(items: Sequence[InputItem], before: Iterable[InputItem] = ()) -> tuple[InputItem, ...]:
    """A sequence that is valid by construction; see the module. ``before``: what stands in front of it in the same
    request, repaired already, whose ids are not to be used again."""
    earlier = tuple(before)
    replayable = [item for item in items if _is_replayable(item)]
    paired = _pair(replayable, {item.call_id for item in earlier if isinstance(item, FunctionCallItem)})
    signed = _drop_unsigned_runs(paired)
    filled = without_reasoning(signed, is_empty)
    followed = _drop_dangling_reasoning(filled)
    return tuple(_unique_ids(followed, earlier))


def _is_replayable(item: InputItem) -> bool:
    match item:
        case ImageItem() | ServerToolItem():
            return False
        case OpaqueItem(kind=kind):
            # Unknown calls and their outputs cannot be paired by us; provider-run tools must not be seen again.
            return not kind.startswith("openrouter:") and "_call" not in kind
        case MessageItem(role=Role.ASSISTANT, parts=parts):
            return not all(isinstance(part, TextPart | RefusalPart) and not part.text.strip() for part in parts)
        case _:
            return True


def _pair(items: Sequence[InputItem], taken: set[str]) -> list[InputItem]:
    """Give every call one output behind it, drop the outputs that are left, make call ids unique. ``taken`` are those in
    use; the new ones join them."""
    outputs = _match_outputs(items)
    numbers: dict[str, int] = {}
    paired: list[InputItem] = []
    waiting: list[FunctionOutputItem] = []  # outputs to place behind the present run of calls
    placed: dict[int, FunctionOutputItem] = {}  # outputs that keep their own place, by it

    def settle() -> None:
        """Whatever comes next begins something new: outputs that come only behind it are brought here."""
        paired.extend(waiting)
        paired.extend(placed[where] for where in sorted(placed))
        waiting.clear()
        placed.clear()

    for position, item in enumerate(items):
        if paired and _ends_calls(item, paired[-1]):
            settle()
        match item:
            case FunctionCallItem():
                call = _sound_call(item, taken, numbers)
                taken.add(call.call_id)
                paired.append(call)
                where, output = outputs.get(position, (-1, FunctionOutputItem(call.call_id, NO_OUTPUT)))
                if output.call_id != call.call_id:
                    output = evolve(output, call_id=call.call_id, id=None, payload={})
                if where > position:
                    placed[where] = output
                else:
                    waiting.append(output)
            case FunctionOutputItem():
                paired.extend(waiting)
                waiting.clear()
                if position in placed:
                    paired.append(placed.pop(position))
            case _:
                if waiting:
                    settle()
                paired.append(item)
    settle()
    return paired


def _ends_calls(item: InputItem, last: InputItem) -> bool:
    """Whether no output of an earlier call may follow ``item``: what comes behind an output is another round, and a
    provider wants all outputs of a round together."""
    return not isinstance(item, FunctionOutputItem) and (
        isinstance(last, FunctionOutputItem) or (isinstance(item, MessageItem) and item.role is not Role.ASSISTANT)
    )


def _match_outputs(items: Sequence[InputItem]) -> dict[int, tuple[int, FunctionOutputItem]]:
    """Positions of calls to their outputs and the positions of these.

    Call ids may be used again: an output belongs to the earliest open call of its own turn, else to the latest open call
    of an earlier one, else (an output stored before its call) to the next call that stays open.
    """
    matched: dict[int, tuple[int, FunctionOutputItem]] = {}
    open_calls: dict[str, list[tuple[int, int]]] = {}
    early: dict[str, list[tuple[int, FunctionOutputItem]]] = {}
    turn = 0
    for position, item in enumerate(items):
        match item:
            case MessageItem(role=Role.USER):
                turn += 1
            case FunctionCallItem(call_id=call_id):
                open_calls.setdefault(call_id, []).append((turn, position))
            case FunctionOutputItem(call_id=call_id):
                candidates = open_calls.get(call_id)
                if not candidates:
                    early.setdefault(call_id, []).append((position, item))
                    continue
                first_of_turn = bisect_left(candidates, (turn, 0))
                _, chosen = candidates.pop(min(first_of_turn, len(candidates) - 1))
                matched[chosen] = (position, item)
            case _:
                pass
    for call_id, positions in early.items():
        for _, call in open_calls.get(call_id, []):
            if positions and positions[0][0] < call:
                matched[call] = positions.pop(0)
    return matched


def _sound_call(call: FunctionCallItem, taken: set[str], numbers: dict[str, int]) -> FunctionCallItem:
    call_id = _free_call_id(call.call_id, taken, numbers)
    name = call.name if _is_sound_name(call.name) else _BAD_NAME.sub("_", call.name)[:_LONGEST_NAME] or "unnamed"
    arguments = _sound_arguments(call.arguments)
    if (call_id, name, arguments) == (call.call_id, call.name, call.arguments):
        return call
    return evolve(call, call_id=call_id, name=name, arguments=arguments, id=None, payload={})


def _is_sound_name(name: str) -> bool:
    return 0 < len(name) <= _LONGEST_NAME and _BAD_NAME.search(name) is None


def _free_call_id(wanted: str, taken: set[str], numbers: dict[str, int]) -> str:
    """``wanted``, or ``wanted`` with a number that is free. ``numbers`` are the last ones tried, so that many calls of one
    id take no more than one try each."""
    base = wanted if wanted.strip() else "call"
    if base not in taken:
        return base
    stem = base[:_LONGEST_STEM]
    while True:
        numbers[stem] = numbers.get(stem, 1) + 1
        candidate = f"{stem}_{numbers[stem]}"
        if candidate not in taken:
            return candidate


def _sound_arguments(arguments: str) -> str:
    """Arguments as every provider takes them: a JSON object. The model's own words are kept inside it otherwise."""
    if not arguments.strip():
        return "{}"
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return json.dumps({"invalid_arguments": arguments})
    return arguments if isinstance(value, dict) else json.dumps({"invalid_arguments": arguments})


def _drop_unsigned_runs(items: Sequence[InputItem]) -> list[InputItem]:
    kept: list[InputItem] = []
    run: list[ReasoningItem] = []
    for item in items:
        if isinstance(item, ReasoningItem):
            run.append(item)
            continue
        kept.extend(_proven_run(run))
        run = []
        kept.append(item)
    kept.extend(_proven_run(run))
    return kept


def _proven_run(run: Sequence[ReasoningItem]) -> Sequence[ReasoningItem]:
    return run if all(is_proven(item) for item in run) else ()


def _drop_dangling_reasoning(items: Sequence[InputItem]) -> list[InputItem]:
    kept: list[InputItem] = []
    followed = False
    for item in reversed(items):
        match item:
            case ReasoningItem():
                if not followed and needs_follower(item):
                    continue
            case FunctionCallItem() | MessageItem(role=Role.ASSISTANT) | OpaqueItem():
                followed = True
            case _:
                followed = False
        kept.append(item)
    kept.reverse()
    return kept


def _unique_ids(items: Iterable[InputItem], before: Iterable[InputItem]) -> Iterable[InputItem]:
    seen = {item.id: item for item in before if not isinstance(item, OpaqueItem) and item.id is not None}
    for item in items:
        if isinstance(item, OpaqueItem) or item.id is None:
            yield item
            continue
        earlier = seen.get(item.id)
        if earlier is None:
            seen[item.id] = item
            yield item
        elif not (isinstance(item, ReasoningItem) and item == earlier):
            yield evolve(item, id=None, payload={})
