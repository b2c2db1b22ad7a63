"""Keeps hosts that keep text from reading tags in an answer as reasoning, once reasoning came in its own field.

Open WebUI 0.6.28 turns ``<think>…</think>`` and seven more pairs inside the text into reasoning blocks, and repeats the text
before them when another reasoning block came first. A model that sent its reasoning separately means such words literally
(it writes about them, or about code), so an invisible joiner after the first character takes the tag's meaning away. Where no
reasoning came separately, the tags may be the model's own way to think and stay as they are.
"""

from __future__ import annotations

import re
from typing import Final

_TAGS: Final = (
    "<think",
    "<reason",
    "<thought",
    "<Thought",
    "<|begin_of_thought|>",
    "<|begin_of_solution|>",
    "◁think▷",
)
_TAG: Final = re.compile("|".join(re.escape(tag) for tag in _TAGS))
_BEGUN: Final = frozenset(tag[:length] for tag in _TAGS for length in range(1, len(tag)))
_LONGEST: Final = max(len(tag) for tag in _TAGS) - 1
_JOINER: Final = "\u2060"


class TagGuard:
    """Text goes through `text`; what may be the beginning of a tag is held back until the next text or `rest`."""

    def __init__(self) -> None:
        self._held = ""

    def text(self, text: str) -> str:
        """As much of the text as is known not to be cut within a tag; possibly empty."""
        text, self._held = self._held + text, ""
        if "<" not in text and "◁" not in text:
            return text
        for length in range(min(_LONGEST, len(text)), 0, -1):
            if text[-length:] in _BEGUN:
                text, self._held = text[:-length], text[-length:]
                break
        return _TAG.sub(lambda found: found[0][0] + _JOINER + found[0][1:], text)

    def rest(self) -> str:
        """What was held back; no tag, as nothing follows."""
        held, self._held = self._held, ""
        return held
