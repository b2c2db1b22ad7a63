"""Whole requests: tools, search, caching, trimming, identifiers, fallbacks, images, tasks."""

from typing import Any

import pytest
from attrs import evolve

from openrouter_pipe.domain.catalog.catalog import ResolvedModel
from openrouter_pipe.domain.shaping.caching import INTERLEAVED_THINKING
from openrouter_pipe.domain.shaping.policy import ShapingPolicy
from openrouter_pipe.domain.shaping.shape import Shaped, shape
from openrouter_pipe.ports.catalog import Capabilities, ModelCard, ReasoningSupport
from openrouter_pipe.ports.chat import ChatRequest, Identity, Task
from openrouter_pipe.ports.items import FunctionOutputItem, InputItem, MessageItem, Role, TextPart
from openrouter_pipe.ports.provider import Endpoint, FunctionTool, HostedTool, PromptCaching, Reasoning
from openrouter_pipe.ports.settings import read_settings
from openrouter_pipe.ports.tools import ToolCall, ToolOutput, ToolSpec

RESPONSES, CHAT = Endpoint.RESPONSES, Endpoint.CHAT_COMPLETIONS
SETTINGS = read_settings({})
TOOLS = Capabilities(tools=True, reasoning=True)
GPT = ModelCard("openai/gpt-5", "GPT", capabilities=TOOLS, reasoning=ReasoningSupport(efforts=("minimal", "high")))
CLAUDE = ModelCard("anthropic/claude-x", "Claude", capabilities=TOOLS)
OLD = ModelCard("old/model", "Old")
PAINTER = ModelCard("g/painter", "P", capabilities=Capabilities(image_output=True))
BRUSH = ModelCard("f/brush", "B", capabilities=Capabilities(image_output=True, text_output=False))
SEARCH = HostedTool({"type": "openrouter:web_search", "parameters": {"max_results": 3}})
TRIM = {"id": "context-compression", "engine": "middle-out"}


class HostTools:
    """A toolbox that is merely there."""

    def specs(self) -> list[ToolSpec]:
        return []

    async def run(self, call: ToolCall) -> ToolOutput:
        raise NotImplementedError


def message(role: Role, text: str = "x", **part: Any) -> MessageItem:
    return MessageItem(role, (TextPart(text, **part),))


def shaped(
    card: ModelCard = GPT,
    parameters: dict[str, Any] | None = None,
    *,
    endpoint: Endpoint = RESPONSES,
    items: tuple[InputItem, ...] = (message(Role.USER),),
    tools: tuple[FunctionTool, ...] = (),
    api_id: str = "",
    policy: dict[str, Any] | None = None,
    resolve: Any = None,
    **request: Any,
) -> Shaped:
    chat = ChatRequest(card.id, (), SETTINGS, "r", parameters=parameters or {}, **request)
    model = ResolvedModel(card.id, card, api_id or card.id)
    return shape(chat, model, items, tools, endpoint, ShapingPolicy(**(policy or {})), resolve=resolve)


NESTED = {
    "type": "function",
    "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True},
}
FLAT = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
TOOL = FunctionTool("f", "d", {"type": "object"}, True)


@pytest.mark.parametrize("given_tool", [NESTED, FLAT])
def test_a_callers_own_tools_in_either_form(given_tool: dict[str, Any]) -> None:
    for endpoint in Endpoint:
        assert shaped(GPT, {"tools": [given_tool]}, endpoint=endpoint).request.tools == (TOOL,)


def test_a_host_with_a_toolbox_repeats_its_functions_but_may_add_hosted_tools() -> None:
    host = FunctionTool("host", "", {})
    given_tools = [NESTED, {"type": "openrouter:datetime"}]
    request = shaped(GPT, {"tools": given_tools}, tools=(host,), toolbox=HostTools()).request
    assert request.tools == (host, HostedTool({"type": "openrouter:datetime"}))


@pytest.mark.parametrize(
    ("given_tool", "sent", "warnings"),
    [
        (
            {"type": "openrouter:web_search", "parameters": {"max_results": "5", "engine": "EXA", "mode": "never"}},
            {"type": "openrouter:web_search", "parameters": {"max_results": 5, "engine": "exa"}},
            1,
        ),
        (
            {"type": "openrouter:web_search", "parameters": {"max_uses": None, "user_location": {"city": "Oslo"}}},
            {
                "type": "openrouter:web_search",
                "parameters": {"user_location": {"type": "approximate", "city": "Oslo"}},
            },
            0,
        ),
        (
            {
                "type": "web_search",
                "max_results": True,
                "filters": {"allowed_domains": "a.org", "blocked_domains": None},
            },
            {"type": "web_search", "filters": {"allowed_domains": ("a.org",)}},
            1,
        ),
        (
            {"type": "openrouter:web_search", "parameters": {"user_location": {"type": ["approximate"]}}},
            {"type": "openrouter:web_search"},
            1,
        ),
        ({"type": "openrouter:datetime", "parameters": None}, {"type": "openrouter:datetime"}, 0),
        ({"type": "openrouter:datetime", "parameters": ["x"]}, {"type": "openrouter:datetime"}, 1),
        (
            {"type": "openrouter:web_fetch", "parameters": {"engine": "perplexity", "new_option": {"a": 1}}},
            {"type": "openrouter:web_fetch", "parameters": {"new_option": {"a": 1}}},
            1,
        ),
        (
            {"type": "openrouter:image_generation", "parameters": {"model": 7, "size": "1K", "odd": {"a": 1}}},
            {"type": "openrouter:image_generation", "parameters": {"size": "1K"}},
            2,
        ),
        (
            {"type": "openrouter:subagent", "parameters": {"name": "a/b", "max_tool_calls": 26, "tools": [{}]}},
            {"type": "openrouter:subagent"},
            3,
        ),
        (
            {"type": "openrouter:advisor", "parameters": {"reasoning": {"effort": "high", "max_tokens": None}}},
            {"type": "openrouter:advisor", "parameters": {"reasoning": {"effort": "high"}}},
            0,
        ),
        (
            {"type": "openrouter:fusion", "parameters": {"cache_control": False, "model": "a/b"}},
            {"type": "openrouter:fusion", "parameters": {"model": "a/b"}},
            1,
        ),
        ({"type": "openrouter:fusion", "parameters": {"tools": [{"type": "x"}] * 9}}, {"type": "openrouter:fusion"}, 1),
        (
            {"type": "openrouter:shell", "parameters": {"environment": {"type": "mine"}}},
            {"type": "openrouter:shell"},
            1,
        ),
        *(
            (
                {"type": "openrouter:shell", "parameters": {"environment": {"type": "container_reference", **known}}},
                {"type": "openrouter:shell"},
                1,
            )
            for known in ({}, {"container_id": "a b"}, {"container_id": "c" * 21})
        ),
        (
            {"type": "mcp", "server_label": "s", "allowed_tools": None, "headers": {"a": "b"}},
            {"type": "mcp", "server_label": "s", "headers": {"a": "b"}},
            0,
        ),
        ({"type": "mcp", "server_url": "https://x"}, None, 1),
        ({"type": "custom", "name": 7}, None, 2),
        (
            {"type": "code_interpreter", "container": {"type": "auto", "memory_limit": None}},
            {"type": "code_interpreter", "container": {"type": "auto"}},
            0,
        ),
    ],
)
def test_options_of_the_provider_s_tools_are_corrected_or_left_out(
    given_tool: dict[str, Any], sent: dict[str, Any] | None, warnings: int
) -> None:
    """An option of the wrong type costs the whole request at the provider."""
    result = shaped(GPT, {"tools": [given_tool]})
    assert result.request.tools == (() if sent is None else (HostedTool(sent),))
    assert len(result.warnings) == warnings


def test_what_a_subagent_inherits_is_told_on_the_responses_endpoint_only() -> None:
    given_tool = {"type": "openrouter:subagent", "parameters": {"inherit_functions": "true", "model": "a/b"}}
    assert shaped(GPT, {"tools": [given_tool]}).request.tools == (
        HostedTool({"type": "openrouter:subagent", "parameters": {"inherit_functions": True, "model": "a/b"}}),
    )
    assert shaped(GPT, {"tools": [given_tool]}, endpoint=CHAT).request.tools == (
        HostedTool({"type": "openrouter:subagent", "parameters": {"model": "a/b"}}),
    )


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("required", None),
        ("none", None),
        ("auto", "auto"),
        ({"type": "function", "name": "f"}, None),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": []},
            {"type": "allowed_tools", "mode": "auto", "tools": []},
        ),
    ],
)
def test_a_search_among_tools_leaves_the_choice_to_the_model(choice: Any, sent: Any) -> None:
    """The provider refuses the request otherwise."""
    tools = [FLAT, FLAT | {"name": "g", "defer_loading": True}, {"type": "openrouter:tool_search"}]
    assert shaped(GPT, {"tools": tools, "tool_choice": choice}).request.tool_choice == sent
    assert shaped(GPT, {"tools": tools[:2], "tool_choice": choice}).request.tool_choice == choice


def test_models_without_tools_get_none() -> None:
    result = shaped(OLD, {"tools": [FLAT], "tool_choice": "auto", "parallel_tool_calls": True}, tools=(TOOL,))
    assert (result.request.tools, result.request.tool_choice, result.request.parallel_tool_calls) == ((), None, None)
    assert len(result.warnings) == 1


def test_a_deferred_function_stays_deferred_where_that_exists() -> None:
    deferred = FLAT | {"defer_loading": True}
    request = shaped(GPT, {"tools": [deferred]}).request
    assert request.tools == (HostedTool({k: v for k, v in deferred.items() if k != "strict"}),)


@pytest.mark.parametrize(
    ("choice", "endpoint", "expected"),
    [
        ("auto", RESPONSES, "auto"),
        ("REQUIRED", CHAT, "required"),
        ({"type": "function", "function": {"name": "f"}}, RESPONSES, {"type": "function", "name": "f"}),
        ({"type": "function", "name": "f"}, CHAT, {"type": "function", "name": "f"}),
        ({"type": "openrouter:web_search"}, CHAT, {"type": "openrouter:web_search"}),
        ({"type": "shell"}, RESPONSES, {"type": "shell"}),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{}]},
            RESPONSES,
            {"type": "allowed_tools", "mode": "auto", "tools": [{}]},
        ),
    ],
)
def test_tool_choice_becomes_flat(choice: Any, endpoint: Endpoint, expected: Any) -> None:
    tools = [FLAT, {"type": "openrouter:web_search"}]
    result = shaped(GPT, {"tools": tools, "tool_choice": choice, "parallel_tool_calls": "false"}, endpoint=endpoint)
    assert (result.request.tool_choice, result.request.parallel_tool_calls, result.warnings) == (expected, False, ())


@pytest.mark.parametrize(
    ("card", "wanted", "parameters", "tools", "web_plugins", "warnings"),
    [
        (GPT, None, {}, (), 0, 0),
        (GPT, False, {}, (), 0, 0),
        (GPT, True, {}, (SEARCH,), 0, 0),
        (GPT, True, {"disable_native_websearch": True}, (), 0, 0),
        (
            GPT,
            None,
            {"plugins": [{"id": "web"}], "tools": [SEARCH.payload], "disable_native_websearch": "yes"},
            (),
            0,
            0,
        ),
        (GPT, True, {"plugins": [{"id": "web", "engine": "exa"}]}, (), 1, 0),
        (GPT, True, {"tools": [{"type": "web_search_preview"}]}, (HostedTool({"type": "web_search_preview"}),), 0, 0),
        (GPT, True, {"reasoning_effort": "minimal"}, (), 0, 1),
        (GPT, True, {"reasoning_effort": "high"}, (SEARCH,), 0, 0),
        (evolve(GPT, id="z/any"), True, {"reasoning_effort": "minimal"}, (SEARCH,), 0, 0),
        (OLD, True, {}, (), 1, 0),
        (BRUSH, True, {}, (), 0, 1),
    ],
)
def test_web_search_toggle_matrix(
    card: ModelCard,
    wanted: bool | None,
    parameters: dict[str, Any],
    tools: tuple[Any, ...],
    web_plugins: int,
    warnings: int,
) -> None:
    for endpoint in Endpoint:
        result = shaped(card, parameters, web_search=wanted, endpoint=endpoint)
        assert result.request.tools == tools
        assert [plugin["id"] for plugin in result.request.plugins].count("web") == web_plugins
        assert len(result.warnings) == warnings


def test_online_is_a_search_already_and_goes_when_search_is_forbidden() -> None:
    assert shaped(api_id="openai/gpt-5:online", web_search=True).request.tools == ()
    forbidden = {"disable_native_websearch": True}
    assert (
        shaped(GPT, forbidden, api_id="openai/gpt-5:nitro:online@preset/p").request.model
        == "openai/gpt-5:nitro@preset/p"
    )
    assert shaped(web_search=True, policy={"web_search_max_results": None}).request.tools == (
        HostedTool({"type": "openrouter:web_search"}),
    )


ROME = {"type": "approximate", "city": "Rome"}


@pytest.mark.parametrize(
    ("plugin", "kept", "warnings"),
    [
        ({"id": "web", "max_results": "x"}, {}, 1),
        ({"id": "web", "max_results": "3", "engine": "Exa", "mode": 7}, {"max_results": 3, "engine": "exa"}, 1),
        (
            {"id": "web", "include_domains": "a.b, c.d", "enabled": "no"},
            {"include_domains": ("a.b", "c.d"), "enabled": False},
            0,
        ),
        ({"id": "web", "user_location": {**ROME, "region": None, "x": 1}}, {"user_location": ROME}, 0),
        ({"id": "web", "user_location": {"city": "Rome"}}, {}, 1),
        ({"id": "web", "max_results": 0, "frobnicate": 1}, {}, 2),
        ({"id": "file-parser", "pdf": {"engine": "crayon"}}, {}, 1),
        ({"id": "file-parser", "pdf": {"engine": "native", "x": 1}}, {"pdf": {"engine": "native"}}, 0),
        ({"id": "auto-router", "cost_quality_tradeoff": 11, "pin_model": True}, {"pin_model": True}, 1),
        ({"id": "pareto-router", "min_coding_score": "0.8", "max_price": -1}, {"min_coding_score": 0.8}, 1),
        ({"id": "fusion", "analysis_models": [], "tools": [{"type": "x"}]}, {"tools": ({"type": "x"},)}, 1),
        ({"id": "fusion", "tools": [{"kind": "x"}], "max_tool_calls": 17}, {}, 2),
        ({"id": "moderation", "enabled": True}, {}, 1),
    ],
)
def test_a_plugins_fields_are_corrected_or_left_out(plugin: Any, kept: Any, warnings: int) -> None:
    result = shaped(GPT, {"plugins": [plugin]}, policy={"auto_context_trimming": False})
    assert result.request.plugins == ({"id": plugin["id"], **kept},)
    assert len(result.warnings) == warnings


@pytest.mark.parametrize(
    ("parameters", "endpoint", "plugins"),
    [
        ({}, RESPONSES, (TRIM,)),
        (
            {"plugins": [{"id": "context-compression", "enabled": False}]},
            RESPONSES,
            ({"id": "context-compression", "enabled": False},),
        ),
        ({"plugins": [{"id": "file-parser", "pdf": None}]}, CHAT, ({"id": "file-parser"}, TRIM)),
        ({"transforms": ["middle-out"]}, RESPONSES, (TRIM,)),
        ({"transforms": []}, CHAT, ({"id": "context-compression", "enabled": False},)),
        ({"truncation": "disabled"}, RESPONSES, ()),
        ({"truncation": "disabled"}, CHAT, ({"id": "context-compression", "enabled": False},)),
        ({"truncation": "auto"}, CHAT, (TRIM,)),
        ({"truncation": "strange"}, CHAT, (TRIM,)),
    ],
)
def test_trimming_unless_the_request_says_how(parameters: dict[str, Any], endpoint: Endpoint, plugins: Any) -> None:
    assert shaped(GPT, parameters, endpoint=endpoint).request.plugins == plugins


def test_trimming_can_be_switched_off() -> None:
    assert shaped(policy={"auto_context_trimming": False}).request.plugins == ()
    on = shaped(GPT, {"transforms": ["middle-out"]}, policy={"auto_context_trimming": False})
    assert on.request.plugins == (TRIM,)


S, D, U, A = Role.SYSTEM, Role.DEVELOPER, Role.USER, Role.ASSISTANT
OWN = {"cache_control": {"type": "ephemeral"}}


@pytest.mark.parametrize(
    ("items", "breakpoints"),
    [
        ((message(U),), (0,)),
        ((message(S), message(D), message(U)), (1, 2)),
        ((message(S), *[message(role) for _ in range(5) for role in (U, A)]), (0, 5, 7, 9)),
        ((message(S, **OWN), message(U), message(A), message(U)), (1, 3)),
        ((message(S), message(U, **OWN), message(U, **OWN), message(U, **OWN)), (0,)),
        ((message(S), message(U, **OWN), message(U, **OWN), message(U)), (0, 3)),
        ((message(U), FunctionOutputItem("c", "out"), message(A)), (0,)),
        ((message(S, **OWN),), None),
        ((*[message(U, **OWN) for _ in range(4)], message(U)), None),
        ((), None),
    ],
)
def test_prompt_caching_on_at_most_four_stable_breakpoints(items: tuple[InputItem, ...], breakpoints: Any) -> None:
    request = shaped(CLAUDE, items=items, policy={"anthropic_prompt_cache_ttl": "1h"}).request
    assert request.caching == (None if breakpoints is None else PromptCaching("1h", breakpoints))
    assert request.input == items  # a caller's own breakpoints are kept


def test_prompt_cache_prefix_is_stable_from_turn_to_turn() -> None:
    first = (message(S), message(U, "one"))
    second = (*first, message(A), message(U, "two"))
    marks = [shaped(CLAUDE, items=items).request.caching for items in (first, second)]
    assert marks[0] is not None
    assert marks[1] is not None
    assert set(marks[0].breakpoints) <= set(marks[1].breakpoints)


def test_caching_and_interleaved_thinking_are_for_anthropic_and_can_be_off() -> None:
    on, other = shaped(CLAUDE).request, shaped(GPT).request
    assert (on.caching is not None, on.beta_features) == (True, (INTERLEAVED_THINKING,))
    assert (other.caching, other.beta_features) == (None, ())
    assert INTERLEAVED_THINKING == "interleaved-thinking-2025-05-14"
    off = shaped(
        CLAUDE, policy={"enable_anthropic_prompt_caching": False, "enable_anthropic_interleaved_thinking": False}
    ).request
    assert (off.caching, off.beta_features) == (None, ())
    assert shaped(CLAUDE, {"cache_control": {"type": "ephemeral"}}).request.caching is None
    assert shaped(evolve(CLAUDE, id="~anthropic/claude-latest")).request.caching is not None


WHO = Identity("user-1", "session-1", "chat-1", "message-1", email="e@x", name="N")
ALL = {"send_end_user_id": True, "send_session_id": True, "send_chat_id": True, "send_message_id": True}
FORGED = {"user": "evil", "session_id": "evil", "metadata": {"evil[]": "x"}}


@pytest.mark.parametrize("task", [None, Task("title_generation")])
@pytest.mark.parametrize(
    ("who", "policy", "expected"),
    [
        (WHO, {}, (None, None, {})),
        (
            WHO,
            ALL,
            (
                "user-1",
                "session-1",
                {"user_id": "user-1", "session_id": "session-1", "chat_id": "chat-1", "message_id": "message-1"},
            ),
        ),
        (WHO, {"send_chat_id": True}, (None, None, {"chat_id": "chat-1"})),
        (WHO, {"send_end_user_id": True}, ("user-1", None, {"user_id": "user-1"})),
        (Identity("u" * 128, "s" * 129), ALL, ("u" * 128, None, {"user_id": "u" * 128, "session_id": "s" * 129})),
        (Identity("u" * 513, "[s]\n", chat_id="\ud800", message_id=" "), ALL, (None, "[s]", {"session_id": "[s]"})),
        (Identity(), ALL, (None, None, {})),
    ],
)
def test_identifiers_are_ours_to_set(who: Identity, policy: dict[str, Any], expected: Any, task: Task | None) -> None:
    request = shaped(GPT, FORGED, identity=who, policy=policy, task=task).request
    assert (request.user, request.session_id, request.metadata) == expected
    assert "evil" not in repr(request)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"model_fallback": "a/b, c/d,a/b,,openai/gpt-5"}, ("a/b", "c/d")),
        ({"models": ["x/y", "a/b"], "model_fallback": "a/b,c/d"}, ("x/y", "a/b", "c/d")),
        ({"models": "x/y", "model_fallback": ["c/d"]}, ("x/y", "c/d")),
        ({"model_fallback": " "}, ()),
    ],
)
def test_fallback_models_merge_in_order_without_the_primary(parameters: dict[str, Any], expected: Any) -> None:
    for endpoint in Endpoint:
        assert shaped(GPT, parameters, endpoint=endpoint).request.fallback_models == expected


def test_fallback_names_in_any_spelling_and_only_allowed_ones() -> None:
    known = {"a.b": "a/b", "openai.gpt-5": "openai/gpt-5"}
    result = shaped(GPT, {"model_fallback": "a.b,openai.gpt-5,secret/model"}, resolve=known.get)
    assert result.request.fallback_models == ("a/b",)
    assert len(result.warnings) == 1


def test_models_that_draw_are_asked_to() -> None:
    assert shaped(PAINTER).request.parameters == {"modalities": ("image", "text")}
    assert shaped(BRUSH).request.parameters == {"modalities": ("image",)}
    assert shaped(PAINTER, {"modalities": ["text"]}).request.parameters == {"modalities": ("text",)}


def test_tasks_get_no_stream_tools_plugins_or_shown_reasoning() -> None:
    parameters = {
        "tools": [FLAT],
        "tool_choice": "auto",
        "plugins": [{"id": "web"}],
        "temperature": 0.1,
        "max_tokens": 50,
    }
    request = shaped(CLAUDE, parameters, task=Task("tags"), tools=(TOOL,), web_search=True).request
    assert (request.stream, request.tools, request.tool_choice, request.plugins) == (False, (), None, ())
    assert (request.reasoning, request.caching) == (Reasoning(effort="low"), None)
    assert (request.parameters, request.max_output_tokens) == ({"temperature": 0.1}, 50)


def test_shaping_changes_nothing_it_was_given() -> None:
    parameters = {"tools": [NESTED], "plugins": [{"id": "web", "x": None}], "provider": {"order": ["a"]}}
    before = repr(parameters)
    assert shaped(GPT, parameters) == shaped(GPT, parameters)
    assert repr(parameters) == before
