"""Whether a replay showed what the record says was shown. Equal is what is equal after this, and nothing else is changed:

- neighbouring pieces of one text count as one text: where they were cut depends on the network's pace
- times: seconds of finished reasoning, the time and pace in the last status line, the moment in the text of an error
- ids that the replay made itself stand for whatever id the record has in that place, the same one everywhere
- addresses of images that the model made: the host gave them
- warnings beside the answer, in a turn with attachments, which no record holds
- the provider's own JSON of an item in which something was redacted: it differs from the deltas, where a secret in pieces
  has no shape, and so the replay does not take it over
- what a turn that was ended from outside would have shown next
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import attrs
from attrs import frozen

from openrouter_pipe.adapters.observability.values import TAG
from openrouter_pipe.composition.recordings import Recording, Shown

NEW_ID: Final = re.compile(r"ZZREP1AY\d{12}|5e91a75e\d{8}|zzreplay\d{12}")
"""The ids that a replay makes: of artifacts, of errors, and the ends of those of items."""

_ANY_ID: Final = r"[0-9A-Za-z_-]{4,64}"
_PACE: Final = re.compile(r"^Time: \d+\.\d+s(?: \d+\.\d+ tps)?")
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_TAKEN_OUT: Final = re.compile(r"\[redacted\]|\[private key\]|\[account\]|\[[\w/.+-]{1,80} data, \d+ bytes\]")
_PAYLOAD: Final = "item.payload"
_JOINED: Final = {"TextAdded": ("index",), "ReasoningAdded": ("index", "part", "summary")}
_MOST_ALIGNED: Final = 2000


@frozen
class Difference:
    """``line`` is that of the record, None for an event that it does not hold; ``field`` where in the event, empty: all of it."""

    line: int | None
    event: str
    field: str
    recorded: str
    replayed: str


def compare(recording: Recording, replayed: Sequence[Mapping[str, Any]]) -> tuple[Difference, ...]:
    """The differences, in the order of the events."""
    old = _normal(recording.shown, warnings=recording.warnings_count)
    new = _normal([Shown(0, event) for event in replayed], warnings=recording.warnings_count)
    if not recording.is_whole:
        new = _cut(new, old)
    ids: dict[str, str] = {}
    return tuple(found for one, other in _pairs(old, new) for found in _differences(one, other, ids))


def _normal(shown: Sequence[Shown], *, warnings: bool) -> list[Shown]:
    found: list[Shown] = []
    pieces: list[str] = []
    for one in shown:
        if one.event.get(TAG) == "Notified" and not warnings:
            continue
        if found and _continues(found[-1].event, one.event):
            pieces.append(str(one.event.get("text", "")))
            continue
        _join(found, pieces)
        found.append(attrs.evolve(one, event=_timeless(one.event)))
        pieces = [str(one.event.get("text", ""))]
    _join(found, pieces)
    return found


def _continues(last: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    same = _JOINED.get(str(event.get(TAG)))
    return same is not None and all(last.get(name) == event.get(name) for name in (TAG, *same))


def _join(found: list[Shown], pieces: Sequence[str]) -> None:
    if len(pieces) > 1:
        found[-1] = attrs.evolve(found[-1], event={**found[-1].event, "text": "".join(pieces)})


def _timeless(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """The event without what depends on the clock or on the host."""
    plain = dict(event)
    match plain.get(TAG):
        case "ItemClosed":
            plain.pop("seconds", None)
            item = plain.get("item")
            if isinstance(item, dict) and item.get(TAG) == "ImageItem":
                plain["item"] = {**item, "url": "<image>"}
        case "ImageProduced":
            plain["url"] = "<image>"
        case "StatusChanged":
            plain["text"] = _PACE.sub("Time: <seconds>", str(plain.get("text", "")))
        case "Failed" | "NoticeAdded":
            plain["text"] = _MOMENT.sub("<time>", str(plain.get("text", "")))
    return plain


def _cut(new: list[Shown], old: Sequence[Shown]) -> list[Shown]:
    """``new`` as far as ``old`` goes; the last text may go on where it was ended."""
    kept = new[: len(old)]
    if old and len(kept) == len(old) and _continues(old[-1].event, kept[-1].event):
        said, text = str(old[-1].event.get("text", "")), str(kept[-1].event.get("text", ""))
        if text.startswith(said):
            kept[-1] = attrs.evolve(kept[-1], event={**kept[-1].event, "text": said})
    return kept


def _pairs(old: Sequence[Shown], new: Sequence[Shown]) -> Iterator[tuple[Shown | None, Shown | None]]:
    """Events side by side; where kinds differ, what is missing on either side is found."""
    kinds = [[str(one.event.get(TAG)) for one in side] for side in (old, new)]
    if kinds[0] == kinds[1] or max(map(len, kinds)) > _MOST_ALIGNED:
        yield from itertools.zip_longest(old, new)
        return
    matcher = difflib.SequenceMatcher(None, kinds[0], kinds[1], autojunk=False)
    for _, i1, i2, j1, j2 in matcher.get_opcodes():
        yield from itertools.zip_longest(old[i1:i2], new[j1:j2])


def _differences(old: Shown | None, new: Shown | None, ids: dict[str, str]) -> Iterator[Difference]:
    if old is None and new is not None:
        yield Difference(None, str(new.event.get(TAG)), "", "", str(dict(new.event)))
    elif new is None and old is not None:
        yield Difference(old.line, str(old.event.get(TAG)), "", str(dict(old.event)), "")
    elif old is not None and new is not None:
        name = str(old.event.get(TAG))
        if name != new.event.get(TAG):
            yield Difference(old.line, name, "", str(dict(old.event)), str(dict(new.event)))
            return
        for where, one, other in _unequal(old.event, new.event, "", ids):
            if where == _PAYLOAD and other is None and _TAKEN_OUT.search(str(one)):
                continue
            yield Difference(old.line, name, where, _words(one), _words(other))


def _unequal(old: Any, new: Any, where: str, ids: dict[str, str]) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in dict.fromkeys((*old, *new)):
            yield from _unequal(old.get(name), new.get(name), f"{where}.{name}".lstrip("."), ids)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _unequal(one, other, f"{where}[{number}]", ids)
    elif old != new and not (isinstance(old, str) and isinstance(new, str) and _same_but_for_ids(old, new, ids)):
        yield where, old, new


def _same_but_for_ids(old: str, new: str, ids: dict[str, str]) -> bool:
    """Whether ``new`` is ``old`` with new ids in the place of recorded ones; which stands for which is kept in ``ids``."""
    met: list[str] = []
    pattern: list[str] = []
    position = 0
    for found in NEW_ID.finditer(new):
        pattern.append(re.escape(new[position : found.start()]))
        position = found.end()
        if found[0] in ids:
            pattern.append(re.escape(ids[found[0]]))
        elif found[0] in met:
            pattern.append(rf"(?:\{met.index(found[0]) + 1})")
        else:
            met.append(found[0])
            pattern.append(f"({_ANY_ID})")
    if not pattern:
        return False
    match = re.fullmatch("".join((*pattern, re.escape(new[position:]))), old)
    if match is None or set(match.groups()) & set(ids.values()) or len(set(match.groups())) != len(met):
        return False
    ids.update(zip(met, match.groups(), strict=True))
    return True


def _words(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else str(value)
