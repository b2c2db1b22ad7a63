"""Failures that arise at the host's edge: as complete as a template, and never the answer of a background task."""

from __future__ import annotations

import json
import logging
import re

import pytest

from fake_host import HOST_06, HOST_12, FakeHost
from openrouter_pipe.adapters.memory.runtime import CountingIds, ManualClock
from openrouter_pipe.adapters.openwebui import make_pipe_class
from openrouter_pipe.domain.redaction import Redactor
from openrouter_pipe.ports.chat import Completed, Failed, StatusChanged, TextAdded
from scripted_chat import ScriptedChat

SUPPORT = {"SUPPORT_EMAIL": "help@example.org", "SUPPORT_URL": "https://example.org/help?a=1"}
FAILED = Failed("0123456789abcdef", "rate_limit", "### Too many requests\n\nwait", 429)
IDS = {"chat_id": "c", "message_id": "m", "session_id": "s"}
UNSHOWABLE = StatusChanged("x", sources=(b"sk-or-v1-not-for-anybody",))


@pytest.fixture(params=[True, False], ids=["0.12.4", "0.6.28"])
def recent(request: pytest.FixtureRequest) -> bool:
    return request.param


class Services:
    def __init__(self, chat: ScriptedChat) -> None:
        self.chat = chat
        self.environment: dict[str, str] = {}
        self.clock = ManualClock()
        self.ids = CountingIds()

    async def close(self) -> None:
        pass


def host_of(recent: bool, *events: object, build=None, **valves: object) -> FakeHost:
    profile = HOST_12 if recent else HOST_06
    build = build or (lambda _: Services(ScriptedChat(events)))
    return FakeHost(make_pipe_class(build, "function_router", lambda: profile)(), recent=recent, valves=valves)


def assert_complete(text: str, heading: str, log: str) -> None:
    """Heading, what happened, what to do, id (which the log has), time and support."""
    assert f"### {heading}\n\n" in text
    assert "**What to do:** " in text
    (error_id,) = re.findall(r"- Error ID: `([0-9a-f]{16})`", text)
    assert error_id in log
    assert re.search(r"- Time: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text)
    assert "- User: " in text
    assert "- Support: help@example.org\n- Support: https://example.org/help?a=1\n" in text + "\n"


@pytest.mark.parametrize("name", ["API_KEY", "ARTIFACT_ENCRYPTION_KEY", "SESSION_LOG_ZIP_PASSWORD"])
async def test_the_log_says_what_is_wrong_with_a_secret_and_redaction_leaves_it_whole(recent, caplog, name):
    host = host_of(recent, Completed(), **{name: "encrypted:gAAAAA"})
    await host.chat()
    await host.models()
    said = Redactor().text(caplog.text)
    assert len(re.findall(rf"configuration error [0-9a-f]{{16}}: {name} (?:cannot|is)", said)) == 1
    assert len(re.findall(rf"no models are listed: {name} (?:cannot|is)", said)) == 1


async def test_a_setting_that_cannot_be_used(recent, caplog):
    host = host_of(recent, Completed(), **SUPPORT, HTTP_CONNECT_TIMEOUT_SECONDS="soon <img src=x> ![a](b)")
    text = (await host.chat()).text
    assert_complete(text, "Configuration error", caplog.text)
    assert "HTTP_CONNECT_TIMEOUT_SECONDS: must be a number" in text
    assert "<img" not in text
    assert "![a]" not in text


async def test_a_key_in_the_wrong_field_is_shown_to_nobody(recent, caplog):
    key = "sk-or-v1-0123456789abcdef0123456789abcdef0123456789abcdef"
    host = host_of(recent, Completed(), **SUPPORT, MODEL_CATALOG_REFRESH_SECONDS=key)
    text = (await host.chat()).text
    models = await host.models()
    assert "MODEL_CATALOG_REFRESH_SECONDS" in text
    for length in range(12, len(key)):
        assert key[:length] not in text + caplog.text + str(models)


async def test_an_answer_that_cannot_be_shown(recent, caplog):
    host = host_of(recent, TextAdded(0, "shown"), UNSHOWABLE, Completed(), **SUPPORT)
    text = (await host.chat()).text
    assert text.startswith("shown\n\n")
    assert_complete(text, "Internal error", caplog.text)


async def test_services_that_cannot_be_made(recent, caplog):
    def broken(_: str) -> object:
        raise RuntimeError("planted")

    host = host_of(recent, build=broken, **SUPPORT)
    assert_complete(words_of(await host.api(**IDS)), "Internal error", caplog.text)
    assert await host.call(stream=False, task="title_generation", **IDS) == ""


async def test_the_entry_for_set_up_when_there_is_nothing_left_to_do(recent, caplog):
    host = host_of(recent, Completed(), **SUPPORT)
    with caplog.at_level(logging.ERROR):
        text = (await host.chat(model="router.setup-needed")).text
    assert text.startswith("### Choose a model\n\n")
    assert "**What to do:** choose a model" in text
    assert not caplog.records


def words_of(events: list) -> str:
    """What a front end would take for the answer's text."""
    return "".join(
        choice["delta"].get("content") or ""
        for event in events
        if event != "[DONE]"
        for choice in event.get("choices") or ()
    )


ENDS = {
    "at once": (FAILED,),
    "after some text": (TextAdded(0, "half"), FAILED),
    "raised": (ValueError("planted"),),
    "raised after some text": (TextAdded(0, "half"), ValueError("planted")),
    "not to be shown": (UNSHOWABLE, Completed()),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("task", ["moa_response_generation", {"type": "moa_response_generation"}])
async def test_a_mixture_of_agents_that_fails_has_no_error_for_its_answer(recent, task, end):
    events = await host_of(recent, *ENDS[end]).api(task=task, **IDS)
    assert words_of(events) in {"", "half"}
    assert any(event != "[DONE]" and event.get("error") for event in events)
    result = await host_of(recent, *ENDS[end]).call(stream=False, task=task, **IDS)
    if not isinstance(result, dict | str):  # where starlette is installed
        assert result.status_code in {429, 500}
        result = json.loads("".join([part async for part in result.body_iterator]))
    assert result == "" or "choices" not in result
    assert result == "" or result["error"]["message"]


@pytest.mark.parametrize("end", ENDS)
async def test_other_tasks_that_fail_have_no_result(recent, end):
    for task, nothing in (("title_generation", ""), ("tags_generation", '{"tags": []}')):
        result = await host_of(recent, *ENDS[end]).call(stream=False, task=task, **IDS)
        assert result in {nothing, ""}
        events = await host_of(recent, *ENDS[end]).api(task=task, **IDS)
        assert words_of(events) in {"", "half"}


async def test_a_caller_may_hand_over_everything_that_a_host_has(recent):
    profile = HOST_12 if recent else HOST_06
    pipe = make_pipe_class(
        lambda _: Services(ScriptedChat((TextAdded(0, "x"), Completed()))), "function_router", lambda: profile
    )()
    body = {"model": "router.m", "stream": False, "messages": [{"role": "user", "content": "hi"}]}
    unused = {
        "__files__": [],
        "__task_body__": None,
        "__chat_id__": "c",
        "__message_id__": "m",
        "__oauth_token__": None,
    }
    answer = await pipe.pipe(body, __user__={"id": "u"}, __metadata__={}, **unused)
    assert "x" in json.dumps(answer)
