"""Whether an attachment goes along, and as what: judged by its first bytes, by what was asked and by what the model reads.

Not here: getting at the bytes (`loading`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import unquote, urlsplit

from attrs import frozen

from openrouter_pipe.domain.media import kinds
from openrouter_pipe.domain.media.kinds import AUDIO, FILE, IMAGE, PDF, VIDEO, Media
from openrouter_pipe.domain.media.policy import MediaPolicy, NotSentError
from openrouter_pipe.ports.items import AudioPart, FilePart, ImagePart, Part, VideoPart

_READABLE_IMAGES: Final = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
_UNKNOWN: Final = {
    IMAGE: "it is not a PNG, JPEG, WebP or GIF image",
    AUDIO: "it is not audio of a known format",
    VIDEO: "it is not an MP4, QuickTime, WebM or MPEG video",
}
_NAME_CHARS: Final = 120


@frozen
class Verdict:
    """How the content travels: its type, the text before its base64, and the part that the whole text makes."""

    media: Media
    name: str
    prefix: str
    build: Callable[[str], Part]


def judge(part: Part, head: bytes, claimed: str, name: str, inputs: frozenset[str], policy: MediaPolicy) -> Verdict:
    """Decide by the first bytes; ``claimed`` is the declared type, ``name`` the file's. Raises `NotSentError`."""
    if not head:
        raise NotSentError("it is empty")
    expects = wanted(part)
    media = kinds.sniff(head, expects=expects or kinds.declared_kind(claimed, name))
    if media is None:
        media = _untold(part, kinds.declared(claimed, name))
    refuse_unread(media.kind, inputs)
    if media.kind == IMAGE:
        if media.mime not in _READABLE_IMAGES:
            raise NotSentError(_UNKNOWN[IMAGE])
        if kinds.pixels(head, media.mime) > policy.max_pixels:
            raise NotSentError(f"it has more than {policy.max_pixels // 1_000_000} million pixels")
    filename = clean_name(name) or "file" + kinds.extension(media.mime)
    data_url = f"data:{media.mime};base64,"
    match media.kind:
        case kinds.IMAGE:
            detail = part.detail if isinstance(part, ImagePart) else "auto"
            return Verdict(media, filename, data_url, lambda url: ImagePart(url, detail))
        case kinds.AUDIO:
            form = kinds.audio_format(media)
            if not form:
                raise NotSentError(_UNKNOWN[AUDIO])
            return Verdict(media, filename, "", lambda data: AudioPart(data, form))
        case kinds.VIDEO:
            return Verdict(media, filename, data_url, VideoPart)
        case _:
            return Verdict(media, filename, data_url, lambda url: FilePart(filename, data_url=url))


def wanted(part: Part) -> str:
    """The kind that the part says it is; empty for a file, which may be anything."""
    match part:
        case ImagePart():
            return IMAGE
        case AudioPart():
            return AUDIO
        case VideoPart():
            return VIDEO
        case _:
            return ""


def claimed_kind(part: Part) -> str:
    """The kind that the part says it is, by its name or type if it must be; empty where nothing is said."""
    match part:
        case FilePart():
            mime = (part.data_url or "")[:100].partition(";")[0].partition(",")[0].lower().removeprefix("data:")
            return kinds.declared_kind(mime if "/" in mime else "", part.filename or name_in(part.url or ""))
        case _:
            return wanted(part)


def refuse_unread(kind: str, inputs: frozenset[str]) -> None:
    """Raise `NotSentError` for what the model does not read. PDFs are read by the platform for every model."""
    if kind != PDF and kind not in inputs:
        raise NotSentError(f"the model does not read {kind} input")


def label(part: Part) -> str:
    """What to call an attachment when speaking to its user; of an address only its last part, which carries no secret."""
    kind = {"": "A file", IMAGE: "An image", AUDIO: "An audio recording", VIDEO: "A video"}[wanted(part)]
    name = name_of(part)
    if isinstance(part, FilePart) and name and name == clean_name(part.filename or ""):
        return f'The file "{name}"'
    return f'{kind} ("{name}")' if name else kind


def name_of(part: Part) -> str:
    """The name by which its user knows an attachment; empty if it has none."""
    match part:
        case FilePart(filename=str() as name) if clean_name(name):
            return clean_name(name)
        case ImagePart(url=url) | VideoPart(url=url) | FilePart(url=str() as url):
            return clean_name(name_in(url))
        case _:
            return ""


def name_in(url: str) -> str:
    """The last part of an http(s) address's path, if it looks like the name of a file."""
    if not url[:8].lower().startswith(("http://", "https://")):
        return ""
    try:
        last = unquote(urlsplit(url[:2000]).path).rpartition("/")[2]
    except ValueError:
        return ""
    return last if "." in last else ""


def clean_name(name: str) -> str:
    """A name without folders, quotes and what cannot be printed."""
    last = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(char for char in last if char.isprintable() and char not in '"<>|*?:').strip(". ")
    if len(kept) <= _NAME_CHARS:
        return kept
    stem, dot, ending = kept.rpartition(".")
    return stem[: _NAME_CHARS - len(ending) - 1] + dot + ending if dot and len(ending) < 10 else kept[:_NAME_CHARS]


def _untold(part: Part, claim: Media) -> Media:
    """What bytes are that do not tell: text and office documents do not, images and videos would."""
    match part:
        case ImagePart():
            raise NotSentError(_UNKNOWN[IMAGE])
        case VideoPart():
            raise NotSentError(_UNKNOWN[VIDEO])
        case AudioPart(format=form):
            known = kinds.AUDIO_FORMATS.get(form.strip().lower(), "")
            if known not in {"pcm16", "pcm24"}:
                raise NotSentError(_UNKNOWN[AUDIO])
            return Media(AUDIO, f"audio/{known}")  # raw samples have no beginning to be told by
        case _:
            if claim.kind in _UNKNOWN:
                raise NotSentError(_UNKNOWN[claim.kind])
            if claim.kind == PDF:
                raise NotSentError("it is not a PDF")
            return Media(FILE, claim.mime)
