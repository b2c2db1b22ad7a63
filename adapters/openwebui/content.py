"""The host's messages as `ChatMessage`s. Whatever the body holds, what can be understood is passed on and nothing raises.

Chat-completions blocks and Responses blocks are both read; blocks nobody here knows travel on unchanged. Not here: what
the model accepts, and what the history is made of; those are rules of the domain.
"""

from __future__ import annotations

import json
from typing import Any, Final

from openrouter_pipe.adapters.openwebui.host import mapping, text
from openrouter_pipe.ports.chat import ChatMessage, HostToolCall
from openrouter_pipe.ports.items import (
    AudioPart,
    FilePart,
    ImagePart,
    OpaquePart,
    Part,
    RefusalPart,
    Role,
    TextPart,
    VideoPart,
)

_ROLES: Final = {role.value: role for role in Role}
_TOOL_ROLES: Final = frozenset({"tool", "function"})


def read_messages(value: Any) -> tuple[ChatMessage, ...]:
    """All messages that are messages; empty when there are none."""
    if not isinstance(value, list):
        return ()
    found = (_message(entry) for entry in value if isinstance(entry, dict))
    return tuple(message for message in found if message is not None)


def _message(entry: dict[str, Any]) -> ChatMessage | None:
    name = entry.get("role", "user")
    if name in _TOOL_ROLES:
        call_id = text(entry.get("tool_call_id"))
        return ChatMessage(None, read_parts(entry.get("content")), tool_call_id=call_id) if call_id else None
    role = _ROLES.get(name) if isinstance(name, str) else None
    if role is None:
        return None
    if role is not Role.ASSISTANT:
        return ChatMessage(role, read_parts(entry.get("content")))
    return ChatMessage(
        role,
        read_parts(entry.get("content")),
        tool_calls=_tool_calls(entry.get("tool_calls")),
        reasoning_details=_objects(entry.get("reasoning_details")),
        phase=text(entry.get("phase")) or None,
    )


def read_parts(content: Any) -> tuple[Part, ...]:
    """The parts of one message's content: text, a list of blocks, or anything else that can be read as text."""
    if isinstance(content, str):
        return (TextPart(content),) if content else ()
    if isinstance(content, bool) or content is None:
        return ()
    if isinstance(content, int | float):
        return (TextPart(str(content)),)
    blocks = content if isinstance(content, list) else [content]
    found = (_part(block) for block in blocks)
    return tuple(part for part in found if part is not None)


def _part(block: Any) -> Part | None:
    if isinstance(block, str):
        return TextPart(block) if block else None
    if not isinstance(block, dict):
        return None
    match block.get("type"):
        case "text" | "input_text" | "output_text" if isinstance(block.get("text"), str):
            cache = block.get("cache_control")
            return TextPart(block["text"], cache if isinstance(cache, dict) else None)
        case "text" | "input_text" | "output_text":
            return TextPart(str(block["text"])) if isinstance(block.get("text"), int | float) else None
        case "image_url" | "input_image":
            return _image(block)
        case "input_audio" | "audio":
            return _audio(block)
        case "file" | "input_file":
            return _file(block)
        case "video_url" | "input_video":
            url = _url(block.get("video_url"))
            return VideoPart(url) if url else OpaquePart(block)
        case "refusal" if isinstance(block.get("refusal"), str):
            return RefusalPart(block["refusal"])
        case _:
            return OpaquePart(block)


def _image(block: dict[str, Any]) -> Part:
    source = block.get("image_url")
    url = _url(source)
    if not url:
        return OpaquePart(block)
    detail = text(mapping(source).get("detail")) or text(block.get("detail")) or "auto"
    return ImagePart(url, detail)


def _audio(block: dict[str, Any]) -> Part:
    source = mapping(block.get("input_audio") or block.get("audio"))
    data = text(source.get("data"))
    return AudioPart(data, text(source.get("format"))) if data else OpaquePart(block)


def _file(block: dict[str, Any]) -> Part:
    source = mapping(block.get("file")) or block
    data, address = text(source.get("file_data")), text(source.get("file_url")) or text(source.get("url"))
    if data and not data.startswith("data:"):
        address, data = (data, "") if data.startswith(("http://", "https://")) else (address, data)
    file_id = text(source.get("file_id")) or text(source.get("id"))
    if not (data or address or file_id):
        return OpaquePart(block)
    filename = text(source.get("filename")) or text(source.get("name")) or None
    return FilePart(filename, data_url=data or None, url=address or None, host_id=file_id or None)


def _url(value: Any) -> str:
    return text(value) or text(mapping(value).get("url"))


def _tool_calls(value: Any) -> tuple[HostToolCall, ...]:
    calls: list[HostToolCall] = []
    for entry in _objects(value):
        function = mapping(entry.get("function"))
        arguments = function.get("arguments")
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments if arguments is not None else {}, default=str)
        call_id, name = text(entry.get("id")), text(function.get("name"))
        if call_id and name:
            calls.append(HostToolCall(call_id, name, arguments))
    return tuple(calls)


def _objects(value: Any) -> tuple[dict[str, Any], ...]:
    return tuple(entry for entry in value if isinstance(entry, dict)) if isinstance(value, list) else ()
