"""One question to the provider about the key, for diagnostics: what came back, and by which clock. Not here: judging it."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Final

from attrs import frozen

from openrouter_pipe.adapters.openrouter import request
from openrouter_pipe.adapters.openrouter.client import HttpClients
from openrouter_pipe.adapters.openrouter.exchange import Body, Limits
from openrouter_pipe.ports.provider import Connection, ProviderError

_PATH: Final = "key"
_MOST_BYTES: Final = 64 * 1024


@frozen
class KeyLook:
    """What the provider said: its HTTP ``status``, None without an answer; then ``trouble`` says why.

    ``skew`` is how many seconds our clock is ahead of the provider's, None where it does not tell the time; the provider
    tells whole seconds, and half of the way there and back is not known.
    """

    status: int | None = None
    trouble: str = ""
    skew: float | None = None


async def look_at_key(clients: HttpClients, connection: Connection, now: Callable[[], float] = time.time) -> KeyLook:
    """``GET {base}/key`` with the key. Never raises for what the network or the provider does."""
    try:
        url = request.address(connection.base_url, _PATH)
        headers = [*request.base_headers(connection), (b"Accept", b"application/json")]
        lease = await clients.lease()
        try:
            limits = Limits(connection, url, "")
            outgoing = lease.request("GET", url, headers, extensions=limits.extensions)
            began = now()
            response = await limits.wait(lease.send(outgoing))
            middle = (began + now()) / 2
            answer = Body(response, limits)
            try:
                await answer.read_bounded(_MOST_BYTES)
            finally:
                await answer.aclose()
        finally:
            lease.release()
    except ProviderError as error:
        return KeyLook(error.fault.status, error.fault.message)
    return KeyLook(response.status_code, skew=_skew(middle, response.headers.get("date", "")))


def _skew(ours: float, date: str) -> float | None:
    try:
        theirs = parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    # The header is cut to whole seconds: on average the provider's clock shows half a second more.
    return ours - (theirs + 0.5)
