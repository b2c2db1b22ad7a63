"""The text of MODEL_RULES: what it may say, and that anything else is an error which names the entry and the fix."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openrouter_pipe.adapters.openwebui import make_valves
from openrouter_pipe.composition.policies import turn_policies
from openrouter_pipe.ports.model_rules import EFFORTS, ModelRulesError, parse_model_rules
from openrouter_pipe.ports.preferences import PREFERENCES, STRICTEST, Enforcement
from openrouter_pipe.ports.settings import SETTINGS_BY_NAME, SettingError, Settings, override, read_settings

SETTING = SETTINGS_BY_NAME["MODEL_RULES"]
ALL = {
    "order": ["Anthropic", "google-vertex/europe"],
    "only": ["anthropic", "google-vertex/europe", "amazon-bedrock"],
    "ignore": ["deepinfra"],
    "sort": {"by": "price", "partition": "none"},
    "max_price": {"prompt": 3, "completion": "15.5", "image": 0, "audio": 1e-05, "request": 0.25},
    "data_collection": "deny",
    "zdr": True,
    "allow_fallbacks": False,
    "require_parameters": True,
    "enforce_distillable_text": False,
    "quantizations": ["FP8", "bf16", "fp8"],
    "preferred_min_throughput": 20,
    "preferred_max_latency": {"p50": 1.5, "p99": 9},
}


def rule(**fields: Any) -> str:
    return json.dumps([{"models": "a/*", **fields}])


def test_every_preference_of_the_schema_can_be_a_default() -> None:
    assert frozenset(ALL) == PREFERENCES
    (read,) = parse_model_rules(rule(provider=ALL))
    assert read.provider == {
        **ALL,
        "order": ("Anthropic", "google-vertex/europe"),
        "only": ("anthropic", "google-vertex/europe", "amazon-bedrock"),
        "ignore": ("deepinfra",),
        "max_price": {"prompt": "3", "completion": "15.5", "image": "0", "audio": "0.00001", "request": "0.25"},
        "quantizations": ("fp8", "bf16"),
    }


def test_what_can_be_compared_can_be_enforced() -> None:
    fields = {name: ALL[name] for name in ("only", "ignore", "max_price", "quantizations")}
    (read,) = parse_model_rules(rule(enforce=fields | STRICTEST))
    assert read.enforce == Enforcement(
        only=("anthropic", "google-vertex/europe", "amazon-bedrock"),
        ignore=("deepinfra",),
        quantizations=("fp8", "bf16"),
        max_price={"prompt": "3", "completion": "15.5", "image": "0", "audio": "0.00001", "request": "0.25"},
        flags=frozenset(STRICTEST),
    )


@pytest.mark.parametrize("text", ["", "  \n", "[]", "{}"])
def test_no_rules(text: str) -> None:
    assert parse_model_rules(text) == ()


def test_a_list_keeps_its_order_and_an_object_is_keyed_by_glob() -> None:
    listed = parse_model_rules('[{"models": ["A/*", "b.*, c/d"], "effort": "LOW"}, {"models": "*", "effort": "max"}]')
    assert [(one.models, one.keys, one.effort) for one in listed] == [
        (("A/*", "b.*", "c/d"), ("a.*", "b.*", "c.d"), "low"),
        (("*",), ("*",), "max"),
    ]
    keyed = parse_model_rules('{"a/*": {"max_output_tokens": 4000}, "b/?": {"endpoint": "chat_completions"}}')
    assert [(one.models, one.max_output_tokens, one.endpoint) for one in keyed] == [
        (("a/*",), 4000, None),
        (("b/?",), None, "chat_completions"),
    ]


NO_GLOB = "is no glob"
BAD = {
    "no JSON": ('[{"models": "a/*", }]', "line 1, column", "check commas"),
    "a class turned round": ('[{"models": "openai/[9-0]*", "effort": "low"}]', "entry 1", NO_GLOB),
    "a class turned round by its case": ('[{"models": "[Z-a]penai/*", "effort": "low"}]', "entry 1", NO_GLOB),
    "single quotes": ("[{'models': 'a/*'}]", "not valid JSON", "quotes"),
    "cut off": ('[{"models": "a/*"', "not valid JSON", "brackets"),
    "a word": ('"anthropic/*"', "JSON list of rules", "globs as keys"),
    "null": ("null", "JSON list of rules", ""),
    "a number": ("7", "JSON list of rules", ""),
    "too deep": ("[" * 100_000, "", ""),
    "very deep": ("[" * 90_000 + "]" * 9_000, "nested too deeply", ""),
    "too long": (f'[{{"models": "{"a" * 100_000}", "effort": "low"}}]', "100000 characters", "wider globs"),
    "too many": (json.dumps([{"models": "a", "effort": "low"}] * 501), "more than 500", "wider globs"),
    "a long number": (f'[{{"models": "a", "max_output_tokens": {"9" * 5000}}}]', "too long", ""),
    "said twice": ('[{"models": "a/*", "enforce": {"zdr": true, "zdr": false}}]', '"zdr" twice', "Keep one"),
    "a glob twice": ('{"a/*": {"effort": "low"}, "a/*": {"effort": "high"}}', '"a/*" twice', "Keep one"),
    "not a number": ('[{"models": "a", "provider": {"max_price": {"prompt": NaN}}}]', "NaN", "no number"),
    "endless": ('[{"models": "a", "provider": {"max_price": {"prompt": 1e999}}}]', "max_price.prompt", "at least 0"),
    "an entry that is a text": ('["a/*"]', "entry 1: must be an object", ""),
    "a keyed entry that is a text": ('{"a/*": "low"}', 'entry "a/*": must be an object', ""),
    "an unknown key": (rule(effrot="low"), 'entry 1: there is no key "effrot"', "the keys are models, effort"),
    "models inside a keyed entry": (
        '{"a": {"models": "b", "effort": "low"}}',
        'no key "models"',
        "the keys are effort",
    ),
    "no models": ('[{"effort": "low"}]', "entry 1: models must be a glob", "anthropic/*"),
    "empty models": ('[{"models": [], "effort": "low"}]', "entry 1: models is empty", "anthropic/*"),
    "a blank glob": ('[{"models": " ", "effort": "low"}]', NO_GLOB, "openai/*"),
    "a blank between commas": ('[{"models": "a,,b", "effort": "low"}]', NO_GLOB, ""),
    "braces": ('[{"models": "{a,b}/*", "effort": "low"}]', NO_GLOB, ""),
    "a regular expression": ('[{"models": "^a/.+$", "effort": "low"}]', NO_GLOB, ""),
    "an open class": ('[{"models": "a/[xy", "effort": "low"}]', NO_GLOB, ""),
    "a number as glob": ('[{"models": [7], "effort": "low"}]', "must be a glob", ""),
    "nothing said": ('[{"models": "a/*"}]', "says nothing", "add one of effort"),
    "null effort": (rule(effort=None), "entry 1 (a/*): effort must be one of none", "not null"),
    "an unknown effort": (rule(effort="loud"), "effort must be one of", '"loud"'),
    "half a token": (rule(max_output_tokens=0.5), "max_output_tokens must be a whole number", ""),
    "no tokens": (rule(max_output_tokens=0), "max_output_tokens must be a whole number of at least 1", ""),
    "true tokens": (rule(max_output_tokens=True), "max_output_tokens must be", ""),
    "an unknown endpoint": (rule(endpoint="messages"), "endpoint must be one of responses, chat_completions", ""),
    "provider as text": (rule(provider="anthropic"), "provider must be an object", ""),
    "an empty provider": (rule(provider={}), "provider is empty", "leave it out"),
    "an empty enforce": (rule(enforce={}), "enforce is empty", "leave it out"),
    "an unknown preference": (rule(provider={"onyl": ["a"]}), 'provider has no field "onyl"', "only"),
    "an unknown enforcement": (rule(enforce={"ZDR": True}), 'enforce has no field "ZDR"', "zdr"),
    "a wish enforced": (rule(enforce={"order": ["a"]}), "enforce.order is a wish", "put it into provider"),
    "sorting enforced": (rule(enforce={"sort": "price"}), "enforce.sort is a wish", "Enforceable are"),
    "an unknown sort": (rule(provider={"sort": "cheap"}), "provider.sort must be one of price", '"cheap"'),
    "an unknown part of sort": (rule(provider={"sort": {"on": "price"}}), "provider.sort has no field", "by"),
    "a negative price": (rule(enforce={"max_price": {"prompt": -1}}), "enforce.max_price.prompt must be", "at least 0"),
    "a price in words": (rule(enforce={"max_price": {"prompt": "much"}}), "enforce.max_price.prompt must be", "not"),
    "an unknown price": (
        rule(enforce={"max_price": {"tokens": 1}}),
        'enforce.max_price has no field "tokens"',
        "prompt",
    ),
    "no prices": (rule(enforce={"max_price": {}}), "enforce.max_price is empty", "leave it out"),
    "no providers": (rule(enforce={"only": []}), "enforce.only must be a list of providers", "[]"),
    "providers as text": (rule(enforce={"only": "anthropic"}), "enforce.only must be a list of providers", ""),
    "providers in one text": (rule(enforce={"only": ["a, b"]}), "each a text of its own", '"a, b"'),
    "a blank provider": (rule(enforce={"ignore": [""]}), "enforce.ignore must be a list", ""),
    "zdr in words": (rule(enforce={"zdr": "yes"}), "enforce.zdr must be true or false", '"yes"'),
    "zdr as number": (rule(enforce={"zdr": 1}), "enforce.zdr must be true or false", ""),
    "zdr null": (rule(enforce={"zdr": None}), "enforce.zdr must be true or false", "null"),
    "zdr off": (rule(enforce={"zdr": False}), "enforce.zdr must be true", "leave it out"),
    "collection allowed": (rule(enforce={"data_collection": "allow"}), 'enforce.data_collection must be "deny"', ""),
    "fallbacks allowed": (rule(enforce={"allow_fallbacks": True}), "enforce.allow_fallbacks must be false", ""),
    "an unknown quantization": (rule(enforce={"quantizations": ["fp7"]}), "enforce.quantizations must be", "fp8"),
    "a latency below 0": (rule(provider={"preferred_max_latency": -1}), "provider.preferred_max_latency must be", ""),
    "an unknown percentile": (rule(provider={"preferred_max_latency": {"p10": 1}}), "has no field", "p50"),
}


@pytest.mark.parametrize(("text", "what", "fix"), BAD.values(), ids=BAD)
def test_bad_text_is_refused_with_the_entry_and_the_fix(text: str, what: str, fix: str) -> None:
    with pytest.raises(SettingError) as caught:
        SETTING.parse(text)
    said = str(caught.value)
    assert said.startswith("MODEL_RULES: ")
    assert what in said
    assert fix in said
    assert len(said) < 700


@pytest.mark.parametrize(("text", "what", "fix"), BAD.values(), ids=BAD)
def test_bad_text_cannot_be_saved(text: str, what: str, fix: str) -> None:
    with pytest.raises(ValueError, match="MODEL_RULES") as caught:
        make_valves(password_inputs=False)(MODEL_RULES=text)
    assert what in str(caught.value)


@pytest.mark.parametrize("text", [text for text, _, _ in BAD.values()], ids=BAD)
def test_bad_text_gives_no_policies(text: str) -> None:
    with pytest.raises(SettingError, match="MODEL_RULES"):
        turn_policies(Settings(MODEL_RULES=text))


def test_the_second_entry_is_named_as_such() -> None:
    with pytest.raises(ModelRulesError, match=r"entry 2 \(b/\*, c\): enforce\.zdr"):
        parse_model_rules('[{"models": "a", "effort": "low"}, {"models": ["b/*", "c"], "enforce": {"zdr": 0}}]')


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*PREFERENCES, "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["models", "effort", "max_output_tokens", "endpoint", "provider", "enforce", "x"]),
            ANY_JSON | st.sampled_from(EFFORTS) | st.just("a/*"),
        ),
        max_size=3,
    )
    | ANY_JSON
)
def test_any_json_is_read_or_refused_by_name(value: Any) -> None:
    try:
        rules = parse_model_rules(json.dumps(value))
    except ModelRulesError as error:
        assert str(error)  # noqa: PT017 - either outcome is right
    else:
        assert all(one.models and (one.effort or one.max_output_tokens or one.endpoint or one.provider or one.enforce)
                   for one in rules)  # fmt: skip


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_model_rules(text)
    except ModelRulesError as error:
        assert str(error)  # noqa: PT017 - either outcome is right


def test_settings_know_what_is_the_users_own() -> None:
    base = read_settings({"REASONING_EFFORT": "high"})
    assert base.set_by_user == frozenset()
    assert override(base, {"REASONING_EFFORT": "inherit"}) == base
    assert override(base, {"REASONING_EFFORT": "high"}).set_by_user == {"REASONING_EFFORT"}
