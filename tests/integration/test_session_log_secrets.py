"""Secrets planted in every field of a turn but the words of its user are in no file of its archive; two readers agree."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import attrs
import pytest
from dependency_injector import providers

from openrouter_pipe.adapters.filesystem import archives
from openrouter_pipe.adapters.memory.provider import ScriptedProvider
from openrouter_pipe.adapters.memory.tools import MemoryToolbox
from openrouter_pipe.adapters.observability.provider import RecordedProvider
from openrouter_pipe.ports.chat import ChatMessage, ChatRequest, Identity
from openrouter_pipe.ports.items import (
    Citation,
    FilePart,
    FunctionCallItem,
    MessageItem,
    OpaqueItem,
    OpaquePart,
    ReasoningItem,
    RefusalPart,
    Role,
    ServerToolItem,
    TextPart,
)
from openrouter_pipe.ports.provider import (
    CitationAdded,
    FaultEvidence,
    FaultKind,
    FinishStatus,
    ItemFinished,
    ProviderFault,
    ReasoningDelta,
    RefusalDelta,
    ResponseFinished,
    ResponseStarted,
    ServerToolProgress,
    TextDelta,
)
from openrouter_pipe.ports.settings import Secret, read_settings
from openrouter_pipe.ports.telemetry import Usage
from openrouter_pipe.ports.tools import ToolFile, ToolOutput, ToolSource, ToolSpec
from remembering import CHAT, CLAUDE, Remembering

PASSWORD = "zip password of the archives"
KEY = "sk-or-v1-0123456789abcdef0123456789abcdef"
THEIRS = "sk-or-v1-fedcba9876543210fedcba9876543210"
ARTIFACT_KEY = "the planted artifact key"
OLDER_KEYS = ("an older planted key", "one that is older still")
BEARER = "planted-bearer-token-8fQ2vXc7kJ8s"
BLOB = base64.b64encode(bytes(range(256)) * 8).decode()
EMAIL, NAME = "ada.planted@example.org", "Ada Planted-Lovelace"
PLANTED = f"Authorization: Bearer {BEARER} {KEY} {THEIRS} {ARTIFACT_KEY} {OLDER_KEYS[0]} data:image/png;base64,{BLOB} {PASSWORD}"
NOTES = f"data:text/plain;base64,{BLOB}"
SECRETS = (KEY, THEIRS, ARTIFACT_KEY, *OLDER_KEYS, PASSWORD, BEARER, BLOB[:120], EMAIL, NAME)
KEPT = frozenset({"call_id", "item_id", "id", "format"})
"""Fields by which things are paired; a planted name of a tool is a tool that is not there, and that is fine."""


def planted(value: Any, name: str = "") -> Any:
    """``value`` with the secrets in every text of it, at any depth."""
    if isinstance(value, Enum | bool | int | float | None) or name in KEPT:
        return value
    if isinstance(value, str):
        return f"{value} {PLANTED}"
    if attrs.has(type(value)):
        fields = {field.name: planted(getattr(value, field.name), field.name) for field in attrs.fields(type(value))}
        return attrs.evolve(value, **fields)
    if isinstance(value, Mapping):
        return {f"{key} {KEY}": planted(inner) for key, inner in value.items()} | {"authorization": f"Bearer {BEARER}"}
    if isinstance(value, Sequence):
        return tuple(planted(inner) for inner in value)
    return value


CALL = FunctionCallItem(
    "call_1", "look", json.dumps({"a": PLANTED, "authorization": BEARER}), "fc_1", payload={"p": PLANTED}
)
ITEMS = (
    ReasoningItem("rs", ("s",), ("t",), "e", "sig", "unknown", ({"type": "reasoning.text", "text": "x"},), {"p": "q"}),
    ServerToolItem(
        "web_search", "st", query="q", sources=(Citation("https://a.example/", "t", "c"),), payload={"p": "q"}
    ),
    OpaqueItem("kind", {"p": "q"}),
    FunctionCallItem("call_2", "elsewhere", "{}", payload={"p": "q"}),
    MessageItem(
        Role.ASSISTANT, (TextPart("x"), RefusalPart("y"), OpaquePart({"a": "b"})), "msg", citations=(Citation("u"),)
    ),
)
SAID = (
    ResponseStarted("gen", "model"),
    TextDelta(4, 0, "words "),
    ReasoningDelta(0, 0, "thoughts", summary=True),
    RefusalDelta(4, 1, "no"),
    CitationAdded(4, Citation("https://b.example/?q=1", "title", "content")),
    ServerToolProgress(1, "web_search", "searching"),
)
FAULT = ProviderFault(
    FaultKind.STATUS, "message", 400, "code", "type", "provider", "request", metadata={"raw": "x"}, body="body",
    evidence=FaultEvidence(
        upstream_type="t", upstream_message="m", upstream_error={"a": "b"}, reason="r", moderation_reasons=("m",),
        flagged_text="f", rate_limit="l", hints=("h",),
    ),
)  # fmt: skip


def script() -> list[list[Any]]:
    items = tuple(planted(item) for item in ITEMS)
    usage = Usage(1, 1, 2, raw={"total_tokens": 2, "note": PLANTED})
    first = [
        *map(planted, SAID),
        *(ItemFinished(at, item) for at, item in enumerate(items)),
        ItemFinished(5, CALL),
        ResponseFinished(FinishStatus.COMPLETED, usage, PLANTED, (*items, CALL), f"m {KEY}", f"gen {KEY}", PLANTED),
    ]
    return [first, [planted(FAULT)]]


def toolbox() -> MemoryToolbox:
    async def look(arguments: Mapping[str, Any]) -> ToolOutput:
        shown = ToolOutput(
            "call_1", "out", files=(ToolFile("/f/1", "image", "n"),), embeds=("<p>x</p>",),
            sources=(ToolSource("n", "u", ("d",)),), parts=(TextPart("x"),),
        )  # fmt: skip
        return planted(shown)

    tools = MemoryToolbox()
    schema = {"type": "object", "description": PLANTED, "properties": {"a": {"type": "string", "default": PLANTED}}}
    tools.add(ToolSpec("look", PLANTED, schema), look)
    return tools


async def archive(tmp_path: Path, **more: Any) -> Path:
    chosen = {
        "SESSION_LOG_STORE_ENABLED": True,
        "SESSION_LOG_DIR": str(tmp_path / "logs"),
        "SESSION_LOG_ZIP_PASSWORD": PASSWORD,
        "API_KEY": KEY,
        "ARTIFACT_ENCRYPTION_KEY": ARTIFACT_KEY,
        "ARTIFACT_ENCRYPTION_PREVIOUS_KEYS": ",".join(OLDER_KEYS),
        "SUPPORT_URL": f"https://help.example/?token={KEY}",
        **more,
    }
    request = ChatRequest(
        CLAUDE,
        (
            ChatMessage(Role.SYSTEM, (TextPart(f"obey {PLANTED}"),)),
            ChatMessage(Role.USER, (TextPart("remember the word heliotrope"), FilePart("notes.txt", NOTES))),
            ChatMessage(Role.ASSISTANT, (TextPart("yes"),), reasoning_details=({"type": "reasoning.text", "text": PLANTED},)),
            ChatMessage(Role.USER, (TextPart("go"),)),
        ),
        read_settings(chosen),
        "request-1",
        parameters={"extra_headers": {"Authorization": f"Bearer {BEARER}"}, "api_key": KEY, "user": PLANTED, "stop": [THEIRS]},
        identity=Identity("u", "s", CHAT, "m1", EMAIL, NAME, "user"),
        persistent=True,
        toolbox=toolbox(),
    )  # fmt: skip
    for _ in range(2):  # answered, then regenerated
        async with Remembering({"DATA_DIR": str(tmp_path)}) as pipe:
            pipe.container.provider.override(providers.Object(RecordedProvider(ScriptedProvider(script()))))
            assert [event async for event in pipe.container.chat().respond(request)]
            await pipe.container.session_logs().aclose()
    return tmp_path / "logs" / "u" / CHAT / "m1.zip"


@pytest.mark.parametrize("form", ["both", "text", "jsonl"])
async def test_no_planted_secret_is_in_any_file_of_an_archive(tmp_path: Path, form: str) -> None:
    path = await archive(tmp_path, SESSION_LOG_FORMAT=form)
    held = archives.read(path, Secret(PASSWORD))
    suffixes = {"both": ("jsonl", "txt"), "text": ("txt",), "jsonl": ("jsonl",)}[form]
    names = {
        f"{stem}{number}.{end}"
        for number in ("", ".1")
        for stem, end in (("meta", "json"), *(("logs", s) for s in suffixes))
    }
    assert set(held) == names
    for name, data in held.items():
        text = data.decode()
        for secret in SECRETS:
            assert secret not in text, (name, secret[:12])
            assert json.dumps(secret)[1:-1] not in text, (name, secret[:12])
    told = held[f"logs.{suffixes[0]}"].decode()
    for kept in ("heliotrope", "provider.request", "provider.fault", "ToolFinished", "ServerToolItem", "notes.txt"):
        assert kept in told, kept


@pytest.mark.skipif(shutil.which("7z") is None, reason="7-Zip is not installed")
@pytest.mark.parametrize("compression", ["stored", "deflated", "bzip2", "lzma"])
async def test_text_archives_of_a_regenerated_message_are_the_same_to_7_zip(tmp_path: Path, compression: str) -> None:
    path = await archive(tmp_path, SESSION_LOG_FORMAT="text", SESSION_LOG_ZIP_COMPRESSION=compression)
    held = archives.read(path, Secret(PASSWORD))
    assert set(held) == {"meta.json", "logs.txt", "meta.1.json", "logs.1.txt"}
    tested = subprocess.run(["7z", "t", f"-p{PASSWORD}", str(path)], capture_output=True, check=False)
    assert tested.returncode == 0, tested.stdout.decode()
    for name, data in held.items():
        shown = subprocess.run(["7z", "e", "-so", f"-p{PASSWORD}", str(path), name], capture_output=True, check=True)
        assert shown.stdout == data, name
    newest, earlier = (held[name].decode().splitlines() for name in ("logs.txt", "logs.1.txt"))
    assert sum(" [request] " in line for line in newest) == sum(" [request] " in line for line in earlier) == 1
    assert not set(newest) & set(earlier), "no line is in both"
