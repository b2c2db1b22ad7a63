"""Rules by model over whole requests: what they fill in, what they enforce, and that nothing a caller sends loosens it."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openrouter_pipe.adapters.openrouter import chat, responses
from openrouter_pipe.domain.catalog.catalog import Catalog, ResolvedModel
from openrouter_pipe.domain.catalog.routing import EndpointPolicy, choose_endpoint
from openrouter_pipe.domain.catalog.selection import SelectionPolicy
from openrouter_pipe.domain.catalog.unlisted import unlisted
from openrouter_pipe.domain.shaping.enforcement import RulesConflictError
from openrouter_pipe.domain.shaping.policy import ShapingPolicy
from openrouter_pipe.domain.shaping.rules import ModelRules
from openrouter_pipe.domain.shaping.shape import Shaped, shape
from openrouter_pipe.ports.catalog import Capabilities, ModelCard, ReasoningSupport
from openrouter_pipe.ports.chat import ChatRequest, Task
from openrouter_pipe.ports.items import MessageItem, Role, TextPart
from openrouter_pipe.ports.model_rules import parse_model_rules
from openrouter_pipe.ports.preferences import PREFERENCES, STRICTEST
from openrouter_pipe.ports.provider import Endpoint, HostedTool
from openrouter_pipe.ports.settings import override, read_settings

ABLE = Capabilities(tools=True, reasoning=True)
DATED = "openai/gpt-5-2026-01-15"
CARDS = (
    ModelCard("openai/gpt-5", "GPT", capabilities=ABLE, max_output_tokens=9000, canonical_slug=DATED),
    ModelCard("anthropic/claude-x", "Claude", capabilities=ABLE, reasoning=ReasoningSupport(efforts=("low", "high"))),
    ModelCard("anthropic/claude-x:free", "Claude, free", capabilities=ABLE),
    ModelCard("google/gemini-3-pro", "Gemini", capabilities=ABLE),
    ModelCard("openrouter/auto", "Auto", capabilities=ABLE),
    ModelCard("openrouter/fusion", "Fusion", capabilities=ABLE),
    ModelCard("~anthropic/claude-latest", "Latest", capabilities=ABLE),
)
CATALOG = Catalog(CARDS)
ITEMS = (MessageItem(Role.USER, (TextPart("hi"),)),)
BODIES = {Endpoint.RESPONSES: responses.body, Endpoint.CHAT_COMPLETIONS: chat.body}
SETTINGS = read_settings({})


def found(name: str) -> ResolvedModel:
    model = CATALOG.resolve(name)
    assert model is not None
    return model


def card_of(name: str) -> ModelCard | None:
    model = CATALOG.resolve(name)
    return model.card if model else None


def shaped(
    rules: Any,
    name: str = "anthropic/claude-x",
    parameters: dict[str, Any] | None = None,
    *,
    endpoint: Endpoint = Endpoint.RESPONSES,
    task: bool = False,
    user: dict[str, str] | None = None,
    **policy: Any,
) -> Shaped:
    text = rules if isinstance(rules, str) else json.dumps(rules)
    request = ChatRequest(
        name,
        (),
        override(SETTINGS, user or {}),
        "r",
        parameters=parameters or {},
        task=Task("title_generation") if task else None,
    )
    own = ShapingPolicy(rules=ModelRules(parse_model_rules(text)), **policy)
    return shape(
        request, found(name), ITEMS, (), endpoint, own, resolve=lambda one: one if "/" in one else None, find=card_of
    )


def routing(rules: Any, name: str = "anthropic/claude-x", parameters: dict[str, Any] | None = None, **more: Any) -> Any:
    """What leaves as ``provider``, the same on both endpoints."""
    sent = []
    for endpoint, body in BODIES.items():
        request = shaped(rules, name, parameters, endpoint=endpoint, **more).request
        sent.append(json.loads(json.dumps(body(request))).get("provider"))
    assert sent[0] == sent[1]
    return sent[0]


CLAUDE = "anthropic/claude-*"


@pytest.mark.parametrize(
    ("glob", "name", "matches"),
    [
        ("anthropic/*", "anthropic/claude-x", True),
        ("ANTHROPIC.CLAUDE-X", "anthropic/claude-x", True),
        ("anthropic/claude-x", "anthropic/claude-x:free", True),
        ("anthropic/claude-x", "anthropic/claude-x:nitro:online", True),
        ("anthropic/claude-x", "anthropic/claude-x:batch", False),
        ("anthropic/claude-x:free", "anthropic/claude-x:free", True),
        ("anthropic/claude-x:free", "anthropic/claude-x", False),
        ("*:free", "anthropic/claude-x:free", True),
        ("anthropic/*", "anthropic/claude-x@preset/mine", True),
        ("*@preset/mine", "anthropic/claude-x@preset/mine", True),
        ("*", "@preset/mine", True),
        ("@preset/mine", "@preset/mine", True),
        ("openai/gpt-5", DATED, True),
        (DATED, "openai/gpt-5", True),
        ("openai/gpt-5-2025-*", "openai/gpt-5", False),
        ("anthropic/*", "~anthropic/claude-latest", True),
        ("openai/*", "anthropic/claude-x", False),
        ("openai/gpt-?", "openai/gpt-5", True),
        ("x/*, openai/*", "openai/gpt-5", True),
        ("claude-x", "anthropic/claude-x", False),
    ],
)
def test_which_models_a_glob_means(glob: str, name: str, matches: bool) -> None:
    if name.endswith(":batch"):  # not in the catalogue under this name, so that nobody can ask for it
        assert CATALOG.resolve(name) is None
        return
    model = found(name)
    rules = ModelRules(parse_model_rules(json.dumps([{"models": glob, "effort": "low"}])))
    assert bool(rules.matching(model.api_id, model.card)) is matches


@pytest.mark.parametrize(
    ("rules", "given", "expected"),
    [
        ([], None, None),
        ([{"models": "openai/*", "provider": {"zdr": True}}], None, None),
        ([{"models": CLAUDE, "provider": {"zdr": True, "sort": "price"}}], None, {"zdr": True, "sort": "price"}),
        (
            [{"models": CLAUDE, "provider": {"zdr": True, "sort": "price"}}],
            {"zdr": False},
            {"zdr": False, "sort": "price"},
        ),
        ([{"models": CLAUDE, "provider": {"zdr": True}}], {"zdr": None}, {"zdr": True}),
        ([{"models": CLAUDE, "provider": {"zdr": True}}], "not an object", {"zdr": True}),
        ([{"models": CLAUDE, "provider": {"only": ["a"]}}], {"only": 7}, {"only": ["a"]}),
        (
            [
                {"models": "*", "provider": {"order": ["a"], "sort": "price"}},
                {"models": CLAUDE, "provider": {"order": ["b"]}},
            ],
            None,
            {"order": ["b"], "sort": "price"},
        ),
    ],
)
def test_defaults_give_way_key_by_key(rules: Any, given: Any, expected: Any) -> None:
    parameters = {} if given is None else {"provider": given}
    assert routing(rules, parameters=parameters) == expected
    assert routing(rules, parameters=parameters, task=True) == expected


def enforcing(**fields: Any) -> list[dict[str, Any]]:
    return [{"models": CLAUDE, "enforce": fields}]


@pytest.mark.parametrize(
    ("enforce", "given", "expected"),
    [
        (dict(STRICTEST), {}, dict(STRICTEST)),
        (dict(STRICTEST), {name: not value if isinstance(value, bool) else "allow" for name, value in STRICTEST.items()},
         dict(STRICTEST)),
        ({"zdr": True}, {"zdr": "no", "sort": "price"}, {"zdr": True, "sort": "price"}),
        ({"zdr": True}, '{"zdr": false}', {"zdr": True}),
        ({"only": ["a", "b"]}, {}, {"only": ["a", "b"]}),
        ({"only": ["a", "b"]}, {"only": []}, {"only": ["a", "b"]}),
        ({"only": ["a", "b"]}, {"only": ["B", "c"]}, {"only": ["b"]}),
        ({"only": ["vertex/eu", "b"]}, {"only": ["vertex"]}, {"only": ["vertex/eu"]}),
        ({"only": ["a", "b"]}, {"order": ["c", "B", "a/fast", "a"]}, {"only": ["a", "b"], "order": ["B", "a"]}),
        ({"only": ["a", "b"]}, {"order": ["c"]}, {"only": ["a", "b"]}),
        ({"only": ["a", "b"]}, {"ignore": ["A"]}, {"only": ["a", "b"], "ignore": ["A"]}),
        ({"ignore": ["a"]}, {"ignore": ["b", "A"]}, {"ignore": ["a", "b"]}),
        ({"ignore": ["a"]}, {"order": ["a/fast", "a", "b"]}, {"ignore": ["a"], "order": ["b"]}),
        ({"ignore": ["a"]}, {"only": ["a", "b"]}, {"ignore": ["a"], "only": ["a", "b"]}),
        ({"max_price": {"prompt": 2}}, {}, {"max_price": {"prompt": "2"}}),
        (
            {"max_price": {"prompt": 2, "image": 1}},
            {"max_price": {"prompt": "10", "completion": 3, "image": 0.5}},
            {"max_price": {"prompt": "2", "completion": "3", "image": "0.5"}},
        ),
        ({"max_price": {"prompt": 2}}, {"max_price": "free"}, {"max_price": {"prompt": "2"}}),
        ({"quantizations": ["fp8", "bf16"]}, {"quantizations": ["BF16", "int4"]}, {"quantizations": ["bf16"]}),
    ],
)  # fmt: skip
def test_what_is_enforced_holds(enforce: Any, given: Any, expected: Any) -> None:
    parameters = {"provider": given} if given else {}
    for task in (False, True):
        assert routing(enforcing(**enforce), parameters=parameters, task=task) == expected


@pytest.mark.parametrize(
    ("rules", "given", "reason"),
    [
        (enforcing(only=["a"]), {"only": ["b"]}, "provider.only asks for b, and only a may answer here (MODEL_RULES)"),
        (enforcing(only=["a"]), {"only": ["a/fast"]}, "only a may answer here"),
        (enforcing(only=["a"]), {"ignore": ["A"]}, "each one is ignored"),
        (enforcing(ignore=["a"]), {"only": ["a/fast"]}, "each one is ignored"),
        (enforcing(quantizations=["fp8"]), {"quantizations": ["fp4"]}, "provider.quantizations asks for fp4"),
        ([*enforcing(only=["a"]), *enforcing(only=["b"])], {}, "have no provider in common in only"),
        ([*enforcing(only=["a"]), *enforcing(ignore=["a"])], {}, "leave no provider"),
        ([*enforcing(quantizations=["fp8"]), *enforcing(quantizations=["fp4"])], {}, "no quantization in common"),
    ],
)
def test_where_nobody_is_left_nothing_leaves(rules: Any, given: Any, reason: str) -> None:
    for endpoint in Endpoint:
        with pytest.raises(RulesConflictError) as caught:
            shaped(rules, parameters={"provider": given}, endpoint=endpoint)
        assert reason in caught.value.reason


def test_a_default_gives_way_to_what_is_enforced() -> None:
    rules = [
        {"models": "*", "provider": {"only": ["a"], "zdr": False, "quantizations": ["fp4"]}},
        *enforcing(only=["b"], zdr=True, quantizations=["fp8"]),
    ]
    assert routing(rules) == {"only": ["b"], "zdr": True, "quantizations": ["fp8"]}


def test_a_change_of_what_the_caller_sent_is_told() -> None:
    result = shaped(enforcing(zdr=True), parameters={"provider": {"zdr": False, "sort": "price"}})
    (warning,) = result.warnings
    assert warning.startswith("Parameter provider.zdr")
    assert shaped(enforcing(zdr=True), parameters={"provider": {"zdr": True}}).warnings == ()


STRICT_CLAUDE = [{"models": "anthropic/claude-x", "enforce": {"zdr": True}}]


@pytest.mark.parametrize(
    ("name", "parameters", "bound"),
    [
        ("openai/gpt-5", {}, False),
        ("openai/gpt-5", {"models": ["google/gemini-3-pro"]}, False),
        ("openai/gpt-5", {"models": ["anthropic/claude-x"]}, True),
        ("openai/gpt-5", {"model_fallback": "google/gemini-3-pro, anthropic/claude-x:free"}, True),
        ("openai/gpt-5", {"models": ["anthropic/unlisted"]}, True),
        ("openai/gpt-5", {"models": ["google/unlisted"]}, True),
        ("openai/gpt-5", {"models": ["openrouter/auto"]}, True),
        ("openai/gpt-5", {"models": ["@preset/mine/x", " /x"]}, True),
        ("openai/gpt-5", {"models": ["@preset/mine"]}, True),
        ("openai/gpt-5", {"preset": "mine"}, True),
        ("openai/gpt-5@preset/mine", {}, True),
        ("@preset/mine", {}, True),
        ("openrouter/auto", {}, True),
        ("openrouter/auto", {"plugins": [{"id": "auto-router", "allowed_models": ["openai/*"]}]}, True),
        ("openai/gpt-5", {"plugins": [{"id": "auto-router"}]}, True),
        ("openai/gpt-5", {"plugins": [{"id": "pareto-router"}]}, True),
        ("~anthropic/claude-latest", {}, True),
        ("openai/gpt-5", {"route": "fallback"}, False),
    ],
)
def test_the_rules_of_every_model_that_could_answer_hold(name: str, parameters: dict[str, Any], bound: bool) -> None:
    assert routing(STRICT_CLAUDE, name, parameters | {"provider": {"zdr": False}}) == {"zdr": bound}
    assert routing(STRICT_CLAUDE, name, parameters) == ({"zdr": True} if bound else None)


def test_while_there_is_no_catalogue_a_name_is_bound_by_every_rule() -> None:
    model = unlisted("openai/gpt-5", "", SelectionPolicy())
    assert model is not None
    rules = ModelRules(parse_model_rules(json.dumps(STRICT_CLAUDE)))
    assert rules.enforcement(model, model.api_id, (), (), lambda _: None).flags == {"zdr"}


@pytest.mark.parametrize(
    ("glob", "bound"),
    [
        ("anthropic/claude-x", True),
        ("Anthropic.claude-1*", True),
        ("anth*", True),
        ("*opus*", True),
        ("[ab]nthropic/*", True),
        ("openai/*", False),
        ("anthropic-labs/*", False),
        ("anthropi", False),
    ],
)
def test_an_alias_is_bound_by_rules_that_could_match_its_vendor(glob: str, bound: bool) -> None:
    rules = [{"models": glob, "enforce": {"zdr": True}}]
    assert routing(rules, "~anthropic/claude-latest") == ({"zdr": True} if bound else None)


def test_the_strictest_of_several_models() -> None:
    rules = [
        {"models": "openai/*", "enforce": {"only": ["azure", "openai"], "max_price": {"prompt": 5, "completion": 9}}},
        {"models": "anthropic/*", "enforce": {"only": ["Azure", "anthropic"], "max_price": {"prompt": 3}, "zdr": True}},
    ]
    parameters = {"models": ["anthropic/claude-x"]}
    both = {"only": ["azure"], "max_price": {"prompt": "3", "completion": "9"}, "zdr": True}
    assert routing(rules, "openai/gpt-5", parameters) == both
    assert routing(rules, "openrouter/auto") == both
    assert routing(rules, "openai/gpt-5")["only"] == ["azure", "openai"]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("openrouter/fusion", {}),
        ("openrouter/fusion:online", {}),
        ("openai/gpt-5", {"models": ["openrouter/fusion-flash"]}),
        ("openai/gpt-5", {"models": "OpenRouter/Fusion"}),
    ],
)
def test_a_model_that_asks_others_is_refused_where_anything_is_enforced(name: str, parameters: dict[str, Any]) -> None:
    with pytest.raises(RulesConflictError, match="asks several models"):
        shaped(STRICT_CLAUDE, name, parameters)
    shaped([{"models": "*", "provider": {"zdr": True}}], name, parameters)


def test_a_tool_that_was_left_out_is_not_forced_either() -> None:
    kinds = ("openrouter:datetime", "openrouter:fusion")
    parameters = {"tools": [{"type": kind} for kind in kinds], "tool_choice": {"type": "openrouter:fusion"}}
    free = shaped([], parameters=parameters, endpoint=Endpoint.CHAT_COMPLETIONS).request
    bound = shaped(enforcing(zdr=True), parameters=parameters, endpoint=Endpoint.CHAT_COMPLETIONS).request
    assert (free.tool_choice, bound.tool_choice) == ({"type": "openrouter:fusion"}, None)


@pytest.mark.parametrize("kind", ["advisor", "fusion", "subagent", "image_generation"])
def test_tools_and_plugins_that_ask_another_model_are_left_out(kind: str) -> None:
    plain = {"type": "openrouter:datetime"}
    hidden = {
        "type": "namespace",
        "name": "n",
        "description": "d",
        "tools": [{"type": "function", "name": "f"}, {"type": f"openrouter:{kind}"}],
    }
    parameters = {
        "tools": [{"type": f"openrouter:{kind}", "model": "anthropic/claude-x"}, plain, hidden],
        "plugins": [{"id": "fusion", "model": "anthropic/claude-x"}, {"id": "moderation"}],
        "tool_choice": "auto",
    }
    result = shaped(STRICT_CLAUDE, "openai/gpt-5", parameters, auto_context_trimming=False)
    assert result.request.tools == (HostedTool(plain),)
    assert result.request.plugins == ({"id": "moderation"},)
    assert sum("ask another model" in warning for warning in result.warnings) == 1
    free = shaped([], "openai/gpt-5", parameters, auto_context_trimming=False)
    assert (len(free.request.tools), len(free.request.plugins)) == (3, 2)


EFFORT = [{"models": "*", "effort": "low"}, {"models": "openai/*", "effort": "high"}]


@pytest.mark.parametrize(
    ("name", "parameters", "more", "expected"),
    [
        ("openai/gpt-5", {}, {}, "high"),
        ("google/gemini-3-pro", {}, {}, "low"),
        ("google/gemini-3-pro", {}, {"gemini_thinking_level": "high"}, "low"),
        ("openai/gpt-5", {"reasoning_effort": "minimal"}, {}, "minimal"),
        ("openai/gpt-5", {"reasoning": {"effort": "minimal"}}, {}, "minimal"),
        ("openai/gpt-5", {}, {"user": {"REASONING_EFFORT": "minimal"}, "reasoning_effort": "minimal"}, "minimal"),
        ("openai/gpt-5", {}, {"user": {"REASONING_EFFORT": "inherit"}, "reasoning_effort": "minimal"}, "high"),
        ("openai/gpt-5", {}, {"enable_reasoning": False}, None),
        ("openai/gpt-5", {}, {"task": True, "task_model_reasoning_effort": "minimal"}, "minimal"),
    ],
)
def test_effort(name: str, parameters: dict[str, Any], more: dict[str, Any], expected: str | None) -> None:
    reasoning = shaped(EFFORT, name, parameters, **more).request.reasoning
    assert (reasoning.effort if reasoning else None) == expected


@pytest.mark.parametrize(
    ("rule", "parameters", "use_maximum", "expected"),
    [
        (None, {}, False, None),
        (None, {}, True, 9000),
        (400, {}, True, 400),
        (400, {"max_tokens": 50}, False, 50),
        (400, {"max_completion_tokens": 5000}, False, 5000),
        (99_999, {}, False, 9000),
    ],
)
def test_max_output_tokens(
    rule: int | None, parameters: dict[str, Any], use_maximum: bool, expected: int | None
) -> None:
    rules = [{"models": "openai/*", "max_output_tokens": rule}] if rule else []
    request = shaped(rules, "openai/gpt-5", parameters, use_model_max_output_tokens=use_maximum).request
    assert request.max_output_tokens == expected


@pytest.mark.parametrize(
    ("ruled", "expected"), [(None, Endpoint.RESPONSES), (Endpoint.CHAT_COMPLETIONS, Endpoint.CHAT_COMPLETIONS)]
)
def test_a_rule_decides_before_the_lists(ruled: Endpoint | None, expected: Endpoint) -> None:
    policy = EndpointPolicy(Endpoint.CHAT_COMPLETIONS, force_responses="openai/*")
    assert choose_endpoint("openai/gpt-5", policy, ruled) is expected
    rules = ModelRules(
        parse_model_rules('{"*": {"endpoint": "responses"}, "openai/*": {"endpoint": "chat_completions"}}')
    )
    assert rules.defaults(found("openai/gpt-5")).endpoint is Endpoint.CHAT_COMPLETIONS
    assert rules.defaults(found("anthropic/claude-x")).endpoint is Endpoint.RESPONSES


# The property: an oracle that knows nothing of how the rules are applied.

SLUGS = ["a", "b", "c", "a/x", "B", "A"]
GLOBS = ["*", "anthropic/*", "openai/gpt-5", "ANTHROPIC.claude-x", "*:free", "google/*", "openrouter/*", "*claude*"]
NAMES = ["anthropic/claude-x", "anthropic/claude-x:free", "openai/gpt-5", "openai/gpt-5:nitro", "google/gemini-3-pro"]
OPAQUE = ["openrouter/auto", "@preset/p", "openai/gpt-5@preset/p", "openrouter/fusion"]
PRICES = st.dictionaries(st.sampled_from(["prompt", "completion"]), st.integers(0, 9) | st.floats(0, 9), min_size=1)
ENFORCE = st.fixed_dictionaries(
    {},
    optional={
        "only": st.lists(st.sampled_from(SLUGS), min_size=1, max_size=4),
        "ignore": st.lists(st.sampled_from(SLUGS), min_size=1, max_size=2),
        "quantizations": st.lists(st.sampled_from(["fp8", "fp4", "bf16"]), min_size=1, max_size=3),
        "max_price": PRICES,
        **{name: st.just(value) for name, value in STRICTEST.items()},
    },
).filter(bool)
HOSTILE = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, -1, 1e9, "", " ", "false", "allow", "a", "a,b", "*", "null", "[]", "{}", "fp8", "∞"]),
    st.lists(st.sampled_from([*SLUGS, "", " a ", "fp8", "int4", 1, None]), max_size=4),
    st.dictionaries(
        st.sampled_from(["prompt", "completion", "by"]), st.sampled_from([-1, 0, 1e300, "9", "x", None, True])
    ),
)
WISHES = st.dictionaries(st.sampled_from([*PREFERENCES, "ONLY", "zdr ", "enforce"]), HOSTILE, max_size=6)
GIVEN = WISHES | WISHES.map(json.dumps) | HOSTILE
RULES = st.lists(
    st.builds(
        lambda models, enforce, provider: {
            "models": models,
            "enforce": enforce,
            **({"provider": provider} if provider else {}),
        },
        st.sampled_from(GLOBS),
        ENFORCE,
        st.none() | ENFORCE | st.just({"zdr": False, "data_collection": "allow", "only": ["c"], "ignore": ["b"]}),
    ),
    min_size=1,
    max_size=3,
)


def binds(rule: dict[str, Any], name: str) -> bool:
    if name in OPAQUE:
        return True
    glob = rule["models"].lower().replace("/", ".")
    return any(fnmatchcase(one, glob) for one in (name.replace("/", "."), name.partition(":")[0].replace("/", ".")))


def folded(values: Any) -> set[str]:
    return {value.casefold() for value in values}


def loosened(enforce: dict[str, Any], sent: dict[str, Any]) -> list[str]:
    """The parts of what is enforced that the request that leaves does not keep."""
    broken = [name for name, value in STRICTEST.items() if name in enforce and sent.get(name) != value]
    broken += [
        name
        for name in ("only", "quantizations")
        if name in enforce and not (sent.get(name) and folded(sent[name]) <= folded(enforce[name]))
    ]
    if "ignore" in enforce and not folded(enforce["ignore"]) <= folded(sent.get("ignore", ())):
        broken.append("ignore")
    for kind, price in enforce.get("max_price", {}).items():
        if kind not in sent.get("max_price", {}) or float(sent["max_price"][kind]) > price + 1e-9:
            broken.append(f"max_price.{kind}")
    if "only" in enforce and not folded(sent.get("order", ())) <= folded(enforce["only"]) | {
        slug.partition("/")[0] for slug in folded(enforce["only"])
    }:
        broken.append("order")
    return broken


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    rules=RULES,
    name=st.sampled_from([*NAMES, *OPAQUE]),
    others=st.lists(st.sampled_from([*NAMES, "openrouter/auto", "@preset/p"]), max_size=2),
    parameter=st.sampled_from(["models", "model_fallback"]),
    wishes=GIVEN,
    endpoint=st.sampled_from(Endpoint),
    task=st.booleans(),
)
def test_what_leaves_is_never_looser_than_what_is_enforced(
    rules: Any, name: str, others: list[str], parameter: str, wishes: Any, endpoint: Endpoint, task: bool
) -> None:
    parameters = {"provider": wishes, parameter: others, "route": "fallback"}
    try:
        request = shaped(rules, name, parameters, endpoint=endpoint, task=task).request
    except RulesConflictError as conflict:
        assert conflict.reason  # noqa: PT017 - nothing leaves, which is as strict as can be
        return
    body = json.loads(json.dumps(BODIES[endpoint](request)))
    answering = {body["model"], *body.get("models", ())}
    for rule in rules:
        if any(binds(rule, one) for one in answering | {name}):
            assert loosened(rule["enforce"], body.get("provider", {})) == []
