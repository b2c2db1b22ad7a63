"""The ASGI application: paths, authorization, recording, and the control interface.

What lives here: ``create_app`` and ``Simulator``. Not here: how an inference answer is made (``inference``), sockets
(``server``), the in-process way in (``transport``).

Two scope extensions let whoever runs the application serve its faults. ``simulator.abort``: a callable that resets the
connection. ``simulator.cancels``: present when a disconnected client cancels the application's task.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

import orjson
from attrs import asdict

from openrouter_pipe.adapters.simulator import account, icons
from openrouter_pipe.adapters.simulator.catalogue import default_catalogue
from openrouter_pipe.adapters.simulator.config import KnobError, Knobs, SimulatorConfig, knobs_from_headers, read_knobs
from openrouter_pipe.adapters.simulator.errors import ErrorReply, json_error, ordered_error, plain_error
from openrouter_pipe.adapters.simulator.exchange import Exchange
from openrouter_pipe.adapters.simulator.inference import Inference
from openrouter_pipe.adapters.simulator.player import Reset
from openrouter_pipe.adapters.simulator.record import RecordedRequest, RequestLog

Json = dict[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

BASE = "/api/v1"
CONTROL = "/simulator"
_INFERENCE = {"/responses": "responses", "/chat/completions": "chat"}


class Simulator:
    """A local OpenRouter as an ASGI 3 application, and the record of what it was asked.

    One object serves any number of connections on one event loop.
    """

    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config
        self.catalogue = default_catalogue()
        self._log = RequestLog(config.max_recorded)
        self._inference = Inference(config, self._log)
        self._open: set[asyncio.Task[Any]] = set()

    @property
    def requests(self) -> list[RecordedRequest]:
        """The recorded requests, oldest first; control requests are not recorded."""
        return self._log.requests

    @property
    def total_requests(self) -> int:
        """Requests since the start or the last ``clear``, forgotten ones included."""
        return self._log.total

    @property
    def open_streams(self) -> int:
        """Replies under way now."""
        return len(self._open)

    def clear(self) -> None:
        """Forget the requests, the waiting faults and the counts behind ``times``."""
        self._log.clear()

    def queue_faults(self, *faults: Knobs) -> None:
        """Faults for the next requests, first come, first served; each strikes ``times`` (default 1) requests."""
        for knobs in faults:
            self._log.queue(knobs)

    def hang_up(self) -> None:
        """End every reply under way, as a server that goes down would."""
        for task in tuple(self._open):
            task.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI has it; anything but HTTP is left alone."""
        if scope["type"] != "http":
            return
        exchange = Exchange(scope, receive, send)
        raw = await exchange.read_body()
        path = exchange.path
        if path.startswith(CONTROL):
            await self._control(exchange, raw)
            return
        request = RecordedRequest(
            exchange.method, path.removeprefix(BASE), exchange.headers, _parsed(raw), self.config.clock()
        )
        number = self._log.add(request)
        exchange.on_start = lambda status: self._log.update(number, status=status)
        try:
            await self._guarded(exchange, raw)
        finally:
            self._log.update(number, finished=True, aborted=not exchange.complete)

    async def _guarded(self, exchange: Exchange, raw: bytes) -> None:
        """Serve until done, until the client leaves or until the server goes down; then the connection is dropped."""
        task = asyncio.current_task() if exchange.cancels else asyncio.ensure_future(self._serve(exchange, raw))
        if task is None:  # pragma: no cover - an ASGI application runs in a task
            raise RuntimeError("the simulator must be run inside an asyncio task")
        self._open.add(task)
        try:
            if exchange.cancels:
                await self._serve(exchange, raw)
            else:
                await _until_left(task, exchange)
        finally:
            self._open.discard(task)

    async def _serve(self, exchange: Exchange, raw: bytes) -> None:
        try:
            await self._route(exchange, raw)
        except Reset:
            await exchange.abort()

    async def _route(self, exchange: Exchange, raw: bytes) -> None:
        path = exchange.path.removeprefix(BASE)
        wire = _INFERENCE.get(path)
        known = exchange.path.startswith(BASE)
        if exchange.method == "OPTIONS":
            await exchange.reply(204, b"", {"access-control-allow-origin": "*"})
        elif known and not account.PUBLIC.match(path) and (refused := self._unauthorized(exchange.headers)):
            await exchange.reply_error(refused)
        elif known and wire and exchange.method == "POST":
            queued = self._log.queued_for(path, inference=True)
            await self._inference.serve(exchange, wire, raw, self.catalogue, queued)
        elif known and exchange.method == "GET":
            await self._get(exchange, path)
        elif exchange.method == "GET" and (picture := icons.answer(exchange.path, self.catalogue)) is not None:
            await exchange.reply(200, picture[1], {"content-type": picture[0]})
        else:
            await exchange.reply_error(plain_error(404, f"Route {exchange.method} {exchange.path} not found"))

    async def _get(self, exchange: Exchange, path: str) -> None:
        queued = self._log.queued_for(path, inference=False)
        try:
            knobs = knobs_from_headers(exchange.headers).over(queued)
        except KnobError as error:
            await exchange.reply_error(plain_error(400, str(error)))
            return
        if knobs.delay_ms:
            await self.config.sleep(knobs.delay_ms / 1000)
        if knobs.fault == "reset":
            raise Reset
        if knobs.fault == "silence":
            await asyncio.Event().wait()
        if knobs.status is not None:
            await exchange.reply_error(ordered_error(knobs.status, knobs.kind, "", knobs.retry_after))
            return
        query = dict(parse_qsl(exchange.query))
        found = account.answer(path, query, self.catalogue, self._log, self.config.generation_misses)
        if found is None:
            await exchange.reply_error(plain_error(404, f"Route GET {exchange.path} not found"))
            return
        headers = {"cache-control": "max-age=120"} if path == "/models" else {}
        await exchange.reply_json(found[0], found[1], headers)

    def _unauthorized(self, headers: Mapping[str, str]) -> ErrorReply | None:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            return plain_error(401, "No cookie auth credentials found")
        accepted = self.config.accepted_keys
        wrong = key in self.config.rejected_keys or (accepted is not None and key not in accepted)
        return plain_error(401, "User not found.") if wrong else None

    async def _control(self, exchange: Exchange, raw: bytes) -> None:
        match exchange.method, exchange.path.removeprefix(CONTROL):
            case "GET", "/requests":
                rows = [_public(row) for row in self.requests]
                counts = {"total": self.total_requests, "open": self.open_streams}
                await exchange.reply_json(200, {"requests": rows, **counts})
            case "DELETE", "/requests":
                self.clear()
                await exchange.reply_json(200, {"cleared": True})
            case "POST", "/faults":
                await self._queue(exchange, _parsed(raw))
            case _:
                await exchange.reply_error(plain_error(404, "known: GET and DELETE requests, POST faults"))

    async def _queue(self, exchange: Exchange, body: object) -> None:
        try:
            knobs = [read_knobs(row) for row in _fault_rows(body)]
        except KnobError as error:
            await exchange.reply_error(json_error(400, {"error": {"code": 400, "message": str(error)}}))
            return
        self.queue_faults(*knobs)
        await exchange.reply_json(200, {"queued": len(knobs)})


def create_app(config: SimulatorConfig | None = None) -> Simulator:
    """A simulator; without a config every key is welcome and no schema is checked."""
    return Simulator(config or SimulatorConfig())


async def _until_left(task: "asyncio.Future[None]", exchange: Exchange) -> None:
    left = asyncio.ensure_future(exchange.disconnected())
    try:
        await asyncio.wait({task, left}, return_when=asyncio.FIRST_COMPLETED)
        cancelled = not task.done() or task.cancelled()
    finally:
        for future in (task, left):
            future.cancel()
        await asyncio.gather(task, left, return_exceptions=True)
    if cancelled:
        await exchange.abort()
    elif error := task.exception():
        raise error


def _fault_rows(body: object) -> list[Json]:
    rows = body.get("faults", [body]) if isinstance(body, dict) else body
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise KnobError('simulator: send {"faults": [{"fault": "reset", "after": 3, "times": 1}, ...]}')
    return rows


def _parsed(raw: bytes) -> Any:
    try:
        return orjson.loads(raw) if raw else None
    except ValueError:
        return raw.decode("utf-8", "replace")


def _public(row: RecordedRequest) -> Json:
    """A recorded request for the control interface: the key is not repeated."""
    told = asdict(row)
    told["headers"] = {key: "***" if key == "authorization" else value for key, value in row.headers.items()}
    return told
