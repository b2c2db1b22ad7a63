"""The chat completions endpoint: request bodies. How its chunks become provider events is in `chat_reader`.

Consecutive assistant items (reasoning, text, calls) make one assistant message, because that is the only place the
endpoint has for them; their reasoning goes back as ``reasoning_details``, verbatim where it came from this endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import define, field

from openrouter_pipe.adapters.openrouter.encoding import REASONING_FORMATS, image_detail
from openrouter_pipe.adapters.openrouter.request import (
    CHAT_FIELDS,
    MAX_BREAKPOINTS,
    add_reasoning,
    cache_directive,
    shared_members,
    spread,
)
from openrouter_pipe.adapters.openrouter.wirejson import Wire, text, without_nulls
from openrouter_pipe.ports.items import (
    AudioPart,
    FilePart,
    FunctionCallItem,
    FunctionOutputItem,
    ImagePart,
    MessageItem,
    OpaquePart,
    Part,
    ReasoningItem,
    RefusalPart,
    Role,
    TextPart,
    VideoPart,
)
from openrouter_pipe.ports.json import JsonValue
from openrouter_pipe.ports.provider import FunctionTool, OutputFormat, ProviderRequest, ProviderTool

PATH: Final = "chat/completions"

_MEDIA: Final = (ImagePart, FilePart, AudioPart, VideoPart)
_MEMBERS_OF_DETAIL: Final[Mapping[str, tuple[str, ...]]] = {
    "reasoning.summary": ("summary",),
    "reasoning.encrypted": ("data",),
    "reasoning.server_tool_call": ("tool_name", "arguments", "result"),
}
"""What a kind of fragment cannot be without."""

_TEXTS_OF_DETAIL: Final = ("id", "format", "signature", "text", "summary", "data", "tool_call_id")


def body(request: ProviderRequest) -> Wire:
    """The JSON of one request."""
    built = shared_members(request, CHAT_FIELDS)
    built["messages"] = _messages(request, automatic="cache_control" in built)
    if request.tools:
        built["tools"] = [_tool(tool) for tool in request.tools]
    if request.tool_choice is not None:
        choice = _tool_choice(request.tool_choice)
        if choice is not None:
            built["tool_choice"] = choice
    if request.max_output_tokens is not None:
        built["max_completion_tokens"] = request.max_output_tokens
    if request.output_format is not None:
        built["response_format"] = _format(request.output_format)
    if request.verbosity:
        built["verbosity"] = request.verbosity
    add_reasoning(built, request.reasoning)
    if "include_reasoning" in built or "reasoning" in built:
        built.pop("reasoning_effort", None)  # the same wish twice is refused where the two differ
    return built


@define
class _Assistant:
    """An assistant message in the making."""

    texts: list[str] = field(factory=list)
    refusals: list[str] = field(factory=list)
    calls: list[Wire] = field(factory=list)
    details: list[Wire] = field(factory=list)

    def message(self) -> Wire | None:
        """The message, None if there is nothing in it."""
        rendered: Wire = {"role": "assistant"}
        if len(self.texts) == 1:
            rendered["content"] = self.texts[0]
        elif self.texts:
            rendered["content"] = [{"type": "text", "text": words} for words in self.texts]
        if self.refusals:
            rendered["refusal"] = "\n".join(self.refusals)
        if self.calls:
            rendered["tool_calls"] = self.calls
        if self.details:
            rendered["reasoning_details"] = self.details
        return rendered if len(rendered) > 1 else None


def _messages(request: ProviderRequest, *, automatic: bool) -> list[Wire]:
    messages: list[Wire] = []
    if request.instructions:
        messages.append({"role": "system", "content": request.instructions})
    marked: list[tuple[Wire, TextPart]] = []
    breakpoints = frozenset(request.caching.breakpoints) if request.caching else frozenset()
    wanted: list[Wire] = []
    assistant = _Assistant()
    for position, item in enumerate(request.input):
        if isinstance(item, FunctionOutputItem) or (isinstance(item, MessageItem) and item.role is not Role.ASSISTANT):
            _close(assistant, messages)
            assistant = _Assistant()
        match item:
            case MessageItem(role=Role.ASSISTANT):
                _add_text(assistant, item)
            case MessageItem():
                blocks = [_part(part) for part in item.parts]
                marked += [(b, p) for b, p in zip(blocks, item.parts, strict=True) if isinstance(p, TextPart)]
                if position in breakpoints:
                    wanted += [b for b, p in zip(blocks, item.parts, strict=True) if isinstance(p, TextPart)][-1:]
                messages += _placed(item, blocks)
            case ReasoningItem():
                assistant.details += reasoning_details(item, len(assistant.details))
            case FunctionCallItem():
                function = {"name": item.name, "arguments": item.arguments}
                assistant.calls.append({"id": item.call_id, "type": "function", "function": function})
            case FunctionOutputItem():
                messages.append({"role": "tool", "tool_call_id": item.call_id, "content": _output(item)})
            case _:
                continue  # images and server tools are not sent back, unknown items have no place here
    _close(assistant, messages)
    _place_breakpoints(request, marked, wanted, MAX_BREAKPOINTS - automatic)
    for message in messages:
        message_content = message.get("content")
        if message["role"] != "tool" and isinstance(message_content, list):
            message["content"] = _plain(message_content)
    return messages


def _placed(item: MessageItem, blocks: list[Any]) -> list[Wire]:
    """The message of these blocks. Instructions take text alone here, so that the user shows what stands among them."""
    media = [b for b, p in zip(blocks, item.parts, strict=True) if isinstance(p, _MEDIA)]
    if item.role is Role.USER or not media:
        return [{"role": item.role.value, "content": blocks}]
    words = [b for b, p in zip(blocks, item.parts, strict=True) if not isinstance(p, _MEDIA)]
    instructions: list[Wire] = [{"role": item.role.value, "content": words}] if words else []
    return [*instructions, {"role": "user", "content": media}]


def _close(assistant: _Assistant, messages: list[Wire]) -> None:
    message = assistant.message()
    if message is not None:
        messages.append(message)


def _add_text(assistant: _Assistant, item: MessageItem) -> None:
    words = ""
    for part in item.parts:
        match part:
            case TextPart():
                words += part.text
            case RefusalPart():
                assistant.refusals.append(part.text)
            case OpaquePart(value=Mapping() as value):
                words += text(value.get("text"))
            case _:
                continue
    if words:
        assistant.texts.append(words)


def _place_breakpoints(
    request: ProviderRequest, text_blocks: list[tuple[Wire, TextPart]], wanted: list[Wire], room: int
) -> None:
    """A caller's own breakpoints come first, ours take what room is left."""
    own = [(block, part.cache_control) for block, part in text_blocks if part.cache_control is not None]
    for block, directive in own[-room:]:
        block["cache_control"] = without_nulls(directive)
    if request.caching is None:
        return
    ours = [block for block in wanted if "cache_control" not in block]
    for i in spread(list(range(len(ours))), room - len(own[-room:])):
        ours[i]["cache_control"] = cache_directive(request.caching)


def _plain(blocks: list[Any]) -> Any:
    """A single block of nothing but text is sent as the plain string it is."""
    if len(blocks) == 1 and isinstance(blocks[0], dict) and blocks[0].keys() == {"type", "text"}:
        return blocks[0]["text"]
    return blocks


def _part(part: Part) -> Any:
    match part:
        case TextPart() | RefusalPart():
            return {"type": "text", "text": part.text}
        case ImagePart():
            return {"type": "image_url", "image_url": {"url": part.url, "detail": image_detail(part)}}
        case FilePart():
            data = part.data_url or part.url
            members = (("filename", part.filename), ("file_data", data))
            return {"type": "file", "file": {key: member for key, member in members if member}}
        case AudioPart():
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
        case VideoPart():
            return {"type": "video_url", "video_url": {"url": part.url}}
        case OpaquePart():
            return part.value


def _output(item: FunctionOutputItem) -> Any:
    return item.output if isinstance(item.output, str) else [_part(part) for part in item.output]


def reasoning_details(item: ReasoningItem, start: int = 0) -> list[Wire]:
    """The fragments that stand for a reasoning item; made from its fields, and numbered from ``start``, when it came from
    the other endpoint: fragments of one number would be taken for one."""
    if item.details:
        return [kept for detail in item.details if (kept := _sent_detail(dict(without_nulls(detail)))) is not None]
    common: Wire = {"id": item.id} if item.id else {}
    if item.format in REASONING_FORMATS:
        common["format"] = item.format
    details: list[Wire] = [{"type": "reasoning.summary", "summary": words} for words in item.summary]
    details += [{"type": "reasoning.text", "text": words} for words in item.text]
    if item.signature:
        if not item.text:
            details.append({"type": "reasoning.text"})
        details[-1]["signature"] = item.signature
    if item.encrypted:
        details.append({"type": "reasoning.encrypted", "data": item.encrypted})
    return [{**detail, **common, "index": index} for index, detail in enumerate(details, start)]


def _sent_detail(detail: Wire) -> Wire | None:
    """A fragment without members of a wrong type; None for one that no provider takes. One that it refuses makes every
    later turn of the chat fail."""
    kind = text(detail.get("type"))
    for name in _TEXTS_OF_DETAIL:
        if name in detail and (not isinstance(detail[name], str) or (name == "format" and not detail[name])):
            del detail[name]
    if "index" in detail and type(detail["index"]) is not int:
        del detail["index"]
    needed = _MEMBERS_OF_DETAIL.get(kind, ())
    return detail if kind and all(isinstance(detail.get(name), str) for name in needed) else None


def _tool(tool: ProviderTool) -> Wire:
    if not isinstance(tool, FunctionTool):
        return dict(tool.payload)
    function: Wire = {"name": tool.name, "parameters": tool.parameters or {"type": "object", "properties": {}}}
    if tool.description:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _tool_choice(choice: JsonValue) -> Any:
    """The nested form of a flat choice; a list of allowed tools, which this endpoint lacks, becomes its mode."""
    if not isinstance(choice, Mapping):
        return choice
    kind = choice.get("type")
    if kind == "function" and "function" not in choice:
        return {"type": "function", "function": {"name": choice.get("name")}} if choice.get("name") else None
    if kind == "allowed_tools":
        return "required" if choice.get("mode") == "required" else "auto"
    return without_nulls(choice)


def _format(wanted: OutputFormat) -> Wire:
    if wanted.kind == "grammar":
        return {"type": "grammar", "grammar": wanted.grammar}
    if wanted.kind != "json_schema":
        return {"type": wanted.kind}
    schema: Wire = {"name": wanted.name, "schema": wanted.schema or {}}
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    if wanted.description:
        schema["description"] = wanted.description
    return {"type": "json_schema", "json_schema": schema}
