"""What is shown while the pipe cannot work: one entry in the list of models, whose answer says what to do.

An empty list would leave an administrator without a hint; an exception would cost other pipes their models.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

from openrouter_pipe.adapters.openwebui.host import detect
from openrouter_pipe.adapters.openwebui.valves import make_user_valves, make_valves
from openrouter_pipe.ports.json import JsonObject

SETUP_ID: Final = "setup-needed"


def setup_listing(reason: str) -> list[dict[str, str]]:
    """The one entry."""
    return [{"id": SETUP_ID, "name": f"OpenRouter: set-up needed ({reason})"}]


def missing_packages_text(packages: Sequence[str], command: str) -> str:
    """What an administrator reads in the chat."""
    return (
        f"### Set-up needed\n\nThe OpenRouter pipe needs Python packages that this server lacks: "
        f"{', '.join(f'`{package}`' for package in packages)}.\n\nInstall them where Open WebUI runs, then restart it:\n\n"
        f"```\n{command}\n```\n"
    )


def make_setup_class(packages: Sequence[str], command: str) -> type:
    """Class ``Pipe`` for a server that lacks packages; it needs none of them and answers every chat with the remedy."""
    valves_class = make_valves(password_inputs=detect().renders_inputs)
    user_valves_class = make_user_valves()
    text = missing_packages_text(packages, command)
    reason = f"missing packages: {', '.join(packages)}"

    class Pipe:
        """Stands in until the packages are there; settings can be made meanwhile."""

        Valves = valves_class
        UserValves = user_valves_class

        def __init__(self) -> None:
            self.valves = self.Valves()

        async def pipes(self) -> list[dict[str, str]]:
            """The entry that says so."""
            return setup_listing(reason)

        async def pipe(self, body: JsonObject, __task__: Any = None, **_others: Any) -> str | AsyncGenerator[str, None]:
            """The remedy, streamed or not; nothing for background tasks."""
            answer = "" if __task__ else text
            return plain_stream(answer) if body.get("stream") else answer

    Pipe.__qualname__ = "Pipe"
    return Pipe


async def plain_stream(text: str) -> AsyncGenerator[str, None]:
    """One piece of text, which the host wraps; nothing if there is none."""
    if text:
        yield text
