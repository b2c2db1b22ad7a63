"""Background tasks of the host: what it takes for "no result". How a task's turn differs is said where it differs.

A task is answered like a chat, but with no tools, plugins, statuses or shown reasoning, with two attempts, outside the
list of allowed models. When it fails, the host must not show the error as a chat's title: it gets a text that it reads as
"nothing came of it".
"""

from __future__ import annotations

from typing import Final

ATTEMPTS: Final = 2
"""How often a task's request is sent at most."""

_NO_RESULT: Final = {
    "title_generation": '{"title": ""}',
    "tags_generation": '{"tags": []}',
    "follow_up_generation": '{"follow_ups": []}',
    "query_generation": '{"queries": []}',
    "autocomplete_generation": '{"text": ""}',
    "image_prompt_generation": '{"prompt": ""}',
    "emoji_generation": "",
    "function_calling": '{"tool_calls": []}',
    "moa_response_generation": "",
}


def no_result(kind: str) -> str:
    """The answer that the host treats as no result for a task of this kind; empty for kinds nobody knows."""
    return _NO_RESULT.get(kind.strip().lower().removeprefix("tasks.").replace("-", "_"), "")
