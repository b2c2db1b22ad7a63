"""Drawings as icons: what of an SVG is drawn, and that nothing hostile in one is fetched, held up or brought down."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib.util
import io
import os
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_pipe.adapters.web import drawings, pictures, rendering
from openrouter_pipe.adapters.web.drawings import plain_drawing
from openrouter_pipe.adapters.web.pictures import png_data_url
from openrouter_pipe.adapters.web.rendering import rendered
from openrouter_pipe.ports.files import FileAccessError

NS = 'xmlns="http://www.w3.org/2000/svg"'
LINKS = 'xmlns:xlink="http://www.w3.org/1999/xlink"'
RED, GREEN, BLUE = (255, 0, 0, 255), (0, 128, 0, 255), (0, 0, 255, 255)
needs_renderer = pytest.mark.skipif(not rendering.has_renderer(), reason="resvg-py is not installed")


def svg(inside: str, root: str = f'{NS} {LINKS} viewBox="0 0 100 100"') -> bytes:
    return f"<svg {root}>{inside}</svg>".encode()


SQUARE = '<path d="M0 0h100v100H0z"/>'

GOOD = {
    "a plain path": svg('<path fill="red" d="M0 0h100v100H0z"/>'),
    "shapes": svg(
        '<rect width="100" height="20" fill="red"/><circle cx="50" cy="50" r="40" fill="#f00"/>'
        '<ellipse cx="50" cy="80" rx="50" ry="20" fill="rgb(255, 0, 0)"/>'
    ),
    "paint from above": svg(f'<g fill="red">{SQUARE}</g>'),
    "paint of the root": svg(SQUARE, f'{NS} viewBox="0 0 100 100" fill="red"'),
    "currentColor": svg(f'<g color="red"><g fill="currentColor">{SQUARE}</g></g>'),
    "rules of style": svg(f"<style><![CDATA[ .a , #b {{ fill : red !important; font: x }} /* ; */]]></style>"
                          f'<g class="a">{SQUARE}</g>'),
    "a style of its own": svg('<path style="fill:red;stroke:none;-x-font:Arial" d="M0 0h100v100H0z"/>'),
    "a gradient": svg(
        '<defs><linearGradient id="g"><stop stop-color="red"/></linearGradient><linearGradient id="h" xlink:href="#g"/></defs>'
        "<path fill=\"url('#h')\" d=\"M0 0h100v100H0z\"/>"
    ),
    "a clip": svg(f'<clipPath id="c"><circle cx="50" cy="50" r="40"/></clipPath><g fill="red" clip-path="url(#c)">{SQUARE}</g>'),
    "a mask": svg('<mask id="m"><rect width="100" height="100" fill="#fff"/></mask>'
                  f'<g fill="red" mask="url(#m)">{SQUARE}</g>'),
    "sizes instead of a box": svg('<rect width="40" height="20" fill="red"/>', f'{NS} width="40px" height="20"'),
    "words that are not drawn": svg(f'<title>x</title><desc>y</desc><metadata><x xmlns="y">z</x></metadata>'
                                    f'<g fill="red">{SQUARE}</g>'),
    "a transformation": svg('<rect transform="translate(-50 -50) scale(2)" width="100" height="100" fill="red"/>'),
    "a declaration, a remark, a byte order mark": b"\xef\xbb\xbf<?xml version='1.0' encoding='UTF-8'?><!-- x -->"
    + svg(f'<g fill="red">{SQUARE}</g>'),
    "attributes nobody knows": svg('<path data-x="url(http://x.example)" xml:space="preserve" fill="red" d="M0 0h100v100H0z"/>'),
}  # fmt: skip


@needs_renderer
@pytest.mark.parametrize("name", GOOD)
async def test_a_drawing_becomes_a_png(name):
    image = pytest.importorskip("PIL.Image")
    url = await png_data_url(GOOD[name])
    assert url.startswith("data:image/png;base64,")
    made = image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGBA")
    width, height = made.size
    assert max(width, height) == 256
    assert made.getpixel((width // 2, height // 2)) == RED


@needs_renderer
async def test_the_shape_of_the_drawing_stays():
    image = pytest.importorskip("PIL.Image")
    inside = '<rect width="50" height="100" fill="blue"/><rect x="50" width="50" height="50" fill="green"/>'
    url = await png_data_url(svg(inside, f'{NS} width="9999" height="3" viewBox="0 0 100 100"'))
    made = image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    assert made.size == (256, 256)
    assert [made.getpixel(place) for place in ((60, 200), (200, 60))] == [BLUE, GREEN]
    assert made.getpixel((200, 200))[3] == 0


@needs_renderer
@pytest.mark.parametrize(("paint", "ground"), [("", 255), ('fill="currentColor"', 255), ('fill="#fff"', 32)])
async def test_a_drawing_without_colours_shows_on_dark_and_light_pages(paint, ground):
    image = pytest.importorskip("PIL.Image")
    url = await png_data_url(svg(f'<path {paint} d="M50 5 95 95H5z"/>'))
    made = image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    assert made.getpixel((2, 2)) == (ground, ground, ground, 255)
    assert made.getpixel((128, 170)) == ((255,) * 4 if ground == 32 else (0, 0, 0, 255))


REPEATED = '<use href="#a{}"/>'
LAUGHS = "".join(f'<!ENTITY l{number} "{f"&l{number - 1};" * 10}">' for number in range(1, 10))
HOSTILE = {
    "an external entity": b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + svg("&x;" + SQUARE),
    "a parameter entity": b'<!-- --><!DOCTYPE svg [<!ENTITY % x SYSTEM "http://127.0.0.1/x.dtd"> %x;]>' + svg(SQUARE),
    "a billion laughs": f'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY l0 "lol">{LAUGHS}]>'.encode() + svg(f"&l9;{SQUARE}"),
    "a plain doctype": b'<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://127.0.0.1/svg11.dtd">'
    + svg(SQUARE),
    "an unknown entity": svg(f"&x;{SQUARE}"),
    "a style sheet beside it": b'<?xml version="1.0"?><?xml-stylesheet href="http://127.0.0.1/x.css"?>' + svg(SQUARE),
    "a script": svg(f"<script>alert(1)</script>{SQUARE}"),
    "a handler": svg(SQUARE, f'{NS} viewBox="0 0 1 1" onload="alert(1)"'),
    "foreign content": svg(f"<foreignObject><body xmlns='http://www.w3.org/1999/xhtml'/></foreignObject>{SQUARE}"),
    "another language": svg(f"<p xmlns='http://www.w3.org/1999/xhtml'/>{SQUARE}"),
    "a file as image": svg(f'<image href="file:///etc/passwd"/>{SQUARE}'),
    "a page as image": svg(f'<image xlink:href="http://127.0.0.1/x.png" width="9" height="9"/>{SQUARE}'),
    "an image in itself": svg(f'<image href="data:image/svg+xml;base64,PHN2Zy8+"/>{SQUARE}'),
    "a repetition of another file": svg('<use href="http://127.0.0.1/x.svg#a"/>'),
    "a bomb of repetitions": svg(
        '<g id="a0"><path d="M0 0h9v9z"/></g>'
        + "".join(f'<g id="a{n}">{REPEATED.format(n - 1) * 10}</g>' for n in range(1, 12))
    ),
    "symbols": svg(f"<symbol id='a'>{SQUARE}</symbol>"),
    "a pattern": svg(f"<pattern id='p' width='.001' height='.001'>{SQUARE}</pattern>"),
    "a filter": svg(f'<filter id="f"><feGaussianBlur stdDeviation="9999"/></filter><g filter="url(#f)">{SQUARE}</g>'),
    "a marker": svg(f"<marker id='m'>{SQUARE}</marker>"),
    "text": svg("<text>hello</text>"),
    "a link": svg(f'<a href="http://127.0.0.1/">{SQUARE}</a>'),
    "an animation": svg(f"<animate attributeName='d' values='x'/>{SQUARE}"),
    "a drawing in a drawing": svg(f"<svg viewBox='0 0 1 1'>{SQUARE}</svg>"),
    "paint from elsewhere": svg('<path fill="url(http://127.0.0.1/x.svg#a)" d="M0 0h9v9z"/>'),
    "paint from a file": svg('<path fill="url(x.svg#a)" d="M0 0h9v9z"/>'),
    "a gradient from elsewhere": svg(f'<linearGradient id="a" href="http://127.0.0.1/x.svg#a"/>{SQUARE}'),
    "a shape with a link": svg('<path href="#a" d="M0 0h9v9z"/>'),
    "style that imports": svg(f"<style>@import url(http://127.0.0.1/x.css);</style>{SQUARE}"),
    "style that fetches": svg(f"<style>path{{background:url(http://127.0.0.1/x.png)}}</style>{SQUARE}"),
    "style that hides what it fetches": svg(f"<style>path{{fill:\\75rl(http://127.0.0.1/x.png)}}</style>{SQUARE}"),
    "style with a font": svg(f"<style>@font-face{{font-family:x;src:url(//127.0.0.1/x)}}</style>{SQUARE}"),
    "an unfinished style": svg(f"<style>path{{fill:red</style>{SQUARE}"),
    "elements in a style": svg(f"<style><path d='M0 0'/></style>{SQUARE}"),
    "an own style that fetches": svg('<path style="background:url(//127.0.0.1/x)" d="M0 0h9v9z"/>'),
    "a clip within a clip": svg(
        f'<clipPath id="a"><g clip-path="url(#b)">{SQUARE}</g></clipPath><clipPath id="b">{SQUARE}</clipPath>'
    ),
    "a clip of itself": svg(f'<clipPath id="a" clip-path="url(#a)">{SQUARE}</clipPath>'),
    "a mask within a mask": svg(f'<mask id="a"><path style="mask:url(#a)" d="M0 0h9v9z"/></mask>{SQUARE}'),
    "many clips": svg(f'<clipPath id="a">{SQUARE}</clipPath>' + f'<g clip-path="url(#a)">{SQUARE}</g>' * 100),
    "a chain of gradients": svg("".join(f'<linearGradient id="a{n}" href="#a{n + 1}"/>' for n in range(1000)) + SQUARE),
    "many elements": svg("<path d='M0 0h9v9z'/>" * 5000),
    "deep groups": svg("<g>" * 5000 + SQUARE + "</g>" * 5000),
    "deep words": svg("<desc>" * 5000 + "</desc>" * 5000 + SQUARE),
    "10 MB of path": svg(f'<path d="M0 0{"h1v1" * 2_500_000}"/>'),
    "2 MB of path": svg(f'<path d="M0 0{"h1v1" * 500_000}"/>'),
    "2 MB of rules": svg(f"<style>{'a{fill:red}' * 200_000}</style>{SQUARE}"),
    "remarks that never end": svg(f"<style>{'/*' * 100_000}</style>{SQUARE}"),
    "blanks in a rule": svg(f"<style>{' ' * 200_000}</style>{SQUARE}x<style>{' ' * 19_000}x</style>"),
    "a huge box": svg(SQUARE, f'{NS} viewBox="0 0 1e30 1e30"'),
    "a huge size": svg(SQUARE, f'{NS} width="1000000000" height="1000000000"'),
    "an endless box": svg(SQUARE, f'{NS} viewBox="0 0 inf nan"'),
    "a box without extent": svg(SQUARE, f'{NS} viewBox="0 0 0 10"'),
    "a box turned round": svg(SQUARE, f'{NS} viewBox="0 0 -10 10"'),
    "a box of three": svg(SQUARE, f'{NS} viewBox="0 0 10"'),
    "a line as box": svg(SQUARE, f'{NS} viewBox="0 0 100000 1"'),
    "no size": svg(SQUARE, NS),
    "a size in percent": svg(SQUARE, f'{NS} width="100%" height="100%"'),
    "a size of many digits": svg(SQUARE, f'{NS} width="{"1" * 200_000}" height="1"'),
    "nothing": svg(""),
    "only words": svg("<title>x</title>"),
    "no namespace": svg(SQUARE, 'viewBox="0 0 1 1"'),
    "another root": f"<?xml version='1.0'?><g {NS}>{SQUARE}</g>".encode(),
    "half of it": svg(SQUARE)[:-8],
    "two of them": svg(SQUARE) * 2,
    "an unknown encoding": b"<?xml version='1.0' encoding='x-nobody'?>" + svg(SQUARE),
    "broken bytes": svg(SQUARE).replace(b"h100", b"\xff\xfe"),
    "commands that are none": svg('<path d="javascript:alert(1)"/>'),
    "markup in an attribute": svg('<path fill="&quot;/&gt;&lt;image href=x&gt;" d="M0 0h9v9z"/>'),
    "compressed": b"\x1f\x8b\x08\x00" + b"\0" * 60,
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_drawing_is_refused_fast_and_never_reaches_the_renderer(name, monkeypatch):
    reached = []
    monkeypatch.setattr(pictures, "rendered", reached.append)
    begun = time.process_time()
    with pytest.raises(FileAccessError) as refused:
        await png_data_url(HOSTILE[name])
    assert time.process_time() - begun < 1
    assert not reached
    assert "127.0.0.1" not in str(refused.value)


@needs_renderer
@pytest.mark.parametrize(
    "inside",
    [
        '<g opacity="0.9"><circle cx="50" cy="50" r="50" fill="red"/></g>' * 900,
        "".join(f'<path stroke-width="{n}" stroke="red" d="M0 0{"l9 9-9 9" * 1000}"/>' for n in range(20)),
        '<path d="M1e38 1e38 -1e38 -1e38C1e38 0 0 1e38 9 9z" stroke="red" stroke-width="1e38"/>',
        '<g transform="scale(1e30)"><circle r="1e38" stroke="red"/></g>',
    ],
    ids=["layers", "strokes", "far away", "large"],
)
async def test_what_takes_long_to_draw_is_given_up_and_holds_up_nobody(inside):
    longest, begun = 0.0, time.monotonic()
    drawing = asyncio.create_task(png_data_url(svg(inside)))
    while not drawing.done():
        before = time.monotonic()
        await asyncio.sleep(0.01)
        longest = max(longest, time.monotonic() - before)
    with contextlib.suppress(FileAccessError):
        assert drawing.result().startswith("data:image/png")
    assert time.monotonic() - begun < rendering.SECONDS + 3
    assert longest < 1


@needs_renderer
def test_the_renderer_sees_nothing_of_the_environment(monkeypatch):
    seen = {}

    def run(command, **options):
        seen.update(options["env"])
        return subprocess.CompletedProcess(command, 0, b"", b"")

    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-secret")
    monkeypatch.setattr(subprocess, "run", run)
    rendered("<svg/>")
    assert "OPENROUTER_API_KEY" in os.environ
    assert set(seen) <= {"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT"}


@pytest.mark.parametrize("program", ["/nonexistent/python", "", "/bin/false"])
def test_a_renderer_that_does_not_start_costs_the_picture_only(program, monkeypatch):
    monkeypatch.setattr(sys, "executable", program)
    with pytest.raises(FileAccessError):
        rendered(plain_drawing(GOOD["a plain path"], 64))


@pytest.mark.parametrize(
    ("program", "frozen"),
    [
        ("/usr/bin/uwsgi", False),
        ("/opt/host/open-webui", False),
        ("/opt/host/open-webui", True),
        (sys.executable, True),
    ],
)
def test_a_program_that_is_no_interpreter_is_never_started_a_second_time(program, frozen, monkeypatch):
    monkeypatch.setattr(sys, "executable", program)
    monkeypatch.setattr(sys, "frozen", frozen, raising=False)
    started = []
    monkeypatch.setattr(subprocess, "run", lambda *command, **_: started.append(command))
    assert not rendering.has_renderer()
    with pytest.raises(FileAccessError):
        rendered("<svg/>")
    assert not started


@pytest.mark.parametrize("name", ["python", "python3.11", "python.exe", "PYTHON3.12.EXE", "pypy3"])
def test_interpreters_are_known_by_their_names(name, monkeypatch):
    monkeypatch.setattr(sys, "executable", f"/opt/host/{name}")
    assert rendering.has_renderer() == (importlib.util.find_spec("resvg_py") is not None)


def test_without_the_renderer_the_reason_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    assert not rendering.has_renderer()
    with pytest.raises(FileAccessError, match="resvg-py"):
        rendered("<svg/>")


PIECES = st.sampled_from([
    "<g>", "</g>", "<path d='M0 0h9v9z'/>", "<style>", "</style>", "a{fill:red}", "url(", "#a", ")", "<", "&", "'", '"',
    "<use href='#a'/>", " fill='url(#a)'", "<!--", "-->", "]]>", "<![CDATA[", "{", "}", ";", "@import", "\\", "\0", "é",
    "<mask id='a'>",
])  # fmt: skip


@given(st.lists(PIECES, max_size=30).map("".join))
def test_whatever_is_let_through_holds_only_what_is_listed(inside):
    try:
        made = plain_drawing(svg(inside), 64)
    except FileAccessError:
        return
    assert made.startswith("<svg ")
    for word in ("<use", "href=", "@", "\\", "&", "<!", "<?", "://" + "127"):
        assert word not in made
    assert plain_drawing(made.encode(), 64)  # and is let through again


def test_remarks_that_never_end_are_looked_for_once():
    begun = time.process_time()
    with pytest.raises(FileAccessError):
        plain_drawing(svg(f"<style>{'/* ' * 6_600}</style>{SQUARE}"), 256)
    assert time.process_time() - begun < 0.1


def test_the_largest_drawing_is_read_quickly():
    most = svg("<g class='a b'>" * 20 + "<path style='fill:red' d='M0 0h9v9z'/>" * 1900 + "</g>" * 20)
    assert len(most) < drawings.MAX_BYTES
    begun = time.process_time()
    plain_drawing(most, 256)
    assert time.process_time() - begun < 1
