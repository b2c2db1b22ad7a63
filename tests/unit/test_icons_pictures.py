"""Icons: the list of another product's pages in every shape, guarded downloads, and pictures that are none."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import struct
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_pipe.adapters.memory import ManualClock, MemoryFetcher
from openrouter_pipe.adapters.web import GuardedFetcher, IconPlace, WebIcons, pictures
from openrouter_pipe.adapters.web.icons import read_list
from openrouter_pipe.adapters.web.pictures import png_data_url
from openrouter_pipe.composition.model_sync import icon_place
from openrouter_pipe.composition.pipe import PipeContainer
from openrouter_pipe.composition.policies import fetch_policy
from openrouter_pipe.composition.served import LatestSettings
from openrouter_pipe.domain.media.addresses import OutboundGuard
from openrouter_pipe.ports.files import FetchPolicy, FileAccessError, FileBytes
from openrouter_pipe.ports.settings import read_settings

LIST = "https://openrouter.example/api/frontend/models"
BASE = "https://openrouter.example"
HTTP_FOR_OTHERS = {"ALLOW_INSECURE_HTTP": True, "ALLOW_INSECURE_HTTP_HOSTS": "other.example"}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int = 2, height: int = 2, *extra: bytes) -> bytes:
    """A valid PNG; rows are not written beyond a few megabytes, as in a bomb."""
    row = b"\0" + b"\x7f" * min(width * 3, 4_000_000)
    rows = zlib.compress(row * min(height, 4_000_000 // len(row)))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(extra) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def source(pages: dict, place: str | None = LIST) -> tuple[WebIcons, MemoryFetcher, ManualClock]:
    fetcher = MemoryFetcher(
        {
            url: page if isinstance(page, FileBytes | FileAccessError) else FileBytes(json.dumps(page).encode(), "x/y")
            for url, page in pages.items()
        }
    )
    clock = ManualClock()
    found = None if place is None else IconPlace(place, FetchPolicy(50_000_000))
    return WebIcons(fetcher, lambda: found, clock), fetcher, clock


async def test_icons_come_as_data_urls_and_are_asked_for_once_a_day():
    entries = [
        {"slug": "a/b", "endpoint": {"provider_info": {"icon": {"url": "/images/a.png"}}}},
        {"slug": "a/c", "provider_info": {"icon": "https://cdn.example/c.png"}},
        {"id": "a/d", "icon_url": "/images/a.png"},
        {"slug": "a/e", "icon": {"url": "/broken.png"}},
        {"slug": "a/f", "icon": {"url": "/gone.png"}},
        {"slug": "not/wanted", "icon": "/never.png"},
    ]
    pages = {
        LIST: {"data": entries},
        f"{BASE}/images/a.png": FileBytes(png(), "image/png"),
        "https://cdn.example/c.png": FileBytes(png(3, 3), "text/html"),
        f"{BASE}/broken.png": FileBytes(b"<html>", "image/png"),
    }
    icons, fetcher, clock = source(pages)
    wanted = ["a/b", "a/c", "a/d", "a/e", "a/f", "un/known"]
    found = await icons.icons(wanted)
    assert set(found) == {"a/b", "a/c", "a/d"}
    assert all(url.startswith("data:image/png;base64,iVBOR") for url in found.values())
    assert found["a/b"] == found["a/d"]
    assert sorted(fetcher.fetched) == sorted([LIST, *pages.keys() - {LIST}, f"{BASE}/gone.png"])
    assert await icons.icons(wanted) == found
    assert len(fetcher.fetched) == 5
    clock.advance(25 * 3600)
    assert await icons.icons(wanted) == found
    assert len(fetcher.fetched) == 10


async def test_what_failed_is_asked_for_again_after_an_hour():
    picture = f"{BASE}/a.png"
    icons, fetcher, clock = source({LIST: FileAccessError("down"), picture: FileAccessError("down")})
    assert await icons.icons(["a/b"]) == {}
    fetcher.pages[LIST] = FileBytes(json.dumps({"data": [{"slug": "a/b", "icon": "/a.png"}]}).encode(), "x/y")
    assert await icons.icons(["a/b"]) == {}
    clock.advance(3601)
    assert await icons.icons(["a/b"]) == {}
    fetcher.pages[picture] = FileBytes(png(), "image/png")
    clock.advance(3601)
    assert set(await icons.icons(["a/b"])) == {"a/b"}
    assert fetcher.fetched == [LIST, LIST, picture, picture]


@pytest.mark.parametrize(
    "page",
    [
        FileAccessError("down"),
        FileBytes(b"<html>", "text/html"),
        FileBytes(b"\xff\xfe\x00", "application/json"),
        FileBytes(b"[" * 100_000, "application/json"),
        FileBytes(b'{"data": NaN}', "application/json"),
        {},
        {"data": {"models": 3}},
        {"data": [None, 1, "x", [], {}, {"slug": None}, {"slug": ["a/b"], "icon": "/x"}, {"slug": "a/b"}]},
        {"data": [{"slug": "a/b", "icon": {"url": {"url": "x"}}}]},
        {"data": [{"slug": "a/b", "icon": "x" * 5000}, {"slug": "a/b", "endpoint": [], "provider_info": "x"}]},
        {"data": [{"slug": "a/b", "icon": "https://[::1"}, {"slug": "a/b", "icon": 7}]},
    ],
)
async def test_a_list_in_any_other_shape_costs_icons_only(page):
    icons, _, _ = source({LIST: page})
    assert await icons.icons(["a/b"]) == {}


async def test_without_a_place_or_models_nothing_is_fetched():
    icons, fetcher, _ = source({}, None)
    assert await icons.icons(["a/b"]) == {}
    icons, fetcher, _ = source({})
    assert await icons.icons([]) == {}
    assert not fetcher.fetched


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/a.png",
        "http://127.0.0.1/a.png",
        "https://[::1]/a.png",
        "http://cdn.example/a.png",
        "file:///etc/passwd",
        "https://u@cdn.example/",
        "//10.0.0.5/",
    ],
)
@pytest.mark.parametrize(
    "settings",
    [{}, {"ALLOW_INSECURE_HTTP_HOSTS": "127.0.0.1,cdn.example"}, {"ALLOW_INSECURE_HTTP": True}, HTTP_FOR_OTHERS],
    ids=["as delivered", "a list without the permission", "the permission without a list", "another host listed"],
)
async def test_icons_are_fetched_under_the_guard(url, settings):
    """The real fetcher, whose resolver and transport must not even be asked."""

    class Nobody:
        async def addresses(self, host: str, port: int) -> tuple[str, ...]:
            raise AssertionError("looked up")

    class Guarded:
        def __init__(self) -> None:
            self.inner = GuardedFetcher(OutboundGuard(), ManualClock(), Nobody(), trust=lambda: None)

        async def fetch(self, asked: str, policy: FetchPolicy) -> FileBytes:
            if asked == LIST:
                return FileBytes(json.dumps({"data": [{"slug": "a/b", "icon": url}]}).encode(), "x/y")
            return await self.inner.fetch(asked, policy)

    policy = fetch_policy(read_settings(settings))
    assert policy.guard_addresses
    assert await WebIcons(Guarded(), lambda: IconPlace(LIST, policy), ManualClock()).icons(["a/b"]) == {}


async def test_a_listed_host_may_be_asked_by_http_and_loopback_still_not():
    """What an operator permits for downloads holds for icons too; addresses stay guarded until that is switched off as well."""
    permitted = {"ALLOW_INSECURE_HTTP": True, "ALLOW_INSECURE_HTTP_HOSTS": "127.0.0.1"}
    url = "http://127.0.0.1/a.png"
    guard = OutboundGuard()
    with pytest.raises(FileAccessError, match="public internet"):
        guard.target(url, fetch_policy(read_settings(permitted)))
    everything = fetch_policy(read_settings({**permitted, "ENABLE_SSRF_PROTECTION": False}))
    asked = []

    class Guarded:
        async def fetch(self, wanted: str, policy: FetchPolicy) -> FileBytes:
            asked.append(guard.target(wanted, policy).host)
            return FileBytes(
                json.dumps({"data": [{"slug": "a/b", "icon": url}]}).encode() if wanted != url else png(), ""
            )

    found = await WebIcons(Guarded(), lambda: IconPlace("http://127.0.0.1/list", everything), ManualClock()).icons(
        ["a/b"]
    )
    assert set(found) == {"a/b"}
    assert asked == ["127.0.0.1", "127.0.0.1"]


async def test_of_an_endless_icon_no_more_is_read_than_an_icon_may_have():
    asked = []

    class Fetcher:
        async def fetch(self, url: str, policy: FetchPolicy) -> FileBytes:
            asked.append(policy.max_bytes)
            if url == LIST:
                return FileBytes(json.dumps({"data": [{"slug": "a/b", "icon": "/a.png"}]}).encode(), "x/y")
            raise FileAccessError("larger than allowed")

    place = IconPlace(LIST, FetchPolicy(500 * 1024 * 1024))
    assert await WebIcons(Fetcher(), lambda: place, ManualClock()).icons(["a/b"]) == {}
    assert asked == [32 * 1024 * 1024, pictures.MAX_INPUT_BYTES]


async def test_few_pictures_are_drawn_at_once(monkeypatch):
    running, most = 0, 0

    def convert(data: bytes) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.01)
        running -= 1
        return "data:image/png;base64,AAAA"

    monkeypatch.setattr(pictures, "_converted", convert)
    entries = [{"slug": f"a/{number}", "icon": f"/{number}.png"} for number in range(12)]
    pages = {f"{BASE}/{number}.png": FileBytes(b"x", "") for number in range(12)}
    icons, _, _ = source({LIST: {"data": entries}, **pages})
    assert len(await icons.icons([f"a/{number}" for number in range(12)])) == 12
    assert most <= 2


async def test_what_was_refused_is_asked_for_again_when_the_operator_permits_more():
    picture = f"{BASE}/a.png"
    fetcher = MemoryFetcher({LIST: FileAccessError("refused")})
    places = [IconPlace(LIST, FetchPolicy(1000)), IconPlace(LIST, FetchPolicy(1000, insecure_hosts=frozenset({"x"})))]
    icons = WebIcons(fetcher, lambda: places[0], ManualClock())
    assert await icons.icons(["a/b"]) == {}
    fetcher.pages = {
        LIST: FileBytes(json.dumps({"data": [{"slug": "a/b", "icon": "/a.png"}]}).encode(), "x/y"),
        picture: FileBytes(png(), "image/png"),
    }
    assert await icons.icons(["a/b"]) == {}
    places.pop(0)
    assert set(await icons.icons(["a/b"])) == {"a/b"}
    assert fetcher.fetched == [LIST, LIST, picture]


async def test_a_missing_renderer_is_told_once(monkeypatch, caplog):
    monkeypatch.setattr(pictures, "has_renderer", lambda: False)
    drawing = FileBytes(b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 2"><path d="M0 0h2v2z"/></svg>', "")
    entries = [{"slug": f"a/{number}", "icon": f"/{number}.svg"} for number in range(3)]
    icons, _, _ = source({LIST: {"data": entries}, **{f"{BASE}/{number}.svg": drawing for number in range(3)}})
    with caplog.at_level("INFO"):
        assert await icons.icons(["a/0", "a/1", "a/2"]) == {}
    assert [record.getMessage() for record in caplog.records].count(
        "icons that are drawings are left out: SVG pictures need the Python package resvg-py"
    ) == 1


KEYS = st.sampled_from(["data", "models", "slug", "id", "icon", "url", "endpoint", "provider_info"])
PLAIN = st.none() | st.booleans() | st.integers() | st.text(max_size=8)


@given(st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner)))
def test_no_list_breaks_the_reader(content):
    try:
        found = read_list(json.dumps(content).encode(), LIST)
    except FileAccessError:
        return
    assert all(isinstance(name, str) and isinstance(url, str) for name, url in found.items())


SVG = b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg xmlns="http://www.w3.org/2000/svg">&x;</svg>'


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<!doctype html><img src=x>",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        SVG,
        b"%PDF-1.7",
        b"BM" + b"\0" * 60,
        b"\0\0\1\0" + b"\0" * 60,
        b"II*\0" + b"\0" * 60,
        b"8BPS" + b"\0" * 60,
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"\x89PNG\r\n\x1a\n",
        b"\x89PNG\r\n\x1a\n" + b"\0" * 30,
        b"GIF89a",
        b"\xff\xd8\xff\xe0" + b"\0" * 30,
        b"RIFF\x10\0\0\0WEBPVP8 ",
        png(60_000, 60_000),
        png(10_000, 10_000),
        png(2_000_000_000, 2_000_000_000 // 4)[:200],
        png(0, 5),
        png(2, 2, chunk(b"tEXt", b"x\0" + b"y" * 5_300_000)),
    ],
    ids=lambda data: f"{data[:14]!r} {len(data)}",
)
@pytest.mark.parametrize("pillow", [True, False])
async def test_what_is_no_small_picture_is_refused_fast(data, pillow, monkeypatch):
    if pillow:
        pytest.importorskip("PIL")
    monkeypatch.setattr(pictures, "_has_pillow", lambda: pillow)
    begun = time.process_time()
    with pytest.raises(FileAccessError):
        await png_data_url(data)
    assert time.process_time() - begun < 2


async def test_without_pillow_a_png_passes_as_it_is(monkeypatch):
    monkeypatch.setattr(pictures, "_has_pillow", lambda: False)
    assert base64.b64decode((await png_data_url(png())).partition(",")[2]) == png()
    with pytest.raises(FileAccessError, match="pillow"):
        await png_data_url(b"GIF89a" + b"\0" * 60)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
async def test_with_pillow_every_kind_becomes_a_small_png_without_remarks(kind):
    image = pytest.importorskip("PIL.Image")
    import io

    given_bytes = io.BytesIO()
    image.new("RGB", (900, 450), (200, 30, 30)).save(given_bytes, kind, comment=b"secret remark")
    url = await png_data_url(given_bytes.getvalue())
    data = base64.b64decode(url.partition(",")[2])
    assert b"secret" not in data
    with image.open(io.BytesIO(data)) as made:
        assert (made.format, made.size) == ("PNG", (256, 128))


def grey(kind: str, size: tuple[int, int], ground: tuple, ink: tuple, share: float) -> bytes:
    """A picture of ``ground`` with a band of ``ink`` over this share of it."""
    import io

    image = pytest.importorskip("PIL.Image")
    picture, out = image.new("RGBA", size, ground), io.BytesIO()
    picture.paste(ink, (0, 0, size[0], round(size[1] * share)))
    picture.save(out, kind)
    return out.getvalue()


CLEAR, BLACK, WHITE, RED = (0, 0, 0, 0), (0, 0, 0, 255), (255, 255, 255, 255), (200, 30, 30, 255)


@pytest.mark.parametrize(
    ("ground", "ink", "share", "corner"),
    [
        (CLEAR, BLACK, 0.5, WHITE),
        (CLEAR, WHITE, 0.5, (32, 32, 32, 255)),
        (CLEAR, RED, 0.5, None),
        (WHITE, BLACK, 0.5, None),
        (CLEAR, BLACK, 1.0, None),
        (CLEAR, BLACK, 0.0, None),
    ],
    ids=["black", "white", "red", "opaque", "a black square", "nothing at all"],
)
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
async def test_what_would_vanish_on_a_dark_or_light_page_stands_on_a_plate(kind, ground, ink, share, corner):
    import io

    data = grey(kind, (64, 32), ground, ink, share)
    made = pytest.importorskip("PIL.Image").open(
        io.BytesIO(base64.b64decode((await png_data_url(data)).partition(",")[2]))
    )
    if corner is None:
        assert made.size == (64, 32)
    else:
        assert (made.size, made.getpixel((0, 0)), made.getpixel((32, 28))) == ((64, 64), corner, ink)


@pytest.mark.parametrize("seed", range(30))
async def test_with_pillow_damaged_pictures_are_refused_or_read(seed):
    image = pytest.importorskip("PIL.Image")
    import io
    import random

    chance = random.Random(seed)
    whole = io.BytesIO()
    image.effect_noise((64, 64), 50).convert("RGB").save(whole, chance.choice(["PNG", "JPEG", "WEBP", "GIF"]))
    data = bytearray(whole.getvalue())
    for _ in range(chance.randrange(1, 12)):
        data[chance.randrange(12, len(data))] = chance.randrange(256)
    cut = bytes(data[: chance.randrange(20, len(data) + 1)])
    with contextlib.suppress(FileAccessError):
        assert (await png_data_url(cut)).startswith("data:image/png")


def test_the_pipe_looks_for_icons_beside_the_api_unless_they_are_switched_off():
    latest = LatestSettings("openrouter")
    place = icon_place(latest)
    assert place() is None
    latest.settings = read_settings({"BASE_URL": "https://openrouter.example/api/v1"})
    found = place()
    assert found is not None
    assert found.url == LIST
    latest.settings = read_settings({"UPDATE_MODEL_IMAGES": False})
    assert place() is None
    assert isinstance(PipeContainer().icons(), WebIcons)


async def test_a_picture_of_endless_layers_is_refused_before_it_is_read():
    """Each scan of a progressive JPEG goes over all of it again, and takes a few bytes."""
    image = pytest.importorskip("PIL.Image")
    written = io.BytesIO()
    image.new("L", (2048, 2048), 128).save(written, "JPEG", progressive=True)
    usual = written.getvalue()
    assert (await png_data_url(usual)).startswith("data:image/png")
    last = usual[usual.rindex(b"\xff\xda") : -2]
    begun = time.process_time()
    with pytest.raises(FileAccessError):
        await png_data_url(usual[:-2] + last * 5_000 + usual[-2:])
    assert time.process_time() - begun < 1
