"""One call of the host as a `ChatRequest`: who asks, where the answer goes, what is asked. Nothing raises on odd input.

``__user__`` and ``__metadata__`` hold personal data and live objects; they are read here and never logged or kept.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Any, Final

from attrs import field, frozen

from openrouter_pipe.adapters.openwebui.attached import with_attached
from openrouter_pipe.adapters.openwebui.companions import SEARCH_FLAG
from openrouter_pipe.adapters.openwebui.content import read_messages
from openrouter_pipe.adapters.openwebui.history_text import HistoryText
from openrouter_pipe.adapters.openwebui.host import Host, mapping, text
from openrouter_pipe.adapters.openwebui.toolbox_entries import provider_tools
from openrouter_pipe.ports.artifacts import MARKER_END
from openrouter_pipe.ports.chat import ChatRequest, Identity, Task
from openrouter_pipe.ports.files import FileStore
from openrouter_pipe.ports.settings import Settings
from openrouter_pipe.ports.tools import Toolbox

_NOT_PARAMETERS: Final = frozenset({"model", "messages", "stream", "metadata", "extra_tools", SEARCH_FLAG})
_UNSAVED_CHATS: Final = ("local", "temporary:", "channel:")
_NOTICE_AT_THE_END: Final = re.compile(r"(?:\A|\n)(?:\*[^*\n]+\*|- (?:Error ID|Time|Session|User): [^\n]+)\Z")
"""The last line of what we say in answers as delivered: why one ended early, and the foot of an error."""

_LONGEST_LINE: Final = 500
"""Characters of a last line that are looked at."""

MIXTURE_OF_AGENTS: Final = "moa_response_generation"
"""The one task of the host whose result is an answer to read, streamed like any other."""


@frozen
class HostCall:
    """What the host injected, as given. Anything may be missing or of a type nobody expects."""

    body: Any = field(repr=False)
    user: Any = field(default=None, repr=False)
    metadata: Any = field(default=None, repr=False)
    task: Any = None
    emitter: Any = field(default=None, repr=False)
    request: Any = field(default=None, repr=False)
    toolbox: Toolbox | None = None


class Surface(Enum):
    """Where an answer is shown."""

    NATIVE = "native"  # a chat of a host that keeps Responses items
    CHAT = "chat"  # a chat of a host that keeps text
    API = "api"  # a program


def surface(call: HostCall, host: Host) -> Surface:
    """Who reads the stream: the host's own middleware (it needs a chat and a message), or the caller itself."""
    identity = read_identity(call)
    if not (identity.chat_id and identity.message_id):
        return Surface.API
    if host.native_items:
        return Surface.NATIVE
    return Surface.CHAT if identity.session_id else Surface.API


def read_identity(call: HostCall) -> Identity:
    """Ids, names and role, empty where unknown."""
    user, metadata = mapping(call.user), mapping(call.metadata)
    return Identity(
        user_id=text(user.get("id")) or text(metadata.get("user_id")),
        session_id=text(metadata.get("session_id")),
        chat_id=text(metadata.get("chat_id")),
        message_id=text(metadata.get("message_id")),
        email=text(user.get("email")),
        name=text(user.get("name")),
        role=text(user.get("role")),
    )


def read_task(value: Any) -> Task | None:
    """The host's background task: a word on every version, an object with the word in it on some."""
    if value is None or value is False or value == "":
        return None
    if isinstance(value, Enum):
        value = value.value
    for key in ("type", "name", "task", "kind"):
        named = mapping(value).get(key) or (None if isinstance(value, str) else getattr(value, key, None))
        if isinstance(named, str) and named:
            value = named
            break
    return Task(value if isinstance(value, str) else "task")


def saved_chat(chat_id: str) -> bool:
    """Whether the host keeps this chat; temporary ones and channels leave nothing behind."""
    return bool(chat_id) and not chat_id.startswith(_UNSAVED_CHATS)


def follows_block(call: HostCall) -> bool:
    """Whether the answer goes on behind one that ends in a line of ours, a marker or a notice: the user pressed "continue"."""
    messages = mapping(call.body).get("messages")
    last = mapping(messages[-1]) if isinstance(messages, list) and messages else {}
    if last.get("role") != "assistant":
        return False
    content = last.get("content")
    if isinstance(content, list) and content:
        content = mapping(content[-1]).get("text")
    end = text(content).rstrip()
    return end.endswith(MARKER_END) or bool(_NOTICE_AT_THE_END.search(end, max(0, len(end) - _LONGEST_LINE)))


def wants_stream(call: HostCall) -> bool:
    """Whether the host iterates the answer."""
    return bool(mapping(call.body).get("stream"))


def requested_model(call: HostCall) -> str:
    """The model as the host names it."""
    return text(mapping(call.body).get("model"))


def model_prefix(model: str, function: str) -> str:
    """The part of a model id by which the host finds this function, without its dot, in any case; empty without it."""
    head, dot, _ = model.partition(".")
    return head if dot and function and head.lower() == function.lower() else ""


def read_request(
    call: HostCall,
    settings: Settings,
    request_id: str,
    *,
    host_prefix: str = "",
    files: FileStore | None = None,
) -> ChatRequest:
    """The turn that this call asks for."""
    body = mapping(call.body)
    identity = read_identity(call)
    task = read_task(call.task)
    return ChatRequest(
        model=requested_model(call),
        messages=read_messages(body.get("messages"))
        if task
        else with_attached(read_messages(body.get("messages")), mapping(call.metadata)),
        settings=settings,
        request_id=request_id,
        parameters=_parameters(body),
        stream=wants_stream(call),
        identity=identity,
        persistent=task is None and bool(identity.message_id) and saved_chat(identity.chat_id),
        task=task,
        files=files,
        toolbox=call.toolbox,
        host_prefix=host_prefix,
        web_search=wants_search(call) if task is None else None,
        records=HistoryText(),
    )


def wants_search(call: HostCall) -> bool | None:
    """Whether the message asks for a search: by our switch, or by the host's own; None where neither does."""
    features = mapping(mapping(call.metadata).get("features"))
    return True if mapping(call.body).get(SEARCH_FLAG) is True or features.get("web_search") is True else None


def _parameters(body: dict[str, Any]) -> dict[str, Any]:
    """Everything else, unread; tools of the provider that filters added stand behind the caller's own."""
    parameters = {str(key): value for key, value in body.items() if key not in _NOT_PARAMETERS}
    added = provider_tools(body)
    if added:
        own = parameters.get("tools")
        parameters["tools"] = [*(own if isinstance(own, list | tuple) else ()), *added]
    return parameters
