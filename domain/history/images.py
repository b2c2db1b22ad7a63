"""Images and other media of the history: which of them one request carries.

Users' images stay visible to the model, newest first, as far as the limit goes. Where the present message has none, those
of the latest assistant message that has any may stand in. What a model cannot read is left out and said so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from attrs import field, frozen

from openrouter_pipe.domain.history.markers import fenced_spans, inside
from openrouter_pipe.domain.history.policy import IMAGES_OF_USER_THEN_ASSISTANT, HistoryPolicy
from openrouter_pipe.domain.media.judging import claimed_kind, name_of
from openrouter_pipe.domain.media.kinds import PDF
from openrouter_pipe.ports.chat import ChatMessage
from openrouter_pipe.ports.items import AudioPart, FilePart, ImagePart, Part, Role, TextPart, VideoPart

# Linear in the text: no part can run over the beginning of another image, nor gives back what it has read.
_MARKDOWN_IMAGE: Final = re.compile(
    r"!\[[^\[\]\n]{0,500}+\]\((data:image/[a-zA-Z0-9.+-]++;base64,[A-Za-z0-9+/=\s]*+|/[^()\s]++)\)"
)
_LEFT_OUT: Final = "[An image of this message is not shown again.]"


@frozen
class Selection:
    """What of the media goes along.

    ``images`` are (message, part) positions of users' images that stay; ``stand_ins`` are assistants' images to add to
    the last user message, oldest first; ``inputs`` are the kinds the model reads. ``missing`` is how many of the first images
    of the last user message are over the limit.
    """

    images: frozenset[tuple[int, int]]
    stand_ins: tuple[ImagePart, ...] = field(repr=False)
    last_user: int
    inputs: frozenset[str]
    warnings: tuple[str, ...] = ()
    missing: int = 0


def without_images(text: str) -> str:
    """Assistant text without its embedded images (data URLs and addresses inside the host), outside code fences."""
    if "](" not in text:
        return text
    spans = fenced_spans(text)
    return _MARKDOWN_IMAGE.sub(lambda match: match.group() if inside(spans, match.start()) else "", text)


def select(messages: Sequence[ChatMessage], inputs: frozenset[str], policy: HistoryPolicy) -> Selection:
    """Choose the images of a request and say what of the present message is not sent."""
    last_user = max((at for at, message in enumerate(messages) if message.role is Role.USER), default=-1)
    theirs = [
        (at, index)
        for at, message in enumerate(messages)
        if message.role is Role.USER
        for index, part in enumerate(message.parts)
        if isinstance(part, ImagePart)
    ]
    warnings = list(_unreadable(messages[last_user].parts, inputs)) if last_user >= 0 else []
    if "image" not in inputs:
        return Selection(frozenset(), (), last_user, inputs, tuple(warnings))
    present = [where for where in theirs if where[0] == last_user]
    ours: tuple[tuple[int, ImagePart], ...] = ()
    if not present and last_user >= 0 and policy.image_input_selection == IMAGES_OF_USER_THEN_ASSISTANT:
        ours = _latest_of_assistant(messages[:last_user])
    # One list in order of age: places of users' images, and the assistant's as (place, number) after them.
    aged = sorted([(at, 0, index) for at, index in theirs] + [(at, 1, number) for number, (at, _) in enumerate(ours)])
    kept = aged[-policy.max_input_images :] if policy.max_input_images > 0 else []
    images = frozenset((at, index) for at, kind, index in kept if kind == 0)
    stand_ins = tuple(ours[number][1] for _, kind, number in kept if kind == 1)
    missing = sum(where not in images for where in present)
    if missing:
        warnings.append(
            f"The first {missing} of {len(present)} images were not sent: "
            f"a request carries at most {policy.max_input_images} images."
        )
    return Selection(images, stand_ins, last_user, inputs, tuple(warnings), missing)


def user_parts(at: int, message: ChatMessage, selection: Selection) -> tuple[Part, ...]:
    """The parts of the user message at position ``at`` that are sent."""
    kept: list[Part] = []
    images_left_out = 0
    for index, part in enumerate(message.parts):
        if isinstance(part, ImagePart):
            if (at, index) in selection.images:
                kept.append(part)
            else:
                images_left_out += 1
        elif input_kind(part) in selection.inputs or input_kind(part) == "text":
            kept.append(part)
    if at == selection.last_user:
        kept.extend(selection.stand_ins)
    if len(kept) > 1:
        kept = [part for part in kept if part != TextPart("")] or kept[:1]
    if images_left_out and not any(not isinstance(part, TextPart) or part.text.strip() for part in kept):
        return (TextPart(_LEFT_OUT),)
    return tuple(kept)


def shows_image(parts: Iterable[Part]) -> bool:
    """Whether an assistant message with these parts shows an image."""
    return any(True for _ in _images_of(parts))


def _latest_of_assistant(messages: Sequence[ChatMessage]) -> tuple[tuple[int, ImagePart], ...]:
    for at in range(len(messages) - 1, -1, -1):
        message = messages[at]
        if message.role is Role.ASSISTANT and (found := tuple(_images_of(message.parts))):
            return tuple((at, image) for image in found)
    return ()


def _images_of(parts: Iterable[Part]) -> Iterable[ImagePart]:
    for part in parts:
        if isinstance(part, ImagePart):
            yield part
        elif isinstance(part, TextPart) and "](" in part.text:
            spans = fenced_spans(part.text)
            for match in _MARKDOWN_IMAGE.finditer(part.text):
                if not inside(spans, match.start()):
                    yield ImagePart(match.group(1))


def input_kind(part: Part) -> str:
    """The kind of input that a model must read for this part, as far as the part says; `text` for what every model takes.

    PDFs are read by the platform for every model, unknown blocks pass unchanged, and a file that says nothing is judged by
    its bytes later.
    """
    match part:
        case ImagePart():
            return "image"
        case AudioPart():
            return "audio"
        case VideoPart():
            return "video"
        case FilePart():
            kind = claimed_kind(part)
            return "text" if kind in {"", PDF} else kind
        case _:
            return "text"


def _unreadable(parts: Sequence[Part], inputs: frozenset[str]) -> Iterable[str]:
    unread: dict[str, list[str]] = {}
    for part in parts:
        kind = input_kind(part)
        if kind != "text" and kind not in inputs:
            unread.setdefault(kind, []).append(name_of(part))
    for kind, names in unread.items():
        plural = "s" if len(names) > 1 else ""
        named = ", ".join(f'"{name}"' for name in names if name)
        which = f" ({named})" if named else ""
        yield f"{len(names)} {kind}{plural} of your message{which} not sent: the model does not read {kind} input."
