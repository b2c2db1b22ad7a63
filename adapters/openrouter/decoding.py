"""Output items of the responses endpoint: JSON to values.

Reading is lenient about members (what is missing or odd is left out) and strict about identity: without a type, or a call
without name and call id, there is no item. The JSON itself always stays whole in ``payload``.
"""

from __future__ import annotations

from typing import Any, Final

from openrouter_pipe.adapters.openrouter.wirejson import (
    Wire,
    arguments_text,
    listing,
    mapping,
    text,
    text_or_none,
    whole,
)
from openrouter_pipe.ports.items import (
    AudioPart,
    Citation,
    FilePart,
    FunctionCallItem,
    FunctionOutputItem,
    ImageItem,
    ImagePart,
    InputItem,
    ItemKind,
    MessageItem,
    OpaqueItem,
    OpaquePart,
    OutputItem,
    Part,
    ReasoningItem,
    RefusalPart,
    Role,
    ServerToolItem,
    TextPart,
    VideoPart,
)

IMAGE_TYPES: Final = frozenset({"image_generation_call", "openrouter:image_generation"})
"""Types of items that are images made by the model or by a tool of the provider."""

SERVER_TOOL_TYPES: Final = frozenset(
    {
        "web_search_call",
        "file_search_call",
        "code_interpreter_call",
        "local_shell_call",
        "mcp_call",
        "mcp_list_tools",
        "fusion_call",
    }
)
"""Types of items, beside every ``openrouter:…``, that are tools which the provider ran itself."""

DETAILS_KEY: Final = "reasoning_details"
"""Member of a stored reasoning item that holds its chat-completions twin; never sent to the responses endpoint."""


def tool_kind(item_type: str) -> str:
    """The plain name of a server tool: web_search for both ``web_search_call`` and ``openrouter:web_search``."""
    return item_type.removeprefix("openrouter:").removesuffix("_call")


def kind_of(item: OutputItem) -> ItemKind:
    """The kind by which the core tells items apart."""
    match item:
        case MessageItem():
            return ItemKind.MESSAGE
        case ReasoningItem():
            return ItemKind.REASONING
        case FunctionCallItem():
            return ItemKind.FUNCTION_CALL
        case ImageItem():
            return ItemKind.IMAGE
        case ServerToolItem():
            return ItemKind.SERVER_TOOL
        case OpaqueItem():
            return ItemKind.OPAQUE


def output_item(payload: object) -> OutputItem:
    """Read one item of an answer; raises `ValueError` if it is none."""
    item = input_item(payload)
    if isinstance(item, FunctionOutputItem):
        raise ValueError("a function_call_output cannot come from the model")  # noqa: TRY004 - the value is wrong
    return item


def input_item(payload: object) -> InputItem:
    """Read one item of either direction; an unknown type becomes `OpaqueItem`; raises `ValueError` if it is none."""
    if not isinstance(payload, dict):
        raise ValueError(f"an item must be a JSON object, not {type(payload).__name__}")  # noqa: TRY004
    item_type = payload.get("type") or ("message" if "role" in payload else None)
    if not isinstance(item_type, str):
        raise ValueError("an item must name its type")  # noqa: TRY004
    match item_type:
        case "message":
            return _message(payload)
        case "reasoning":
            return _reasoning(payload)
        case "function_call":
            return _function_call(payload)
        case "function_call_output":
            return _function_output(payload)
    if item_type in IMAGE_TYPES:
        return _image(payload)
    if item_type in SERVER_TOOL_TYPES or item_type.startswith("openrouter:"):
        return _server_tool(item_type, payload)
    return OpaqueItem(kind=item_type, payload=payload)


def citation(annotation: object) -> Citation | None:
    """A citation from an annotation, flat (responses) or nested (chat); None if it names no address."""
    members = mapping(annotation)
    if members.get("type") != "url_citation":
        return None
    members = mapping(members.get("url_citation")) or members
    url = text(members.get("url"))
    if not url:
        return None
    return Citation(
        url=url,
        title=text(members.get("title")),
        content=text(members.get("content")),
        start=max(0, whole(members.get("start_index")) or 0),
        end=max(0, whole(members.get("end_index")) or 0),
    )


def _status(payload: Wire) -> str:
    return text(payload.get("status")) or "completed"


def _message(payload: Wire) -> MessageItem:
    try:
        role = Role(text(payload.get("role")) or "assistant")
    except ValueError:
        raise ValueError("a message must have the role system, developer, user or assistant") from None
    content = payload.get("content")
    blocks = [{"type": "output_text", "text": content}] if isinstance(content, str) else listing(content)
    citations = [
        found
        for block in blocks
        for annotation in listing(mapping(block).get("annotations"))
        if (found := citation(annotation)) is not None
    ]
    return MessageItem(
        role=role,
        parts=tuple(_part(block) for block in blocks),
        id=text_or_none(payload.get("id")),
        phase=text_or_none(payload.get("phase")),
        status=_status(payload),
        citations=tuple(citations),
        payload=payload,
    )


def _part(block: Any) -> Part:
    members = mapping(block)
    match members.get("type"):
        case "output_text" | "input_text" | "text" if isinstance(members.get("text"), str):
            return TextPart(members["text"], cache_control=mapping(members.get("cache_control")) or None)
        case "refusal" if isinstance(members.get("refusal"), str):
            return RefusalPart(members["refusal"])
        case "input_image" if text(members.get("image_url")):
            return ImagePart(url=members["image_url"], detail=text(members.get("detail")) or "auto")
        case "input_file" if "file_id" not in members:
            return FilePart(
                filename=text_or_none(members.get("filename")),
                data_url=text_or_none(members.get("file_data")),
                url=text_or_none(members.get("file_url")),
            )
        case "input_audio" if text(mapping(members.get("input_audio")).get("data")):
            audio = members["input_audio"]
            return AudioPart(data=audio["data"], format=text(audio.get("format")))
        case "input_video" if text(members.get("video_url")):
            return VideoPart(url=members["video_url"])
    return OpaquePart(block)


def _reasoning(payload: Wire) -> ReasoningItem:
    return ReasoningItem(
        id=text_or_none(payload.get("id")),
        summary=_texts(payload.get("summary")),
        text=_texts(payload.get("content")),
        encrypted=text_or_none(payload.get("encrypted_content")),
        signature=text_or_none(payload.get("signature")),
        format=text_or_none(payload.get("format")),
        details=tuple(detail for detail in listing(payload.get(DETAILS_KEY)) if isinstance(detail, dict)),
        payload=payload,
    )


def _texts(blocks: object) -> tuple[str, ...]:
    # Older samples have bare strings where objects are documented.
    return tuple(block if isinstance(block, str) else text(mapping(block).get("text")) for block in listing(blocks))


def _function_call(payload: Wire) -> FunctionCallItem:
    call_id, name = text(payload.get("call_id")), text(payload.get("name"))
    if not call_id or not name:
        raise ValueError("a function_call must have call_id and name")
    arguments = arguments_text(payload.get("arguments"))
    if payload.get("arguments") != arguments:
        payload = {**payload, "arguments": arguments}  # no provider takes it back in another form
    return FunctionCallItem(
        call_id=call_id,
        name=name,
        arguments=arguments,
        id=text_or_none(payload.get("id")),
        status=_status(payload),
        payload=payload,
    )


def _function_output(payload: Wire) -> FunctionOutputItem:
    call_id = text(payload.get("call_id"))
    if not call_id:
        raise ValueError("a function_call_output must have call_id")
    output = payload.get("output")
    if not isinstance(output, str | list):
        raise ValueError("a function_call_output must have text or parts as output")  # noqa: TRY004
    return FunctionOutputItem(
        call_id=call_id,
        output=output if isinstance(output, str) else tuple(_part(block) for block in output),
        id=text_or_none(payload.get("id")),
        status=_status(payload),
        payload=payload,
    )


def _image(payload: Wire) -> ImageItem:
    url = text(payload.get("result")) or text(payload.get("imageUrl")) or text(payload.get("imageB64"))
    if url and not url.startswith(("data:", "http://", "https://", "/")):
        url = f"data:image/png;base64,{url}"
    return ImageItem(id=text_or_none(payload.get("id")), url=url or None, status=_status(payload), payload=payload)


def _server_tool(item_type: str, payload: Wire) -> ServerToolItem:
    action = mapping(payload.get("action"))
    sources = [
        Citation(url=url) for source in listing(action.get("sources")) if (url := text(mapping(source).get("url")))
    ]
    if not sources and (url := text(payload.get("url"))):
        sources = [Citation(url=url, title=text(payload.get("title")))]
    return ServerToolItem(
        kind=tool_kind(item_type),
        id=text_or_none(payload.get("id")),
        status=_status(payload),
        query=text(action.get("query")) or text(payload.get("query")) or text(action.get("url")),
        sources=tuple(sources),
        payload=payload,
    )
