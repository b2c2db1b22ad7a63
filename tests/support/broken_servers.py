"""Servers on loopback that fail in every way a socket, TLS or HTTP can, and that can be healed.

Each behaviour is a coroutine over one connection; `serving` runs one, on plain TCP or TLS.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END: Final = b"0\r\n\r\n"
_MESSAGE: Final = {"type": "message", "id": "msg_1", "role": "assistant", "status": "in_progress", "content": []}


def event(kind: str, **members: Any) -> bytes:
    return b"data: " + json.dumps({"type": kind, **members}).encode() + b"\n\n"


def delta(text: str) -> bytes:
    return event("response.output_text.delta", item_id="msg_1", output_index=0, content_index=0, delta=text)


CREATED: Final = event("response.created", response={"id": "gen-1", "model": "vendor/model"})
BEGUN: Final = CREATED + event("response.output_item.added", output_index=0, item=_MESSAGE) + delta("The beginning")
_WHOLE: Final = {**_MESSAGE, "status": "completed", "content": [{"type": "output_text", "text": "The beginning."}]}
DONE: Final = (
    delta(".")
    + event("response.output_item.done", output_index=0, item=_WHOLE)
    + event("response.completed", response={"id": "gen-1", "status": "completed", "output": [_WHOLE]})
    + b"data: [DONE]\n\n"
)
ENTRY: Final = {
    "id": "vendor/model", "name": "Model", "context_length": 8000, "architecture": {}, "pricing": {},
    "supported_parameters": ["tools"],
}  # fmt: skip


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def answer(status: int, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Reason", f"Content-Length: {len(body)}", "Content-Type: application/json", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def asked(reader: asyncio.StreamReader) -> bytes:
    """Read one whole request; its first line."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
    )
    await reader.readexactly(length)
    return head.split(b"\r\n")[0]


def says(*pieces: bytes) -> Behaviour:
    """Reads a request, says this, closes."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return behave


def status(code: int, message: str, *headers: str, **more: Any) -> Behaviour:
    """The documented error envelope."""
    return says(answer(code, json.dumps({"error": {"code": code, "message": message, **more}}).encode(), *headers))


def resets(*pieces: bytes) -> Behaviour:
    """Says this, then resets the connection."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await says(*pieces)(reader, writer)
        await asyncio.sleep(0.05)
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return behave


def goes_silent(*pieces: bytes) -> Behaviour:
    """Says this and nothing more, for as long as the other side waits."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await says(*pieces)(reader, writer)
        await reader.read()

    return behave


def drips(first: bytes, drop: bytes, seconds: float) -> Behaviour:
    """Says ``first``, then a drop now and then, for ever."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await says(HEAD, first)(reader, writer)
        while not reader.at_eof():
            writer.write(chunk(drop))
            await writer.drain()
            await asyncio.sleep(seconds)

    return behave


async def never_reads(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes the connection and not a byte of the request."""
    writer.transport.pause_reading()
    await asyncio.sleep(3600)


async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Closes at once."""


async def babbles(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers the first bytes, whatever they are, as a web server does that does not understand them."""
    await reader.read(100)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    await writer.drain()


GOOD: Final = says(HEAD + chunk(BEGUN + DONE) + END)


async def good_catalogue(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A healthy provider: a catalogue of one model, and answers."""
    line = await asked(reader)
    listed = answer(200, json.dumps({"data": [ENTRY]}).encode(), "Connection: close")
    writer.write(listed if line.startswith(b"GET") else HEAD + chunk(BEGUN + DONE) + END)
    await writer.drain()


class Server:
    """``behaviour`` may be changed while it runs; ``connections`` counts."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.connections = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self.behaviour(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            with suppress(Exception):
                writer.close()


@asynccontextmanager
async def serving(
    behaviour: Behaviour, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Server]:
    """The server, on a port of its own; its address ends in ``/v1``."""
    server = Server(behaviour)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    port = listener.sockets[0].getsockname()[1]
    server.url = f"{'https' if tls else 'http'}://{host}:{port}/v1"
    try:
        yield server
    finally:
        listener.close()


@asynccontextmanager
async def full_house() -> AsyncIterator[str]:
    """An address whose queue of connections is full: connecting to it takes for ever."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    waiting = []
    for _ in range(4):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(listener.getsockname())
        waiting.append(one)
    await asyncio.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        for one in (*waiting, listener):
            one.close()


def certificate(folder: Path, name: str, *, days: int = 1) -> tuple[ssl.SSLContext, Path]:
    """A server's context with a certificate that it signed itself for ``name``, and the file to trust it by."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    alternative: x509.GeneralName = x509.DNSName(name)
    with suppress(ValueError):
        alternative = x509.IPAddress(ip_address(name))
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=10))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret = folder / "key.pem"
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, secret)
    return context, path
