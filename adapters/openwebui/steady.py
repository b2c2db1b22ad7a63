"""Time and identifiers for showing an answer, which go on where the ports fail: an answer is not lost for a number."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from typing import TypeVar

from openrouter_pipe.ports.runtime import Clock, Ids

_T = TypeVar("_T")
_LOG = logging.getLogger(__name__)


class SteadyIds:
    """The identifiers that an answer needs; of our own making when ``ids`` raises."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids

    def error_id(self) -> str:
        """See `Ids`."""
        return _or_else(self._ids.error_id, lambda: secrets.token_hex(8))

    def item_id(self, prefix: str) -> str:
        """See `Ids`."""
        return _or_else(lambda: self._ids.item_id(prefix), lambda: prefix + secrets.token_hex(12))


class SteadyClock:
    """The time that an answer needs; the system's when ``clock`` raises."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def seconds(self) -> int:
        """Whole seconds since 1970."""
        return _or_else(lambda: int(self._clock.now().timestamp()), lambda: int(time.time()))

    def monotonic(self) -> float:
        """See `Clock`."""
        return _or_else(self._clock.monotonic, time.monotonic)


def _or_else(asked: Callable[[], _T], otherwise: Callable[[], _T]) -> _T:
    try:
        return asked()
    except Exception as error:  # noqa: BLE001 - the edge towards the host: it would show the exception's text to the user
        _LOG.error("a port for time or identifiers failed: %s", type(error).__name__)
        return otherwise()
