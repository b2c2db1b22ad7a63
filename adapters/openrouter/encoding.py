"""Items to the JSON of the responses endpoint: the stored form, and the stricter form that may be sent.

The stored form is the payload itself wherever there is one. The sent form is cleaned so that the published schema takes
it, because one item that it refuses makes every later turn of a chat fail: ids and summaries are completed, nulls and
members of our own (`DETAILS_KEY`) stay behind, kinds that the provider must not see again are left out.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from openrouter_pipe.adapters.openrouter.decoding import DETAILS_KEY
from openrouter_pipe.adapters.openrouter.wirejson import Wire, dumps, listing, mapping, text, without_nulls
from openrouter_pipe.ports.items import (
    AudioPart,
    Citation,
    FilePart,
    FunctionCallItem,
    FunctionOutputItem,
    ImageItem,
    ImagePart,
    InputItem,
    MessageItem,
    OpaqueItem,
    OpaquePart,
    Part,
    ReasoningItem,
    RefusalPart,
    Role,
    ServerToolItem,
    TextPart,
    VideoPart,
)

_SENDABLE_OPAQUE: Final = frozenset(
    {
        "custom_tool_call",
        "custom_tool_call_output",
        "apply_patch_call",
        "apply_patch_call_output",
        "shell_call",
        "shell_call_output",
        "mcp_approval_request",
        "mcp_approval_response",
        "compaction",
        "context_compaction",
    }
)
REASONING_FORMATS: Final = frozenset(
    {
        "unknown",
        "openai-responses-v1",
        "azure-openai-responses-v1",
        "bedrock-openai-responses-v1",
        "bedrock-xai-responses-v1",
        "xai-responses-v1",
        "meta-responses-v1",
        "anthropic-claude-v1",
        "google-gemini-v1",
    }
)
"""Formats of reasoning that the schema names; any other costs the whole request."""

_STATUSES: Final = frozenset({"in_progress", "completed", "incomplete"})
_AUDIO_FORMATS: Final = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav"}
_DETAILS: Final = frozenset({"auto", "low", "high", "original"})


def stored_form(item: InputItem) -> Wire:
    """The item's JSON as stores keep it; equals the payload wherever that is present."""
    if item.payload:
        return dict(item.payload)
    match item:
        case MessageItem():
            return _message(item)
        case ReasoningItem():
            encoded = _reasoning(item)
            if item.details:
                encoded[DETAILS_KEY] = [dict(detail) for detail in item.details]
            return encoded
        case FunctionCallItem():
            return _call(item)
        case FunctionOutputItem():
            return _output(item)
        case ImageItem():
            return _with_id({"type": "image_generation_call", "status": item.status, "result": item.url}, item.id, "ig")
        case ServerToolItem():
            return _with_id({"type": f"openrouter:{item.kind}", "status": item.status}, item.id, "st")
        case OpaqueItem():
            return {"type": item.kind}


def sent_form(item: InputItem) -> Wire | None:
    """The item's JSON as the responses endpoint takes it; None for what must not be sent."""
    match item:
        case MessageItem(role=Role.ASSISTANT):
            return _replayed_message(item) if item.payload else _message(item)
        case MessageItem():
            return _message(item)
        case ReasoningItem():
            return _replayed_reasoning(item) if item.payload else _reasoning(item)
        case FunctionCallItem():
            return _replayed_call(item)
        case FunctionOutputItem():
            return _output(item)
        case OpaqueItem(kind=kind) if kind in _SENDABLE_OPAQUE and item.payload:
            return dict(without_nulls(item.payload))
        case _:
            return None


def sent_forms(item: InputItem) -> list[Wire]:
    """`sent_form`; none for what must not be sent, several for reasoning of chat completions that holds several proofs."""
    if isinstance(item, ReasoningItem) and len(blocks := _proven_blocks(item)) > 1:
        return [_reasoning(block) for block in blocks]
    sent = sent_form(item)
    return [] if sent is None else [sent]


def content_part(part: Part) -> Any:
    """One part of a user, system or developer message."""
    match part:
        case TextPart():
            return {"type": "input_text", "text": part.text}
        case ImagePart():
            return {"type": "input_image", "detail": image_detail(part), "image_url": part.url}
        case FilePart():
            block: Wire = {"type": "input_file"}
            for key, member in (("filename", part.filename), ("file_data", part.data_url), ("file_url", part.url)):
                if member:
                    block[key] = member
            return block
        case AudioPart():
            audio_format = _AUDIO_FORMATS.get(part.format.lower(), part.format)
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": audio_format}}
        case VideoPart():
            return {"type": "input_video", "video_url": part.url}
        case RefusalPart():
            return {"type": "input_text", "text": part.text}
        case OpaquePart():
            return part.value


def image_detail(part: ImagePart) -> str:
    """The detail to ask for; what is not documented becomes auto."""
    return part.detail if part.detail in _DETAILS else "auto"


def made_id(prefix: str, content: object) -> str:
    """An id for an item that came without one: the same content always gives the same id, so that a repeated request
    has the same bytes (prompt caches compare them)."""
    digest = hashlib.sha256(dumps(content)).hexdigest()
    return f"{prefix}_tmp_{digest[:20]}"


def _with_id(body: Wire, item_id: str | None, prefix: str) -> Wire:
    body["id"] = item_id or made_id(prefix, body)
    return body


def _status(status: object) -> str:
    return status if isinstance(status, str) and status in _STATUSES else "completed"


def _message(item: MessageItem) -> Wire:
    if item.role is not Role.ASSISTANT:
        return {"type": "message", "role": item.role.value, "content": [content_part(part) for part in item.parts]}
    content = [_output_part(part) for part in item.parts]
    if item.citations and content and content[0].get("type") == "output_text":
        content[0]["annotations"] = [annotation(citation) for citation in item.citations]
    body: Wire = {
        "type": "message",
        "role": "assistant",
        "status": _status(item.status),
        "content": content,
    }
    if item.phase in {"commentary", "final_answer"}:
        body["phase"] = item.phase
    return _with_id(body, item.id, "msg")


def annotation(citation: Citation) -> Wire:
    """The flat annotation of a citation."""
    flat: Wire = {
        "type": "url_citation",
        "url": citation.url,
        "title": citation.title,
        "start_index": citation.start,
        "end_index": citation.end,
    }
    if citation.content:
        flat["content"] = citation.content
    return flat


def _output_part(part: Part) -> Wire:
    match part:
        case TextPart():
            return {"type": "output_text", "text": part.text, "annotations": []}
        case RefusalPart():
            return {"type": "refusal", "refusal": part.text}
        case OpaquePart():
            return mapping(part.value) or {"type": "output_text", "text": "", "annotations": []}
        case ImagePart(url=url) | VideoPart(url=url) if not url.startswith("data:"):
            # An assistant message has no media parts; an address can at least be read.
            return {"type": "output_text", "text": url, "annotations": []}
        case _:
            return {"type": "output_text", "text": "", "annotations": []}


def _replayed_message(item: MessageItem) -> Wire:
    payload = without_nulls(item.payload)
    body: Wire = {key: payload[key] for key in ("type", "role", "content", "phase") if key in payload}
    body["type"] = "message"
    body["status"] = _status(payload.get("status"))
    content = body.get("content")
    if isinstance(content, list):
        body["content"] = [kept for block in content if (kept := _replayed_part(block)) is not None]
    elif not isinstance(content, str):
        body["content"] = []
    if text(body.get("phase")) not in {"commentary", "final_answer"}:
        body.pop("phase", None)
    return _with_id(body, item.id, "msg")


def _replayed_part(block: object) -> Wire | None:
    members = mapping(block)
    match members.get("type"):
        case "output_text" if isinstance(members.get("text"), str):
            annotations = [
                known for known in listing(members.get("annotations")) if _annotation_complete(mapping(known))
            ]
            return {"type": "output_text", "text": members["text"], "annotations": annotations}
        case "refusal" if isinstance(members.get("refusal"), str):
            return {"type": "refusal", "refusal": members["refusal"]}
    return None


def _annotation_complete(known: Wire) -> bool:
    match known.get("type"):
        case "url_citation":
            return {"url", "title", "start_index", "end_index"} <= known.keys()
        case "file_citation":
            return {"file_id", "filename", "index"} <= known.keys()
        case "file_path":
            return {"file_id", "index"} <= known.keys()
    return False


def _reasoning(item: ReasoningItem) -> Wire:
    body: Wire = {"type": "reasoning", "summary": [{"type": "summary_text", "text": line} for line in item.summary]}
    if item.text:
        body["content"] = [{"type": "reasoning_text", "text": line} for line in item.text]
    if item.encrypted:
        body["encrypted_content"] = item.encrypted
    if item.signature:
        body["signature"] = item.signature
    if item.format in REASONING_FORMATS:
        body["format"] = item.format
    return _with_id(body, item.id, "rs")


def _proven_blocks(item: ReasoningItem) -> list[ReasoningItem]:
    """The blocks of a run whose proofs are each its own: an item has room for one, and without theirs others are refused."""
    groups: list[list[Wire]] = []
    for fragment in (dict(detail) for detail in item.details):
        if groups and _continues(groups[-1], fragment):
            groups[-1].append(fragment)
        else:
            groups.append([fragment])
    if sum(any(map(_proofs, group)) for group in groups) < 2:
        return []
    return [_block(item.id if number == 0 else None, group) for number, group in enumerate(groups)]


def _continues(group: list[Wire], fragment: Wire) -> bool:
    """Whether a fragment is of the block before it: that has no proof yet, or both say that they are one."""
    taken = {kind for known in group for kind in _proofs(known)}
    ids = {known for one in (*group, fragment) if (known := text(one.get("id")))}
    if len(ids) > 1 or taken & _proofs(fragment):
        return False
    if (
        not taken
        or fragment.get("index") == group[-1].get("index")
        or all(text(o.get("id")) for o in (*group, fragment))
    ):
        return True
    return not (_proofs(fragment) or text(fragment.get("text")) or text(fragment.get("summary")))


def _proofs(fragment: Wire) -> set[str]:
    return {kind for kind in ("signature", "data") if text(fragment.get(kind)).strip()}


def _block(item_id: str | None, group: list[Wire]) -> ReasoningItem:
    def texts(key: str) -> tuple[str, ...]:
        return tuple(words for fragment in group if (words := text(fragment.get(key))))

    return ReasoningItem(
        item_id,
        summary=texts("summary"),
        text=texts("text"),
        encrypted=next(iter(texts("data")), None),
        signature=next(iter(texts("signature")), None),
        format=next(iter(texts("format")), None),
    )


def _replayed_reasoning(item: ReasoningItem) -> Wire:
    body: Wire = dict(without_nulls(item.payload))
    body.pop(DETAILS_KEY, None)
    if not _all_typed(body.get("summary"), "summary_text"):
        body["summary"] = [{"type": "summary_text", "text": line} for line in item.summary]
    if "content" in body and not _all_typed(body["content"], "reasoning_text"):
        body["content"] = [{"type": "reasoning_text", "text": line} for line in item.text]
    if text(body.get("format")) not in REASONING_FORMATS:
        body.pop("format", None)
    for key in ("signature", "encrypted_content"):
        # A blank or odd proof is worse than none: upstream refuses it.
        if not text(body.get(key)):
            body.pop(key, None)
    if "status" in body:
        body["status"] = _status(body["status"])
    return body if text(body.get("id")) else _with_id({**body, "id": None}, item.id, "rs")


def _all_typed(blocks: object, block_type: str) -> bool:
    return isinstance(blocks, list) and all(
        mapping(block).get("type") == block_type and isinstance(mapping(block).get("text"), str) for block in blocks
    )


def _call(item: FunctionCallItem) -> Wire:
    body: Wire = {
        "type": "function_call",
        "call_id": item.call_id,
        "name": item.name,
        "arguments": item.arguments,
        "status": _status(item.status),
    }
    return _with_id(body, item.id, "fc")


def _replayed_call(item: FunctionCallItem) -> Wire:
    # The typed fields win over the payload: the core completes or repairs calls through them.
    kept = {
        key: member
        for key, member in without_nulls(item.payload).items()
        if key in {"namespace", "subagent_id", "subagent_items"}
    }
    return {**_call(item), **kept}


def _output(item: FunctionOutputItem) -> Wire:
    output: Any = item.output
    if not isinstance(output, str):
        output = [content_part(part) for part in output if not isinstance(part, AudioPart | VideoPart)]
    body: Wire = {"type": "function_call_output", "call_id": item.call_id, "output": output}
    if item.id:
        body["id"] = item.id
    if item.status in _STATUSES:
        body["status"] = item.status
    return body
