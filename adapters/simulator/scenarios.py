"""The scripts: what the model says for each scenario name.

What lives here: the contract's transcripts (a) to (j) and the special models, each a function from the request to steps;
``script_for`` chooses. Not here: how steps become bytes (``responses_wire``, ``chat_wire``, ``player``), ordinary
answers (``answers``).
"""

from collections.abc import Callable

from attrs import evolve

from openrouter_pipe.adapters.simulator import script as s
from openrouter_pipe.adapters.simulator.answers import Json, chat_answer, echo, tool_loop
from openrouter_pipe.adapters.simulator.config import KnobError, Knobs
from openrouter_pipe.adapters.simulator.script import Comment, Event, Prelude, Step, Terminal
from openrouter_pipe.adapters.simulator.turn import Turn, words

Scenario = Callable[[Turn, Knobs], list[Step]]

_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
_TOWER = {
    "type": "url_citation",
    "url": "https://example.org/t",
    "title": "Towers",
    "start_index": 0,
    "end_index": 8,
    "content": "X is 900 m",
}
_SEARCH_USAGE = {
    "input_tokens": 900,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 12,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 912,
    "cost": 0.0081,
    "is_byok": False,
    "cost_details": {
        "upstream_inference_cost": None,
        "upstream_inference_input_cost": 0.001,
        "upstream_inference_output_cost": 0.0001,
    },
    "server_tool_use_details": {"tool_calls_requested": 1, "tool_calls_executed": 1, "web_search_requests": 1},
}
ERROR_SHAPES: dict[int, Event] = {
    1: Event(
        {"type": "error", "code": "rate_limit_exceeded", "message": "Rate limit exceeded", "param": None}, last=True
    ),
    2: Event(
        {"type": "error", "error": {"code": "server_error", "message": "Internal server error"}},
        numbered=False,
        last=True,
        done=False,
    ),
    3: Event(
        {"type": "response.error", "error": {"code": "rate_limit_exceeded", "message": "Rate limit exceeded"}},
        numbered=False,
        last=True,
    ),
    4: Event(
        {
            "id": "gen-1",
            "error": {
                "code": 502,
                "message": "Provider returned error",
                "metadata": {"error_type": "provider_unavailable", "provider_code": "500"},
            },
        },
        numbered=False,
        last=True,
        done=False,
    ),
}


def script_for(turn: Turn, entry: Json, knobs: Knobs) -> list[Step]:
    """The steps of the answer. entry: the catalogue's model. Raises KnobError for an unknown scenario."""
    name = knobs.scenario or (entry["id"].removeprefix("sim/") if entry["id"].startswith("sim/") else "chat")
    if name == "chat" and _makes_image(turn, entry):
        return _image(turn, knobs)
    if name == "chat":
        return chat_answer(turn, entry, knobs)
    scenario = SCENARIOS.get(name)
    if scenario is None:
        raise KnobError(f"simulator: unknown scenario {name!r}; known are: chat, {', '.join(SCENARIOS)}")
    return scenario(turn, knobs)


def _makes_image(turn: Turn, entry: Json) -> bool:
    outputs = entry["architecture"]["output_modalities"]
    asked = turn.body.get("modalities")
    return "image" in outputs and ("text" not in outputs or (isinstance(asked, list) and "image" in asked))


def _plain(turn: Turn, knobs: Knobs) -> list[Step]:
    body = s.events(s.message(0, "msg_tmp_a1", _or_words(knobs, ["Hel", "lo"])))
    return [Comment(" OPENROUTER PROCESSING"), Prelude(), Comment(" "), *body, Terminal()]


def _reasoning_summary(turn: Turn, knobs: Knobs) -> list[Step]:
    plan = "**Plan** add numbers"
    rows = [
        *s.reasoning_open(0, "rs_0a1b"),
        *s.summary(0, "rs_0a1b", ["**Plan** add ", "numbers"]),
        *s.reasoning_close(0, "rs_0a1b", [plan], encrypted_content="gAAAA….eyJl…", format="openai-responses-v1"),
        *s.message(1, "msg_tmp_b1", _or_words(knobs, ["42"]), phase="final_answer"),
    ]
    return _whole(rows)


def _reasoning_raw(turn: Turn, knobs: Knobs) -> list[Step]:
    seal = {"signature": "Eo8C…", "format": "anthropic-claude-v1"}
    rows = [
        *s.raw_open(0, "rs_tmp_c1"),
        s.raw_delta(0, "rs_tmp_c1", "User wants "),
        s.raw_delta(0, "rs_tmp_c1", "a greeting."),
        *s.message(1, "msg_tmp_c2", _or_words(knobs, ["Hi!"])),
        *s.raw_close(0, "rs_tmp_c1", "User wants a greeting.", **seal),
    ]
    return _whole(rows)


def _parallel_calls(turn: Turn, knobs: Knobs) -> list[Step]:
    if turn.loop_outputs:
        told = "; ".join(output.text for output in turn.loop_outputs)
        return _whole(s.message(0, "msg_tmp_d3", words(f"The tools said: {told}")))
    oslo, rome = '{"city":"Oslo"}', '{"city":"Rome"}'
    # Ids go on counting in later turns, so that no two calls of a conversation share one.
    first, second = (f"call_{len(turn.calls) + place}" for place in (1, 2))
    rows = [
        *s.call_open(0, "fc_tmp_d1", first, "weather"),
        s.call_delta(0, "fc_tmp_d1", '{"city":'),
        s.call_delta(0, "fc_tmp_d1", '"Oslo"}'),
        *s.call_open(1, "fc_tmp_d2", second, "weather"),
        s.call_delta(1, "fc_tmp_d2", rome),
    ]
    first_done = s.call_close(0, "fc_tmp_d1", first, "weather", oslo)
    second_done = s.call_close(1, "fc_tmp_d2", second, "weather", rome)
    return _whole([*rows, *first_done, *second_done])


def _web_search(turn: Turn, knobs: Knobs) -> list[Step]:
    tool: Json = {"type": "openrouter:web_search", "id": "st_tmp_e1"}
    action = {
        "type": "search",
        "query": "tallest tower",
        "sources": [{"type": "url", "url": "https://example.org/t"}],
    }
    rows = [
        {"type": "response.output_item.added", "output_index": 0, "item": tool | {"status": "in_progress"}},
        {
            "type": "response.output_item.done",
            "output_index": 0,
            "item": tool | {"status": "completed", "action": action},
        },
        *s.message_open(1, "msg_tmp_e2"),
        s.text_delta(1, "msg_tmp_e2", "It is X."),
        s.citation(1, "msg_tmp_e2", _TOWER),
        *s.message_close(1, "msg_tmp_e2", "It is X.", annotations=[_TOWER]),
    ]
    return _whole(rows, Terminal("completed", {"usage": _SEARCH_USAGE}))


def _citations_at_end(turn: Turn, knobs: Knobs) -> list[Step]:
    rows = s.message(0, "msg_tmp_e3", ["It ", "is X."])
    final = rows[-1]["item"]
    part = final["content"][0] | {"annotations": [_TOWER]}
    return _whole(rows, Terminal("completed", {"output": [final | {"content": [part]}]}))


def _image(turn: Turn, knobs: Knobs) -> list[Step]:
    item: Json = {"type": "image_generation_call", "id": "ig_tmp_f1"}
    place = {"item_id": "ig_tmp_f1", "output_index": 0}
    name = "response.image_generation_call"
    partial = place | {"partial_image_index": 0, "partial_image_b64": _PIXEL}
    done = item | {"status": "completed", "result": f"data:image/png;base64,{_PIXEL}"}
    rows = [
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": item | {"status": "in_progress", "result": None},
        },
        {"type": f"{name}.in_progress", **place},
        {"type": f"{name}.generating", **place},
        {"type": f"{name}.partial_image", **partial},
        {"type": f"{name}.completed", **place},
        {"type": "response.output_item.done", "output_index": 0, "item": done},
    ]
    return _whole(rows)


def _refusal(turn: Turn, knobs: Knobs) -> list[Step]:
    return _whole(s.refusal(0, "msg_tmp_g1", "I can't help."))


def _incomplete(turn: Turn, knobs: Knobs, reason: str = "max_output_tokens") -> list[Step]:
    pieces = _or_words(knobs, ["Once upon"])
    rows = [
        *s.message_open(0, "msg_tmp_h1"),
        *(s.text_delta(0, "msg_tmp_h1", piece) for piece in pieces),
        *s.message_close(0, "msg_tmp_h1", "".join(pieces), status="incomplete"),
    ]
    return _whole(rows, Terminal("incomplete", {"incomplete_details": {"reason": reason}}))


def _content_filter(turn: Turn, knobs: Knobs) -> list[Step]:
    return _incomplete(turn, knobs, "content_filter")


def _failed(turn: Turn, knobs: Knobs) -> list[Step]:
    rows = [
        *s.message_open(0, "msg_tmp_i1"),
        *(s.text_delta(0, "msg_tmp_i1", piece) for piece in _or_words(knobs, ["Part"])),
    ]
    error = {"code": "server_error", "message": "Provider disconnected"}
    return _whole(rows, Terminal("failed", {"error": error, "error_type": "provider_unavailable"}))


def _error(shape: int) -> Scenario:
    def scenario(turn: Turn, knobs: Knobs) -> list[Step]:
        rows = [*s.message_open(0, "msg_tmp_j1"), s.text_delta(0, "msg_tmp_j1", "Part")]
        return [Prelude(), *s.events(rows), ERROR_SHAPES[shape]]

    return scenario


def _long(turn: Turn, knobs: Knobs) -> list[Step]:
    count = knobs.text if knobs.text is not None else 200
    return _whole(s.message(0, "msg_tmp_l1", (f"word{place} " for place in range(count))))


def _interleaved(turn: Turn, knobs: Knobs) -> list[Step]:
    """Two reasoning items and two messages; the second pair opens while the first is open, and all close late."""
    first, second = ("rs_tmp_n1", "rs_tmp_n3"), ("msg_tmp_n2", "msg_tmp_n4")
    rows = [
        *s.raw_open(0, first[0]),
        s.raw_delta(0, first[0], "First thought."),
        *s.message_open(1, second[0]),
        s.text_delta(1, second[0], "First "),
        *s.raw_open(2, first[1]),
        s.raw_delta(2, first[1], "Second "),
        s.text_delta(1, second[0], "answer."),
        s.raw_delta(2, first[1], "thought."),
        *s.message_open(3, second[1]),
        s.text_delta(3, second[1], "Second "),
        *s.message_close(1, second[0], "First answer."),
        s.text_delta(3, second[1], "answer."),
        *s.raw_close(0, first[0], "First thought.", format="unknown"),
        *s.message_close(3, second[1], "Second answer."),
        *s.raw_close(2, first[1], "Second thought.", format="unknown"),
    ]
    return _whole(rows)


def _late_signature(turn: Turn, knobs: Knobs) -> list[Step]:
    rows = [
        *s.message(0, "msg_tmp_s1", ["Signed ", "later."]),
        *s.reasoning_open(1, "rs_tmp_s2"),
        *s.reasoning_close(1, "rs_tmp_s2", signature="CiQB…late", format="google-gemini-v1"),
    ]
    return _whole(rows)


def _split_surrogates(turn: Turn, knobs: Knobs) -> list[Step]:
    whole = "Smile 😀 and 🚀 go"
    rows = [
        *s.message_open(0, "msg_tmp_u1"),
        *(s.text_delta(0, "msg_tmp_u1", piece) for piece in ("Smile \ud83d", "\ude00 and ", "\ud83d", "\ude80", " go")),
        *s.message_close(0, "msg_tmp_u1", whole),
    ]
    return _whole(rows)


def _echo(turn: Turn, knobs: Knobs) -> list[Step]:
    return echo(turn, knobs, style="summary", serial="0")


def _whole(rows: list[Json], last: Terminal | None = None) -> list[Step]:
    return [Prelude(), *s.events(rows), last or Terminal()]


def _or_words(knobs: Knobs, usual: list[str]) -> list[str]:
    """The transcript's own deltas, unless the ``text`` knob asks for a length."""
    return usual if knobs.text is None else [f"word{place} " for place in range(knobs.text)]


def with_error(steps: list[Step], after: int, shape: int) -> list[Step]:
    """The steps with an error event after ``after`` events, and nothing behind it."""
    kept: list[Step] = []
    count = 0
    for step in steps:
        width = 2 if isinstance(step, Prelude) else 0 if isinstance(step, Comment) else 1
        if count + width > after:
            break
        count += width
        kept.append(step)
    return [*kept, evolve(ERROR_SHAPES[shape], last=True)]


SCENARIOS: dict[str, Scenario] = {
    "plain": _plain,
    "reasoning-summary": _reasoning_summary,
    "reasoning-raw": _reasoning_raw,
    "parallel-calls": _parallel_calls,
    "web-search": _web_search,
    "image": _image,
    "refusal": _refusal,
    "incomplete": _incomplete,
    "content-filter": _content_filter,
    "failed": _failed,
    "error-1": _error(1),
    "error-2": _error(2),
    "error-3": _error(3),
    "error-4": _error(4),
    "echo": _echo,
    "tool-loop": tool_loop,
    "citations-at-end": _citations_at_end,
    "long": _long,
    "interleaved": _interleaved,
    "late-signature": _late_signature,
    "split-surrogates": _split_surrogates,
}
