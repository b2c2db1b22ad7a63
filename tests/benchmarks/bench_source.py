"""The load source: an HTTP/1.1 server in its own process that plays pre-encoded answers at an exact pace.

One thread, epoll, no framework: it must never be what limits a measurement. It sleeps in steps of at most half a
millisecond while streams run, because epoll's own time-out is too coarse for a thousand events a second.

    python bench_source.py     prints its port and serves until standard input closes

The model in the request names the scenario; `bench_streams` says what that is. ``GET /api/v1/seen`` tells how many
requests came and how many artifacts the last one carried.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import re
import select
import socket
import sys
import time
from collections import deque

from bench_streams import STAMP, Answer, Step, answer, catalogue

_STAMP = STAMP.encode()
_MODEL = re.compile(rb'"model":\s*"bench/([a-z-]+)')
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
_NAP = 0.0005


class Client:
    """One connection: what came in, what has still to go out, and the answer that is being played."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.inbox = bytearray()
        self.outbox: deque[memoryview] = deque()
        self.steps: list[tuple[float, bytes, bool]] = []
        self.position = 0
        self.began = 0.0
        self.waiting = False
        self.gone = False


class Source:
    """The server."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._listener.setblocking(False)
        self._poll = select.epoll()
        self._clients: dict[int, Client] = {}
        self._timeline: list[tuple[float, int, Client]] = []
        self._order = itertools.count()
        self._catalogue = catalogue()
        self._rendered: dict[int, list[tuple[float, bytes, bool]]] = {}
        self._requests = 0
        self._artifacts = 0
        self.port = self._listener.getsockname()[1]

    def serve(self) -> None:
        """Serve until standard input closes."""
        self._poll.register(self._listener, select.EPOLLIN)
        self._poll.register(sys.stdin, select.EPOLLIN | select.EPOLLHUP)
        while True:
            now = time.monotonic()
            while self._timeline and self._timeline[0][0] <= now:
                self._play(heapq.heappop(self._timeline)[2], now)
            ready = self._poll.poll(0 if self._timeline else 1.0)
            if not ready and self._timeline:
                time.sleep(max(0.0, min(_NAP, self._timeline[0][0] - time.monotonic())))
            for number, event in ready:
                if number == sys.stdin.fileno():
                    return
                if number == self._listener.fileno():
                    self._accept()
                elif client := self._clients.get(number):
                    self._serve(client, event)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                sock, _ = self._listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._clients[sock.fileno()] = Client(sock)
                self._poll.register(sock, select.EPOLLIN)

    def _serve(self, client: Client, event: int) -> None:
        try:
            if event & select.EPOLLOUT:
                self._send(client)
            if event & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                data = client.sock.recv(1 << 20)
                if not data:
                    self._drop(client)
                    return
                client.inbox += data
                self._requests_of(client)
        except OSError:
            self._drop(client)

    def _drop(self, client: Client) -> None:
        if not client.gone:
            client.gone = True
            del self._clients[client.sock.fileno()]
            self._poll.unregister(client.sock)
            client.sock.close()

    def _requests_of(self, client: Client) -> None:
        end = client.inbox.find(b"\r\n\r\n", 0, 65536)
        if end < 0:
            return
        head = bytes(client.inbox[:end])
        found = re.search(rb"(?i)content-length: *(\d+)", head)
        total = end + 4 + (int(found[1]) if found else 0)
        if len(client.inbox) < total:
            return
        body = bytes(client.inbox[end + 4 : total])
        del client.inbox[:total]
        target = head.split(b" ", 2)[1]
        if b"/models" in target:
            self._whole(client, self._catalogue)
        elif b"/seen" in target:
            self._whole(client, json.dumps({"requests": self._requests, "artifacts": self._artifacts}).encode())
        else:
            self._answer(client, body)

    def _whole(self, client: Client, body: bytes) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        client.outbox.append(memoryview(head.encode() + body))
        self._send(client)

    def _answer(self, client: Client, body: bytes) -> None:
        found = _MODEL.search(body)
        name = found[1].decode() if found else "at-once"
        self._requests += 1
        self._artifacts = body.count(b'"encrypted_content"')
        client.steps = self._render(answer(name, body.count(b'"function_call_output"')))
        client.position = 0
        client.outbox.append(memoryview(_HEAD))
        # Streams that start together do not stay in step: real ones are spread over the period.
        client.began = time.monotonic()
        if client.steps[-1][0] > 1:
            client.began += (next(self._order) * 0.61803 % 1) * 0.05
        self._play(client, time.monotonic())

    def _render(self, wanted: Answer) -> list[tuple[float, bytes, bool]]:
        known = self._rendered.get(id(wanted))
        if known is None:
            known = [(step.at, _chunk(step), step.stamped) for step in wanted.steps]
            if not wanted.hold:
                at, data, stamped = known[-1]
                known[-1] = (at, data + b"0\r\n\r\n", stamped)
            self._rendered[id(wanted)] = known
        return known

    def _play(self, client: Client, now: float) -> None:
        if client.gone:
            return
        steps, position, began = client.steps, client.position, client.began
        while position < len(steps) and began + steps[position][0] <= now:
            _, data, stamped = steps[position]
            if stamped:
                data = data.replace(_STAMP, b"%014d" % (time.monotonic_ns() // 1000), 1)
            client.outbox.append(memoryview(data))
            position += 1
        client.position = position
        if position < len(steps):
            heapq.heappush(self._timeline, (began + steps[position][0], next(self._order), client))
        with contextlib.suppress(OSError):
            self._send(client)

    def _send(self, client: Client) -> None:
        outbox = client.outbox
        try:
            while outbox:
                sent = client.sock.send(outbox[0])
                if sent == len(outbox[0]):
                    outbox.popleft()
                else:
                    outbox[0] = outbox[0][sent:]
        except BlockingIOError:
            pass
        except OSError:
            self._drop(client)
            return
        waiting = bool(outbox)
        if waiting != client.waiting:
            client.waiting = waiting
            self._poll.modify(client.sock, select.EPOLLIN | (select.EPOLLOUT if waiting else 0))


def _chunk(step: Step) -> bytes:
    return b"%x\r\n%b\r\n" % (len(step.data), step.data)


def main() -> None:
    """Serve; the port goes to standard output."""
    source = Source()
    print(source.port, flush=True)
    source.serve()


if __name__ == "__main__":
    main()
