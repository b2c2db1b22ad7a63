"""Strict schemas: same meaning, valid names, no duplicates. Judged by a JSON Schema validator, not by our own code."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from openrouter_pipe.domain.tools.restoring import restore
from openrouter_pipe.domain.tools.schemas import Offer, offer
from openrouter_pipe.ports.provider import FunctionTool
from openrouter_pipe.ports.tools import ToolSpec


def _offer(parameters: dict[str, Any]) -> FunctionTool:
    return offer([ToolSpec("tool", "A tool.", parameters)], strict=True).functions[0]


def _accepts(schema: Any, value: Any) -> bool:
    return Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"type": "string"}, {"type": ["string", "null"]}),
        ({"type": ["string", "integer"]}, {"type": ["string", "integer", "null"]}),
        ({"type": "string", "enum": ["a", "b"]}, {"type": ["string", "null"], "enum": ["a", "b", None]}),
        ({"enum": ["a", 1]}, {"enum": ["a", 1, None]}),
        ({"const": 3}, {"anyOf": [{"const": 3}, {"type": "null"}]}),
        (
            {"anyOf": [{"type": "string"}, {"type": "integer"}]},
            {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]},
        ),
        (
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
        ),
        ({"type": "string", "default": "x"}, {"type": ["string", "null"], "description": 'Default: "x"'}),
    ],
)
def test_an_optional_property_becomes_nullable_in_every_form(part: Any, expected: Any) -> None:
    tool = _offer({"type": "object", "properties": {"p": part}})
    assert tool.strict is True
    assert tool.parameters is not None
    assert tool.parameters["properties"] == {"p": expected}
    assert tool.parameters["required"] == ["p"]
    assert tool.parameters["additionalProperties"] is False


def test_references_and_definitions_stay_byte_identical() -> None:
    definitions = {
        "Unit": {"type": "string", "enum": ["c", "f"]},
        "Point": {
            "type": "object",
            "properties": {"x": {"type": "number"}},
            "required": ["x"],
            "additionalProperties": False,
        },
    }
    tool = _offer(
        {
            "type": "object",
            "properties": {
                "at": {"$ref": "#/$defs/Point"},
                "unit": {"$ref": "#/$defs/Unit"},
                "other": {"$ref": "#/$defs/Unit", "description": "said beside it"},
            },
            "required": ["at"],
            "$defs": copy.deepcopy(definitions),
        }
    )
    assert tool.strict is True
    assert tool.parameters is not None
    assert json.dumps(tool.parameters["$defs"]) == json.dumps(definitions)
    assert tool.parameters["properties"] == {
        "at": {"$ref": "#/$defs/Point"},
        "unit": {"anyOf": [{"$ref": "#/$defs/Unit"}, {"type": "null"}]},
        "other": {"description": "said beside it", "anyOf": [{"$ref": "#/$defs/Unit"}, {"type": "null"}]},
    }


@pytest.mark.parametrize(
    "parameters",
    [
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object", "additionalProperties": True},
        {"type": "object", "properties": {"free": {"type": "object"}}},
        {"type": "object", "properties": {"free": {}}},
        {"type": "object", "properties": {"free": True}},
        {"type": "object", "properties": {"list": {"type": "array"}}},
        {"type": "object", "properties": {"a": {"oneOf": [{"type": "string"}, {"type": "integer"}]}}},
        {"type": "object", "properties": {"a": {"type": "string", "minLength": 2}}},
        {"type": "object", "properties": {}, "patternProperties": {"^x": {"type": "string"}}},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/Open"}}, "$defs": {"Open": {"type": "object"}}},
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a", "b"]},
        {"type": "object", "properties": {"a": {"type": "string"}, "b": {"$ref": "#/properties/a"}}, "required": ["b"]},
        {"type": "object", "properties": {"a": {"$ref": "https://example.org/schema.json"}}},
        {"type": "object", "properties": {"a": {"$ref": 5}}},
        {"type": "object", "properties": {"a": {"type": "string", "format": "uri"}}},
        {"type": "object", "properties": {"a": {"type": "integer", "format": "int64"}}},
        {"type": "array", "items": {"type": "string"}},
        {"type": "object", "properties": {"a": float("nan")}},
    ],
)
def test_what_strict_calling_cannot_say_is_sent_unchanged_and_not_strict(parameters: dict[str, Any]) -> None:
    before = copy.deepcopy(parameters)
    tool = _offer(parameters)
    assert tool.strict is False
    assert repr(tool.parameters) == repr(before)


_ENDLESS: dict[str, Any] = {}
_ENDLESS["again"] = _ENDLESS
_DEEP: dict[str, Any] = {}
for _ in range(5000):
    _DEEP = {"properties": {"a": _DEEP}}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    "part",
    [
        {"default": object()},
        {"enum": {1, 2}},
        _ENDLESS,
        _DEEP,
        json.loads('{"anyOf": [' * 150 + "1" + "]}" * 150),
        {"const": b"x"},
    ],
)
def test_a_schema_that_is_no_json_costs_its_own_tool_only(part: Any, strict: bool) -> None:
    broken = ToolSpec("broken", "", {"type": "object", "properties": {"a": part}})
    made = offer([broken, ToolSpec("whole", "", {"type": "object", "properties": {}})], strict)
    assert [tool.name for tool in made.functions] == list(made.specs) == ["whole"]


def test_a_tool_without_arguments_is_strict_and_closed() -> None:
    assert _offer({"type": "object", "properties": {}}).parameters == {
        "type": "object",
        "properties": {},
        "required": [],
        "additionalProperties": False,
    }


def test_without_strict_calling_schemas_pass_unchanged() -> None:
    parameters = {"type": "object", "properties": {"p": {"type": "string"}}}
    tool = offer([ToolSpec("tool", "", parameters)], strict=False).functions[0]
    assert (tool.parameters, tool.strict) == (parameters, None)


def test_a_valid_name_is_kept_whoever_comes_first() -> None:
    names = ["get the time", "get_the_time", "get-the-time", "get.the.time"]
    made = offer([ToolSpec(name, "", {"type": "object", "properties": {}}) for name in names], strict=True)
    assert list(made.specs) == ["get_the_time_2", "get_the_time", "get-the-time", "get_the_time_3"]
    assert [spec.name for spec in made.specs.values()] == names


@given(st.lists(st.tuples(st.sampled_from(["local", "mcp"]), st.text(max_size=80)), max_size=12))
def test_names_are_valid_unique_and_map_back(entries: list[tuple[str, str]]) -> None:
    specs = [
        ToolSpec(name, str(i), {"type": "object", "properties": {}}, kind) for i, (kind, name) in enumerate(entries)
    ]
    result: Offer = offer(specs, strict=True)
    names = [function.name for function in result.functions]
    assert len(names) == len(set(names)) == len(set(entries))
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in names)
    last = {(spec.kind, spec.name): spec for spec in specs}
    assert list(result.specs.values()) == list(last.values())
    assert list(result.specs) == names


_LEAVES = st.sampled_from(
    [
        {"type": "string"},
        {"type": "integer"},
        {"type": "boolean"},
        {"type": ["string", "null"]},
        {"type": "string", "enum": ["a", "b"]},
        {"enum": ["a", None]},
        {"const": 1},
        {"type": "null"},
        {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        {"$ref": "#/$defs/Leaf"},
    ]
)


def _objects(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def close(properties: dict[str, Any], needed: list[bool]) -> dict[str, Any]:
        required = [name for name, need in zip(properties, needed, strict=False) if need]
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}

    return st.builds(
        close,
        st.dictionaries(st.sampled_from("abcd"), parts, max_size=4),
        st.lists(st.booleans(), min_size=4, max_size=4),
    )


_SCHEMAS = _objects(
    st.recursive(
        _LEAVES,
        lambda parts: st.one_of(
            _objects(parts),
            parts.map(lambda part: {"type": "array", "items": part}),
            parts.map(lambda part: {"anyOf": [part, {"type": "null"}]}),
            st.lists(_objects(parts), min_size=2, max_size=3).map(lambda branches: {"anyOf": branches}),
            st.lists(parts, min_size=2, max_size=2).map(lambda branches: {"anyOf": branches}),
        ),
        max_leaves=8,
    )
).map(lambda schema: {**schema, "$defs": {"Leaf": {"type": "string", "enum": ["x", "y"]}}})


def _instances(schema: Any, root: Any) -> st.SearchStrategy[Any]:
    """Values that a schema of this file's generators accepts."""
    match schema:
        case {"$ref": reference}:
            return _instances(root["$defs"][reference.rpartition("/")[2]], root)
        case {"anyOf": branches}:
            return st.one_of([_instances(branch, root) for branch in branches])
        case {"const": value}:
            return st.just(value)
        case {"enum": options}:
            return st.sampled_from(options)
        case {"type": list(kinds), **rest}:
            return st.one_of([_instances({**rest, "type": kind}, root) for kind in kinds])
        case {"type": "object", "properties": properties, "required": required}:
            parts = {name: _instances(part, root) for name, part in properties.items()}
            optional = {name: part for name, part in parts.items() if name not in required}
            return st.fixed_dictionaries({name: parts[name] for name in required}, optional=optional)
        case {"type": "array", "items": items}:
            return st.lists(_instances(items, root), max_size=2)
        case {"type": kind}:
            return {"string": st.sampled_from("abxy"), "integer": st.integers(0, 3), "boolean": st.booleans()}.get(
                kind, st.none()
            )
        case _:
            raise AssertionError(schema)


def _fill(value: Any, schema: Any, root: Any) -> Any:
    """A value as strict calling spells it: absent properties become null, at every depth."""
    match schema:
        case {"$ref": reference}:
            return _fill(value, root["$defs"][reference.rpartition("/")[2]], root)
        case {"anyOf": branches}:
            branch = next(one for one in branches if _accepts({**one, "$defs": root["$defs"]}, value))
            return _fill(value, branch, root)
        case {"properties": properties} if isinstance(value, dict):
            return {
                name: _fill(value[name], part, root) if name in value else None for name, part in properties.items()
            }
        case {"items": items} if isinstance(value, list):
            return [_fill(item, items, root) for item in value]
        case _:
            return value


@settings(max_examples=500)
@given(_SCHEMAS, st.data())
def test_what_the_original_accepts_the_strict_form_accepts(schema: Any, data: st.DataObject) -> None:
    tool = _offer(schema)
    assert tool.strict is True
    value = data.draw(_instances(schema, schema))
    assert _accepts(schema, value)
    filled = _fill(value, schema, schema)
    assert _accepts(tool.parameters, filled)
    restored = restore(filled, schema)
    assert _accepts(schema, restored)
    if "anyOf" not in json.dumps(schema):
        assert restored == value or "null" in json.dumps(schema)


@settings(max_examples=500)
@given(_SCHEMAS, st.data())
def test_what_the_strict_form_accepts_the_original_accepts(schema: Any, data: st.DataObject) -> None:
    """Including alternatives between objects: nulls are taken out by the one that the value was made for."""
    tool = _offer(schema)
    assert tool.parameters is not None
    value = data.draw(_instances(tool.parameters, tool.parameters))
    assert _accepts(tool.parameters, value)
    assert _accepts(schema, restore(value, schema)), restore(value, schema)


@given(_SCHEMAS, _SCHEMAS, st.data())
def test_what_no_schema_describes_is_restored_without_harm(schema: Any, other: Any, data: st.DataObject) -> None:
    value = data.draw(_instances(other, other))
    once = restore(value, schema)
    assert restore(once, schema) == once
    assert once.items() <= value.items() or json.dumps(value).count("null") > json.dumps(once).count("null")


def test_restoring_keeps_nulls_that_mean_something() -> None:
    schema = {
        "type": "object",
        "properties": {
            "gone": {"type": "string"},
            "kept": {"type": ["string", "null"]},
            "needed": {"type": ["string", "null"]},
            "inner": {"type": "object", "properties": {"x": {"type": "integer"}}},
        },
        "required": ["needed"],
    }
    arguments = {"gone": None, "kept": None, "needed": None, "inner": {"x": None}, "extra": None}
    assert restore(arguments, schema) == {"kept": None, "needed": None, "inner": {}, "extra": None}


def test_of_several_alternatives_the_one_that_fits_says_which_nulls_mean_something() -> None:
    def kind(name: str, **more: Any) -> dict[str, Any]:
        properties = {"kind": {"const": name}, **more}
        return {"type": "object", "properties": properties, "required": ["kind"], "additionalProperties": False}

    by_mail, by_post = kind("mail", to={"type": "string"}), kind("post", to={"type": ["string", "null"]})
    schema = {"type": "object", "properties": {"way": {"anyOf": [by_mail, by_post]}}, "required": ["way"]}
    assert restore({"way": {"kind": "mail", "to": None}}, schema) == {"way": {"kind": "mail"}}
    assert restore({"way": {"kind": "post", "to": None}}, schema) == {"way": {"kind": "post", "to": None}}


@pytest.mark.parametrize("part", [{"const": None}, {"type": "string", "nullable": True}, {"enum": [None, "a"]}])
def test_a_null_that_the_schema_allows_in_other_words_is_kept(part: Any) -> None:
    schema = {"type": "object", "properties": {"p": part}}
    assert restore({"p": None}, schema) == {"p": None}


def test_alternatives_within_alternatives_cost_no_more_than_they_are_large() -> None:
    node: dict[str, Any] = {"type": "object", "properties": {"kid": {"$ref": "#/$defs/node"}, "n": {"type": "integer"}}}
    other = {"type": "object", "properties": {"kid": {"$ref": "#/$defs/node"}, "n": {"type": "string"}}}
    schema = {
        "type": "object",
        "properties": {"top": {"$ref": "#/$defs/node"}},
        "$defs": {"node": {"anyOf": [node, other]}},
    }
    value: Any = {"n": []}
    for _ in range(60):
        value = {"kid": value, "n": None}
    assert restore({"top": value}, schema)["top"]["kid"]


def test_restoring_follows_a_reference_to_the_whole_schema() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "string"}, "kid": {"$ref": "#"}}}
    assert restore({"x": None, "kid": {"x": None, "kid": {"x": None}}}, schema) == {"kid": {"kid": {}}}


def test_definitions_that_name_each_other_are_followed_once_each() -> None:
    names = [f"n{number}" for number in range(60)]
    everyone = {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in names]}
    schema = {"type": "object", "properties": {"x": everyone}, "$defs": dict.fromkeys(names, everyone)}
    assert restore({"x": None, "y": {"z": None}}, schema) == {"y": {"z": None}}
