"""What a tool returned, whatever it is, as text for the model plus files and embeds. Not here: calling the tool.

Newer hosts have a helper that reads results; it is used where there is one. It does not take everything (a generator
becomes its own name, a date inside a dictionary raises), so a result is settled into plain values first and read here if
the helper gives up. Older hosts do this inline and have no helper; `read_result` does what theirs does, and more kinds.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from itertools import islice
from types import AsyncGeneratorType, GeneratorType
from typing import Any, Final

from attrs import field, frozen

from openrouter_pipe.adapters.openwebui.toolbox_calls import in_thread

_SMALL: Final = 64 * 1024  # characters
_ITEM: Final = 16  # characters that one value counts for, whatever it is
_MAX_ITEMS: Final = 10_000
_MAX_CHARS: Final = 1024 * 1024
_IMAGES: Final = {b"\x89PNG\r\n": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif"}
_IMAGE_URL: Final = re.compile(r"data:image/[a-zA-Z0-9.+-]+;base64,[A-Za-z0-9+/]+={0,2}", re.IGNORECASE)
_ERROR_OPENINGS: Final = ("error:", "exception:", "traceback", "http error!")
UNREADABLE: Final = '{"error": "The tool answered, but its result cannot be put into words."}'


@frozen
class Result:
    """``files`` are in the host's shape (type, url or content)."""

    text: str = field(repr=False)
    files: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    embeds: tuple[str, ...] = field(default=(), repr=False)


async def settle(value: Any) -> Any:
    """The value behind awaitables, generators, bytes, models and responses; raises an exception that was returned.

    Generators are read up to 10,000 items or 1 MiB, plain ones in a thread of their own; pieces of text are joined.
    """
    for _ in range(10):
        if not inspect.isawaitable(value):
            break
        value = await value
    match value:
        case Exception():
            raise value
        case BaseException():
            raise RuntimeError(f"the tool returned {type(value).__name__}")
        case AsyncGeneratorType():
            return await _drain_async(value)
        case GeneratorType():
            return await in_thread(partial(_drain, value))
        case bytes() | bytearray() | memoryview():
            return _of_bytes(bytes(value))
    dump = getattr(value, "model_dump", None)
    if callable(dump) and not isinstance(value, type):
        return dump(mode="json")
    if isinstance(body := getattr(value, "body", None), bytes) and not is_html(value):
        return _of_bytes(body)
    return value


def read_result(name: str, value: Any, kind: str, *, pairs: bool, shows_embeds: bool) -> Result:
    """Text, files and embeds of a settled result.

    ``pairs``: the browser answers for a direct tool with data and headers. Without ``shows_embeds`` HTML that is meant to
    be shown goes to the model as text, because the user would see nothing of it.
    """
    embeds: list[str] = []
    files: list[Mapping[str, Any]] = []
    context: Any = None
    if isinstance(value, tuple) and len(value) == 2 and is_html(value[0]):
        value, context = value
    headers: Mapping[str, Any] = {}
    if is_html(value):
        headers, value = _headers(value.headers), value.body.decode("utf-8", "replace")
        headers = {"content-type": "text/html", **headers}
    elif (isinstance(value, tuple) and value) or (kind == "direct" and pairs and _pair(value)):
        headers, value = _headers(value[1] if len(value) > 1 else None), value[0]
    if shows_embeds and "inline" in str(headers.get("content-disposition", "")):
        shown = value if "text/html" in str(headers.get("content-type", "")) else headers.get("location")
        if isinstance(shown, str) and shown:
            embeds.append(shown)
            done = {"status": "success", "code": "ui_component", "message": f"{name}: the result is shown to the user."}
            value = context if isinstance(context, str | dict | list) else done
    if kind == "mcp" and isinstance(value, list):
        value = _of_mcp(value, files)
    if isinstance(value, list):
        value = [item for item in value if not _take_data(item, files)]
    try:
        value = _take_images(value, files)
        text = _text(value)
    except (RecursionError, ValueError, TypeError):
        text = UNREADABLE
    return Result(text, tuple(files), tuple(embeds))


def is_error(text: str) -> bool:
    """Whether a result reads as a failure, by the host's own rule: an opening word, or a JSON object that says so."""
    if text.lstrip()[:20].lower().startswith(_ERROR_OPENINGS):
        return True
    if not text.lstrip().startswith("{"):
        return False
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    if not isinstance(value, dict):
        return False
    error, status = value.get("error"), value.get("status")
    if (isinstance(error, str) and error.strip()) or (isinstance(error, dict | list) and error):
        return True
    if isinstance(status, str) and status.strip().lower() in {"error", "failed"}:
        return True
    return (value.get("success") is False or value.get("ok") is False) and bool(value.get("message"))


def is_small(value: Any) -> bool:
    """Whether reading this result takes too little time to hold up the event loop (64 KiB of it at most)."""
    left, waiting = _SMALL, [value]
    while waiting:
        item = waiting.pop()
        size = len(item) if isinstance(item, str | bytes | Mapping | list | tuple | set | frozenset) else 0
        left -= _ITEM + (size if isinstance(item, str | bytes) else _ITEM * size)
        if left < 0:
            return False
        if isinstance(item, Mapping):
            waiting.extend((*item.keys(), *item.values()))
        elif isinstance(item, list | tuple | set | frozenset):
            waiting.extend(item)
    return True


def is_html(value: Any) -> bool:
    """Whether a tool answered with the web framework's HTML response."""
    html = getattr(sys.modules.get("starlette.responses"), "HTMLResponse", None)
    return isinstance(html, type) and isinstance(value, html)


def whole(text: str) -> str:
    """Text without half characters, which no JSON reader takes."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def plain(value: Any) -> dict[str, Any] | None:
    """A dictionary of JSON values, or None if this is none."""
    try:
        read = json.loads(json.dumps(value, default=str))
    except (ValueError, TypeError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


async def _drain_async(source: AsyncGeneratorType[Any, Any]) -> Any:
    try:
        return _joined([item async for item in _first(source)])
    finally:
        await source.aclose()


async def _first(source: AsyncIterator[Any]) -> AsyncIterator[Any]:
    count = size = 0
    async for item in source:
        yield item
        count, size = count + 1, size + (len(item) if isinstance(item, str) else 0)
        if count >= _MAX_ITEMS or size >= _MAX_CHARS:
            return


def _drain(source: GeneratorType[Any, Any, Any]) -> Any:
    items: list[Any] = []
    size = 0
    try:
        for item in islice(source, _MAX_ITEMS):
            items.append(item)
            size += len(item) if isinstance(item, str) else 0
            if size >= _MAX_CHARS:
                break
    finally:
        source.close()
    return _joined(items)


def _joined(items: list[Any]) -> Any:
    return "".join(items) if items and all(isinstance(item, str) for item in items) else items


def _of_bytes(data: bytes) -> str:
    for opening, kind in _IMAGES.items():
        if data.startswith(opening):
            return f"data:image/{kind};base64,{b64encode(data).decode()}"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return f"data:image/webp;base64,{b64encode(data).decode()}"
    try:
        return data.decode()
    except UnicodeDecodeError:
        return f"[binary data, {len(data)} bytes]"


def _of_mcp(content: list[Any], files: list[Mapping[str, Any]]) -> Any:
    found = [read for item in content if (read := _of_mcp_item(item, files)) is not None]
    return found[0] if len(found) == 1 else found


def _of_mcp_item(item: Any, files: list[Mapping[str, Any]]) -> Any:
    if not isinstance(item, Mapping):
        return item
    match item.get("type"):
        case "text":
            return _parsed(item.get("text"))
        case "image" | "audio" as kind:
            data = item.get("data") or item.get("blob") or ""
            files.append({"type": kind, "url": f"data:{item.get('mimeType')};base64,{data}"})
            return None
        case "resource" if isinstance(resource := item.get("resource"), Mapping):
            mime, blob = str(resource.get("mimeType") or "application/octet-stream"), resource.get("blob")
            if resource.get("text"):
                return _parsed(resource["text"])
            if blob and mime.startswith("image/"):
                files.append({"type": "image", "url": f"data:{mime};base64,{blob}"})
                return None
            uri = resource.get("uri")
            return f"[Resource: {uri}] (binary data, {mime})" if blob else uri
        case _:
            return item


def _parsed(text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return text


def _take_data(item: Any, files: list[Mapping[str, Any]]) -> bool:
    if isinstance(item, str) and item.startswith("data:") and not _IMAGE_URL.fullmatch(item):
        files.append({"type": "data", "content": item})
        return True
    return False


def _take_images(value: Any, files: list[Mapping[str, Any]]) -> Any:
    match value:
        case str() if value.startswith("data:image/") and _IMAGE_URL.fullmatch(value):
            files.append({"type": "image", "url": value})
            return "[image]"
        case Mapping():
            return {key: _take_images(item, files) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_take_images(item, files) for item in value]
        case Iterator():
            return str(value)
        case _:
            return value


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list | bool | int | float):
        return json.dumps(value, indent=2 if isinstance(value, dict | list) else None, ensure_ascii=False, default=str)
    return str(value)


def _headers(value: Any) -> dict[str, Any]:
    try:
        return {str(key).lower(): item for key, item in dict(value or {}).items()}
    except (TypeError, ValueError):
        return {}


def _pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2
