"""Generated secrets planted in every field of requests, errors, tool results and settings: no output contains them."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import string
from base64 import b64encode
from urllib.parse import quote

from attrs import asdict, define, field
from dependency_injector import providers
from hypothesis import given, settings
from hypothesis import strategies as st

from openrouter_pipe.adapters.memory.provider import ScriptedProvider, answer
from openrouter_pipe.adapters.memory.tools import MemoryToolbox
from openrouter_pipe.adapters.observability.chat import LoggedChat
from openrouter_pipe.adapters.observability.console import PipeLogging
from openrouter_pipe.composition.in_memory import InMemoryContainer
from openrouter_pipe.composition.policies import log_redaction
from openrouter_pipe.ports.chat import (
    ChatMessage,
    ChatRequest,
    Completed,
    Failed,
    Identity,
    NoticeAdded,
    Notified,
    StatusChanged,
    ToolFinished,
)
from openrouter_pipe.ports.items import FunctionCallItem, ItemKind, Role, TextPart
from openrouter_pipe.ports.provider import (
    ArgumentsDelta,
    FaultKind,
    FinishStatus,
    ItemFinished,
    ItemStarted,
    ProviderFault,
    ResponseFinished,
)
from openrouter_pipe.ports.settings import SETTINGS, read_settings
from openrouter_pipe.ports.tools import ToolFile, ToolOutput, ToolSource, ToolSpec

WORD = st.text(string.ascii_letters + string.digits, min_size=24, max_size=40)
KEYS = WORD.map(lambda word: f"sk-or-v1-{word}")


class Lines(logging.Handler):
    """What the host's handlers would write."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record) + repr(vars(record)))


@define
class Outputs:
    """Everything that left: what users read, what tools answered, what was logged and counted, by its name."""

    events: list = field(factory=list)
    log: str = ""
    metrics: str = ""

    @property
    def told(self) -> str:
        """Our own words to the user."""
        ours = (Failed, NoticeAdded, Notified, StatusChanged)
        return "\n".join(str(event.text) for event in self.events if isinstance(event, ours))

    @property
    def tools(self) -> str:
        """All that tools answered, for user and model."""
        outputs = [event.output for event in self.events if isinstance(event, ToolFinished)]
        return "\n".join(repr(asdict(output)) for output in outputs)

    def hides(self, *secrets: str) -> None:
        """None of the outputs contains one of these. A new kind of output (an archive, say) is one more line here."""
        for name, text in {"words": self.told, "tools": self.tools, "log": self.log, "metrics": self.metrics}.items():
            for secret in secrets:
                assert secret not in text, f"in the {name}: {text}"


def outputs(container: InMemoryContainer, request: ChatRequest) -> Outputs:
    """One turn and all that came of it."""
    handler, found = Lines(), Outputs()
    root = logging.getLogger()
    root.addHandler(handler)
    console = PipeLogging("openrouter_pipe")
    chat = LoggedChat(container.chat(), console, log_redaction)

    async def run() -> list:
        return [event async for event in chat.respond(request)]

    try:
        found.events = asyncio.run(run())
    finally:
        chat.close()
        root.removeHandler(handler)
    metrics = container.metrics()
    found.log = "\n".join(handler.lines)
    found.metrics = repr([metrics.counters, metrics.gauges, metrics.observations])
    assert isinstance(found.events[-1], Completed | Failed)
    return found


def request(secret: str, chosen: str, planted: dict | None = None, **more: object) -> ChatRequest:
    values = {**(planted or {})} | {setting.name: chosen + setting.name for setting in SETTINGS if setting.secret}
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
    for script in ((fault,), (*answer("Begun", reasoning="Hm.")[:-2], fault)):
        found = outputs(house(script), request(secret, chosen))
        assert isinstance(found.events[-1], Failed)
        found.hides(secret, own, f"{chosen}@example.com", f"name {secret}")
        assert found.events[-1].error_id in found.log


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
    found = outputs(container, request(secret, chosen, toolbox=toolbox))
    assert "RuntimeError" in found.tools
    found.hides(secret, own)
    assert f"{chosen}@example.com" not in found.log, "what the model reads keeps the addresses that people wrote"


@settings(max_examples=30, deadline=None)
@given(KEYS, WORD, st.sampled_from([setting.name for setting in SETTINGS if setting.secret]))
def test_what_tools_that_work_answer(secret, chosen, name):
    """The operator's own goes, by value and by shape; a user's own tokens are what the tool was asked for."""
    own = f"{chosen}{name}"
    mine = "hunter2-of-the-user"
    said = f"PATH=/bin API_KEY={own} OTHER={secret} encrypted:gAAAA{chosen} {mine}"

    async def environment(_: object) -> ToolOutput:
        return ToolOutput(
            "call_1", said, parts=(TextPart(said),), files=(ToolFile(f"https://x.test/?k={own}", name=own),),
            embeds=(f"<p>{said}</p>",), sources=(ToolSource({"source": {"name": said}, "metadata": [{own: said}]}),),
            reason=own,
        )  # fmt: skip

    toolbox = MemoryToolbox()
    toolbox.add(ToolSpec("peek", f"reads {secret}", {"type": "object", "properties": {}}), environment)
    call = FunctionCallItem("call_1", "peek", "{}", id="fc_1")
    container = house(
        (ItemFinished(0, call), ResponseFinished(FinishStatus.COMPLETED, output=(call,))), answer("Done.")
    )
    found = outputs(container, request(secret, chosen, toolbox=toolbox))
    assert isinstance(found.events[-1], Completed)
    found.hides(own, secret, f"gAAAA{chosen}")
    assert mine in found.tools
    (_, second) = container.provider().requests
    assert own not in repr([asdict(item) for item in second.input])
    assert mine in repr([asdict(item) for item in second.input])


@settings(max_examples=30, deadline=None)
@given(KEYS, WORD)
def test_requests_and_settings_with_secrets_in_every_field(secret, chosen):
    """Text settings too: an address with credentials, a referer, lists of models."""
    own = f"{chosen}API_KEY"
    planted = {
        "BASE_URL": f"https://joe:{chosen}@127.0.0.1:9/v1?key={own}",
        "HTTP_REFERER_OVERRIDE": f"https://joe:{chosen}@x.test/?token={own}",
        "FORCE_CHAT_COMPLETIONS_MODELS": secret,
        "SESSION_LOG_DIR": f"/var/{secret}",
    }
    parameters = {
        "temperature": secret, "seed": [secret], "user": own, "metadata": {secret: own, "email": f"{chosen}@example.com"},
        "response_format": {"type": secret}, "tools": [{"type": own}], "provider": secret, secret: own, "stop": {"a": own},
        "reasoning": {"effort": own}, "session_id": secret, "tool_choice": {"name": own}, "model_fallback": [own, secret],
    }  # fmt: skip
    for script in (answer("Done."), (ProviderFault(FaultKind.STATUS, f"https://joe:{chosen}@x.test refused", 400),)):
        found = outputs(house(script, script, script), request(secret, chosen, planted, parameters=parameters))
        found.hides(own, secret, f"{chosen}@example.com", f"joe:{chosen}")


@settings(max_examples=30, deadline=None)
@given(KEYS, WORD, st.sampled_from(["provider", "store", "codec", "catalog_source", "metrics"]))
def test_exceptions_of_ports_with_secrets_in_their_text(secret, chosen, port):
    own = f"{chosen}ARTIFACT_ENCRYPTION_KEY"

    class Broken:
        def __getattr__(self, name: str) -> object:
            raise RuntimeError(f"{name}: Cookie: {own}\\n{secret} Basic {b64encode(own.encode()).decode()}")

    container = house(answer("Done.", reasoning="Hm."))
    getattr(container, port).override(providers.Object(Broken()))
    found = Outputs()
    try:
        found = outputs(container, request(secret, chosen, persistent=True))
    except RuntimeError:
        assert port == "metrics", "reading the metrics back is what failed"
        return
    found.hides(own, secret, b64encode(own.encode()).decode().rstrip("="))


@settings(max_examples=60, deadline=None)
@given(KEYS, WORD, st.integers(0, 60), st.sampled_from([logging.DEBUG, logging.INFO, logging.ERROR]))
def test_log_records_with_secrets_in_every_part(secret, chosen, place, level):
    """Message, arguments, exception and its causes, stack, extra, and a secret across the end of what is read."""
    own = f"{chosen}API_KEY"
    log = logging.getLogger("openrouter_pipe.test")

    container = house(answer("Done."))
    policies = container.policies()

    def noisy(found: object) -> object:
        try:
            _fails(secret, own)
        except RuntimeError:
            log.log(
                level, "said %s and %r", secret, {"api_key": own}, exc_info=True, stack_info=True, extra={"more": own}
            )
        log.log(level, "%s %s%s", "x" * (16_384 - place), secret, own)
        log.log(level, own, {"Authorization": f"Bearer {secret}"})
        return policies(found)

    container.policies.override(providers.Object(noisy))
    found = outputs(container, request(secret, chosen))
    assert "said" in found.log
    found.hides(own, secret, secret[:20])


LONG = st.integers(3, 60).flatmap(lambda words: st.lists(WORD, min_size=words, max_size=words)).map(" ".join)
"""Secrets of up to two thousand characters, in no shape that could give them away."""
WRITTEN = {
    "as it is": str,
    "in JSON": json.dumps,
    "in a URL": quote,
    "in base64": lambda text: b64encode(text.encode()).decode(),
    "in JSON in JSON": lambda text: json.dumps(json.dumps(f'"{text}"')),
}


@settings(max_examples=100, deadline=None)
@given(LONG, st.data(), st.sampled_from(sorted(WRITTEN)))
def test_no_head_of_a_long_secret_across_the_end_of_what_is_read(own, data, how):
    """However long the secret, however it is written and wherever the cut divides it."""
    written = WRITTEN[how](f"{own}API_KEY")
    place = data.draw(st.integers(1, len(written)))
    log, container = logging.getLogger("openrouter_pipe.test"), house(answer("Done."))
    policies = container.policies()

    def noisy(found: object) -> object:
        log.info("%s%s%s", "x " * 7_000 + "x" * (2_384 - place), written, "." * 3_000)
        return policies(found)

    container.policies.override(providers.Object(noisy))
    found = outputs(container, request("none", own))
    assert "x x x" in found.log
    found.hides(*(spelled(own[:16]) for spelled in (str, quote)), b64encode(own[:15].encode()).decode())


@settings(max_examples=60, deadline=None)
@given(KEYS, st.data())
def test_a_secret_split_over_pieces_of_a_stream_is_whole_when_it_is_told(secret, data):
    """An error inside a stream, and a tool's arguments, arrive in pieces; what is told of them is redacted as a whole."""
    arguments = f'{{"token": "{secret}"'  # never closed: the model is told that they are no JSON
    cuts = sorted(data.draw(st.lists(st.integers(0, len(arguments)), max_size=6)))
    pieces = [arguments[a:b] for a, b in itertools.pairwise([0, *cuts, len(arguments)])]
    call = FunctionCallItem("call_1", "peek", arguments, id="fc_1")
    started = FunctionCallItem("call_1", "peek", "", id="fc_1")
    toolbox = MemoryToolbox()
    toolbox.add(ToolSpec("peek", "", {"type": "object", "properties": {}}), _never)
    container = house(
        (
            ItemStarted(0, ItemKind.FUNCTION_CALL, started),
            *(ArgumentsDelta(0, piece) for piece in pieces),
            ItemFinished(0, call),
            ResponseFinished(FinishStatus.COMPLETED, output=(call,)),
        ),
        (*answer("Begun")[:-2], ProviderFault(FaultKind.STREAM, f"upstream said {secret}", 502, body=secret)),
    )
    found = outputs(container, request("sk-or-v1-another-one-of-these", "chosen-words-for-settings", toolbox=toolbox))
    assert isinstance(found.events[-1], Failed)
    found.hides(secret)


def _fails(inner: str, outer: str) -> None:
    cause = ValueError(f"inner {inner}")
    raise RuntimeError(f"outer {outer}") from cause


async def _never(_: object) -> str:
    raise AssertionError("arguments that are no JSON run nothing")
