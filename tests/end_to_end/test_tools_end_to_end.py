"""The host's tools through the bundle in a real Open WebUI: each runs exactly once, is shown, stored and replayed.

``sim/tool-loop`` calls the first function on offer and answers from its output.
"""

import asyncio
import html
import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tool_servers import Counter, McpProcess, ToolTab, WeatherServer, mcp_process, python_tool
from webui_host import WebUIHost
from webui_setup import Provider, model_id
from webui_tab import JsonDict, Turn

LOOP = model_id("sim/tool-loop")
PARALLEL = model_id("sim/parallel-calls")
NATIVE = {"function_calling": "native"}
CLOCK = os.sysconf("SC_CLK_TCK")


@pytest.fixture
async def tab(host: WebUIHost) -> AsyncIterator[ToolTab]:
    async with ToolTab(host) as open_tab:
        yield open_tab


@pytest.fixture
async def main_tab(main_host: WebUIHost) -> AsyncIterator[ToolTab]:
    async with ToolTab(main_host) as open_tab:
        yield open_tab


@pytest.fixture
def weather() -> Iterator[WeatherServer]:
    with WeatherServer() as running:
        yield running


def install_tool(host: WebUIHost, tool_id: str, source: str) -> str:
    """Uploads a workspace tool and returns its id."""
    form = {"id": tool_id, "name": tool_id, "content": source, "meta": {"description": "counts", "manifest": {}}}
    host.post("/api/v1/tools/create", form)
    return tool_id


def connect(host: WebUIHost, *connections: JsonDict) -> None:
    """Sets the tool servers that the administrator shares with everybody."""
    base: JsonDict = {"path": "openapi.json", "auth_type": "none", "key": ""}
    host.post("/api/v1/configs/tool_servers", {"TOOL_SERVER_CONNECTIONS": [base | each for each in connections]})


def shown(turn: Turn) -> list[tuple[str, str]]:
    """Name and result of every tool call that the stored message shows, in order."""
    if output := turn.message.get("output"):
        results = {
            item["call_id"]: "".join(part.get("text", "") for part in item["output"])
            for item in output
            if item["type"] == "function_call_output"
        }
        return [(item["name"], results[item["call_id"]]) for item in output if item["type"] == "function_call"]
    found = []
    for block in turn.message["content"].split('<details type="tool_calls"')[1:]:
        fields = {
            key: html.unescape(block.split(f' {key}="', 1)[1].split('"', 1)[0]) for key in ("done", "name", "result")
        }
        assert fields["done"] == "true"
        found.append((fields["name"], json.loads(fields["result"])))
    return found


def pairs(request: JsonDict) -> list[tuple[JsonDict, JsonDict]]:
    """Calls with their outputs in what the provider was sent; every one of both is in a pair."""
    items = [item for item in request["body"]["input"] if "function_call" in item.get("type", "")]
    calls, outputs = items[::2], items[1::2]
    assert [item["type"] for item in calls] == ["function_call"] * len(outputs)
    assert [item["type"] for item in outputs] == ["function_call_output"] * len(calls)
    assert [item["call_id"] for item in calls] == [item["call_id"] for item in outputs]
    return list(zip(calls, outputs, strict=True))


def text_of_output(item: JsonDict) -> str:
    """What a tool said, from its item."""
    parts = item["output"]
    return parts if isinstance(parts, str) else "".join(part.get("text", "") for part in parts)


def shows_live(turn: Turn, name: str) -> bool:
    """Whether the tab heard of the call before the answer was complete."""
    running = (json.dumps(event) for _, event in turn.events if not (event.get("data") or {}).get("done"))
    return any(name in heard and ("function_call" in heard or "tool_calls" in heard) for heard in running)


async def check(tab: ToolTab, provider: Provider, name: str, result: str, *, model: str = LOOP, **extra: Any) -> Turn:
    """One turn with one call, shown while it runs and stored; then a turn that sends it to the provider again."""
    before = len(provider.turns())
    turn = await tab.ask(model, "Use it.", params=NATIVE, **extra)
    assert not turn.message.get("error")
    ((called, answered),) = shown(turn)
    assert called.endswith(name)
    assert result in answered
    assert shows_live(turn, called)
    asked, told = provider.turns()[before:]
    assert pairs(asked) == []
    ((call, output),) = pairs(told)
    assert call["name"] == called
    assert result in text_of_output(output)
    assert json.dumps(told["body"]).count(json.dumps(text_of_output(output))[1:-1]) == 1, "not as context besides"
    if turn.message.get("output"):
        statuses = {item.get("status") for item in turn.message["output"]}
        assert statuses <= {"completed", None}
        (stored,) = (item for item in turn.message["output"] if item["type"] == "function_call")
        assert {key: stored[key] for key in ("call_id", "name", "arguments")} == {
            key: call[key] for key in ("call_id", "name", "arguments")
        }
    else:
        assert html.escape(json.dumps(call["arguments"])) in turn.message["content"]
    follow_up = await tab.ask(model_id("sim/echo"), "And now?", chat_id=turn.chat_id, params=NATIVE)
    assert not follow_up.message.get("error")
    (again,) = provider.turns()[before + 2 :]
    assert pairs(again) == [(call, output)], "the next turn sends the pair verbatim"
    assert json.dumps(again["body"], ensure_ascii=False).count(json.dumps(call["arguments"])) == 1
    return turn


async def test_python_tool(tab: ToolTab, provider: Provider, tmp_path: Path) -> None:
    counter = Counter(tmp_path / "runs")
    tool = install_tool(tab.host, "dice", python_tool(counter))
    try:
        await check(tab, provider, "roll_dice", "shows four", tool_ids=[tool])
        assert counter.runs == ["1 for admin"]
    finally:
        tab.host.request("DELETE", f"/api/v1/tools/id/{tool}/delete")


async def test_direct_tool_server(tab: ToolTab, provider: Provider, weather: WeatherServer) -> None:
    allow_direct(tab.host)
    await check(tab, provider, "get_weather", "it rains in sample", tool_servers=[weather.as_direct()])
    assert weather.calls == [{"city": "sample"}]


async def test_a_direct_tool_of_a_temporary_chat(tab: ToolTab, weather: WeatherServer) -> None:
    allow_direct(tab.host)
    turn = await tab.ask(LOOP, "Use it.", temporary=True, params=NATIVE, tool_servers=[weather.as_direct()])
    assert "it rains in sample" in json.dumps(turn.message)
    assert len(weather.calls) == 1


async def test_openapi_server_of_the_host(tab: ToolTab, provider: Provider, weather: WeatherServer) -> None:
    connect(tab.host, {"url": weather.url, "type": "openapi", "config": {"enable": True}, "info": {"id": "weather"}})
    try:
        await check(tab, provider, "get_weather", "it rains in sample", tool_ids=["server:weather"])
        assert weather.calls == [{"city": "sample"}]
    finally:
        connect(tab.host)


async def test_builtin_tool(main_tab: ToolTab, provider: Provider) -> None:
    """``create_tasks`` puts a list of tasks beside the chat and says so to the tab each time that it runs."""
    host = main_tab.host
    others = ("time", "user_input", "files", "knowledge", "chats", "subagents", "memory", "web_search", "notes")
    others += ("image_generation", "code_interpreter", "channels", "skills", "automations", "calendar", "notifications")
    meta = {"builtinTools": dict.fromkeys(others, False)}
    preset = {"id": "tasker", "name": "Tasker", "base_model_id": LOOP, "meta": meta, "params": {}}
    host.post("/api/v1/models/create", preset)
    assert "tasker" in host.model_ids()
    try:
        turn = await check(main_tab, provider, "create_tasks", '"content":"sample"', model="tasker")
        assert len(turn.data("chat:message:tasks")) == 1
    finally:
        host.post("/api/v1/models/model/delete", {"id": "tasker"})
        host.models()


async def test_all_builtin_tools_are_offered(main_tab: ToolTab, provider: Provider) -> None:
    before = len(provider.turns())
    turn = await main_tab.ask(LOOP, "What time is it?")
    ((name, result),) = shown(turn)
    tools = [tool.get("name") for tool in provider.turns()[before]["body"]["tools"]]
    assert name == tools[0]
    assert len(tools) > 3
    assert result.strip()
    assert not turn.message.get("error")


async def test_calls_of_one_round_run_side_by_side(tab: ToolTab, tmp_path: Path) -> None:
    counter = Counter(tmp_path / "runs")
    tool = install_tool(tab.host, "slow_dice", python_tool(counter, seconds=3))
    try:
        started = time.monotonic()
        turn = await tab.ask(PARALLEL, "Use them.", params=NATIVE, tool_ids=[tool])
        took = time.monotonic() - started
        assert shown(turn) == [("weather", "fog in Oslo"), ("weather", "fog in Rome")]
        assert sorted(counter.runs) == ["Oslo", "Rome"]
        assert took < 2 * 3, "one after the other"
    finally:
        tab.host.request("DELETE", f"/api/v1/tools/id/{tool}/delete")


CITING_TOOL = '''
class Tools:
    async def weather(self, city: str, __event_emitter__=None) -> str:
        """Weather. :param city: where"""
        for n in range(3):
            name = f"{city} {n}"
            data = {"source": {"name": name}, "document": ["fog"], "metadata": [{"source": name}]}
            await __event_emitter__({"type": "source", "data": data})
        return "fog"
'''


async def test_tools_side_by_side_lose_no_source(tab: ToolTab) -> None:
    tool = install_tool(tab.host, "citing_dice", CITING_TOOL)
    try:
        turn = await tab.ask(PARALLEL, "Use them.", params=NATIVE, tool_ids=[tool])
        stored = tab.host.chat_message(turn.chat_id, turn.message_id)["sources"]
        told = sorted(source["source"]["name"] for source in stored)
        assert told == [f"{city} {n}" for city in ("Oslo", "Rome") for n in range(3)]
    finally:
        tab.host.request("DELETE", f"/api/v1/tools/id/{tool}/delete")


async def test_legacy_mode_is_left_to_the_host(tab: ToolTab, provider: Provider, tmp_path: Path) -> None:
    """The host asks the model which tool to run and runs it; the pipe offers none."""
    counter = Counter(tmp_path / "runs")
    tool = install_tool(tab.host, "old_dice", python_tool(counter))
    mode = "legacy" if tab.host.profile.server_keeps_history else "default"
    before = len(provider.turns())
    try:
        turn = await tab.ask(LOOP, "Use it.", params={"function_calling": mode}, tool_ids=[tool])
        assert not shown(turn)
        assert not any(request["body"].get("tools") for request in provider.turns()[before:])
    finally:
        tab.host.request("DELETE", f"/api/v1/tools/id/{tool}/delete")


@pytest.mark.parametrize("approves", [True, False])
async def test_the_users_word_decides_where_the_chat_asks(main_host: WebUIHost, tmp_path: Path, approves: bool) -> None:
    counter = Counter(tmp_path / "runs")
    tool = install_tool(main_host, "asked_dice", python_tool(counter))
    permit_asking(main_host, on=True)
    try:
        async with ToolTab(main_host, approves=approves) as tab:
            turn = await tab.ask(LOOP, "Use it.", params={"tool_approval_mode": "ask"}, tool_ids=[tool])
        assert [asked["tool_call"]["name"] for asked in tab.asked] == ["roll_dice"]
        ((_, result),) = shown(turn)
        assert ("not approved" in result) != approves
        assert len(counter.runs) == approves
    finally:
        permit_asking(main_host, on=False)
        main_host.request("DELETE", f"/api/v1/tools/id/{tool}/delete")


# --- MCP --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def mcp(main_host: WebUIHost, tmp_path: Path) -> Iterator[McpProcess]:
    """An MCP server, connected once for each of its tools."""
    with mcp_process(Counter(tmp_path / "runs")) as running:
        connect(main_host, *(mcp_connection(running.url, tool) for tool in ("add_up", "sleep_long")))
        yield running
        connect(main_host)


def mcp_connection(url: str, tool: str) -> JsonDict:
    config = {"enable": True, "function_name_filter_list": tool}
    return {"url": url, "path": "", "type": "mcp", "config": config, "info": {"id": tool, "name": tool}}


async def test_mcp_server(main_tab: ToolTab, provider: Provider, mcp: McpProcess) -> None:
    await check(main_tab, provider, "add_up", "the sum is 2", tool_ids=["server:mcp:add_up"])
    assert mcp.counter.runs == ["add_up"]


async def test_mcp_leaves_nothing_behind(main_tab: ToolTab, mcp: McpProcess) -> None:
    """Calls that end, that are stopped, and whose server dies: no socket stays, and the process comes to rest."""
    host = main_tab.host
    await main_tab.ask(LOOP, "Warm up.", tool_ids=["server:mcp:add_up"])
    await asyncio.sleep(1)
    sockets = host.census().sockets
    for _ in range(5):
        await main_tab.ask(LOOP, "Use it.", tool_ids=["server:mcp:add_up"])
    stopped = await sleeping(main_tab, mcp, 1)
    await main_tab.stop(stopped)
    await main_tab.finished(stopped)
    abandoned = await sleeping(main_tab, mcp, 2)
    mcp.kill()
    try:
        await main_tab.finished(abandoned, timeout=10)
    except TimeoutError:
        await main_tab.stop(abandoned)
        await main_tab.finished(abandoned)
    await asyncio.sleep(2)
    before = cpu_seconds(host)
    await asyncio.sleep(3)
    assert cpu_seconds(host) - before < 1, "the server spins"
    assert host.census().sockets <= sockets + 2
    assert (await main_tab.ask(LOOP, "Still there?", params=NATIVE)).message["done"]


async def sleeping(tab: ToolTab, mcp: McpProcess, number: int) -> Turn:
    """A turn whose call is inside the tool."""
    turn = await tab.send(LOOP, "Sleep.", tool_ids=["server:mcp:sleep_long"])
    async with asyncio.timeout(20):
        while mcp.counter.runs.count("sleep_long") < number:
            await asyncio.sleep(0.05)
    return turn


def cpu_seconds(host: WebUIHost) -> float:
    """Processor time that the server has used so far."""
    fields = Path(f"/proc/{host.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK


# --- the host's switches ----------------------------------------------------------------------------------------------


def allow_direct(host: WebUIHost) -> None:
    """Lets browsers bring tool servers of their own; the old host always does."""
    if host.profile.server_keeps_history:
        found = host.get("/api/v1/configs/connections")
        host.post("/api/v1/configs/connections", found | {"ENABLE_DIRECT_INTEGRATIONS": True})


def permit_asking(host: WebUIHost, *, on: bool) -> None:
    """Whether chats may ask before each call."""
    found = host.get(PERMISSIONS_PATH)
    host.post(PERMISSIONS_PATH, found | {"ENABLE_TOOL_PERMISSIONS": on})


PERMISSIONS_PATH = "/api/v1/chats/config"
