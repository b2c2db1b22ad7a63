"""Files that the host names beside the messages, as parts of the latest one. Not here: whether a model takes them.

The host puts the text of documents and recordings into the messages itself. What it leaves alone is sent as it is: images and
videos, what it tried and failed to read, and everything where the model's settings say that it shall not do so.
"""

from __future__ import annotations

from typing import Any, Final

from attrs import evolve

from openrouter_pipe.adapters.openwebui.host import mapping, text
from openrouter_pipe.ports.chat import ChatMessage
from openrouter_pipe.ports.items import FilePart, Role

_NEVER_READ_BY_HOST: Final = ("image/", "video/")


def with_attached(messages: tuple[ChatMessage, ...], metadata: dict[str, Any]) -> tuple[ChatMessage, ...]:
    """The messages with those files behind the parts of the last user message."""
    last = max((at for at, message in enumerate(messages) if message.role is Role.USER), default=-1)
    found = attached(metadata)
    if last < 0 or not found:
        return messages
    named = {part.host_id for part in messages[last].parts if isinstance(part, FilePart)}
    added = tuple(part for part in found if part.host_id not in named)
    return (*messages[:last], evolve(messages[last], parts=(*messages[last].parts, *added)), *messages[last + 1 :])


def attached(metadata: dict[str, Any]) -> tuple[FilePart, ...]:
    """The files of a call that the host does not read itself, each once."""
    entries = metadata.get("files")
    model = mapping(mapping(mapping(metadata.get("model")).get("info")).get("meta"))
    host_reads = mapping(model.get("capabilities")).get("file_context") is not False
    found: dict[str, FilePart] = {}
    for entry in entries if isinstance(entries, list) else ():
        members = mapping(entry)
        file = mapping(members.get("file"))
        file_id = text(members.get("id")) or text(file.get("id"))
        if text(members.get("type")) not in {"file", "image", "video", "audio"} or not file_id:
            continue
        meta = mapping(file.get("meta"))
        content_type = text(members.get("content_type")) or text(meta.get("content_type"))
        if host_reads and not content_type.startswith(_NEVER_READ_BY_HOST) and not _unreadable(file):
            continue
        name = text(members.get("name")) or text(meta.get("name")) or text(file.get("filename"))
        found.setdefault(file_id, FilePart(name or None, host_id=file_id))
    return tuple(found.values())


def _unreadable(file: dict[str, Any]) -> bool:
    """Whether the host has tried to take the text out of it and has none (a scan, or a recording without a transcriber)."""
    data = mapping(file.get("data"))
    failed = data.get("status") == "failed" or bool(text(file.get("error")))
    return failed and not text(data.get("content"))
