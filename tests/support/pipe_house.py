"""The pipe build over in-memory ports in a host of either kind, with ports that fail on demand.

Lives here: the wiring, and how a failed turn is judged in the words of its reader and of its operator.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from typing import Final

from dependency_injector import providers

from fake_host import HOST_06, HOST_12, FakeHost
from openrouter_pipe.adapters.memory.artifacts import MemoryArtifactStore
from openrouter_pipe.adapters.memory.provider import ScriptedCatalog, ScriptedProvider, answer, card_entry
from openrouter_pipe.adapters.memory.telemetry import MemoryMetrics
from openrouter_pipe.adapters.openwebui import make_pipe_class
from openrouter_pipe.composition.pipe import PipeContainer, PipeServices

KEY: Final = "sk-or-v1-00112233445566778899aabbccddeeff"
SECRET: Final = f"planted Authorization: Bearer {KEY} by ada@example.com"
SUPPORT: Final = {"SUPPORT_EMAIL": "help@example.org", "SUPPORT_URL": "https://example.org/help"}

READS: Final = {
    "openrouter_error": "change the message",
    "authentication": "set right by whoever runs this service",
    "insufficient_credits": "credits are added at",
    "server_timeout": "send the message again",
    "payload_too_large": "attach fewer or smaller files",
    "rate_limit": "wait a little",
    "service_error": "send the message again in a moment",
    "network_timeout": "did not answer in the time",
    "connection_error": "No connection to OpenRouter",
    "stream_interrupted": "What arrived before is kept",
    "internal_error": "report it with the error ID",
}
"""What the user reads, by code."""


class Failing:
    """Stands before a port and raises in one method, from its ``after``-th call on."""

    def __init__(self, inner: object, method: str, after: int = 0, error: type[BaseException] = RuntimeError) -> None:
        self.inner = inner
        self.method = method
        self.after = after
        self.error = error
        self.calls = 0

    def __getattr__(self, name: str) -> object:
        found = getattr(self.inner, name)
        if name != self.method:
            return found

        def call(*arguments: object, **named: object) -> object:
            self.calls += 1
            if self.calls > self.after:
                raise self.error(SECRET)
            return found(*arguments, **named)

        return call


class Hurried:
    """A clock whose delays between attempts take no time; limits stay what they are."""

    def __init__(self, inner: object) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0 if seconds <= 8 else seconds)


class _Classes:
    """Class ``Pipe`` once for each kind of host, because making one takes long; ``build`` is that of the house in use."""

    build: Callable[[str], PipeServices]

    def __init__(self) -> None:
        self._made: dict[bool, type] = {}

    def of(self, recent: bool) -> type:
        if recent not in self._made:
            profile = HOST_12 if recent else HOST_06
            name = "function_router_" + "0" * 32 if recent else "function_router"
            self._made[recent] = make_pipe_class(lambda pipe_id: self.build(pipe_id), name, lambda: profile)
        return self._made[recent]


_CLASSES: Final = _Classes()


class House:
    """The pipe in a host; one at a time makes its services.

    ``overrides`` are ports by their name in the container, instead of the in-memory ones; None is the pipe's own.
    """

    def __init__(self, *, recent: bool = True, scripts: tuple = (), overrides: dict | None = None, **valves: object):
        self.container = PipeContainer()
        self.provider = ScriptedProvider(scripts or (answer("All is well.", reasoning="Think."),) * 3)
        self.metrics = MemoryMetrics()
        self.store = MemoryArtifactStore()
        ports = {
            "provider": self.provider,
            "catalog_source": ScriptedCatalog((card_entry("vendor/model", "tools", "reasoning"),)),
            "store": self.store,
            "metrics": self.metrics,
            "clock": Hurried(self.container.clock()),
            **(overrides or {}),
        }
        for name, port in ports.items():
            if port is not None:
                getattr(self.container, name).override(providers.Object(port))
        valves = {"API_KEY": KEY, "BASE_URL": "http://sim.test/api/v1", **SUPPORT, **valves}
        self.host = FakeHost(_CLASSES.of(recent)(), recent=recent, valves=valves)
        self.services: PipeServices | None = None
        _CLASSES.build = self._build

    def _build(self, _: str) -> PipeServices:
        self.services = PipeServices(self.container)
        return self.services

    def break_port(self, port: str, method: str, after: int = 0, error: type[BaseException] = RuntimeError) -> Failing:
        provider = getattr(self.container, port)
        failing = Failing(provider(), method, after, error)
        provider.override(providers.Object(failing))
        return failing

    async def ask(self, text: str = "hi", **options: object) -> str:
        """What the user reads of one answer, in the message or beside it."""
        stored = await self.host.chat(text, **options)
        return f"{stored.text}\n{stored.error or ''}"

    async def close(self) -> None:
        if self.services is not None:
            await self.services.close()

    async def read(self, text: str = "hi", **options: object) -> str:
        """One answer, and the end of the services."""
        try:
            return await self.ask(text, **options)
        finally:
            await self.close()

    def nothing_held(self) -> bool:
        admission = self.container.admission()
        return (admission.running, admission.waiting, self.provider.open_streams) == (0, 0, 0)

    def outcomes(self) -> dict[str, float]:
        """Turns by outcome, as the metric has them."""
        return {
            dict(labels)["outcome"]: value for (name, labels), value in self.metrics.counters.items() if name == "turns"
        }


def assert_told(text: str, code: str, records: list[logging.LogRecord]) -> str:
    """The user reads what happened, what to do, id, time and support; the operator finds the id once, with code and user.

    Returns the operator's line.
    """
    assert text.lstrip().startswith("### ") or "\n### " in text
    assert READS[code] in text
    assert "**What to do:**" in text
    (error_id,) = set(re.findall(r"Error ID: `([0-9a-f]{16})`", text))
    assert re.search(r"- Time: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text)
    assert f"- Support: {SUPPORT['SUPPORT_EMAIL']}" in text
    assert f"- Support: {SUPPORT['SUPPORT_URL']}" in text
    for forbidden in (KEY, "ada@example.com", "Traceback", "Bearer", "{", "</"):
        assert forbidden not in text
    lines = [record.getMessage() for record in records if error_id in record.getMessage()]
    told = [line for line in lines if "turn not answered" in line]
    assert len(told) == 1
    assert code in told[0]
    assert "user_id=user-1" in told[0]
    assert not any(KEY in line or "ada@example.com" in line for line in lines)
    return told[0]
