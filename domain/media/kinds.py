"""What bytes are, told by the bytes: names and declared types are hints for what cannot be told, and believed nowhere else.

Not here: whether a model takes it (`judging`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import frozen

IMAGE: Final = "image"
AUDIO: Final = "audio"
VIDEO: Final = "video"
PDF: Final = "pdf"
FILE: Final = "file"

HEAD_BYTES: Final = 64 * 1024
"""How many of the first bytes tell what something is (a JPEG names its size late)."""


@frozen
class Media:
    """A type of content: ``kind`` is one of the words above, ``mime`` is as providers know it."""

    kind: str
    mime: str


_EXTENSIONS: Final = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
    "audio/mpeg": "mp3",
    "audio/wav": "wav",
    "audio/ogg": "ogg",
    "audio/flac": "flac",
    "audio/mp4": "m4a",
    "audio/aac": "aac",
    "audio/aiff": "aiff",
    "audio/webm": "webm",
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "video/webm": "webm",
    "video/mpeg": "mpeg",
    "application/pdf": "pdf",
    "text/plain": "txt",
    "text/markdown": "md",
    "text/csv": "csv",
    "text/html": "html",
    "application/json": "json",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
}
_TYPES: Final = {extension: mime for mime, extension in _EXTENSIONS.items() if mime != "audio/webm"} | {
    "jpeg": "image/jpeg",
    "mpg": "video/mpeg",
    "wave": "audio/wav",
    "oga": "audio/ogg",
    "opus": "audio/ogg",
    "htm": "text/html",
    "aif": "audio/aiff",
}
AUDIO_FORMATS: Final = {
    "mp3": "mp3",
    "mpeg": "mp3",
    "mpga": "mp3",
    "wav": "wav",
    "wave": "wav",
    "x-wav": "wav",
    "vnd.wave": "wav",
    "ogg": "ogg",
    "oga": "ogg",
    "opus": "ogg",
    "flac": "flac",
    "x-flac": "flac",
    "m4a": "m4a",
    "x-m4a": "m4a",
    "mp4": "m4a",
    "aac": "aac",
    "x-aac": "aac",
    "aiff": "aiff",
    "x-aiff": "aiff",
    "webm": "webm",
    "pcm16": "pcm16",
    "pcm24": "pcm24",
}
"""Formats of audio by the names in use for them, MIME subtypes included."""

_CONTAINERS: Final = {"video/mp4": "audio/mp4", "video/webm": "audio/webm"}
_HEIF: Final = frozenset({b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis"})


def sniff(head: bytes, *, expects: str = "") -> Media | None:
    """What the first bytes say, None if they say nothing.

    MP4 and WebM hold sound as well as pictures: where audio is expected they are audio.
    """
    mime = _mime(head)
    if expects == AUDIO:
        mime = _CONTAINERS.get(mime, mime)
    return Media(_kind(mime), mime) if mime else None


def declared(mime: str, name: str) -> Media:
    """What is claimed, by the type or else by the name's ending, for content that does not tell."""
    mime = mime.partition(";")[0].strip().lower()
    if mime in {"", "application/octet-stream", "binary/octet-stream"} or "/" not in mime:
        mime = _TYPES.get(name.rpartition(".")[2].lower(), "application/octet-stream")
    return Media(_kind(mime), mime)


def declared_kind(mime: str, name: str) -> str:
    """The kind that is claimed; empty where nothing is."""
    media = declared(mime, name)
    return "" if media.mime == "application/octet-stream" and "." not in name else media.kind


def audio_format(media: Media) -> str:
    """The format as audio inputs name it; empty for one that has no name there."""
    return AUDIO_FORMATS.get(media.mime.partition("/")[2], "")


def extension(mime: str) -> str:
    """The ending of a name for this type, with its dot; empty if unknown."""
    known = _EXTENSIONS.get(mime)
    return f".{known}" if known else ""


def pixels(head: bytes, mime: str) -> int:
    """How many pixels an image unfolds to, 0 if that cannot be told."""
    reader = _SIZES.get(mime)
    width, height = reader(head) if reader is not None else (0, 0)
    return width * height


def _kind(mime: str) -> str:
    if mime == "application/pdf":
        return PDF
    family = mime.partition("/")[0]
    return family if family in {IMAGE, AUDIO, VIDEO} else FILE


def _mime(head: bytes) -> str:
    for magic, mime in _MAGIC:
        if head.startswith(magic):
            return mime
    if head[4:8] == b"ftyp":
        return _iso_media(head[8:12])
    if head[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(head[8:12], "")
    if head[:4] == b"FORM" and head[8:12] in {b"AIFF", b"AIFC"}:
        return "audio/aiff"
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return "image/bmp"
    if head[:3] == b"ID3" and len(head) > 3 and head[3] < 0x10:
        return "audio/mpeg"
    if head[:1024].lstrip(b"\xef\xbb\xbf\0 \t\r\n").startswith(b"%PDF-"):
        return "application/pdf"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return _framed_audio(head)
    return ""


def _iso_media(brand: bytes) -> str:
    if brand in {b"M4A ", b"M4B ", b"F4A "}:
        return "audio/mp4"
    if brand in _HEIF:
        return "image/avif" if brand.startswith(b"avi") else "image/heic"
    return "video/quicktime" if brand == b"qt  " else "video/mp4"


def _framed_audio(head: bytes) -> str:
    layer = head[1] >> 1 & 3
    if layer == 0:
        return "audio/aac" if head[1] & 0xF0 == 0xF0 else ""
    # Layer I (3) is left out: the byte order mark of UTF-16 looks like it.
    valid = layer != 3 and (head[1] >> 3 & 3) != 1 and len(head) > 2 and head[2] >> 4 != 15 and (head[2] >> 2 & 3) != 3
    return "audio/mpeg" if valid else ""


_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"\x00\x00\x01\xba", "video/mpeg"),
    (b"\x00\x00\x01\xb3", "video/mpeg"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
)


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _png(head: bytes) -> tuple[int, int]:
    return _number(head[16:20]), _number(head[20:24])


def _gif(head: bytes) -> tuple[int, int]:
    return int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")


def _webp(head: bytes) -> tuple[int, int]:
    match head[12:16]:
        case b"VP8X":
            return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
        case b"VP8L":
            bits = int.from_bytes(head[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
    return 0, 0


def _jpeg(head: bytes) -> tuple[int, int]:
    """Walk the segments up to the frame header; a file that lies about their lengths has no size."""
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            return _number(head[at + 7 : at + 9]), _number(head[at + 5 : at + 7])
        at += 1 if marker == 0xFF else 2 + max(2, _number(head[at + 2 : at + 4]))
    return 0, 0


_SIZES: Final[dict[str, Callable[[bytes], tuple[int, int]]]] = {
    "image/png": _png,
    "image/gif": _gif,
    "image/webp": _webp,
    "image/jpeg": _jpeg,
}
