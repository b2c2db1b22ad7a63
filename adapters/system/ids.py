"""Identifiers: artifact ids that sort by time, error ids, item ids."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Final

CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32, upper case: no I, L, O, U."""

_TIME_CHARS: Final = 16
_RANDOM_CHARS: Final = 4


class SystemIds:
    """`Ids` from the wall clock and the system's source of randomness.

    The 16 time characters carry nanoseconds since 1970; two ids of one process never carry the same nanosecond, so ids
    made later sort later even when the clock stands still or steps back.
    """

    def __init__(self, time_ns: Callable[[], int] = time.time_ns) -> None:
        self._time_ns = time_ns
        self._last = 0

    def artifact_id(self) -> str:
        """20 characters: 16 of time, 4 random."""
        self._last = max(self._last + 1, self._time_ns())
        moment = "".join(CROCKFORD[(self._last >> shift) & 31] for shift in range(5 * (_TIME_CHARS - 1), -1, -5))
        return moment + "".join(secrets.choice(CROCKFORD) for _ in range(_RANDOM_CHARS))

    def error_id(self) -> str:
        """16 hexadecimal characters."""
        return secrets.token_hex(8)

    def item_id(self, prefix: str) -> str:
        """``prefix`` and 24 random characters."""
        return prefix + secrets.token_hex(12)
