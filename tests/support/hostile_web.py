"""A web server and a name service that misbehave as told, on the loopback interface, and a witness of every connection.

Lives here: doubles. Not here: any expectation, except that a connection without a judgement is an error in every test.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
import ipaddress
import socket
import ssl
import struct
import sys
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from attrs import define

from openrouter_pipe.adapters.web.fetcher import GuardedFetcher
from openrouter_pipe.adapters.web.resolver import LookupFailedError
from openrouter_pipe.domain.media.addresses import OutboundGuard
from openrouter_pipe.ports.files import FetchPolicy, FileAccessError, FileBytes, WebTarget

LOOPBACK = "127.0.0.1"


@define
class Asked:
    """One request as the server saw it."""

    line: str
    headers: dict[str, str]


Script = Callable[[asyncio.StreamWriter, Asked], Awaitable[None]]


class HostileServer:
    """Answers each path with the scripts queued for it; the last one stays."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[Asked] = []
        self.sent = 0
        self.cut = 0
        self.names: list[str | None] = []
        self._scripts: dict[str, list[Script]] = {}
        self._tls = tls
        self._running: set[asyncio.Task[None]] = set()

    def on(self, path: str, *scripts: Script) -> None:
        self._scripts[path] = list(scripts)

    async def start(self) -> None:
        if self._tls is not None:
            self._tls.sni_callback = lambda _socket, name, _context: self.names.append(name)
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            pairs = (line.partition(":") for line in head[1:] if line)
            asked = Asked(head[0], {name.lower(): value.strip() for name, _, value in pairs})
            self.asked.append(asked)
            scripts = self._scripts[asked.line.split(" ")[1].partition("?")[0]]
            script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
            await script(writer, asked)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            self.cut += 1
        finally:
            self._running.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError):
                await writer.wait_closed()

    def raw(self, *pieces: bytes, every: float = 0.0) -> Script:
        """These bytes, one piece after another."""

        async def script(writer: asyncio.StreamWriter, _: Asked) -> None:
            for piece in pieces:
                await self._write(writer, piece)
                await asyncio.sleep(every)

        return script

    def file(self, body: bytes = b"hello", status: str = "200 OK", **headers: str) -> Script:
        """A whole answer; underscores in header names are hyphens. Names in capitals replace Content-Length."""
        told = {"Content-Length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}
        head = "".join(f"{name}: {value}\r\n" for name, value in told.items() if value)
        return self.raw(f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1") + body)

    def redirect(self, location: str, status: str = "302 Found") -> Script:
        return self.file(b"", status, Location=location)

    def forever(self, head: bytes, piece: bytes, every: float = 0.0, total: int = 2**30) -> Script:
        """A head and then one piece again and again, 1 GiB unless told otherwise."""

        async def script(writer: asyncio.StreamWriter, _: Asked) -> None:
            await self._write(writer, head)
            while self.sent < total:
                await self._write(writer, piece)
                await asyncio.sleep(every)

        return script

    def silent(self) -> Script:
        async def script(writer: asyncio.StreamWriter, _: Asked) -> None:
            await asyncio.sleep(600)

        return script

    def reset(self, head: bytes = b"") -> Script:
        async def script(writer: asyncio.StreamWriter, _: Asked) -> None:
            await self._write(writer, head)
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

        return script

    async def _write(self, writer: asyncio.StreamWriter, piece: bytes) -> None:
        writer.write(piece)
        await writer.drain()
        self.sent += len(piece)


class FickleNames:
    """A name service: each name has a list of answers, the last one stays. An answer may be an error, or None for silence."""

    def __init__(self) -> None:
        self.names: dict[str, list[tuple[str, ...] | LookupFailedError | None]] = {}
        self.looked_up: list[str] = []

    async def addresses(self, host: str, port: int) -> tuple[str, ...]:
        self.looked_up.append(host)
        answers = self.names.get(host) or [LookupFailedError("unknown", permanent=True)]
        match answers.pop(0) if len(answers) > 1 else answers[0]:
            case None:
                await asyncio.sleep(600)
                raise AssertionError("waited for a name service that never answers")
            case LookupFailedError() as error:
                raise error
            case found:
                return found


class WatchedGuard:
    """The product's guard, for which one loopback address counts as the public internet. Notes what it judged."""

    def __init__(self, *public: str) -> None:
        self.public = {LOOPBACK, *public}
        self.judged: list[tuple[str, bool]] = []
        self._guard = OutboundGuard()

    def target(self, url: str, policy: FetchPolicy) -> WebTarget:
        return self._guard.target(url, policy)

    def admits(self, address: str, policy: FetchPolicy) -> bool:
        told = address in self.public or self._guard.admits(address, policy)
        self.judged.append((address, told))
        return told


class InstantClock:
    """Sleeps pass at once and are noted."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.time = datetime.datetime(2026, 11, 22, 12, 0, 0, tzinfo=datetime.UTC)

    def now(self) -> datetime.datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += datetime.timedelta(seconds=seconds)
        await asyncio.sleep(0)


class Witness:
    """Sees every connection and every lookup of the process at the interpreter itself, whoever makes them."""

    def __init__(self) -> None:
        self.connected: list[str] = []
        self.looked_up: list[str] = []
        self.watching = False
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.watching:
            return
        if event == "socket.connect":
            self.connected.append(arguments[1][0])
        elif event == "socket.getaddrinfo":
            self.looked_up.append(str(arguments[0]))


WITNESS = Witness()

POLICY = FetchPolicy(
    1_000_000,
    insecure_hosts=frozenset({"files.example", "other.example"}),
    answer_time=0.4,
    lookup_time=0.2,
    connect_time=1.0,
)


@define
class Web:
    """A server, its names and a fetcher that knows no others."""

    server: HostileServer
    names: FickleNames
    guard: WatchedGuard
    clock: InstantClock
    fetcher: GuardedFetcher
    tls: bool = False
    policy: FetchPolicy = POLICY

    def url(self, path: str = "/f", host: str = "files.example") -> str:
        return f"http{'s' if self.tls else ''}://{host}:{self.server.port}{path}"

    async def fetch(self, url: str = "", policy: FetchPolicy | None = None) -> FileBytes:
        """One call, after which nothing may have been connected to that was not judged in it."""
        self.guard.judged.clear()
        WITNESS.connected.clear()
        WITNESS.looked_up.clear()
        WITNESS.watching = True
        try:
            return await self.fetcher.fetch(url or self.url(), policy or self.policy)
        finally:
            WITNESS.watching = False
            assert set(WITNESS.connected) <= {address for address, told in self.guard.judged if told}
            assert not WITNESS.looked_up, "somebody but the given resolver looked a name up"

    async def refusal(self, url: str = "", policy: FetchPolicy | None = None) -> str:
        """The reason, which shows nothing that a user should not see."""
        with pytest.raises(FileAccessError) as refused:
            await self.fetch(url, policy)
        said = str(refused.value)
        assert not [part for part in (LOOPBACK, "10.0.0.", "secret") if part in said]
        assert len(said) < 160
        assert refused.value.__cause__ is None
        return said


ordinary_trust = functools.cache(httpx.create_ssl_context)


@asynccontextmanager
async def hostile_web(tls: ssl.SSLContext | None = None, trusted: ssl.SSLContext | None = None):
    """A `Web`; with ``tls`` the server speaks it, and the fetcher trusts what ``trusted`` does."""
    server, names, guard, clock = HostileServer(tls), FickleNames(), WatchedGuard(), InstantClock()
    await server.start()
    names.names = {"files.example": [(LOOPBACK,)], "other.example": [(LOOPBACK,)], "near.example": [("10.0.0.5",)]}

    web = Web(
        server,
        names,
        guard,
        clock,
        GuardedFetcher(guard, clock, names, trust=lambda: trusted or ordinary_trust()),
        tls is not None,
    )
    try:
        yield web
    finally:
        await web.fetcher.aclose()
        await server.stop()


def certificates(folder: Path, *names: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's side with a certificate for these names, and a client's that trusts its authority."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    def built(subject: str, issuer: str, key, signer, extensions):
        now = datetime.datetime.now(datetime.UTC)
        draft = x509.CertificateBuilder(
            issuer_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]),
            subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]),
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - datetime.timedelta(days=1),
            not_valid_after=now + datetime.timedelta(days=1),
        )
        for extension, critical in extensions:
            draft = draft.add_extension(extension, critical=critical)
        return draft.sign(signer, hashes.SHA256())

    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = built(
        "test authority", "test authority", authority_key, authority_key, [(x509.BasicConstraints(True, 0), True)]
    )
    spelled = [
        x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name) for name in names
    ]
    own = built(names[0], "test authority", key, authority_key, [(x509.SubjectAlternativeName(spelled), False)])
    pem = folder / f"{names[0]}.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + own.public_bytes(serialization.Encoding.PEM)
    )
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(pem)
    trusting = ssl.create_default_context(cadata=authority.public_bytes(serialization.Encoding.PEM).decode())
    return serving, trusting
