"""A person at a real browser attaches files through the page's own upload: the provider receives the very bytes."""

import base64
import contextlib
import io
import time
import uuid
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import venvs
import webui_setup
from attaching import Seen, content_of, digest, model_record, stored_files
from loopback import answering
from PIL import Image
from test_documents_end_to_end import occurrences, report
from webui_browser import Browser, open_browser
from webui_host import WebUIHost
from webui_setup import Provider, model_id

EVERYTHING = model_id("google/gemini-2.5-flash")
PAINTER = model_id("google/gemini-2.5-flash-image")
SPOKEN = "The spoken word is giraffe."


@pytest.fixture(scope="module", params=["0.12.4", "0.6.28"])
def listening(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, base_valves: dict[str, Any]
) -> Iterator[WebUIHost]:
    """A host that can turn speech into text, without which its page takes no recordings."""
    venvs.ensure(request.param)
    with answering(lambda _: {"text": SPOKEN}) as url:
        settings = {"AUDIO_STT_ENGINE": "openai", "AUDIO_STT_OPENAI_API_BASE_URL": f"{url}/v1"}
        settings |= {"AUDIO_STT_OPENAI_API_KEY": "x", "AUDIO_STT_MODEL": "x", "NO_PROXY": "127.0.0.1"}
        place = tmp_path_factory.mktemp(f"listening-{request.param}")
        with WebUIHost(request.param, place, environment=settings) as running:
            webui_setup.install_pipe(running, base_valves)
            assert running.model_ids()
            yield running


@pytest.fixture
def person(listening: WebUIHost, tmp_path: Path) -> Iterator[Browser]:
    """Signed in, with the model chosen; what the page shows at the end is kept as a picture."""
    names = {model["id"]: model["name"] for model in listening.models()}
    with open_browser(tmp_path / "profile") as someone:
        someone.sign_in(listening.url)
        someone.pick_model(names[EVERYTHING])
        yield someone


@pytest.fixture
def picture(listening: WebUIHost, request: pytest.FixtureRequest) -> Path:
    kind = request.node.originalname.removeprefix("test_").partition("_from")[0]
    return venvs.ROOT / "build" / f"webui-upload-{kind}-{listening.version}.png"


def photograph() -> bytes:
    """A real PNG, found nowhere else."""
    made = io.BytesIO()
    image = Image.effect_noise((320, 200), 90)
    image.save(made, "PNG")
    return made.getvalue()


def recording() -> bytes:
    """A quarter of a second of noise as WAV."""
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(uuid.uuid4().bytes * 500)
    return made.getvalue()


def upload(person: Browser, host: WebUIHost, name: str, mime: str, content: bytes, *, stored: bool) -> None:
    """Hands a file to the page and waits until the page, and the host where it stores it, have taken it."""
    before = {file["id"] for file in stored_files(host)}
    field = person.page.locator("input[type=file]:not([capture])").first
    field.set_input_files([{"name": name, "mimeType": mime, "buffer": content}])
    deadline = time.monotonic() + 20
    while stored and time.monotonic() < deadline:
        new = [file for file in stored_files(host) if file["id"] not in before]
        if new and (host.get(f"/api/v1/files/{new[0]['id']}").get("data") or {}).get("status") in {
            "completed",
            "failed",
        }:
            break
        person.page.wait_for_timeout(200)
    person.page.wait_for_timeout(1500)  # the page hears of it by a stream of its own


def afresh(person: Browser, host: WebUIHost, model: str) -> None:
    """A page that knows the models as they are now, with another one chosen."""
    person.page.goto(host.url)
    person.page.locator("#chat-input").wait_for()
    person.pick_model(model)
    person.page.locator("#model-search-input").wait_for(state="hidden")  # while it closes it still takes the keys


def asked(person: Browser, picture: Path, question: str = "What is this?") -> str:
    """The answer, by default to a question about what was attached."""
    try:
        person.ask(question)
        return person.watch("Total tokens")[-1]  # the last status line: the answer is complete
    finally:
        person.page.wait_for_timeout(500)
        person.screenshot(picture)


def test_image_from_the_page_reaches_the_model(
    listening: WebUIHost, provider: Provider, person: Browser, picture: Path
) -> None:
    content = photograph()
    upload(person, listening, "photo.png", "image/png", content, stored=False)
    seen = Seen(provider)
    assert asked(person, picture)
    assert seen.block["type"] == "input_image"
    assert content_of(seen.block["image_url"], "image/png") == digest(content)
    assert picture.stat().st_size > 10_000


def test_pdf_from_the_page_reaches_the_model(
    listening: WebUIHost, provider: Provider, person: Browser, picture: Path
) -> None:
    """As text by the host; as the file where the host can be told to leave it alone."""
    content, word = report()
    reads: list[Callable[[], contextlib.AbstractContextManager[None]]] = [contextlib.nullcontext]
    if listening.profile.server_keeps_history:
        reads.append(lambda: model_record(listening, EVERYTHING, capabilities={"file_context": False}))
    for number, reading in enumerate(reads):
        with reading():
            if number:
                afresh(person, listening, EVERYTHING)
            upload(person, listening, "report.pdf", "application/pdf", content, stored=True)
            seen = Seen(provider)
            assert asked(person, picture)
            if number:
                assert content_of(seen.block["file_data"], "application/pdf") == digest(content)
                assert seen.block["filename"] == "report.pdf"
            else:
                assert seen.blocks == []
            assert occurrences(seen, word) == (0 if number else 1)


def test_audio_from_the_page_reaches_the_model(
    listening: WebUIHost, provider: Provider, person: Browser, picture: Path
) -> None:
    """As the host's transcription; as sound where the host can be told to leave it alone."""
    content = recording()
    alone = listening.profile.server_keeps_history
    reading = model_record(listening, EVERYTHING, capabilities={"file_context": False})
    with reading if alone else contextlib.nullcontext():
        if alone:
            afresh(person, listening, EVERYTHING)
        upload(person, listening, "voice.wav", "audio/wav", content, stored=True)
        seen = Seen(provider)
        assert asked(person, picture)
        if alone:
            assert seen.block["input_audio"]["format"] == "wav"
            assert digest(base64.b64decode(seen.block["input_audio"]["data"])) == digest(content)
        else:
            assert seen.blocks == []
        assert occurrences(seen, SPOKEN) == (0 if alone else 1)


def test_generated_image_from_the_model_is_shown(listening: WebUIHost, person: Browser, picture: Path) -> None:
    names = {model["id"]: model["name"] for model in listening.models()}
    afresh(person, listening, names[PAINTER])
    asked(person, picture, "Draw a dot.")
    image = person.answer.locator("img[src*='/api/v1/files/']")
    assert image.count() == 1
    assert image.first.evaluate("image => image.complete && image.naturalWidth > 0")
    image.first.click()  # the page's own viewer
    large = person.page.locator("img[src*='/api/v1/files/']")
    person.page.wait_for_timeout(500)
    assert large.count() > 1


def test_unheard_recording_from_the_page_reaches_the_model(host: WebUIHost, provider: Provider, tmp_path: Path) -> None:
    """A host without a transcriber keeps the file and has no words of it."""
    content = recording()
    names = {model["id"]: model["name"] for model in host.models()}
    with open_browser(tmp_path / "profile") as someone:
        someone.sign_in(host.url)
        afresh(someone, host, names[EVERYTHING])
        upload(someone, host, "voice.wav", "audio/wav", content, stored=True)
        seen = Seen(provider)
        assert asked(someone, venvs.ROOT / "build" / f"webui-upload-unheard-{host.version}.png")
        assert digest(base64.b64decode(seen.block["input_audio"]["data"])) == digest(content)
        assert seen.block["input_audio"]["format"] == "wav"
