"""Which of the host's tools are offered: modes, sources, their order, and what a broken registry does."""

import pytest

from openrouter_pipe.adapters.openwebui.toolbox import HostToolbox
from openrouter_pipe.adapters.openwebui.toolbox_entries import provider_tools
from openrouter_pipe.adapters.openwebui.toolbox_host import HostHelpers

CHAT = {"chat_id": "c", "message_id": "m", "session_id": "s"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


async def answer(**arguments):
    return str(arguments)


async def browser(event):
    raise AssertionError(f"the browser was called: {event}")


def spec(name, description="does it"):
    return {"name": name, "description": description, "parameters": SCHEMA}


def local(name, **extra):
    return {name: {"tool_id": name, "callable": answer, "spec": spec(name), **extra}}


def direct(name, url="http://tools"):
    return {name: {"spec": spec(name), "direct": True, "server": {"url": url, "specs": [1]}}}


def listed(*names):
    return {"messages": [], "tools": [{"type": "function", "function": spec(name)} for name in names]}


def metadata(mode="native", tools=None, **extra):
    found = {**CHAT, "params": {"function_calling": mode}, **extra}
    return found if tools is None else {**found, "tools": tools}


def names(toolbox):
    return None if toolbox is None else [(tool.kind, tool.name) for tool in toolbox.specs()]


def offer_recent(tools, body=None, mode="native", event_call=browser, **extra):
    """A call as 0.12.4 makes it: the registry is in the metadata too."""
    body = listed(*tools) if body is None else body
    return HostToolbox.from_call(tools, metadata(mode, tools, **extra), body, event_call, helpers=HostHelpers())


def test_every_kind_of_the_recent_host_in_its_order():
    tools = {
        **local("py"),
        **local("api", type="external"),
        **local("srv_x", type="mcp"),
        **local("term", type="terminal"),
        **direct("browse"),
        **local("clock", type="builtin"),
    }
    assert names(offer_recent(tools)) == [
        ("local", "py"),
        ("openapi", "api"),
        ("mcp", "srv_x"),
        ("terminal", "term"),
        ("direct", "browse"),
        ("builtin", "clock"),
    ]


def test_specs_carry_description_and_parameters():
    (tool,) = offer_recent(local("py")).specs()
    assert (tool.description, tool.parameters) == ("does it", SCHEMA)


@pytest.mark.parametrize("mode", ["legacy"])
def test_nothing_in_legacy_mode(mode):
    assert offer_recent(local("py"), mode=mode) is None


@pytest.mark.parametrize("mode", ["native", "default", None])
def test_the_recent_host_calls_everything_else_native(mode):
    assert names(offer_recent(local("py"), mode=mode)) == [("local", "py")]


def test_old_host_in_default_mode_has_run_its_tools():
    body = {"messages": []}
    assert HostToolbox.from_call(local("py"), metadata("default"), body, browser, helpers=HostHelpers()) is None


def test_old_host_in_default_mode_leaves_the_callers_tools_to_the_caller():
    found = HostToolbox.from_call(local("py"), metadata("default"), listed("py"), browser, helpers=HostHelpers())
    assert found is None


def test_old_host_in_native_mode_adds_direct_tools_from_the_metadata():
    tools = {**local("py"), **direct("browse")}
    found = HostToolbox.from_call(
        local("py"), metadata("native", tools), listed("py", "browse"), browser, helpers=HostHelpers()
    )
    assert names(found) == [("local", "py"), ("direct", "browse")]


def test_tools_of_a_program_stay_its_own():
    assert HostToolbox.from_call({}, metadata(), listed("theirs"), None, helpers=HostHelpers()) is None
    assert HostToolbox.from_call(None, {}, listed("theirs"), None, helpers=HostHelpers()) is None


def test_nothing_for_background_tasks():
    assert offer_recent(local("py"), task="title_generation") is None


@pytest.mark.parametrize("missing", ["chat_id", "message_id", "session_id"])
def test_direct_tools_need_a_session_that_can_answer(missing):
    tools = {**local("py"), **direct("browse")}
    assert names(offer_recent(tools, **{missing: None})) == [("local", "py")]
    assert names(offer_recent(tools, event_call=None)) == [("local", "py")]


def test_what_the_host_does_not_list_is_not_offered():
    tools = {**local("small"), **local("deferred"), **local("search_tools", type="builtin")}
    assert names(offer_recent(tools, listed("small", "search_tools"))) == [
        ("local", "small"),
        ("builtin", "search_tools"),
    ]
    assert offer_recent(tools, {"messages": [], "tools": []}) is None


@pytest.mark.parametrize("in_metadata", [True, False])
@pytest.mark.parametrize("params", [{"function_calling": "native"}, {}, None])
def test_without_a_list_the_registry_is_what_is_offered(params, in_metadata):
    tools = {**local("py"), **local("clock", type="builtin")}
    given = {**CHAT, "params": params, **({"tools": tools} if in_metadata else {})}
    for injected in (tools, {}) if in_metadata else (tools,):
        found = HostToolbox.from_call(injected, given, {"messages": []}, browser, helpers=HostHelpers())
        assert names(found) == [("local", "py"), ("builtin", "clock")]


def test_tools_are_offered_where_no_mode_is_given_and_run_where_they_are_offered():
    """The shape of a recent host's call without the metadata's own registry: listed and injected."""
    given = {**CHAT, "params": {}}
    found = HostToolbox.from_call(local("py"), given, listed("py"), browser, helpers=HostHelpers())
    assert names(found) == [("local", "py")]


def test_tools_without_any_metadata_are_offered():
    found = HostToolbox.from_call(local("py"), None, {"messages": []}, None, helpers=HostHelpers())
    assert names(found) == [("local", "py")]


def test_direct_servers_that_nobody_resolved_are_read_from_the_metadata():
    """Neither host leaves them so in native mode; whoever calls a pipe by itself may."""
    servers = [{"url": "http://tools", "openapi": {}, "system_prompt": "x", "specs": [spec("browse"), spec("py"), 5]}]
    servers += [{"url": "http://shell", "is_terminal": True, "specs": [spec("shell")]}, None]
    given = metadata(tool_servers=servers)
    found = HostToolbox.from_call(local("py"), given, {"messages": []}, browser, helpers=HostHelpers())
    assert names(found) == [("local", "py"), ("direct", "browse")]
    assert names(HostToolbox.from_call(local("py"), given, {"messages": []}, None, helpers=HostHelpers())) == [
        ("local", "py")
    ]
    resolved = HostToolbox.from_call(
        {}, metadata(tools=local("py"), tool_servers=servers), {"messages": []}, browser, helpers=HostHelpers()
    )
    assert names(resolved) == [("local", "py")]


def test_a_renamed_tool_of_the_old_host_is_offered_under_its_unique_name():
    tools = {"kit_py": {"callable": answer, "spec": spec("py")}}
    assert names(offer_recent(tools, listed("py"))) == [("local", "kit_py")]


def test_broken_entries_cost_only_themselves():
    tools = {
        **local("py"),
        "no_callable": {"spec": spec("no_callable")},
        "text": "nonsense",
        "bare": {"callable": answer},
        7: {"callable": answer, "spec": spec("seven")},
        "odd": {"callable": answer, "spec": {"name": "odd", "parameters": "none", "description": 5}},
    }
    body = listed("py", "no_callable", "text", "bare", "seven", "odd")
    found = offer_recent(tools, body)
    assert names(found) == [("local", "py"), ("local", "bare"), ("local", "odd")]
    assert found.specs()[2].parameters == {"type": "object", "properties": {}}


class _Explosive(dict):
    def items(self):
        raise RuntimeError("not today")


def test_whatever_raises_while_tools_are_read_costs_the_tools_only(caplog):
    assert offer_recent(_Explosive(local("py")), listed("py")) is None
    assert "could not be read: RuntimeError" in caplog.text
    assert "not today" not in caplog.text


@pytest.mark.parametrize("odd", [None, 5, "x", [], [None, 3, "x", {"function": 1}], [{"function": {"name": ["x"]}}]])
def test_an_odd_list_offers_nothing_and_raises_nothing(odd):
    assert offer_recent(local("py"), {"messages": None, "tools": odd}) is None
    assert HostToolbox.from_call(odd, odd, odd, odd, odd) is None


def test_an_extra_spec_replaces_the_hosts_words_for_the_same_tool():
    body = {**listed("py"), "extra_tools": [{"type": "function", "function": spec("py", "better words")}]}
    found = offer_recent(local("py"), body)
    assert [tool.description for tool in found.specs()] == ["does it", "better words"]
    assert {(tool.kind, tool.name) for tool in found.specs()} == {("local", "py")}


def test_an_extra_spec_that_nothing_here_runs_is_offered_as_the_filter_wants_it():
    body = {**listed("py"), "extra_tools": [spec("ghost"), None, 5, {"type": "function"}]}
    assert names(offer_recent(local("py"), body)) == [("local", "py"), ("extra", "ghost")]
    assert names(offer_recent({}, {"extra_tools": [spec("ghost")]})) == [("extra", "ghost")]


def test_an_extra_entry_with_a_callable_is_a_tool_of_its_own():
    body = {**listed("py"), "extra_tools": [{"callable": answer, "spec": spec("more")}]}
    assert names(offer_recent(local("py"), body)) == [("local", "py"), ("extra", "more")]


def test_extra_tools_of_the_provider_are_kept_apart():
    hosted = {"type": "openrouter:web_search"}
    body = {**listed("py"), "extra_tools": [hosted, spec("py")]}
    assert provider_tools(body) == [hosted]
    assert names(offer_recent(local("py"), body)) == [("local", "py"), ("local", "py")]
    assert provider_tools({"extra_tools": "x"}) == []
