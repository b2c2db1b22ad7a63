"""Requests to JSON, checked against the published schema of both endpoints and against what the contract says."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from openrouter_pipe.adapters.openrouter import HttpClients, OpenRouterItemCodec, OpenRouterProvider
from openrouter_pipe.ports.items import (
    AudioPart,
    Citation,
    FilePart,
    FunctionCallItem,
    FunctionOutputItem,
    ImageItem,
    ImagePart,
    InputItem,
    MessageItem,
    OpaqueItem,
    OpaquePart,
    ReasoningItem,
    RefusalPart,
    Role,
    ServerToolItem,
    TextPart,
    VideoPart,
)
from openrouter_pipe.ports.provider import (
    Connection,
    Endpoint,
    FaultKind,
    FunctionTool,
    HostedTool,
    OutputFormat,
    PromptCaching,
    ProviderError,
    ProviderRequest,
    Reasoning,
)
from openrouter_pipe.ports.settings import Secret

SCHEMA = Path(__file__).parents[1] / "data" / "openrouter-openapi.yaml"
NAMES = {Endpoint.RESPONSES: "ResponsesRequest", Endpoint.CHAT_COMPLETIONS: "ChatRequest"}
USER = MessageItem(Role.USER, (TextPart("Hi"),))


@cache
def validator(endpoint: Endpoint) -> Draft202012Validator:
    components = _components()
    return Draft202012Validator({"$ref": f"#/components/schemas/{NAMES[endpoint]}", "components": components})


@cache
def _components() -> dict[str, Any]:
    with SCHEMA.open() as file:
        components: dict[str, Any] = yaml.load(file, Loader=yaml.CSafeLoader)["components"]
    return components


class Caught:
    """Catches what leaves, and answers 418."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []

    async def send(self, request: ProviderRequest, **connection: Any) -> dict[str, Any]:
        def answer(sent: httpx.Request) -> httpx.Response:
            self.requests.append(sent)
            return httpx.Response(418)

        clients = HttpClients(lambda: httpx.MockTransport(answer))
        settings = {"base_url": "http://gw.test/api/v1", "api_key": Secret("sk-or-k"), "referer": "", "title": ""}
        with pytest.raises(ProviderError):
            await anext(OpenRouterProvider(clients).stream(request, Connection(**{**settings, **connection})))
        await clients.aclose()
        body: dict[str, Any] = json.loads(self.requests[-1].content) if self.requests else {}
        return body


async def body_of(request: ProviderRequest) -> dict[str, Any]:
    body = await Caught().send(request)
    problem = best_match(validator(request.endpoint).iter_errors(body))
    assert problem is None, (problem.message, list(problem.path), body)
    assert not list(_nulls(body)), "null never leaves"
    return body


def _nulls(value: object) -> Iterator[object]:
    if isinstance(value, Mapping):
        for key, member in value.items():
            if key != "schema":
                yield from [key] if member is None else _nulls(member)
    elif isinstance(value, list):
        for member in value:
            yield from _nulls(member)


REASONING_PAYLOAD: dict[str, Any] = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": None,
    "content": None,
    "encrypted_content": None,
    "signature": "",
    "format": "martian-v9",
    "status": None,
    "reasoning_details": [{"type": "reasoning.text", "text": "t", "signature": "s", "index": 0}],
}
MESSAGE_PAYLOAD: dict[str, Any] = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "odd",
    "phase": "final_answer",
    "content": [
        {
            "type": "output_text",
            "text": "a",
            "annotations": [{"type": "url_citation", "url": "https://x"}],
            "logprobs": None,
        },
        {"type": "strange"},
    ],
}
HISTORY: tuple[InputItem, ...] = (
    MessageItem(Role.SYSTEM, (TextPart("S1"), TextPart("S2"))),
    MessageItem(Role.DEVELOPER, (TextPart("D"),)),
    MessageItem(
        Role.USER,
        (
            TextPart("look"),
            ImagePart("data:image/png;base64,AAAA", "weird"),
            FilePart(filename="a.pdf", data_url="data:application/pdf;base64,AAAA"),
            FilePart(url="https://x/y.pdf"),
            AudioPart("AAAA", "mp3"),
            VideoPart("https://x/v.mp4"),
        ),
    ),
    ReasoningItem(id="rs_1", details=({"type": "reasoning.text", "text": "t", "index": 0},), payload=REASONING_PAYLOAD),
    ReasoningItem(summary=("why",), text=("because",), encrypted="enc", signature="sig", format="anthropic-claude-v1"),
    MessageItem(Role.ASSISTANT, (TextPart("a"),), id="msg_1", payload=MESSAGE_PAYLOAD),
    MessageItem(Role.ASSISTANT, (TextPart("b"), RefusalPart("no")), citations=(Citation("https://x", "X"),)),
    FunctionCallItem("call_1", "f", "{}"),
    FunctionCallItem(
        "call_2", "g", '{"a":1}', id="fc_2", status="odd", payload={"type": "function_call", "extra": None}
    ),
    FunctionOutputItem("call_1", "done"),
    FunctionOutputItem("call_2", (TextPart("see"), ImagePart("https://x/i.png"), AudioPart("AA", "wav")), id="o"),
    ServerToolItem("web_search", payload={"type": "openrouter:web_search", "status": "completed"}),
    ImageItem(url="data:image/png;base64,AA"),
    OpaqueItem("martian", payload={"type": "martian"}),
    USER,
)


def full(endpoint: Endpoint) -> ProviderRequest:
    return ProviderRequest(
        endpoint,
        "vendor/model:free",
        HISTORY,
        fallback_models=("vendor/other",),
        instructions="Be brief.",
        tools=(FunctionTool("f"), FunctionTool("g", "does", {"type": "object"}, strict=True)),
        tool_choice={"type": "function", "name": "f"},
        parallel_tool_calls=True,
        max_output_tokens=100,
        reasoning=Reasoning(effort="low", summary="auto"),
        output_format=OutputFormat(
            "json_schema", "n", {"type": "object", "default": None}, strict=True, description="d"
        ),
        verbosity="low",
        caching=PromptCaching("5m", (0, 2, 14)),
        plugins=({"id": "web", "max_results": 3, "engine": None},),
        user="u",
        session_id="s",
        metadata={"user_id": "u"},
        parameters={
            "temperature": 0.5,
            "top_p": None,
            "provider": {"order": ["a"], "sort": None},
            "martian": 1,
            "store": True,
        },
    )


@pytest.mark.parametrize("endpoint", list(Endpoint))
async def test_everything_at_once_fits_the_schema(endpoint: Endpoint) -> None:
    body = await body_of(full(endpoint))
    assert body["model"] == "vendor/model:free"
    assert body["models"] == ["vendor/other"]
    assert body["provider"] == {"order": ["a"]}
    assert body["plugins"] == [{"id": "web", "max_results": 3}]
    assert not {"martian", "store", "top_p"} & body.keys()
    assert "martian" not in json.dumps(body.get("input", body.get("messages")))


@pytest.mark.parametrize("endpoint", list(Endpoint))
@pytest.mark.parametrize(
    ("reasoning", "tools", "form"),
    list(
        itertools.product(
            [
                None,
                Reasoning(),
                Reasoning(effort="none"),
                Reasoning(max_tokens=5),
                Reasoning(enabled=True),
                Reasoning(legacy=True),
            ],
            [
                (),
                (FunctionTool("f"),),
                (HostedTool({"type": "openrouter:web_search", "parameters": {"max_results": 3}}),),
            ],
            [None, OutputFormat("json_object"), OutputFormat("text")],
        )
    ),
)
async def test_combinations_fit_the_schema(endpoint: Endpoint, reasoning: Any, tools: Any, form: Any) -> None:
    body = await body_of(
        ProviderRequest(endpoint, "a/b", (USER,), reasoning=reasoning, tools=tools, output_format=form, stream=False)
    )
    if reasoning in (None, Reasoning()):
        assert not {"reasoning", "include_reasoning"} & body.keys()
    elif reasoning.legacy:
        assert body["include_reasoning"] is True
        assert "reasoning" not in body


async def test_the_two_spellings() -> None:
    responses = await body_of(full(Endpoint.RESPONSES))
    chat = await body_of(full(Endpoint.CHAT_COMPLETIONS))
    assert responses["tools"][1] == {
        "type": "function", "name": "g", "description": "does", "parameters": {"type": "object"}, "strict": True
    }  # fmt: skip
    assert chat["tools"][1]["function"] == {
        "name": "g", "description": "does", "parameters": {"type": "object"}, "strict": True
    }  # fmt: skip
    assert responses["tool_choice"] == {"type": "function", "name": "f"}
    assert chat["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert (responses["max_output_tokens"], chat["max_completion_tokens"]) == (100, 100)
    assert responses["text"]["verbosity"] == chat["verbosity"] == "low"
    assert responses["text"]["format"]["schema"] == chat["response_format"]["json_schema"]["schema"]
    assert responses["instructions"] == "Be brief."
    assert chat["messages"][0] == {"role": "system", "content": "Be brief."}


async def test_items_go_back_in_order_and_clean() -> None:
    body = await body_of(full(Endpoint.RESPONSES))
    kinds = [item["type"] for item in body["input"]]
    assert kinds == [
        *["message"] * 3,
        *["reasoning"] * 2,
        *["message"] * 2,
        *["function_call"] * 2,
        *["function_call_output"] * 2,
        "message",
    ]
    cleaned, made = body["input"][3:5]
    assert cleaned == {"type": "reasoning", "id": "rs_1", "summary": []}
    assert made["id"].startswith("rs_")
    assert (made["encrypted_content"], made["signature"], made["format"]) == ("enc", "sig", "anthropic-claude-v1")
    assert body["input"][5]["phase"] == "final_answer"
    assert body["input"][5]["content"] == [{"type": "output_text", "text": "a", "annotations": []}]
    assert [part["type"] for part in body["input"][10]["output"]] == ["input_text", "input_image"]
    again = await body_of(full(Endpoint.RESPONSES))
    assert again == body, "made ids are the same each time: prompt caches compare bytes"


async def test_chat_messages_of_a_tool_round() -> None:
    body = await body_of(full(Endpoint.CHAT_COMPLETIONS))
    roles = [message["role"] for message in body["messages"]]
    assert roles == ["system", "system", "developer", "user", "assistant", "tool", "tool", "user"]
    assistant = body["messages"][4]
    assert [call["id"] for call in assistant["tool_calls"]] == ["call_1", "call_2"]
    assert assistant["reasoning_details"][0] == {"type": "reasoning.text", "text": "t", "index": 0}
    assert {"type": "reasoning.encrypted", "data": "enc"}.items() <= assistant["reasoning_details"][-1].items()
    assert assistant["content"] == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert assistant["refusal"] == "no"
    assert body["messages"][7] == {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": CACHE}]}


CACHE = {"type": "ephemeral", "ttl": "5m"}


def marked(body: dict[str, Any]) -> list[str]:
    items = body.get("input") or body["messages"]
    blocks = [block for item in items if isinstance(item.get("content"), list) for block in item["content"]]
    return [b["text"] for b in blocks if "prompt_cache_breakpoint" in b or "cache_control" in b]


def conversation(endpoint: Endpoint, caching: PromptCaching | None, *, own: bool = False) -> ProviderRequest:
    control = {"type": "ephemeral"} if own else None
    users = [MessageItem(Role.USER, (TextPart(f"u{i}"),)) for i in range(4)]
    users[1] = MessageItem(Role.USER, (TextPart("u1", cache_control=control),))
    return ProviderRequest(
        endpoint, "anthropic/c", (MessageItem(Role.SYSTEM, (TextPart("s"),)), *users), caching=caching
    )


async def test_caching_on_responses() -> None:
    body = await body_of(conversation(Endpoint.RESPONSES, PromptCaching("5m", (0, 2, 3, 4))))
    assert body["cache_control"] == CACHE
    assert marked(body) == ["s", "u2", "u3"], "four breakpoints in all, the automatic one included"
    body = await body_of(conversation(Endpoint.RESPONSES, PromptCaching("1h", (0, 2, 3, 4))))
    assert body["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert marked(body) == [], "five-minute marks may not stand before an hour's"
    body = await body_of(conversation(Endpoint.RESPONSES, PromptCaching("1h", (0, 4)), own=True))
    assert body["cache_control"] == {"type": "ephemeral"}
    assert marked(body) == ["s", "u1", "u3"]
    body = await body_of(conversation(Endpoint.RESPONSES, None, own=True))
    assert "cache_control" not in body
    assert marked(body) == ["u1"]


async def test_caching_on_chat() -> None:
    body = await body_of(conversation(Endpoint.CHAT_COMPLETIONS, PromptCaching("1h", (0, 2, 3, 4)), own=True))
    assert "cache_control" not in body
    assert marked(body) == ["s", "u1", "u2", "u3"]
    controls = [m["content"][0]["cache_control"] for m in body["messages"] if isinstance(m["content"], list)]
    assert controls == [
        {"type": "ephemeral", "ttl": "1h"},
        {"type": "ephemeral"},
        {"type": "ephemeral", "ttl": "1h"},
        {"type": "ephemeral", "ttl": "1h"},
    ]


async def test_opaque_parts_pass_unchanged() -> None:
    block = {"type": "input_text", "text": "x", "future": {"a": [None]}}
    for endpoint in Endpoint:
        body = await Caught().send(ProviderRequest(endpoint, "a/b", (MessageItem(Role.USER, (OpaquePart(block),)),)))
        assert block in (body.get("input") or body["messages"])[0]["content"]


async def test_attachments_of_instructions_stand_where_chat_completions_take_them() -> None:
    """System and developer messages hold nothing but text there; the responses endpoint takes both."""
    parts = (TextPart("a"), ImagePart("data:image/png;base64,AA"), TextPart("b"))
    items = (MessageItem(Role.DEVELOPER, parts), MessageItem(Role.SYSTEM, parts[1:2]), USER)
    chat = await body_of(ProviderRequest(Endpoint.CHAT_COMPLETIONS, "a/b", items))
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "auto"}}
    assert chat["messages"][:3] == [
        {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "user", "content": [image]},
        {"role": "user", "content": [image]},
    ]
    responses = await body_of(ProviderRequest(Endpoint.RESPONSES, "a/b", items))
    assert [(item["role"], len(item["content"])) for item in responses["input"][:2]] == [
        ("developer", 3),
        ("system", 1),
    ]


async def test_fragments_of_reasoning_that_no_provider_takes_stay_behind() -> None:
    fragments: list[dict[str, Any]] = [
        {"type": "reasoning.text", "text": "t", "signature": "s", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.text", "text": "t", "signature": 5, "format": {"a": 1}, "index": "0", "id": 7},
        {"type": "reasoning.encrypted", "index": 1},
        {"type": "reasoning.summary", "summary": ["s"]},
        {"type": "reasoning.server_tool_call", "tool_name": "w", "arguments": "{}", "index": 2},
        {"type": 5, "data": "d"},
        {"type": "reasoning.text", "text": "u", "format": ""},
        {"text": "t"},
    ]
    items = (USER, ReasoningItem(details=tuple(fragments)), MessageItem(Role.ASSISTANT, (TextPart("a"),)))
    body = await body_of(ProviderRequest(Endpoint.CHAT_COMPLETIONS, "a/b", items))
    assert body["messages"][1]["reasoning_details"] == [
        fragments[0],
        {"type": "reasoning.text", "text": "t"},
        {"type": "reasoning.text", "text": "u"},
    ]


CLAUDE = "anthropic-claude-v1"
OPENAI = "openai-responses-v1"


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        (
            [
                {"type": "reasoning.text", "text": "one", "signature": "s1", "format": CLAUDE, "index": 0},
                {"type": "reasoning.text", "text": "two", "signature": "s2", "format": CLAUDE, "index": 1},
                {"type": "reasoning.encrypted", "data": "redacted", "format": CLAUDE, "index": 2},
            ],
            [("one", "s1", None), ("two", "s2", None), ("", None, "redacted")],
        ),
        (
            [
                {"type": "reasoning.summary", "summary": "one", "format": OPENAI, "index": 0},
                {"type": "reasoning.encrypted", "data": "d1", "id": "rs_1", "format": OPENAI, "index": 0},
                {"type": "reasoning.summary", "summary": "two", "format": OPENAI, "index": 1},
                {"type": "reasoning.encrypted", "data": "d2", "id": "rs_2", "format": OPENAI, "index": 1},
            ],
            [("one", None, "d1"), ("two", None, "d2")],
        ),
        (
            [
                {"type": "reasoning.encrypted", "data": "d1", "id": "rs_1", "format": OPENAI, "index": 0},
                {"type": "reasoning.summary", "summary": "one", "id": "rs_1", "format": OPENAI, "index": 1},
                {"type": "reasoning.encrypted", "data": "d2", "id": "rs_2", "format": OPENAI, "index": 2},
            ],
            [("one", None, "d1"), ("", None, "d2")],
        ),
        (
            [
                {"type": "reasoning.text", "text": "one", "signature": "s1", "format": CLAUDE, "index": 0},
                {"type": "reasoning.server_tool_call", "tool_name": "w", "arguments": "{}", "result": "r", "index": 1},
            ],
            [("one", "s1", None)],
        ),
    ],
)
async def test_every_proof_of_chat_completions_stands_in_a_block_of_its_own(
    details: list[dict[str, Any]], expected: list[tuple[str, str | None, str | None]]
) -> None:
    """Two blocks in a row are recorded as one item; made into one for the responses endpoint, all proofs but one were lost."""
    words = [{"type": "reasoning_text", "text": known["text"]} for known in details if "text" in known]
    payload = {"type": "reasoning", "id": "rs_x", "summary": [], "content": words, "reasoning_details": details}
    payload |= {"signature": expected[0][1], "encrypted_content": expected[0][2], "format": details[0]["format"]}
    run = OpenRouterItemCodec().decode(payload)
    answer = MessageItem(Role.ASSISTANT, (TextPart("a"),))
    body = await body_of(ProviderRequest(Endpoint.RESPONSES, "a/b", (USER, run, answer, USER)))
    blocks = [item for item in body["input"] if item["type"] == "reasoning"]
    said = ["".join(line["text"] for line in (*b["summary"], *b.get("content", ()))) for b in blocks]
    proofs = [(block.get("signature"), block.get("encrypted_content")) for block in blocks]
    if len(expected) > 1:
        assert said == [words for words, _, _ in expected]
    assert proofs == [(signature, encrypted) for _, signature, encrypted in expected]
    assert blocks[0]["id"] == "rs_x"
    assert len({block["id"] for block in blocks}) == len(blocks)
    assert {block["format"] for block in blocks} == {details[0]["format"]}


async def test_fragments_made_of_several_items_have_numbers_of_their_own() -> None:
    items = (
        USER,
        ReasoningItem("rs_1", text=("one",), signature="s1", format=CLAUDE),
        ReasoningItem("rs_2", text=("two",), signature="s2", format=CLAUDE),
        MessageItem(Role.ASSISTANT, (TextPart("a"),)),
    )
    body = await body_of(ProviderRequest(Endpoint.CHAT_COMPLETIONS, "a/b", items))
    details = body["messages"][1]["reasoning_details"]
    assert [(known["text"], known["signature"], known["index"]) for known in details] == [
        ("one", "s1", 0),
        ("two", "s2", 1),
    ]


@pytest.mark.parametrize(("made", "sent"), [("anthropic-claude-v1", "anthropic-claude-v1"), ("brand-new-v1", None)])
async def test_the_format_of_reasoning_made_elsewhere_is_told_where_it_is_known(made: str, sent: str | None) -> None:
    thought = ReasoningItem(id="rs_1", text=("t",), signature="s", format=made)
    for endpoint in Endpoint:
        body = await body_of(
            ProviderRequest(endpoint, "a/b", (USER, thought, MessageItem(Role.ASSISTANT, (TextPart("a"),))))
        )
        told = body["input"][1] if endpoint is Endpoint.RESPONSES else body["messages"][1]["reasoning_details"][0]
        assert (told.get("format"), told["signature"]) == (sent, "s")


async def test_the_formats_that_only_chat_completions_have() -> None:
    for form, sent in (
        (OutputFormat("grammar", grammar="root ::= x"), {"type": "grammar", "grammar": "root ::= x"}),
        (OutputFormat("python"), {"type": "python"}),
    ):
        body = await body_of(ProviderRequest(Endpoint.CHAT_COMPLETIONS, "a/b", (USER,), output_format=form))
        assert body["response_format"] == sent


@pytest.mark.parametrize("odd", [["x"], {"a": 1}, 5, True])
async def test_odd_members_of_stored_items_do_not_cost_the_chat(odd: Any) -> None:
    """What a provider once sent comes back with every later turn."""
    payloads: list[dict[str, Any]] = [
        {"type": "reasoning", "id": "rs_1", "summary": [], "format": odd, "status": odd, "signature": odd},
        {"type": "message", "id": "msg_1", "role": "assistant", "phase": odd, "status": odd, "content": "a"},
        {"type": "function_call", "id": odd, "call_id": "c", "name": "f", "arguments": "{}", "status": odd},
        {"type": "function_call_output", "call_id": "c", "output": "o", "status": odd},
    ]
    items = tuple(OpenRouterItemCodec().decode(payload) for payload in payloads)
    for endpoint in Endpoint:
        await body_of(ProviderRequest(endpoint, "a/b", (USER, *items)))


async def test_text_that_is_not_unicode_can_be_sent() -> None:
    item = MessageItem(Role.USER, (TextPart("half \ud83d nul \x00"),))
    body = await body_of(ProviderRequest(Endpoint.RESPONSES, "a/b", (item,), parameters={"top_k": 10**30}))
    assert body["input"][0]["content"][0]["text"] == "half \ufffd nul \x00"


async def test_headers() -> None:
    caught = Caught()
    request = ProviderRequest(Endpoint.RESPONSES, "anthropic/c", (USER,), beta_features=("a-1", "b-2"))
    await caught.send(request, api_key=Secret(" sk-or-k \n"), referer="https://me.test/", title="Zoë\r\nX: y")
    headers = caught.requests[0].headers
    assert headers["authorization"] == "Bearer sk-or-k"
    assert headers["http-referer"] == "https://me.test/"
    assert dict(headers.raw)[b"X-Title"] == dict(headers.raw)[b"X-OpenRouter-Title"] == "ZoëX: y".encode()
    assert headers["x-anthropic-beta"] == "a-1,b-2"
    assert headers["accept"] == "text/event-stream"


@pytest.mark.parametrize("key", ["sk-or-\nx", "sk or", "sk-ö", "sk-\x00"])
async def test_a_key_that_no_header_can_carry_is_not_sent(key: str) -> None:
    connection = Connection("http://gw.test/v1", Secret(key), "", "")
    with pytest.raises(ProviderError) as raised:
        await anext(OpenRouterProvider(HttpClients()).stream(ProviderRequest(Endpoint.RESPONSES, "a", ()), connection))
    assert raised.value.fault.status == 401
    assert key not in str(raised.value)


@pytest.mark.parametrize(
    ("base", "sent"),
    [
        ("https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1/responses"),
        (" https://openrouter.ai/api/v1// ", "https://openrouter.ai/api/v1/responses"),
        ("http://gw.test:8080", "http://gw.test:8080/responses"),
        ("http://gw.test/a/b/?tenant=1", "http://gw.test/a/b/responses?tenant=1"),
        ("http://me:secret@gw.test/v1", "http://gw.test/v1/responses"),
    ],
)
async def test_addresses(base: str, sent: str) -> None:
    caught = Caught()
    await caught.send(ProviderRequest(Endpoint.RESPONSES, "a/b", (USER,)), base_url=base)
    assert str(caught.requests[0].url) == sent
    assert caught.requests[0].headers["authorization"] == "Bearer sk-or-k"


@pytest.mark.parametrize("base", ["", "openrouter.ai/api", "ftp://x/y", "http://", "http://[::1", "https://x:99999/"])
async def test_an_address_that_is_none(base: str) -> None:
    connection = Connection(base, Secret("k"), "", "")
    with pytest.raises(ProviderError) as raised:
        await anext(OpenRouterProvider(HttpClients()).stream(ProviderRequest(Endpoint.RESPONSES, "a", ()), connection))
    assert raised.value.fault.kind is FaultKind.CONNECTION
    assert "BASE_URL" in raised.value.fault.message


def test_the_schema_can_refuse() -> None:
    for endpoint, bad in ((Endpoint.RESPONSES, {"input": [{"type": "reasoning"}]}), (Endpoint.CHAT_COMPLETIONS, {})):
        assert best_match(validator(endpoint).iter_errors(bad)) is not None
