"""Turns under their own identifiers and level in the log, and nothing in it that is nobody's business."""

import asyncio
import logging
from contextlib import aclosing

import pytest

from openrouter_pipe.adapters.observability.chat import LoggedChat
from openrouter_pipe.adapters.observability.console import PipeLogging
from openrouter_pipe.composition.policies import log_redaction
from openrouter_pipe.ports.chat import ChatMessage, ChatRequest, Completed, Identity, ModelListing, TextAdded
from openrouter_pipe.ports.items import Role, TextPart
from openrouter_pipe.ports.settings import read_settings
from scripted_chat import ScriptedChat

NAME = "openrouter_pipe_test_of_logged_chat"
KEY = "sk-or-v1-aaaabbbbccccddddeeeeffff"
OTHER_SECRET = "correct horse battery staple"


class Talkative(ScriptedChat):
    """Logs one line of each level before every event, at its end, and in a task that it starts."""

    def __init__(self, *events, text="at work") -> None:
        super().__init__(events or (TextAdded(0, "a"), TextAdded(0, "b"), Completed()))
        self.text = text
        self.log = logging.getLogger(f"{NAME}.domain.somewhere")

    def say(self, what: str) -> None:
        self.log.debug("%s, quietly", what)
        self.log.info("%s", what)

    async def aside(self) -> None:
        self.say(f"{self.text} in a task")

    async def respond(self, request):
        try:
            async with aclosing(super().respond(request)) as events:
                async for event in events:
                    self.say(self.text)
                    await asyncio.create_task(self.aside())
                    yield event
        finally:
            self.say("end of turn")

    async def models(self, settings):
        self.say("listing")
        return (ModelListing("m", "M"),)


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.DEBUG)
    yield lambda: [record.getMessage() for record in caplog.records]
    logger = logging.getLogger(NAME)
    assert logger.handlers == []
    assert logger.propagate
    assert logger.level == logging.NOTSET


def request(level="INFO", who="1", **more):
    settings = read_settings({"API_KEY": KEY, "ARTIFACT_ENCRYPTION_KEY": OTHER_SECRET, "LOG_LEVEL": level}, {})
    identity = Identity(f"user-{who}", f"session-{who}", f"chat-{who}", f"message-{who}", "ada@example.com", "Ada")
    message = ChatMessage(Role.USER, (TextPart("hi"),))
    return ChatRequest("m", (message,), settings, f"req-{who}", identity=identity, **more)


def logged(chat, name=NAME):
    return LoggedChat(chat, PipeLogging(name), log_redaction)


def ids(who):
    return f"[request_id=req-{who} user_id=user-{who} session_id=session-{who} chat_id=chat-{who} message_id=message-{who}]"


async def test_every_line_has_the_ids_of_its_turn_even_those_of_tasks_and_of_the_end(lines):
    service = logged(Talkative())
    events = [event async for event in service.respond(request())]
    service.close()
    assert events == [TextAdded(0, "a"), TextAdded(0, "b"), Completed()]
    assert lines() == [f"{text} {ids(1)}" for text in ["at work", "at work in a task"] * 3 + ["end of turn"]]


async def test_turns_side_by_side_keep_their_ids_apart(lines):
    service = logged(Talkative())

    async def turn(who):
        async for _ in service.respond(request(who=who)):
            await asyncio.sleep(0)

    await asyncio.gather(*(turn(str(number)) for number in range(20)))
    service.close()
    for number in range(20):
        assert sum(line.endswith(ids(number)) for line in lines()) == 7


async def test_turns_interleaved_within_one_task_keep_their_ids_apart(lines):
    service = logged(Talkative(text="one")), logged(Talkative(text="two"))
    first, second = service[0].respond(request(who="1")), service[1].respond(request(who="2"))
    for _ in range(3):
        await anext(first)
        await anext(second)
    await first.aclose()
    await second.aclose()
    for one in service:
        one.close()
    assert all(line.endswith(ids(1 if line.startswith("one") else 2)) for line in lines() if "end" not in line)
    assert [line for line in lines() if "end" in line] == [f"end of turn {ids(1)}", f"end of turn {ids(2)}"]


async def test_a_consumer_that_takes_each_step_in_another_task_loses_no_ids(lines):
    service = logged(Talkative())
    events = service.respond(request())
    for _ in range(2):
        await asyncio.wait_for(anext(events), 5)  # a task of its own each time on Python 3.11
    await asyncio.create_task(events.aclose())
    service.close()
    assert len(lines()) == 5
    assert all(line.endswith(ids(1)) for line in lines())


async def test_after_the_turn_lines_are_nobodys(lines):
    chat = Talkative()
    service = logged(chat)
    async for _ in service.respond(request()):
        pass
    chat.log.info("afterwards")
    service.close()
    assert lines()[-1] == "afterwards"


@pytest.mark.parametrize("order", [("DEBUG", "WARNING"), ("WARNING", "DEBUG")])
async def test_each_pipe_has_its_level_though_they_share_a_logger(lines, order):
    loud, quiet = Talkative(text="loud"), Talkative(text="hushed")
    services = {"DEBUG": logged(loud), "WARNING": logged(quiet)}
    for level in order:
        await services[level].models(request(level).settings)
    for level in order:
        async for _ in services[level].respond(request(level)):
            pass
    for service in services.values():
        service.close()
    assert sum("loud" in line for line in lines()) == 12
    assert not any("hushed" in line for line in lines())
    assert sum("listing" in line for line in lines()) == 2


async def test_a_changed_level_acts_on_the_next_turn(lines):
    service = logged(Talkative())
    for level, expected in (("WARNING", 0), ("DEBUG", 14), ("INFO", 7), ("ERROR", 0)):
        before = len(lines())
        async for _ in service.respond(request(level)):
            pass
        assert len(lines()) - before == expected
    service.close()


async def test_neither_keys_nor_addresses_reach_the_log(lines, caplog):
    text = f"key {KEY} other {OTHER_SECRET} mail ada@example.com data:image/png;base64,{'QUJD' * 50} and {'QUJD' * 50}"
    service = logged(Talkative(text=text))
    async for _ in service.respond(request("DEBUG")):
        pass
    service.close()
    shown = "\n".join(lines()) + caplog.text
    for forbidden in (KEY, OTHER_SECRET, "ada@example.com", "QUJD" * 26, "Ada"):
        assert forbidden not in shown
    assert "[redacted]" in shown


async def test_a_turn_that_outlives_close_is_redacted_to_its_end(lines):
    chat = Talkative(text=f"with {KEY}")
    service = logged(chat)
    events = service.respond(request())
    await anext(events)
    service.close()
    await anext(events)
    await events.aclose()
    assert len(lines()) == 5
    assert not any(KEY in line for line in lines())


async def test_a_turn_that_fails_leaves_nothing_behind(lines):
    service = logged(Talkative(TextAdded(0, "x"), RuntimeError("boom")))
    with pytest.raises(RuntimeError):
        async for _ in service.respond(request()):
            pass
    service.close()
    logging.getLogger(f"{NAME}.x").warning("later")
    assert lines()[-1] == "later"
