"""A tab that attaches, contents to attach that are found nowhere else, and what the provider received of them.

Here: helpers of all tests of attachments. Not here: assertions about a scenario.
"""

import base64
import contextlib
import hashlib
import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
from webui_host import WebUIHost
from webui_setup import Provider
from webui_tab import Chat, JsonDict, Turn, WebUITab


def png(size: int = 3000) -> bytes:
    """Bytes that begin as a PNG and are found nowhere else."""
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (16).to_bytes(4, "big") * 2 + bytes(5)
    return header + uuid.uuid4().bytes * (size // 16)


def pdf() -> bytes:
    return b"%PDF-1.4\n%" + uuid.uuid4().hex.encode() * 20 + b"\n%%EOF"


def wav() -> bytes:
    return b"RIFF\x24\x08\0\0WAVEfmt " + uuid.uuid4().bytes * 50


def ogg() -> bytes:
    return b"OggS\0\x02" + uuid.uuid4().bytes * 50


def data_url(content: bytes, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


_TASK = re.compile(r"### Task:\\n(Generate|Suggest|Predict|Analyze)")
"""How the host's own questions begin, in a request's JSON; its frame around documents begins alike and goes on otherwise."""


class Seen:
    """What the provider was sent since the start of a test."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._before = len(provider.turns())

    @property
    def request(self) -> JsonDict:
        """The latest request that is no task of the host's (titles, tags, queries for what documents hold)."""
        found = [seen for seen in self._provider.turns()[self._before :] if not _TASK.search(json.dumps(seen["body"]))][
            -1
        ]
        assert found["status"] == 200, found
        return found

    @property
    def blocks(self) -> list[JsonDict]:
        """The content of its last user message that is not text."""
        body = self.request["body"]
        message = [item for item in body.get("input") or body["messages"] if item.get("role") == "user"][-1]
        content = message["content"]
        blocks = [] if isinstance(content, str) else content
        return [block for block in blocks if block["type"] not in {"input_text", "text"}]

    @property
    def block(self) -> JsonDict:
        (found,) = self.blocks
        return found


def content_of(url: str, mime: str) -> str:
    """The SHA-256 of a data URL's content."""
    assert url.startswith(f"data:{mime};base64,")
    return digest(base64.b64decode(url.partition(",")[2], validate=True))


class AttachingTab(WebUITab):
    """A tab that sends images with a message, as the browser of each version does."""

    async def attach(self, model: str, text: str, files: list[JsonDict], **more: Any) -> Turn:
        self._files = files
        # Images are found in the message; the rest is named beside it.
        beside = [file for file in files if file["type"] != "image"]
        if beside or self.host.profile.server_keeps_history:
            more["files"] = beside
        return await self.ask(model, text, **more)

    async def upload(self, content: bytes, name: str, mime: str, *, process: bool = False) -> JsonDict:
        """What the browser keeps of an uploaded file; with ``process`` of a document whose text the host has taken out."""
        url = f"{self.host.url}/api/v1/files/?process={str(process).lower()}&process_in_background=false"
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            headers = {"Authorization": f"Bearer {self.token}"}
            reply = await http.post(url, headers=headers, files={"file": (name, content, mime)})
        file = reply.raise_for_status().json()
        kept = {"id": file["id"], "url": file["id"], "name": name, "content_type": mime}
        if not process:
            return {"type": "image", **kept}
        collection = (file.get("meta") or {}).get("collection_name") or file.get("collection_name") or ""
        more = {"collection_name": collection, "status": "uploaded", "size": len(content), "error": ""}
        return {"type": "file", "file": file, **kept, **more, "itemId": str(uuid.uuid4())}

    async def image(self, content: bytes) -> JsonDict:
        """An image as the browser attaches it: 0.6.28 sends the bytes, later ones upload them first."""
        if self.host.profile.server_keeps_history:
            return await self.upload(content, "cat.png", "image/png")
        return {"type": "image", "url": data_url(content, "image/png")}

    async def _ask(self, chat: Chat, user: JsonDict, model: str, **more: Any) -> Turn:
        files, self._files = getattr(self, "_files", []), []
        if files:
            user["files"] = files
        return await super()._ask(chat, user, model, **more)

    def _history(self, chat: Chat, message_id: str, *, continuing: bool) -> list[JsonDict]:
        sent = super()._history(chat, message_id, continuing=continuing)
        last = message_id if continuing else chat.messages[message_id]["parentId"]
        for entry, message in zip(sent, chat.chain(last), strict=True):
            images = [file for file in message.get("files") or () if file["type"] == "image"]
            if images and entry["role"] == "user":
                blocks = [{"type": "image_url", "image_url": {"url": file["url"]}} for file in images]
                entry["content"] = [{"type": "text", "text": entry["content"]}, *blocks]
        return sent


def notices(turn: Turn) -> list[str]:
    return [str(data["content"]) for data in turn.data("notification")]


def stored_files(host: WebUIHost, token: str | None = None) -> list[JsonDict]:
    found = host.get("/api/v1/files/", token=token)
    return list(found["items"] if isinstance(found, dict) else found)


@contextlib.contextmanager
def model_record(host: WebUIHost, model: str, **meta: Any) -> Iterator[None]:
    """The host's record of a model, read by everybody and with this ``meta``, in place of what was there."""
    grants = [{"principal_type": "user", "principal_id": "*", "permission": "read"}]
    form = {"id": model, "base_model_id": None, "name": model, "params": {}, "meta": meta, "is_active": True}
    form |= {"access_control": None, "access_grants": grants}
    reply = host.request("GET", f"/api/v1/models/model?id={model}")
    before = reply.json() if reply.status_code == 200 else None

    def put(record: JsonDict | None) -> None:
        if host.profile.server_keeps_history:
            host.request("POST", "/api/v1/models/model/delete", json={"id": model})
        else:
            host.request("DELETE", f"/api/v1/models/model/delete?id={model}")
        if record:
            host.post("/api/v1/models/create", record)
        host.models()

    put(form)
    try:
        yield
    finally:
        put(before)
