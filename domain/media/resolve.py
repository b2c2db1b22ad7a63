"""All attachments of one request, made ready to leave: OpenRouter reaches neither the host nor what is inside it.

Whatever cannot be sent is left out alone, with a reason for the user where it belongs to the present message; the turn goes
on. Equal attachments are loaded once. Not here: how one is loaded (`loading`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

import attrs
from attrs import frozen

from openrouter_pipe.domain.media import equals, judging
from openrouter_pipe.domain.media.kinds import IMAGE
from openrouter_pipe.domain.media.loading import Loaded, Loader
from openrouter_pipe.domain.media.policy import MediaPolicy, NotSentError
from openrouter_pipe.ports.files import FileAccessError, FileStore, RemoteFetcher
from openrouter_pipe.ports.items import (
    AudioPart,
    FilePart,
    FunctionOutputItem,
    ImagePart,
    InputItem,
    MessageItem,
    Part,
    Role,
    TextPart,
    VideoPart,
)

_log = logging.getLogger(__name__)

_GONE: Final = "[An attachment of this message is not shown.]"
_NO_MORE: Final = "a request carries no more images"
_LATE: Final = "it took too long to read"
_RESPONSES_AUDIO: Final = frozenset({"mp3", "wav"})

_Attachment: TypeAlias = ImagePart | FilePart | AudioPart | VideoPart
_Outcome: TypeAlias = Loaded | str
"""The part, or the reason why there is none: an error would hold on to the content that it was raised about."""


@frozen
class Resolved:
    """Input items without any address of the host, and what the user should know."""

    items: tuple[InputItem, ...]
    warnings: tuple[str, ...] = ()


async def resolve(
    items: Sequence[InputItem],
    inputs: frozenset[str],
    policy: MediaPolicy,
    store: FileStore | None,
    fetcher: RemoteFetcher,
    *,
    keep: bool,
    images_before: int = 0,
) -> Resolved:
    """Make the attachments of ``items`` ready; with ``keep`` the host stores those of the present message.

    ``images_before`` is how many images of the present message have been left out already, from its beginning.
    """
    present = max((at for at, item in enumerate(items) if _is_user(item)), default=len(items))
    wanted = [(part, at >= present) for at, item in enumerate(items) for part in _attachments(item)]
    if not wanted:
        return Resolved(tuple(items))
    groups = await equals.grouped([part for part, _ in wanted])
    firsts: dict[int, _Attachment] = {}
    fresh: set[int] = set()
    for (part, is_present), group in zip(wanted, groups, strict=True):
        firsts.setdefault(group, part)
        if is_present:
            fresh.add(group)
    work = _Work(Loader(store, fetcher, inputs, policy), policy)
    loaded = await work.all({group: (part, keep and group in fresh) for group, part in firsts.items()})
    outcomes = {id(part): loaded[group] for (part, _), group in zip(wanted, groups, strict=True)}
    labels = _labels([part for part, is_present in wanted if is_present], images_before)
    pool = _Pool(outcomes, labels, sum(isinstance(part, ImagePart) for part, _ in wanted), policy.max_images)
    ready = [_replaced(item, pool, at >= present) for at, item in enumerate(items)]
    return Resolved(tuple(ready), tuple(_said(pool.failures)))


def needs_chat_completions(items: Iterable[InputItem]) -> bool:
    """Whether something among them can only be sent there: the responses endpoint takes audio as MP3 and WAV alone."""
    return any(
        isinstance(part, AudioPart) and part.format not in _RESPONSES_AUDIO
        for item in items
        for part in _attachments(item)
    )


class _Work:
    """Loads a few at a time until the turn's deadline."""

    def __init__(self, loader: Loader, policy: MediaPolicy) -> None:
        self._loader = loader
        self._places = asyncio.Semaphore(policy.parallel)
        self._deadline = asyncio.get_running_loop().time() + policy.deadline

    async def all(self, parts: dict[int, tuple[_Attachment, bool]]) -> dict[int, _Outcome]:
        async with asyncio.TaskGroup() as group:
            tasks = {key: group.create_task(self._one(part, keep)) for key, (part, keep) in parts.items()}
        return {key: task.result() for key, task in tasks.items()}

    async def _one(self, part: _Attachment, keep: bool) -> _Outcome:
        try:
            async with asyncio.timeout_at(self._deadline), self._places:
                return await self._loader.load(part, keep=keep)
        except (NotSentError, FileAccessError) as error:
            return str(error)
        except TimeoutError:
            return _LATE


class _Pool:
    """The outcomes, by the identity of what they are of, while they are put in their places."""

    def __init__(self, outcomes: dict[int, _Outcome], labels: dict[int, _Label], images: int, most: int) -> None:
        self.failures: list[tuple[_Label, str]] = []
        self._outcomes = outcomes
        self._labels = labels
        self._too_old = max(0, images - most)
        self._images_left = most - images + self._too_old

    def place(self, part: _Attachment, seen: set[str], *, present: bool) -> Part | None:
        """What stands for ``part``; None leaves it out. ``seen`` are the contents of the same message."""
        outcome = self._outcomes[id(part)]
        if isinstance(part, ImagePart) and self._too_old > 0:  # of what tools and instructions show, too, the newest
            self._too_old -= 1
            outcome = _NO_MORE
        if isinstance(outcome, Loaded) and self._fits(part, outcome.part):
            # A host names the files of a turn beside the message that may show them already.
            if isinstance(part, FilePart) and part.host_id and outcome.digest in seen:
                return None
            seen.add(outcome.digest)
            return outcome.part
        reason = _NO_MORE if isinstance(outcome, Loaded) else outcome
        if present:
            self.failures.append((self._labels[id(part)], reason))
        else:
            _log.info("an attachment of an earlier message was not sent: %s", reason)
        return None

    def _fits(self, asked: _Attachment, loaded: Part) -> bool:
        """Whether there is room: files that turn out to be images count as such."""
        if isinstance(asked, ImagePart) or not isinstance(loaded, ImagePart):
            return True
        self._images_left -= 1
        return self._images_left >= 0


def _replaced(item: InputItem, pool: _Pool, present: bool) -> InputItem:
    match item:
        case MessageItem(parts=parts) if any(True for _ in _attachments(item)):
            return attrs.evolve(item, parts=_placed(parts, pool, present))
        case FunctionOutputItem(output=tuple() as parts) if any(True for _ in _attachments(item)):
            return attrs.evolve(item, output=_placed(parts, pool, present))
        case _:
            return item


def _placed(parts: Sequence[Part], pool: _Pool, present: bool) -> tuple[Part, ...]:
    seen: set[str] = set()
    kept: list[Part] = []
    for part in parts:
        placed = pool.place(part, seen, present=present) if isinstance(part, _Attachment) else part
        if placed is not None:
            kept.append(placed)
    said = any(not isinstance(part, TextPart) or part.text.strip() for part in kept)
    return tuple(kept) if said else (*kept, TextPart(_GONE))


@frozen
class _Label:
    """What to call an attachment when speaking to its user: one without a name by its number, where there are several."""

    name: str
    number: int = 0
    of: int = 0


def _labels(parts: Sequence[_Attachment], images_before: int) -> dict[int, _Label]:
    counts = Counter(judging.wanted(part) for part in parts)
    counts[IMAGE] += images_before
    seen = Counter({IMAGE: images_before})
    labels: dict[int, _Label] = {}
    for part in parts:
        kind = judging.wanted(part)
        seen[kind] += 1
        numbered = counts[kind] > 1 and not judging.name_of(part)
        labels[id(part)] = _Label(judging.label(part), *((seen[kind], counts[kind]) if numbered else ()))
    return labels


def _said(failures: Iterable[tuple[_Label, str]]) -> Iterable[str]:
    """One notice for all that are called the same and were left out for the same reason."""
    numbers: dict[tuple[str, str, int], dict[int, None]] = {}
    for label, reason in failures:
        numbers.setdefault((label.name, reason, label.of), {})[label.number] = None
    for (name, reason, of), which in numbers.items():
        place = f" ({', '.join(map(str, which))} of {of})" if of else ""
        yield f"{name}{place} was not sent: {reason}."


def _attachments(item: InputItem) -> Iterable[_Attachment]:
    parts: Sequence[Part] = ()
    if isinstance(item, MessageItem) and item.role is not Role.ASSISTANT:
        parts = item.parts
    elif isinstance(item, FunctionOutputItem) and not isinstance(item.output, str):
        parts = item.output
    return (part for part in parts if isinstance(part, _Attachment))


def _is_user(item: InputItem) -> bool:
    return isinstance(item, MessageItem) and item.role is Role.USER
