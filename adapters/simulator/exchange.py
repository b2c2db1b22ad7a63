"""One HTTP exchange over ASGI: reading the request, starting and ending the reply, dropping the connection.

What lives here: ``Exchange``. Not here: what is replied.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import orjson

from openrouter_pipe.adapters.simulator.errors import ErrorReply

Message = MutableMapping[str, Any]

_CORS = {
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "X-Generation-Id, X-Provider-Name, request-id, cf-ray",
}


class Exchange:
    """One request and its reply. complete: the whole reply was handed over."""

    def __init__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: str = scope.get("query_string", b"").decode("latin-1")
        self.headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        self.complete = False
        self.on_start: Callable[[int], None] = lambda status: None
        extensions = scope.get("extensions") or {}
        self.cancels = "simulator.cancels" in extensions
        self._abort: Callable[[], Awaitable[None]] | None = extensions.get("simulator.abort")
        self._receive = receive
        self._send = send

    async def read_body(self) -> bytes:
        """The whole body of the request."""
        parts: list[bytes] = []
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                return b"".join(parts)
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                return b"".join(parts)

    async def disconnected(self) -> None:
        """Return when the client is gone."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send status and headers."""
        self.on_start(status)
        rows = [(key.encode("latin-1"), value.encode("latin-1")) for key, value in {**_CORS, **headers}.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": rows})

    async def write(self, piece: bytes) -> None:
        """Send a piece of the body."""
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self) -> None:
        """Send the end of the body."""
        self.complete = True
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def reply(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Send a whole reply."""
        await self.start(status, {**headers, "content-length": str(len(body))} if status != 204 else headers)
        if body:
            await self.write(body)
        await self.end()

    async def reply_json(self, status: int, value: object, headers: Mapping[str, str] | None = None) -> None:
        """Send a whole reply of JSON."""
        await self.reply(status, orjson.dumps(value), {"content-type": "application/json", **(headers or {})})

    async def reply_error(self, error: ErrorReply, headers: Mapping[str, str] | None = None) -> None:
        """Send an error."""
        await self.reply(error.status, error.body, {**error.headers, **(headers or {})})

    async def abort(self) -> None:
        """Reset the connection; whoever runs the application must offer ``simulator.abort`` for more than a cut."""
        if self._abort is not None:
            await self._abort()
