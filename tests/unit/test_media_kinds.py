"""What bytes are, told by the bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_pipe.domain.media import kinds
from openrouter_pipe.domain.media.kinds import Media, sniff

PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (640).to_bytes(4, "big") + (480).to_bytes(4, "big") + bytes(5)
JPEG = (
    b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
    b"\xff\xc0\x00\x11\x08\x01\xe0\x02\x80\x03\x01\x22\x00"
)


@pytest.mark.parametrize(
    ("head", "kind", "mime"),
    [
        (PNG, "image", "image/png"),
        (JPEG, "image", "image/jpeg"),
        (b"GIF89a" + bytes(10), "image", "image/gif"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "image", "image/webp"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "audio", "audio/wav"),
        (b"%PDF-1.7\n", "pdf", "application/pdf"),
        (b"\xef\xbb\xbf\r\n%PDF-1.4", "pdf", "application/pdf"),
        (b"ID3\x04\0\0\0\0", "audio", "audio/mpeg"),
        (b"\xff\xfb\x90\x64", "audio", "audio/mpeg"),
        (b"\xff\xf1\x50\x80", "audio", "audio/aac"),
        (b"OggS\0\x02", "audio", "audio/ogg"),
        (b"fLaC\0\0", "audio", "audio/flac"),
        (b"\0\0\0\x20ftypM4A \0\0\0\0", "audio", "audio/mp4"),
        (b"\0\0\0\x20ftypisom\0\0\0\0", "video", "video/mp4"),
        (b"\0\0\0\x20ftypqt  \0\0\0\0", "video", "video/quicktime"),
        (b"\0\0\0\x20ftypheic\0\0\0\0", "image", "image/heic"),
        (b"\x1aE\xdf\xa3\x9fB\x86", "video", "video/webm"),
        (b"\0\0\x01\xba\x44", "video", "video/mpeg"),
        (b"FORM\0\0\0\0AIFF", "audio", "audio/aiff"),
    ],
)
def test_types_are_told_by_their_first_bytes(head: bytes, kind: str, mime: str) -> None:
    assert sniff(head) == Media(kind, mime)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"hello",
        b"BMW report",
        b"ID3 is a tag",
        b"\xff\xfea\0b\0",
        b"PK\x03\x04",
        b"<svg>",
        b"\xff\xd8",
        b"RIFF\0\0\0\0AVI ",
    ],
)
def test_what_says_nothing_is_not_guessed(head: bytes) -> None:
    assert sniff(head) is None


def test_containers_are_audio_where_audio_is_expected() -> None:
    assert sniff(b"\0\0\0\x20ftypisom", expects="audio") == Media("audio", "audio/mp4")
    assert sniff(b"\x1aE\xdf\xa3", expects="audio") == Media("audio", "audio/webm")
    assert sniff(PNG, expects="audio") == Media("image", "image/png")


@pytest.mark.parametrize(
    ("mime", "head", "count"),
    [
        ("image/png", PNG, 640 * 480),
        ("image/jpeg", JPEG, 640 * 480),
        ("image/gif", b"GIF89a\x10\0\x20\0", 16 * 32),
        ("image/webp", b"RIFF\0\0\0\0WEBPVP8X" + bytes(8) + b"\x0f\0\0\x1f\0\0", 16 * 32),
        ("image/webp", b"RIFF\0\0\0\0WEBPVP8L" + bytes(5) + (15 | 31 << 14).to_bytes(4, "little"), 16 * 32),
        ("image/webp", b"RIFF\0\0\0\0WEBPVP8 " + bytes(10) + b"\x10\0\x20\0", 16 * 32),
        ("image/png", b"\x89PNG", 0),
        ("image/jpeg", b"\xff\xd8\xff\xff\xff\xff", 0),
        ("image/heic", b"", 0),
    ],
)
def test_the_pixels_of_an_image(mime: str, head: bytes, count: int) -> None:
    assert kinds.pixels(head, mime) == count


@pytest.mark.parametrize(
    ("mime", "name", "kind"),
    [
        ("", "a.PDF", "pdf"),
        ("application/octet-stream", "a.mp3", "audio"),
        ("text/plain; charset=utf-8", "a.png", "file"),
        ("image/png", "", "image"),
        ("", "a.unknown", "file"),
        ("", "", ""),
        ("nonsense", "", ""),
    ],
)
def test_what_is_declared(mime: str, name: str, kind: str) -> None:
    assert kinds.declared_kind(mime, name) == kind


@given(st.binary(max_size=200), st.sampled_from(["", "audio", "video"]))
def test_no_bytes_trouble_it(head: bytes, expects: str) -> None:
    for start in (b"", PNG[:20], JPEG[:12], b"RIFF\0\0\0\0WEBPVP8", b"\0\0\0\0ftyp"):
        media = sniff(start + head, expects=expects)
        assert media is None or media.kind in {"image", "audio", "video", "pdf"}
        assert kinds.pixels(start + head, media.mime if media else "image/jpeg") >= 0
