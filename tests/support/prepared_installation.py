"""An installation with something in it for every subcommand: rows, archives, costs, metrics, and a provider on loopback.

Lives here: preparing it. Not here: any expectation.
"""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import sys
import threading
from datetime import datetime
from pathlib import Path

import pytest

from openrouter_pipe.adapters.filesystem import archives
from openrouter_pipe.adapters.redis import RedisCostSink, RedisLink, connect
from openrouter_pipe.adapters.simulator.app import create_app
from openrouter_pipe.adapters.simulator.config import Knobs, SimulatorConfig
from openrouter_pipe.adapters.simulator.server import SimulatorServer
from openrouter_pipe.adapters.sql import SqlArtifactStore
from openrouter_pipe.composition import bundle
from openrouter_pipe.ports.artifacts import Artifact, StorePolicy
from openrouter_pipe.ports.chat import Failed
from openrouter_pipe.ports.session_log import ArchivePolicy, LogEntry, SessionLog
from openrouter_pipe.ports.settings import Secret
from openrouter_pipe.ports.telemetry import CostSnapshot
from redis_server import RedisServer
from remembering import LOOP, Remembering

ROOT = Path(__file__).parents[2]
PASSWORD = "zip password of the archives"
OLD_KEY, NEW_KEY = "an artifact key that was", "an artifact key that is"
BUNDLE = Path("dist/openrouter_pipe.py")


class Provider:
    """An OpenRouter on loopback whose models call the first tool that they are offered; a thread serves it."""

    def __init__(self) -> None:
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._ready, self._stop = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()))
        self._thread.start()
        assert self._ready.wait(20)

    async def _serve(self) -> None:
        async with SimulatorServer(create_app(SimulatorConfig(knobs=Knobs(scenario="tool-loop")))) as server:
            self.url = server.url
            self._ready.set()
            await self._stop.wait()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        self._loop.close()


class Installation:
    """What the commands find: a folder, and the environment that points into it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.redis = RedisServer()
        self.provider = Provider()
        self.error_id = ""
        for name in ("data", "older", "metrics", "other", "dist"):
            (root / name).mkdir()
        (root / "password.txt").write_text(PASSWORD + "\n")
        (root / "metrics" / "openrouter_pipe-openrouter-1.prom").write_text("openrouter_pipe_turns_running 0\n")
        shutil.copytree(ROOT / "docs", root / "docs")
        if not (ROOT / BUNDLE).is_file():  # `make test` makes it first
            assert bundle.main(["--output", str(ROOT / BUNDLE)]) == 0
        for place in ("dist", "other"):
            shutil.copy(ROOT / BUNDLE, root / place)
        asyncio.run(self._fill())
        self._earlier_answers()

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root),
            "OPENROUTER_API_KEY": "sk-or-v1-0123456789abcdef0123456789abcdef",
            "OPENROUTER_API_BASE_URL": self.provider.url,
            "WEBUI_SECRET_KEY": "kJ8s-a-host-key-5fQ2vXc7",
            "DATA_DIR": "data",
            "REDIS_URL": self.redis.url,
            "OPENROUTER_PIPE_METRICS_DIR": "metrics",
            "ARTIFACT_ENCRYPTION_KEY": NEW_KEY,
            "ARTIFACT_ENCRYPTION_PREVIOUS_KEYS": OLD_KEY,
            "SESSION_LOG_STORE_ENABLED": "true",
            "SESSION_LOG_DIR": "session_logs",
            "SESSION_LOG_ZIP_PASSWORD": PASSWORD,
            "COLUMNS": "120",
        }

    def enter_copy(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Work in a copy at ``folder``, which commands may change, with this environment and nothing typed."""
        shutil.copytree(self.root, folder, symlinks=True)
        monkeypatch.chdir(folder)
        environment = self.environment  # read before it is cleared: PATH stays
        for name in os.environ:
            if not name.startswith("PYTEST_"):
                monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "stdin", io.StringIO(""))

    async def _fill(self) -> None:
        data = {"DATA_DIR": str(self.root / "data")}
        chosen = {
            "SESSION_LOG_STORE_ENABLED": True,
            "SESSION_LOG_DIR": str(self.root / "session_logs"),
            "SESSION_LOG_ZIP_PASSWORD": PASSWORD,
        }
        async with Remembering(data) as pipe:
            await pipe.ask(LOOP + "Look.", **chosen)
            await pipe.ask("[[sim: scenario=plain]] And now?", **chosen)
            failed = (await pipe.ask("Hi", model="no/such-model", **chosen))[-1]
            await pipe.container.session_logs().aclose()
        assert isinstance(failed, Failed)
        self.error_id = failed.error_id
        store = SqlArtifactStore({"DATA_DIR": str(self.root / "older")})
        rows = [Artifact(f"{number:020d}", "chat-1", "m1", "a/b", "reasoning", {"n": number}) for number in range(20)]
        await store.save(rows, StorePolicy("openrouter", Secret(OLD_KEY)))
        await store.aclose()
        sink = RedisCostSink(RedisLink(lambda: connect({"REDIS_URL": self.redis.url})), "openrouter")
        usage = {"input_tokens": 10, "output_tokens": 2, "cost": 0.25}
        await sink.record("u", CostSnapshot("u", "a@example.org", "Ada", "openai/gpt-5", usage, 1_700_000_000), 900)
        await sink.aclose()

    def _earlier_answers(self) -> None:
        """The first message is answered twice more, as by regenerating: the archive holds records 1 and 2 beside the newest."""
        path = self.root / "session_logs" / "u" / "chat-1" / "m1.zip"
        lines = [dict(one) for one in archives.entries_of(archives.read(path, Secret(PASSWORD))["logs.jsonl"])]
        names = ("user_id", "session_id", "chat_id", "message_id", "request_id")
        ids = {name: lines[0][name] for name in names}
        entries = [
            LogEntry(**{"exception": "", **one, "ts": datetime.fromisoformat(one["ts"]).timestamp()}) for one in lines
        ]
        policy = ArchivePolicy(str(self.root / "session_logs"), Secret(PASSWORD))
        for _ in range(2):
            archives.write(SessionLog(**ids, created_at=0.0, entries=lambda: entries), policy)

    def close(self) -> None:
        self.provider.close()
        self.redis.remove()
