"""Attachments of hosts that keep files in S3, Google Cloud Storage or Azure: read by the host's own classes, or told."""

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import venvs
import webui_setup
from attaching import AttachingTab, Seen, content_of, digest, notices, pdf, png
from object_stores import ObjectStore, object_store
from webui_host import WebUIHost
from webui_setup import Provider, model_id

EVERYTHING = model_id("google/gemini-2.5-flash")
PAINTER = model_id("google/gemini-2.5-flash-image")


@contextlib.contextmanager
def serving(
    version: str, store: ObjectStore, place: Path, valves: dict[str, Any], **environment: str
) -> Iterator[WebUIHost]:
    venvs.ensure(version)
    with WebUIHost(version, place, environment={**store.settings, **environment}) as running:
        webui_setup.install_pipe(running, valves)
        assert running.model_ids()
        yield running


@pytest.fixture(scope="module", params=["s3 0.12.4", "s3 0.6.28", "gcs 0.12.4", "azure 0.12.4"])
def cloud(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, base_valves: dict[str, Any]
) -> Iterator[tuple[WebUIHost, ObjectStore]]:
    """A host over one kind of store, told to keep no local copies."""
    kind, version = str(request.param).split()
    place = tmp_path_factory.mktemp(f"{kind}-{version}")
    with (
        object_store(kind) as store,
        serving(version, store, place, base_valves, STORAGE_LOCAL_CACHE="false") as running,
    ):
        yield running, store


def ask(host: WebUIHost, *blocks: dict[str, Any]) -> httpx.Response:
    message = {"role": "user", "content": [{"type": "text", "text": "Look."}, *blocks]}
    return host.complete(EVERYTHING, [message], stream=False)


async def test_what_a_chat_attaches_reaches_the_model(cloud: tuple[WebUIHost, ObjectStore], provider: Provider) -> None:
    host, store = cloud
    content = png(300_000)
    async with AttachingTab(host) as tab:
        image = await tab.upload(content, f"kät {uuid.uuid4()}.png", "image/png")
        image["url"] = f"/api/v1/files/{image['id']}/content"
        assert content in store.objects.values()
        seen, before = Seen(provider), len(store.reads)
        turn = await tab.attach(EVERYTHING, "What is this?", [image])
        assert not turn.message.get("error")
        assert content_of(seen.block["image_url"], "image/png") == digest(content)
        assert len(store.reads) > before
        assert notices(turn) == []


async def test_what_a_program_names_reaches_the_model(cloud: tuple[WebUIHost, ObjectStore], provider: Provider) -> None:
    host, store = cloud
    # More than the clients fetch in one piece, where the store can take it.
    content = pdf() + bytes(5_000_000 if store.kind == "gcs" else 9_000_000)
    async with AttachingTab(host) as tab:
        document = await tab.upload(content, "report.pdf", "application/pdf")
    seen, before = Seen(provider), len(store.reads)
    reply = ask(host, {"type": "file", "file": {"file_id": document["id"]}})
    assert reply.status_code == 200, reply.text
    assert content_of(seen.block["file_data"], "application/pdf") == digest(content)
    assert seen.block["filename"] == "report.pdf"
    assert len(store.reads) > before
    copies = list((host.data_dir / "uploads").glob(f"{document['id']}*"))
    assert not copies or not host.profile.server_keeps_history, (
        "a local copy stayed where the host is told to keep none"
    )


async def test_what_the_store_has_lost_is_told(cloud: tuple[WebUIHost, ObjectStore], provider: Provider) -> None:
    host, store = cloud
    async with AttachingTab(host) as tab:
        image = await tab.upload(png(), "lost.png", "image/png")
        image["url"] = f"/api/v1/files/{image['id']}/content"
        store.objects.clear()
        seen = Seen(provider)
        turn = await tab.attach(EVERYTHING, "What is this?", [image])
        assert not turn.message.get("error")
        assert seen.blocks == []
        assert notices(turn) == ["An image was not sent: the host did not deliver the file."]


async def test_what_a_model_made_is_stored_there_and_seen_again(
    cloud: tuple[WebUIHost, ObjectStore], provider: Provider
) -> None:
    host, store = cloud
    async with AttachingTab(host) as tab:
        before = set(store.objects)
        turn = await tab.ask(PAINTER, "[[sim: scenario=image]]\nDraw a dot.")
        (made,) = set(store.objects) - before
        assert store.objects[made].startswith(b"\x89PNG")
        seen = Seen(provider)
        await tab.ask(PAINTER, "Make it brighter.", chat_id=turn.chat_id)
        assert content_of(seen.block["image_url"], "image/png") == digest(store.objects[made])
