"""The host's messages as `ChatMessage`s. Whatever the body holds, what can be understood is passed on and nothing raises.

Chat-completions blocks and Responses blocks are both read; blocks nobody here knows travel on unchanged. An image, sound,
file or video without content is an empty attachment: the user hears that it was not sent, instead of the provider refusing
the whole chat. Not here: what the model accepts, and what the history is made of; those are rules of the domain.
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
    if not isinstance(name, str):
        return None
    name = name.strip().lower()
    if name in _TOOL_ROLES:
        call_id = text(entry.get("tool_call_id"))
        return ChatMessage(None, read_parts(entry.get("content")), tool_call_id=call_id) if call_id else None
    role = _ROLES.get(name)
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
            return TextPart(block["text"], _breakpoint(block))
        case "text" | "input_text" | "output_text":
            return TextPart(str(block["text"])) if isinstance(block.get("text"), int | float) else None
        case "image_url" | "input_image" | "image":
            return _image(block)
        case "input_audio" | "audio" | "audio_url":
            return _audio(block)
        case "file" | "input_file" | "file_url":
            return _file(block)
        case "video_url" | "input_video" | "video":
            source = block.get("video_url") or block.get("video") or block.get("input_video") or block
            url = _url(source) or _held(mapping(source), "video/mp4") or _file_id(mapping(source))
            return VideoPart(url)
        case "refusal":
            return RefusalPart(block["refusal"]) if isinstance(block.get("refusal"), str) else None
        case str():
            return OpaquePart(block)
        case _:
            return _plain(block)


def _breakpoint(block: dict[str, Any]) -> dict[str, Any] | None:
    """A caller's cache breakpoint in either interface's spelling, None where it is none that a provider takes: the whole
    request would be refused."""
    cache = block.get("cache_control")
    if cache is None and mapping(block.get("prompt_cache_breakpoint")).get("mode") == "explicit":
        return {"type": "ephemeral"}
    if not isinstance(cache, dict) or cache.get("type") != "ephemeral":
        return None
    ttl = cache.get("ttl")
    return {"type": "ephemeral", "ttl": ttl} if ttl in ("5m", "1h") else {"type": "ephemeral"}


def _plain(block: dict[str, Any]) -> Part | None:
    """An object without a type is no block of any interface, so it is told as text: a tool may answer with one."""
    try:
        return TextPart(json.dumps(block, ensure_ascii=False))
    except (TypeError, ValueError, RecursionError):
        return None


def _image(block: dict[str, Any]) -> Part:
    source = block.get("image_url") or block.get("image") or block.get("source") or block
    url = _url(source) or _held(mapping(source), "image/png") or _file_id(mapping(source)) or _file_id(block)
    detail = text(mapping(source).get("detail")) or text(block.get("detail")) or "auto"
    return ImagePart(url, detail)


def _audio(block: dict[str, Any]) -> Part:
    source = block.get("input_audio") or block.get("audio") or block.get("audio_url") or block
    members = mapping(source)
    data, form = text(members.get("data")), text(members.get("format"))
    if data and not data.startswith("data:"):
        return AudioPart(data, form or text(members.get("media_type")).rpartition("/")[2])
    address = data or _url(source)
    if address.startswith(("data:", "http://", "https://")):
        return AudioPart(address, form)
    file_id = _file_id(members)
    if not (address or file_id):
        return AudioPart("", form)
    if isinstance(source, str) and not address.startswith("/"):
        return AudioPart(address, form)
    return FilePart(_filename(members), url=address or None, host_id=None if address else file_id)


def _file(block: dict[str, Any]) -> Part:
    source = block.get("file") or block.get("input_file") or block.get("file_url") or block
    members = {**block, "url": source, "file_url": None} if isinstance(source, str) else mapping(source)
    data, address = text(members.get("file_data")), _url(members.get("file_url")) or text(members.get("url"))
    if address.startswith("data:"):
        data, address = data or address, ""
    if data.startswith(("http://", "https://")):
        address, data = data, ""
    if data.startswith(("data:image/", "data:audio/", "data:video/")):
        return _medium(data)
    file_id = _file_id(members)
    return FilePart(_filename(members), data_url=data or None, url=address or None, host_id=file_id or None)


def _medium(url: str) -> Part:
    """An image, sound or video that came as a file: models take it as what it is."""
    if url.startswith("data:image/"):
        return ImagePart(url)
    return AudioPart(url, "") if url.startswith("data:audio/") else VideoPart(url)


def _filename(members: dict[str, Any]) -> str | None:
    return text(members.get("filename")) or text(members.get("name")) or None


def _file_id(members: dict[str, Any]) -> str:
    return text(members.get("file_id")) or text(members.get("id"))


def _held(members: dict[str, Any], usual: str) -> str:
    """The data URL of base64 that stands beside its type."""
    data = text(members.get("data"))
    if not data or data.startswith("data:"):
        return data
    return f"data:{text(members.get('media_type')) or text(members.get('mime_type')) or usual};base64,{data}"


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
