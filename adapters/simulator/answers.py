"""Ordinary answers: what an echoing model says, with or without reasoning, and the tool loop.

What lives here: the text of an answer computed from the request, the reasoning styles of the vendors. Not here: the
fixed transcripts (``scenarios``).
"""

import re
from hashlib import sha256
from typing import Any

import orjson

from openrouter_pipe.adapters.simulator import script as s
from openrouter_pipe.adapters.simulator.config import Knobs, knobs_from_text
from openrouter_pipe.adapters.simulator.script import Prelude, Step, Terminal
from openrouter_pipe.adapters.simulator.turn import Turn, example_of, words

Json = dict[str, Any]

LOOP_SEAL = "Eo8Cloop-"
_STYLES = {"openai": "summary", "anthropic": "claude", "google": "gemini"}
_FORMATS = {"summary": "openai-responses-v1", "claude": "anthropic-claude-v1", "gemini": "google-gemini-v1"}
_TASK_KEYS = {
    "title": "Simulated Title",
    "tags": ["simulation", "test"],
    "queries": [],
    "follow_ups": ["What else?", "Why so?", "How so?"],
    "text": " and so on",
}


def reasoning_style(turn: Turn, entry: Json) -> str:
    """How this model shows its reasoning for this request: summary, claude, gemini, raw, or none."""
    support = entry.get("reasoning")
    legacy = support is None and "include_reasoning" in entry["supported_parameters"]
    if support is None and not legacy:
        return "none"
    mandatory = bool(support and support["mandatory"])
    if not mandatory and not turn.reasoning_wanted:
        return "none"
    return _STYLES.get(entry["id"].split("/")[0].lstrip("~"), "raw")


def chat_answer(turn: Turn, entry: Json, knobs: Knobs) -> list[Step]:
    """An ordinary catalogue model: it echoes, reasoning in its vendor's style when it can and was asked to."""
    style = reasoning_style(turn, entry)
    serial = sha256(orjson.dumps([entry["id"], turn.user_texts])).hexdigest()[:12]
    return echo(turn, knobs, style, serial)


def echo(turn: Turn, knobs: Knobs, style: str, serial: str) -> list[Step]:
    """Reasoning in the style, then the answer word by word, cut at the token limit (one word counts as one token)."""
    text = answer_text(turn, knobs)
    limit = len(text) if turn.max_tokens is None else max(0, turn.max_tokens)
    pieces = words(text)
    thought = [] if style == "none" else words(f"The user wrote {len(pieces)} words; I will repeat them.")
    cut = pieces[:limit]
    rows, index = _thinking(style, serial, thought)
    item_id = f"msg_tmp_{serial}"
    whole = len(cut) == len(pieces)
    rows += [
        *s.message_open(index, item_id),
        *(s.text_delta(index, item_id, piece) for piece in cut),
        *s.message_close(index, item_id, "".join(cut), status="completed" if whole else "incomplete"),
    ]
    rows += _seal_late(style, serial, thought, index)
    last = Terminal() if whole else Terminal("incomplete", {"incomplete_details": {"reason": "max_output_tokens"}})
    return [Prelude(), *s.events(rows), last]


def answer_text(turn: Turn, knobs: Knobs) -> str:
    """The echo: the last user text and the number of the turn, so that a follow-up proves that the history arrived.

    Structured output gives a value of the wanted schema; "which word" is answered from an earlier "remember the word";
    tool results are named; a chat host's background task gets a small JSON of the keys that its prompt mentions.
    """
    if knobs.text is not None:
        return "".join(f"word{place} " for place in range(knobs.text))
    if turn.json_schema is not None:
        return orjson.dumps(example_of(turn.json_schema)).decode()
    last = knobs_from_text(turn.last_text)[1]
    if last.lstrip().startswith("### Task:"):
        return _task_answer(last)
    count = len(turn.user_texts)
    if outputs := turn.loop_outputs:
        told = "; ".join(f"{output.call_id}: {output.text}" for output in outputs)
        return f"The tools said {told} (turn {count})"
    if re.search(r"\b(which|what)\b.*\bword\b", last, re.IGNORECASE):
        for text in reversed(turn.user_texts):
            if found := re.search(r"remember the word[:\s]+[\"'“]?([\w-]+)", text, re.IGNORECASE):
                return f"The word is {found[1]}. (turn {count})"
    return f"{last} (turn {count})"


def tool_loop(turn: Turn, knobs: Knobs) -> list[Step]:
    """Signed reasoning and a call of the first offered function; once its output is there, an answer naming it."""
    if turn.loop_outputs or not turn.tools:
        return echo(turn, knobs, "none", f"loop{len(turn.user_texts)}")
    tool = turn.tools[0]
    call_id = f"call_loop_{len(turn.calls) + 1}"
    arguments = orjson.dumps(example_of(tool.parameters)).decode()
    thought = f"I should call {tool.name}."
    half = len(arguments) // 2
    rows = [
        *s.raw_open(0, "rs_tmp_loop"),
        s.raw_delta(0, "rs_tmp_loop", thought),
        *s.raw_close(0, "rs_tmp_loop", thought, signature=LOOP_SEAL + call_id, format="anthropic-claude-v1"),
        *s.call_open(1, "fc_tmp_loop", call_id, tool.name),
        s.call_delta(1, "fc_tmp_loop", arguments[:half]),
        s.call_delta(1, "fc_tmp_loop", arguments[half:]),
        *s.call_close(1, "fc_tmp_loop", call_id, tool.name, arguments),
    ]
    return [Prelude(), *s.events(rows), Terminal()]


def _thinking(style: str, serial: str, thought: list[str]) -> tuple[list[Json], int]:
    """The reasoning before the message, and the message's output index."""
    item_id = f"rs_tmp_{serial}"
    whole = "".join(thought)
    match style:
        case "none":
            return [], 0
        case "summary":
            seal = {"encrypted_content": f"gAAAA{serial}.eyJl", "format": _FORMATS[style]}
            opened = [*s.reasoning_open(0, item_id), *s.summary(0, item_id, thought)]
            return [*opened, *s.reasoning_close(0, item_id, [whole], **seal)], 1
        case _:
            opened = [*s.raw_open(0, item_id), *(s.raw_delta(0, item_id, piece) for piece in thought)]
            # Claude's reasoning closes after the message, as recorded.
            return (opened, 1) if style == "claude" else (opened + _raw_end(style, item_id, whole), 1)


def _raw_end(style: str, item_id: str, whole: str) -> list[Json]:
    return s.raw_close(0, item_id, whole, format=_FORMATS.get(style, "unknown"))


def _seal_late(style: str, serial: str, thought: list[str], index: int) -> list[Json]:
    """What follows the message: Claude's closing with its signature, Gemini's signature-only item."""
    seal = {"signature": f"Eo8C{serial}", "format": _FORMATS.get(style, "unknown")}
    match style:
        case "claude":
            return s.raw_close(0, f"rs_tmp_{serial}", "".join(thought), **seal)
        case "gemini":
            item_id = f"rs_tmp_{serial}_seal"
            return [*s.reasoning_open(index + 1, item_id), *s.reasoning_close(index + 1, item_id, **seal)]
        case _:
            return []


def _task_answer(prompt: str) -> str:
    wanted = {key: value for key, value in _TASK_KEYS.items() if f'"{key}"' in prompt}
    return orjson.dumps(wanted).decode() if wanted else "✨ Simulated Title"
