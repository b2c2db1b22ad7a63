"""What of an SVG may be drawn: plain shapes, read one by one and written anew; anything else and there is no picture.

The answer is a new document of ours in which nothing stands that is not listed here: no scripts, no style rules beyond paint,
no text, no images, no filters, no repetitions, no address of anything outside. Not here: the drawing itself (`web.rendering`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NoReturn
from xml.parsers import expat

from openrouter_pipe.ports.files import FileAccessError

MAX_BYTES: Final = 256 * 1024
MOST_ELEMENTS: Final = 2_000
DEEPEST: Final = 32
MOST_REFERENCES: Final = 64
"""Of clips, masks and other gradients; each may cost a layer of its own."""

_SVG: Final = "http://www.w3.org/2000/svg"
_LINKS: Final = frozenset({"href", "http://www.w3.org/1999/xlink href"})
_PIECE: Final = 64 * 1024
_MOST_RULES: Final = 200
_LONGEST_STYLE: Final = 20_000
_LONGEST_VALUE: Final = 2_000
_LARGEST: Final = 1e6
_NARROWEST: Final = 16.0

_SHAPES: Final = frozenset({"path", "circle", "ellipse", "rect", "line", "polyline", "polygon"})
_GRADIENTS: Final = frozenset({"linearGradient", "radialGradient"})
_COVERS: Final = frozenset({"clipPath", "mask"})
_PLAIN: Final = _SHAPES | _GRADIENTS | _COVERS | {"g", "defs", "stop"}
_SILENT: Final = frozenset({"title", "desc", "metadata"})
"""Words about the drawing; left out with everything in them."""

# fmt: off
_PAINT: Final = frozenset({
    "fill", "fill-rule", "fill-opacity", "stroke", "stroke-width", "stroke-linecap", "stroke-linejoin",
    "stroke-miterlimit", "stroke-opacity", "opacity", "clip-rule", "color", "display", "visibility", "stop-color",
    "stop-opacity", "mask-type",
})
_GEOMETRY: Final = frozenset({
    "transform", "cx", "cy", "r", "rx", "ry", "x", "y", "width", "height", "x1", "y1", "x2", "y2", "fx", "fy", "fr",
    "offset", "gradientUnits", "gradientTransform", "spreadMethod", "clipPathUnits", "maskUnits",
    "maskContentUnits",
})
# fmt: on
_COVERED_BY: Final = frozenset({"clip-path", "mask"})
_COORDINATES: Final = {
    "d": re.compile(r"[MmZzLlHhVvCcSsQqTtAa0-9eE+\-.,\s]*\Z"),
    "points": re.compile(r"[0-9eE+\-.,\s]*\Z"),
}

_VALUE: Final = re.compile(r"[\w\s#%.,()+-]*\Z", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z_][\w.:-]{0,99}\Z", re.ASCII)
_CLASSES: Final = re.compile(r"[\w\s-]{0,200}\Z", re.ASCII)
_REFERENCE: Final = re.compile(r"\s*url\(\s*(['\"]?)#([A-Za-z_][\w.:-]{0,99})\1\s*\)\s*\Z", re.ASCII)
_LINK: Final = re.compile(r"\s*#([A-Za-z_][\w.:-]{0,99})\s*\Z", re.ASCII)
_FETCHES: Final = re.compile(r"url|://|expression|import", re.IGNORECASE)
_RULE: Final = re.compile(r"([\w.#,\s*>-]+)\{([^{}]*)\}", re.ASCII)
_LENGTH: Final = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*(?:px|pt|em|rem|mm|cm|in)?\s*\Z", re.ASCII)

_REFUSED: Final = "the drawing holds something else than plain shapes"


def looks_like_drawing(data: bytes) -> bool:
    """Whether these bytes begin as an SVG does; whether it is one, `plain_drawing` tells."""
    head = data[:1024].removeprefix(b"\xef\xbb\xbf").lstrip()
    return head.startswith((b"<svg", b"<?xml", b"<!--"))


def plain_drawing(data: bytes, edge: int) -> str:
    """The drawing as an SVG document of ours whose longer side is ``edge`` pixels.

    Raises:
        FileAccessError: no SVG, too large or too deep, or something in it that is not a plain shape or its paint.
    """
    if len(data) > MAX_BYTES:
        raise FileAccessError("the drawing is too large")
    reader = _Reader(edge)
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = parser.ProcessingInstructionHandler = _refuse
    try:
        for start in range(0, len(data), _PIECE):
            parser.Parse(data[start : start + _PIECE], False)
        parser.Parse(b"", True)
    except (expat.ExpatError, ValueError, LookupError):
        raise FileAccessError("the drawing is broken") from None
    if not reader.shapes:
        raise FileAccessError("there is nothing to draw")
    return "".join(reader.written)


def _refuse(*_: object) -> NoReturn:
    raise FileAccessError(_REFUSED)


class _Reader:
    """Hears the parser and writes what may stay."""

    def __init__(self, edge: int) -> None:
        self.written: list[str] = []
        self.shapes = 0
        self._edge = edge
        self._open: list[str] = []
        self._elements = 0
        self._references = 0
        self._silent = 0
        self._style: list[str] | None = None

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        self._elements += 1
        if self._elements > MOST_ELEMENTS or len(self._open) + self._silent >= DEEPEST:
            raise FileAccessError("the drawing is too large")
        namespace, _, tag = name.rpartition(" ")
        if self._silent or (namespace == _SVG and tag in _SILENT and self._open):
            self._silent += 1
        elif namespace != _SVG or self._style is not None:
            _refuse()
        elif not self._open:
            self._root(tag, attributes)
        elif tag == "style":
            self._style = []
            self._open.append(tag)
        elif tag in _PLAIN:
            self.shapes += tag in _SHAPES
            self._write(tag, self._attributes(tag, attributes))
        else:
            _refuse()

    def end(self, _: str) -> None:
        """An element ends."""
        if self._silent:
            self._silent -= 1
            return
        tag = self._open.pop()
        if tag == "style":
            self.written.append(f"<style>{''.join(_rules(''.join(self._style or ())))}</style>")
            self._style = None
        else:
            self.written.append(f"</{tag}>")

    def text(self, text: str) -> None:
        """Words: rules of style, or nothing that is drawn."""
        if self._style is not None:
            self._style.append(text)

    def _root(self, tag: str, attributes: dict[str, str]) -> None:
        if tag != "svg":
            _refuse()
        left, top, width, height = _box(attributes)
        scale = self._edge / max(width, height)
        paint = [
            one for one in self._attributes(tag, attributes) if one[0] in _PAINT or one[0] in {"id", "class", "style"}
        ]
        size = [
            ("xmlns", _SVG),
            ("viewBox", f"{left:g} {top:g} {width:g} {height:g}"),
            ("width", f"{max(1, round(width * scale))}"),
            ("height", f"{max(1, round(height * scale))}"),
        ]
        self._write(tag, [*size, *paint])

    def _write(self, tag: str, attributes: list[tuple[str, str]]) -> None:
        self._open.append(tag)
        given = "".join(f' {key}="{value}"' for key, value in attributes)
        self.written.append(f"<{tag}{given}>")

    def _attributes(self, tag: str, attributes: dict[str, str]) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        for key, value in attributes.items():
            if key in _COORDINATES:
                found.append((key, _matching(_COORDINATES[key], value)))
            elif key in _COVERED_BY:
                found.extend(self._covered(tag, key, value))
            elif key in _PAINT or key in _GEOMETRY:
                found.append((key, _painted(value)))
            elif key == "style":
                found.append((key, ";".join(self._declared(tag, value))))
            elif key in _LINKS:
                found.append(("href", self._linked(tag, value)))
            elif key == "id" and _NAME.match(value):
                found.append((key, value))
            elif key == "class":
                found.append((key, _matching(_CLASSES, value)))
            elif key.lower().startswith("on"):
                _refuse()
        return list(dict(found).items())

    def _declared(self, tag: str, text: str) -> Iterator[str]:
        for key, value in _declarations(text):
            for kept, shown in self._covered(tag, key, value) if key in _COVERED_BY else _paint(key, value):
                yield f"{kept}:{shown}"

    def _covered(self, tag: str, key: str, value: str) -> Iterator[tuple[str, str]]:
        """A clip or mask; none within another, because chains of them multiply."""
        if value.strip().lower() == "none":
            return
        found = _REFERENCE.match(value)
        if found is None or tag in _COVERS or not _COVERS.isdisjoint(self._open):
            _refuse()
        self._count_reference()
        yield key, f"url(#{found[2]})"

    def _linked(self, tag: str, value: str) -> str:
        found = _LINK.match(value)
        if found is None or tag not in _GRADIENTS:
            raise FileAccessError(_REFUSED)
        self._count_reference()
        return f"#{found[1]}"

    def _count_reference(self) -> None:
        self._references += 1
        if self._references > MOST_REFERENCES:
            raise FileAccessError("the drawing is too large")


def _rules(text: str) -> Iterator[str]:
    """Rules of style that do nothing but paint."""
    if len(text) > _LONGEST_STYLE:
        raise FileAccessError("the drawing is too large")
    text, place = _without_remarks(text), 0
    for _ in range(_MOST_RULES):
        rule = _RULE.match(text, place)
        if rule is None:
            break
        place = rule.end()
        kept = [f"{key}:{value}" for name, given in _declarations(rule[2]) for key, value in _paint(name, given)]
        yield f"{' '.join(rule[1].split()).replace('>', ' ')}{{{';'.join(kept)}}}"
    if text[place:].strip():
        _refuse()


def _without_remarks(text: str) -> str:
    """Each place is looked at once, which no pattern does where ends are missing."""
    kept, place = list[str](), 0
    while (start := text.find("/*", place)) >= 0:
        end = text.find("*/", start + 2)
        if end < 0:
            _refuse()
        kept.append(text[place:start])
        place = end + 2
    return " ".join((*kept, text[place:]))


def _declarations(text: str) -> Iterator[tuple[str, str]]:
    for declaration in text.split(";"):
        key, colon, value = declaration.partition(":")
        if colon:
            yield key.strip().lower(), value.replace("!important", "").strip()
        elif key.strip():
            _refuse()


def _paint(key: str, value: str) -> Iterator[tuple[str, str]]:
    if key in _PAINT:
        yield key, _painted(value)
    elif _FETCHES.search(value):
        _refuse()


def _painted(value: str) -> str:
    """A value of paint or geometry: numbers, names, colours, functions of them, or a gradient of the same drawing."""
    if found := _REFERENCE.match(value):
        return f"url(#{found[2]})"
    if len(value) > _LONGEST_VALUE or _FETCHES.search(value):
        _refuse()
    return _matching(_VALUE, value)


def _matching(pattern: re.Pattern[str], value: str) -> str:
    if pattern.match(value) is None:
        _refuse()
    return value


def _box(attributes: dict[str, str]) -> tuple[float, float, float, float]:
    """The part of the plane that is shown: left, top, width, height."""
    text = attributes.get("viewBox", "").replace(",", " ").split()
    try:
        left, top, width, height = (
            [float(number) for number in text]
            if text
            else [0.0, 0.0, *(_length(attributes.get(side, "")) for side in ("width", "height"))]
        )
    except ValueError:
        raise FileAccessError("the drawing has no size") from None
    sides_are_usable = 0 < width <= _LARGEST and 0 < height <= _LARGEST
    if not sides_are_usable or not max(abs(left), abs(top)) <= _LARGEST:
        raise FileAccessError("the drawing has no usable size")
    if max(width, height) > _NARROWEST * min(width, height):
        raise FileAccessError("the drawing is too narrow for an icon")
    return left, top, width, height


def _length(text: str) -> float:
    found = _LENGTH.match(text[:100])
    if found is None:
        raise ValueError("no length")
    return float(found[1])
