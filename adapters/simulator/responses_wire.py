"""Steps as the Responses endpoint sends them: the response object, numbering, the stream's frames, the JSON reply.

What lives here: frames (what one write carries before pacing), the response object of the contract's section 4, usage
computed from what was said. Not here: the Chat form (``chat_wire``), bytes and time (``player``).
"""

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

import orjson
from attrs import field, frozen

from openrouter_pipe.adapters.simulator.script import Comment, Event, Prelude, Step, Terminal
from openrouter_pipe.adapters.simulator.turn import Turn

Json = dict[str, Any]


@frozen
class Data:
    """One ``data:`` line holding a JSON object."""

    value: Json


@frozen
class Done:
    """The line ``data: [DONE]``."""


Frame = Data | Comment | Done


@frozen
class Header:
    """What an answer says about itself, the same in every frame. created: seconds since the epoch."""

    generation_id: str
    created: int
    turn: Turn = field(repr=False)
    entry: Json = field(repr=False)
    metadata: Json | None = None

    @property
    def model(self) -> str:
        """The dated slug: what a reply names is seldom the string that was asked for."""
        return str(self.entry["canonical_slug"])


def encode(value: object) -> bytes:
    """JSON bytes; text with lone surrogate halves is escaped, as a provider that cuts inside an emoji sends it."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode()


def responses_frames(header: Header, steps: Iterable[Step]) -> Iterator[Frame]:
    """The stream: events numbered from 0, the prelude and the terminal event filled in, then [DONE]."""
    number = 0
    said = Said()
    for step in steps:
        match step:
            case Comment():
                yield step
            case Prelude():
                skeleton = response_object(header, "in_progress", completed_at=None)
                for name in ("response.created", "response.in_progress"):
                    yield Data({"type": name, "response": skeleton, "sequence_number": number})
                    number += 1
            case Event(data=data):
                said.note(data)
                yield Data(data | {"sequence_number": number} if step.numbered else data)
                number += 1
                if step.last:
                    if step.done:
                        yield Done()
                    return
            case Terminal():
                response = final_response(header, step, said)
                yield Data({"type": f"response.{step.status}", "response": response, "sequence_number": number})
                yield Done()


class Said:
    """What has been said so far: finished items by output index, and the text counted for usage."""

    def __init__(self) -> None:
        self.items: dict[int, Json] = {}
        self.characters = 0
        self.reasoning_characters = 0

    def note(self, event: Json) -> None:
        """Take in one event."""
        kind = event.get("type")
        if kind == "response.output_item.done":
            self.items[event["output_index"]] = event["item"]
        delta = event.get("delta")
        if isinstance(delta, str):
            self.characters += len(delta)
            if isinstance(kind, str) and "reasoning" in kind:
                self.reasoning_characters += len(delta)

    @property
    def output(self) -> list[Json]:
        """The items that are finished, in their order."""
        return [self.items[index] for index in sorted(self.items)]


def final_response(header: Header, terminal: Terminal, said: Said) -> Json:
    """The response object of the last event."""
    finished = header.created + 1 if terminal.status == "completed" else None
    response = response_object(header, terminal.status, completed_at=finished)
    response["output"] = said.output
    response["usage"] = usage(header, said)
    if header.metadata is not None:
        response["openrouter_metadata"] = header.metadata
    return response | terminal.extra


def usage(header: Header, said: Said) -> Json:
    """Usage by a rule of thumb (four characters a token), priced as the catalogue says; routers cost nothing."""
    spent = header.turn.input_tokens
    produced = math.ceil(said.characters / 4)
    prices = header.entry["pricing"]
    input_cost = round(max(0.0, float(prices["prompt"])) * spent, 12)
    output_cost = round(max(0.0, float(prices["completion"])) * produced, 12)
    return {
        "input_tokens": spent,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": produced,
        "output_tokens_details": {"reasoning_tokens": math.ceil(said.reasoning_characters / 4)},
        "total_tokens": spent + produced,
        "cost": round(input_cost + output_cost, 12),
        "is_byok": False,
        "cost_details": {
            "upstream_inference_cost": None,
            "upstream_inference_input_cost": input_cost,
            "upstream_inference_output_cost": output_cost,
        },
    }


def response_object(header: Header, status: str, completed_at: int | None) -> Json:
    """The response object; what the request said is echoed, the rest has the provider's defaults."""
    body = header.turn.body

    def echoed(name: str, usual: object) -> object:
        value = body.get(name)
        return usual if value is None else value

    return {
        "id": header.generation_id,
        "object": "response",
        "created_at": header.created,
        "completed_at": completed_at,
        "model": header.model,
        "status": status,
        "output": [],
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "metadata": echoed("metadata", {}),
        "tools": echoed_tools(body),
        "tool_choice": echoed("tool_choice", "auto"),
        "parallel_tool_calls": echoed("parallel_tool_calls", True),
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": body.get("max_tool_calls"),
        "temperature": echoed("temperature", 1),
        "top_p": echoed("top_p", 1),
        "presence_penalty": echoed("presence_penalty", 0),
        "frequency_penalty": echoed("frequency_penalty", 0),
        "top_logprobs": echoed("top_logprobs", 0),
        "truncation": echoed("truncation", "disabled"),
        "background": False,
        "store": False,
        "previous_response_id": None,
        "service_tier": "default",
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "reasoning": _echoed_reasoning(body),
        "safety_identifier": body.get("safety_identifier"),
        "prompt_cache_key": body.get("prompt_cache_key"),
        "user": body.get("user"),
        "usage": None,
    }


def echoed_tools(body: Json) -> list[Json]:
    """The request's function tools; the published response schema has no place for server tools in the echo."""
    offered = body.get("tools")
    rows = offered if isinstance(offered, list) else []
    return [{"strict": None, **row} for row in rows if isinstance(row, dict) and row.get("type") == "function"]


def _echoed_reasoning(body: Json) -> Json | None:
    asked = body.get("reasoning")
    if not isinstance(asked, dict):
        return None
    return {key: asked[key] for key in ("effort", "summary") if key in asked}


def responses_reply(frames: Iterable[Frame]) -> Json:
    """The answer of a request without ``stream``: the terminal event's response, or a body that only holds an error."""
    last: Json = {}
    for frame in frames:
        if isinstance(frame, Data):
            last = frame.value
    if isinstance(response := last.get("response"), dict):
        return response
    nested = last.get("error")
    return {"error": nested if isinstance(nested, dict) else {key: last.get(key) for key in ("code", "message")}}
