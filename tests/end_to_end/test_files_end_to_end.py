"""Attachments through a real Open WebUI: the provider receives the very bytes, and the user hears of what was not sent."""

import base64
import contextlib
import http.server
import json
import re
import sqlite3
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from attaching import (
    AttachingTab,
    Seen,
    content_of,
    data_url,
    digest,
    model_record,
    notices,
    ogg,
    pdf,
    png,
    stored_files,
    wav,
)
from conftest import Valves
from webui_host import WebUIHost, chunks_of, free_port, text_of
from webui_setup import Provider, model_id
from webui_tab import JsonDict

EVERYTHING = model_id("google/gemini-2.5-flash")
TEXT_ONLY = model_id("qwen/qwq-32b")
SCHEMA = {"name": "answer", "schema": {"type": "object", "properties": {}, "additionalProperties": False}}


@pytest.fixture
async def tab(host: WebUIHost) -> AsyncIterator[AttachingTab]:
    async with AttachingTab(host) as open_tab:
        yield open_tab


@pytest.fixture
def seen(provider: Provider, host: WebUIHost) -> Seen:
    return Seen(provider)


@pytest.fixture
def web() -> Iterator[Callable[[bytes], str]]:
    """A web server on loopback: ``web(content)`` gives the address of a picture."""
    pages: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = pages[self.path]
            self.send_response(200)
            self.send_header("Content-Type", "image/png")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            fetched.append(self.path)

    fetched: list[str] = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def page(content: bytes) -> str:
        path = f"/{uuid.uuid4()}.png"
        pages[path] = content
        return f"http://127.0.0.1:{server.server_port}{path}"

    page.fetched = fetched  # type: ignore[attr-defined]
    yield page
    server.shutdown()
    thread.join(5)
    server.server_close()


def ask(host: WebUIHost, *blocks: JsonDict, model: str = EVERYTHING) -> None:
    content = [{"type": "text", "text": "Look."}, *blocks]
    reply = host.complete(model, [{"role": "user", "content": content}], stream=False)
    assert reply.status_code == 200, reply.text


# Images


async def test_an_image_from_the_browser_reaches_the_model(tab: AttachingTab, seen: Seen) -> None:
    content = png(200_000)
    turn = await tab.attach(EVERYTHING, "What is this?", [await tab.image(content)])
    assert not turn.message.get("error")
    assert seen.block["type"] == "input_image"
    assert content_of(seen.block["image_url"], "image/png") == digest(content)
    assert notices(turn) == []


async def test_an_image_is_stored_once_however_often_it_is_shown(tab: AttachingTab, provider: Provider) -> None:
    content = png()
    image = await tab.image(content)
    turn = await tab.attach(EVERYTHING, "What is this?", [image])
    hashes = [file["meta"].get("file_hash") or file.get("hash") for file in stored_files(tab.host)]
    assert hashes.count(digest(content)) == 1
    seen = Seen(provider)
    await tab.attach(EVERYTHING, "And again?", [image], chat_id=turn.chat_id)
    hashes = [file["meta"].get("file_hash") or file.get("hash") for file in stored_files(tab.host)]
    assert hashes.count(digest(content)) == 1
    body = seen.request["body"]
    shown = [block for item in body["input"] for block in item.get("content") or () if block["type"] == "input_image"]
    assert [content_of(block["image_url"], "image/png") for block in shown] == [digest(content)] * 2


async def test_a_temporary_chat_leaves_no_file_behind(tab: AttachingTab, seen: Seen) -> None:
    content = png()
    await tab.attach(
        EVERYTHING, "What is this?", [{"type": "image", "url": data_url(content, "image/png")}], temporary=True
    )
    assert digest(content) not in [file["meta"].get("file_hash") for file in stored_files(tab.host)]


async def test_an_image_on_the_servers_own_network_is_refused(
    tab: AttachingTab, seen: Seen, web: Callable[[bytes], str]
) -> None:
    turn = await tab.attach(EVERYTHING, "What is this?", [{"type": "image", "url": web(png())}])
    assert not turn.message.get("error")
    assert seen.blocks == []
    (notice,) = notices(turn)
    assert notice.startswith('An image ("')
    assert "was not sent" in notice
    assert web.fetched == []  # type: ignore[attr-defined]


async def test_an_image_by_address_is_inlined_where_the_operator_allows_it(
    tab: AttachingTab, seen: Seen, web: Callable[[bytes], str], valves: Valves
) -> None:
    content = png()
    with valves(ENABLE_SSRF_PROTECTION=False, ALLOW_INSECURE_HTTP=True, ALLOW_INSECURE_HTTP_HOSTS="127.0.0.1"):
        image = {"type": "image", "url": web(content)}
        turn = await tab.attach(EVERYTHING, "What is this?", [image])
        assert content_of(seen.block["image_url"], "image/png") == digest(content)
        await tab.attach(EVERYTHING, "And now?", [image], chat_id=turn.chat_id)
    assert notices(turn) == []
    assert len(web.fetched) == 1  # type: ignore[attr-defined]


async def test_a_model_that_sees_nothing_gets_the_text_and_the_user_a_notice(tab: AttachingTab, seen: Seen) -> None:
    turn = await tab.attach(TEXT_ONLY, "What is this?", [await tab.image(png())])
    assert not turn.message.get("error")
    assert seen.blocks == []
    assert notices(turn) == ["1 image of your message not sent: the model does not read image input."]


async def test_another_users_file_is_refused(host: WebUIHost, provider: Provider) -> None:
    async with AttachingTab(host) as mine:
        secret = await mine.upload(png(), "secret.png", "image/png")
    token = host.add_user(f"user-{uuid.uuid4().hex[:8]}")
    with model_record(host, EVERYTHING):
        async with AttachingTab(host, token=token) as tab:
            seen = Seen(provider)
            image = {"type": "image", "url": f"/api/v1/files/{secret['id']}/content"}
            turn = await tab.attach(EVERYTHING, "What is this?", [image])
            assert not turn.message.get("error")
            assert seen.blocks == []
            assert notices(turn) == ["An image was not sent: the file does not exist or may not be read."]
            own = await tab.image(content := png())
            seen = Seen(provider)
            await tab.attach(EVERYTHING, "And this?", [own])
            assert content_of(seen.block["image_url"], "image/png") == digest(content)


# Documents, audio, video: blocks as programs send them, and files by id


async def uploaded(host: WebUIHost, content: bytes, name: str, mime: str) -> str:
    async with AttachingTab(host) as tab:
        return str((await tab.upload(content, name, mime))["id"])


async def test_a_pdf_reaches_the_model_with_its_name(host: WebUIHost, provider: Provider) -> None:
    content = pdf()
    file_id = await uploaded(host, content, "report.pdf", "application/pdf")
    blocks: list[JsonDict] = [
        {"type": "file", "file": {"filename": "report.pdf", "file_data": data_url(content, "application/pdf")}},
        {"type": "input_file", "filename": "report.pdf", "file_data": data_url(content, "application/octet-stream")},
        {"type": "file", "file": {"file_id": file_id}},
        {"type": "input_file", "file_url": f"{host.url}/api/v1/files/{file_id}/content"},
        {"type": "file", "file": {"file_id": "00000000-0000-0000-0000-000000000000"}},
    ]
    for number, block in enumerate(blocks):
        seen = Seen(provider)
        ask(host, block, model=TEXT_ONLY)
        if number == len(blocks) - 1:
            assert seen.blocks == []
            continue
        assert (seen.block["type"], seen.block["filename"]) == ("input_file", "report.pdf")
        assert content_of(seen.block["file_data"], "application/pdf") == digest(content)


@pytest.mark.parametrize(("make", "form"), [(wav, "wav"), (ogg, "ogg")])
async def test_audio_reaches_the_model_in_its_true_format(
    host: WebUIHost, provider: Provider, make: Callable[[], bytes], form: str
) -> None:
    content = make()
    encoded = base64.b64encode(content).decode()
    file_id = await uploaded(host, content, f"voice.{form}", f"audio/{form}")
    for block in (
        {"type": "input_audio", "input_audio": {"data": encoded, "format": "mp3"}},
        {"type": "audio", "audio": data_url(content, "audio/mpeg")},
        {"type": "file", "file": {"file_id": file_id}},
    ):
        seen = Seen(provider)
        ask(host, block)
        assert seen.block["type"] == "input_audio"
        assert seen.block["input_audio"]["format"] == form
        assert digest(base64.b64decode(seen.block["input_audio"]["data"])) == digest(content)
        # Only one of the two endpoints takes more than MP3 and WAV.
        assert seen.request["path"].endswith("/responses" if form == "wav" else "/chat/completions")


async def test_a_video_reaches_the_model(host: WebUIHost, provider: Provider) -> None:
    content = b"\0\0\0\x20ftypisom" + uuid.uuid4().bytes * 50
    file_id = await uploaded(host, content, "clip.mp4", "video/mp4")
    for block in (
        {"type": "video_url", "video_url": {"url": data_url(content, "video/mp4")}},
        {"type": "video_url", "video_url": f"/api/v1/files/{file_id}/content"},
    ):
        seen = Seen(provider)
        ask(host, block)
        assert content_of(seen.block["video_url"], "video/mp4") == digest(content)
    seen = Seen(provider)
    ask(host, {"type": "video", "video": {"url": "https://www.youtube.com/watch?v=abc"}})
    assert seen.block["video_url"] == "https://www.youtube.com/watch?v=abc"


async def test_bad_attachments_cost_themselves_only(host: WebUIHost, provider: Provider) -> None:
    content = png()
    good = {"type": "image_url", "image_url": {"url": data_url(content, "image/jpeg")}}
    seen = Seen(provider)
    started = time.monotonic()
    ask(
        host,
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,%%%"}},
        {"type": "file", "file": {"filename": "../../etc/passwd", "file_id": "../../etc/passwd"}},
        {"type": "video_url", "video_url": {"url": data_url(b"no film", "video/mp4")}},
        {"type": "input_audio", "input_audio": {"data": "!!!", "format": "wav"}},
        {"type": "input_audio", "input_audio": {"data": base64.b64encode(bytes(100)).decode(), "format": "wav"}},
        good,
    )
    assert content_of(seen.block["image_url"], "image/png") == digest(content)
    assert time.monotonic() - started < 20


# What the model made


async def test_a_generated_image_is_stored_once_and_seen_again(
    tab: AttachingTab, provider: Provider, valves: Valves
) -> None:
    painter = model_id("google/gemini-2.5-flash-image")
    seen = Seen(provider)
    before = {file["id"] for file in stored_files(tab.host)}
    turn = await tab.ask(painter, "[[sim: scenario=image]]\nDraw a dot.")
    assert not turn.message.get("error")
    shown = re.findall(r"!\[[^\]]*\]\((/api/v1/files/([^/)]+)/content)\)", text_of_answer(turn.message))
    assert len(shown) == 1, turn.message
    (_, file_id) = shown[0]
    assert {file["id"] for file in stored_files(tab.host)} - before == {file_id}
    made = tab.host.request("GET", f"/api/v1/files/{file_id}/content").content
    assert made.startswith(b"\x89PNG")
    assert seen.blocks == []
    seen = Seen(provider)
    await tab.ask(painter, "Make it brighter.", chat_id=turn.chat_id)
    assert content_of(seen.block["image_url"], "image/png") == digest(made)
    with valves(IMAGE_INPUT_SELECTION="user_turn_only"):
        seen = Seen(provider)
        await tab.ask(painter, "And darker.", chat_id=turn.chat_id)
        assert seen.blocks == []
    kept = [file for file in stored_files(tab.host) if file["id"] == file_id]
    assert [file["meta"]["content_type"] for file in kept] == ["image/png"]
    assert kept[0]["meta"]["data"]["chat_id"] == turn.chat_id
    with contextlib.closing(sqlite3.connect(tab.host.data_dir / "webui.db")) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        linked = "chat_file" in tables
        assert linked == tab.host.profile.server_keeps_history
        rows = (
            database.execute("SELECT chat_id, message_id FROM chat_file WHERE file_id = ?", [file_id]) if linked else ()
        )
        assert [*rows] == ([(turn.chat_id, turn.message_id)] if linked else [])


async def test_a_temporary_chat_shows_what_was_made_and_stores_nothing(tab: AttachingTab, provider: Provider) -> None:
    before = {file["id"] for file in stored_files(tab.host)}
    turn = await tab.ask(
        model_id("google/gemini-2.5-flash-image"), "[[sim: scenario=image]]\nDraw a dot.", temporary=True
    )
    assert "](data:image/png;base64," in text_of_answer(turn.message)
    assert {file["id"] for file in stored_files(tab.host)} == before


async def test_what_is_not_sent_is_told_to_programs_in_the_answer(host: WebUIHost, provider: Provider) -> None:
    """They hear no notifications."""
    told = "1 image of your message not sent: the model does not read image input."
    gone = 'The file "a.pdf" was not sent: its content is not valid base64.'
    image = {"type": "image_url", "image_url": {"url": data_url(png(), "image/png")}}
    broken = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,%%%%"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "Look."}, image, broken]}]
    seen = Seen(provider)
    whole = host.complete(TEXT_ONLY, messages, stream=False).json()
    assert seen.blocks == []
    content = whole["choices"][0]["message"]["content"]
    assert content.startswith("Look.")
    assert content.endswith(f"\n\n*{told}*\n*{gone}*")
    assert whole["notices"] == [told, gone]
    chunks = chunks_of(host.stream_data(TEXT_ONLY, messages))
    assert text_of(chunks).endswith(f"\n\n*{told}*\n*{gone}*")
    assert [chunk["notices"] for chunk in chunks if "notices" in chunk] == [[told, gone]]
    structured = host.complete(
        TEXT_ONLY, messages, stream=False, response_format={"type": "json_schema", "json_schema": SCHEMA}
    ).json()
    json.loads(structured["choices"][0]["message"]["content"])
    assert structured["notices"] == [told, gone]


def text_of_answer(message: JsonDict) -> str:
    parts = [
        part["text"] for item in message.get("output") or () for part in item.get("content") or () if "text" in part
    ]
    return "".join(parts) or str(message["content"])


# Files of the browser that are no images


async def test_documents_are_left_to_the_host_unless_the_model_says_otherwise(
    main_host: WebUIHost, provider: Provider
) -> None:
    content = pdf()
    film = b"\0\0\0\x20ftypisom" + uuid.uuid4().bytes * 50
    async with AttachingTab(main_host) as tab:
        document = await tab.upload(content, "report.pdf", "application/pdf") | {"type": "file"}
        clip = await tab.upload(film, "clip.mp4", "video/mp4") | {"type": "file"}
        seen = Seen(provider)
        await tab.attach(EVERYTHING, "Look.", [document, clip])
        assert content_of(seen.block["video_url"], "video/mp4") == digest(film)
        with model_record(main_host, EVERYTHING, capabilities={"file_context": False}):
            seen = Seen(provider)
            await tab.attach(EVERYTHING, "Look.", [document, clip])
            assert [block["type"] for block in seen.blocks] == ["input_file", "input_video"]
            assert content_of(seen.blocks[0]["file_data"], "application/pdf") == digest(content)
            assert seen.blocks[0]["filename"] == "report.pdf"
