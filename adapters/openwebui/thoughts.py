"""Where blank lines go in reasoning that a host shows as a quotation. Not here: what else is in the chunks.

Such a host begins a new block of reasoning after every piece of answer, and quotes each line of it. A break at the start or
end of a block, or a second one between two paragraphs, would be shown as an empty line of quotation.
"""

from __future__ import annotations

from openrouter_pipe.ports.chat import ReasoningAdded


class Thoughts:
    """Sets paragraphs of reasoning apart by one blank line; a block neither begins nor ends with one."""

    def __init__(self) -> None:
        self._last: tuple[int, int, bool] | None = None
        self._said = False
        self._apart = False
        self._held: list[str] = []

    def text(self, event: ReasoningAdded) -> str:
        """What to send of it now: line breaks wait until more text follows."""
        here = (event.index, event.part, event.summary)
        if here != self._last:
            self._last, self._apart = here, self._said
            self._held.clear()
        words = event.text.strip()
        if not words and (self._begins or self._held or "\n" in event.text):
            self._held.append(event.text)
            return ""
        text = "".join((*self._held, event.text))
        self._held.clear()
        if self._begins:
            text = _without_leading_lines(text)
            text = "\n\n" + text if self._apart else text
        self._said, self._apart = True, False
        kept = text.rstrip()
        if "\n" not in text[len(kept) :]:
            return text
        self._held.append(text[len(kept) :])
        return kept

    def interrupted(self) -> None:
        """Something else was shown: what follows begins a block."""
        self._last = None
        self._said = self._apart = False
        self._held.clear()

    @property
    def _begins(self) -> bool:
        return self._apart or not self._said


def _without_leading_lines(text: str) -> str:
    """``text`` from its first line that says something; that line's indentation stays."""
    start = len(text) - len(text.lstrip())
    return text[text.rfind("\n", 0, start) + 1 :]
