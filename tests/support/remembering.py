"""A pipe over the simulator and a real database, and a front end that stores what it is shown, as a host would.

Lives here: the wiring and how turns are put together. Not here: any expectation. Run as a program it is a pipe that a test
kills: ``remembering.py ENVIRONMENT MODEL WHEN`` with ``WHEN`` stored, marked or never.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from dependency_injector import providers

from openrouter_pipe.adapters.memory.tools import MemoryToolbox
from openrouter_pipe.adapters.simulator.app import create_app
from openrouter_pipe.adapters.simulator.config import SimulatorConfig, find_schema
from openrouter_pipe.adapters.simulator.transport import SimulatorTransport
from openrouter_pipe.adapters.sql import SqlArtifactStore
from openrouter_pipe.composition.pipe import PipeContainer
from openrouter_pipe.ports.artifacts import Artifact, ArtifactStore, StorePolicy
from openrouter_pipe.ports.chat import (
    ChatEvent,
    ChatMessage,
    ChatRequest,
    Completed,
    Failed,
    Identity,
    MarkersIssued,
    NoticeAdded,
    TextAdded,
)
from openrouter_pipe.ports.items import Role, TextPart
from openrouter_pipe.ports.settings import read_settings
from openrouter_pipe.ports.tools import ToolSpec

CHAT = "chat-1"
CLAUDE = "anthropic.claude-sonnet-4.5"
LOOP = "[[sim: scenario=tool-loop]] "


def user(text: str) -> ChatMessage:
    return ChatMessage(Role.USER, (TextPart(text),))


class Remembering:
    """One process of a pipe; an async context manager. ``store`` takes the place of the database's own."""

    def __init__(
        self, environment: Mapping[str, str], *, pipe_id: str = "memory", store: ArtifactStore | None = None
    ) -> None:
        self.container = PipeContainer()
        self.container.pipe_id.override(pipe_id)
        self.container.environment.override(providers.Object(environment))
        self.app = create_app(SimulatorConfig(schema_path=find_schema(), max_recorded=1000))
        self.container.transport_factory.override(providers.Object(partial(SimulatorTransport, self.app)))
        if store is not None:
            self.container.store.override(providers.Object(store))
        self.toolbox = MemoryToolbox()
        self.output = "it rains"
        self.toolbox.add(ToolSpec("look", "Looks.", {"type": "object", "properties": {}}), self._look)
        self.history: list[ChatMessage] = []

    async def _look(self, arguments: Mapping[str, object]) -> str:
        return self.output

    async def __aenter__(self) -> Remembering:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.container.supervisor().close()
        await self.container.catalog().close()
        store = self.container.store()
        if isinstance(store, SqlArtifactStore):
            await store.aclose()
        await self.container.clients().aclose()

    async def ask(self, text: str, model: str = CLAUDE, **settings: Any) -> list[ChatEvent]:
        """One turn; what was shown becomes part of the history."""
        self.history.append(user(text))
        chosen = {"API_KEY": "sk-or-simulated", "ARTIFACT_ENCRYPTION_KEY": "a key", **settings}
        request = ChatRequest(
            model,
            tuple(self.history),
            read_settings(chosen),
            f"r{len(self.history)}",
            identity=Identity(user_id="u", session_id="s", chat_id=CHAT, message_id=f"m{len(self.history)}"),
            persistent=True,
            toolbox=self.toolbox if LOOP in text else None,
        )
        events = [event async for event in self.container.chat().respond(request)]
        self.history.append(ChatMessage(Role.ASSISTANT, (TextPart(shown(events)),)))
        return events

    def sent(self) -> list[list[dict[str, Any]]]:
        """The input items of every request for an answer."""
        paths = [one for one in self.app.requests if one.path.endswith("/responses")]
        return [one.body["input"] for one in paths]


def shown(events: Sequence[ChatEvent]) -> str:
    """The text that a host stores."""
    return "".join(event.text for event in events if isinstance(event, TextAdded | NoticeAdded | MarkersIssued))


def remembered(items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The reasoning, calls and outputs among input items, in order."""
    return [item for item in items if item.get("type") in {"reasoning", "function_call", "function_call_output"}]


class _Deadly(SqlArtifactStore):
    """Dies with the process as soon as rows are durable."""

    async def save(self, artifacts: Sequence[Artifact], policy: StorePolicy) -> frozenset[str]:
        await super().save(artifacts, policy)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


async def _main(environment: Mapping[str, str], model: str, when: str) -> None:
    store = _Deadly(environment) if when == "stored" else None
    async with Remembering(environment, store=store) as pipe:
        pipe.history.append(user(LOOP + "Look."))
        request = ChatRequest(
            model,
            tuple(pipe.history),
            read_settings({"API_KEY": "sk-or-simulated", "ARTIFACT_ENCRYPTION_KEY": "a key"}),
            "r",
            identity=Identity(user_id="u", session_id="s", chat_id=CHAT, message_id="m1"),
            persistent=True,
            toolbox=pipe.toolbox,
        )
        async for event in pipe.container.chat().respond(request):
            if isinstance(event, TextAdded | MarkersIssued | NoticeAdded):
                sys.stdout.write(json.dumps(event.text) + "\n")
                sys.stdout.flush()
            if isinstance(event, MarkersIssued) and when == "marked":
                os.kill(os.getpid(), signal.SIGKILL)
            if isinstance(event, Completed | Failed):
                sys.stdout.write(json.dumps(f"\n<{type(event).__name__}>") + "\n")


if __name__ == "__main__":
    asyncio.run(_main(json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]))
