"""The same answers as the Chat endpoint sends them: chunks translated from Responses events, and the JSON reply.

What lives here: the translation, so that both endpoints say the same for every scenario. Not here: the scenarios, bytes
and time.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from openrouter_pipe.adapters.simulator.responses_wire import Data, Done, Frame, Header, Json
from openrouter_pipe.adapters.simulator.script import Comment

_FINISH = {"max_output_tokens": "length", "content_filter": "content_filter"}
_FLAT_CODES = {"rate_limit_exceeded": 429, "server_error": 502}


def chat_frames(header: Header, frames: Iterable[Frame]) -> Iterator[Frame]:
    """Chat chunks for the frames of ``responses_frames``."""
    rows = list(frames)
    translator = _Translator(header, _formats(rows))
    for frame in rows:
        match frame:
            case Comment() | Done():
                yield frame
            case Data(value=event):
                for chunk in translator.chunks(event):
                    yield Data(chunk)


def _formats(frames: list[Frame]) -> dict[int, str]:
    """The format of each reasoning item, which Responses tells only at its end and Chat with every fragment."""
    found = {}
    for frame in frames:
        if isinstance(frame, Data) and frame.value.get("type") == "response.output_item.done":
            item = frame.value["item"]
            if item["type"] == "reasoning":
                found[frame.value["output_index"]] = item.get("format") or "unknown"
    return found


class _Translator:
    """The state of one stream: which output index became which tool call or reasoning detail."""

    def __init__(self, header: Header, formats: dict[int, str]) -> None:
        self._header = header
        self._formats = formats
        self._calls: dict[int, int] = {}
        self._streamed_arguments: set[int] = set()
        self._details: dict[int, int] = {}
        self._cited = False
        self._handlers: dict[str, Callable[[Json], list[Json]]] = {
            "response.output_text.delta": lambda event: [{"content": event["delta"]}],
            "response.refusal.delta": lambda event: [{"content": "", "refusal": event["delta"]}],
            "response.reasoning_text.delta": lambda event: self._thought(event, "reasoning.text", "text"),
            "response.reasoning_summary_text.delta": lambda event: self._thought(event, "reasoning.summary", "summary"),
            "response.output_item.added": self._added,
            "response.function_call_arguments.delta": self._arguments,
            "response.output_text.annotation.added": self._annotation,
            "response.output_item.done": self._item_done,
        }

    def chunks(self, event: Json) -> list[Json]:
        kind = str(event.get("type"))
        if kind in {"response.completed", "response.incomplete", "response.failed"}:
            return self._finish(event["response"])
        if "error" in event or kind == "error":
            return [self._failure(event)]
        handler = self._handlers.get(kind)
        return [self.chunk(delta) for delta in handler(event)] if handler else []

    def chunk(self, delta: Json, finish: str | None = None) -> Json:
        choice = {
            "index": 0,
            "delta": {"role": "assistant", "content": "", **delta},
            "finish_reason": finish,
            "native_finish_reason": finish,
        }
        return {**self._envelope(), "choices": [choice]}

    def _envelope(self) -> Json:
        return {
            "id": self._header.generation_id,
            "object": "chat.completion.chunk",
            "created": self._header.created,
            "model": self._header.model,
            "provider": "FakeProvider",
        }

    def _detail(self, output_index: int, kind: str, **content: object) -> Json:
        index = self._details.setdefault(output_index, len(self._details))
        return {"type": kind, **content, "format": self._formats.get(output_index, "unknown"), "index": index}

    def _thought(self, event: Json, kind: str, key: str) -> list[Json]:
        detail = self._detail(event["output_index"], kind, **{key: event["delta"]})
        return [{"reasoning": event["delta"], "reasoning_details": [detail]}]

    def _added(self, event: Json) -> list[Json]:
        item = event["item"]
        if item["type"] != "function_call":
            return []
        index = self._calls.setdefault(event["output_index"], len(self._calls))
        function = {"name": item["name"], "arguments": ""}
        call = {"index": index, "id": item["call_id"], "type": "function", "function": function}
        return [{"content": None, "tool_calls": [call]}]

    def _arguments(self, event: Json) -> list[Json]:
        index = self._calls[event["output_index"]]
        self._streamed_arguments.add(index)
        return [{"tool_calls": [{"index": index, "function": {"arguments": event["delta"]}}]}]

    def _annotation(self, event: Json) -> list[Json]:
        self._cited = True
        return [{"annotations": [_nested(event["annotation"])]}]

    def _item_done(self, event: Json) -> list[Json]:
        item = event["item"]
        place = event["output_index"]
        match item["type"]:
            case "reasoning":
                return self._sealed(place, item)
            case "image_generation_call":
                return [{"images": [{"type": "image_url", "image_url": {"url": item["result"]}}]}]
            case "function_call" if self._calls[place] not in self._streamed_arguments:
                call = {"index": self._calls[place], "function": {"arguments": item["arguments"]}}
                return [{"tool_calls": [call]}]
            case _:
                return []

    def _sealed(self, place: int, item: Json) -> list[Json]:
        if data := item.get("encrypted_content"):
            # An encrypted detail is one of its own beside the summary, not a fragment of it.
            detail = self._detail(-1 - place, "reasoning.encrypted", data=data, id=item["id"])
            return [{"reasoning_details": [detail | {"format": self._formats[place]}]}]
        if signature := item.get("signature"):
            return [{"reasoning_details": [self._detail(place, "reasoning.text", signature=signature)]}]
        return []

    def _finish(self, response: Json) -> list[Json]:
        if response["status"] == "failed":
            error = response["error"]
            kind = response.get("error_type", "server")
            told = {"code": _FLAT_CODES.get(error["code"], 502), "message": error["message"]}
            return [{**self.chunk({}, "error"), "error": told | {"metadata": {"error_type": kind}}}]
        late = [] if self._cited else _annotations(response["output"])
        delta = {"annotations": late} if late else {}
        finish = "tool_calls" if self._calls else "stop"
        if response["status"] == "incomplete":
            finish = _FINISH[response["incomplete_details"]["reason"]]
        last = self.chunk({}, finish) | {"usage": chat_usage(response["usage"])}
        if "openrouter_metadata" in response:
            last["openrouter_metadata"] = response["openrouter_metadata"]
        return [self.chunk(delta, finish), last]

    def _failure(self, event: Json) -> Json:
        """The four error forms of Chat: no choices, finish_reason error, no finish_reason, a code that is text."""
        nested = event.get("error")
        if not isinstance(nested, dict):
            error = {"code": _FLAT_CODES.get(event["code"], 500), "message": event["message"]}
            return {**self._envelope(), "choices": [], "error": error}
        if event.get("type") == "error":
            code = _FLAT_CODES.get(nested["code"], 500)
            return {**self.chunk({}, "error"), "error": {"code": code, "message": nested["message"]}}
        return {**self.chunk({}), "error": nested}


def _nested(annotation: Json) -> Json:
    return {
        "type": annotation["type"],
        annotation["type"]: {key: value for key, value in annotation.items() if key != "type"},
    }


def _annotations(output: list[Json]) -> list[Json]:
    return [
        _nested(annotation)
        for item in output
        if item["type"] == "message"
        for part in item["content"]
        for annotation in part.get("annotations", ())
    ]


def chat_usage(usage: Json) -> Json:
    """Usage of the responses endpoint under the chat endpoint's names."""
    details = usage["cost_details"]
    renamed = {
        "prompt_tokens": usage["input_tokens"],
        "completion_tokens": usage["output_tokens"],
        "total_tokens": usage["total_tokens"],
        "cost": usage["cost"],
        "is_byok": usage["is_byok"],
        "prompt_tokens_details": dict(usage["input_tokens_details"]),
        "completion_tokens_details": dict(usage["output_tokens_details"]),
        "cost_details": {
            "upstream_inference_cost": details["upstream_inference_cost"],
            "upstream_inference_prompt_cost": details["upstream_inference_input_cost"],
            "upstream_inference_completions_cost": details["upstream_inference_output_cost"],
        },
    }
    if "server_tool_use_details" in usage:
        renamed["server_tool_use_details"] = usage["server_tool_use_details"]
    return renamed


def chat_reply(header: Header, frames: Iterable[Frame]) -> Json:
    """The answer of a request without ``stream``: the chunks folded into one message."""
    message: Json = {"role": "assistant", "content": None}
    reply: Json = {
        "id": header.generation_id,
        "object": "chat.completion",
        "created": header.created,
        "model": header.model,
        "provider": "FakeProvider",
        "system_fingerprint": None,
    }
    finish: str | None = None
    failure: Json | None = None
    for frame in frames:
        if not isinstance(frame, Data):
            continue
        for choice in frame.value["choices"]:
            _fold(message, choice["delta"])
            finish = choice["finish_reason"] or finish
        failure = frame.value.get("error", failure)
        reply |= {key: frame.value[key] for key in ("usage", "openrouter_metadata") if key in frame.value}
    if failure is not None and finish is None:
        return {"error": failure}
    choice = {"index": 0, "finish_reason": finish, "native_finish_reason": finish, "message": message}
    return {**reply, "choices": [choice | ({"error": failure} if failure else {})]}


def _fold(message: Json, delta: Json) -> None:
    for key, value in delta.items():
        match key:
            case "content" | "reasoning" | "refusal" if value:
                message[key] = (message.get(key) or "") + value
            case "annotations" | "images":
                message.setdefault(key, []).extend(value)
            case "tool_calls":
                _fold_indexed(message.setdefault("tool_calls", []), value, _merge_call)
            case "reasoning_details":
                _fold_indexed(message.setdefault("reasoning_details", []), value, _merge_detail)


def _fold_indexed(rows: list[Json], fragments: list[Json], merge: Callable[[Json, Json], None]) -> None:
    for fragment in fragments:
        known = next((row for row in rows if row["index"] == fragment["index"]), None)
        if known is None:
            rows.append(_copy(fragment))
        else:
            merge(known, fragment)


def _copy(fragment: Json) -> Json:
    return {key: dict(value) if isinstance(value, dict) else value for key, value in fragment.items()}


def _merge_call(known: Json, fragment: Json) -> None:
    known["function"]["arguments"] += fragment["function"]["arguments"]


def _merge_detail(known: Json, fragment: Json) -> None:
    values: dict[str, Any] = fragment
    for key, value in values.items():
        if key in {"text", "summary", "data"}:
            known[key] = known.get(key, "") + value
        elif key == "signature":
            known[key] = value
