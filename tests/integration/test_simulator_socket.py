"""The simulator on a real socket: streaming, faults that a network makes, disconnects, clean shutdown."""

import asyncio
import logging
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from openrouter_pipe.adapters.simulator.app import Simulator, create_app
from openrouter_pipe.adapters.simulator.server import SimulatorServer, serve

KEY = {"authorization": "Bearer sk-or-test"}


@pytest.fixture
async def server() -> AsyncIterator[SimulatorServer]:
    async with serve(create_app()) as running:
        yield running


@pytest.fixture
async def client(server: SimulatorServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, headers=KEY, trust_env=False) as opened:
        yield opened


def body_of(text: str, model: str = "sim/plain") -> dict[str, Any]:
    return {"model": model, "input": text, "stream": True}


async def collect(client: httpx.AsyncClient, body: Any, into: bytearray) -> None:
    async with client.stream("POST", "/responses", json=body) as reply:
        async for piece in reply.aiter_bytes():
            into += piece


async def read_all(reader: asyncio.StreamReader, into: bytearray) -> None:
    while piece := await reader.read(65536):
        into += piece


async def settled(app: Simulator) -> None:
    async with asyncio.timeout(5):
        while app.open_streams:
            await asyncio.sleep(0.001)


async def test_both_endpoints_answer(server: SimulatorServer, client: httpx.AsyncClient) -> None:
    assert server.url == f"http://127.0.0.1:{server.port}/api/v1"
    reply = await client.post("/responses", json=body_of("hi", "sim/echo"))
    assert '"text":"hi (turn 1)"' in reply.text
    chat = {"model": "sim/echo", "messages": [{"role": "user", "content": "hi"}]}
    whole = await client.post("/chat/completions", json=chat)
    assert whole.json()["choices"][0]["message"]["content"] == "hi (turn 1)"
    assert (await client.get("/models")).json()["total_count"] >= 300
    assert [request.aborted for request in server.app.requests] == [False] * 3


async def test_a_reset_before_the_headers(server: SimulatorServer, client: httpx.AsyncClient) -> None:
    with pytest.raises(httpx.ReadError):
        await client.post("/responses", json=body_of("[[sim: fault=reset; times=1]]"))
    assert (await client.post("/responses", json=body_of("[[sim: fault=reset; times=1]]"))).status_code == 200
    assert [request.aborted for request in server.app.requests] == [True, False]


async def test_a_reset_is_a_real_one(server: SimulatorServer) -> None:
    """A raw socket sees the events that were sent, then ECONNRESET, and no orderly end."""
    payload = b'{"model":"sim/plain","input":"[[sim: fault=reset; after=3]]","stream":true}'
    head = f"POST /api/v1/responses HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\ncontent-length: {len(payload)}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(head.encode() + payload)
    seen = bytearray()
    with pytest.raises(ConnectionResetError):
        await read_all(reader, seen)
    assert seen.count(b"data: ") == 3
    writer.close()


async def test_a_reset_after_k_events(server: SimulatorServer, client: httpx.AsyncClient) -> None:
    seen = bytearray()
    with pytest.raises(httpx.ReadError):
        await collect(client, body_of("[[sim: fault=reset; after=4]]"), seen)
    assert seen.count(b"data: ") == 4
    await settled(server.app)
    assert server.app.requests[0].aborted


async def test_silence_lasts_until_the_client_leaves(server: SimulatorServer, client: httpx.AsyncClient) -> None:
    with pytest.raises(httpx.ReadTimeout):
        await client.post("/responses", json=body_of("[[sim: fault=silence; after=2]]"), timeout=0.05)
    await settled(server.app)
    assert server.app.requests[0].aborted
    assert server.app.requests[0].finished


async def test_a_truncated_and_a_garbled_stream_arrive_as_sent(client: httpx.AsyncClient) -> None:
    cut = await client.post("/responses", json=body_of("[[sim: fault=truncate; after=3; chunk=5]]"))
    assert cut.text.count("data: ") == 3
    assert "[DONE]" not in cut.text
    garbled = await client.post("/responses", json=body_of("[[sim: fault=garbage; after=3; crlf=on]]"))
    assert b"\xff\xfe" in garbled.content
    assert garbled.content.endswith(b"data: [DONE]\r\n\r\n")


@pytest.mark.parametrize("status", [425, 429, 524, 529])
async def test_unusual_status_codes(client: httpx.AsyncClient, status: int) -> None:
    reply = await client.post("/responses", json=body_of("x"), headers={"x-simulator-status": str(status)})
    assert reply.status_code == status


async def test_events_arrive_as_they_are_made(client: httpx.AsyncClient) -> None:
    started = time.monotonic()
    async with client.stream("POST", "/responses", json=body_of("[[sim: speed=100]]")) as reply:
        lines = reply.aiter_lines()
        arrivals = [time.monotonic() - started async for line in lines if line.startswith("data: {")]
    assert arrivals[-1] - arrivals[0] > 0.05


async def test_a_client_that_leaves_stops_the_answer(server: SimulatorServer, client: httpx.AsyncClient) -> None:
    async with client.stream("POST", "/responses", json=body_of("[[sim: speed=5; scenario=long]]")) as reply:
        await anext(reply.aiter_bytes())
        assert server.app.open_streams == 1
    await settled(server.app)
    assert server.app.requests[0].aborted


async def test_control_from_another_client(server: SimulatorServer, client: httpx.AsyncClient) -> None:
    fault = {"status": 503, "retry_after": 1}
    assert (await client.post(f"{server.origin}/simulator/faults", json=fault)).status_code == 200
    reply = await client.post("/responses", json=body_of("x"))
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
    told = (await client.get(f"{server.origin}/simulator/requests")).json()
    assert (told["total"], told["open"], told["requests"][0]["body"]["input"]) == (1, 0, "x")


async def test_stopping_ends_open_streams_frees_the_port_and_leaves_the_process_alone() -> None:
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    levels = logging.getLogger("uvicorn").level, logging.getLogger("uvicorn.access").propagate
    tasks = asyncio.all_tasks()
    server = SimulatorServer(create_app())
    await server.start()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    async with httpx.AsyncClient(headers=KEY, trust_env=False) as client:
        call = asyncio.create_task(
            client.post(f"{server.url}/responses", json=body_of("[[sim: fault=silence; after=1]]"))
        )
        while not server.app.open_streams:
            await asyncio.sleep(0.001)
        started = time.monotonic()
        await server.stop()
        assert time.monotonic() - started < 1.5
        with pytest.raises(httpx.HTTPError):
            await call
    await server.stop()
    assert asyncio.all_tasks() == tasks
    assert (logging.getLogger("uvicorn").level, logging.getLogger("uvicorn.access").propagate) == levels
    with socket.create_server(("127.0.0.1", server.port)):
        pass


async def test_a_taken_port_is_an_error(server: SimulatorServer) -> None:
    with pytest.raises(OSError, match="in use"):
        await SimulatorServer(create_app(), port=server.port).start()


async def test_the_command_serves_until_it_is_told_to_stop() -> None:
    code = (
        "from openrouter_pipe.adapters.simulator.server import serve_forever\n"
        "raise SystemExit(serve_forever('127.0.0.1', 0, announce=lambda line: print(line, flush=True)))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    async with asyncio.timeout(20):
        line = (await process.stdout.readline()).decode()
        url = next(word for word in line.split() if word.startswith("http"))
        async with httpx.AsyncClient(headers=KEY, trust_env=False) as client:
            assert (await client.get(f"{url}/models/count")).json()["data"]["count"] >= 300
        process.terminate()
        assert await process.wait() == 0
