"""`openrouter-pipe doctor` on prepared installations: a right one, and each thing wrong once, named exactly."""

from __future__ import annotations

import asyncio
import importlib.util
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import httpx
import pytest
from rich.console import Console

from openrouter_pipe.adapters.openrouter import HttpClients
from openrouter_pipe.adapters.openwebui.secret_values import encrypt
from openrouter_pipe.adapters.simulator.app import create_app
from openrouter_pipe.adapters.simulator.config import Knobs, SimulatorConfig
from openrouter_pipe.adapters.simulator.transport import SimulatorTransport
from openrouter_pipe.adapters.sql import SqlArtifactStore
from openrouter_pipe.adapters.sql.table import table_name
from openrouter_pipe.composition.checks.gathering import from_environment
from openrouter_pipe.composition.checks.result import Check, Group, Status, Subject
from openrouter_pipe.composition.checks.workers import PREREQUISITES, missing
from openrouter_pipe.composition.cli import main
from openrouter_pipe.composition.doctor import GROUPS, examine
from openrouter_pipe.composition.doctor_command import DoctorOptions, run_doctor
from openrouter_pipe.composition.policies import store_policy
from openrouter_pipe.composition.redis import plan
from openrouter_pipe.ports.artifacts import Artifact
from openrouter_pipe.ports.settings import Secret, Settings

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))
from disks import fill, mounted
from postgres_server import postgres_url
from redis_server import RedisServer, free_port

ROOT = Path(__file__).parent.parent.parent
ROW = "01ARZ3NDEKTSV4RRFFQ6"
SECRETS = {
    "OPENROUTER_API_KEY": "sk-or-v1-00112233445566778899aabbccddeeff",
    "WEBUI_SECRET_KEY": "kJ8s-planted-webui-key-5fQ2vXc7",
    "ARTIFACT_ENCRYPTION_KEY": "planted artifact key 93hs7Qw",
    "SESSION_LOG_ZIP_PASSWORD": "planted zip password 7fQ",
}


class Dated(httpx.AsyncBaseTransport):
    """The simulator with a Date header, as a server sends it; ``ahead`` is how far its clock is ahead, in seconds."""

    def __init__(self, inner: httpx.AsyncBaseTransport, ahead: float) -> None:
        self._inner = inner
        self._ahead = ahead

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        from email.utils import formatdate

        response = await self._inner.handle_async_request(request)
        response.headers["date"] = formatdate(time.time() + self._ahead, usegmt=True)
        return response


class Installation:
    """One right installation: a database with a row, Redis prerequisites, metrics, session logs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.app = create_app(SimulatorConfig())
        self.ahead = 0.0
        self.options = DoctorOptions(source="environment", as_json=True)
        (root / "data").mkdir()
        sqlite3.connect(root / "data" / "webui.db").close()
        (root / "logs").mkdir(mode=0o700)
        self.environment = {
            **SECRETS,
            "OPENROUTER_API_BASE_URL": "https://user.gateway.test/api/v1",
            "DATA_DIR": str(root / "data"),
            "OPENROUTER_PIPE_METRICS_DIR": str(root / "metrics"),
            "SESSION_LOG_STORE_ENABLED": "true",
            "SESSION_LOG_DIR": str(root / "logs"),
        }
        self.store(SECRETS["ARTIFACT_ENCRYPTION_KEY"])

    @property
    def database(self) -> Path:
        return self.root / "data" / "webui.db"

    def table(self, key: str = SECRETS["ARTIFACT_ENCRYPTION_KEY"]) -> str:
        return table_name("openrouter", key)

    def execute(self, statement: str) -> None:
        connection = sqlite3.connect(self.database)
        with connection:
            connection.execute(statement)
        connection.close()

    def store(self, key: str) -> None:
        """One artifact under a key."""

        async def save() -> None:
            store = SqlArtifactStore(self.environment)
            policy = store_policy(Settings(ARTIFACT_ENCRYPTION_KEY=Secret(key)), "openrouter")
            await store.save([Artifact(ROW, "chat", "message", "model", "reasoning", {"type": "reasoning"})], policy)
            await store.aclose()

        asyncio.run(save())

    def archive(self, age: float = 0.0) -> None:
        folder = self.root / "logs" / "user" / "chat"
        folder.mkdir(parents=True)
        (folder / "message.zip").touch()
        os.utime(folder / "message.zip", (time.time() - age,) * 2)

    def set(self, **settings: str) -> None:
        self.options = DoctorOptions(settings=settings, source="environment", as_json=True)

    def clients(self) -> HttpClients:
        return HttpClients(lambda: Dated(SimulatorTransport(self.app), self.ahead))

    def run(self, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[dict[str, str]]]:
        status = run_doctor(self.options, self.environment, Console(file=io.StringIO()), self.clients)
        output = capsys.readouterr()
        for secret in SECRETS.values():
            assert secret not in output.out + output.err
        return status, json.loads(output.out)["checks"]


def wrong(checks: list[dict[str, str]]) -> dict[str, str]:
    """The names of the checks that are not right, and how."""
    return {one["name"]: one["status"] for one in checks if one["status"] in {"failed", "warning"}}


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


def test_a_right_installation(installation: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    installation.archive()
    status, checks = installation.run(capsys)
    assert (wrong(checks), status) == ({}, 0)
    assert {one["group"] for one in checks} == {group.value for group in Group}
    names = {one["name"]: one["status"] for one in checks}
    for name in ("key accepted", "catalogue", "clock", "database", "table", "rows readable", "directory", "password"):
        assert names[name] == "ok", name
    assert all(one["evidence"] for one in checks)


def _several_workers(it: Installation, **more: str) -> None:
    address = f"redis://127.0.0.1:{free_port()}/0"
    it.environment.update(
        UVICORN_WORKERS="4", REDIS_URL=address, WEBSOCKET_MANAGER="redis", WEBSOCKET_REDIS_URL=address, **more
    )


def _no_database(it: Installation) -> None:
    it.database.unlink()


def _damaged_database(it: Installation) -> None:
    it.database.write_bytes(b"not a database at all, certainly not" * 300)


def _other_key(it: Installation) -> None:
    """The row is sealed with another key than its table's."""
    it.store("some other key")
    it.execute(f"DELETE FROM {it.table()}")
    it.execute(f"INSERT INTO {it.table()} SELECT * FROM {it.table('some other key')}")
    it.execute(f"DROP TABLE {it.table('some other key')}")


def _linked(it: Installation) -> None:
    (it.root / "elsewhere").mkdir()
    (it.root / "logs" / "user").symlink_to(it.root / "elsewhere")


def _linked_root(it: Installation) -> None:
    (it.root / "link").symlink_to(it.root / "logs")
    it.environment["SESSION_LOG_DIR"] = str(it.root / "link")


def _file_for_directory(it: Installation) -> None:
    (it.root / "file").touch()
    it.environment["SESSION_LOG_DIR"] = str(it.root / "file")


def _environment(name: str, value: str) -> Callable[[Installation], None]:
    return lambda it: it.environment.__setitem__(name, value)


def _without(name: str) -> Callable[[Installation], None]:
    return lambda it: it.environment.pop(name)


def _setting(**settings: str) -> Callable[[Installation], None]:
    return lambda it: it.set(**settings)


def _fault(knobs: Knobs) -> Callable[[Installation], None]:
    return lambda it: it.app.queue_faults(knobs)


def _clock(ahead: float) -> Callable[[Installation], None]:
    return lambda it: setattr(it, "ahead", ahead)


def _sql(statement: str) -> Callable[[Installation], None]:
    return lambda it: it.execute(statement.format(table=it.table()))


BROKEN: Mapping[str, tuple[Callable[[Installation], None], dict[str, str]]] = {
    "no key": (_without("OPENROUTER_API_KEY"), {"key present": "failed"}),
    "a wrong key": (_environment("OPENROUTER_API_KEY", "sk-or-wrong"), {"key accepted": "failed"}),
    "a key under another secret key": (
        _environment("OPENROUTER_API_KEY", "encrypted:gAAAAABmZm9v"),
        {"key decryptable": "failed"},
    ),
    "an account without credits": (_fault(Knobs(status=402, path="/key")), {"key accepted": "failed"}),
    "a gateway without /key": (_fault(Knobs(status=404, path="/key")), {"key accepted": "warning"}),
    "a catalogue that fails": (_fault(Knobs(status=503, path="/models", times=9)), {"catalogue": "failed"}),
    "no model on offer": (_setting(MODEL_ID="no/such-model"), {"catalogue": "failed"}),
    "plain http": (_setting(BASE_URL="http://gateway.test/api/v1"), {"BASE_URL": "failed"}),
    "no address": (_setting(BASE_URL="openrouter"), {"BASE_URL": "failed"}),
    "credentials in the address": (
        _setting(BASE_URL="https://ada:planted@gateway.test/api/v1"),
        {"BASE_URL": "warning"},
    ),
    "a clock ahead": (_clock(-3600.0), {"clock": "failed"}),
    "a clock behind": (_clock(90.0), {"clock": "warning"}),
    "a setting out of bounds": (_setting(ARTIFACT_CLEANUP_DAYS="9999"), {"settings": "failed"}),
    "no secret key": (_without("WEBUI_SECRET_KEY"), {"WEBUI_SECRET_KEY": "warning"}),
    "the default secret key": (_environment("WEBUI_SECRET_KEY", "t0p-s3cr3t"), {"WEBUI_SECRET_KEY": "failed"}),
    "a short secret key": (_environment("WEBUI_SECRET_KEY", "a1b2c3d4e5"), {"WEBUI_SECRET_KEY": "warning"}),
    "a monotonous secret key": (_environment("WEBUI_SECRET_KEY", "abab" * 12), {"WEBUI_SECRET_KEY": "warning"}),
    "SSRF protection off": (_setting(ENABLE_SSRF_PROTECTION="false"), {"SSRF protection": "failed"}),
    "http allowed": (
        _setting(ALLOW_INSECURE_HTTP="true", ALLOW_INSECURE_HTTP_HOSTS="intranet.test"),
        {"https only": "warning"},
    ),
    "no encryption key": (
        # rows stored under the key that is gone are not looked for: the table of no key is another one
        _without("ARTIFACT_ENCRYPTION_KEY"),
        {"encryption key": "warning"},
    ),
    "a short encryption key": (_environment("ARTIFACT_ENCRYPTION_KEY", "short"), {"encryption key": "warning"}),
    "the present key as an older one": (
        _environment("ARTIFACT_ENCRYPTION_PREVIOUS_KEYS", SECRETS["ARTIFACT_ENCRYPTION_KEY"]),
        {"encryption key": "warning"},
    ),
    "only reasoning encrypted": (_setting(ENCRYPT_ALL="false"), {"ENCRYPT_ALL": "warning"}),
    "no database": (_no_database, {"database": "failed"}),
    "nothing names a database": (_without("DATA_DIR"), {"database": "failed"}),
    "a database of another kind": (_environment("DATABASE_URL", "mysql://u:planted@h/d"), {"database": "failed"}),
    "a damaged database": (_damaged_database, {"database": "failed"}),
    "a table without a column": (_sql("ALTER TABLE {table} RENAME COLUMN payload TO body"), {"table": "failed"}),
    "rows of an older key": (
        lambda it: (it.store("older key"), it.environment.update(ARTIFACT_ENCRYPTION_PREVIOUS_KEYS="older key")),
        {"table": "warning"},
    ),
    "rows that no key opens": (_other_key, {"rows readable": "failed"}),
    "rows from the future": (
        _sql("UPDATE {table} SET created_at = '2999-01-01 00:00:00.000000'"),
        {"age of rows": "failed"},
    ),
    "Redis down": (_several_workers, {"Redis reachable": "failed"}),
    **{
        f"several workers without {name}": (
            lambda it, name=name: (_several_workers(it), it.environment.pop(name)),
            {name: "warning"},
        )
        for name in ("REDIS_URL", "WEBSOCKET_MANAGER", "WEBSOCKET_REDIS_URL")
    },
    "several workers without the cache": (
        lambda it: (_several_workers(it), it.set(ENABLE_REDIS_CACHE="false")),
        {"ENABLE_REDIS_CACHE": "warning"},
    ),
    "metrics into a file": (
        lambda it: it.environment.update(OPENROUTER_PIPE_METRICS_DIR=str(it.database)),
        {"metrics directory": "failed"},
    ),
    "costs without Redis": (_setting(COSTS_REDIS_DUMP="true"), {"cost export": "warning"}),
    "no password": (_without("SESSION_LOG_ZIP_PASSWORD"), {"password": "failed"}),
    "a short password": (_environment("SESSION_LOG_ZIP_PASSWORD", "1234567"), {"password": "warning"}),
    "a directory that others may read": (lambda it: (it.root / "logs").chmod(0o755), {"private": "warning"}),
    "a file for a directory": (_file_for_directory, {"directory": "failed"}),
    "a link among the archives": (_linked, {"directory": "failed"}),
    "a directory where nothing can be written": (
        _environment("SESSION_LOG_DIR", "/proc/openrouter-pipe"),
        {"directory": "failed"},
    ),
    "a linked directory": (_linked_root, {"directory": "warning"}),
    "archives from the future": (lambda it: it.archive(age=-7200.0), {"age of archives": "failed"}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_is_named(installation: Installation, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    breaks, expected = BROKEN[name]
    breaks(installation)
    status, checks = installation.run(capsys)
    assert wrong(checks) == expected
    assert status == (2 if "failed" in expected.values() else 0)
    for check in checks:
        if check["name"] in expected:
            assert check["remedy"], "what is wrong comes with what to do"
    assert "planted" not in json.dumps(checks)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written(installation: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    (installation.root / "logs").chmod(0o500)
    assert wrong(installation.run(capsys)[1]) == {"directory": "failed"}


def test_each_installation_is_wrong_in_one_way_and_every_check_can_be_wrong(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(BROKEN) >= 12
    assert {len(expected) for _, expected in BROKEN.values()} == {1}
    told = {name for _, expected in BROKEN.values() for name in expected}
    known = {one["name"] for one in installation.run(capsys)[1]}
    assert told <= known
    assert known - told == ELSEWHERE | NEVER_WRONG


ELSEWHERE: Final = frozenset(
    {
        "free space",  # test_a_full_disk
        *("packages", "library", "metrics library"),  # test_a_package_that_is_missing
        "the Python package redis",  # tests/unit/test_redis_plan.py: the answer is kept for the process
        *("host version", "secrets at rest"),  # test_what_only_the_host_knows
        "model rules",  # tests/integration/test_model_rules_examined.py
    }
)
"""Checks that are wrong in tests of their own."""
NEVER_WRONG: Final = frozenset({"egress policy", "enabled", "identifiers", "retention", "UVICORN_WORKERS"})
"""Checks that tell what is set, or what cannot be seen from here."""


@pytest.mark.parametrize(
    ("package", "expected"),
    [
        ("lz4", {"packages": "failed"}),
        ("pyzipper", {"packages": "failed", "library": "failed"}),  # the function needs it, and session logs do
        ("prometheus_client", {"metrics library": "failed"}),
    ],
)
def test_a_package_that_is_missing(
    installation: Installation,
    package: str,
    expected: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == package else found(name, *more)
    )
    checks = installation.run(capsys)[1]
    assert wrong(checks) == expected
    assert all("install" in one["remedy"] for one in checks if one["name"] in expected)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"host_version": "0.12.4", "stored": {"API_KEY": "encrypted:x"}}, {}),
        ({"host_version": "0.6.27"}, {"host version": "failed"}),
        ({"host_version": "dev"}, {"host version": "warning"}),
        ({"stored": {"API_KEY": SECRETS["OPENROUTER_API_KEY"]}}, {"secrets at rest": "warning"}),
    ],
)
async def test_what_only_the_host_knows(tmp_path: Path, known: dict[str, object], expected: dict[str, str]) -> None:
    installation = await asyncio.to_thread(Installation, tmp_path)
    clients = installation.clients()
    gathered = from_environment({}, installation.environment)
    subject = Subject(
        installation.environment, gathered.settings, clients, gathered.source, chosen=gathered.chosen, **known
    )
    report = await examine(subject)
    await clients.aclose()
    told = {one.name: one.status.value for one in report.checks if one.status in {Status.FAILED, Status.WARNING}}
    assert told == expected
    assert SECRETS["OPENROUTER_API_KEY"] not in repr(report)


def test_a_full_disk(installation: Installation, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=64k", "mode=700") as disk:
        fill(disk)
        installation.environment["SESSION_LOG_DIR"] = str(disk)
        status, checks = installation.run(capsys)
    assert (status, wrong(checks)) == (2, {"free space": "failed"})
    (told,) = [one for one in checks if one["name"] == "free space"]
    assert "no room left" in told["evidence"]
    assert "Free some space" in told["remedy"]


def test_a_disk_for_reading_only(
    installation: Installation, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with mounted(tmp_path / "disk", "ro", "mode=700") as disk:
        installation.environment["SESSION_LOG_DIR"] = str(disk / "logs")
        status, checks = installation.run(capsys)
    assert (status, wrong(checks)) == (2, {"directory": "failed"})
    (told,) = [one for one in checks if one["name"] == "directory"]
    assert "name another in SESSION_LOG_DIR" in told["remedy"]


def test_a_directory_that_is_not_there_yet(installation: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    installation.environment["SESSION_LOG_DIR"] = str(installation.root / "not" / "yet")
    checks = installation.run(capsys)[1]
    assert wrong(checks) == {}
    assert "it will be made" in next(one["evidence"] for one in checks if one["name"] == "directory")
    assert not (installation.root / "not").exists()


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.remove()


def test_redis_that_answers(installation: Installation, redis: RedisServer, capsys: pytest.CaptureFixture[str]) -> None:
    _several_workers(installation)
    installation.environment["REDIS_URL"] = redis.url
    status, checks = installation.run(capsys)
    assert (wrong(checks), status) == ({}, 0)
    group = [one["status"] for one in checks if one["group"] == "multi-worker"]
    assert group == ["ok"] * (len(PREREQUISITES) + 1)


def test_redis_that_forgets(installation: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    server = RedisServer("maxmemory 100mb", "maxmemory-policy allkeys-lru")
    try:
        _several_workers(installation)
        installation.environment["REDIS_URL"] = server.url
        assert wrong(installation.run(capsys)[1]) == {"Redis reachable": "warning"}
    finally:
        server.remove()


def test_the_documented_checks_are_the_checks(installation: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    groups = {group.value for group in Group}
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    told = [(row[0], row[1]) for row in cells if row[0] in groups]
    assert told == [(one["group"], one["name"]) for one in installation.run(capsys)[1]]


def test_every_word_of_the_rule_belongs_to_one_prerequisite() -> None:
    nothing = plan({}, Settings(ENABLE_REDIS_CACHE=False))
    named = [missing(nothing, name) for name in PREREQUISITES if missing(nothing, name)]
    assert sorted(named) == sorted(nothing.missing)


def test_nothing_configured_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused() -> httpx.AsyncBaseTransport:
        return httpx.MockTransport(lambda request: (_ for _ in ()).throw(httpx.ConnectError("no route")))

    options = DoctorOptions(source="environment")
    console = Console(file=io.StringIO(), width=200)
    assert run_doctor(options, {}, console, partial(HttpClients, refused)) == 2
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    for words in ("set OPENROUTER_API_KEY", "Set WEBUI_SECRET_KEY", "DATABASE_URL", "Check BASE_URL"):
        assert words in shown
    assert "broke off" not in shown
    assert "\x1b" not in shown


def test_warnings_count_when_they_are_to(installation: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    installation.environment["WEBUI_SECRET_KEY"] = "a1b2c3d4e5"
    assert installation.run(capsys)[0] == 0
    installation.options = DoctorOptions(source="environment", as_json=True, strict=True)
    assert installation.run(capsys)[0] == 1


async def test_a_group_that_breaks_off_costs_no_other(installation: Installation) -> None:
    async def broken(_: object) -> list[Check]:
        raise RuntimeError(SECRETS["OPENROUTER_API_KEY"])

    clients = installation.clients()
    gathered = from_environment({}, installation.environment)
    subject = Subject(installation.environment, gathered.settings, clients, gathered.source, chosen=gathered.chosen)
    report = await examine(subject, groups={**GROUPS, Group.SECURITY: broken})
    await clients.aclose()
    (told,) = [check for check in report.checks if check.group is Group.SECURITY]
    assert (told.name, told.status) == ("checks", Status.FAILED)
    assert SECRETS["OPENROUTER_API_KEY"] not in repr(report)
    assert {check.group for check in report.checks} == set(Group)
    assert len(report.checks) > 20
    assert report.exit_status(strict=False) == 2


@pytest.mark.parametrize(
    ("pair", "told"),
    [("API_KEY=sk-or-v1-planted", "OPENROUTER_API_KEY"), ("NO_SUCH=1", "docs/valves.md"), ("nothing", "NAME=VALUE")],
)
def test_what_cannot_be_set(pair: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        raise SystemExit(main(["doctor", "--from", "environment", "--set", pair]))
    said = capsys.readouterr().err
    assert told in said
    assert "planted" not in said


def test_the_host_asked_for_and_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--from", "host"]) == 2
    assert "there is no host" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["DATA_DIR", "DATABASE_URL"])
def test_the_host_is_not_imported_where_its_database_is_not(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    value = str(tmp_path) if name == "DATA_DIR" else f"sqlite:///{tmp_path}/no.db"
    assert run_doctor(DoctorOptions(source="host"), {name: value}, Console(file=io.StringIO())) == 2
    assert "name no database of Open WebUI" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_is_encrypted_under_the_present_secret_key(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    it = installation
    it.environment["OPENROUTER_API_KEY"] = encrypt(SECRETS["OPENROUTER_API_KEY"], it.environment)
    assert it.environment["OPENROUTER_API_KEY"].startswith("encrypted:")
    assert wrong(it.run(capsys)[1]) == {}


def test_a_database_server(installation: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    it = installation
    it.environment["DATABASE_URL"] = postgres_url()
    it.store(SECRETS["ARTIFACT_ENCRYPTION_KEY"])
    _, checks = it.run(capsys)
    assert wrong(checks) == {}
    seen = {one["name"]: one["evidence"] for one in checks}
    assert seen["database"] == "postgresql: it answers"
    assert "1 rows" in seen["table"]
    it.environment["DATABASE_URL"] = f"postgresql://ada:planted@127.0.0.1:{free_port()}/webui"
    _, checks = it.run(capsys)
    assert wrong(checks) == {"database": "failed"}
    assert "planted" not in json.dumps(checks)


@pytest.mark.parametrize(("mebibytes", "told"), [(40, "failed"), (500, "warning"), (5000, None)])
def test_a_disk_that_fills(
    installation: Installation,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    mebibytes: int,
    told: str | None,
) -> None:
    usage = shutil.disk_usage("/")._replace(free=mebibytes * 1024 * 1024)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert wrong(installation.run(capsys)[1]) == ({"free space": told} if told else {})


def test_colours_are_for_terminals_that_want_them(installation: Installation) -> None:
    shown = {}
    for name, more in (("plain", {"NO_COLOR": "1"}), ("coloured", {})):
        console = Console(
            file=io.StringIO(), force_terminal=True, width=120, _environ={"TERM": "xterm-256color", **more}
        )
        installation.options = DoctorOptions(source="environment")
        run_doctor(installation.options, installation.environment, console, installation.clients)
        shown[name] = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b[32m" in shown["coloured"]
    assert "\x1b[32m" not in shown["plain"]


def test_the_command_as_monitors_run_it(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "OPENROUTER_API_BASE_URL": f"http://127.0.0.1:{free_port()}/api/v1"}
    command = [sys.executable, "-m", "openrouter_pipe.composition.cli", "doctor", "--from", "environment", "--json"]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60, check=False
    )
    assert done.returncode == 2
    told = json.loads(done.stdout)
    assert told["counts"]["failed"] == sum(one["status"] == Status.FAILED for one in told["checks"])
    assert list(tmp_path.iterdir()) == []
    helped = subprocess.run([*command[:4], "--help"], capture_output=True, text=True, timeout=60, check=False)
    assert "Exit status: 0 nothing failed, 1 warnings" in helped.stdout
