"""Server-sent events, decoded without I/O: bytes in, the data of whole events out.

No JSON, no event types: those are the wires' business. ``event:``, ``id:`` and ``retry:`` lines are ignored because
OpenRouter sends none and every payload names its own type.
"""

from __future__ import annotations

from typing import Final, TypeAlias

_PREFIX: Final = b"data: "
_PREFIX_LENGTH: Final = len(_PREFIX)
_LINE_END: Final = b"\n"
_END: Final = b"\n\n"
_DONE: Final = b"[DONE]"
_DONE_SLACK: Final = 16
_BOM: Final = b"\xef\xbb\xbf"

EVENT_BYTES: Final = 64 * 1024 * 1024
"""The most that one unfinished event may hold; the largest real ones are a few images as data URLs."""

LARGE: Final = 1024 * 1024
"""From this size on the data of an event is given out in the pieces in which it came."""

Payload: TypeAlias = bytes | tuple[bytes, ...]
"""The data of one event. Joining megabytes takes milliseconds in which nobody else runs: the reader may do without."""


class SseDecoder:
    """Incremental decoder of one stream.

    Bytes may be split anywhere, inside characters and line ends included; lines end with LF, CRLF or CR. Time is linear
    in the number of bytes: a piece of an unfinished event is put aside once and joined at most once, so that a data URL of
    many megabytes costs no more per byte than a small event.

    ``done`` turns True at ``[DONE]``, ``overrun`` when more than ``most`` bytes came without the end of their event (a
    peer that never ends one must not fill the memory); what follows either is ignored.
    """

    __slots__ = ("_after_cr", "_between", "_most", "_pending", "_size", "_started", "_tail", "done", "overrun")

    def __init__(self, most: int = EVENT_BYTES) -> None:
        self.done = False
        self.overrun = False
        self._most = most
        self._size = 0
        self._pending: list[bytes] = []
        self._tail = b""
        self._after_cr = False
        self._started = False
        self._between = False
        """Whether an event has just ended, with nothing of the next one here."""

    def feed(self, data: bytes) -> list[Payload]:
        """Take the next bytes; returns the data of every event that they complete, in order."""
        # Where reads are not behind the model, nearly every one is one whole event.
        if self._between and data.find(_LINE_END) == len(data) - 2 and data.endswith(_END) and data.startswith(_PREFIX):
            payload = data[_PREFIX_LENGTH:-2]
            if len(payload) >= _DONE_SLACK and b"\r" not in payload:
                return [payload]
        payloads = self._feed(data)
        midway = self._pending or self._tail or self._after_cr
        self._between = self._started and not (midway or self.done or self.overrun)
        return payloads

    def _feed(self, data: bytes) -> list[Payload]:
        if self.done or self.overrun or not data:
            return []
        if b"\r" in data or self._after_cr:
            data = self._unify_line_ends(data)
            if not data:
                return []
        # A line end that closed the last read may be half of an event's end: it is looked at again with the new bytes.
        if self._tail:
            data = self._tail + data
            self._tail = b""
        # One byte is found ten times faster than two, and megabytes of an image hold not one of them.
        if _LINE_END not in data or _END not in data:
            self._put_aside(data)
            return []
        blocks = data.split(_END)
        rest = blocks.pop()
        if not self._pending:
            payloads = self._payloads(blocks)
        else:
            payloads = self._completed(blocks[0])
            if len(blocks) > 1 and not self.done:
                payloads += self._payloads(blocks[1:])
        self._size = 0
        if rest and not self.done:
            self._put_aside(rest)
        return payloads

    def finish(self) -> list[Payload]:
        """The stream is over: the data of a last event that lacks its blank line, if there is one."""
        rest = b"".join(self._pending)
        self._pending.clear()
        self._tail = b""
        return [] if self.done or not rest else self._payloads([rest])

    def _completed(self, last: bytes) -> list[Payload]:
        """The event that was put aside, with its last piece."""
        pieces = [*self._pending, last]
        self._pending.clear()
        first = pieces[0]
        plain = self._size >= LARGE and first.startswith(_PREFIX)
        if plain and not any(_LINE_END in piece for piece in pieces):
            self._started = True
            return [(first[_PREFIX_LENGTH:], *pieces[1:])]
        return self._payloads([b"".join(pieces)])

    def _put_aside(self, data: bytes) -> None:
        if data.endswith(b"\n"):
            data, self._tail = data[:-1], b"\n"
        self._size += len(data)
        if self._size > self._most:
            self.overrun = True
            self._pending.clear()
            self._tail = b""
        else:
            self._pending.append(data)

    def _payloads(self, blocks: list[bytes]) -> list[Payload]:
        if not self._started:
            self._started = True
            blocks[0] = blocks[0].removeprefix(_BOM)
        payloads: list[Payload] = []
        for block in blocks:
            plain = block.startswith(_PREFIX) and b"\n" not in block
            payload = block[_PREFIX_LENGTH:] if plain else _join_lines(block)
            if not payload:
                continue
            if payload == _DONE or (len(payload) < _DONE_SLACK and payload.strip() == _DONE):
                self.done = True
                self._pending.clear()
                break
            payloads.append(payload)
        return payloads

    def _unify_line_ends(self, data: bytes) -> bytes:
        # CR never stands inside JSON (it is escaped there), so that every one of them ends a line.
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _join_lines(block: bytes) -> bytes:
    """The data of an event that is more than one plain ``data: `` line."""
    lines: list[bytes] = []
    for line in block.split(b"\n"):
        if line.startswith(_PREFIX):
            lines.append(line[_PREFIX_LENGTH:])
        elif line.startswith(b"data:"):
            lines.append(line[5:])
    return b"\n".join(lines)
