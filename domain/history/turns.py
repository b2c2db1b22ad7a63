"""One assistant turn of the history: the host's text and records woven together with our stored items.

A turn is everything between two user messages. It is read into entries in the host's order. Each block of markers
describes the entries since the block before it: the stored items are the provider's own order, and the host's text says
what the user reads today. Where a stored message still reads the same, its place is known exactly; edited text takes the
place of the message it replaced. Of a call that both sides recorded, ours is used.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import TypeAlias

from attrs import evolve, field, frozen

from openrouter_pipe.domain.history import markers
from openrouter_pipe.domain.history.images import without_images
from openrouter_pipe.domain.history.reading import Entry, HostRecord, Marker, Prose
from openrouter_pipe.ports.chat import HostRecords
from openrouter_pipe.ports.items import (
    FunctionCallItem,
    FunctionOutputItem,
    ImagePart,
    InputItem,
    MessageItem,
    Part,
    ReasoningItem,
    RefusalPart,
    Role,
    TextPart,
)
from openrouter_pipe.ports.json import JsonObject


@frozen
class Gap:
    """A stored item that is not to be had."""

    id: str


Woven: TypeAlias = InputItem | Prose | Gap


@frozen
class Turn:
    """The items of a turn in the provider's order, the markers that led nowhere, and those that stood there before."""

    items: tuple[InputItem, ...] = field(repr=False)
    missing: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()


def weave(
    entries: Sequence[Entry],
    artifacts: Mapping[str, InputItem],
    used: set[str],
    records: HostRecords,
    *,
    reasoning_may_be_gone: bool,
) -> Turn:
    """Put one turn together; ``used`` holds the markers that earlier turns have used up, and grows.

    ``reasoning_may_be_gone`` says that missing reasoning is no accident: its calls stay, without the provider's own ids,
    so that nothing refers to it. Otherwise they are dropped with it.
    """
    repeated: dict[str, None] = {}
    segments = [_segment(part, artifacts, used, repeated) for part in _segments(entries)]
    own = [item for _, items in segments for item in items]
    entries_left = _host_leftovers(segments, own, records)
    last_text = max(
        (at for at, host in enumerate(entries_left) if any(isinstance(one, Prose) for one in host)), default=-1
    )
    last_marked = max((at for at, (_, items) in enumerate(segments) if items), default=-1)
    woven: list[Woven] = []
    for number, (host, (_, items)) in enumerate(zip(entries_left, segments, strict=True)):
        text_follows, marked_later = number < last_text, number < last_marked
        woven.extend(_Weaver(items).weave(host, text_follows=text_follows, marked_later=marked_later))
    missing = tuple(item.id for item in own if isinstance(item, Gap))
    orphans = {one for _, items in segments for one in _calls_behind_gaps(items)}
    return Turn(
        tuple(_messages(_close_gaps(woven, orphans, keep_calls=reasoning_may_be_gone))), missing, tuple(repeated)
    )


class _Weaver:
    """Walks the host's entries of one segment along its stored items."""

    def __init__(self, own: Sequence[InputItem | Gap]) -> None:
        self._own = own
        self._next = 0
        self._woven: list[Woven] = []
        self._messages = [at for at, item in enumerate(own) if isinstance(item, MessageItem)]
        self._gaps = [at for at, item in enumerate(own) if isinstance(item, Gap)]
        self._words = [(at, words) for at in self._messages if (words := _words(own[at]))]
        self._places = {key: at for at, item in reversed(list(enumerate(own))) if (key := _call_key(item))}

    def weave(self, host: Sequence[Entry], *, text_follows: bool, marked_later: bool) -> list[Woven]:
        last = max((at for at, entry in enumerate(host) if isinstance(entry, Prose)), default=-1)
        # A block that ends in reasoning is waiting for its text; one that ends in calls was followed by another round.
        complete = not text_follows or (marked_later and bool(self._own) and isinstance(self._own[-1], ReasoningItem))
        for at, entry in enumerate(host):
            if isinstance(entry, Prose):
                self._prose(entry, is_last=at == last and complete)
            elif isinstance(entry, HostRecord):
                self._record(entry)
        self._advance(len(self._own))
        return self._woven

    def _prose(self, entry: Prose, *, is_last: bool) -> None:
        rest = entry.text.replace("\r\n", "\n")
        if not rest:
            self._loose(entry, is_last=is_last, limit=None)
            return
        while rest.strip() and (found := self._find(rest)) is not None:
            at, start, end = found
            if rest[:start].strip():
                self._loose(_with_text(entry, rest[:start].strip("\n")), is_last=False, limit=at)
            self._advance(at)
            self._woven.append(self._own[at])
            self._next = at + 1
            rest = rest[end:]
        if rest.strip():
            whole = rest == entry.text
            self._loose(entry if whole else _with_text(entry, rest.strip("\n")), is_last=is_last, limit=None)

    def _find(self, text: str) -> tuple[int, int, int] | None:
        """The next stored message that ``text`` contains: its place, and where its words start and end."""
        if not self._words:
            return None
        indent = len(text) - len(text.lstrip())
        for number, (at, words) in enumerate(self._ahead()):
            # The very next message may run into the one after it; any other must end where a line ends.
            end = indent + len(words)
            if text.startswith(words, indent) and (number == 0 or text[end : end + 1] in {"", "\n"}):
                return at, indent, end
        for at, words in self._ahead():
            start = text.find("\n" + words)
            end = start + 1 + len(words)
            if start >= 0 and text[end : end + 1] in {"", "\n"}:
                return at, start, end
        return None

    def _ahead(self) -> Iterator[tuple[int, str]]:
        return (self._words[number] for number in range(bisect_left(self._words, (self._next, "")), len(self._words)))

    def _loose(self, entry: Prose, *, is_last: bool, limit: int | None) -> None:
        """Place text that no stored message matches, before the stored item ``limit`` where that is given."""
        slot = self._slot(limit)
        if slot is not None:
            self._advance(slot)
            replaced = self._own[slot]
            self._next = slot + 1
            if isinstance(replaced, MessageItem) and entry.phase is None:
                entry = evolve(entry, phase=replaced.phase)
            if isinstance(replaced, Gap):
                # It may have been the message that the text replaced; or the reasoning of the calls behind it.
                self._woven.extend((entry, replaced))
                return
        elif limit is not None:
            self._advance(limit)
        elif is_last:
            self._advance(len(self._own))
        else:
            while self._next < len(self._own) and isinstance(self._own[self._next], ReasoningItem | Gap):
                self._advance(self._next + 1)
        self._woven.append(entry)

    def _slot(self, limit: int | None) -> int | None:
        """The place of a stored message that the user's text has replaced."""
        if not self._messages:
            return None
        end = len(self._own) if limit is None else limit
        message = _first(self._messages, self._next, end)
        return message if message is not None else _first(self._gaps, self._next, end)

    def _record(self, entry: HostRecord) -> None:
        key = _call_key(entry.item)
        twin = self._places.get(key) if key else None
        if twin is None:
            self._woven.append(entry.item)
        elif twin >= self._next:
            self._advance(twin + 1)

    def _advance(self, end: int) -> None:
        """Emit the stored items before ``end``; messages among them are no longer part of the text and go."""
        for item in self._own[self._next : end]:
            if not isinstance(item, MessageItem):
                self._woven.append(item)
        self._next = max(self._next, end)


def _first(places: Sequence[int], start: int, end: int) -> int | None:
    """The first of the ascending ``places`` that lies in the range."""
    number = bisect_left(places, start)
    return places[number] if number < len(places) and places[number] < end else None


def _segments(entries: Sequence[Entry]) -> list[tuple[list[Entry], list[str]]]:
    """Entries cut behind each block of markers, with the ids of the block."""
    segments: list[tuple[list[Entry], list[str]]] = [([], [])]
    for entry in entries:
        if isinstance(entry, Marker):
            segments[-1][1].append(entry.id)
            continue
        if segments[-1][1]:
            segments.append(([], []))
        segments[-1][0].append(entry)
    return segments


def _segment(
    part: tuple[list[Entry], list[str]], artifacts: Mapping[str, InputItem], used: set[str], repeated: dict[str, None]
) -> tuple[list[Entry], list[InputItem | Gap]]:
    own: list[InputItem | Gap] = []
    for one in part[1]:
        if one in used:
            repeated[one] = None
            continue
        used.add(one)
        item = artifacts.get(one)
        usable = item is not None and not (isinstance(item, MessageItem) and item.role is not Role.ASSISTANT)
        own.append(item if item is not None and usable else Gap(one))
    return part[0], own


def _host_leftovers(
    segments: Sequence[tuple[list[Entry], list[InputItem | Gap]]],
    own: Sequence[InputItem | Gap],
    records: HostRecords,
) -> list[list[Entry]]:
    """The host's entries without what our own items of the turn already say.

    A record whose twin lies in its own segment stays as a sign of place; reasoning of the host goes where ours exists.
    """
    outputs = tuple(
        item.output for item in own if isinstance(item, FunctionOutputItem) and isinstance(item.output, str)
    )
    ours = {key for item in own if (key := _call_key(item))}
    has_reasoning = any(isinstance(item, ReasoningItem) for item in own)
    has_images = any(isinstance(item, FunctionOutputItem) and _holds_image(item) for item in own)

    def kept(entry: Entry, here: set[tuple[str, str]]) -> Entry | None:
        match entry:
            case Prose(part=TextPart() as part):
                text = records.without_echoes(part.text, outputs)
                return entry if text == part.text else _with_text(entry, text.strip("\n")) if text.strip() else None
            case HostRecord(item=ReasoningItem()):
                return None if has_reasoning else entry
            case HostRecord(item=MessageItem()):
                return None if has_images else entry
            case HostRecord(item=item):
                key = _call_key(item)
                return entry if key is None or key not in ours or key in here else None
            case _:
                return entry

    leftovers: list[list[Entry]] = []
    for host, items in segments:
        here = {key for item in items if (key := _call_key(item))}
        leftovers.append([left for entry in host if (left := kept(entry, here)) is not None])
    return leftovers


def _call_key(item: InputItem | Gap) -> tuple[str, str] | None:
    match item:
        case FunctionCallItem(call_id=call_id):
            return "call", call_id
        case FunctionOutputItem(call_id=call_id):
            return "output", call_id
        case _:
            return None


def _holds_image(item: FunctionOutputItem) -> bool:
    return not isinstance(item.output, str) and any(isinstance(part, ImagePart) for part in item.output)


def _words(item: InputItem | Gap) -> str:
    """What a stored message reads like in the host's text."""
    if not isinstance(item, MessageItem):
        return ""
    text = "".join(part.text for part in item.parts if isinstance(part, TextPart | RefusalPart))
    return without_images(markers.strip(text)).replace("\r\n", "\n").strip()


def _with_text(entry: Prose, text: str) -> Prose:
    control: JsonObject | None = entry.part.cache_control if isinstance(entry.part, TextPart) else None
    return evolve(entry, part=TextPart(text, control))


def _calls_behind_gaps(own: Sequence[InputItem | Gap]) -> Iterator[str]:
    """The ids of stored calls right behind a gap; in the woven turn the host's records may stand between the two."""
    behind = False
    for item in own:
        if isinstance(item, FunctionCallItem) and behind:
            yield item.call_id
        else:
            behind = isinstance(item, Gap)


def _close_gaps(woven: Sequence[Woven], orphans: Set[str], *, keep_calls: bool) -> list[InputItem | Prose]:
    """Settle what missing items leave behind.

    Calls right behind a gap may have lost their reasoning: they are dropped, their outputs follow in `repair`; or they
    stay without the ids by which a provider would miss it. What goes with a call that is lost, or dropped here, is the
    reasoning before the gap. Anything else behind a gap shows that the gap held neither: a marker that leads nowhere then
    costs nothing but itself. ``orphans`` are the ids of calls behind a gap in the store's own order.
    """
    closed: list[InputItem | Prose] = []
    after_gap = False
    for item in woven:
        match item:
            case Gap():
                after_gap = True
            case FunctionCallItem(call_id=call_id) if after_gap or call_id in orphans:
                _drop_last_thoughts(closed)
                if keep_calls:
                    closed.append(evolve(item, id=None, payload={}))
            case FunctionOutputItem() if after_gap:
                _drop_last_thoughts(closed)
                after_gap = False
                closed.append(item)
            case _:
                after_gap = False
                closed.append(item)
    return closed


def _drop_last_thoughts(closed: list[InputItem | Prose]) -> None:
    while closed and isinstance(closed[-1], ReasoningItem):
        closed.pop()


def _messages(woven: Iterable[InputItem | Prose]) -> Iterable[InputItem]:
    """Neighbouring text of one host message becomes one message, its block boundaries kept."""
    parts: list[Part] = []
    owner: Prose | None = None
    for item in woven:
        if isinstance(item, Prose):
            if owner is not None and (owner.message, owner.phase) == (item.message, item.phase):
                parts.append(item.part)
                continue
            if owner is not None:
                yield MessageItem(Role.ASSISTANT, tuple(parts), phase=owner.phase)
            owner, parts = item, [item.part]
            continue
        if owner is not None:
            yield MessageItem(Role.ASSISTANT, tuple(parts), phase=owner.phase)
            owner = None
        yield item
    if owner is not None:
        yield MessageItem(Role.ASSISTANT, tuple(parts), phase=owner.phase)
