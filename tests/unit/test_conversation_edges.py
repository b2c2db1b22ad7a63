"""Turns of which nothing can be sent, and what the gauges say when turns have ended: over the fakes of the turn's tests."""

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent)]
from test_conversation_turns import House, answer, terminal, user  # noqa: E402

from openrouter_pipe.domain.admission import AdmissionPolicy  # noqa: E402
from openrouter_pipe.ports.chat import ChatMessage  # noqa: E402
from openrouter_pipe.ports.items import AudioPart, Role, TextPart  # noqa: E402

FOREIGN_THOUGHT = {"type": "reasoning.text", "text": "t", "signature": "s", "format": "anthropic-claude-v1"}


def gauges(house: House) -> tuple[float, float]:
    return house.metrics.gauges["turns_running", ()], house.metrics.gauges["turns_waiting", ()]


async def test_the_gauges_say_zero_once_the_last_turn_has_ended() -> None:
    house = House(answer("a"))
    await house.hear()
    assert gauges(house) == (0, 0)


async def test_the_gauges_say_zero_after_a_turn_that_was_given_up() -> None:
    house = House(answer("a"))
    turn = house.conversation.respond(house.request())
    await anext(turn)
    assert gauges(house) == (1, 0)
    await turn.aclose()
    assert gauges(house) == (0, 0)


async def test_a_refused_turn_leaves_the_gauges_true() -> None:
    house = House(answer("a")).change(admission=AdmissionPolicy(1, 0))
    turn = house.conversation.respond(house.request())
    await anext(turn)
    assert terminal(await house.hear()).code == "server_busy"
    assert gauges(house) == (1, 0)
    await turn.aclose()


@pytest.mark.parametrize(
    "messages",
    [
        (ChatMessage(Role.USER, ()),),
        (user(""),),
        (user(" \n"), ChatMessage(Role.ASSISTANT, ())),
        (ChatMessage(Role.SYSTEM, (TextPart(""),)), ChatMessage(None, (TextPart("out"),), tool_call_id="call_1")),
        (user(""), ChatMessage(Role.ASSISTANT, (), reasoning_details=(FOREIGN_THOUGHT,))),
    ],
)
async def test_messages_that_say_nothing_are_refused_and_nothing_is_sent(messages: tuple[ChatMessage, ...]) -> None:
    house = House(answer("a"))
    last = terminal(await house.hear(*messages))
    assert last.code == "bad_request"
    assert "messages:" in last.text
    assert house.provider.requests == []
    assert house.idle


async def test_media_that_the_model_cannot_read_are_named_when_nothing_is_left() -> None:
    house = House(answer("a"))
    last = terminal(await house.hear(ChatMessage(Role.USER, (AudioPart("AAAA", "wav"),))))
    assert "messages:" in last.text
    assert "audio" in last.text


async def test_a_system_message_alone_is_enough() -> None:
    house = House(answer("a"))
    await house.hear(ChatMessage(Role.SYSTEM, (TextPart("Greet."),)))
    assert len(house.provider.requests) == 1
