"""One request as the scenarios and the rules see it, whichever of the two endpoints it came to.

What lives here: ``Turn`` and its reading from a Responses or a Chat body. Reading is forgiving (anything odd counts as
absent): the refusals are ``validation``'s. Not here: the answer.
"""

import math
import re
from typing import Any

import orjson
from attrs import frozen

Json = dict[str, Any]

_PART_MODALITIES = {
    "input_image": "image",
    "image_url": "image",
    "input_audio": "audio",
    "input_video": "video",
    "video_url": "video",
    "input_file": "file",
    "file": "file",
}


@frozen
class Tool:
    """A function the client offers, with its JSON schema (empty when it gave none)."""

    name: str
    parameters: Json


@frozen
class Call:
    """A replayed function call. ``signed``: the tokens of the reasoning that stands before it, within its round."""

    call_id: str
    name: str
    signed: tuple[str, ...]
    position: int


@frozen
class Output:
    """A replayed result of a function call."""

    call_id: str
    text: str
    position: int


@frozen
class Turn:
    """One inference request, read.

    user_texts: the text of each user message, oldest first. calls/outputs: all replayed ones, in order; loop_start:
    position after the last user message (calls from there on belong to the current tool loop). asked_effort: the
    requested effort, None when not named. reasoning_wanted: None when the request does not speak of it.
    json_schema: the schema of a structured answer, {} for a free JSON object, None for text. length: items in the input.
    """

    wire: str
    body: Json
    model: str
    stream: bool
    user_texts: tuple[str, ...]
    calls: tuple[Call, ...]
    outputs: tuple[Output, ...]
    loop_start: int
    length: int
    tools: tuple[Tool, ...]
    modalities: frozenset[str]
    asked_effort: str | None
    reasoning_budget: int | None
    reasoning_wanted: bool | None
    max_tokens: int | None
    json_schema: Json | None

    @property
    def last_text(self) -> str:
        """What the user said last."""
        return self.user_texts[-1] if self.user_texts else ""

    @property
    def loop_outputs(self) -> tuple[Output, ...]:
        """The outputs of tools since the user spoke last."""
        return tuple(output for output in self.outputs if output.position >= self.loop_start)

    @property
    def input_tokens(self) -> int:
        """About as many tokens as the request has."""
        source = self.body.get("input") if self.wire == "responses" else self.body.get("messages")
        return max(1, math.ceil(len(orjson.dumps([source, self.body.get("tools")])) / 4))


def read_turn(wire: str, body: Json) -> Turn:
    """The turn of a body. wire: "responses" or "chat"."""
    items = _items(wire, body)
    user_texts = tuple(_text(item.get("content")) for item in items if item.get("role") == "user")
    last_user = max((place for place, item in enumerate(items) if item.get("role") == "user"), default=-1)
    calls, outputs = _exchange(wire, items)
    effort, budget, wanted = _reasoning(body)
    return Turn(
        wire=wire,
        body=body,
        model=_requested_model(body),
        stream=body.get("stream") is True,
        user_texts=user_texts,
        calls=calls,
        outputs=outputs,
        loop_start=last_user + 1,
        length=len(items),
        tools=_tools(body),
        modalities=frozenset(_modalities(items)),
        asked_effort=effort,
        reasoning_budget=budget,
        reasoning_wanted=wanted,
        max_tokens=_first_int(body, "max_output_tokens", "max_completion_tokens", "max_tokens"),
        json_schema=_json_schema(body),
    )


def _requested_model(body: Json) -> str:
    model = body.get("model")
    if isinstance(model, str) and model:
        return model
    models = body.get("models")
    return models[0] if isinstance(models, list) and models and isinstance(models[0], str) else ""


def _items(wire: str, body: Json) -> list[Json]:
    source = body.get("input" if wire == "responses" else "messages")
    if isinstance(source, str):
        return [{"role": "user", "content": source}]
    return [item for item in source if isinstance(item, dict)] if isinstance(source, list) else []


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _modalities(items: list[Json]) -> set[str]:
    found = set()
    for item in items:
        for source in (item.get("content"), item.get("output")):
            for part in source if isinstance(source, list) else ():
                if isinstance(part, dict) and part.get("type") in _PART_MODALITIES:
                    found.add(_PART_MODALITIES[part["type"]])
    return found


def _exchange(wire: str, items: list[Json]) -> tuple[tuple[Call, ...], tuple[Output, ...]]:
    calls: list[Call] = []
    outputs: list[Output] = []
    signed: tuple[str, ...] = ()
    for place, item in enumerate(items):
        if item.get("type") == "reasoning":
            signed = (*signed, *_tokens([item]))
        elif item.get("type") == "function_call":
            calls.append(Call(str(item.get("call_id")), str(item.get("name")), signed, place))
        elif item.get("type") == "function_call_output":
            outputs.append(Output(str(item.get("call_id")), _text(item.get("output")), place))
            signed = ()
        elif wire == "chat" and item.get("role") == "tool":
            outputs.append(Output(str(item.get("tool_call_id")), _text(item.get("content")), place))
        elif wire == "chat" and item.get("role") == "assistant":
            details = item.get("reasoning_details")
            tokens = _tokens(details if isinstance(details, list) else [])
            calls.extend(Call(*named, tokens, place) for named in _chat_calls(item))
        elif item.get("role") == "user":
            signed = ()
    return tuple(calls), tuple(outputs)


def _tokens(details: list[Any]) -> tuple[str, ...]:
    """The opaque proofs in reasoning items or chat reasoning details: signatures and encrypted contents."""
    found = [
        detail.get(key)
        for detail in details
        if isinstance(detail, dict)
        for key in ("signature", "encrypted_content", "data")
    ]
    return tuple(token for token in found if isinstance(token, str) and token)


def _chat_calls(message: Json) -> list[tuple[str, str]]:
    calls = message.get("tool_calls")
    found = []
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            found.append((str(call.get("id")), str(function.get("name"))))
    return found


def _tools(body: Json) -> tuple[Tool, ...]:
    offered = body.get("tools")
    found = []
    for tool in offered if isinstance(offered, list) else ():
        function = tool.get("function", tool) if isinstance(tool, dict) and tool.get("type") == "function" else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            parameters = function.get("parameters")
            found.append(Tool(function["name"], parameters if isinstance(parameters, dict) else {}))
    return tuple(found)


def _reasoning(body: Json) -> tuple[str | None, int | None, bool | None]:
    """(effort, token budget, wanted) of a body, in the new and the legacy spellings."""
    asked = body.get("reasoning")
    effort = asked.get("effort") if isinstance(asked, dict) else body.get("reasoning_effort")
    effort = effort if isinstance(effort, str) else None
    if not isinstance(asked, dict):
        legacy = body.get("include_reasoning")
        wanted = effort != "none" if effort else legacy if isinstance(legacy, bool) else None
        return effort, None, wanted
    budget = asked.get("max_tokens")
    budget = budget if isinstance(budget, int) and not isinstance(budget, bool) else None
    if asked.get("enabled") is False or effort == "none" or asked.get("exclude") is True:
        return effort, budget, False
    said = [value for value in asked.values() if value is not None]
    return effort, budget, True if said else None


def _first_int(body: Json, *names: str) -> int | None:
    for name in names:
        value = body.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def _json_schema(body: Json) -> Json | None:
    text = body.get("text")
    wanted = text.get("format") if isinstance(text, dict) else body.get("response_format")
    if not isinstance(wanted, dict):
        return None
    if wanted.get("type") == "json_object":
        return {}
    if wanted.get("type") != "json_schema":
        return None
    inner = wanted.get("json_schema") if isinstance(wanted.get("json_schema"), dict) else wanted
    schema = inner.get("schema") if isinstance(inner, dict) else None
    return schema if isinstance(schema, dict) else {}


def example_of(schema: Json, depth: int = 0) -> Any:
    """A JSON value that fits a (simple) JSON schema, made from the schema alone: the same schema, the same value."""
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if isinstance(choices := schema.get("enum"), list) and choices:
        return choices[0]
    for key in ("anyOf", "oneOf", "allOf"):
        if isinstance(options := schema.get(key), list) and options and isinstance(options[0], dict):
            return example_of(options[0], depth)
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    match kind:
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "null":
            return None
        case "array":
            items = schema.get("items")
            return [example_of(items, depth + 1)] if isinstance(items, dict) and depth < 5 else []
        case "string":
            return "x" * max(0, int(schema.get("minLength", 0)) - 6) + "sample"
        case _:
            properties = schema.get("properties")
            if not isinstance(properties, dict) or depth > 5:
                return {}
            required = schema.get("required")
            names = required if isinstance(required, list) and required else list(properties)
            return {name: example_of(properties.get(name, {}), depth + 1) for name in names}


def words(text: str) -> list[str]:
    """The text cut behind each space, so that the pieces joined give the text again."""
    return re.findall(r"\S*\s+|\S+", text)
