"""What can go wrong with a download, in words for the user, and when to try again.

No text here repeats a URL, an address or what a server said.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from openrouter_pipe.ports.files import FileAccessError

_BUSY: Final = frozenset({408, 425, 429})


class TemporaryError(Exception):
    """A fault that another attempt may not meet; ``retry_after`` is what the server asked for, in seconds."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


def of_network(error: httpx.HTTPError | OSError) -> TemporaryError | FileAccessError:
    """The fault behind an error of the connection. A certificate that is not valid stays so; all else may pass."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return FileAccessError("the server's certificate is not valid for the address")
        cause = cause.__cause__ or cause.__context__
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return TemporaryError("the server cannot be reached")
        case httpx.TimeoutException():
            return TemporaryError("the server did not answer in time")
        case httpx.ProtocolError() | httpx.DecodingError():
            return TemporaryError("the server's answer is damaged or incomplete")
        case _:
            return TemporaryError("the connection to the server was lost")


def of_status(status: int, retry_after: str, now: datetime) -> TemporaryError | FileAccessError:
    """The fault behind a status that brings no file."""
    if status in _BUSY or status >= 500:
        return TemporaryError(f"the server answered with status {status}", wish(retry_after, now))
    return FileAccessError(f"the server answered with status {status}")


def wish(retry_after: str, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for, in either form; None for none, the past and nonsense."""
    text = retry_after.strip()
    if not text or len(text) > 64 or not text.isascii():
        return None
    if text.isdigit():
        return float(text) or None
    try:
        moment = parsedate_to_datetime(text)
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        seconds = (moment - now).total_seconds()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return seconds if seconds > 0 else None
