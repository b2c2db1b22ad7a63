"""Icons as OpenRouter's own pages show them: the list of models that those pages read, and small pictures of every kind.

What lives here: ``answer`` for the paths outside the documented interface. Not here: HTTP, the catalogue.
"""

import base64
import json
import struct
import zlib
from hashlib import sha256
from typing import Any, Final

from openrouter_pipe.adapters.simulator.catalogue import Catalogue

LIST: Final = "/api/frontend/models"
_FOLDER: Final = "/images/icons/"
_TYPES: Final = {"svg": "image/svg+xml", "png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}
_EDGE: Final = 48

_SVG: Final = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 24 24"'
_DRAWINGS: Final = {
    "openai": f'{_SVG} fill="currentColor" fill-rule="evenodd"><title>OpenAI</title>'
    '<path d="M12 1a11 11 0 1 0 0 22 11 11 0 0 0 0-22Zm0 4a7 7 0 1 1 0 14 7 7 0 0 1 0-14Z"/></svg>',
    "anthropic": f"{_SVG}><style>.a{{fill:#d97757}}</style>"
    '<rect class="a" width="24" height="24" rx="5"/><path fill="#fff" d="M7 18 11 6h2l4 12h-2.5l-1-3h-3l-1 3z"/></svg>',
    "google": f'{_SVG}><defs><linearGradient id="b"><stop stop-color="#4285f4"/><stop offset="1" stop-color="#34a853"/>'
    '</linearGradient><linearGradient id="a" x1="0" y1="0" x2="1" y2="1" xlink:href="#b"/></defs>'
    '<path fill="url(#a)" d="M12 0c0 7 5 12 12 12-7 0-12 5-12 12C12 17 7 12 0 12 7 12 12 7 12 0z"/></svg>',
    "x-ai": f'{_SVG}><path fill="#fff" d="M2 2h5l15 20h-5zM17 2h5L7 22H2z"/></svg>',
}
_JPEG: Final = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNywtQFdBRkxOUlNSMj5aYVpQ"
    "YEpRUk//2wBDAQ4ODhMREyYVFSZPNS01T09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT0//wAARCAAwADAD"
    "ASIAAhEBAxEB/8QAGAABAQEBAQAAAAAAAAAAAAAAAAYBAwT/xAAmEAACAQMCBgMBAQAAAAAAAAABAgADBBEGQQUhMVGBkRITYXGh/8QAGAEAAwEB"
    "AAAAAAAAAAAAAAAAAQMEBgX/xAAdEQACAgMBAQEAAAAAAAAAAAAAAQIRAwQSMRMh/9oADAMBAAIRAxEAPwDyRETUihEoOH6TvblPsunFqpGQCPkx"
    "6bbe88uk6Xmj7qlTDWldLg7oR8D454/0Sd7WFS56DTJuJroyOyOpVlOCpGCD2mSgAlBo6wW54i9zUwVtgCFO7HOD02wT/cSflJoq7SlfVrVxzuFB"
    "U/q5OPRJ8SfaclhlyFelrERM8MJHWtgqmjxBMAsfqqDucEg9OwI8CSkr9b3aCjb2QGXLfafwcwPeT6khO/pOXxVi5eiajsjq6MVZTkMDgg95kSoB"
    "V8P1gVT4cRoFiByqUgMnp1B5d+Y9TpeaypimBYWzlzvWwAPAPPfcSQiSvSw9XQemdLivVua7167l6jnLMd5ziJUlX4gH/9k="
)
_WEBP: Final = base64.b64decode(
    "UklGRkwAAABXRUJQVlA4TEAAAAAvL8ALEBcgEEjyZxhtMAVpGzD1b7k7AoEksP0Zxpn/AL85KI4kA1JyvPOShDx5Le+I/k8A4e8ln5MiIvWV+RrI"
)
_KINDS: Final = {**dict.fromkeys(_DRAWINGS, "svg"), "qwen": "jpg", "mistralai": "webp"}
"""Kinds of picture by vendor; every other vendor has a PNG in a colour of its own."""


def answer(path: str, catalogue: Catalogue) -> tuple[str, bytes] | None:
    """Content type and body of a GET; None for a path that is neither the list nor an icon."""
    if path == LIST:
        return "application/json", json.dumps({"data": [_entry(model) for model in catalogue.models]}).encode()
    vendor, _, kind = path.removeprefix(_FOLDER).partition(".")
    if not path.startswith(_FOLDER) or "/" in vendor or kind != _KINDS.get(vendor, "png"):
        return None
    match kind:
        case "svg":
            body = _DRAWINGS[vendor].encode()
        case "jpg":
            body = _JPEG
        case "webp":
            body = _WEBP
        case _:
            body = _png(vendor)
    return _TYPES[kind], body


def _entry(model: dict[str, Any]) -> dict[str, Any]:
    vendor = model["id"].partition("/")[0].lstrip("~")
    icon = {"url": f"{_FOLDER}{vendor}.{_KINDS.get(vendor, 'png')}"}
    return {
        "slug": model["id"],
        "permaslug": model["canonical_slug"],
        "name": model["name"],
        "endpoint": {"provider_info": {"slug": vendor, "icon": icon}},
    }


def _png(vendor: str) -> bytes:
    """A square of two colours that only this vendor has."""
    shade = sha256(vendor.encode()).digest()
    ground, ink = bytes(one // 2 + 64 for one in shade[:3]), bytes(one // 2 + 96 for one in shade[3:6])
    quarter = _EDGE // 4
    outer, inner = ground * _EDGE, ground * quarter + ink * 2 * quarter + ground * quarter
    rows = b"".join(b"\0" + (inner if quarter <= row < 3 * quarter else outer) for row in range(_EDGE))
    head = struct.pack(">IIBBBBB", _EDGE, _EDGE, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
