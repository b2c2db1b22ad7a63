"""The ways to the network that tests of real sockets go over: name to the transport factory of `HttpClients`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import httpx

TRANSPORTS: Final[dict[str, Callable[[], httpx.AsyncBaseTransport] | None]] = {"httpx": None}
