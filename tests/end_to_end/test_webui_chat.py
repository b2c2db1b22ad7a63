"""Chats of a browser tab over socket.io with the bundle in a real Open WebUI: what is shown, and what is stored."""

import asyncio
import html
import re
from collections.abc import AsyncIterator

import pytest
from webui_host import WebUIHost
from webui_setup import Provider, model_id
from webui_tab import JsonDict, WebUITab

ECHO = model_id("sim/echo")
REASONING = re.compile(
    r'<details type="reasoning" done="true".*?>\n<summary>.*?</summary>\n(.*?)\n</details>\n?', re.DOTALL
)


@pytest.fixture
async def tab(host: WebUIHost) -> AsyncIterator[WebUITab]:
    async with WebUITab(host) as open_tab:
        yield open_tab


def parts(message: JsonDict) -> tuple[str, str]:
    """The reasoning and the text of an answer, from whichever form the version stores."""
    if output := message.get("output"):
        reasoning = [
            part["text"]
            for item in output
            if item["type"] == "reasoning"
            for part in [*item.get("summary", ()), *item.get("content", ())]
        ]
        text = [part["text"] for item in output if item["type"] == "message" for part in item["content"]]
        return "\n".join(reasoning), "".join(text)
    blocks = REASONING.findall(message["content"])
    return html.unescape("\n".join(blocks)), REASONING.sub("", message["content"])


async def test_saved_chat_stores_text_reasoning_and_usage(tab: WebUITab) -> None:
    turn = await tab.ask(ECHO, "Tell me, please.")
    message = turn.message
    reasoning, text = parts(message)
    assert text.startswith("Tell me, please. (turn 1)")
    assert reasoning.strip()
    assert not message.get("error")
    assert message["done"]
    assert message["usage"].get("output_tokens") or message["usage"].get("completion_tokens")
    assert turn.deltas > 2, "the answer was not streamed to the tab"


async def test_output_items_are_native_and_in_true_order(tab: WebUITab) -> None:
    message = (await tab.ask(ECHO, "In order.")).message
    if not tab.host.profile.server_keeps_history:
        assert message["content"].startswith('<details type="reasoning"')
        return
    kinds = [item["type"] for item in message["output"]]
    assert kinds.index("reasoning") < kinds.index("message")
    assert {item.get("status", "completed") for item in message["output"]} == {"completed"}
    # Only this type of part is replayed to the model in the next turn.
    assert {part["type"] for part in message["output"][-1]["content"]} == {"output_text"}


async def test_follow_up_sees_the_first_turn(tab: WebUITab) -> None:
    first = await tab.ask(ECHO, "One.")
    second = await tab.ask(ECHO, "Two.", chat_id=first.chat_id)
    assert second.chat_id == first.chat_id
    assert parts(second.message)[1].startswith("Two. (turn 2)")


async def test_regenerate_leaves_the_first_answer(tab: WebUITab) -> None:
    first = await tab.ask(ECHO, "Again.")
    other = await tab.regenerate(first)
    await tab.finished(other)
    assert other.message_id != first.message_id
    assert parts(other.message)[1].startswith("Again. (turn 1)")
    kept = tab.host.chat_message(first.chat_id, first.message_id)
    assert parts(kept) == parts(first.message)


async def test_continue_keeps_what_was_there(tab: WebUITab) -> None:
    first = await tab.ask(ECHO, "Go on.")
    more = await tab.continue_answer(first)
    await tab.finished(more)
    assert more.message_id == first.message_id
    assert parts(more.message)[1].startswith("Go on. (turn 1)")
    assert not more.message.get("error")


async def test_continue_after_an_error_starts_a_line_of_its_own(tab: WebUITab, provider: Provider) -> None:
    failed = await tab.ask(model_id("sim/error-1"), "Fail.")
    more = await tab.continue_answer(failed)
    await tab.finished(more)
    assert "\n\nPart\n\n" in parts(more.message)[1]
    await tab.ask(ECHO, "And now?", chat_id=failed.chat_id)
    replayed = str(provider.turns()[-1]["body"]["input"])
    assert replayed.count("Part") == 2, "the foot of the error took the line behind it along"


async def test_temporary_chat(tab: WebUITab) -> None:
    first = await tab.ask(ECHO, "Forget me.", temporary=True)
    reasoning, text = parts(first.message)
    assert text.startswith("Forget me. (turn 1)")
    assert reasoning.strip()
    second = await tab.ask(ECHO, "And me.", chat_id=first.chat_id, temporary=True)
    assert parts(second.message)[1].startswith("And me. (turn 2)")


async def test_stop_keeps_the_text_and_closes_the_stream_upstream(tab: WebUITab, provider: Provider) -> None:
    before = len(provider.turns())
    turn = await tab.send(ECHO, "[[sim: speed=20]] " + "word after word " * 100)
    await tab.until(lambda: "word" in parts(turn.message)[1] or turn.deltas > 15)
    await tab.stop(turn)
    await tab.finished(turn)
    async with asyncio.timeout(10):
        while not (provider.turns()[before:] and provider.turns()[-1]["aborted"]):
            await asyncio.sleep(0.1)
    reasoning, text = parts(turn.message)
    assert reasoning.strip() or text.strip(), "what was shown is gone"
    assert text.count("word") < 300
    assert not turn.message.get("error")


async def test_stop_ends_the_status_line(tab: WebUITab) -> None:
    turn = await tab.send(ECHO, "[[sim: scenario=web-search; speed=2]] tallest tower")
    await tab.until(lambda: turn.data("status"))
    await tab.stop(turn)
    await tab.finished(turn)
    await tab.until(lambda: turn.data("status")[-1]["done"], timeout=5)  # the browser shows others as going on for ever
    assert turn.data("status")[-1]["description"] == "Stopped"


async def test_three_chats_at_once_do_not_mix(tab: WebUITab) -> None:
    # One after another is quick enough for the answers to overlap; 0.6.28 refuses chats that are made at the same moment.
    turns = [await tab.send(ECHO, f"[[sim: speed=50]] chat number {n}") for n in range(3)]
    for turn in turns:
        await tab.finished(turn)
    for n, turn in enumerate(turns):
        assert f"chat number {n} (turn 1)" in parts(turn.message)[1]


async def test_error_in_the_middle_keeps_the_text(tab: WebUITab) -> None:
    turn = await tab.ask(ECHO, "[[sim: fault=error; after=40]] " + "text before the end " * 50)
    shown = parts(turn.message)[1] + str(turn.message.get("error") or "")
    assert re.search(r"\b[0-9a-f]{16}\b", shown), f"no error id in {shown!r}"
    assert "Traceback" not in shown
    assert "text before the end" in shown
