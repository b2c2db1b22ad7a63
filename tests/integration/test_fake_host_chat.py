"""The pipe in both hosts' hands: what is streamed, stored and told, with a scripted core behind it."""

import asyncio
import gc
import json
import logging
import re

import attrs
import pytest

from fake_host import HOST_06, HOST_12, FakeHost, unescaped
from openrouter_pipe.adapters.openwebui import make_pipe_class
from openrouter_pipe.domain.history.pairing import repair
from openrouter_pipe.ports.chat import (
    CitationsFound,
    Completed,
    Failed,
    ImageProduced,
    ItemClosed,
    ItemOpened,
    MarkersIssued,
    ModelListing,
    NoticeAdded,
    Notified,
    ReasoningAdded,
    StatusChanged,
    TextAdded,
    ToolFinished,
    ToolStarted,
)
from openrouter_pipe.ports.items import (
    Citation,
    FunctionCallItem,
    FunctionOutputItem,
    ItemKind,
    MessageItem,
    ReasoningItem,
    Role,
    ServerToolItem,
)
from openrouter_pipe.ports.telemetry import Usage
from openrouter_pipe.ports.tools import ToolFile, ToolOutput, ToolSource
from scripted_chat import ScriptedChat, ScriptedServices

MARKER = "[01ARZ3NDEKTSV4RRFFQ69G5FAV]: #"
USAGE = Usage(10, 5, 15, cached_tokens=2, reasoning_tokens=3, cost=0.5, raw={"is_byok": False, "input_tokens": 99})
FAILED = Failed("e1", "rate_limit", "### Too many requests\n\nWait.", status=429)
MESSAGE = MessageItem(Role.ASSISTANT, ())
CALL = FunctionCallItem("call_1", "search", '{"q":"a<b>"}')
OUTPUT = ToolOutput("call_1", 'found "it" <b>', files=(ToolFile("/f/1", "image", "one"),), embeds=("<p>x</p>",))
REASONED = (
    ItemOpened(0, ItemKind.REASONING, "r"),
    ReasoningAdded(0, 0, "First", summary=True),
    ReasoningAdded(0, 0, " thought.", summary=True),
    ReasoningAdded(0, 1, "Second.", summary=True),
    ItemClosed(0, ReasoningItem(), 2.6),
    ItemOpened(1, ItemKind.MESSAGE, "m"),
    TextAdded(1, "Hel"),
    TextAdded(1, "lo"),
    ItemClosed(1, MESSAGE),
)


class Case:
    """One host with a scripted core."""

    def __init__(self, recent, events=(), models=()):
        self.chat = ScriptedChat(events, models)
        self.services = ScriptedServices(self.chat)
        self.built = []
        profile = HOST_12 if recent else HOST_06
        module = "function_router_" + "0" * 32 if recent else "function_router"
        self.pipe_class = make_pipe_class(self._build, module, lambda: profile)
        self.host = FakeHost(self.pipe_class(), recent=recent)

    def _build(self, pipe_id):
        self.built.append(pipe_id)
        return self.services

    @property
    def statuses(self):
        return [event["data"] for event in self.host.events if event["type"] == "status"]


@pytest.fixture(params=[True, False], ids=["0.12.4", "0.6.28"])
def recent(request):
    return request.param


async def test_reasoning_text_and_usage_are_stored_in_true_order_as_items():
    case = Case(True, (*REASONED, Completed(USAGE)))
    stored = await case.host.chat()
    assert [item["type"] for item in stored.output] == ["reasoning", "message"]
    reasoning, message = stored.output
    assert reasoning["summary"] == [{"type": "summary_text", "text": "First thought.\n\nSecond."}]
    assert (reasoning["status"], reasoning["duration"]) == ("completed", 3)
    assert message["content"] == [{"type": "output_text", "text": "Hello", "annotations": []}]
    assert stored.usage["total_tokens"] == 15
    assert (stored.usage["cost"], stored.usage["is_byok"], stored.usage["input_tokens"]) == (0.5, False, 10)
    assert len({item["id"] for item in stored.output}) == 2


async def test_reasoning_text_and_usage_are_stored_as_text():
    case = Case(False, (*REASONED, Completed(USAGE)))
    stored = await case.host.chat()
    assert stored.content.endswith("</details>\nHello")
    assert "> First thought.\n> \n> Second." in stored.content
    assert stored.usage["prompt_tokens"] == 10


def thought(*pieces, index=0, part=0):
    return [ReasoningAdded(index, part, piece, summary=False) for piece in pieces]


QUOTED = {
    # what is thought and shown -> the quoted blocks
    "a tool between": (
        [*thought("one"), ToolFinished(1, CALL, OUTPUT), *thought("two", index=2)],
        [["one"], ["two"]],
    ),
    "text between": ([*thought("one"), TextAdded(1, "x"), *thought("two", index=2)], [["one"], ["two"]]),
    "a notice between": ([*thought("one"), NoticeAdded("x"), *thought("two", part=1)], [["one"], ["two"]]),
    "held text between": ([*thought("one"), TextAdded(1, "<"), *thought("two", index=2)], [["one"], ["two"]]),
    "text in the middle": ([*thought("one"), TextAdded(1, "x"), *thought("\n\nmore")], [["one"], ["more"]]),
    "breaks at both ends": ([*thought("\n\n", "\n", "one", " two\n", "\n\n")], [["one two"]]),
    "breaks between paragraphs": (
        [*thought("**A**\n\n"), *thought("\n\n**B**\n", part=1), *thought("C", part=2)],
        [["**A**", "", "**B**", "", "C"]],
    ),
    "breaks within one": ([*thought("a", "\n", "\n", "b\nc")], [["a", "", "b", "c"]]),
    "breaks and tool": (
        [*thought("one\n\n"), ToolFinished(1, CALL, OUTPUT), *thought("\n\ntwo\n", index=2), TextAdded(3, "x")],
        [["one"], ["two"]],
    ),
    "only blanks": ([*thought(" ", "\n\n", "  "), TextAdded(1, "x")], []),
    "indentation": ([*thought("\n", "  code\n", "    more")], [["  code", "    more"]]),
    "spaces between words": ([*thought("a", " ", "b")], [["a b"]]),
}


@pytest.mark.parametrize("case_name", QUOTED)
async def test_no_blank_line_is_quoted_but_between_paragraphs(case_name):
    events, wanted = QUOTED[case_name]
    stored = await Case(False, (*events, Completed())).host.chat()
    blocks = re.findall(r'<details type="reasoning"[^>]*>\n(.*?)\n</details>', stored.content, re.DOTALL)
    assert [block.split("\n") for block in blocks] == [[f"> {line}" for line in block] for block in wanted]
    assert stored.content.count('<details type="reasoning"') == len(wanted)


async def test_interleaved_and_late_items_keep_their_place():
    events = (
        ReasoningAdded(0, 0, "a", summary=False),
        TextAdded(2, "two"),
        ReasoningAdded(3, 0, "c", summary=False),
        ReasoningAdded(1, 0, "late", summary=False),
        TextAdded(2, "!"),
        TextAdded(4, "four"),
        Completed(),
    )
    output = (await Case(True, events).host.chat()).output
    assert [(item["type"], item["content"][0]["text"]) for item in output] == [
        ("reasoning", "a"),
        ("reasoning", "late"),
        ("message", "two!"),
        ("reasoning", "c"),
        ("message", "four"),
    ]
    assert {item["status"] for item in output} == {"completed"}


async def test_each_line_is_one_event_and_hot_deltas_are_small(recent):
    case = Case(recent, (TextAdded(0, "a\n\nb"), TextAdded(0, "c"), Completed()))
    lines = await case.host.lines(chat_id="c", message_id="m", session_id="s")
    for line in lines:
        assert line.count("data:") == 1
        assert "\n" not in line.rstrip("\n")
    assert any('"delta":"c"' in line or '"content":"c"' in line for line in lines)


async def test_markers_reach_the_stored_message_behind_a_blank_line(recent):
    case = Case(recent, (*REASONED, MarkersIssued(f"{MARKER}\n{MARKER}"), Completed()))
    stored = await case.host.chat()
    assert stored.text.endswith(f"Hello\n\n{MARKER}\n{MARKER}")
    assert {part["type"] for item in stored.output if item["type"] == "message" for part in item["content"]} <= {
        "output_text"
    }


async def test_text_after_markers_or_notices_starts_a_paragraph(recent):
    events = (
        MarkersIssued(MARKER),
        TextAdded(0, "one"),
        NoticeAdded("Note."),
        TextAdded(0, "two"),
        TextAdded(1, "three"),
        Completed(),
    )
    text = (await Case(recent, events).host.chat()).text
    assert re.sub(r"\n+", "|", text) == f"{MARKER}|one|Note.|two|three"
    assert "one\n\nNote.\n\ntwo" in text


async def test_tools_of_ours_are_shown_and_never_left_to_the_host():
    events = (
        TextAdded(0, "text"),
        ToolStarted(1, CALL),
        ToolFinished(2, CALL, OUTPUT),
        ToolStarted(3, FunctionCallItem("call_2", "slow", "{}")),
        FAILED,
    )
    stored = await Case(True, events).host.chat()
    kinds = [item["type"] for item in stored.output]
    assert kinds[:4] == ["message", "function_call", "function_call_output", "function_call"]
    assert stored.opened_calls == []
    assert stored.output[2]["output"] == [{"type": "input_text", "text": OUTPUT.text}]
    assert stored.output[2]["files"] == [{"type": "image", "url": "/f/1", "name": "one"}]
    assert stored.output[2]["embeds"] == ["<p>x</p>"]


@pytest.mark.parametrize("began", [True, False], ids=["ran", "was refused before it began"])
async def test_a_call_id_used_again_in_a_later_round_keeps_both_cards(began):
    again = FunctionCallItem(CALL.call_id, CALL.name, '{"n": 2}')
    second = attrs.evolve(OUTPUT, text="second", files=(), embeds=())
    events = (
        ToolStarted(0, CALL),
        ToolFinished(1, CALL, OUTPUT),
        *((ToolStarted(2, again),) if began else ()),
        ToolFinished(3, again, second),
    )
    stored = await Case(True, (*events, Completed())).host.chat()
    calls = [item for item in stored.output if item["type"] == "function_call"]
    outputs = [item for item in stored.output if item["type"] == "function_call_output"]
    assert [item["arguments"] for item in calls] == [CALL.arguments, again.arguments]
    assert [item["output"][0]["text"] for item in outputs] == [OUTPUT.text, "second"]
    assert [item["call_id"] for item in calls] == [item["call_id"] for item in outputs] == ["call_1", "call_1_2"]
    assert stored.opened_calls == []


async def test_call_ids_used_again_are_shown_under_the_names_that_they_are_stored_under():
    ids = ["call_1", "call_2", "call_2", "call_1", "x" * 64, "x" * 64]
    calls = [FunctionCallItem(one, CALL.name, "{}") for one in ids]
    events = [
        event
        for at, call in enumerate(calls)
        for event in (ToolStarted(2 * at, call), ToolFinished(2 * at + 1, call, OUTPUT))
    ]
    stored = await Case(True, (*events, Completed())).host.chat()
    shown = [item["call_id"] for item in stored.output if item["type"] == "function_call"]
    outputs = [FunctionOutputItem(one, "") for one in ids]
    items = repair([item for pair in zip(calls, outputs, strict=True) for item in pair])
    assert shown == [item.call_id for item in items if isinstance(item, FunctionCallItem)]
    assert shown[2:4] == ["call_2_2", "call_1_2"]


async def test_tool_cards_stand_on_their_own_lines_and_are_escaped():
    events = (TextAdded(0, "text"), ToolStarted(1, CALL), ToolFinished(2, CALL, OUTPUT), TextAdded(3, "after"))
    content = (await Case(False, (*events, Completed())).host.chat()).content
    card = re.search(r'^<details type="tool_calls" .*>$', content, re.MULTILINE)[0]
    assert content.startswith("text\n\n<details")
    assert content.endswith("</details>\n\nafter")
    assert unescaped(re.search('arguments="(.*?)"', card)[1]) == CALL.arguments
    assert unescaped(re.search('result="(.*?)"', card)[1]) == OUTPUT.text


async def test_calls_without_a_toolbox_are_left_to_the_host(recent):
    stored = await Case(recent, (ItemClosed(0, CALL), Completed())).host.chat()
    assert stored.opened_calls == ["call_1"]


async def test_a_search_of_the_provider_is_shown_as_such():
    events = (ItemClosed(0, ServerToolItem("web_search_call", query="cats")), TextAdded(1, "x"), Completed())
    output = (await Case(True, events).host.chat()).output
    assert output[0]["type"] == "web_search_call"
    assert output[0]["action"] == {"type": "search", "query": "cats"}


async def test_images_are_in_the_text_of_chats_and_a_field_for_programs(recent):
    case = Case(recent, (TextAdded(0, "Look:"), ImageProduced("/api/v1/files/1/content"), Completed()))
    assert (await case.host.chat()).text == "Look:\n\n![Generated image](/api/v1/files/1/content)"
    events = await case.host.api()
    images = [event["choices"][0]["delta"].get("images") for event in events if event != "[DONE]" and event["choices"]]
    assert [{"type": "image_url", "image_url": {"url": "/api/v1/files/1/content"}}] in images


async def test_a_failure_is_readable_and_keeps_what_was_shown(recent):
    stored = await Case(recent, (TextAdded(0, "partial"), FAILED)).host.chat()
    assert stored.text == "partial\n\n" + FAILED.text
    stored = await Case(recent, (FAILED,)).host.chat()
    assert stored.text == FAILED.text


async def test_an_exception_never_costs_the_text_already_shown(recent, caplog):
    stored = await Case(recent, (TextAdded(0, "partial"), ValueError("key sk-1"))).host.chat()
    error_id = re.search(r"Error ID: `(\w{16})`", stored.text)[1]
    assert stored.text.startswith("partial\n\n### Internal error")
    assert "sk-1" not in stored.text
    assert error_id in caplog.text


async def test_programs_get_chunks_one_usage_and_one_end(recent):
    events = await Case(recent, (*REASONED, Completed(USAGE))).host.api()
    chunks = [event for event in events if event != "[DONE]"]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert "".join(delta.get("content", "") for delta in deltas) == "Hello"
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "First thought.\n\nSecond."
    assert [chunk["usage"]["total_tokens"] for chunk in chunks if "usage" in chunk] == [15]
    assert [reason for chunk in chunks if (reason := chunk["choices"][0]["finish_reason"])] == ["stop"]
    assert events.count("[DONE]") == 1
    assert events[-1] == "[DONE]"


async def test_programs_learn_citations_calls_and_why_it_ended(recent):
    citation = Citation("https://a.b", "A", "quote", 1, 2)
    events = (TextAdded(0, "x"), CitationsFound((citation,)), ItemClosed(1, CALL), Completed())
    chunks = [event for event in await Case(recent, events).host.api() if event != "[DONE]"]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert next(d for d in deltas if "annotations" in d)["annotations"][0]["url_citation"]["url"] == "https://a.b"
    call = next(d for d in deltas if "tool_calls" in d)["tool_calls"][0]
    assert (call["index"], call["id"], call["function"]["name"]) == (0, "call_1", "search")
    reasons = [reason for chunk in chunks if (reason := chunk["choices"][0]["finish_reason"])]
    assert reasons[0] == "tool_calls"
    chunks = await Case(recent, (Completed(reason="max_output_tokens"),)).host.api()
    assert chunks[0]["choices"][0]["finish_reason"] == "length"


async def test_programs_get_an_error_object(recent):
    events = await Case(recent, (TextAdded(0, "x"), FAILED)).host.api()
    error = next(event["error"] for event in events if event != "[DONE]" and "error" in event)
    assert (error["message"], error["code"], error["type"]) == (FAILED.text, 429, "rate_limit")


@pytest.mark.parametrize("recent", [True, False])
async def test_messages_that_overlap_are_whole_in_an_answer_that_is_not_streamed(recent):
    events = (
        TextAdded(0, "One "),
        TextAdded(1, "Two "),
        TextAdded(0, "and more."),
        NoticeAdded("*Note.*"),
        TextAdded(1, "and more."),
        TextAdded(1, ".."),
    )
    case = Case(recent, (*events, Completed()))
    answer = await case.host.call(stream=False)
    content = answer["choices"][0]["message"]["content"]
    assert content == "One and more.\n\nTwo \n\n*Note.*\n\nand more..."


async def test_whole_answers_carry_everything(recent):
    case = Case(recent, (*REASONED, MarkersIssued(MARKER), Completed(USAGE)))
    answer = await case.host.call(stream=False)
    message = answer["choices"][0]["message"]
    assert message["content"] == f"Hello\n\n{MARKER}"
    assert message["reasoning_content"] == "First thought.\n\nSecond."
    assert (answer["object"], answer["model"]) == ("chat.completion", "router.vendor.model")
    assert (answer["usage"]["total_tokens"], answer["choices"][0]["finish_reason"]) == (15, "stop")


async def test_whole_failures_are_text_in_chats_and_errors_for_programs(recent):
    case = Case(recent, (TextAdded(0, "partial"), FAILED))
    chat = await case.host.call(stream=False, chat_id="c", message_id="m", session_id="s")
    assert chat["choices"][0]["message"]["content"] == "partial\n\n" + FAILED.text
    answer = await case.host.call(stream=False)
    if not isinstance(answer, dict):  # where starlette is installed
        assert answer.status_code == 429
        answer = json.loads("".join([part async for part in answer.body_iterator]))
    assert answer["error"]["message"] == FAILED.text


@pytest.mark.parametrize(
    ("task", "nothing"),
    [
        ("title_generation", ""),
        ({"type": "tags_generation"}, '{"tags": []}'),
        ("query_generation", '{"queries": []}'),
    ],
)
async def test_tasks_are_plain_text_and_failures_are_no_result(recent, task, nothing):
    ids = {"chat_id": "c", "message_id": "m", "session_id": "s"}
    case = Case(recent, (StatusChanged("x"), TextAdded(0, '{"title":"T"}'), Completed()))
    assert await case.host.call(stream=False, task=task, **ids) == '{"title":"T"}'
    case.chat.events = [TextAdded(0, "half"), FAILED]
    assert await case.host.call(stream=False, task=task, **ids) == nothing
    assert case.host.events == []
    assert not case.chat.requests[0].persistent


async def test_a_mixture_of_agents_is_an_answer_to_read(recent):
    case = Case(recent, (TextAdded(0, "x"), Completed()))
    events = await case.host.api(task="moa_response_generation", chat_id="c", message_id="m", session_id="s")
    assert events[0]["choices"][0]["delta"]["content"] == "x"


async def test_events_beside_the_answer(recent):
    citation = Citation("https://a.b", "A", "quote")
    source = ToolSource({"source": {"name": "tool"}, "document": ["d"], "metadata": [{}]})
    case = Case(
        recent,
        (
            StatusChanged("Thinking…"),
            CitationsFound((citation,)),
            ToolFinished(1, CALL, ToolOutput("call_1", "x", sources=(source,))),
            Notified("Careful"),
            StatusChanged("Working"),
            TextAdded(2, "x"),
            FAILED,
        ),
    )
    await case.host.chat()
    assert case.statuses[0] == {"description": "Thinking…", "done": False}
    assert case.statuses[-1] == {"description": "Working", "done": True}
    sources = [event["data"] for event in case.host.events if event["type"] == "source"]
    assert sources[0]["source"] == {"name": "A", "url": "https://a.b"}
    assert (sources[0]["document"], sources[1]["source"]) == (["quote"], {"name": "tool"})
    notification = next(event["data"] for event in case.host.events if event["type"] == "notification")
    assert notification == {"type": "info", "content": "Careful"}
    assert not [event for event in case.host.events if event["type"] == "execute"]


async def test_no_events_for_programs_and_no_sources_where_they_would_raise():
    events = (StatusChanged("x", done=True), CitationsFound((Citation("https://a.b"),)), Completed())
    case = Case(False, events)
    await case.host.api()
    assert case.host.events == []
    await case.host.lines(chat_id="local", message_id="m", session_id="s")
    assert [event["type"] for event in case.host.events] == ["status"]


async def test_a_broken_emitter_never_costs_the_answer(recent):
    case = Case(recent, (StatusChanged("x"), TextAdded(0, "answer"), Completed()))

    async def broken(event):
        raise RuntimeError("socket gone")

    case.host.emit = broken
    assert (await case.host.chat()).text == "answer"


async def test_a_hanging_emitter_is_asked_once_and_costs_the_patience_that_was_set(recent):
    case = Case(recent, (*(StatusChanged(f"s{number}") for number in range(50)), TextAdded(0, "answer"), Completed()))
    case.host.valves["MIDDLEWARE_STREAM_QUEUE_PUT_TIMEOUT_SECONDS"] = 0.01
    asked = []

    async def hanging(event):
        asked.append(event)
        await asyncio.Event().wait()

    case.host.emit = hanging
    assert (await case.host.chat()).text == "answer"
    assert len(asked) == 1


async def test_patience_without_limit_waits_for_a_slow_emitter(recent):
    case = Case(recent, (StatusChanged("x"), StatusChanged("y"), TextAdded(0, "answer"), Completed()))
    case.host.valves["MIDDLEWARE_STREAM_QUEUE_PUT_TIMEOUT_SECONDS"] = 0
    told = []

    async def slow(event):
        for _ in range(100):
            await asyncio.sleep(0)
        told.append(event["data"]["description"])

    case.host.emit = slow
    assert (await case.host.chat()).text == "answer"
    assert told == ["x", "y", "y"]


@pytest.mark.parametrize("stream", [True, False])
async def test_what_cannot_be_rendered_is_told_behind_what_was_shown(recent, stream, caplog):
    odd = StatusChanged("x", sources=(b"sk-secret",))
    case = Case(recent, (TextAdded(0, "shown"), odd, Completed()))
    if stream:
        text = (await case.host.chat()).text
    else:
        answer = await case.host.call(chat_id="c", message_id="m", session_id="s", stream=False)
        text = answer["choices"][0]["message"]["content"]
    assert text.startswith("shown\n\n### Internal error")
    assert "sk-secret" not in text
    assert re.search(r"Error ID: `(\w{16})`", text)[1] in caplog.text


async def test_programs_get_an_error_object_for_what_cannot_be_rendered(recent):
    odd = CitationsFound(None)
    events = await Case(recent, (TextAdded(0, "shown"), odd, Completed())).host.api()
    assert any("Internal error" in event.get("error", {}).get("message", "") for event in events if event != "[DONE]")


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,<b>",
        "//evil.example/a.png",
        "/\\evil.example",
        "relative.png",
        "file:///etc",
    ],
)
async def test_images_at_other_addresses_are_not_shown(recent, url):
    text = (await Case(recent, (ImageProduced(url), Completed())).host.chat()).text
    assert url not in text
    assert "![" not in text
    assert "cannot be shown" in text


async def test_the_address_of_an_image_cannot_end_its_link(recent):
    url = 'https://x/a.png) [click me](https://evil "t"\n<b>'
    text = (await Case(recent, (ImageProduced(url), Completed())).host.chat()).text
    assert re.fullmatch(r"!\[Generated image\]\(https://x/a\.png[^()\[\]<>\s\"]*\)", text)


async def test_the_bytes_of_an_image_are_shown_as_they_are(recent):
    url = "data:image/png;base64,iVBO+/Rw0K=="
    assert (await Case(recent, (ImageProduced(url), Completed())).host.chat()).text == f"![Generated image]({url})"


async def test_a_call_that_never_began_is_shown_with_its_output():
    refused = ToolOutput("call_1", "no such tool", ok=False, reason="unknown_tool")
    output = (await Case(True, (ToolFinished(1, CALL, refused), TextAdded(2, "x"), Completed())).host.chat()).output
    assert [item["type"] for item in output] == ["function_call", "function_call_output", "message"]
    assert output[0]["call_id"] == output[1]["call_id"] == "call_1"


async def test_half_characters_do_not_stop_the_stream(recent):
    stored = await Case(recent, (TextAdded(0, "a\ud83d"), TextAdded(0, "b"), Completed())).host.chat()
    assert stored.text == "a�b"


async def test_closing_the_stream_closes_the_turn_at_once(recent):
    case = Case(recent, (TextAdded(0, "x"), TextAdded(0, "y")))
    result = await case.host.call(stream=True)
    await anext(result)
    assert case.chat.ended == 0
    await result.aclose()
    assert case.chat.ended == 1


async def test_cancelling_a_waiting_turn_cancels_it(recent):
    case = Case(recent, (TextAdded(0, "x"),))
    case.chat.pause = True
    shown = asyncio.Event()

    async def consume():
        async for _ in case.host.stream(chat_id="c", message_id="m", session_id="s"):
            shown.set()

    task = asyncio.create_task(consume())
    await shown.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert case.chat.ended == 1


async def test_what_the_core_is_asked(recent):
    case = Case(recent, (Completed(),))
    case.host.user_valves = {"REASONING_EFFORT": "high"}
    await case.host.chat("Hello", temperature=0.5)
    request = case.chat.requests[0]
    assert case.built == ["router"]
    assert (request.model, request.host_prefix) == ("router.vendor.model", "router")
    assert (request.parameters, request.stream, request.persistent) == ({"temperature": 0.5}, True, True)
    assert (request.identity.user_id, request.identity.message_id) == ("user-1", "message-1")
    assert request.settings.REASONING_EFFORT == "high"


async def test_changed_valves_act_on_the_next_call_and_not_on_a_running_one(recent):
    case = Case(recent, (TextAdded(0, "x"), Completed()))
    running = await case.host.call(stream=True)
    case.host.valves = {"MODEL_ID": "changed"}
    await case.host.models()
    assert [line async for line in running]
    await case.host.chat()
    assert [request.settings.MODEL_ID for request in case.chat.requests] == ["auto", "changed"]


async def test_a_bad_stored_valve_is_explained_and_breaks_nothing(recent, caplog):
    case = Case(recent, (TextAdded(0, "x"), Completed()), [ModelListing("vendor.model", "Model")])
    case.host.valves = {"BREAKER_WINDOW_SECONDS": 1}
    assert await case.host.models() == ["router.setup-needed"]
    stored = await case.host.chat()
    assert "BREAKER_WINDOW_SECONDS: must be between 5 and 900, not 1" in stored.text
    assert re.search(r"Error ID: `(\w+)`", stored.text)[1] in caplog.text
    assert case.chat.requests == []
    case.host.valves = {}
    assert await case.host.models() == ["router.vendor.model"]
    assert (await case.host.chat()).text == "x"


async def test_an_undecryptable_key_reaches_nobody(recent, monkeypatch):
    monkeypatch.setenv("WEBUI_SECRET_KEY", "wrong")
    case = Case(recent, (TextAdded(0, "x"), Completed()))
    case.host.valves = {"API_KEY": "encrypted:gAAAAA"}
    text = (await case.host.chat()).text
    assert "API_KEY" in text
    assert "gAAAAA" not in text
    assert case.chat.requests == []


async def test_a_users_bad_value_is_told_and_ignored(recent):
    case = Case(recent, (TextAdded(0, "x"), Completed()))
    case.host.user_valves = {"REASONING_EFFORT": "extreme"}
    assert (await case.host.chat()).text == "x"
    told = next(event["data"] for event in case.host.events if event["type"] == "notification")
    assert told["type"] == "warning"
    assert "REASONING_EFFORT: must be one of" in told["content"]


async def test_listing_never_raises(recent, caplog):
    case = Case(recent, models=[ModelListing("vendor.a", "A"), ModelListing("vendor.b", "B")])
    assert await case.host.models() == ["router.vendor.a", "router.vendor.b"]
    case.chat.broken = RuntimeError("boom")
    with caplog.at_level(logging.ERROR):
        assert await case.host.models() == []
    assert "boom" in caplog.text


async def test_nothing_starts_before_the_first_call_and_one_build_serves_all(recent):
    case = Case(recent, (Completed(),))
    case.pipe_class()
    assert case.built == []
    await case.host.models()
    await case.host.chat()
    assert case.built == ["router"]


async def test_services_that_cannot_be_made_are_an_answer_not_an_exception(recent, caplog):
    def broken(pipe_id):
        raise RuntimeError("no such library")

    profile = HOST_12 if recent else HOST_06
    host = FakeHost(make_pipe_class(broken, "function_router", lambda: profile)(), recent=recent)
    assert await host.models() == []
    text = "".join(await host.lines())
    assert "Internal error" in text
    assert "no such library" not in text
    assert "no such library" in caplog.text


async def test_an_instance_that_the_host_drops_releases_its_services_after_its_last_stream(recent):
    case = Case(recent, (TextAdded(0, "x"), TextAdded(0, "y"), Completed()))
    running = await case.host.call(stream=True)
    await anext(running)
    case.host.pipe = None
    gc.collect()
    await asyncio.sleep(0)
    assert case.services.closed == 0
    rest = [line async for line in running]
    assert rest
    del running
    gc.collect()
    for _ in range(3):
        await asyncio.sleep(0)
    assert case.services.closed == 1


async def test_tags_beside_separate_reasoning_stay_text_where_the_host_would_fold_them():
    case = Case(
        False, (ReasoningAdded(0, 0, "r", summary=False), TextAdded(1, "<thi"), TextAdded(1, "nk> <"), Completed())
    )
    assert (await case.host.chat()).content.endswith("<\u2060think> <")
    case = Case(True, case.chat.events)
    assert (await case.host.chat()).text == "<think> <"
