"""An answer that the user lets go on: hosts glue the new text to the stored one, whose last line may be a marker or a notice."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from openrouter_pipe.adapters.memory import CountingIds, ManualClock
from openrouter_pipe.adapters.openwebui.answering import Turn
from openrouter_pipe.adapters.openwebui.host import Host
from openrouter_pipe.adapters.openwebui.request import HostCall
from openrouter_pipe.adapters.openwebui.steady import SteadyClock, SteadyIds
from openrouter_pipe.ports.chat import ChatEvent, Completed, NoticeAdded, TextAdded

MARKED = "Before.\n\n[0000000000000000000A]: #"
FOOT = "Part\n\n### Too many requests\n\n- Error ID: `0123456789abcdef`\n- Time: 2026-11-23T03:47:15Z\n"
NOTICES = [
    "Once upon\n\n*The answer ends here because it reached the limit of output tokens.*",
    "*a.pdf was not sent: this model reads no files.*\n",
    FOOT,
    FOOT + "- Session: s_1\n- User: u 1",
]
IDS = {"chat_id": "c", "message_id": "m", "session_id": "s"}


async def events(*said: ChatEvent) -> AsyncGenerator[ChatEvent, None]:
    for event in said:
        yield event


def call(content: Any, role: str = "assistant") -> HostCall:
    messages = [{"role": "user", "content": "Go."}, {"role": role, "content": content}]
    return HostCall({"model": "m", "stream": True, "messages": messages}, metadata=IDS)


async def streamed(call: HostCall, host: Host, *said: ChatEvent) -> str:
    turn = Turn(call, host, SteadyIds(CountingIds()), SteadyClock(ManualClock()), patience=1.0)
    return "".join([line async for line in turn.stream(events(*said))])


@pytest.mark.parametrize("host", [Host(present=True, native_items=True), Host(present=True)])
@pytest.mark.parametrize("content", [MARKED, MARKED + " \n", [{"type": "text", "text": MARKED}], *NOTICES])
async def test_the_new_text_starts_a_paragraph_of_its_own(host: Host, content: Any) -> None:
    shown = await streamed(
        call(content), host, TextAdded(0, "After"), TextAdded(0, " all."), Completed(None, "m", None)
    )
    assert '\\n\\nAfter"' in shown
    assert "\\n\\n all" not in shown


@pytest.mark.parametrize("host", [Host(present=True, native_items=True), Host(present=True)])
async def test_so_does_a_notice(host: Host) -> None:
    assert '"\\n\\nSorry' in await streamed(call(MARKED), host, NoticeAdded("Sorry."), Completed(None, "m", None))


async def test_a_completion_at_once() -> None:
    turn = Turn(call(MARKED), Host(present=True), SteadyIds(CountingIds()), SteadyClock(ManualClock()), patience=1.0)
    answer = await turn.whole(events(TextAdded(0, "After."), Completed(None, "m", None)))
    assert answer["choices"][0]["message"]["content"] == "\n\nAfter."


@pytest.mark.parametrize(
    "one",
    [
        call("Before."),
        call("a *b*"),
        call("- User: u\n\nx"),
        call("*" * 3),
        call("x" * 9999),
        call(MARKED, role="user"),
        call(None),
        HostCall({"messages": [7]}, metadata=IDS),
        HostCall(None),
    ],
)
async def test_other_text_starts_where_it_starts(one: HostCall) -> None:
    shown = await streamed(one, Host(present=True), TextAdded(0, "After."), Completed(None, "m", None))
    assert '"After."' in shown
