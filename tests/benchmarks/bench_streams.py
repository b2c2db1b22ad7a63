"""The answers that the load source plays: pre-encoded events, their pace, and the text a reader must end up with.

Here: what is sent, and when. Not here: sockets (`bench_source`), and who reads it (`bench_cases`). Every event is encoded
once, before the first request, so that the source costs next to nothing while something is measured.
"""

from __future__ import annotations

import base64
import functools
import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

STAMP = "@" * 14
"""Stands in an event where the source writes the microsecond at which it sends it."""

STAMPED = re.compile(r"\d{14}")
_WORDS = ("measure ", "twice, ", "cut ", "once; ", "the ", "wire ", "is ", "never ", "late: ", "naïve ", "日本 ", "🙂 ")


@dataclass(frozen=True)
class Scenario:
    """One answer. ``rate`` is deltas per second (0: as fast as the socket takes them); ``size`` cuts what is sent into
    pieces of that many bytes (0: one piece per event, -1: all in one). ``hold`` keeps the stream open at its end;
    ``tools`` rounds with one call each come before the text."""

    name: str
    deltas: int = 0
    rate: float = 0.0
    size: int = 0
    reasoning: int = 0
    stamped: bool = False
    hold: bool = False
    tools: int = 0
    image_bytes: int = 0
    artifacts: int = 0


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("paced", deltas=800, rate=1000),
        Scenario("many", deltas=48, rate=20, stamped=True),
        Scenario("many-long", deltas=120, rate=20, stamped=True),
        Scenario("live", deltas=100, rate=5, stamped=True),
        Scenario("burst", deltas=20000, size=65536),
        Scenario("one-piece", deltas=20000, size=-1),
        Scenario("tiny", deltas=200, size=7),
        Scenario("reasoning", deltas=3000, reasoning=3000, size=65536),
        Scenario("short", deltas=10, rate=50),
        Scenario("at-once", deltas=10, size=-1),
        Scenario("idle", deltas=25, rate=50),
        Scenario("hold", deltas=5, hold=True),
        Scenario("image", deltas=3, image_bytes=8 * 1024 * 1024),
        Scenario("tool", deltas=10, size=-1, tools=1),
        Scenario("tools", deltas=10, size=-1, tools=9),
        Scenario("artifacts", deltas=10, size=-1, artifacts=500),
    )
}


@dataclass(frozen=True)
class Step:
    """Bytes to send ``at`` seconds after the start; with ``stamped`` the first `STAMP` in them becomes the time."""

    at: float
    data: bytes
    stamped: bool = False


@dataclass(frozen=True)
class Answer:
    """What is sent for one scenario, and what of it is text and reasoning."""

    steps: Sequence[Step]
    text: str
    reasoning: str
    events: int
    hold: bool = False


@functools.cache
def answer(name: str, outputs: int = 0) -> Answer:
    """The answer of a scenario; ``outputs`` is how many tools have answered, of the ``tools`` that are called in turn."""
    scenario = SCENARIOS[name]
    writer = _Writer()
    if outputs < scenario.tools:
        writer.call("add", outputs, f'{{"a":2,"b":{outputs}}}')
    else:
        for number in range(scenario.artifacts):
            writer.secret_thought(number)
        if scenario.image_bytes:
            writer.image(scenario.image_bytes)
        if scenario.reasoning:
            writer.think(_words(scenario.reasoning))
        writer.say([f"{STAMP} "] * scenario.deltas if scenario.stamped else _words(scenario.deltas))
    if not scenario.hold:
        writer.end(name)
    steps = _paced(writer, scenario) if scenario.rate else _pieces(writer, scenario.size)
    return Answer(steps, writer.text, writer.reasoning, writer.deltas, scenario.hold)


def _words(count: int) -> list[str]:
    return [_WORDS[number % len(_WORDS)] for number in range(count)]


def _paced(writer: _Writer, scenario: Scenario) -> list[Step]:
    steps, at = [], 0.0
    for data, is_delta in writer.events:
        steps.append(Step(at, data, scenario.stamped and is_delta))
        at += 1 / scenario.rate if is_delta else 0.0
    return steps


def _pieces(writer: _Writer, size: int) -> list[Step]:
    whole = b"".join(data for data, _ in writer.events)
    if size == 0:
        return [Step(0.0, data) for data, _ in writer.events]
    size = len(whole) if size < 0 else size
    return [Step(0.0, whole[start : start + size]) for start in range(0, len(whole), size)]


class _Writer:
    """Events as OpenRouter's Responses endpoint sends them."""

    def __init__(self) -> None:
        self.events: list[tuple[bytes, bool]] = []
        self.text = ""
        self.reasoning = ""
        self.deltas = 0
        self._number = 0
        self._output: list[dict[str, Any]] = []
        self._add({"type": "response.created", "response": self._response("in_progress")})
        self._add({"type": "response.in_progress", "response": self._response("in_progress")})

    def say(self, deltas: Sequence[str]) -> None:
        item: dict[str, Any] = {"type": "message", "id": "msg_tmp_b7k2m9x4q1", "role": "assistant"}
        index, where = self._open({**item, "status": "in_progress", "content": []})
        part = {"type": "output_text", "text": "", "annotations": []}
        self._add({"type": "response.content_part.added", **where, "part": part})
        for delta in deltas:
            self._delta({"type": "response.output_text.delta", **where, "delta": delta, "logprobs": []})
        text = "".join(deltas)
        self.text += text
        if STAMP in text:  # what was sent is not known in advance: the item is left for the reader to close
            self._output.clear()
            return
        self._add({"type": "response.output_text.done", **where, "text": text, "logprobs": []})
        part = {**part, "text": text}
        self._add({"type": "response.content_part.done", **where, "part": part})
        self._close(index, {**item, "status": "completed", "content": [part]})

    def think(self, deltas: Sequence[str]) -> None:
        item: dict[str, Any] = {"type": "reasoning", "id": "rs_tmp_b7k2m9x4q1", "summary": []}
        index, where = self._open({**item, "status": "in_progress"})
        for delta in deltas:
            self._delta({"type": "response.reasoning_text.delta", **where, "delta": delta})
        text = "".join(deltas)
        self.reasoning += text
        self._add({"type": "response.reasoning_text.done", **where, "text": text})
        content = [{"type": "reasoning_text", "text": text}]
        self._close(index, {**item, "content": content, "signature": "c2lnbmF0dXJl" * 40, "status": "completed"})

    def secret_thought(self, number: int) -> None:
        secret = base64.b64encode(random.Random(number).randbytes(750)).decode()
        item = {"type": "reasoning", "id": f"rs_tmp_{number:06d}", "summary": [], "encrypted_content": secret}
        index, _ = self._open({**item, "encrypted_content": None})
        self._close(index, {**item, "status": "completed"})

    def call(self, name: str, number: int, arguments: str) -> None:
        item = {"type": "function_call", "id": f"fc_tmp_{number}", "call_id": f"call_{number}", "name": name}
        index, where = self._open({**item, "arguments": "", "status": "in_progress"})
        self._add({"type": "response.function_call_arguments.delta", **where, "delta": arguments})
        self._add({"type": "response.function_call_arguments.done", **where, "arguments": arguments, "name": name})
        self._close(index, {**item, "arguments": arguments, "status": "completed"})

    def image(self, size: int) -> None:
        head = bytes.fromhex("89504e470d0a1a0a0000000d49484452")
        data = base64.b64encode(head + random.Random(8).randbytes(size * 3 // 4 - len(head))).decode()
        item = {"type": "image_generation_call", "id": "ig_tmp_1", "status": "in_progress", "result": None}
        index, _ = self._open(item)
        done = {**item, "status": "completed", "result": f"data:image/png;base64,{data}"}
        self._add({"type": "response.output_item.done", "output_index": index, "item": done})

    def end(self, model: str) -> None:
        usage = {
            "input_tokens": 10,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": self.deltas,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 10 + self.deltas,
            "cost": 0.0001,
        }
        response = {**self._response("completed"), "output": self._output, "usage": usage, "model": f"bench/{model}"}
        self._add({"type": "response.completed", "response": response})
        self.events.append((b"data: [DONE]\n\n", False))

    def _open(self, item: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        index = len(self._output)
        self._output.append(item)
        self._add({"type": "response.output_item.added", "output_index": index, "item": item})
        return index, {"item_id": item["id"], "output_index": index, "content_index": 0}

    def _close(self, index: int, item: dict[str, Any]) -> None:
        self._output[index] = item
        self._add({"type": "response.output_item.done", "output_index": index, "item": item})

    def _response(self, status: str) -> dict[str, Any]:
        return {
            "id": "gen-1767225600-b7k2m9x4q1",
            "object": "response",
            "created_at": 1767225600,
            "model": "bench/model",
            "status": status,
            "output": [],
            "usage": None,
            "error": None,
            "incomplete_details": None,
        }

    def _delta(self, event: dict[str, Any]) -> None:
        self.deltas += 1
        self._add(event, is_delta=True)

    def _add(self, event: dict[str, Any], *, is_delta: bool = False) -> None:
        numbered = {**event, "sequence_number": self._number}
        self._number += 1
        text = json.dumps(numbered, ensure_ascii=False, separators=(",", ":"))
        self.events.append((f"data: {text}\n\n".encode(), is_delta))


def catalogue(at_least: int = 400) -> bytes:
    """``GET /models``: one model per scenario, and others up to the number asked for."""
    names = list(SCENARIOS) + [f"filler-{number}" for number in range(at_least - len(SCENARIOS))]
    return json.dumps({"data": [_entry(name) for name in names]}).encode()


def _entry(name: str) -> dict[str, Any]:
    return {
        "id": f"bench/{name}",
        "canonical_slug": f"bench/{name}-20260101",
        "name": f"Bench: {name}",
        "created": 1767225600,
        "description": "A model that says what it was told to. " * 12,
        "context_length": 40_000_000,
        "hugging_face_id": None,
        "architecture": {
            "modality": "text+image->text",
            "input_modalities": ["text", "image", "file"],
            "output_modalities": ["text", "image"],
            "tokenizer": "Other",
            "instruct_type": None,
        },
        "pricing": {"prompt": "0.00000125", "completion": "0.00001", "input_cache_read": "0.000000125"},
        "top_provider": {"context_length": 40_000_000, "max_completion_tokens": 128000, "is_moderated": False},
        "per_request_limits": None,
        "supported_parameters": ["include_reasoning", "max_tokens", "reasoning", "temperature", "tool_choice", "tools"],
        "default_parameters": {"temperature": None, "top_p": None},
        "supported_voices": None,
        "reasoning": {"mandatory": False, "supported_efforts": ["high", "medium", "low"], "default_enabled": True},
        "links": {"details": f"/api/v1/models/bench/{name}/endpoints"},
    }
