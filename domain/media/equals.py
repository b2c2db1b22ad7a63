"""Which attachments of a request are the same, told without a long pause: a large one is neither hashed nor compared at once.

Hashing a string of 60 MB takes ten milliseconds in which nothing else runs. Here short members are compared as they are, long
ones by their length and samples, and only where those agree by their digests, made a piece at a time in a thread.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Final, TypeAlias

import attrs

from openrouter_pipe.ports.items import AudioPart, FilePart, ImagePart, VideoPart

_LONG: Final = 16 * 1024  # characters
_SAMPLE: Final = 256
_PIECE: Final = 256 * 1024

Attachment: TypeAlias = ImagePart | FilePart | AudioPart | VideoPart


async def grouped(parts: Sequence[Attachment]) -> list[int]:
    """A number for each part; equal parts, and only they, have the same."""
    alike: dict[Hashable, list[int]] = defaultdict(list)
    for at, part in enumerate(parts):
        alike[_outline(part)].append(at)
    groups = [0] * len(parts)
    for places in alike.values():
        keys: list[Hashable] = [None] * len(places)
        if len({_identity(parts[at]) for at in places}) > 1:
            keys = [await asyncio.to_thread(_digest, parts[at]) for at in places]
        first: dict[Hashable, int] = {}
        for at, key in zip(places, keys, strict=True):
            groups[at] = first.setdefault(key, at)
    return groups


def _members(part: Attachment) -> tuple[object, ...]:
    return attrs.astuple(part, recurse=False)


def _is_long(member: object) -> bool:
    return isinstance(member, str) and len(member) > _LONG


def _outline(part: Attachment) -> Hashable:
    return (type(part), *(_sampled(member) for member in _members(part)))


def _sampled(member: object) -> Hashable:
    if not isinstance(member, str) or not _is_long(member):
        return member
    middle = len(member) // 2
    return len(member), member[:_SAMPLE], member[middle : middle + _SAMPLE], member[-_SAMPLE:]


def _identity(part: Attachment) -> Hashable:
    """The same for parts whose long members are the very same objects."""
    return tuple(id(member) for member in _members(part) if _is_long(member))


def _digest(part: Attachment) -> bytes:
    digest = hashlib.sha256()
    for member in _members(part):
        if isinstance(member, str) and _is_long(member):
            digest.update(b"%d " % len(member))
            for at in range(0, len(member), _PIECE):
                digest.update(member[at : at + _PIECE].encode("utf-8", "surrogatepass"))
    return digest.digest()
