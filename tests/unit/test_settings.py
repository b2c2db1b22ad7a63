"""The one list of settings: equal to the reference table, parsed with clear errors, overridden as users expect."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_pipe.ports.settings import (
    SETTINGS,
    SETTINGS_BY_NAME,
    Kind,
    Secret,
    SettingError,
    Settings,
    override,
    read_settings,
)


def test_the_defaults_are_the_documented_ones() -> None:
    settings = read_settings({})
    assert settings == Settings()
    assert settings.BASE_URL == "https://openrouter.ai/api/v1"
    assert settings.HTTP_TOTAL_TIMEOUT_SECONDS is None
    assert settings.TOOL_SHUTDOWN_TIMEOUT_SECONDS == 10.0
    assert settings.REASONING_EFFORT == "medium"
    assert settings.PERSIST_REASONING_TOKENS == "conversation"
    assert len(SETTINGS) == 120


def test_per_user_settings_are_the_documented_ones() -> None:
    assert {setting.name for setting in SETTINGS if setting.per_user} == {
        "ENABLE_REASONING",
        "THINKING_OUTPUT_MODE",
        "ENABLE_ANTHROPIC_INTERLEAVED_THINKING",
        "REASONING_EFFORT",
        "REASONING_SUMMARY_MODE",
        "PERSIST_REASONING_TOKENS",
        "PERSIST_TOOL_RESULTS",
        "SHOW_FINAL_USAGE_STATUS",
    }


def test_precedence_is_value_then_environment_then_default() -> None:
    environment = {"OPENROUTER_API_KEY": " sk-env ", "GLOBAL_LOG_LEVEL": "debug", "OPENROUTER_API_BASE_URL": "  "}
    settings = read_settings({"LOG_LEVEL": "ERROR"}, environment)
    assert settings.API_KEY.reveal() == "sk-env"
    assert settings.LOG_LEVEL == "ERROR"
    assert read_settings({}, environment).LOG_LEVEL == "DEBUG"
    assert settings.BASE_URL == "https://openrouter.ai/api/v1"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("TOOL_BATCH_CAP", 99, "between 1 and 32"),
        ("TOOL_BATCH_CAP", 0, "between 1 and 32"),
        ("TOOL_BATCH_CAP", "many", "a number between 1 and 32"),
        ("TOOL_BATCH_CAP", 1.5, "a whole number"),
        ("TOOL_BATCH_CAP", True, "a number"),
        ("TOOL_BATCH_CAP", math.inf, "a whole number"),
        ("TOOL_BATCH_CAP", [1], "a number"),
        ("HTTP_CONNECT_TIMEOUT_SECONDS", 0, "at least 1"),
        ("REASONING_EFFORT", "extreme", "one of none, minimal, low, medium, high, xhigh"),
        ("ENABLE_REASONING", "perhaps", "true or false"),
        ("BASE_URL", 3, "must be text"),
        ("NO_SUCH_SETTING", 3, "no such setting"),
    ],
)
def test_a_bad_value_names_the_setting_and_its_bounds(name: str, value: Any, words: str) -> None:
    with pytest.raises(SettingError, match=rf"^{name}: .*{words}"):
        read_settings({name: value})


def test_text_is_read_where_it_means_something() -> None:
    settings = read_settings(
        {
            "TOOL_BATCH_CAP": " 7 ",
            "TOOL_SHUTDOWN_TIMEOUT_SECONDS": "0.5",
            "ENABLE_REASONING": "off",
            "REASONING_EFFORT": "HIGH",
            "MAX_CONCURRENT_REQUESTS": "",
            "HTTP_TOTAL_TIMEOUT_SECONDS": " ",
        }
    )
    assert (settings.TOOL_BATCH_CAP, settings.TOOL_SHUTDOWN_TIMEOUT_SECONDS) == (7, 0.5)
    assert (settings.ENABLE_REASONING, settings.REASONING_EFFORT) == (False, "high")
    assert (settings.MAX_CONCURRENT_REQUESTS, settings.HTTP_TOTAL_TIMEOUT_SECONDS) == (200, None)


@given(st.sampled_from(["inherit", "INHERIT", " Inherit ", "", None]), st.sampled_from(sorted(SETTINGS_BY_NAME)))
def test_inherit_and_null_mean_unset_in_every_field(word: str | None, name: str) -> None:
    settings = read_settings({"REASONING_EFFORT": "low", "ENABLE_REASONING": False})
    assert override(settings, {name: word}) == settings


def test_a_user_overrides_only_what_users_may() -> None:
    settings = override(read_settings({}), {"REASONING_EFFORT": "high", "LOG_LEVEL": "DEBUG", "API_KEY": "sk-mine"})
    assert settings.REASONING_EFFORT == "high"
    assert settings.LOG_LEVEL == "INFO"
    assert not settings.API_KEY


@given(st.text(min_size=6, alphabet=st.characters(min_codepoint=33, max_codepoint=126)))
def test_a_secret_never_shows_itself(value: str) -> None:
    secret = Secret("<" + value + ">")
    settings = read_settings({"API_KEY": secret})
    for shown in (repr(secret), str(secret), f"{secret}", repr(settings), repr({"k": secret})):
        assert "<" + value + ">" not in shown
    assert secret.reveal() == "<" + value + ">"


def test_every_setting_says_what_it_means() -> None:
    for setting in SETTINGS:
        assert setting.description.endswith("."), setting.name
        assert setting.group, setting.name
        assert (setting.kind is Kind.CHOICE) == bool(setting.choices), setting.name
        assert setting.parse(None) == (None if setting.optional else setting.default), setting.name
