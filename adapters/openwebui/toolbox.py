"""The host's tools of one call, run here: `HostToolbox`. Which tools there are is read in ``toolbox_entries.py``, what
they answer in ``toolbox_results.py``.

A tool runs as the host's own middleware would run it: arguments reduced to what the tool declares (an MCP server checks
its own), the callable bound to this request's messages and files, direct tools through the browser, the user asked first
where the chat is set to ask. Nothing is run twice and `ToolNotRunError` is never raised: neither a refused connection nor
a lost browser tab leaves it certain that nothing happened.

Callables are awaited in the task that `run` is called in. A child task of the turn is fine for MCP: the session's own task
reads and writes, a call only exchanges messages with it. What must not happen elsewhere is closing the client; the host
does that, in the task that opened it, when the turn is over.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, Final, TypeVar

from openrouter_pipe.adapters.openwebui.host import maybe_await
from openrouter_pipe.adapters.openwebui.toolbox_calls import call_tool
from openrouter_pipe.adapters.openwebui.toolbox_entries import Entry, offered, offers_tools, read_registry
from openrouter_pipe.adapters.openwebui.toolbox_host import HostHelpers, detect_helpers
from openrouter_pipe.adapters.openwebui.toolbox_results import (
    Result,
    is_error,
    is_small,
    plain,
    read_result,
    settle,
    whole,
)
from openrouter_pipe.ports.items import ImagePart, Part, TextPart
from openrouter_pipe.ports.json import JsonValue
from openrouter_pipe.ports.tools import ToolCall, ToolFile, ToolOutput, ToolSource, ToolSpec

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_RUNS_ALL: Final = (None, "", "full")
_READABLE_IMAGE: Final = re.compile(r"data:image/(?:png|jpe?g|webp|gif);base64,")
_MAX_IMAGE: Final = 20 * 1024 * 1024  # characters; more than any provider takes as one image
_MAX_ERROR: Final = 32 * 1024  # characters; redacted and cut short by whoever passes it on
_NOTHING: Final = "The tool returned nothing."
_NOT_APPROVED: Final = "Error: tool call was not approved."


class HostToolbox:
    """`Toolbox` over what Open WebUI injects into one call."""

    def __init__(
        self,
        registry: Mapping[str, Entry],
        chosen: Sequence[Entry],
        metadata: Mapping[str, Any],
        body: Mapping[str, Any],
        event_call: Callable[[dict[str, Any]], Awaitable[Any]] | None,
        event_emitter: Any,
        request: Any,
        user: Any,
        helpers: HostHelpers,
    ) -> None:
        self._registry = registry
        self._specs = tuple(entry.spec for entry in chosen)
        self._entries = {(entry.spec.kind, entry.spec.name): entry for entry in chosen}
        self._metadata = metadata
        self._body = body
        self._event_call = event_call
        self._event_emitter = event_emitter
        self._request = request
        self._user = user
        self._helpers = helpers

    @classmethod
    def from_call(
        cls,
        tools: Any,
        metadata: Any,
        body: Any,
        event_call: Any = None,
        event_emitter: Any = None,
        request: Any = None,
        user: Any = None,
        *,
        helpers: HostHelpers | None = None,
    ) -> HostToolbox | None:
        """The tools of this call, or None when there is nothing to offer.

        None also for background tasks, for a chat in legacy mode (the host has run its tools), and for a program that
        brings tools of its own: those are the caller's to run.
        """
        try:
            return cls._of_call(tools, metadata, body, event_call, event_emitter, request, user, helpers)
        except Exception as error:  # noqa: BLE001 - whatever odd objects the host injected, the question can be answered
            _log.warning("the host's tools could not be read: %s", type(error).__name__)
            return None

    @classmethod
    def _of_call(
        cls,
        tools: Any,
        metadata: Any,
        body: Any,
        event_call: Any,
        event_emitter: Any,
        request: Any,
        user: Any,
        helpers: HostHelpers | None,
    ) -> HostToolbox | None:
        metadata = {} if metadata is None else metadata
        if not isinstance(metadata, Mapping) or not isinstance(body, Mapping) or not offers_tools(metadata):
            return None
        in_chat = bool(metadata.get("chat_id") and metadata.get("message_id"))
        asks = event_call if callable(event_call) and in_chat and metadata.get("session_id") else None
        registry = read_registry(tools, metadata, direct=asks is not None)
        chosen = offered(registry, body)
        if not chosen:
            return None
        emits = event_emitter if callable(event_emitter) and in_chat else None
        found = detect_helpers() if helpers is None else helpers
        return cls(registry, chosen, metadata, body, asks, emits, request, user, found)

    def specs(self) -> Sequence[ToolSpec]:
        """What is on offer, in the host's order, then what filters added."""
        return self._specs

    async def run(self, call: ToolCall) -> ToolOutput:
        """Run one tool once; raises whatever the tool raises."""
        entry = self._entries.get((call.kind, call.name))
        if entry is None:
            return _failed(call, "unknown_tool", f"Error: there is no tool called {call.name!r}.")
        if not entry.dispatches:
            return await self._run(call, entry, dict(call.arguments))
        try:
            target, arguments = self._resolve(call.arguments)
        except ValueError as error:
            return _failed(call, "bad_arguments", f"Error: {error}")
        try:
            return await self._run(call, target, arguments)
        except Exception as error:  # noqa: BLE001 - one failing tool must not switch off the way to all others
            _log.warning("Tool %s failed with %s", target.spec.name, type(error).__name__)
            return _failed(call, "tool_error", json.dumps({"error": f"{type(error).__name__}: {error}"[:_MAX_ERROR]}))

    async def _run(self, call: ToolCall, entry: Entry, arguments: dict[str, JsonValue]) -> ToolOutput:
        if entry.host_type != "mcp":
            arguments = {name: value for name, value in arguments.items() if name in entry.declared}
        if not await self._approved(call, entry, arguments):
            return _failed(call, "not_approved", _NOT_APPROVED)
        async with call.pause() if entry.asks_the_user else nullcontext():
            value = await settle(await self._execute(entry, arguments))
        value = self._terminal_file(entry, arguments, value)
        result = await self._read(entry, value)
        await self._terminal_event(entry, arguments, result)
        return await self._output(call, entry, arguments, result)

    def _resolve(self, given: Mapping[str, JsonValue]) -> tuple[Entry, dict[str, JsonValue]]:
        """The tool that ``call_tool`` names, and its arguments, which come as JSON text."""
        name, params = given.get("tool_name"), given.get("params")
        target = self._registry.get(name) if isinstance(name, str) else None
        if target is None or target.dispatches or target.spec.name == "search_tools":
            raise ValueError(f"Tool {name!r} is not available. Search for an available tool.")
        try:
            arguments = json.loads(params) if isinstance(params, str) else params
        except (ValueError, RecursionError):
            raise ValueError("params must be a JSON-encoded object string.") from None
        if not isinstance(arguments, dict):
            raise ValueError("params must decode to a JSON object.")  # noqa: TRY004 - told to the model like the others
        return target, arguments

    async def _approved(self, call: ToolCall, entry: Entry, arguments: Mapping[str, Any]) -> bool:
        """Whether the call may run: always, or by the user's word where the chat is set to ask. No answer is no."""
        params = self._metadata.get("params")
        mode = params.get("tool_approval_mode") if isinstance(params, Mapping) else None
        if mode in _RUNS_ALL or entry.asks_the_user:
            return True
        if self._event_call is None:
            return False
        asked = {"tool_call": {"id": call.call_id, "name": entry.spec.name, "arguments": dict(arguments)}}
        try:
            async with call.pause():
                return await self._event_call({"type": "confirmation", "data": asked}) is True
        except Exception as error:  # noqa: BLE001 - whatever the host's socket raises, it is not the user's yes
            _log.warning("a tool call could not be put to the user: %s", type(error).__name__)
            return False

    async def _execute(self, entry: Entry, arguments: dict[str, JsonValue]) -> Any:
        if entry.server is not None:
            if self._event_call is None:
                return {"error": "The browser that runs this tool is not connected."}
            data = {
                "id": str(uuid.uuid4()),
                "name": entry.function,
                "params": arguments,
                "server": dict(entry.server),
                "session_id": self._metadata.get("session_id"),
            }
            return await self._event_call({"type": "execute:tool", "data": data})
        if entry.callable is None:
            return {"error": "The host gives no way to run this tool."}
        return await call_tool(await self._bound(entry.callable), arguments)

    async def _bound(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if self._helpers.rebind is None:
            return function
        context = {
            "__messages__": self._body.get("messages") or [],
            "__files__": self._metadata.get("files") or [],
        }
        if self._event_emitter is not None:
            context["__event_emitter__"] = self._event_emitter  # tools run side by side, their events do not
        bound: Callable[..., Any] = await maybe_await(self._helpers.rebind(function=function, extra_params=context))
        return bound

    async def _read(self, entry: Entry, value: Any) -> Result:
        process = self._helpers.process_result
        if process is not None:
            try:
                made = process(
                    request=self._request,
                    tool_function_name=entry.spec.name,
                    tool_result=value,
                    tool_type=entry.host_type,
                    direct_tool=entry.direct,
                    metadata=self._metadata,
                    user=self._helpers.user(self._user),
                )
                text, files, embeds = await maybe_await(made)
                return Result(text if isinstance(text, str) else "", _all(files, dict), _all(embeds, str))
            except Exception as error:  # noqa: BLE001 - the host's helper raises on results that it does not expect
                _log.info("the host could not read the result of %s: %s", entry.spec.name, type(error).__name__)
        modern = process is not None
        read = partial(read_result, entry.spec.name, value, entry.spec.kind, pairs=modern, shows_embeds=modern)
        return read() if is_small(value) else await asyncio.to_thread(read)

    def _terminal_file(self, entry: Entry, arguments: Mapping[str, Any], value: Any) -> Any:
        if self._helpers.terminal_file is None:
            return value
        try:
            return self._helpers.terminal_file(entry.function, arguments, value, entry.raw, self._metadata) or value
        except Exception as error:  # noqa: BLE001 - the tool has run; its plain result is as good
            _log.warning("the host could not describe a terminal's file: %s", type(error).__name__)
            return value

    async def _terminal_event(self, entry: Entry, arguments: Mapping[str, Any], result: Result) -> None:
        if self._helpers.terminal_event is None or self._event_emitter is None:
            return
        try:
            await maybe_await(self._helpers.terminal_event(entry.function, arguments, result.text, self._event_emitter))
        except Exception as error:  # noqa: BLE001 - a view of the host that is not refreshed costs no answer
            _log.warning("the host took no terminal event: %s", type(error).__name__)

    async def _output(self, call: ToolCall, entry: Entry, arguments: Mapping[str, Any], result: Result) -> ToolOutput:
        files: list[ToolFile] = []
        images: list[Part] = []
        for item in result.files:
            url = item.get("url") or item.get("content")
            if not isinstance(url, str):
                continue
            kind = str(item.get("type") or "file")
            if kind == "image" and (seen := await self._image_for_model(url)):
                images.append(ImagePart(seen))
            shown = await self._stored(url) if kind == "image" else url
            files.append(ToolFile(shown, "file" if kind == "data" else kind, str(item.get("name") or "")))
        text = whole(result.text) or ("" if images else _NOTHING)
        ok = not (is_error(text) if is_small(text) else await asyncio.to_thread(is_error, text))
        return ToolOutput(
            call.call_id,
            text,
            ok=ok,
            parts=(TextPart(text), *images) if images else (),
            files=tuple(files),
            embeds=result.embeds,
            sources=self._sources(entry, arguments, text) if ok else (),
            reason="" if ok else "tool_error",
        )

    async def _image_for_model(self, url: str) -> str | None:
        """An image that a provider can read: its bytes, because an address inside the host means nothing out there."""
        if url.startswith("/") and self._helpers.load_image is not None:
            try:
                url = await maybe_await(self._helpers.load_image(url, self._helpers.user(self._user))) or ""
            except Exception as error:  # noqa: BLE001 - the user still sees it; the model reads the text
                _log.warning("the host did not deliver a tool's image: %s", type(error).__name__)
                return None
        return url if _READABLE_IMAGE.match(url) and len(url) <= _MAX_IMAGE else None

    async def _stored(self, url: str) -> str:
        """The image's address inside the host where it can be kept there, so that chats do not carry its bytes."""
        store, user = self._helpers.store_image, self._helpers.user(self._user)
        if store is None or user is None or not url.startswith("data:"):
            return url
        try:
            stored = await maybe_await(store(self._request, url, self._metadata, user))
        except Exception as error:  # noqa: BLE001 - the image is shown inline then
            _log.warning("the host did not store a tool's image: %s", type(error).__name__)
            return url
        return stored if isinstance(stored, str) and stored else url

    def _sources(self, entry: Entry, arguments: Mapping[str, Any], text: str) -> tuple[ToolSource, ...]:
        """What the host would cite of this result; it does so only for a few of its own tools."""
        name = entry.spec.name
        if self._helpers.citations is None or name not in self._helpers.citation_tools or not self._cites():
            return ()
        try:
            found = self._helpers.citations(
                tool_name=name, tool_params=dict(arguments), tool_result=text, tool_id=entry.tool_id
            )
        except Exception as error:  # noqa: BLE001 - the host's helper on a result of foreign shape
            _log.warning("the host made no source of a tool's result: %s", type(error).__name__)
            return ()
        payloads = (plain(source) for source in found or ())
        return tuple(ToolSource(payload) for payload in payloads if payload)

    def _cites(self) -> bool:
        """Whether the model's record in the host allows citations; it does unless it says no."""
        value: Any = self._metadata.get("model")
        for key in ("info", "meta", "capabilities"):
            value = value.get(key) if isinstance(value, Mapping) else None
        return not isinstance(value, Mapping) or bool(value.get("citations", True))


def _all(values: Any, kind: type[_T]) -> tuple[_T, ...]:
    return tuple(value for value in values if isinstance(value, kind)) if isinstance(values, list | tuple) else ()


def _failed(call: ToolCall, reason: str, text: str) -> ToolOutput:
    return ToolOutput(call.call_id, text, ok=False, reason=reason)
