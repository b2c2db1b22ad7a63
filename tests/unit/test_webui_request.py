"""From the host's call to a ChatRequest: every block, every role, and nothing that raises."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_host import HOST_06, HOST_12, modules
from openrouter_pipe.adapters.openwebui.content import read_parts
from openrouter_pipe.adapters.openwebui.host import Host, detect, function_id
from openrouter_pipe.adapters.openwebui.request import (
    HostCall,
    Surface,
    model_prefix,
    read_request,
    read_task,
    surface,
)
from openrouter_pipe.ports.chat import Task
from openrouter_pipe.ports.items import (
    AudioPart,
    FilePart,
    ImagePart,
    OpaquePart,
    RefusalPart,
    Role,
    TextPart,
    VideoPart,
)
from openrouter_pipe.ports.settings import Settings

SETTINGS = Settings()
HEX = "0123456789abcdef" * 2
CHAT = {"chat_id": "c", "message_id": "m", "session_id": "s"}


def read(body, metadata=None, task=None, user=None):
    return read_request(HostCall(body, user, metadata, task), SETTINGS, "req")


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ({"type": "text", "text": "a"}, TextPart("a")),
        ({"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, TextPart("a", {"type": "ephemeral"})),
        *(
            ({"type": "text", "text": "a", "cache_control": given}, TextPart("a", taken))
            for given, taken in (
                ({"type": "ephemeral", "ttl": "1h"}, {"type": "ephemeral", "ttl": "1h"}),
                ({"type": "ephemeral", "ttl": "2d", "scope": "x"}, {"type": "ephemeral"}),
                ({"type": "ephemeral", "ttl": [1]}, {"type": "ephemeral"}),
                ({"type": "persistent"}, None),
                ({}, None),
                ("ephemeral", None),
            )
        ),
        *(
            ({"type": "input_text", "text": "a", "prompt_cache_breakpoint": given}, TextPart("a", taken))
            for given, taken in (
                ({"mode": "explicit"}, {"type": "ephemeral"}),
                ({"mode": "implicit"}, None),
                ("explicit", None),
            )
        ),
        ({"type": "input_text", "text": "a"}, TextPart("a")),
        ("a", TextPart("a")),
        ({"type": "image_url", "image_url": {"url": "u", "detail": "low"}}, ImagePart("u", "low")),
        ({"type": "image_url", "image_url": "u"}, ImagePart("u")),
        ({"type": "input_image", "image_url": "u", "detail": "high"}, ImagePart("u", "high")),
        ({"type": "input_audio", "input_audio": {"data": "x", "format": "m4a"}}, AudioPart("x", "m4a")),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA"}},
            FilePart("a.pdf", data_url="data:application/pdf;base64,AA"),
        ),
        ({"type": "file", "file": {"file_data": "https://x/a.pdf"}}, FilePart(url="https://x/a.pdf")),
        ({"type": "input_file", "file_url": "https://x/a.pdf"}, FilePart(url="https://x/a.pdf")),
        ({"type": "file", "file": {"file_id": "f1"}}, FilePart(host_id="f1")),
        ({"type": "video_url", "video_url": {"url": "v"}}, VideoPart("v")),
        ({"type": "refusal", "refusal": "no"}, RefusalPart("no")),
        ({"type": "hologram", "x": 1}, OpaquePart({"type": "hologram", "x": 1})),
        ({"type": "image_url"}, ImagePart("")),
    ],
)
def test_blocks(block, part):
    assert read({"messages": [{"role": "user", "content": [block]}]}).messages[0].parts == (part,)


@pytest.mark.parametrize("role", [["user"], {"a": 1}, None, 7, "", "nobody"])
def test_messages_of_nobody_are_left_out(role):
    messages = read({"messages": [{"role": role, "content": "x"}, {"role": "user", "content": "y"}]}).messages
    assert [message.parts for message in messages] == [(TextPart("y"),)]


@pytest.mark.parametrize("role", ["System", "SYSTEM", " system "])
def test_a_role_counts_in_any_spelling(role):
    (message,) = read({"messages": [{"role": role, "content": "Obey."}]}).messages
    assert (message.role, message.parts) == (Role.SYSTEM, (TextPart("Obey."),))


def test_roles_tools_and_reasoning_of_the_history():
    messages = read(
        {
            "messages": [
                {"role": "system", "content": "s"},
                {"role": "developer", "content": "d"},
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [
                        {"id": "c1", "function": {"name": "f", "arguments": "{}"}},
                        {"id": "c2", "function": {"name": "g", "arguments": {"a": 1}}},
                        {"function": {}},
                    ],
                    "reasoning_details": [{"type": "reasoning.text"}, "?"],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "out"},
            ]
        }
    ).messages
    assert [message.role for message in messages] == [Role.SYSTEM, Role.DEVELOPER, Role.ASSISTANT, None]
    assert [(call.call_id, call.arguments) for call in messages[2].tool_calls] == [("c1", "{}"), ("c2", '{"a": 1}')]
    assert messages[2].reasoning_details == ({"type": "reasoning.text"},)
    assert (messages[3].tool_call_id, messages[3].parts) == ("c1", (TextPart("out"),))


@pytest.mark.parametrize(
    "body",
    [None, {}, {"messages": None}, {"messages": "hi"}, {"messages": {}}, {"messages": [None, 1, "x", []]}, []],
)
def test_bodies_without_messages_give_an_empty_history(body):
    assert read(body).messages == ()


def test_a_refusal_without_words_is_none():
    """Passed on as it is it would be refused, and the whole chat with it."""
    blocks = [{"type": "refusal"}, {"type": "refusal", "refusal": 5}, {"type": "text", "text": "a"}]
    assert read({"messages": [{"role": "assistant", "content": blocks}]}).messages[0].parts == (TextPart("a"),)


@pytest.mark.parametrize(("content", "count"), [(None, 0), (5, 1), (True, 0), ({}, 1), ([None, 1], 0), ("", 0)])
def test_odd_content_is_read_as_far_as_it_goes(content, count):
    assert len(read({"messages": [{"role": "user", "content": content}]}).messages[0].parts) == count


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "text", "image_url", "file", "messages", "tool_calls", "id"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON, JSON, JSON, JSON)
def test_nothing_that_a_host_sends_raises(body, metadata, user, task):
    call = HostCall(body, user, metadata, task)
    read_request(call, SETTINGS, "req")
    surface(call, Host())


def test_parameters_are_everything_else_unread():
    request = read({"model": "m", "messages": [], "stream": True, "temperature": 0, "tools": [1], "x": None})
    assert request.parameters == {"temperature": 0, "tools": [1], "x": None}


@pytest.mark.parametrize("own", [[], [{"type": "function", "function": {"name": "f"}}], None, "odd"])
def test_tools_of_the_provider_that_filters_added_are_sent_behind_the_callers_own(own):
    search = {"type": "openrouter:web_search"}
    extra = [search, {"type": "function", "function": {"name": "g"}}, {"spec": {"name": "h"}, "callable": len}, 3]
    request = read({"model": "m", "messages": [], "tools": own, "extra_tools": extra})
    assert request.parameters == {"tools": [*(own if isinstance(own, list) else ()), search]}


@pytest.mark.parametrize(
    ("metadata", "task", "persistent"),
    [
        (CHAT, None, True),
        (CHAT, "title_generation", False),
        ({**CHAT, "message_id": None}, None, False),
        ({**CHAT, "chat_id": "local"}, None, False),
        ({**CHAT, "chat_id": "local:x"}, None, False),
        ({**CHAT, "chat_id": "temporary:x"}, None, False),
        ({**CHAT, "chat_id": "channel:x"}, None, False),
        ({"chat_id": "", "message_id": None, "session_id": None}, None, False),
        (None, None, False),
    ],
)
def test_only_saved_chats_may_leave_anything_behind(metadata, task, persistent):
    assert read({}, metadata, task).persistent is persistent


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("tags_generation", "tags_generation"),
        ({"type": "tags_generation"}, "tags_generation"),
        ({"odd": 1}, "task"),
        (object(), "task"),
    ],
)
def test_tasks_by_word_and_by_object(task, kind):
    assert read_task(task) == Task(kind)
    assert read_task(None) is None


def test_identity_and_who_reads_the_stream():
    call = HostCall({}, {"id": "u", "email": "ada@example.com", "name": "Ada"}, CHAT)
    identity = read_request(call, SETTINGS, "r").identity
    assert (identity.user_id, identity.chat_id, identity.message_id, identity.session_id) == ("u", "c", "m", "s")
    assert "ada" not in repr((call, identity)).lower()
    assert surface(call, Host(native_items=True)) is Surface.NATIVE
    assert surface(call, Host(native_items=False)) is Surface.CHAT
    assert surface(HostCall({}, None, {**CHAT, "session_id": None}), Host(native_items=True)) is Surface.NATIVE
    assert surface(HostCall({}, None, {**CHAT, "session_id": None}), Host(native_items=False)) is Surface.API
    assert surface(HostCall({}), Host(native_items=True)) is Surface.API


@pytest.mark.parametrize(("recent", "profile"), [(True, HOST_12), (False, HOST_06)])
def test_what_the_host_can_do_is_found_by_feature(monkeypatch, recent, profile):
    for name, module in modules(recent=recent).items():
        monkeypatch.setitem(sys.modules, name, module)
    assert detect() == profile
    monkeypatch.setattr(sys.modules["open_webui.env"], "VERSION", "0.0.0")
    assert detect() == profile


def test_without_a_host_there_is_nothing_to_rely_on():
    assert detect() == Host(present=False, native_items=False)


@pytest.mark.parametrize(
    ("module", "model", "expected"),
    [
        (f"function_router_{HEX}", "", "router"),
        (f"function_router_{HEX}", "router.vendor.model", "router"),
        (f"function_router_{HEX}", f"router_{HEX}.vendor.model", f"router_{HEX}"),
        (f"function_router_{HEX}_{HEX}", "", f"router_{HEX}"),
        ("function_router", "", "router"),
        ("function_router", "other.vendor.model", "router"),
        ("__main__", "", ""),
    ],
)
def test_the_functions_id_on_every_version(module, model, expected):
    assert function_id(module, model) == expected


@pytest.mark.parametrize(
    ("model", "function", "expected"),
    [
        ("router.vendor.m", "router", "router"),
        ("vendor.m", "router", ""),
        ("vendor/m", "router", ""),
        ("vendor.m", "", ""),
    ],
)
def test_the_hosts_prefix_is_only_what_the_host_put_there(model, function, expected):
    assert model_prefix(model, function) == expected


@pytest.mark.parametrize(
    ("block", "parts"),
    [
        ({"type": "text"}, ()),
        ({"type": "text", "text": None}, ()),
        ({"type": "input_text", "text": 7}, (TextPart("7"),)),
        ({"type": "text", "text": ["x"]}, ()),
    ],
)
def test_a_text_block_without_usable_text_is_corrected_or_dropped(block, parts):
    assert read_parts([block]) == parts
