"""Running the host's tools: arguments, context, approval, the browser, dispatch, and everything a tool may answer."""

import asyncio
import datetime
import functools
import json
import sys
import threading
import types
from base64 import b64encode

import pytest

from openrouter_pipe.adapters.openwebui.orderly import orderly
from openrouter_pipe.adapters.openwebui.toolbox import HostToolbox
from openrouter_pipe.adapters.openwebui.toolbox_host import HostHelpers, detect_helpers
from openrouter_pipe.ports.items import ImagePart, TextPart
from openrouter_pipe.ports.tools import ToolCall

CHAT = {"chat_id": "c", "message_id": "m", "session_id": "s"}
SCHEMA = {"type": "object", "properties": {"a": {}, "b": {}}}
PNG = "data:image/png;base64,iVBORw0K"
OLD, RECENT = "0.6.28", "0.12.4"


class Tool:
    """A tool that counts its calls and answers, or raises, what it was made with."""

    def __init__(self, result=None):
        self.result = result
        self.calls = []

    async def __call__(self, **arguments):
        self.calls.append(arguments)
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result() if callable(self.result) else self.result


class Browser:
    """A browser tab: what it was asked, and its scripted answers by event type."""

    def __init__(self, **answers):
        self.answers = answers
        self.asked = []

    async def __call__(self, event):
        self.asked.append(event)
        answer = self.answers[event["type"].replace(":", "_")]
        if isinstance(answer, BaseException):
            raise answer
        return answer


def box(tools, event_call=None, params=None, helpers=None, listed=None, **rest):
    specs = [{"type": "function", "function": entry["spec"]} for entry in tools.values()]
    body = {"messages": [{"role": "user", "content": "hi"}], "tools": specs if listed is None else listed}
    metadata = {**CHAT, "files": ["f"], "params": {"function_calling": "native", **(params or {})}, "tools": tools}
    return HostToolbox.from_call(
        tools, metadata | rest.pop("metadata", {}), body, event_call, helpers=helpers or HostHelpers(), **rest
    )


def entry(name, tool=None, **extra):
    spec = {"name": name, "description": "", "parameters": SCHEMA}
    return {name: {"spec": spec, **({"callable": tool} if tool else {}), **extra}}


def direct(name="browse"):
    return entry(name, direct=True, server={"url": "http://t", "specs": ["long"]})


async def call(toolbox, name="t", kind="local", **arguments):
    return await toolbox.run(ToolCall("call_1", name, arguments, kind))


async def answer_of(result, **extra):
    return await call(box(entry("t", Tool(result), **extra)))


# --- arguments and context --------------------------------------------------------------------------------------------


async def test_arguments_are_reduced_to_what_the_tool_declares():
    tool = Tool("done")
    output = await call(box(entry("t", tool)), a=1, zzz=2)
    assert tool.calls == [{"a": 1}]
    assert (output.text, output.ok, output.call_id) == ("done", True, "call_1")


async def test_an_mcp_server_checks_its_own_arguments():
    tool = Tool([{"type": "text", "text": "ok"}])
    output = await call(box(entry("t", tool, type="mcp")), kind="mcp", a=1, zzz=2)
    assert tool.calls == [{"a": 1, "zzz": 2}]
    assert output.text == "ok"


async def test_the_callable_is_bound_to_the_requests_messages_and_files():
    seen = {}

    async def rebind(function, extra_params):
        seen.update(extra_params)
        return function

    await call(box(entry("t", Tool()), helpers=HostHelpers(rebind=rebind)))
    assert seen == {"__messages__": [{"role": "user", "content": "hi"}], "__files__": ["f"]}


async def test_tools_that_run_side_by_side_tell_the_host_one_thing_after_the_other():
    """0.12 reads a message's sources, adds one and writes them back: told at once, one of two would be lost."""
    stored = []

    async def emit(event):
        before = list(stored)
        await asyncio.sleep(0)
        stored[:] = [*before, event]

    async def rebind(function, extra_params):
        async def bound(**arguments):
            await extra_params["__event_emitter__"](arguments["a"])

        return bound

    toolbox = box(entry("t", Tool()), helpers=HostHelpers(rebind=rebind), event_emitter=orderly(emit))
    await asyncio.gather(*(call(toolbox, a=number) for number in range(3)))
    assert stored == [0, 1, 2]


def test_what_is_no_emitter_stays_what_it_is():
    assert orderly(None) is None
    assert orderly("odd") == "odd"


async def test_hosts_whose_helpers_are_plain_functions_run_tools_too():
    """0.7 and 0.8: the same helpers, not yet coroutines."""
    tool = Tool({"rows": 3})
    helpers = HostHelpers(
        rebind=lambda function, extra_params: function,
        process_result=lambda **given: ("read by the host", [], ["<b>x</b>"]),
    )
    output = await call(box(entry("t", tool), helpers=helpers))
    assert (output.text, output.ok, output.embeds) == ("read by the host", True, ("<b>x</b>",))
    assert len(tool.calls) == 1


async def test_an_unknown_tool_is_told_to_the_model():
    output = await call(box(entry("t", Tool())), name="ghost")
    assert not output.ok
    assert "ghost" in output.text


@pytest.mark.parametrize("error", [RuntimeError("boom"), SystemExit(1), KeyboardInterrupt()])
async def test_what_a_tool_raises_is_raised_and_it_ran_once(error):
    tool = Tool(error)
    with pytest.raises(type(error)):
        await call(box(entry("t", tool)))
    assert len(tool.calls) == 1


def blocking(a=None):
    return f"plain {a} in {'the loop' if threading.current_thread() is threading.main_thread() else 'a thread'}"


class Plain:
    def __call__(self, a=None):
        return blocking(a)


def counting(a=None):
    yield f"{a}"
    yield blocking(a)


def returns_a_coroutine(a=None):
    return later(blocking(a))


@pytest.mark.parametrize(
    "function", [blocking, Plain(), functools.partial(blocking), Plain().__call__, returns_a_coroutine]
)
async def test_a_plain_function_is_run_in_a_thread_and_its_result_kept(function):
    assert (await call(box(entry("t", function)), a=1)).text == "plain 1 in a thread"
    assert (await call(box(entry("t", counting)), a=1)).text == "1plain 1 in a thread"


async def test_coroutine_functions_run_on_the_loop_however_wrapped():
    async def where(a=None):
        return threading.current_thread() is threading.main_thread()

    @functools.wraps(where)
    def wrapper(**arguments):
        return asyncio.ensure_future(where(**arguments))

    async def streamed(a=None):
        yield str(await where())

    class Lazy:
        async def __call__(self, a=None):
            return await where()

    for function in (where, functools.partial(where), wrapper, Lazy(), streamed):
        assert (await call(box(entry("t", function)))).text.lower() == "true"


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), StopIteration(1)])
async def test_what_a_plain_function_raises_is_raised_where_it_is_awaited(error):
    def fails():
        raise error

    expected = RuntimeError if isinstance(error, StopIteration) else type(error)
    with pytest.raises(expected):
        await call(box(entry("t", fails)))


async def test_a_plain_function_that_never_returns_holds_up_nobody():
    release = threading.Event()

    def hangs():
        release.wait(60)

    def trickles():
        yield "a"
        release.wait(60)

    try:
        toolbox = box({**entry("hangs", hangs), **entry("trickles", trickles), **entry("t", Tool("done"))})
        hung = [asyncio.ensure_future(call(toolbox, name)) for name in ("hangs", "trickles") for _ in range(20)]
        assert (await call(toolbox)).text == "done"
        assert await asyncio.to_thread(lambda: "the pool is free") == "the pool is free"
        for task in hung:
            task.cancel()
        async with asyncio.timeout(5):
            assert all(
                isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*hung, return_exceptions=True)
            )
    finally:
        release.set()


# --- approval ---------------------------------------------------------------------------------------------------------

ASK = {"tool_approval_mode": "ask"}


async def test_the_user_is_asked_with_the_call_and_says_yes():
    tool, browser = Tool("done"), Browser(confirmation=True)
    assert (await call(box(entry("t", tool), browser, ASK), a=1)).text == "done"
    asked = {"tool_call": {"id": "call_1", "name": "t", "arguments": {"a": 1}}}
    assert browser.asked == [{"type": "confirmation", "data": asked}]


@pytest.mark.parametrize("word", [False, None, "yes", 1, {"error": "timed out"}, {"status": "cancelled"}, OSError("x")])
async def test_anything_but_yes_is_no(word):
    tool = Tool("done")
    output = await call(box(entry("t", tool), Browser(confirmation=word), ASK))
    assert (output.ok, output.reason, tool.calls) == (False, "not_approved", [])
    assert "not approved" in output.text


async def test_without_a_session_nothing_is_approved():
    tool = Tool("done")
    assert (await call(box(entry("t", tool), None, ASK))).reason == "not_approved"
    assert (
        await call(box(entry("t", tool), Browser(confirmation=True), ASK, metadata={"session_id": None}))
    ).ok is False
    assert tool.calls == []


async def test_an_unknown_mode_asks():
    tool = Tool("done")
    assert not (await call(box(entry("t", tool), None, {"tool_approval_mode": "some"}))).ok
    assert (await call(box(entry("t", tool), None, {"tool_approval_mode": "full"}))).ok


async def test_asking_the_user_needs_no_approval_unless_it_is_somebody_elses_tool_of_that_name():
    tool = Tool("answered")
    own = box(entry("ask_user", tool, type="builtin"), None, ASK)
    assert (await call(own, "ask_user", "builtin")).text == "answered"
    assert not (await call(box(entry("ask_user", tool), None, ASK), "ask_user")).ok


# --- direct tools -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("helpers", "answer", "text", "ok"),
    [
        (OLD, {"n": 1}, '{\n  "n": 1\n}', True),
        (OLD, [1, 2], "[\n  1,\n  2\n]", True),
        (OLD, {"error": "no"}, '{\n  "error": "no"\n}', False),
        (OLD, None, "The tool returned nothing.", True),
        (RECENT, [{"n": 1}, {"content-type": "application/json"}], '{"n": 1}', True),
        (RECENT, [{"error": "no"}, None], '{"error": "no"}', False),
        (RECENT, {"error": "Tool Server Not Found"}, '{"error": "Tool Server Not Found"}', False),
    ],
)
async def test_the_browser_runs_a_direct_tool_and_answers_in_its_versions_shape(helpers, answer, text, ok):
    browser = Browser(execute_tool=answer)
    found = HostHelpers(process_result=process_result) if helpers == RECENT else HostHelpers()
    output = await call(box(direct(), browser, helpers=found), "browse", "direct", a=1, zzz=2)
    assert (output.text, output.ok) == (text, ok)
    (event,) = browser.asked
    assert event["data"].pop("id")
    expected = {"name": "browse", "params": {"a": 1}, "server": {"url": "http://t"}, "session_id": "s"}
    assert event == {"type": "execute:tool", "data": expected}


async def test_a_silent_browser_raises_what_the_host_raises_and_is_asked_once():
    browser = Browser(execute_tool=TimeoutError())
    with pytest.raises(TimeoutError):
        await call(box(direct(), browser), "browse", "direct")
    assert len(browser.asked) == 1


# --- tool search ------------------------------------------------------------------------------------------------------


def with_search(hidden, **extra):
    tools = {**hidden, **entry("call_tool", type="builtin", tool_id="builtin:call_tool")}
    listed = [{"type": "function", "function": tools["call_tool"]["spec"]}]
    return box(tools, listed=listed, **extra)


async def test_call_tool_reaches_a_tool_that_is_not_listed():
    tool = Tool("found")
    toolbox = with_search(entry("t", tool))
    assert [spec.name for spec in toolbox.specs()] == ["call_tool"]
    output = await call(toolbox, "call_tool", "builtin", tool_name="t", params='{"a": 1, "zzz": 2}')
    assert (output.text, tool.calls) == ("found", [{"a": 1}])


async def test_call_tool_is_subject_to_approval_of_its_target():
    tool = Tool("found")
    toolbox = with_search(entry("t", tool), params=ASK, event_call=Browser(confirmation=False))
    output = await call(toolbox, "call_tool", "builtin", tool_name="t", params="{}")
    assert (output.reason, tool.calls) == ("not_approved", [])


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"tool_name": "ghost", "params": "{}"},
        {"tool_name": "call_tool", "params": "{}"},
        {"tool_name": ["t"], "params": "{}"},
        {"tool_name": "t", "params": "["},
        {"tool_name": "t", "params": "[1]"},
        {"tool_name": "t", "params": "[" * 100_000},
        {"tool_name": "t"},
    ],
)
async def test_a_bad_call_of_call_tool_is_told_to_the_model(arguments):
    tool = Tool("found")
    output = await call(with_search(entry("t", tool)), "call_tool", "builtin", **arguments)
    assert (output.ok, output.reason, tool.calls) == (False, "bad_arguments", [])


async def test_a_failing_target_does_not_fail_call_tool_itself():
    output = await call(
        with_search(entry("t", Tool(RuntimeError("boom")))), "call_tool", "builtin", tool_name="t", params="{}"
    )
    assert not output.ok
    assert json.loads(output.text) == {"error": "RuntimeError: boom"}


# --- results ----------------------------------------------------------------------------------------------------------


class Odd:
    def __str__(self):
        return "odd"


async def stream(*items):
    for item in items:
        yield item


async def later(value):
    return value


def endless():
    while True:
        yield "x" * 1000


nested: list = []
for _ in range(5000):
    nested = [nested]
circular: dict = {}
circular["self"] = circular

TEXTS = [
    ("plain", "plain"),
    (None, "The tool returned nothing."),
    ("", "The tool returned nothing."),
    ({"a": "ü"}, '{\n  "a": "ü"\n}'),
    ([1, "x"], '[\n  1,\n  "x"\n]'),
    (7, "7"),
    (True, "true"),
    (b"caf\xc3\xa9", "café"),
    (b"\xff\xfe\x00\x81", "[binary data, 4 bytes]"),
    (lambda: (part for part in ("a", "b")), "ab"),
    (lambda: (part for part in (1, 2)), "[\n  1,\n  2\n]"),
    (lambda: stream("a", "b"), "ab"),
    (lambda: later("awaited"), "awaited"),
    ({"at": datetime.date(2026, 1, 2)}, '{\n  "at": "2026-01-02"\n}'),
    (({"n": 1}, {"content-type": "application/json"}), '{\n  "n": 1\n}'),
    (Odd(), "odd"),
    ("half \ud83d", "half \ufffd"),
]


@pytest.mark.parametrize(("result", "text"), TEXTS, ids=[str(number) for number in range(len(TEXTS))])
async def test_whatever_a_tool_returns_becomes_text(result, text):
    output = await answer_of(result)
    assert (output.text, output.ok) == (text, True)


@pytest.mark.parametrize("result", [nested, circular], ids=["deep", "circular"])
@pytest.mark.parametrize("recent", [False, True])
async def test_a_result_without_words_is_a_failure_and_no_crash(result, recent):
    helpers = HostHelpers(process_result=process_result) if recent else HostHelpers()
    output = await call(box(entry("t", Tool(result)), helpers=helpers))
    assert not output.ok
    assert "error" in json.loads(output.text)


class Witness:
    """Remembers in which thread it was put into words."""

    def __init__(self):
        self.threads = []

    def __str__(self):
        self.threads.append(threading.get_ident())
        return "seen"


@pytest.mark.parametrize(
    ("filling", "apart"),
    [(["x"], False), (["x" * 100_000], True), (list(range(10_000)), True), ([{"a": "x" * 70_000}], True)],
)
async def test_large_results_are_read_beside_the_event_loop(filling, apart):
    witness = Witness()
    assert "seen" in (await answer_of([*filling, witness])).text
    assert (threading.get_ident() not in witness.threads) is apart


async def test_a_large_result_that_says_it_failed_did():
    assert not (await answer_of({"error": "x" * 100_000})).ok


async def test_an_endless_generator_is_cut_off():
    assert 1_000_000 < len((await answer_of(endless)).text) < 1_100_000


@pytest.mark.parametrize("value", [ValueError("inside"), SystemExit(3)])
async def test_an_exception_as_a_value_counts_as_raised(value):
    with pytest.raises(ValueError if isinstance(value, ValueError) else RuntimeError):
        await answer_of(lambda: value)


@pytest.mark.parametrize(
    "text",
    [
        "Error: no",
        "  exception: x",
        "Traceback (most recent call last)",
        "HTTP error! Status: 500",
        '{"error": "x"}',
        '{"error": {"code": 1}}',
        '{"status": "failed"}',
        '{"ok": false, "message": "no"}',
    ],
)
async def test_a_result_that_reads_as_a_failure_is_one(text):
    output = await answer_of(text)
    assert (output.ok, output.text) == (False, text)


@pytest.mark.parametrize("text", ["No error: fine", '{"error": null}', '{"error": ""}', '{"status": "ok"}', "{", "[1]"])
async def test_other_results_are_none(text):
    assert (await answer_of(text)).ok


async def test_an_image_goes_to_the_model_as_an_image_and_to_the_user_as_a_file():
    for result in (PNG, b"\x89PNG\r\n", {"picture": PNG}):
        output = await answer_of(result)
        assert isinstance(output.parts[0], TextPart)
        assert isinstance(output.parts[1], ImagePart)
        assert output.parts[1].url.startswith("data:image/png;base64,")
        assert [file.kind for file in output.files] == ["image"]
        assert "base64" not in output.text


async def test_an_image_that_no_provider_reads_is_for_the_user_alone():
    output = await answer_of("data:image/svg+xml;base64,AAAA")
    assert (output.parts, len(output.files)) == ((), 1)


async def test_data_in_a_list_becomes_files_every_one_of_them():
    data = f"data:application/pdf;base64,{b64encode(b'x').decode()}"
    output = await answer_of(["keep", data, data])
    assert [file.url for file in output.files] == [data, data]
    assert json.loads(output.text) == ["keep"]


async def test_mcp_content_is_read_without_the_hosts_help():
    content = [
        {"type": "text", "text": '{"n": 1}'},
        {"type": "image", "mimeType": "image/png", "data": "iVBORw0K"},
        {"type": "resource", "resource": {"uri": "file:///x", "blob": "AA", "mimeType": "application/zip"}},
        {"type": "resource", "resource": {"text": "words"}},
    ]
    output = await call(box(entry("t", Tool(content), type="mcp")), kind="mcp")
    assert json.loads(output.text) == [{"n": 1}, "[Resource: file:///x] (binary data, application/zip)", "words"]
    assert [part.url for part in output.parts[1:]] == ["data:image/png;base64,iVBORw0K"]


class HTMLResponse:
    """The web framework's class, as far as tools show it."""

    def __init__(self, content, headers=None, status_code=200):
        self.body, self.headers, self.status_code = content.encode(), headers or {}, status_code


@pytest.fixture
def html(monkeypatch):
    module = types.ModuleType("starlette.responses")
    module.HTMLResponse = HTMLResponse
    monkeypatch.setitem(sys.modules, "starlette.responses", module)


@pytest.mark.usefixtures("html")
async def test_html_is_shown_where_the_host_shows_it_and_told_where_it_does_not():
    page = HTMLResponse("<b>x</b>", {"Content-Disposition": "inline"})
    old = await answer_of(page)
    assert (old.text, old.embeds) == ("<b>x</b>", ())

    async def refuses(**_):
        raise TypeError

    recent = await call(box(entry("t", Tool(page)), helpers=HostHelpers(process_result=refuses)))
    assert recent.embeds == ("<b>x</b>",)
    assert json.loads(recent.text)["status"] == "success"
    told = await call(box(entry("t", Tool((page, {"rows": 3}))), helpers=HostHelpers(process_result=refuses)))
    assert (told.embeds, json.loads(told.text)) == (("<b>x</b>",), {"rows": 3})


# --- the host's own helpers -------------------------------------------------------------------------------------------


async def process_result(
    request=None, tool_function_name="", tool_result=None, tool_type="", direct_tool=False, metadata=None, user=None
):
    """The host's reader in miniature: pairs of direct tools, embeds and files by key, JSON of the rest."""
    if direct_tool and isinstance(tool_result, list) and len(tool_result) == 2:
        tool_result = tool_result[0]
    if isinstance(tool_result, dict) and "embeds" in tool_result:
        return "shown", tool_result.get("files", []), tool_result["embeds"]
    return (tool_result if isinstance(tool_result, str) else json.dumps(tool_result)), [], []


@pytest.mark.parametrize("files", [["x", 5, None, {"type": "image", "url": PNG}], ({"type": "image", "url": PNG},)])
@pytest.mark.parametrize("embeds", [None, "<b>no list</b>", 5, [5]])
async def test_odd_files_and_embeds_of_the_hosts_reader_cost_only_themselves(files, embeds):
    helpers = HostHelpers(process_result=lambda **given: ("read", files, embeds))
    output = await call(box(entry("t", Tool("raw")), helpers=helpers))
    assert (output.text, output.ok, output.embeds) == ("read", True, ())
    assert [file.url for file in output.files] == [PNG]


class User:
    model_fields = ("id", "role")

    def __init__(self, id, role="user"):
        self.id, self.role = id, role


async def test_files_embeds_and_images_of_the_hosts_reader():
    stored, read = [], []

    async def store(request, url, metadata, user):
        stored.append((url, user.id, metadata["chat_id"]))
        return "/api/v1/files/1/content"

    async def load(url, user):
        read.append((url, user.id))
        return PNG

    files = [
        {"type": "image", "url": PNG},
        {"type": "image", "url": "/api/v1/files/2/content"},
        {"type": "audio", "url": "/api/v1/files/3/content"},
        {"type": "data", "content": "data:text/csv;base64,AA", "name": "t.csv"},
        {"type": "image"},
    ]
    helpers = HostHelpers(process_result=process_result, store_image=store, load_image=load, user_model=User)
    tools = entry("t", Tool({"embeds": ["<i>e</i>", 5], "files": files}))
    output = await call(box(tools, helpers=helpers, user={"id": "u", "role": "user", "valves": object()}))
    assert output.embeds == ("<i>e</i>",)
    assert [(file.kind, file.url) for file in output.files] == [
        ("image", "/api/v1/files/1/content"),
        ("image", "/api/v1/files/2/content"),
        ("audio", "/api/v1/files/3/content"),
        ("file", "data:text/csv;base64,AA"),
    ]
    assert output.parts == (TextPart("shown"), ImagePart(PNG), ImagePart(PNG))
    assert (stored, read) == ([(PNG, "u", "c")], [("/api/v1/files/2/content", "u")])


async def test_helpers_that_raise_cost_nothing_but_their_help():
    async def fails(*_, **__):
        raise OSError("host")

    def fails_plainly(*_, **__):
        raise OSError("host")

    helpers = HostHelpers(
        process_result=fails,
        store_image=fails,
        load_image=fails,
        terminal_event=fails,
        terminal_file=fails_plainly,
        citations=fails_plainly,
        citation_tools=frozenset({"t"}),
        user_model=fails_plainly,
    )
    emitted = Tool()
    output = await call(box(entry("t", Tool(PNG)), helpers=helpers, user={"id": "u"}, event_emitter=emitted))
    assert output.ok
    assert output.files[0].url == PNG


def citations(tool_name, tool_params, tool_result, tool_id):
    return [{"source": {"name": tool_params["a"]}, "document": [tool_result], "metadata": [{"id": tool_id}]}, "odd"]


async def test_the_hosts_sources_come_with_the_output_of_tools_that_it_cites():
    helpers = HostHelpers(citations=citations, citation_tools=frozenset({"t"}))
    tools = entry("t", Tool("page"), tool_id="builtin:t")
    output = await call(box(tools, helpers=helpers), a="http://x")
    expected = {"source": {"name": "http://x"}, "document": ["page"], "metadata": [{"id": "builtin:t"}]}
    assert [source.payload for source in output.sources] == [expected]
    silent = {"model": {"info": {"meta": {"capabilities": {"citations": False}}}}}
    assert (await call(box(tools, helpers=helpers, metadata=silent), a="x")).sources == ()
    failed = box(entry("t", Tool("Error: gone")), helpers=helpers)
    assert (await call(failed, a="x")).sources == ()


async def test_helpers_are_found_in_modules_that_the_host_has_loaded(monkeypatch):
    assert detect_helpers() == HostHelpers()
    middleware = types.ModuleType("open_webui.utils.middleware")
    middleware.process_tool_result = process_result
    middleware.CITATION_TOOL_NAMES = ("fetch_url",)
    monkeypatch.setitem(sys.modules, "open_webui.utils.middleware", middleware)
    found = detect_helpers()
    assert (found.process_result, found.citation_tools) == (process_result, frozenset({"fetch_url"}))

    async def changed(request, tool_result):
        return "", [], []

    middleware.process_tool_result = changed
    assert detect_helpers().process_result is None


async def test_calls_of_one_turn_run_side_by_side():
    together = asyncio.Barrier(3)

    async def meets(**_):
        await together.wait()
        return "met"

    toolbox = box(entry("t", meets))
    async with asyncio.timeout(5):
        outputs = await asyncio.gather(*(call(toolbox) for _ in range(3)))
    assert [output.text for output in outputs] == ["met"] * 3
