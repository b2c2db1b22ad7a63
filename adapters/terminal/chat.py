"""One conversation on a terminal: keeps the history, asks the chat service, hands events to a renderer."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.table import Table

from openrouter_pipe.adapters.terminal.render import Renderer, printable
from openrouter_pipe.ports.chat import (
    ChatMessage,
    ChatRequest,
    ChatService,
    Failed,
    Identity,
    MarkersIssued,
    ModelListing,
    NoticeAdded,
    TextAdded,
)
from openrouter_pipe.ports.items import Role, TextPart
from openrouter_pipe.ports.runtime import Ids
from openrouter_pipe.ports.settings import Settings

_HELP = """\
/models [word]   list the models (whose id or name holds the word)
/model ID        go on with another model
/reset           forget the conversation
/help            this list
/quit            leave (also Ctrl-D)
Ctrl-C stops an answer."""


class TerminalChat:
    """A conversation with one model at a time; earlier turns go along, as in any chat."""

    def __init__(
        self, service: ChatService, settings: Settings, ids: Ids, renderer: Renderer, model: str, user: str = "terminal"
    ) -> None:
        self._service = service
        self._settings = settings
        self._ids = ids
        self._renderer = renderer
        self._chat_id = ids.item_id("chat-")
        self._user = user
        self._messages: list[ChatMessage] = []
        self.model = model

    async def ask(self, text: str) -> bool:
        """Run one turn and show it; True when it ended without a failure. A failed turn is not kept in the history."""
        question = ChatMessage(Role.USER, (TextPart(text),))
        message_id = self._ids.item_id("message-")
        request = ChatRequest(
            model=self.model,
            messages=(*self._messages, question),
            settings=self._settings,
            request_id=message_id,
            identity=Identity(
                user_id=self._user, session_id=self._chat_id, chat_id=self._chat_id, message_id=message_id
            ),
            persistent=True,
        )
        said: list[str] = []
        failed = False
        async with contextlib.aclosing(self._service.respond(request)) as events:
            async for event in events:
                match event:
                    case TextAdded(text=more) | NoticeAdded(text=more):
                        said.append(more)
                    case MarkersIssued(text=block):
                        said.append(f"\n\n{block}")
                    case Failed():
                        failed = True
                self._renderer.show(event)
        if not failed:
            self._messages += [question, ChatMessage(Role.ASSISTANT, (TextPart("".join(said)),))]
        return not failed

    async def interact(self, console: Console, read: Callable[[], str]) -> None:
        """Read lines with ``read`` (blocking, called in a thread) until it raises EOFError or the user leaves."""
        console.print(f"Chatting with [bold]{printable(self.model)}[/bold]. /help lists the commands.")
        while True:
            try:
                line = (await asyncio.to_thread(read)).strip()
            except EOFError:
                return
            if line in {"/quit", "/exit"}:
                return
            if line.startswith("/"):
                await self._command(console, line)
            elif line:
                await self._interruptible(console, line)

    async def _command(self, console: Console, line: str) -> None:
        word, _, rest = line.partition(" ")
        match word:
            case "/models":
                listings = await self._service.models(self._settings)
                console.print(models_table(listings, rest.strip()))
            case "/model" if rest.strip():
                self.model = rest.strip()
                console.print(f"Model: {printable(self.model)}", markup=False)
            case "/reset":
                self._messages.clear()
                console.print("Forgotten.")
            case _:
                console.print(_HELP, markup=False)

    async def _interruptible(self, console: Console, line: str) -> None:
        turn = asyncio.ensure_future(self.ask(line))
        with _on_interrupt(turn.cancel):
            try:
                await turn
            except asyncio.CancelledError:
                current = asyncio.current_task()
                if current is not None and current.cancelling():
                    raise
                console.print("\n(stopped)", style="yellow")


def models_table(listings: tuple[ModelListing, ...], word: str = "", limit: int = 60) -> Table:
    """The models whose id or name holds ``word``, at most ``limit`` rows."""
    wanted = word.lower()
    found = [item for item in listings if wanted in item.id.lower() or wanted in item.name.lower()]
    title = f"{len(found)} of {len(listings)} models" + (f" (first {limit} shown)" if len(found) > limit else "")
    table = Table(title=title, title_justify="left")
    table.add_column("id")
    table.add_column("name")
    for item in found[:limit]:
        table.add_row(printable(item.id), printable(item.name))
    return table


@contextlib.contextmanager
def _on_interrupt(action: Callable[[], object]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGINT, action)
    except (NotImplementedError, RuntimeError, ValueError):
        yield  # no signal handlers on this platform or outside the main thread: Ctrl-C ends the program instead
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
