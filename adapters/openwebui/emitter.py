"""Events beside the answer: status lines, sources, notifications. Never ``execute``: no code of ours runs in a browser.

The host hands out an emitter where none may be used (program calls, background tasks of 0.6.28, whose events would hit the
visible message), so an emitter is used only for a known message of a chat and outside tasks. A failing or hanging emitter
never costs the answer: after the first event that takes too long, the answer goes on without any. That event itself is
finished: the host writes it to its database, and nobody cuts it off there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any, Final

from openrouter_pipe.adapters.openwebui.finishing import Finishing
from openrouter_pipe.adapters.openwebui.host import Host
from openrouter_pipe.adapters.openwebui.request import HostCall, read_identity, read_task, saved_chat
from openrouter_pipe.ports.chat import ChatEvent, CitationsFound, Notified, StatusChanged, ToolFinished
from openrouter_pipe.ports.items import Citation

_log = logging.getLogger(__name__)
_FINISHING: Final = Finishing()
_STOPPED: Final = "Stopped"
"""The last line of a turn that was cut short while another line said what it was at."""

_LAST_LINE_SECONDS: Final = 1.0


class Emitter:
    """The host's event emitter for one call, as far as it may be used.

    ``patience`` is how many seconds one event may take; None means no limit.
    """

    def __init__(self, call: HostCall, host: Host, patience: float | None) -> None:
        self._patience = patience
        identity = read_identity(call)
        self._is_task = read_task(call.task) is not None
        usable = bool(identity.chat_id and identity.message_id) and not self._is_task
        self._emit = call.emitter if usable and callable(call.emitter) else None
        self._order = asyncio.Lock()
        self._sources = host.temporary_sources or saved_chat(identity.chat_id)
        self._open_status = ""
        self.unheard: list[str] = []
        """What belongs to the answer where it was not heard beside it; empty for tasks, which have no reader."""

    async def show(self, event: ChatEvent) -> None:
        """Tell the host what belongs beside the answer; other events do nothing."""
        match event:
            case StatusChanged(text, done, sources):
                self._open_status = "" if done else text
                await self._send("status", _status(text, done, [citation.url for citation in sources]))
            case CitationsFound(citations):
                for citation in citations:
                    await self._source(source(citation))
            case ToolFinished(output=output):
                for found in output.sources:
                    await self._source(dict(found.payload))
            case Notified(text, severity, in_answer):
                heard = await self._send("notification", {"type": severity.value, "content": text})
                if in_answer and not heard and not self._is_task:
                    self.unheard.append(text)
            case _:
                pass

    async def finish(self) -> None:
        """End a status that would shimmer forever."""
        if self._open_status:
            status, self._open_status = self._open_status, ""
            await self._send("status", _status(status, True, []))

    async def stop(self) -> None:
        """The same for a turn that is being cut short, before the host saves what there is of it; soon, or not at all."""
        if self._open_status:
            self._open_status = ""
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_LINE_SECONDS):
                    await self._send("status", _status(_STOPPED, True, []))

    async def _source(self, data: dict[str, Any]) -> None:
        if self._sources:
            await self._send("source", data)

    async def _send(self, kind: str, data: dict[str, Any]) -> bool:
        if self._emit is None:
            return False
        try:
            async with asyncio.timeout(self._patience):
                await _FINISHING.run(self._told({"type": kind, "data": data}))
        except TimeoutError:
            self._emit = None
            _log.warning("the host took too long over a %s event; this answer goes on without events", kind)
        except Exception as error:  # noqa: BLE001 - whatever the host's socket or database raises, the answer goes on
            _log.warning("the host took no %s event: %s", kind, type(error).__name__)
        else:
            return True
        return False

    async def _told(self, event: dict[str, Any]) -> None:
        """Tell the host, after what a turn that was stopped has left it with."""
        async with self._order:
            if self._emit is not None:
                await self._emit(event)


def source(citation: Citation) -> dict[str, Any]:
    """A citation in the host's shape."""
    title = citation.title or citation.url
    return {
        "source": {"name": title, "url": citation.url},
        "document": [citation.content or title],
        "metadata": [{"source": citation.url, "name": title, "url": citation.url}],
    }


def _status(text: str, done: bool, urls: list[str]) -> dict[str, Any]:
    data: dict[str, Any] = {"description": text, "done": done}
    return {**data, "action": "web_search", "urls": urls} if urls else data
