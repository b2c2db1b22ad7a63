"""Time and identifiers for showing an answer, which go on where the ports fail or are not to be had: an answer is not lost
for a number."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from typing import TypeVar

from openrouter_pipe.ports.runtime import Clock, Ids

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class SteadyIds:
    """The identifiers that an answer needs; of our own making when ``ids`` raises or is None."""

    def __init__(self, ids: Ids | None) -> None:
        self._ids = ids

    def error_id(self) -> str:
        """See `Ids`."""
        return _or_else(None if self._ids is None else self._ids.error_id, lambda: secrets.token_hex(8))

    def item_id(self, prefix: str) -> str:
        """See `Ids`."""
        ids = self._ids
        return _or_else(None if ids is None else lambda: ids.item_id(prefix), lambda: prefix + secrets.token_hex(12))


class SteadyClock:
    """The time that an answer needs; the system's when ``clock`` raises or is None."""

    def __init__(self, clock: Clock | None) -> None:
        self._clock = clock

    def seconds(self) -> int:
        """Whole seconds since 1970."""
        clock = self._clock
        return _or_else(None if clock is None else lambda: int(clock.now().timestamp()), lambda: int(time.time()))

    def monotonic(self) -> float:
        """See `Clock`."""
        return _or_else(None if self._clock is None else self._clock.monotonic, time.monotonic)


def _or_else(asked: Callable[[], _T] | None, otherwise: Callable[[], _T]) -> _T:
    if asked is None:
        return otherwise()
    try:
        return asked()
    except Exception as error:  # noqa: BLE001 - the edge towards the host: it would show the exception's text to the user
        _log.error("a port for time or identifiers failed: %s", type(error).__name__)
        return otherwise()
