"""Small pictures from bytes that nobody vouches for: to PNG, off the event loop, without unfolding a bomb.

Pillow does the work where it is installed, which it is beside every Open WebUI; without it only PNG files pass, as they are.
SVG needs the package resvg-py besides: what of a drawing may be drawn is told in `web.drawings`, the drawing itself is done by a
process of its own (`web.rendering`).
"""

from __future__ import annotations

import asyncio
import base64
import importlib
import importlib.util
import io
import struct
import threading
import zlib
from typing import Any, Final

from openrouter_pipe.adapters.web.drawings import looks_like_drawing, plain_drawing
from openrouter_pipe.adapters.web.rendering import has_renderer, rendered
from openrouter_pipe.ports.files import FileAccessError

MAX_INPUT_BYTES: Final = 5 * 1024 * 1024
MAX_OUTPUT_BYTES: Final = 2 * 1024 * 1024
MAX_PIXELS: Final = 2048 * 2048
EDGE: Final = 256
"""Width and height of a picture at the most; icons are shown at a tenth of it."""

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8\xff"
_SCAN: Final = b"\xff\xda"
_MOST_SCANS: Final = 100
"""Of a JPEG, those of pictures inside it included; writers make about ten. Each may cover all of it again with a few bytes."""
_FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF")
_BROKEN: Final = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    ArithmeticError,
    LookupError,
    TypeError,
    struct.error,
    zlib.error,
)
"""What Pillow raises for broken files, by format and version."""

_AT_ONCE: Final = threading.BoundedSemaphore(2)

_OPAQUE: Final = 128
_OWN_GROUND: Final = 0.9
"""A picture whose opaque part is larger than this brings its own background."""
_ONE_TONE: Final = 0.95
_PLATES: Final = ((slice(0, 64), (255, 255, 255, 255)), (slice(192, 256), (32, 32, 32, 255)))
"""Tones of grey that vanish on a page of the same tone, and what is put behind them."""
_INSIDE: Final = 0.68
"""How much of a plate the drawing takes; it fits the circle that hosts cut out."""


class NoRendererError(FileAccessError):
    """A drawing that cannot be shown for want of a renderer; nothing is wrong with it."""


async def png_data_url(data: bytes) -> str:
    """A PNG data URL of a PNG, JPEG, WebP, GIF (its first image) or SVG picture, at most `EDGE` pixels wide and high.

    Raises:
        NoRendererError: an SVG, and no renderer.
        FileAccessError: no picture of these kinds, too large, or broken.
    """
    return await asyncio.to_thread(_converted, data)


def _converted(data: bytes) -> str:
    if len(data) > MAX_INPUT_BYTES:
        raise FileAccessError("the picture is too large")
    is_drawing = looks_like_drawing(data)
    if not is_drawing and not _is_raster(data):
        raise FileAccessError("the file is not a PNG, JPEG, WebP, GIF or SVG picture")
    if data.startswith(_JPEG) and data.count(_SCAN) > _MOST_SCANS:
        raise FileAccessError("the picture has too many layers")
    with _AT_ONCE:
        if is_drawing:
            drawing = plain_drawing(data, EDGE)
            if not has_renderer():
                raise NoRendererError("SVG pictures need the Python package resvg-py")
            data = rendered(drawing)
        png = _drawn(data) if _has_pillow() else _as_it_is(data)
    if len(png) > MAX_OUTPUT_BYTES:
        raise FileAccessError("the picture is too large")
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _is_raster(data: bytes) -> bool:
    riff = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    return riff or data.startswith((_PNG, _JPEG, b"GIF87a", b"GIF89a"))


def _has_pillow() -> bool:
    return importlib.util.find_spec("PIL") is not None


def _drawn(data: bytes) -> bytes:
    """Read anew and written anew: nothing but pixels goes on."""
    pillow: Any = importlib.import_module("PIL.Image")
    drawn = io.BytesIO()
    try:
        with pillow.open(io.BytesIO(data), formats=_FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise FileAccessError("the picture is too large")
            picture.draft(None, (EDGE, EDGE))
            picture.load()
            small = picture.convert("RGBA")
            small.thumbnail((EDGE, EDGE))
            small.info.clear()
            _on_plate(pillow, small).save(drawn, "PNG")
    except (pillow.DecompressionBombError, pillow.DecompressionBombWarning):
        raise FileAccessError("the picture is too large") from None
    except _BROKEN:
        raise FileAccessError("the picture is broken") from None
    return drawn.getvalue()


def _on_plate(pillow: Any, picture: Any) -> Any:
    """A picture that is nearly all black or all white, with a plate behind it; any other as it is."""
    seen = picture.getchannel("A").point([255 * (alpha >= _OPAQUE) for alpha in range(256)])
    tones: list[int] = picture.convert("L").histogram(seen)
    opaque = sum(tones)
    if not 0 < opaque <= _OWN_GROUND * picture.width * picture.height:
        return picture
    for span, colour in _PLATES:
        if sum(tones[span]) >= _ONE_TONE * opaque:
            edge = max(picture.size)
            plate = pillow.new("RGBA", (edge, edge), colour)
            inside = max(1, round(edge * _INSIDE))
            picture.thumbnail((inside, inside))
            plate.alpha_composite(picture, ((edge - picture.width) // 2, (edge - picture.height) // 2))
            return plate
    return picture


def _as_it_is(data: bytes) -> bytes:
    """A PNG whose head is in order; whoever shows it reads it again."""
    if not data.startswith(_PNG) or data[8:16] != b"\x00\x00\x00\rIHDR" or len(data) < 45:
        raise FileAccessError("pictures other than PNG need the Python package pillow")
    width, height = struct.unpack(">II", data[16:24])
    if not 0 < width * height <= MAX_PIXELS:
        raise FileAccessError("the picture is too large")
    return data
