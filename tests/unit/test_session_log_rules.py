"""Which turns have a session log, where it lies, and what it shows of values."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from openrouter_pipe.adapters.filesystem.paths import LONGEST_COMPONENT, component
from openrouter_pipe.adapters.observability.values import plain
from openrouter_pipe.composition.session_logs import archive_policy
from openrouter_pipe.ports.chat import ChatMessage, ChatRequest, Identity, Task, TextAdded
from openrouter_pipe.ports.items import MessageItem, Role, TextPart
from openrouter_pipe.ports.settings import Secret, read_settings

ON = {
    "SESSION_LOG_STORE_ENABLED": True,
    "SESSION_LOG_DIR": "logs",
    "SESSION_LOG_ZIP_PASSWORD": "a password",
    "SESSION_LOG_ZIP_COMPRESSION": "bzip2",
    "SESSION_LOG_ZIP_COMPRESSLEVEL": 9,
    "SESSION_LOG_FORMAT": "both",
}
WHO = Identity("user", "session", "chat", "message")


def request(values: dict[str, object], who: Identity = WHO) -> ChatRequest:
    said = ChatMessage(Role.USER, (TextPart("hi"),))
    return ChatRequest("m", (said,), read_settings(values, {}), "r", identity=who, persistent=True)


def test_a_turn_with_everything_has_one() -> None:
    policy = archive_policy(request(ON))
    assert policy is not None
    assert (policy.directory, policy.compression, policy.compress_level, policy.format) == ("logs", "bzip2", 9, "both")
    assert "a password" not in repr(policy)


@pytest.mark.parametrize(
    "values",
    [
        ON | {"SESSION_LOG_STORE_ENABLED": False},
        ON | {"SESSION_LOG_DIR": ""},
        ON | {"SESSION_LOG_DIR": "  "},
        ON | {"SESSION_LOG_ZIP_PASSWORD": ""},
        {},
    ],
    ids=["off", "no directory", "blank directory", "no password", "defaults"],
)
def test_what_is_not_set_up_writes_nothing(values: dict[str, object]) -> None:
    assert archive_policy(request(values)) is None


def test_what_leaves_nothing_behind_leaves_no_record() -> None:
    assert archive_policy(evolve(request(ON), persistent=False)) is None
    assert archive_policy(evolve(request(ON), task=Task("title_generation"))) is None


@pytest.mark.parametrize("name", ["user_id", "session_id", "chat_id", "message_id"])
@pytest.mark.parametrize("value", ["", "...", "-_-", "///"])
def test_all_four_ids_are_needed(name: str, value: str) -> None:
    assert archive_policy(request(ON, evolve(WHO, **{name: value}))) is None


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("5f1c-4b.x_y", "5f1c-4b.x_y"),
        ("../../etc/passwd", "etc_passwd"),
        ("a/b\\c", "a_b_c"),
        (".hidden.", "hidden"),
        ("x" * 200, "x" * 128),
        ("x" * 127 + ".y", "x" * 127),
        ("nul\x00newline\n", "nul_newline"),
        ("Ünï", "n"),
        ("..", ""),
        ("", ""),
    ],
)
def test_ids_become_names(value: str, name: str) -> None:
    assert component(value) == name


@given(st.text(max_size=300))
def test_a_name_never_leaves_its_folder(value: str) -> None:
    name = component(value)
    assert len(name) <= LONGEST_COMPONENT
    assert all(one.isascii() and (one.isalnum() or one in "._-") for one in name)
    assert name.strip("._-") == name


def test_values_are_shown_by_class_and_without_defaults() -> None:
    assert plain(TextAdded(2, "hi")) == {"_": "TextAdded", "index": 2, "text": "hi"}
    item = MessageItem(Role.USER, (TextPart("a"),))
    assert plain(item) == {"_": "MessageItem", "role": "user", "parts": [{"_": "TextPart", "text": "a"}]}
    assert plain((Secret("hunter2hunter2"), b"123", object())) == ["[redacted]", "[3 bytes]", "[object]"]


def test_values_too_deep_are_cut() -> None:
    value: object = "core"
    for _ in range(500):
        value = [value]
    assert "nested too deep" in repr(plain(value))
