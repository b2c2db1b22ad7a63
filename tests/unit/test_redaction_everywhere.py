"""Generated secrets planted in every field of requests, errors, tool results and settings: no output contains them."""

from __future__ import annotations

import asyncio
import logging
import string

from dependency_injector import providers
from hypothesis import given, settings
from hypothesis import strategies as st

from openrouter_pipe.adapters.memory.provider import ScriptedProvider
from openrouter_pipe.adapters.memory.tools import MemoryToolbox
from openrouter_pipe.adapters.observability.chat import LoggedChat
from openrouter_pipe.adapters.observability.console import PipeLogging
from openrouter_pipe.composition.in_memory import InMemoryContainer
from openrouter_pipe.composition.policies import log_redaction
from openrouter_pipe.ports.chat import ChatMessage, ChatRequest, Failed, Identity, NoticeAdded, ToolFinished
from openrouter_pipe.ports.items import FunctionCallItem, Role, TextPart
from openrouter_pipe.ports.provider import FaultKind, FinishStatus, ItemFinished, ProviderFault, ResponseFinished
from openrouter_pipe.ports.settings import SETTINGS, read_settings
from openrouter_pipe.ports.tools import ToolSpec

WORD = st.text(string.ascii_letters + string.digits, min_size=24, max_size=40)
KEYS = WORD.map(lambda word: f"sk-or-v1-{word}")


class Lines(logging.Handler):
    """What the host's handlers would write."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def outputs(container: InMemoryContainer, request: ChatRequest) -> tuple[list, str]:
    """The events of the turn and everything that was logged for it."""
    handler = Lines()
    root = logging.getLogger()
    root.addHandler(handler)
    console = PipeLogging("openrouter_pipe")
    chat = LoggedChat(container.chat(), console, log_redaction)

    async def run() -> list:
        return [event async for event in chat.respond(request)]

    try:
        return asyncio.run(run()), "\n".join(handler.lines)
    finally:
        chat.close()
        root.removeHandler(handler)


def request(secret: str, chosen: str, **more: object) -> ChatRequest:
    values = {setting.name: chosen + setting.name for setting in SETTINGS if setting.secret}
    identity = Identity("u", "s", "c", "m", f"{chosen}@example.com", f"name {secret}")
    message = ChatMessage(Role.USER, (TextPart(f"my key is {secret}"),))
    found = read_settings({**values, "LOG_LEVEL": "DEBUG"}, {})
    return ChatRequest("memory/echo", (message,), found, "r", identity=identity, **more)


def house(*scripts: tuple) -> InMemoryContainer:
    container = InMemoryContainer()
    container.provider.override(providers.Object(ScriptedProvider(scripts)))
    return container


@settings(max_examples=40, deadline=None)
@given(KEYS, WORD, st.sampled_from([400, 401, 402, 403, 404, 413, 422]))
def test_errors_with_secrets_in_every_field(secret, chosen, status):
    bearer = f"Authorization: Bearer {secret}"
    own = f"{chosen}ARTIFACT_ENCRYPTION_KEY"
    fault = ProviderFault(
        FaultKind.STATUS, f"{secret} {own}", status, code=secret, error_type=bearer, provider=secret, request_id=own,
        metadata={"raw": f'{{"error":{{"message":"{secret} {own}"}}}}', "reasons": [secret, own], "headers": {"Cookie": own},
                  "flagged_input": secret, "remedy_hint": own},
        body=f'{{"api_key":"{secret}","x":"{own}"}}', endpoint_url=f"https://{secret}@x.test/?key={own}", model=secret,
        chunk_id=own, native_finish_reason=secret,
    )  # fmt: skip
    events, log = outputs(house((fault,)), request(secret, chosen))
    assert isinstance(events[-1], Failed)
    for hidden in (secret, own, f"{chosen}@example.com"):
        assert hidden not in events[-1].text
        assert hidden not in log
    assert events[-1].error_id in log


@settings(max_examples=30, deadline=None)
@given(KEYS, WORD)
def test_what_failing_tools_say(secret, chosen):
    own = f"{chosen}API_KEY"

    async def broken(_: object) -> str:
        raise RuntimeError(f"Cookie: {own}; Bearer {secret} for {chosen}@example.com")

    toolbox = MemoryToolbox()
    toolbox.add(ToolSpec("peek", "", {"type": "object", "properties": {}}), broken)
    call = FunctionCallItem("call_1", "peek", "{}", id="fc_1")
    container = house(
        (ItemFinished(0, call), ResponseFinished(FinishStatus.COMPLETED, output=(call,))),
        (ProviderFault(FaultKind.STATUS, f"no {secret}", 400),),
    )
    events, log = outputs(container, request(secret, chosen, toolbox=toolbox))
    said = "".join(event.output.text for event in events if isinstance(event, ToolFinished))
    said += "".join(event.text for event in events if isinstance(event, NoticeAdded | Failed))
    assert "RuntimeError" in said
    for hidden in (secret, own):
        assert hidden not in said
        assert hidden not in log
    assert f"{chosen}@example.com" not in log
