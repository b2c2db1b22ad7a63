"""Recorded and composed transcripts: what the provider streams, as steps of the simulator.

The contract's (a) to (j) are scenarios of the simulator already; here stand those composed from the pitfalls. `installed`
makes them scenarios too, so that they can be played on both wires, in process, over a socket and behind Open WebUI.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from openrouter_pipe.adapters.simulator import script as s
from openrouter_pipe.adapters.simulator.scenarios import SCENARIOS
from openrouter_pipe.adapters.simulator.script import Comment, Event, Prelude, Step, Terminal

Json = dict[str, Any]

SEAL = {"signature": "Eo8C", "format": "anthropic-claude-v1"}
CONTRACT = (
    "plain",
    "reasoning-summary",
    "reasoning-raw",
    "parallel-calls",
    "web-search",
    "image",
    "refusal",
    "incomplete",
    "content-filter",
    "failed",
    "error-1",
    "error-2",
    "error-3",
    "error-4",
    "interleaved",
    "late-signature",
    "split-surrogates",
    "citations-at-end",
)


def _cite(url: str, title: str = "T", start: int = 0, end: int = 1) -> Json:
    return {"type": "url_citation", "url": url, "title": title, "start_index": start, "end_index": end, "content": ""}


def _item(text: str, item_id: str = "m", **more: object) -> Json:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": item_id, "role": "assistant", "status": "completed", "content": [part], **more}


def _added(index: int, item: Json) -> Json:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def _done(index: int, item: Json) -> Json:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def _whole(*rows: Json, last: Terminal | None = None) -> list[Step]:
    return [Prelude(), *s.events(rows), last or Terminal()]


def _thought(index: int, item_id: str, text: str, **seal: str) -> list[Json]:
    return [*s.raw_open(index, item_id), s.raw_delta(index, item_id, text), *s.raw_close(index, item_id, text, **seal)]


def _without(rows: list[Json], *kinds: str) -> list[Json]:
    return [row for row in rows if row["type"] not in kinds]


_STARTED = {"type": "message", "id": "m", "role": "assistant", "status": "in_progress", "content": []}

PITFALLS: dict[str, Callable[[], list[Step]]] = {
    # What is not the documented shape costs only itself.
    "events-without-shape": lambda: _whole(
        *s.message_open(0, "m"),
        s.text_delta(0, "m", "a"),
        {"type": "response.output_text.delta", "output_index": "0", "content_index": 0, "delta": "X"},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": 7},
        {"type": "response.output_text.done", "output_index": 0},
        {"type": "response.output_item.done", "output_index": 0, "item": 17},
        {"type": "response.somebody_invented_this", "output_index": 0},
        s.text_delta(0, "m", "b"),
        *s.message_close(0, "m", "ab"),
    ),
    "emoji-halves": lambda: _whole(*s.message(0, "m", ["\ud83d", "\ude00"])[:-3], *s.message_close(0, "m", "😀")),
    "lone-half": lambda: _whole(
        *s.message_open(0, "m"), s.text_delta(0, "m", "a\ud83d"), *s.message_close(0, "m", "a\ud83d")
    ),
    "empty-deltas": lambda: _whole(*s.message(0, "m", ["", "a", "", "b"])),
    "snapshots-repeat-reasoning": lambda: _whole(
        *s.reasoning_open(0, "r"),
        *s.summary(0, "r", ["One ", "two"]),
        *s.reasoning_close(0, "r", ["One two"], format="openai-responses-v1", encrypted_content="gAAA"),
        *s.message(1, "m", ["x"]),
    ),
    "two-summary-parts": lambda: _whole(
        *s.reasoning_open(0, "r"),
        *s.summary(0, "r", ["One"]),
        *s.summary(0, "r", ["Two"], part=1),
        *s.reasoning_close(0, "r", ["One", "Two"], format="openai-responses-v1", encrypted_content="gAAA"),
        *s.message(1, "m", ["x"]),
    ),
    "text-only-in-snapshots": lambda: _whole(*s.message_open(0, "m"), *s.message_close(0, "m", "Hello")),
    "snapshot-completes-deltas": lambda: _whole(
        *s.message_open(0, "m"), s.text_delta(0, "m", "Hel"), *s.message_close(0, "m", "Hello")
    ),
    "item-done-completes": lambda: _whole(_added(0, _STARTED), s.text_delta(0, "m", "Hel"), _done(0, _item("Hello"))),
    "text-only-in-the-last-event": lambda: _whole(last=Terminal("completed", {"output": [_item("Hello")]})),
    "closed-only-by-the-last-event": lambda: _whole(*_without(s.message(0, "m", ["Hel", "lo"]), _done(0, {})["type"])),
    "never-added": lambda: _whole(s.text_delta(0, "m", "a"), s.text_delta(0, "m", "b"), _done(0, _item("ab"))),
    "citations-twice": lambda: _whole(
        *s.message_open(0, "m"),
        s.text_delta(0, "m", "See."),
        s.citation(0, "m", _cite("https://www.wwf.org/a?utm_source=x")),
        s.citation(0, "m", _cite("https://wwf.org/a/"), 1),
        s.citation(0, "m", _cite("https://www.wikipedia.org/?fbclid=1&q=2"), 2),
        s.citation(0, "m", _cite("javascript:alert(1)"), 3),
        *s.message_close(0, "m", "See.", annotations=[_cite("https://www.wwf.org/a?utm_source=x")]),
    ),
    "call-under-two-ids": lambda: _whole(
        *s.call_open(0, "fc_tmp_1", "call_1", "look"),
        s.call_delta(0, "fc_tmp_1", '{"a":'),
        s.call_delta(0, "call_1", "1}"),
        *s.call_close(0, "fc_1", "call_1", "look", '{"a":1}'),
    ),
    "call-without-deltas": lambda: _whole(
        *s.call_open(0, "fc_1", "call_1", "look"), *s.call_close(0, "fc_1", "call_1", "look", '{"a":1}')
    ),
    "call-with-odd-arguments": lambda: _whole(
        *s.call_open(0, "fc_1", "call_1", "look"), *s.call_close(0, "fc_1", "call_1", "look", '[1, "x"')
    ),
    "think-call-think-call": lambda: _whole(
        *_thought(0, "r1", "First.", **SEAL),
        *s.call_open(1, "fc_1", "call_1", "look"),
        *s.call_close(1, "fc_1", "call_1", "look", "{}"),
        *_thought(2, "r2", "Second.", **SEAL),
        *s.call_open(3, "fc_2", "call_2", "look"),
        *s.call_close(3, "fc_2", "call_2", "look", "{}"),
    ),
    "think-say-think-say": lambda: _whole(
        *_thought(0, "r1", "First.", **SEAL),
        *s.message(1, "m1", ["One."]),
        *_thought(2, "r2", "Second.", **SEAL),
        *s.message(3, "m2", ["Two."]),
    ),
    "signature-after-the-text": lambda: _whole(
        *s.raw_open(0, "r"),
        s.raw_delta(0, "r", "Hm."),
        *s.message(1, "m", ["x"]),
        *s.raw_close(0, "r", "Hm.", **SEAL),
    ),
    "blank-signature": lambda: _whole(
        *_thought(0, "r", "Hm.", signature="", format="anthropic-claude-v1"), *s.message(1, "m", ["x"])
    ),
    "signature-that-is-no-text": lambda: _whole(
        *_thought(0, "r", "Hm.", signature=0, format="anthropic-claude-v1"), *s.message(1, "m", ["x"])
    ),
    "phases": lambda: _whole(
        *s.message(0, "m1", ["Looking."], phase="commentary"), *s.message(1, "m2", ["Found."], phase="final_answer")
    ),
    "refusal-in-pieces": lambda: _whole(
        *s.message_open(0, "m", "refusal"),
        {"type": "response.refusal.delta", "item_id": "m", "output_index": 0, "content_index": 0, "delta": "I "},
        {"type": "response.refusal.delta", "item_id": "m", "output_index": 0, "content_index": 0, "delta": "won't."},
        _done(0, _item("") | {"content": [{"type": "refusal", "refusal": "I won't."}]}),
    ),
    "incomplete-in-a-thought": lambda: _whole(
        *s.raw_open(0, "r"),
        s.raw_delta(0, "r", "Hm"),
        last=Terminal("incomplete", {"incomplete_details": {"reason": "max_output_tokens"}}),
    ),
    "second-terminal-event": lambda: [
        *_whole(*s.message(0, "m", ["x"])),
        Event({"type": "response.failed", "response": {"status": "failed", "error": {"code": "x", "message": "no"}}}),
        Event(s.text_delta(0, "m", "late")),
    ],
    "nothing-at-all": lambda: _whole(),
    "comments-everywhere": lambda: [
        Comment(" OPENROUTER PROCESSING"),
        Prelude(),
        Comment(""),
        *(step for row in s.message(0, "m", ["a", "b"]) for step in (Event(row), Comment(" data: not this"))),
        Terminal(),
    ],
    "text-like-a-card": lambda: _whole(
        *s.message(0, "m", ['<details type="reasoning" done="true">', "\n<summary>x</summary>\n</details>", "\nend"])
    ),
    "control-characters": lambda: _whole(*s.message(0, "m", ["a\x00b\u2028c\r\nd", "\t\x1be"])),
}


@contextmanager
def installed() -> Iterator[None]:
    """The composed transcripts are scenarios of every simulator in this process while the context is open."""
    SCENARIOS.update({name: (lambda turn, knobs, make=make: make()) for name, make in PITFALLS.items()})
    try:
        yield
    finally:
        for name in PITFALLS:
            SCENARIOS.pop(name, None)
