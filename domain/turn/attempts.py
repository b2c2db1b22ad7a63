"""What to do when a provider round fails before anything of it was seen: change the request, wait and repeat, or give up.

Pure decisions; the round carries them out. A request is never sent again once something of its answer was shown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from attrs import frozen

from openrouter_pipe.domain.shaping.recovery import recover
from openrouter_pipe.ports.provider import FaultKind, ProviderFault, ProviderRequest
from openrouter_pipe.ports.runtime import Clock, Randomness

ATTEMPTS: Final = 3
"""How often a chat's request is sent at most, recoveries and the change of endpoint not counted."""

_FIRST_DELAY: Final = 0.5
_LONGEST_DELAY: Final = 60.0
_TRANSIENT_STATUS: Final = frozenset({408, 425, 429})
_TRANSIENT_KINDS: Final = frozenset({FaultKind.CONNECTION, FaultKind.CONNECT_TIMEOUT, FaultKind.TRUNCATED})


@frozen
class Repeat:
    """Send the same request again after ``delay`` seconds."""

    delay: float


@frozen
class Resend:
    """Send a changed request at once; ``status`` tells the user, empty for nothing to tell."""

    request: ProviderRequest
    status: str = ""


@frozen
class GiveUp:
    """The fault stands."""


Step: TypeAlias = Repeat | Resend | GiveUp


class Attempts:
    """The attempts of one round.

    ``fallback`` makes the same request for the other endpoint, None when there is none or it may not be used.
    ``total_timeout`` in seconds bounds the attempts together.
    """

    def __init__(
        self,
        clock: Clock,
        randomness: Randomness,
        *,
        limit: int = ATTEMPTS,
        total_timeout: float | None = None,
        fallback: Callable[[ProviderFault], ProviderRequest | None] | None = None,
    ) -> None:
        self._clock = clock
        self._randomness = randomness
        self._limit = limit
        self._total_timeout = total_timeout
        self._fallback = fallback
        self._began = clock.monotonic()
        self._sent = 1
        self._recovered: frozenset[str] = frozenset()

    @property
    def time_left(self) -> float | None:
        """Seconds that are left of the total timeout; None where there is none."""
        if self._total_timeout is None:
            return None
        return max(0.0, self._total_timeout - (self._clock.monotonic() - self._began))

    def after(self, fault: ProviderFault, request: ProviderRequest) -> Step:
        """The next step after ``request`` failed with ``fault``."""
        recovery = recover(request, fault, self._recovered)
        if recovery is not None:
            self._recovered |= {recovery.name}
            return Resend(recovery.request, recovery.status)
        if self._fallback is not None and (other := self._fallback(fault)) is not None:
            self._fallback = None
            return Resend(other)
        if self._sent >= self._limit or not is_transient(fault):
            return GiveUp()
        delay = self._delay(fault)
        if delay > _LONGEST_DELAY:
            return GiveUp()
        left = self.time_left
        if left is not None and delay >= left:
            return GiveUp()
        self._sent += 1
        return Repeat(delay)

    def _delay(self, fault: ProviderFault) -> float:
        highest = _FIRST_DELAY * 2**self._sent
        delay = self._randomness.uniform(highest / 2, highest)
        return max(delay, fault.retry_after or 0.0)


def is_transient(fault: ProviderFault) -> bool:
    """Whether the same request may succeed a little later; the provider's own word for it counts before the status."""
    if fault.retryable is not None:
        return fault.retryable
    if fault.status is not None:
        return fault.status in _TRANSIENT_STATUS or fault.status >= 500
    return fault.kind in _TRANSIENT_KINDS
