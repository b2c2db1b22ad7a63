"""A turn stored and replayed through the real codec and a real database: what comes back is what the provider said."""

from __future__ import annotations

import itertools
import statistics
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from attrs import evolve
from sqlalchemy import event
from sqlalchemy.engine import Engine

from openrouter_pipe.adapters.openrouter import OpenRouterItemCodec
from openrouter_pipe.adapters.sql import SqlArtifactStore
from openrouter_pipe.domain.history.build import build, marker_ids
from openrouter_pipe.domain.history.markers import render
from openrouter_pipe.domain.history.policy import HistoryPolicy
from openrouter_pipe.domain.retention import keep
from openrouter_pipe.ports.artifacts import Artifact, StorePolicy
from openrouter_pipe.ports.chat import ChatMessage
from openrouter_pipe.ports.items import FunctionOutputItem, InputItem, MessageItem, Role, TextPart
from openrouter_pipe.ports.json import JsonObject
from openrouter_pipe.ports.settings import Secret
from postgres_server import postgres_url

CODEC = OpenRouterItemCodec()
POLICY = StorePolicy("replay", Secret("a key"))
NUMBERS = itertools.count(1)


def reasoning(name: str, **more: object) -> JsonObject:
    return {"type": "reasoning", "id": f"rs_{name}", "summary": [{"type": "summary_text", "text": "hm"}], **more}


def message(name: str, text: str, **more: object) -> JsonObject:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {
        "type": "message",
        "id": f"msg_{name}",
        "role": "assistant",
        "status": "completed",
        "content": [part],
        **more,
    }


def call(name: str) -> JsonObject:
    return {
        "type": "function_call",
        "id": f"fc_{name}",
        "call_id": f"call_{name}",
        "name": "look",
        "arguments": '{"q": 1}',
    }


def openai(name: str) -> JsonObject:
    return reasoning(name, encrypted_content=f"blob.{name}=", format="openai-responses-v1")


def claude(name: str) -> JsonObject:
    content = [{"type": "reasoning_text", "text": "thinking"}]
    return reasoning(name, content=content, signature=f"sig{name}", format="anthropic-claude-v1")


def gemini(name: str) -> JsonObject:
    return {"type": "reasoning", "id": f"rs_{name}", "summary": [], "signature": "s", "format": "google-gemini-v1"}


TURNS = {
    "openai": [
        openai("1"),
        message("1", "Looking.", phase="commentary"),
        call("a"),
        openai("2"),
        message("2", "Noon."),
    ],
    "claude": [claude("1"), call("a"), claude("2"), call("b"), message("1", "Noon.")],
    "gemini": [message("1", "Looking."), call("a"), message("2", "Noon."), gemini("1")],
    "plain": [openai("1"), message("1", "Noon.")],
}


async def store_turn(store: SqlArtifactStore, items: Sequence[InputItem]) -> str:
    artifacts = [
        Artifact(f"{next(NUMBERS):020d}", "chat", "m", "a/b", str(payload["type"]), payload)
        for payload in map(CODEC.encode, keep(items, HistoryPolicy()))
    ]
    assert await store.save(artifacts, POLICY) == {one.id for one in artifacts}
    return render([one.id for one in artifacts])


@pytest.mark.parametrize("family", list(TURNS))
async def test_a_turn_comes_back_verbatim_after_a_restart(tmp_path: Path, family: str) -> None:
    items: list[InputItem] = []
    for payload in TURNS[family]:
        items.append(CODEC.decode(payload))
        if payload["type"] == "function_call":
            items.append(FunctionOutputItem(str(payload["call_id"]), "sunny \x00 \ud83d"))
    first = SqlArtifactStore({"DATA_DIR": str(tmp_path)})
    block = await store_turn(first, items)
    await first.aclose()

    text = "\n".join(
        part.text
        for item in items
        if isinstance(item, MessageItem)
        for part in item.parts
        if isinstance(part, TextPart)
    )
    messages = (
        ChatMessage(Role.USER, (TextPart("x"),)),
        ChatMessage(Role.ASSISTANT, (TextPart(text + block),)),
        ChatMessage(Role.USER, (TextPart("y"),)),
    )
    second = SqlArtifactStore({"DATA_DIR": str(tmp_path)})
    found = await second.load("chat", marker_ids(messages), POLICY)
    await second.aclose()
    artifacts = {one: CODEC.decode(artifact.payload) for one, artifact in found.items()}
    history = build(messages, artifacts, frozenset({"text"}), HistoryPolicy())
    assert history.warnings == ()
    replayed = [CODEC.encode(item) for item in history.items[1:-1]]
    if family == "plain":
        assert replayed[0] == TURNS["plain"][0]
        assert [item.parts for item in history.items[2:3] if isinstance(item, MessageItem)] == [(TextPart("Noon."),)]
    else:
        assert replayed == [CODEC.encode(item) for item in items]
        assert [one for one in replayed if one["type"] != "function_call_output"] == TURNS[family]


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
async def test_five_hundred_artifacts_cost_one_query_and_at_most_30_ms_of_cpu(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything between the host's messages and the request's input: reading, opening, decoding, weaving, repairing."""
    environment = {"DATA_DIR": str(tmp_path)} if database == "sqlite" else {"DATABASE_URL": postgres_url()}
    policy = evolve(POLICY, pipe_id=f"p{uuid.uuid4().hex}", batch_size=500)
    writer, reader = SqlArtifactStore(environment), SqlArtifactStore(environment)
    messages: list[ChatMessage] = []
    for turn in range(100):
        made = [
            reasoning(str(turn), content=[{"type": "reasoning_text", "text": "t" * 400}], signature="s" * 300),
            call(f"{turn}a"),
            {"type": "function_call_output", "call_id": f"call_{turn}a", "output": "sunny " * 50},
            call(f"{turn}b"),
            {"type": "function_call_output", "call_id": f"call_{turn}b", "output": "rainy " * 50},
        ]
        rows = [Artifact(f"{next(NUMBERS):020d}", "chat", "m", "a/b", str(one["type"]), one) for one in made]
        assert len(await writer.save(rows, policy)) == 5
        block = render([row.id for row in rows])
        messages += [ChatMessage(Role.USER, (TextPart("q"),)), ChatMessage(Role.ASSISTANT, (TextPart("a" + block),))]
    messages.append(ChatMessage(Role.USER, (TextPart("y"),)))
    await writer.aclose()
    await reader.preload()
    spent: list[float] = []
    for _ in range(7):
        with statements() as seen:
            before = time.process_time()
            found = await reader.load("chat", marker_ids(messages), policy)
            artifacts = {one: CODEC.decode(artifact.payload) for one, artifact in found.items()}
            history = build(messages, artifacts, frozenset({"text"}), HistoryPolicy())
            spent.append(1000 * (time.process_time() - before))
        assert len(history.items) == 500 + 201
        assert len(seen) == 1, seen
    await reader.aclose()
    with capsys.disabled():
        print(f"\n500 artifacts, {database}: first {spent[0]:.1f} ms, median {statistics.median(spent):.1f} ms of CPU")
    assert statistics.median(spent) <= 30


@contextmanager
def statements() -> Iterator[list[str]]:
    """The statements on rows of artifacts meanwhile; whether the tables exist is asked once in a while."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "FROM response_items" in statement or "UPDATE response_items" in statement:
            seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)
