"""The in-process way to an ASGI application: an httpx transport that really streams.

What lives here: ``SimulatorTransport``. httpx's own ``ASGITransport`` runs the application to its end and then hands the
body over in one piece, so neither streaming nor cancelling can be seen through it. Not here: anything about OpenRouter;
any ASGI 3 application works, and one that knows the two scope extensions of ``app`` can reset the connection.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import httpx

Message = MutableMapping[str, Any]
Application = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]


class SimulatorTransport(httpx.AsyncBaseTransport):
    """Runs the application in a task per request; each write reaches the reader as it is made.

    buffer: writes that may wait for the reader; the application pauses beyond that. Closing the response, or the task
    that reads it being cancelled, cancels the application's task and waits for its end. The client's read timeout
    holds for the headers and between writes (httpx.ReadTimeout); a reset gives httpx.ReadError.
    """

    def __init__(self, app: Application, *, buffer: int = 16) -> None:
        self._app = app
        self._buffer = buffer
        self._open: set[_Exchange] = set()

    @property
    def open(self) -> int:
        """Exchanges not yet closed."""
        return len(self._open)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request; see `httpx.AsyncBaseTransport`."""
        body = await request.aread()
        exchange = _Exchange(request, body, self._buffer, self._open.discard)
        self._open.add(exchange)
        try:
            exchange.run(self._app)
            await exchange.started()
        except BaseException:
            await exchange.aclose()
            raise
        return httpx.Response(exchange.status, headers=exchange.headers, stream=exchange, request=request)

    async def aclose(self) -> None:
        """End what is still running."""
        for exchange in tuple(self._open):
            await exchange.aclose()


class _Exchange(httpx.AsyncByteStream):
    """One request under way: the application writes at one end, the client reads at the other."""

    def __init__(
        self, request: httpx.Request, body: bytes, buffer: int, on_close: Callable[["_Exchange"], None]
    ) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._request = request
        self._body: bytes | None = body
        self._limit = buffer
        self._on_close = on_close
        self._timeout: float | None = request.extensions.get("timeout", {}).get("read")
        self._pieces: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._finished = False
        self._closed = False
        self._failure: BaseException | None = None
        self._task: asyncio.Task[None] | None = None

    def run(self, app: Application) -> None:
        url = self._request.url
        scope: Message = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": self._request.method,
            "scheme": url.scheme,
            "path": url.path,
            "raw_path": url.raw_path.split(b"?")[0],
            "query_string": url.query,
            "root_path": "",
            "headers": [(key.lower(), value) for key, value in self._request.headers.raw],
            "server": (url.host, url.port),
            "client": ("127.0.0.1", 0),
            "extensions": {"simulator.cancels": {}, "simulator.abort": self._abort},
        }
        self._task = asyncio.create_task(self._drive(app, scope))

    async def started(self) -> None:
        while not self.status:
            if self._failure is not None:
                raise self._failure
            if self._finished:
                raise httpx.RemoteProtocolError("the application ended without a reply", request=self._request)
            await self._wait_for_news()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            while self._pieces:
                piece = self._pieces.popleft()
                self._room.set()
                yield piece
            if self._failure is not None:
                raise self._failure
            if self._finished:
                return
            await self._wait_for_news()

    async def aclose(self) -> None:
        """End the application's task, as a client that leaves does."""
        if self._closed:
            return
        self._closed = True
        self._on_close(self)
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _wait_for_news(self) -> None:
        self._news.clear()
        try:
            async with asyncio.timeout(self._timeout):
                await self._news.wait()
        except TimeoutError:
            raise httpx.ReadTimeout("the simulator sent nothing in time", request=self._request) from None

    async def _drive(self, app: Application, scope: Message) -> None:
        try:
            await app(scope, self._receive, self._send)
        except asyncio.CancelledError:
            self._failure = self._failure or httpx.ReadError("connection closed", request=self._request)
            raise
        except Exception as error:  # noqa: BLE001 - the application's own failure reaches the reader, as in a test client
            self._failure = self._failure or error
        finally:
            if not self._finished and self._failure is None:
                self._failure = httpx.RemoteProtocolError("incomplete body", request=self._request)
            self._news.set()

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        # A client that leaves cancels the task, so this wait ends with it.
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message.get("headers", ()))
            self._news.set()
            return
        if body := message.get("body", b""):
            while len(self._pieces) >= self._limit:
                self._room.clear()
                await self._room.wait()
            self._pieces.append(bytes(body))
        self._finished = not message.get("more_body", False)
        self._news.set()

    async def _abort(self) -> None:
        self._failure = httpx.ReadError("connection reset by peer", request=self._request)
        self._news.set()
