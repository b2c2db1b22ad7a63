"""Documents that the host has read itself: the model gets their text from the host or the file from us, never both."""

import hashlib
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import venvs
import webui_setup
from attaching import AttachingTab, Seen, content_of, digest, model_record, notices
from loopback import answering
from webui_host import WebUIHost
from webui_setup import Provider, model_id
from webui_tab import JsonDict

EVERYTHING = model_id("google/gemini-2.5-flash")


def embeddings(sent: bytes) -> JsonDict:
    """Vectors as OpenAI's interface has them."""
    asked = json.loads(sent)["input"]
    words = asked if isinstance(asked, list) else [asked]
    rows = [{"object": "embedding", "index": at, "embedding": _vector(text)} for at, text in enumerate(words)]
    return {"object": "list", "data": rows, "model": "x"}


def _vector(text: str) -> list[float]:
    return [byte / 255 for byte in hashlib.sha256(text.encode()).digest()]


@pytest.fixture(scope="module", params=["0.12.4", "0.6.28"])
def retrieving(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, base_valves: dict[str, Any]
) -> Iterator[WebUIHost]:
    """A host that looks documents through for what fits the question, as hosts do by default."""
    venvs.ensure(request.param)
    with answering(embeddings) as url:
        settings = {"BYPASS_EMBEDDING_AND_RETRIEVAL": "false", "RAG_OPENAI_API_BASE_URL": f"{url}/v1"}
        settings |= {"RAG_OPENAI_API_KEY": "x", "RAG_EMBEDDING_MODEL": "x", "NO_PROXY": "127.0.0.1"}
        place = tmp_path_factory.mktemp(f"retrieving-{request.param}")
        with WebUIHost(request.param, place, environment=settings) as running:
            webui_setup.install_pipe(running, base_valves)
            assert running.model_ids()
            yield running


def report() -> tuple[bytes, str]:
    """A PDF with one line of text, and its one word that is found nowhere else."""
    word = f"zebra{uuid.uuid4().hex}"
    page = f"BT /F1 12 Tf 72 720 Td (The code word is {word}.) Tj ET".encode()
    parts = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(page), page),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    made, places = b"%PDF-1.4\n", []
    for number, part in enumerate(parts, 1):
        places.append(len(made))
        made += b"%d 0 obj\n%s\nendobj\n" % (number, part)
    rows = b"".join(b"%010d 00000 n \n" % place for place in places)
    table = b"xref\n0 6\n0000000000 65535 f \n" + rows + b"trailer\n<< /Size 6 /Root 1 0 R >>\n"
    return made + table + b"startxref\n%d\n%%%%EOF" % len(made), word


def occurrences(seen: Seen, word: str) -> int:
    """How often the model reads a word."""
    body = seen.request["body"]
    return json.dumps(body.get("input") or body["messages"]).count(word)


async def document(tab: AttachingTab, content: bytes, name: str, mime: str) -> JsonDict:
    """What the browser keeps of a document whose text the host has taken out."""
    return await tab.upload(content, name, mime, process=True)


async def check_text_from_the_host(host: WebUIHost, provider: Provider) -> None:
    content, word = report()
    async with AttachingTab(host) as tab:
        attached = await document(tab, content, "report.pdf", "application/pdf")
        seen = Seen(provider)
        turn = await tab.attach(EVERYTHING, "What is the code word?", [attached])
        assert not turn.message.get("error")
        assert occurrences(seen, word) == 1
        assert seen.blocks == []
        assert notices(turn) == []
        # The browser names the files of a chat with every later message.
        seen = Seen(provider)
        await tab.ask(EVERYTHING, "Are you sure?", chat_id=turn.chat_id, files=[attached])
        assert occurrences(seen, word) == 1
        assert seen.blocks == []


async def test_a_document_in_full_is_text_from_the_host_and_no_file(host: WebUIHost, provider: Provider) -> None:
    await check_text_from_the_host(host, provider)


async def test_a_document_looked_through_is_text_from_the_host_and_no_file(
    retrieving: WebUIHost, provider: Provider
) -> None:
    await check_text_from_the_host(retrieving, provider)


async def test_where_the_host_shall_not_read_the_file_goes_and_no_text(
    main_host: WebUIHost, provider: Provider
) -> None:
    content, word = report()
    async with AttachingTab(main_host) as tab:
        attached = await document(tab, content, "report.pdf", "application/pdf")
        with model_record(main_host, EVERYTHING, capabilities={"file_context": False}):
            seen = Seen(provider)
            turn = await tab.attach(EVERYTHING, "What is the code word?", [attached])
            assert content_of(seen.block["file_data"], "application/pdf") == digest(content)
            assert occurrences(seen, word) == 0
            seen = Seen(provider)
            await tab.ask(EVERYTHING, "Are you sure?", chat_id=turn.chat_id, files=[attached])
            assert content_of(seen.block["file_data"], "application/pdf") == digest(content)
            assert occurrences(seen, word) == 0
    assert notices(turn) == []


async def test_a_text_file_is_text_from_the_host(host: WebUIHost, provider: Provider) -> None:
    word = f"zebra{uuid.uuid4().hex}"
    async with AttachingTab(host) as tab:
        attached = await document(tab, f"The code word is {word}.".encode(), "notes.txt", "text/plain")
        seen = Seen(provider)
        turn = await tab.attach(EVERYTHING, "What is the code word?", [attached])
        assert not turn.message.get("error")
        assert occurrences(seen, word) == 1
        assert seen.blocks == []


async def test_a_document_named_twice_goes_once(main_host: WebUIHost, provider: Provider) -> None:
    """As a block of the message and as a file beside it."""
    content, _ = report()
    async with AttachingTab(main_host) as tab:
        attached = await document(tab, content, "report.pdf", "application/pdf")
        with model_record(main_host, EVERYTHING, capabilities={"file_context": False}):
            seen = Seen(provider)
            block = {"type": "file", "file": {"file_id": attached["id"]}}
            message = {"role": "user", "content": [{"type": "text", "text": "Look."}, block]}
            reply = main_host.complete(EVERYTHING, [message], stream=False, files=[attached])
            assert reply.status_code == 200, reply.text
            assert content_of(seen.block["file_data"], "application/pdf") == digest(content)
