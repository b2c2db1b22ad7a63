"""Content that came inside the request: data URLs and bare base64, read in linear time and never believed.

A large body is looked through piece by piece, so that it costs no second copy; a clean one travels on as it came.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote_to_bytes

from attrs import field, frozen

from openrouter_pipe.domain.media.kinds import HEAD_BYTES
from openrouter_pipe.domain.media.policy import NotSentError, megabytes

_HEADER_CHARS: Final = 1024
_WINDOW: Final = 256 * 1024  # characters looked at in one go; a multiple of four
_ESCAPED: Final = 24 * 1024  # characters with escapes, each of which costs an object while it is read
_MALFORMED: Final = "its data URL is malformed"
_NOT_BASE64: Final = "its content is not valid base64"
_BLANK: Final = " \t\r\n\f\v"
_URL_SAFE: Final = str.maketrans("-_", "+/", _BLANK)
_PADDING: Final = "=" + _BLANK


@frozen
class InlineText:
    """Base64 text inside a longer string: it begins at ``start``. ``mime`` is what is claimed, empty if nothing is."""

    text: str = field(repr=False)
    start: int = 0
    mime: str = ""

    @property
    def size(self) -> int:
        """About how many bytes it holds, two too many at the most."""
        return (len(self.text) - self.start) * 3 // 4

    def pieces(self, length: int = _WINDOW) -> Iterator[str]:
        """The base64 in pieces of whole bytes."""
        return (self.text[at : at + length] for at in range(self.start, len(self.text), length))


@frozen
class Checked:
    """Base64 that is whole. ``head`` are its first bytes, ``digest`` the SHA-256 of all of them, in hexadecimal."""

    inline: InlineText
    head: bytes = field(repr=False)
    size: int
    digest: str


def is_data_url(text: str) -> bool:
    """Whether this claims to be a data URL."""
    return text[:5].lower() == "data:"


def parse(url: str, limit: int) -> InlineText:
    """The content of a data URL, undecoded. Raises `NotSentError` if it is malformed, empty or over ``limit`` bytes."""
    comma = url.find(",", 5, _HEADER_CHARS)
    if not is_data_url(url) or comma < 0:
        raise NotSentError(_MALFORMED)
    mime, *parameters = (word.strip().lower() for word in url[5:comma].split(";"))
    inline = InlineText(url, comma + 1, mime)
    if "base64" in parameters:
        return bounded(inline, limit)
    if len(url) - comma - 1 > limit * 3:  # a byte is one to three characters here; the exact size follows
        raise _too_large(limit)
    try:
        text = _from_escapes(url, comma + 1)
    except UnicodeEncodeError:  # half a character
        raise NotSentError(_MALFORMED) from None
    return bounded(InlineText(text, 0, mime or "text/plain"), limit)


def bounded(inline: InlineText, limit: int) -> InlineText:
    """The same, unless it is empty or too large: then `NotSentError`, before anything is decoded."""
    if inline.size - 2 > limit:
        raise _too_large(limit)
    if len(inline.text) <= inline.start:
        raise NotSentError("it is empty")
    return inline


def check(inline: InlineText) -> Checked:
    """Look through all of it; takes time in proportion to its length, for a thread if that is much.

    White space, the alphabet for URLs and missing padding are put right. Raises `NotSentError` for what is no base64.
    """
    try:
        return _checked(inline)
    except binascii.Error:
        pass
    try:
        return _checked(_mended(inline))
    except (binascii.Error, ValueError):
        raise NotSentError(_NOT_BASE64) from None


def decode(checked: Checked) -> bytes:
    """The bytes; costs their size once."""
    buffer = io.BytesIO()
    for piece in checked.inline.pieces():
        buffer.write(binascii.a2b_base64(piece))
    return buffer.getvalue()


def _from_escapes(text: str, start: int) -> str:
    """The base64 of what percent signs encode from ``start`` on, a piece at a time."""
    result, rest, at = "", b"", start
    while at < len(text):
        end = at + _ESCAPED
        escape = text.rfind("%", end - 2, end) if end < len(text) else -1
        end = escape if escape >= 0 else end  # an escape stays in one piece
        data = rest + unquote_to_bytes(text[at:end])
        whole = len(data) - len(data) % 3
        rest = data[whole:]
        result += base64.b64encode(data[:whole]).decode("ascii")
        at = end
    result += base64.b64encode(rest).decode("ascii")
    return result


def _mended(inline: InlineText) -> InlineText:
    """The same in the usual alphabet, without white space, padded; a piece at a time."""
    end = len(inline.text)
    while end > inline.start:
        window = max(inline.start, end - _WINDOW)
        kept = len(inline.text[window:end].rstrip(_PADDING))
        end = window + kept
        if kept:
            break
    text = ""
    for at in range(inline.start, end, _WINDOW):
        text += inline.text[at : min(at + _WINDOW, end)].translate(_URL_SAFE)
    text += "=" * (-len(text) % 4)
    return InlineText(text, 0, inline.mime)


def _too_large(limit: int) -> NotSentError:
    return NotSentError(f"it is larger than {megabytes(limit)}")


def _checked(inline: InlineText) -> Checked:
    digest = hashlib.sha256()
    head = b""
    size = 0
    ended = False
    for piece in inline.pieces():
        if ended or len(piece) % 4 or not piece.isascii():
            raise binascii.Error("content after the padding, or padding of the wrong length")
        data = binascii.a2b_base64(piece, strict_mode=True)
        ended = piece.endswith("=")
        digest.update(data)
        size += len(data)
        if len(head) < HEAD_BYTES:
            head += data[: HEAD_BYTES - len(head)]
    if not size:
        raise NotSentError("it is empty")
    return Checked(inline, head, size, digest.hexdigest())
