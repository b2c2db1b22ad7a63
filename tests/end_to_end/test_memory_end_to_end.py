"""A conversation that remembers, in a real Open WebUI: what the model thought and did returns after a restart, verbatim.

The provider's record of its requests is the proof: what round two of the first turn held comes again in the second turn.
"""

import asyncio
import json
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tool_servers import Counter, ToolTab, python_tool
from webui_browser import open_browser
from webui_host import WebUIHost
from webui_setup import FUNCTION_ID, Provider, model_id
from webui_tab import JsonDict, Turn

from openrouter_pipe.adapters.simulator import script
from openrouter_pipe.adapters.simulator.scenarios import SCENARIOS
from openrouter_pipe.domain.clean_up import FIRST_AFTER, LOOK_AGAIN

LOOP = "[[sim: scenario=tool-loop]] "
SUMMARY = "[[sim: scenario=reasoning-summary]] "
CLAUDE = model_id("anthropic/claude-sonnet-4.5")
GPT = model_id("openai/gpt-5")
SIMULATED = model_id("sim/tool-loop")
NATIVE = {"function_calling": "native"}
MARKER = re.compile(r"^\[([0-9A-HJKMNP-TV-Z]{20})\]: #$", re.MULTILINE)
OPENAI = "openai-responses-v1"
REMEMBERED = ("reasoning", "function_call", "function_call_output")


@pytest.fixture
async def tab(host: WebUIHost) -> AsyncIterator[ToolTab]:
    async with ToolTab(host) as open_tab:
        yield open_tab


@contextmanager
def dice_in(host: WebUIHost, folder: Path) -> Iterator[str]:
    """A workspace tool that rolls a die; its id."""
    form = {"id": "memory_dice", "name": "memory_dice", "meta": {"description": "dice", "manifest": {}}}
    host.post("/api/v1/tools/create", form | {"content": python_tool(Counter(folder / "runs"))})
    try:
        yield "memory_dice"
    finally:
        host.request("DELETE", "/api/v1/tools/id/memory_dice/delete")


@pytest.fixture
def dice(host: WebUIHost, tmp_path: Path) -> Iterator[str]:
    """The same, for one test."""
    with dice_in(host, tmp_path) as tool:
        yield tool


def sent(provider: Provider, since: int) -> list[list[JsonDict]]:
    """The input items of every answer's request from number ``since`` on; titles and the like left out."""
    bodies = [request["body"] for request in provider.turns()[since:]]
    return [body["input"] for body in bodies if "### Task:" not in json.dumps(body)]


def remembered(items: list[JsonDict]) -> list[JsonDict]:
    """The reasoning, calls and outputs among the items, in order."""
    return [item for item in items if item.get("type") in REMEMBERED]


def kinds(items: list[JsonDict]) -> list[str]:
    return [
        str(item.get("type", "message")) + ("" if item.get("type") in REMEMBERED else f":{item.get('role')}")
        for item in items
    ]


def text_of(item: JsonDict) -> str:
    content = item.get("content")
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content or ())


def tables(connection: sqlite3.Connection) -> list[str]:
    """The pipe's own tables."""
    names = [str(name) for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return [name for name in names if name.startswith(f"response_items_{FUNCTION_ID}_")]


def rows(host: WebUIHost, chat_id: str | None = None) -> list[tuple[str, str, str]]:
    """Id, chat and type of what the pipe keeps in the host's own database; of all chats by default."""
    with closing(sqlite3.connect(host.data_dir / "webui.db", timeout=10)) as connection:
        names = tables(connection)
        found = [row for name in names for row in connection.execute(f"SELECT id, chat_id, item_type FROM {name}")]
    return sorted(row for row in found if chat_id in (None, row[1]))


def stored_text(message: JsonDict) -> str:
    """All text of a stored message, markers included."""
    if output := message.get("output"):
        return "\n".join(part["text"] for item in output if item["type"] == "message" for part in item["content"])
    return str(message["content"])


async def first_turn(tab: ToolTab, provider: Provider, dice: str, model: str = CLAUDE) -> tuple[Turn, list[JsonDict]]:
    """A turn with reasoning and a call; the turn, and what the provider was sent of it in its second round."""
    before = len(provider.turns())
    turn = await tab.ask(model, LOOP + "Roll it.", params=NATIVE, tool_ids=[dice])
    assert not turn.message.get("error")
    call_round, answer_round = sent(provider, before)
    assert remembered(call_round) == []
    made = remembered(answer_round)
    assert kinds(made) == list(REMEMBERED)
    assert made[0]["signature"].startswith("Eo8C")
    return turn, made


async def test_reasoning_and_tools_survive_a_restart(host: WebUIHost, provider: Provider, dice: str) -> None:
    async with ToolTab(host) as tab:
        turn, made = await first_turn(tab, provider, dice)
        chat = tab.chats[turn.chat_id]
    stored = host.chat_message(turn.chat_id, turn.message_id)
    ids = MARKER.findall(stored_text(stored))
    assert set(ids) == {row[0] for row in rows(host, turn.chat_id)}
    assert {row[2] for row in rows(host, turn.chat_id)} >= set(REMEMBERED)
    assert json.dumps(stored).count(made[0]["signature"]) == 0, "the chat itself carries the proof"

    host.restart()
    host.models()
    before = len(provider.turns())
    async with ToolTab(host) as tab:
        tab.chats[turn.chat_id] = chat
        second = await tab.ask(CLAUDE, "And now?", chat_id=turn.chat_id)
        assert not second.message.get("error")
        (items,) = sent(provider, before)
        assert kinds(items) == ["message:user", *REMEMBERED, "message:assistant", "message:user"]
        assert remembered(items) == made, "the items came back changed"
        assert "shows four" in text_of(items[4])
        assert "]: #" not in json.dumps(items), "a marker reached the model"
        assert "<details" not in json.dumps(items)
        await check_regenerated(tab, provider, second, made)
        await check_edited_question(tab, provider, second, made)
        await check_continued(tab, provider, turn, made)
        await check_edited_answer(tab, provider, turn, made)


async def check_regenerated(tab: ToolTab, provider: Provider, second: Turn, made: list[JsonDict]) -> None:
    before = len(provider.turns())
    await tab.finished(await tab.regenerate(second))
    (items,) = sent(provider, before)
    assert remembered(items) == made


async def check_edited_question(tab: ToolTab, provider: Provider, second: Turn, made: list[JsonDict]) -> None:
    """Another wording of the second question: a branch beside it."""
    before = len(provider.turns())
    chat = tab.chats[second.chat_id]
    chat.current = chat.messages[second.user_id]["parentId"]
    edited = await tab.ask(second.model, "And then?", chat_id=second.chat_id)
    (items,) = sent(provider, before)
    assert remembered(items) == made
    assert text_of(items[-1]) == "And then?"
    assert not edited.message.get("error")


async def check_continued(tab: ToolTab, provider: Provider, turn: Turn, made: list[JsonDict]) -> None:
    """The first answer goes on; the turn after it still has all of it."""
    before = len(provider.turns())
    more = await tab.continue_answer(turn)
    await tab.finished(more)
    assert not more.message.get("error")
    (items,) = sent(provider, before)
    assert remembered(items)[: len(made)] == made
    before = len(provider.turns())
    await tab.ask(turn.model, "After more?", chat_id=turn.chat_id)
    (items,) = sent(provider, before)
    assert remembered(items)[: len(made)] == made
    assert "]: #" not in json.dumps(items)


async def check_edited_answer(tab: ToolTab, provider: Provider, turn: Turn, made: list[JsonDict]) -> None:
    """The user corrects the answer's words; the model reads the correction, and still what it thought and did."""
    body = tab.host.chat(turn.chat_id)["chat"]
    message = body["history"]["messages"][turn.message_id]
    assert "shows four" in stored_text(message)
    changed = json.loads(json.dumps(message).replace("The tools said", "The tools shouted"))
    body["history"]["messages"][turn.message_id] = changed
    body["history"]["currentId"] = turn.message_id
    tab.host.post(f"/api/v1/chats/{turn.chat_id}", {"chat": body})
    chat = tab.chats[turn.chat_id]
    chat.messages[turn.message_id] |= changed
    chat.current = turn.message_id
    before = len(provider.turns())
    await tab.ask(CLAUDE, "Edited?", chat_id=turn.chat_id)
    (items,) = sent(provider, before)
    assert remembered(items)[: len(made)] == made
    assert "The tools shouted" in "".join(map(text_of, items))
    assert "The tools said" not in "".join(text_of(item) for item in items if item.get("role") == "assistant")


async def test_encrypted_reasoning_and_phase_survive_a_restart(host: WebUIHost, provider: Provider) -> None:
    async with ToolTab(host) as tab:
        turn = await tab.ask(GPT, SUMMARY + "What is it?")
        chat = tab.chats[turn.chat_id]
    host.restart()
    host.models()
    before = len(provider.turns())
    async with ToolTab(host) as tab:
        tab.chats[turn.chat_id] = chat
        await tab.ask(GPT, "Sure?", chat_id=turn.chat_id)
    (items,) = sent(provider, before)
    assert kinds(items) == ["message:user", "reasoning", "message:assistant", "message:user"]
    assert items[1]["encrypted_content"] == "gAAAA….eyJl…"
    assert items[2].get("phase") == "final_answer"
    assert text_of(items[2]) == "42"


def openai_loop(turn: Any, knobs: object) -> list[script.Step]:
    """As OpenAI's models go about it: encrypted thought, commentary, a call; encrypted thought, the answer."""
    if turn.loop_outputs:
        rows = [
            *script.reasoning_open(0, "rs_tmp_b"),
            *script.reasoning_close(0, "rs_tmp_b", ["Second."], encrypted_content="gAAAA.b", format=OPENAI),
            *script.message(1, "msg_tmp_b", ["Settled."], phase="final_answer"),
        ]
    else:
        rows = [
            *script.reasoning_open(0, "rs_tmp_a"),
            *script.reasoning_close(0, "rs_tmp_a", ["First."], encrypted_content="gAAAA.a", format=OPENAI),
            *script.message(1, "msg_tmp_a", ["Rolling."], phase="commentary"),
            *script.call_open(2, "fc_tmp_a", "call_a", turn.tools[0].name),
            *script.call_close(2, "fc_tmp_a", "call_a", turn.tools[0].name, "{}"),
        ]
    return [script.Prelude(), *script.events(rows), script.Terminal()]


async def test_encrypted_reasoning_around_a_tool_survives_a_restart(
    host: WebUIHost, provider: Provider, dice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SCENARIOS, "openai-loop", openai_loop)
    asked = len(provider.turns())
    async with ToolTab(host) as tab:
        turn = await tab.ask(GPT, "[[sim: scenario=openai-loop]] Roll it.", params=NATIVE, tool_ids=[dice])
        assert not turn.message.get("error")
        chat = tab.chats[turn.chat_id]
    _, second_round = sent(provider, asked)
    before = len(provider.turns())
    host.restart()
    host.models()
    async with ToolTab(host) as tab:
        tab.chats[turn.chat_id] = chat
        follow_up = await tab.ask(GPT, "And now?", chat_id=turn.chat_id)
        (items,) = sent(provider, before)
        # What the second round was sent comes again as it was, then what that round answered.
        assert items[: len(second_round)] == second_round
        assert [item.get("encrypted_content") for item in remembered(items)] == ["gAAAA.a", None, None, "gAAAA.b"]
        assert [(text_of(item), item.get("phase")) for item in items if item.get("role") == "assistant"] == [
            ("Rolling.", "commentary"),
            ("Settled.", "final_answer"),
        ]
        assert kinds(items)[1:-1] == [
            "reasoning",
            "message:assistant",
            "function_call",
            "function_call_output",
            "reasoning",
            "message:assistant",
        ]
        made = remembered(items)
        await check_regenerated(tab, provider, follow_up, made)
        await check_edited_question(tab, provider, follow_up, made)
        await check_continued(tab, provider, turn, made)


async def test_the_simulators_own_model_gets_its_proofs_back(tab: ToolTab, provider: Provider, dice: str) -> None:
    turn, made = await first_turn(tab, provider, dice, SIMULATED)
    before = len(provider.turns())
    await tab.ask(SIMULATED, "And now?", chat_id=turn.chat_id)
    items, *_ = sent(provider, before)  # it calls whatever the host offers, again
    assert remembered(items) == made


async def test_what_must_leave_nothing_leaves_nothing(tab: ToolTab, provider: Provider, dice: str) -> None:
    host = tab.host
    earlier = rows(host)
    await tab.ask(CLAUDE, LOOP + "Roll it.", temporary=True, params=NATIVE, tool_ids=[dice])
    await tab.ask(GPT, SUMMARY + "What is it?", temporary=True)
    question = [{"role": "user", "content": SUMMARY + "What is it?"}]
    assert host.complete(GPT, question).status_code == 200
    assert "42" in "".join(host.stream_data(GPT, question))
    task = {"model": GPT, "messages": question, "chat_id": "task-chat"}
    host.request("POST", "/api/v1/tasks/title/completions", json=task)
    assert rows(host) == earlier


async def test_a_channel_leaves_nothing(main_host: WebUIHost, provider: Provider) -> None:
    host = main_host
    earlier = rows(host)
    config = host.get("/api/v1/auths/admin/config")
    host.post("/api/v1/auths/admin/config", config | {"ENABLE_CHANNELS": True})
    try:
        channel = host.post("/api/v1/channels/create", {"name": "memory", "type": ""})
        before = len(provider.turns())
        text = f"<@M:{GPT}|GPT> {SUMMARY}What is it?"
        host.post(f"/api/v1/channels/{channel['id']}/messages/post", {"content": text, "data": {}})
        async with asyncio.timeout(20):
            while len(provider.turns()) == before:
                await asyncio.sleep(0.2)
        await asyncio.sleep(1)
        assert rows(host) == earlier
    finally:
        host.post("/api/v1/auths/admin/config", config)


def make_older(host: WebUIHost, chat_id: str, age: timedelta) -> None:
    """As if the artifacts of the chat had been read so long ago."""
    moment = (datetime.now(UTC) - age).replace(tzinfo=None).isoformat(" ", "microseconds")
    with closing(sqlite3.connect(host.data_dir / "webui.db", timeout=10)) as connection, connection:
        for table in tables(connection):
            connection.execute(f"UPDATE {table} SET created_at = ? WHERE chat_id = ?", (moment, chat_id))


@pytest.mark.slow
async def test_the_running_worker_deletes_with_the_chat_and_by_age(
    main_host: WebUIHost, oldest_host: WebUIHost, provider: Provider, tmp_path: Path
) -> None:
    """Nothing is called here: the worker in the server does it, some time in its first two minutes."""
    chats: dict[WebUIHost, dict[str, str]] = {}
    for host in (main_host, oldest_host):
        with dice_in(host, tmp_path) as tool:
            async with ToolTab(host) as tab:
                chats[host] = {
                    name: (await first_turn(tab, provider, tool))[0].chat_id
                    for name in ("kept", "deleted", "deleted just now", "forgotten")
                }
        of = chats[host]
        for name in ("deleted", "deleted just now"):
            assert host.request("DELETE", f"/api/v1/chats/{of[name]}").status_code == 200
        make_older(host, of["deleted"], timedelta(hours=2))
        make_older(host, of["kept"], timedelta(hours=2))
        make_older(host, of["forgotten"], timedelta(days=91))
        assert all(len(rows(host, chat)) == len(rows(host, of["kept"])) > 2 for chat in of.values())
    kept = {host: [rows(host, of[name]) for name in ("kept", "deleted just now")] for host, of in chats.items()}
    for host in chats:
        host.restart()
        host.models()  # the first request starts the worker

    def left() -> list[object]:
        return [row for host, of in chats.items() for name in ("deleted", "forgotten") for row in rows(host, of[name])]

    began = time.monotonic()
    while left() and time.monotonic() - began < FIRST_AFTER[1] + LOOK_AGAIN + 20:
        await asyncio.sleep(2)
    assert left() == [], f"still there after {time.monotonic() - began:.0f} s"
    for host, of in chats.items():
        assert [rows(host, of[name]) for name in ("kept", "deleted just now")] == kept[host]
        assert "artifacts were deleted" in host.log_text()


async def test_a_person_sees_no_marker(tab: ToolTab, provider: Provider, dice: str, tmp_path: Path) -> None:
    turn, _ = await first_turn(tab, provider, dice)
    assert MARKER.search(stored_text(turn.message))

    def look() -> str:
        with open_browser(tmp_path / "profile") as person:
            person.sign_in(tab.host.url)
            person.page.goto(f"{tab.host.url}/c/{turn.chat_id}")
            person.answer.wait_for()
            deadline = time.monotonic() + 20
            while "shows four" not in person.answer.inner_text() and time.monotonic() < deadline:
                person.page.wait_for_timeout(100)
            return person.answer.inner_text()

    visible = await asyncio.to_thread(look)
    assert "shows four" in visible
    assert "]: #" not in visible
    for one in MARKER.findall(stored_text(turn.message)):
        assert one not in visible
