"""The simulator on a real socket: uvicorn, run from code, with a connection reset that is a real one.

What lives here: ``SimulatorServer``, ``serve`` and ``serve_forever``. Not here: the application; anything in process.
"""

import asyncio
import os
import signal
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from openrouter_pipe.adapters.simulator.app import BASE, Receive, Scope, Send, Simulator, create_app
from openrouter_pipe.adapters.simulator.config import SimulatorConfig

_GRACE_S = 2


class SimulatorServer:
    """A simulator listening on ``host``:``port`` (0: any free port). One start, one stop; safe to stop twice.

    It installs no signal handlers and changes no logging. Stopping ends replies under way.
    """

    def __init__(self, app: Simulator, host: str = "127.0.0.1", port: int = 0) -> None:
        self.app = app
        self._host = host
        self._port = port
        self._server: Any = None
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port in use, once started."""
        return self._port

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def url(self) -> str:
        """The base URL to configure in a client, such as ``http://127.0.0.1:8321/api/v1``."""
        return self.origin + BASE

    async def start(self) -> None:
        """Listen. Raises OSError when the address cannot be bound."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.create_server((self._host, self._port), family=family, backlog=1024)
        self._port = listener.getsockname()[1]
        self._server = _make_server(self.app)
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]))
        up = asyncio.create_task(self._server.up.wait())
        await asyncio.wait({up, self._task}, return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        if self._task.done():
            await self._task

    async def stop(self) -> None:
        """Close the socket, end replies under way, wait for the end."""
        if self._task is None:
            return
        task, self._task = self._task, None
        self._server.should_exit = True
        self.app.hang_up()
        await task

    async def __aenter__(self) -> "SimulatorServer":
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()


@asynccontextmanager
async def serve(app: Simulator, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[SimulatorServer]:
    """``async with serve(create_app()) as server: ... server.url``."""
    async with SimulatorServer(app, host, port) as server:
        yield server


def serve_forever(
    host: str, port: int, config: SimulatorConfig | None = None, announce: Callable[[str], None] = lambda line: None
) -> int:
    """The command ``simulate``: serve until SIGINT or SIGTERM, then return 0. announce: told where it listens.

    Raises OSError when the address cannot be bound.
    """

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        async with serve(create_app(config), host, port) as server:
            announce(f"OpenRouter simulator at {server.url} (any key; requests at {server.origin}/simulator/requests)")
            await stop.wait()

    asyncio.run(main())
    return 0


def _make_server(app: Simulator) -> Any:
    """A uvicorn server without signal handlers, whose connections offer ``simulator.abort``."""
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class ResettableProtocol(H11Protocol):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            inner = self.app
            # Off here and not in the Config, which would silence the process's logger of that name for everyone.
            self.access_log = False

            async def with_abort(scope: Scope, receive: Receive, send: Send) -> None:
                extensions = {**scope.get("extensions", {}), "simulator.abort": self._reset}
                await inner({**scope, "extensions": extensions}, receive, send)

            self.app = with_abort

        async def _reset(self) -> None:
            reset(self.transport)
            # The transport tells the protocol one turn later; only then may the application return without a reply.
            for _ in range(3):
                await asyncio.sleep(0)

    class QuietServer(uvicorn.Server):
        def __init__(self, config: uvicorn.Config) -> None:
            super().__init__(config)
            self.up = asyncio.Event()

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            self.up.set()

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    config = uvicorn.Config(
        app,
        http=ResettableProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=_GRACE_S,
    )
    return QuietServer(config)


def reset(transport: asyncio.BaseTransport) -> None:
    """Reset a TCP connection: with lingering off and zero, closing sends RST instead of FIN."""
    connected: socket.socket | None = transport.get_extra_info("socket")
    if connected is not None and connected.fileno() >= 0:
        # A duplicate, because an event loop may hand out a socket object that hides setsockopt.
        with socket.socket(fileno=os.dup(connected.fileno())) as twin:
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if isinstance(transport, asyncio.Transport):
        transport.abort()
