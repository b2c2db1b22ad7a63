"""A real Open WebUI server as a test object: start, stop, administer, and talk to it over its REST interface.

Here: the server process and the requests an administrator or an API client makes. Not here: what a browser tab does
over socket.io (``webui_tab.py``) and how the environments are made (``venvs.py``).

The server runs headless and offline on a loopback port; nothing it does needs the network beyond the pipe's provider.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import venvs

ADMIN_NAME = "Admin"
ADMIN_EMAIL = "admin@example.com"
ADMIN_PASSWORD = "openrouter-pipe"

# Open WebUI reads its whole configuration from the environment; what the caller's shell happens to hold must not leak in.
_FOREIGN_PREFIXES = (
    "OPENROUTER",
    "OPENAI",
    "WEBUI",
    "WEBSOCKET",
    "DATABASE",
    "REDIS",
    "ENABLE_",
    "RAG_",
    "UVICORN",
    "PYTHON",
)

_ENVIRONMENT = {
    "ANONYMIZED_TELEMETRY": "false",
    "BYPASS_EMBEDDING_AND_RETRIEVAL": "true",
    "CORS_ALLOW_ORIGIN": "*",
    "DO_NOT_TRACK": "true",
    "ENABLE_EVALUATION_ARENA_MODELS": "false",
    "ENABLE_OLLAMA_API": "false",
    "ENABLE_OPENAI_API": "false",
    "ENABLE_VERSION_UPDATE_CHECK": "false",
    "OFFLINE_MODE": "true",
    "RAG_EMBEDDING_ENGINE": "openai",
    "SCARF_NO_ANALYTICS": "true",
}


class HostError(Exception):
    """The server did not come up, or refused what a test needed of it."""


@dataclass(frozen=True)
class Profile:
    """What differs between the versions as seen from outside."""

    version: str
    ready_path: str
    event_name: str  # socket.io event that carries chat events to the browser
    server_keeps_history: bool  # the server writes the whole turn; before, the browser posted its copy of the chat


PROFILES = {
    "0.12.4": Profile("0.12.4", "/ready", "events", server_keeps_history=True),
    "0.6.28": Profile("0.6.28", "/health", "chat-events", server_keeps_history=False),
}


@dataclass(frozen=True)
class Census:
    """How much a server process holds: threads, open sockets, other file descriptors and resident memory in MiB."""

    threads: int
    sockets: int
    files: int
    rss_mib: int


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class WebUIHost:
    """One Open WebUI server of ``version`` over ``data_dir``; a context manager, also restartable in place.

    ``environment`` overrides or adds settings of the server. The administrator is signed up at the first start.
    """

    def __init__(
        self, version: str, data_dir: Path, *, port: int = 0, environment: Mapping[str, str] | None = None
    ) -> None:
        self.profile = PROFILES[version]
        self.version = version
        self.data_dir = data_dir
        self.log_path = data_dir / "server.log"
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.token = ""
        self._overrides = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self.http = httpx.Client(base_url=self.url, timeout=60, trust_env=False)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.http.close()

    # --- process ---------------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        if self._process is None:
            raise HostError("the server is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the server process is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self, timeout: float = 120) -> Self:
        """Starts the server, waits until it is ready and signs the administrator in."""
        venv = venvs.venv_path(self.version)
        program = venv / "bin" / "open-webui"
        if not program.exists():
            raise HostError(f"{venv} is missing: run `python tests/end_to_end/venvs.py {self.version}`")
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [str(venvs.venv_python(venv)), str(program), "serve", "--host", "127.0.0.1", "--port", str(self.port)],
                cwd=self.data_dir,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal reaches us alone; we then stop the server in order
            )
        try:
            self._wait_ready(timeout)
            self._sign_in()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self, timeout: float = 15) -> None:
        """Stops the server: SIGTERM, and SIGKILL if it does not end in ``timeout`` seconds."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def restart(self) -> Self:
        """Stops and starts the server over the same data, on the same port."""
        self.stop()
        return self.start()

    def log_text(self, since: int = 0) -> str:
        """The server's log from byte ``since`` on."""
        with self.log_path.open("rb") as log:
            log.seek(since)
            return log.read().decode(errors="replace")

    def log_size(self) -> int:
        """Length of the log in bytes, to be given to ``log_text`` later."""
        return self.log_path.stat().st_size

    def census(self) -> Census:
        """Counts what the server process holds, read from ``/proc`` (Linux only)."""
        proc = Path("/proc") / str(self.pid)
        status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines() if ":" in line)
        targets = []
        for descriptor in (proc / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                targets.append(str(descriptor.readlink()))
        sockets = sum(target.startswith("socket:") for target in targets)
        rss = int(status["VmRSS"].split()[0]) // 1024
        return Census(int(status["Threads"]), sockets, len(targets) - sockets, rss)

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN_PREFIXES)}
        own = {"DATA_DIR": str(self.data_dir.resolve()), "WEBUI_SECRET_KEY": "end-to-end-secret", "WEBUI_URL": self.url}
        return {**inherited, **_ENVIRONMENT, **own, **self._overrides}

    def _wait_ready(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self._process is not None and (code := self._process.poll()) is not None:
                raise HostError(f"Open WebUI {self.version} ended with code {code} while starting; {self._log_tail()}")
            with contextlib.suppress(httpx.TransportError):
                if self.http.get(self.profile.ready_path, timeout=2).status_code == 200:
                    return
            time.sleep(0.1)
        raise HostError(f"Open WebUI {self.version} was not ready after {timeout:.0f} s; {self._log_tail()}")

    def _log_tail(self) -> str:
        return f"log {self.log_path}:\n" + "\n".join(self.log_text().splitlines()[-25:])

    # --- people ----------------------------------------------------------------------------------------------------

    def _sign_in(self) -> None:
        who = {"name": ADMIN_NAME, "email": ADMIN_EMAIL, "password": ADMIN_PASSWORD}
        reply = self.http.post("/api/v1/auths/signup", json=who)
        if reply.status_code != 200:
            # The data directory is from an earlier start and knows the administrator.
            reply = self.http.post("/api/v1/auths/signin", json=who)
        if reply.status_code != 200:
            raise HostError(f"cannot sign in as {ADMIN_EMAIL}: HTTP {reply.status_code} {reply.text[:200]}")
        self.token = reply.json()["token"]

    def add_user(self, name: str, *, role: str = "user") -> str:
        """Adds a person with e-mail ``<name>@example.com`` and the administrator's password; returns their token."""
        who = {"name": name, "email": f"{name}@example.com", "password": ADMIN_PASSWORD}
        return str(self.post("/api/v1/auths/add", {**who, "role": role})["token"])

    # --- functions -------------------------------------------------------------------------------------------------

    def request(self, method: str, path: str, *, token: str | None = None, **extra: Any) -> httpx.Response:
        """One REST request in the name of the administrator or the owner of ``token``, whatever its status."""
        return self.http.request(method, path, headers={"Authorization": f"Bearer {token or self.token}"}, **extra)

    def get(self, path: str, *, token: str | None = None) -> Any:
        """Decoded JSON of a GET that must succeed."""
        return self._checked(self.request("GET", path, token=token))

    def post(self, path: str, body: Any = None, *, token: str | None = None) -> Any:
        """Decoded JSON of a POST that must succeed."""
        return self._checked(self.request("POST", path, json=body, token=token))

    def _checked(self, reply: httpx.Response) -> Any:
        if reply.status_code != 200:
            request = reply.request
            raise HostError(f"{request.method} {request.url.path}: HTTP {reply.status_code} {reply.text[:500]}")
        return reply.json()

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`openrouter-pipe` as an operator runs it: with the server's Python, in its environment."""
        main = "import sys; from openrouter_pipe.composition.cli import main; sys.exit(main())"
        return subprocess.run(
            [str(venvs.venv_python(venvs.venv_path(self.version))), "-c", main, *words],
            env={**self._environment(), "PYTHONPATH": str(venvs.ROOT / ".typing"), "COLUMNS": "200"},
            cwd=self.data_dir,
            capture_output=True,
            text=True,
            check=False,
        )

    def create_function(self, function_id: str, content: str, *, name: str | None = None) -> dict[str, Any]:
        """Uploads a new function, switched off as Open WebUI leaves it."""
        return dict(self.post("/api/v1/functions/create", self._function_form(function_id, content, name)))

    def update_function(self, function_id: str, content: str, *, name: str | None = None) -> dict[str, Any]:
        """Replaces the source of a function; the server loads it anew on its next use."""
        form = self._function_form(function_id, content, name)
        return dict(self.post(f"/api/v1/functions/id/{function_id}/update", form))

    def switch_function(self, function_id: str, *, on: bool) -> None:
        """Switches a function on or off."""
        if bool(self.get(f"/api/v1/functions/id/{function_id}")["is_active"]) != on:
            self.post(f"/api/v1/functions/id/{function_id}/toggle")

    def install_function(self, function_id: str, content: str, *, name: str | None = None) -> None:
        """Creates or updates a function and switches it on."""
        known = {entry["id"] for entry in self.get("/api/v1/functions/")}
        (self.update_function if function_id in known else self.create_function)(function_id, content, name=name)
        self.switch_function(function_id, on=True)

    def delete_function(self, function_id: str) -> None:
        """Removes a function."""
        self._checked(self.request("DELETE", f"/api/v1/functions/id/{function_id}/delete"))

    def set_valves(self, function_id: str, valves: Mapping[str, Any]) -> dict[str, Any]:
        """Stores valves (the whole set, not a change to it)."""
        return dict(self.post(f"/api/v1/functions/id/{function_id}/valves/update", dict(valves)) or {})

    def set_user_valves(
        self, function_id: str, valves: Mapping[str, Any], *, token: str | None = None
    ) -> dict[str, Any]:
        """Stores the user valves of the administrator or of the owner of ``token``."""
        return dict(
            self.post(f"/api/v1/functions/id/{function_id}/valves/user/update", dict(valves), token=token) or {}
        )

    @staticmethod
    def _function_form(function_id: str, content: str, name: str | None) -> dict[str, Any]:
        meta = {"description": "installed by the end-to-end tests", "manifest": {}}
        return {"id": function_id, "name": name or function_id, "content": content, "meta": meta}

    # --- models and chats ------------------------------------------------------------------------------------------

    def models(self, *, token: str | None = None) -> list[dict[str, Any]]:
        """The models offered, as the browser lists them; also makes new ones known to the chat endpoint."""
        return list(self.get("/api/models", token=token)["data"])

    def model_ids(self, *, token: str | None = None) -> list[str]:
        """Ids of ``models()``."""
        return [str(model["id"]) for model in self.models(token=token)]

    def complete(self, model: str, messages: Any, **extra: Any) -> httpx.Response:
        """A plain API completion, not streamed, whatever its status."""
        return self.request("POST", "/api/chat/completions", json={"model": model, "messages": messages, **extra})

    @contextlib.contextmanager
    def stream(self, model: str, messages: Any, **extra: Any) -> Iterator[httpx.Response]:
        """A plain API completion, streamed; leaving the context early disconnects the client."""
        body = {"model": model, "messages": messages, "stream": True, **extra}
        headers = {"Authorization": f"Bearer {self.token}"}
        with self.http.stream("POST", "/api/chat/completions", json=body, headers=headers) as reply:
            yield reply

    def stream_data(self, model: str, messages: Any, **extra: Any) -> list[str]:
        """The payloads of all `data:` lines of a streamed completion that must be accepted."""
        with self.stream(model, messages, **extra) as reply:
            if reply.status_code != 200:
                raise HostError(f"HTTP {reply.status_code} {reply.read().decode(errors='replace')[:500]}")
            return [line[5:].strip() for line in reply.iter_lines() if line.startswith("data:")]

    def chat(self, chat_id: str, *, token: str | None = None) -> dict[str, Any]:
        """A stored chat."""
        return dict(self.get(f"/api/v1/chats/{chat_id}", token=token))

    def chat_message(self, chat_id: str, message_id: str, *, token: str | None = None) -> dict[str, Any]:
        """One stored message of a chat."""
        return dict(self.chat(chat_id, token=token)["chat"]["history"]["messages"][message_id])


def chunks_of(payloads: Sequence[str]) -> list[dict[str, Any]]:
    """The JSON payloads of a stream, without `[DONE]`."""
    return [json.loads(payload) for payload in payloads if payload != "[DONE]"]


def text_of(chunks: Sequence[Mapping[str, Any]], field: str = "content") -> str:
    """The text (or the reasoning, by `field`) that chat-completion chunks add up to."""
    deltas = [choice.get("delta") or {} for chunk in chunks for choice in chunk.get("choices") or ()]
    return "".join(str(delta.get(field) or "") for delta in deltas)
