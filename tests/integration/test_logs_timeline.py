"""The timeline of a session log: every type of record that a turn can leave has words of its own."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from dependency_injector import providers

from openrouter_pipe.adapters.filesystem import search
from openrouter_pipe.adapters.memory.artifacts import MemoryArtifactStore
from openrouter_pipe.adapters.memory.provider import ScriptedProvider
from openrouter_pipe.adapters.observability import chat, memory, provider
from openrouter_pipe.adapters.terminal.timeline import Line, timeline
from openrouter_pipe.composition import session_logs
from openrouter_pipe.ports.artifacts import Artifact, ArtifactStoreError, StorePolicy
from openrouter_pipe.ports.chat import ChatMessage, ChatRequest, Failed, Identity
from openrouter_pipe.ports.items import FilePart, ImagePart, Role, TextPart
from openrouter_pipe.ports.provider import FaultKind, ProviderFault
from openrouter_pipe.ports.settings import Secret, read_settings
from remembering import CHAT, CLAUDE, LOOP, Remembering

PASSWORD = "zip password of the archives"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="  # a PNG
RECORDED = {
    value
    for module, names in (
        (chat, ("REQUEST", "EVENT")),
        (provider, ("ASKED", "ANSWERED", "FAULT")),
        (memory, ("LOADED", "SAVED", "STORE_FAULT", "TOOLS")),
        (session_logs, ("MODEL", "NO_CATALOGUE")),
    )
    for value in (getattr(module, name) for name in names)
}
"""Every type of structure that is recorded; the test below keeps the set true."""


def chosen(root: Path, **more: Any) -> dict[str, Any]:
    logs = {"SESSION_LOG_STORE_ENABLED": True, "SESSION_LOG_DIR": str(root), "SESSION_LOG_ZIP_PASSWORD": PASSWORD}
    return {**logs, **more}


def entries(root: Path) -> list[list[Mapping[str, Any]]]:
    return [
        list(record.entries)
        for path in sorted(root.rglob("*.zip"))
        for record in search.records(path, Secret(PASSWORD))
    ]


class AwayStore(MemoryArtifactStore):
    """A store that can be read and not written."""

    async def save(self, artifacts: Sequence[Artifact], policy: StorePolicy) -> frozenset[str]:
        raise ArtifactStoreError("disk is full")


async def turns(tmp_path: Path) -> list[list[Mapping[str, Any]]]:
    """Turns with tools, stored items, attachments and every kind of failure."""
    root = tmp_path / "logs"
    async with Remembering({"DATA_DIR": str(tmp_path)}) as pipe:
        await pipe.ask(LOOP + "Look.", **chosen(root))
        await pipe.ask("[[sim: scenario=plain]] And now?", **chosen(root))
        await pipe.ask("[[sim: status=500]] And now?", **chosen(root))
        picture = ImagePart(f"data:image/png;base64,{PIXEL}")
        paper = FilePart("a.txt", f"data:text/plain;base64,{base64.b64encode(b'words').decode()}")
        request = ChatRequest(
            CLAUDE,
            (ChatMessage(Role.USER, (TextPart("See"), picture, paper)),),
            read_settings({"API_KEY": "sk-or-simulated", **chosen(root)}),
            "r",
            identity=Identity(user_id="u", session_id="s", chat_id=CHAT, message_id="attached"),
            persistent=True,
        )
        assert [event async for event in pipe.container.chat().respond(request)]
        await pipe.container.session_logs().aclose()
    async with Remembering({"DATA_DIR": str(tmp_path / "other")}, store=AwayStore()) as pipe:
        await pipe.ask(LOOP + "Look.", **chosen(tmp_path / "more"))
        await pipe.container.session_logs().aclose()
    async with Remembering({"DATA_DIR": str(tmp_path / "third")}) as pipe:
        fault = ProviderFault(FaultKind.STATUS, "no such key", 401)
        pipe.container.provider.override(providers.Object(ScriptedProvider(fallback=lambda _: [fault])))
        assert isinstance((await pipe.ask("Hi", **chosen(tmp_path / "last")))[-1], Failed)
        await pipe.container.session_logs().aclose()
    return [*entries(root), *entries(tmp_path / "more"), *entries(tmp_path / "last")]


def structures(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [entry for entry in entries if entry["event_type"] != "log"]


async def test_every_type_of_record_of_a_full_turn_has_words_of_its_own(tmp_path: Path) -> None:
    seen: set[str] = set()
    for turn in await turns(tmp_path):
        for entry in structures(turn):
            seen.add(entry["event_type"])
            (line,) = timeline([entry], logs=False)
            assert line.who not in {"log", "record"}, entry["event_type"]
            assert line.what.strip(), entry["event_type"]
        assert {line.who for line in timeline(turn, logs=False)} <= {
            *("asked", "known", "memory", "sent", "provider", "shown", "tool", "error"),
        }
    assert seen == RECORDED - {"catalogue.fault"}, "a type that no turn here leaves, or one that nobody knows"


def test_the_types_that_are_recorded_are_these() -> None:
    """A new type of record is a new constant in one of these modules."""
    words = {
        value
        for module in (chat, provider, memory, session_logs)
        for name, value in vars(module).items()
        if name.isupper() and not name.startswith("_") and isinstance(value, str)
    }
    assert words == RECORDED


def told(kind: str, value: object, level: str = "DEBUG") -> Line:
    entry = {"ts": "2026-01-01T00:00:00+00:00", "level": level, "event_type": kind, "message": json.dumps(value)}
    (line,) = timeline([entry], logs=False)
    return line


@pytest.mark.parametrize(
    ("kind", "value", "who", "what"),
    [
        ("model.card", None, "known", "the catalogue has no such model"),
        (
            "model.card",
            {"_": "ModelCard", "id": "a/b", "context_length": 8000, "capabilities": {"_": "C", "tools": True}},
            "known",
            'model a/b, context 8000, {"tools": true}',
        ),
        ("catalogue.fault", {"_": "ProviderFault", "message": "away"}, "error", 'no catalogue: {"message": "away"}'),
        ("tools", [{"name": "one"}, {"name": "two"}], "known", "2 tools on offer: one, two"),
        ("tools", [], "known", "no tools on offer"),
        (
            "artifacts",
            [{"item_type": "reasoning"}, {"item_type": "function_call"}, {"item_type": "reasoning"}],
            "memory",
            "3 stored items read: 1 function_call, 2 reasoning",
        ),
        ("artifacts", [], "memory", "0 stored items read"),
        ("artifacts.saved", [True, False, True], "memory", "2 of 3 items stored"),
        ("artifacts.fault", ["load", "database is locked"], "error", "memory, load: database is locked"),
        (
            "request",
            {"model": "a.b", "messages": [{"parts": [{"_": "TextPart"}, {"_": "ImagePart"}, {"_": "FilePart"}]}]},
            "asked",
            "a.b, 1 message, 1 file, 1 image, settings ",
        ),
        ("some.day", {"new": 1}, "record", 'some.day: {"new": 1}'),
        ("some.day", None, "record", "some.day: null"),
    ],
)
def test_what_is_said_of_a_structure(kind: str, value: object, who: str, what: str) -> None:
    assert told(kind, value) == Line(0.0, who, what)


@pytest.mark.parametrize("kind", sorted(RECORDED))
@pytest.mark.parametrize("value", [None, 5, "x", [], [1, None], {}, {"_": 3, "messages": 5, "input": "x", "tools": {}}])
def test_a_structure_of_another_shape_is_still_a_line(kind: str, value: object) -> None:
    assert told(kind, value).who
