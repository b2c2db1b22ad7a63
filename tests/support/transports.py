"""The ways to the network that tests of real sockets go over: a name, and the arguments of `HttpClients` for it."""

from __future__ import annotations

from typing import Final

TRANSPORTS: Final[dict[str, dict[str, object]]] = {"aiohttp": {"aiohttp": True}, "httpx": {"aiohttp": False}}
