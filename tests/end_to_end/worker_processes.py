"""The worker processes of a server with UVICORN_WORKERS above 1, and tabs that choose which of them takes a request.

Here: who holds which connection, read from ``/proc`` (Linux only). Not here: assertions.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import httpx
from tool_servers import ToolTab
from webui_host import HostError, WebUIHost


def children(pid: int) -> list[int]:
    """The processes that ``pid`` started and that are alive."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(one) for one in found]


def workers(host: WebUIHost) -> list[int]:
    """The processes that serve requests; the supervisor and its resource tracker are none."""
    return [one for one in children(host.pid) if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()]


def holder(host: WebUIHost, client_port: int) -> int | None:
    """The worker that accepted the connection from ``client_port``; None while nobody has."""
    ends = [f"{port:04X}" for port in (host.port, client_port)]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if [one.rpartition(":")[2] for one in fields[1:3]] == ends and (inode := fields[9]) != "0":
            return next((pid for pid in workers(host) if _holds(pid, f"socket:[{inode}]")), None)
    return None


def _holds(pid: int, socket: str) -> bool:
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if str(descriptor.readlink()) == socket:
                return True
    return False


class ChoosyTab(ToolTab):
    """A tab whose next requests go to one worker."""

    async def choose(self, pid: int) -> Self:
        """Connect anew while only ``pid`` can accept; the connection lives as long as it is used every 5 s."""
        headers = self._http.headers
        await self._http.aclose()
        limits = httpx.Limits(max_connections=1)
        self._http = httpx.AsyncClient(
            base_url=self.host.url, headers=headers, timeout=20, trust_env=False, limits=limits
        )
        with _frozen([one for one in workers(self.host) if one != pid]):
            reply = await self._http.get("/health")
        _, port = reply.extensions["network_stream"].get_extra_info("client_addr")[:2]
        if holder(self.host, port) != pid:
            raise HostError(f"worker {pid} has not accepted the connection")
        return self


@contextlib.contextmanager
def _frozen(pids: list[int]) -> Iterator[None]:
    """An idle server's connections all go to the same worker, unless it cannot take them."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
