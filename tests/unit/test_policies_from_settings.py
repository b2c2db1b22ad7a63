"""Settings become policies: what is attributed, what is refused, what is warned of once."""

from __future__ import annotations

import logging

import pytest

from openrouter_pipe.composition.policies import APP_REFERER, connection, referer, store_policy, turn_policies
from openrouter_pipe.ports.settings import SETTINGS, Kind, Secret, read_settings


@pytest.mark.parametrize("given", ["https://chat.example.org/x", "  http://intranet:8080  "])
def test_a_full_url_replaces_the_default_attribution(given: str) -> None:
    assert referer(given) == given.strip()


@pytest.mark.parametrize(
    "given", ["chat.example.org", "ftp://x", "https://", "https://a b", "https://ä.example", "x\r\ny: z"]
)
def test_anything_else_is_warned_of_once_and_not_sent(given: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert [referer(given + "?"), referer(given + "?"), referer("")] == [APP_REFERER] * 3
    assert len(caplog.records) == 1
    assert "HTTP_REFERER_OVERRIDE" in caplog.text


def test_every_template_has_a_text_and_blank_means_the_built_in_one() -> None:
    policies = turn_policies(read_settings({"RATE_LIMIT_TEMPLATE": "", "SERVICE_ERROR_TEMPLATE": "Mine"}))
    templates = policies.errors.templates
    assert set(templates) == {setting.name for setting in SETTINGS if setting.kind is Kind.TEMPLATE}
    assert templates["SERVICE_ERROR_TEMPLATE"] == "Mine"
    assert "rate" in templates["RATE_LIMIT_TEMPLATE"].lower() or "{heading}" in templates["RATE_LIMIT_TEMPLATE"]


def test_previous_keys_are_a_list_and_the_pipe_id_goes_along() -> None:
    settings = read_settings({"ARTIFACT_ENCRYPTION_KEY": "now", "ARTIFACT_ENCRYPTION_PREVIOUS_KEYS": " old , older,, "})
    policy = store_policy(settings, "mine")
    assert policy.pipe_id == "mine"
    assert policy.previous_keys == (Secret("old"), Secret("older"))


@pytest.mark.parametrize(
    ("given", "keys"),
    [
        ('["one, with a comma", " blanks around "]', ("one, with a comma", " blanks around ")),
        ('[" ", "", "a"]', ("a",)),
        ("[not json", ("[not json",)),
        ("[1, 2]", ("[1", "2]")),
        ('{"a": 1}', ('{"a": 1}',)),
    ],
)
def test_keys_that_a_list_by_commas_would_cut_can_be_given_as_json(given: str, keys: tuple[str, ...]) -> None:
    policy = store_policy(read_settings({"ARTIFACT_ENCRYPTION_PREVIOUS_KEYS": given}), "mine")
    assert policy.previous_keys == tuple(map(Secret, keys))


def test_times_come_in_seconds() -> None:
    settings = read_settings({"STREAMING_IDLE_FLUSH_MS": 250, "HTTP_TOTAL_TIMEOUT_SECONDS": 7})
    assert turn_policies(settings).streaming.idle_flush_seconds == 0.25
    assert connection(settings).total_timeout == 7
