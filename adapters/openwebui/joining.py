"""Where blank lines go when text of several items and words of ours end up in one string."""

from __future__ import annotations

from typing import Final

_LOOKED_AT: Final = 2


class Joiner:
    """Follows one string as it grows; hands back each addition with the line breaks it needs before it."""

    def __init__(self) -> None:
        self._tail = ""
        self._index: int | None = None
        self._apart = False

    @property
    def empty(self) -> bool:
        """Whether nothing was added yet."""
        return not self._tail

    def text(self, index: int, text: str) -> str:
        """Text of the item at ``index``; another item's text, or a block, before it is set off."""
        if index == self._index and not self._apart:
            return self._add(text)
        apart = self._apart or (self._index is not None and index != self._index)
        self._index, self._apart = index, False
        return self._add(self._gap() + text if apart else text)

    def block(self, text: str) -> str:
        """A paragraph of its own: blank lines around it."""
        self._apart = True
        return self._add(self._gap() + text)

    def _gap(self) -> str:
        if not self._tail or self._tail.endswith("\n\n"):
            return ""
        return "\n" if self._tail.endswith("\n") else "\n\n"

    def _add(self, text: str) -> str:
        # More than is looked at may stay: to cut every delta costs more than to keep the last one.
        self._tail = text if len(text) >= _LOOKED_AT else self._tail[-_LOOKED_AT:] + text
        return text
