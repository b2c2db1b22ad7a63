"""Valves: derived from the one list, forgiving where the host needs it, strict where an administrator types."""

import json

import pytest
from pydantic import ValidationError

from openrouter_pipe.adapters.openwebui import make_user_valves, make_valves, settings_from
from openrouter_pipe.adapters.openwebui.valves import personal_problems
from openrouter_pipe.ports.settings import SETTINGS, SettingError

VALVES = make_valves(password_inputs=True)
USER_VALVES = make_user_valves()
SECRETS = [setting.name for setting in SETTINGS if setting.secret]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in {setting.env for setting in SETTINGS if setting.env} | {"WEBUI_SECRET_KEY"}:
        monkeypatch.delenv(name, raising=False)


def get_function_module_by_id(stored):
    return VALVES(**stored)


def get_function_params(stored):
    return USER_VALVES(**stored)


def test_every_setting_is_a_valve_with_its_default_and_bounds():
    schema = VALVES.model_json_schema()["properties"]
    assert list(schema) == [setting.name for setting in SETTINGS]
    defaults = VALVES()
    for setting in SETTINGS:
        shown = "" if setting.secret else setting.default
        assert getattr(defaults, setting.name) == shown
        assert schema[setting.name]["default"] == shown
        if setting.choices:
            assert schema[setting.name]["enum"] == list(setting.choices)
        if setting.low is not None and not setting.optional:
            assert schema[setting.name]["minimum"] == setting.low


def test_password_fields_only_where_the_host_shows_them():
    plain = make_valves(password_inputs=False).model_json_schema()["properties"]
    for name in SECRETS:
        assert VALVES.model_json_schema()["properties"][name]["input"] == {"type": "password"}
        assert "input" not in plain[name]


def test_the_environment_counts_at_the_time_of_the_call_and_is_never_stored(monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-env")
    monkeypatch.setenv("OPENROUTER_API_BASE_URL", "http://gateway/v1")
    valves = VALVES()
    assert (valves.BASE_URL, valves.model_dump()) == ("http://gateway/v1", {})
    assert "sk-env" not in json.dumps(VALVES.model_json_schema())
    assert settings_from(valves).API_KEY.reveal() == "sk-env"
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-later")
    assert settings_from(VALVES(API_KEY="", BASE_URL=" ")).API_KEY.reveal() == "sk-later"


def test_odd_words_of_the_host_in_its_environment_are_ignored(monkeypatch):
    monkeypatch.setenv("GLOBAL_LOG_LEVEL", "NOTSET")
    assert settings_from(VALVES()).LOG_LEVEL == "INFO"


@pytest.mark.parametrize(
    ("name", "value"),
    [("HTTP_CONNECT_TIMEOUT_SECONDS", 0), ("MAX_FUNCTION_CALL_LOOPS", "many"), ("FREE_MODEL_FILTER", "some")],
)
def test_saving_a_bad_value_is_refused_by_name_and_bounds(name, value):
    with pytest.raises(ValidationError, match=name) as refused:
        VALVES(**{name: value})
    assert "must be" in str(refused.value)


def test_a_refusal_never_repeats_what_was_typed():
    with pytest.raises(ValidationError) as refused:
        VALVES(API_KEY={"leak": "sk-secret"})
    assert "sk-secret" not in str(refused.value)


def test_stored_bad_values_do_not_break_a_listing_but_stop_each_turn():
    valves = get_function_module_by_id({"HTTP_CONNECT_TIMEOUT_SECONDS": 0, "MODEL_ID": "a,b", "GONE": 1})
    assert valves.MODEL_ID == "a,b"
    with pytest.raises(SettingError, match="HTTP_CONNECT_TIMEOUT_SECONDS: must be"):
        settings_from(valves)


def test_stored_nulls_are_defaults():
    settings = settings_from(get_function_module_by_id({setting.name: None for setting in SETTINGS}))
    for setting in SETTINGS:
        assert getattr(settings, setting.name) == setting.default or setting.optional


def test_numbers_and_switches_may_be_typed_as_text():
    settings = settings_from(
        VALVES(HTTP_CONNECT_TIMEOUT_SECONDS="7", ENABLE_REASONING="false", HTTP_TOTAL_TIMEOUT_SECONDS="")
    )
    assert (settings.HTTP_CONNECT_TIMEOUT_SECONDS, settings.ENABLE_REASONING) == (7, False)
    assert settings.HTTP_TOTAL_TIMEOUT_SECONDS is None


@pytest.mark.parametrize("name", SECRETS)
def test_what_shows_valves_shows_no_secret(monkeypatch, name):
    monkeypatch.delenv("WEBUI_SECRET_KEY", raising=False)
    valves = VALVES(**{name: "sk-or-v1-in-the-clear"})
    assert "in-the-clear" not in f"{valves!r} {valves}"
    assert valves.model_dump()[name] == "sk-or-v1-in-the-clear"


def test_secrets_are_stored_encrypted_once_and_read_back(monkeypatch):
    monkeypatch.setenv("WEBUI_SECRET_KEY", "the host's")
    stored = VALVES(API_KEY="sk-1").model_dump()
    assert stored["API_KEY"].startswith("encrypted:")
    assert VALVES(**stored).model_dump() == stored
    assert settings_from(VALVES(**stored)).API_KEY.reveal() == "sk-1"


def test_values_encrypted_by_the_pipe_of_today_are_read(monkeypatch):
    import base64
    import hashlib

    from cryptography.fernet import Fernet

    monkeypatch.setenv("WEBUI_SECRET_KEY", "k")
    token = Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"k").digest())).encrypt(b"sk-old").decode()
    assert settings_from(VALVES(API_KEY="encrypted:" + token)).API_KEY.reveal() == "sk-old"


@pytest.mark.parametrize("key", ["another", ""])
def test_undecryptable_secrets_are_a_configuration_error(monkeypatch, key):
    monkeypatch.setenv("WEBUI_SECRET_KEY", "first")
    stored = VALVES(API_KEY="sk-1").model_dump()
    monkeypatch.setenv("WEBUI_SECRET_KEY", key)
    with pytest.raises(SettingError, match=r"API_KEY: .*WEBUI_SECRET_KEY") as error:
        settings_from(VALVES(**stored))
    assert stored["API_KEY"] not in str(error.value)


def test_an_empty_template_is_the_built_in_one():
    assert settings_from(VALVES(RATE_LIMIT_TEMPLATE="")).RATE_LIMIT_TEMPLATE.strip()


def test_user_valves_start_as_inherit_and_only_what_was_set_counts():
    fresh = USER_VALVES()
    assert fresh.PERSIST_REASONING_TOKENS == "next_reply"
    assert settings_from(VALVES(), fresh).PERSIST_REASONING_TOKENS == "conversation"
    chosen = USER_VALVES(PERSIST_REASONING_TOKENS="next_reply", ENABLE_REASONING=False, REASONING_EFFORT="HIGH")
    settings = settings_from(VALVES(), chosen)
    assert (settings.PERSIST_REASONING_TOKENS, settings.ENABLE_REASONING, settings.REASONING_EFFORT) == (
        "next_reply",
        False,
        "high",
    )


@pytest.mark.parametrize("unset", ["inherit", "INHERIT", " Inherit ", "", None])
def test_inherit_in_any_form_means_unset_in_every_field(unset):
    operator = VALVES(ENABLE_REASONING=False, REASONING_EFFORT="low", THINKING_OUTPUT_MODE="status")
    personal = USER_VALVES(**{setting.name: unset for setting in SETTINGS if setting.per_user})
    assert settings_from(operator, personal) == settings_from(operator)


def test_the_log_level_is_nobodys_to_override():
    assert "LOG_LEVEL" not in USER_VALVES.model_fields
    assert settings_from(VALVES(), {"LOG_LEVEL": "DEBUG"}).LOG_LEVEL == "INFO"


def test_a_users_bad_value_is_refused_when_saved_and_set_aside_when_stored():
    with pytest.raises(ValidationError, match="REASONING_EFFORT"):
        USER_VALVES(REASONING_EFFORT="extreme")
    stored = get_function_params({"REASONING_EFFORT": "extreme", "ENABLE_REASONING": "false"})
    settings = settings_from(VALVES(), stored)
    assert (settings.REASONING_EFFORT, settings.ENABLE_REASONING) == ("medium", False)
    assert "must be one of none, minimal" in str(personal_problems(stored)[0])
