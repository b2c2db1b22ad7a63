"""Transcripts through a real Open WebUI: the message that it stores, item by item, beside what the provider said."""

import html
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from webui_host import WebUIHost
from webui_setup import model_id
from webui_tab import WebUITab

from transcripts import installed

MODEL = model_id("openai/gpt-5.6-luna")

# (kind, text) of each stored item, in order.
STORED = {
    "plain": [("message", "Hello")],
    "reasoning-summary": [("reasoning", "**Plan** add numbers"), ("message", "42")],
    "reasoning-raw": [("reasoning", "User wants a greeting."), ("message", "Hi!")],
    "refusal": [("message", "I can't help.")],
    "split-surrogates": [("message", "Smile 😀 and 🚀 go")],
    "citations-at-end": [("message", "It is X.")],
    "web-search": [("message", "It is X.")],
    "interleaved": [
        ("reasoning", "First thought."),
        ("message", "First answer."),
        ("reasoning", "Second thought."),
        ("message", "Second answer."),
    ],
    "think-say-think-say": [
        ("reasoning", "First."),
        ("message", "One."),
        ("reasoning", "Second."),
        ("message", "Two."),
    ],
    "two-summary-parts": [("reasoning", "One\n\nTwo"), ("message", "x")],
    "text-only-in-the-last-event": [("message", "Hello")],
    "item-done-completes": [("message", "Hello")],
    "citations-twice": [("message", "See.")],
    "signature-after-the-text": [("reasoning", "Hm."), ("message", "x")],
    "phases": [("message", "Looking."), ("message", "Found.")],
}
SOURCES = {
    "web-search": ["https://example.org/t"],
    "citations-at-end": ["https://example.org/t"],
    "citations-twice": ["https://www.wwf.org/a", "https://www.wikipedia.org/?q=2"],
}


@pytest.fixture(scope="module", autouse=True)
def scenarios() -> Iterator[None]:
    with installed():
        yield


@pytest.fixture
async def tab(main_host: WebUIHost) -> AsyncIterator[WebUITab]:
    async with WebUITab(main_host) as open_tab:
        yield open_tab


def items(message: dict[str, Any]) -> list[tuple[str, str]]:
    found = []
    for item in message["output"]:
        parts = [*(item.get("summary") or ()), *(item.get("content") or ())]
        text = "\n".join(part["text"] for part in parts)
        # Our markers end the last message; they are not the model's.
        lines = [line for line in text.split("\n") if not line.endswith("]: #")]
        found.append((item["type"], "\n".join(lines).rstrip("\n")))
    return [(kind, text) for kind, text in found if kind in {"reasoning", "message"} and text]


@pytest.mark.parametrize("name", STORED)
async def test_the_stored_message_is_the_transcript(tab: WebUITab, name: str) -> None:
    message = (await tab.ask(MODEL, f"[[sim: scenario={name}]]\nGo.")).message
    assert not message.get("error")
    assert items(message) == STORED[name]
    assert {item.get("status", "completed") for item in message["output"]} == {"completed"}
    urls = [url for source in message.get("sources") or () for url in _urls(source)]
    assert urls == SOURCES.get(name, [])
    usage = message["usage"]
    assert usage["input_tokens"] > 0
    if name != "text-only-in-the-last-event":  # the simulator counts what it streamed
        assert usage["output_tokens"] > 0
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    if name == "web-search":
        assert (usage["total_tokens"], usage["cost"]) == (912, 0.0081)


def _urls(source: dict[str, Any]) -> list[str]:
    return [entry["source"] for entry in source.get("metadata") or ()]


QUOTED = {
    "reasoning-raw": ["> User wants a greeting."],
    "interleaved": ["> First thought.", "> Second ", "> thought."],  # text came in between
    "think-say-think-say": ["> First.", "> Second."],
    "two-summary-parts": ["> One\n> \n> Two"],
}
"""Each block of reasoning as the host that keeps text quotes it."""


@pytest.mark.parametrize("name", QUOTED)
async def test_the_older_host_quotes_no_blank_line_but_between_paragraphs(oldest_host: WebUIHost, name: str) -> None:
    async with WebUITab(oldest_host) as tab:
        message = (await tab.ask(MODEL, f"[[sim: scenario={name}]]\nGo.")).message
    blocks = re.findall(
        r'<details type="reasoning"[^>]*>\n<summary>[^\n]*</summary>\n(.*?)\n</details>', message["content"], re.DOTALL
    )
    assert [html.unescape(block) for block in blocks] == QUOTED[name]
