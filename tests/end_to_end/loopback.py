"""Small servers on loopback for what a host asks of others: one answer in JSON to whatever is posted.

Not here: the provider (``webui_setup.py``) and object stores (``object_stores.py``).
"""

import contextlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any


def body_of(handler: http.server.BaseHTTPRequestHandler) -> bytes:
    """What was sent along, at once or in chunks."""
    if "chunked" not in handler.headers.get("Transfer-Encoding", ""):
        return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    found = b""
    while size := int(handler.rfile.readline().split(b";")[0], 16):
        found += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return found


@contextlib.contextmanager
def running(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    """A server with this handler; its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name=handler.__name__, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()


@contextlib.contextmanager
def answering(answer: Callable[[bytes], Any]) -> Iterator[str]:
    """A server that answers each POST with ``answer(body)`` as JSON; its address."""

    class Answering(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            reply = json.dumps(answer(body_of(self))).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with running(Answering) as url:
        yield url
