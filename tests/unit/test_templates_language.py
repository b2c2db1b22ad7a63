"""The template language and the built-in texts."""

import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openrouter_pipe.domain.errors.templates import KNOWN, LONGEST_VALUE, render
from openrouter_pipe.ports import templates
from openrouter_pipe.ports.settings import SETTINGS, Kind

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("template", "values", "expected"),
    [
        ("a {reason} b", {"reason": "x"}, "a x b"),
        ("keep\nId {reason}\nkeep", {}, "keep\nkeep"),
        ("keep\nId {reason}\nkeep", {"reason": "  "}, "keep\nkeep"),
        ("Hello {stranger}", {}, "Hello {stranger}"),
        ('{"a": {reason}}', {"reason": "x"}, '{"a": x}'),
        ("{{reason}}", {"reason": "x"}, "{x}"),
        ("n {retry_after_seconds}", {"retry_after_seconds": 0}, "n 0"),
        ("n {account_balance}", {"account_balance": 2.5}, "n 2.5"),
        ("n {account_balance}", {"account_balance": 40.0}, "n 40"),
        ("n {account_balance}", {"account_balance": float("nan")}, ""),
        ("{{#if reason}}\nyes {reason}\n{{/if}}\nend", {"reason": "x"}, "yes x\nend"),
        ("{{#if reason}}\nyes\n\nmore\n{{/if}}\nend", {}, "end"),
        ("a{{#if reason}} ({reason}){{/if}} b", {"reason": "x"}, "a (x) b"),
        ("a{{#if reason}} ({reason}){{/if}} b", {}, "a b"),
        ("{{#if reason}}{{#if provider}}both{{/if}}{{/if}}", {"reason": "x"}, ""),
        ("{{#if reason}}{{#if provider}}both{{/if}} one{{/if}}", {"reason": "x"}, " one"),
        ("{{#if include_model_limits}}yes{{/if}}", {"include_model_limits": True}, "yes"),
        ("{{#if include_model_limits}}yes{{/if}}", {"include_model_limits": False}, ""),
        ("{{#if reason}}\nId {error_id}", {"error_id": "1"}, "Id 1"),
        ("{{/if}}a{{/if}}", {}, "a"),
        ("{{#if}}a{{/if}}", {}, "{{#if}}a"),
        ("{{#if nobody}}a{{/if}}b", {}, "b"),
        ("a\n\n{reason}\n\nb", {}, "a\n\nb"),
        ("Why: {moderation_reasons}", {"moderation_reasons": ["a", "b"]}, "Why: a; b"),
        ("Why:\n{moderation_reasons}", {"moderation_reasons": ["a", "b\nc", None]}, "Why:\n- a\n- b c"),
        ("{metadata_json}", {"metadata_json": {"a": 1}}, '{\n  "a": 1\n}'),
        ("a\r\nb {reason}\r\nc", {}, "a\nc"),
        ("", {}, ""),
    ],
)
def test_language(template, values, expected):
    assert render(template, values) == expected


@pytest.mark.parametrize(
    "value", ["{error_id}", "{{#if error_id}}", "{{/if}}", "{{#if x}}{error_id}{{/if}}", "%s {0} {x!r}", "$error_id"]
)
@pytest.mark.parametrize("name", ["detail", "reason", "sanitized_detail"])
def test_values_are_text_and_never_template(name, value):
    out = render("{" + name + "}\n{{#if error_id}}{error_id}{{/if}}", {name: value, "error_id": "ID"})
    assert out.replace("\\", "") == f"{value}\nID"


@pytest.mark.parametrize("name", ["detail", "sanitized_detail", "provider", "requested_model", "raw_body", "heading"])
@pytest.mark.parametrize(
    "value",
    ["<script>alert(1)</script>", "<details open>", "</details>", "<img src=x>", "<!-- ",
     "![a](http://evil/x.png)", "\x1b[31mred\x1b]0;t\x07",
     "\u202egnp.exe", "a\x00b", "\ud800", "```\n# x", "~~~\nx"],
)  # fmt: skip
def test_hostile_values_start_nothing(name, value):
    out = render("{" + name + "}", {name: value})
    assert not re.search(r"<[A-Za-z/!]", out)
    assert "![" not in out
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", out)
    assert not re.search("^(```|~~~)", out, re.MULTILINE)


def test_sanitized_detail_has_no_markdown():
    out = render(
        "{sanitized_detail}", {"sanitized_detail": "# h\n- a\n1. b\n> q\n[x](http://y) *b* `c` $5 max_tokens _i_\n==="}
    )
    assert out == "\\# h\n\\- a\n1\\. b\n\\> q\n\\[x\\](http://y) \\*b\\* \\`c\\` \\$5 max_tokens \\_i\\_\n\\==="


def test_single_values_stay_in_their_line():
    assert render("- Model: {model_identifier}", {"model_identifier": "a\n\n# b"}) == "- Model: a # b"


def test_long_values_are_cut_in_linear_time():
    started = time.process_time()
    for piece in ("x", "{{#if detail}}", "\x1b[", "<", "\n", "# ", "`", "{detail}"):
        out = render(
            "{detail}\n{sanitized_detail}\n{provider}",
            dict.fromkeys(("detail", "sanitized_detail", "provider"), piece * (1_000_000 // len(piece))),
        )
        assert len(out) < 40 * LONGEST_VALUE
    assert time.process_time() - started < 3


def test_a_template_of_a_megabyte():
    started = time.process_time()
    for piece in ("{{#if reason}}", "{{/if}}", "{reason}", "{{#if", "{", "{{" + " " * 50, "{{#if reason}}\n", "\n"):
        render(piece * (500_000 // len(piece)), {"reason": "x"})
    assert time.process_time() - started < 20


PIECES = ["{{#if reason}}", "{{/if}}", "{reason}", "{detail}", "{x}", "{", "}}", "\n", "t", "{{#if x}}", " "]
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES)).map("".join),
    st.dictionaries(st.sampled_from(["reason", "detail", "moderation_reasons"]), VALUES),
)
def test_nothing_raises(template, values):
    assert isinstance(render(template, values), str)


def test_a_fuzzed_template_never_evaluates():
    assert (
        render("{detail.__class__} {detail[0]} {0} {detail!r} {detail:>9}", {"detail": "x"})
        == "{detail.__class__} {detail[0]} {0} {detail!r} {detail:>9}"
    )


TEMPLATES = [setting for setting in SETTINGS if setting.kind is Kind.TEMPLATE]


@pytest.mark.parametrize("setting", TEMPLATES, ids=lambda setting: setting.name)
def test_built_in_texts(setting):
    text = str(setting.default)
    assert set(re.findall(r"\{(\w+)\}", text)) <= KNOWN
    assert text.startswith("### {heading}")
    for needed in ("**What to do:**", "{error_id}", "{timestamp}", "{support_email}", "{support_url}"):
        assert needed in text
    full = render(text, {**dict.fromkeys(KNOWN, "value"), "moderation_reasons": ["a"]})
    assert "{" not in full
    bare = render(text, {"heading": "H", "error_id": "0123456789abcdef", "timestamp": "T"})
    assert "0123456789abcdef" in bare
    assert "{" not in bare
    assert "\n\n\n" not in bare


def test_every_text_belongs_to_a_setting():
    names = {name for name in vars(templates) if name.isupper() and not name.startswith("_")}
    assert {f"{name}_TEMPLATE" for name in names} == {setting.name for setting in TEMPLATES}


def test_the_manual_lists_every_variable():
    manual = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", manual, re.MULTILINE)) >= KNOWN
