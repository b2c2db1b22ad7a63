"""The bundle: loaded as the host loads it, on every Python we support, without clash, leak or dependence on luck."""

import ast
import asyncio
import gc
import json
import re
import subprocess
import sys
import threading
import tomllib
import traceback
from pathlib import Path

import pytest

from fake_host import FakeHost, load
from fake_host import modules as host_modules
from openrouter_pipe.composition import bundle, bundle_entry

ROOT = Path(bundle.__file__).parent.parent
FRONT_MATTER = re.compile(r"^\s*([a-z_]+):\s*(.*)\s*$", re.IGNORECASE)
BROUGHT_BY_THE_HOST = {
    "aiohttp",
    "attr",
    "attrs",
    "cryptography",
    "httpx",
    "open_webui",
    "orjson",
    "pydantic",
    "redis",
    "sqlalchemy",
    "starlette",
    "yarl",
}
OTHER_PYTHONS = [
    Path("/root/.pyenv/versions") / version / "bin" / "python" for version in ("3.11.7", "3.12.1", "3.13.0")
]


@pytest.fixture(scope="session")
def modules():
    return bundle.collect(ROOT)


@pytest.fixture(scope="session")
def content(modules):
    return bundle.render(modules)


@pytest.fixture(autouse=True)
def _forget(monkeypatch):
    before = list(sys.meta_path)
    yield
    sys.meta_path[:] = before
    for name in [name for name in sys.modules if name.startswith("openrouter_pipe_")]:
        del sys.modules[name]


def private_modules():
    return sorted(name for name in sys.modules if name.startswith("openrouter_pipe_"))


def test_front_matter_as_the_host_reads_it(content):
    lines = content.splitlines()
    assert lines[0] == '"""'
    found = dict(FRONT_MATTER.match(line).groups() for line in lines[1 : lines.index('"""', 1)])
    assert {"title", "author", "version", "license", "description", "required_open_webui_version"} < set(found)
    assert found["required_open_webui_version"] == "0.6.28"
    wanted = [*bundle_entry.REQUIREMENTS.values(), *bundle_entry.FOR_SOME]
    assert [part.strip() for part in found["requirements"].split(",")] == wanted


def test_requirements_are_those_of_the_package_and_only_what_hosts_lack(modules):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(bundle_entry.REQUIREMENTS.values()) <= set(project["dependencies"])
    assert list(bundle_entry.FOR_SOME) == project["optional-dependencies"]["postgres"]
    imported = set()
    for source in modules.values():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module.partition(".")[0])
    needed = imported - set(sys.stdlib_module_names) - {"openrouter_pipe"} - BROUGHT_BY_THE_HOST - OPTIONAL
    assert needed <= set(bundle_entry.REQUIREMENTS)


OPTIONAL = {"httpx_aiohttp", "prometheus_client", "psycopg", "PIL", "rich"}


def test_nothing_that_the_host_rewrites_and_nothing_that_is_not_needed(content, modules):
    for word in ("utils", "apps", "main", "config"):
        assert f"from {word}" not in content
    assert not [name for name in modules if "simulator" in name or "terminal" in name or name.endswith("bundle")]


def test_same_sources_same_bytes_other_sources_other_name(content, modules):
    assert bundle.render(bundle.collect(ROOT)) == content
    changed = bundle.render({**modules, "ports.json": modules["ports.json"] + "\n"})
    root = re.compile(r"load_bundle\('(openrouter_pipe_[0-9a-f]{12})'")
    assert root.search(changed)[1] != root.search(content)[1]


@pytest.mark.parametrize("recent", [True, False], ids=["0.12.4", "0.6.28"])
def test_it_loads_as_the_host_loads_it(content, recent):
    pipe = load("router", content, recent=recent)
    assert type(pipe).__name__ == "Pipe"
    assert pipe.Valves(API_KEY="x").API_KEY
    assert pipe.UserValves()


def test_two_loads_share_modules_and_two_versions_live_side_by_side(content, modules):
    first, again = load("a", content), load("b", content)
    names = private_modules()
    assert first.valves is not again.valves
    other = load("c", bundle.render({**modules, "ports.json": modules["ports.json"] + "\nMARK = 1\n"}))
    assert len(private_modules()) == 2 * len(names)
    assert type(other).__module__ != type(first).__module__
    assert type(again).__module__ == type(first).__module__


def test_tracebacks_and_sources_are_readable(content):
    pipe = load("router", content)
    try:
        pipe.Valves(API_KEY=[])
    except ValueError as error:
        text = "".join(traceback.format_exception(error))
    assert "/adapters/openwebui/valves.py" in text
    assert "super().__init__(**data)" in text


def test_loading_starts_nothing_and_the_heavy_part_waits(content):
    threads, before = threading.active_count(), set(sys.modules)
    load("router", content)
    assert threading.active_count() == threads
    tails = {name.partition(".")[2] for name in set(sys.modules) - before}
    assert not any(tail.startswith(("domain", "composition.pipe")) for tail in tails)


async def test_twenty_loads_and_releases_leave_everything_where_it_was(content, monkeypatch):
    for name, module in host_modules(recent=True).items():
        monkeypatch.setitem(sys.modules, name, module)
    server = await asyncio.start_server(provider, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setenv("OPENROUTER_API_BASE_URL", f"http://127.0.0.1:{port}/v1")
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-test")

    async def use():
        host = FakeHost(load("router", content))
        assert await host.models() == ["router.vendor.model"]
        text = (await host.chat()).text
        await host.api()
        return text

    assert "Error ID" in await use()
    await settle()
    before = await counts()
    for _ in range(20):
        await use()
    await settle()
    assert await counts() == before
    server.close()


async def provider(reader, writer):
    """Keeps its connections open, as providers do: whoever does not close his end leaves sockets behind."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            await reader.readexactly(int(length[1]) if length else 0)
            listing = head.startswith(b"GET")
            body = b'{"data":[{"id":"vendor/model","name":"Model"}]}' if listing else b'{"error":{"message":"no"}}'
            status = b"200 OK" if listing else b"401 Unauthorized"
            kind = b"content-type: application/json"
            writer.write(b"HTTP/1.1 %b\r\n%b\r\ncontent-length: %d\r\n\r\n%b" % (status, kind, len(body), body))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def settle():
    for _ in range(20):
        gc.collect()
        await asyncio.sleep(0.01)


async def counts():
    sockets = [fd for fd in Path("/proc/self/fd").iterdir() if "socket" in _target(fd)]
    # The loop's own pool of threads grows when it pleases; those are not ours to give back.
    ours = [thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")]
    return len(asyncio.all_tasks()), len(ours), len(sockets)


def _target(path):
    try:
        return str(path.readlink())
    except OSError:
        return ""


async def test_missing_packages_are_explained_in_list_and_chat(content, monkeypatch):
    real = bundle_entry.importlib.util.find_spec

    def find(name, *rest):
        return None if name in {"lz4", "cattrs"} else real(name, *rest)

    monkeypatch.setattr(bundle_entry.importlib.util, "find_spec", find)
    host = FakeHost(load("router", content))
    assert await host.models() == ["router.setup-needed"]
    assert host.pipe.Valves(API_KEY="x").API_KEY
    text = "".join(await host.lines())
    assert "`cattrs>=23.2`, `lz4>=4.3`" in text
    assert "pip install" in text
    assert "pip install" in await host.call(stream=False)
    assert await host.call(stream=False, task="title_generation") == ""


@pytest.mark.parametrize("python", OTHER_PYTHONS, ids=lambda path: path.parent.parent.name)
def test_every_module_compiles_on_every_python(python, modules, tmp_path):
    if not python.exists():
        pytest.skip("this Python is not here")
    (tmp_path / "modules.json").write_text(json.dumps(dict(modules)))
    program = (
        "import json, sys\n"
        "for name, source in json.load(open(sys.argv[1])).items():\n"
        "    compile(source, name, 'exec', dont_inherit=True)\n"
    )
    command = [str(python), "-W", "error", "-c", program, str(tmp_path / "modules.json")]
    subprocess.run(command, check=True, timeout=60)


@pytest.mark.parametrize("python", OTHER_PYTHONS, ids=lambda path: path.parent.parent.name)
def test_it_loads_on_every_python_even_with_nothing_installed(python, content, tmp_path):
    if not python.exists():
        pytest.skip("this Python is not here")
    (tmp_path / "bundle.py").write_text(content)
    # A bare interpreter has neither pydantic nor attrs; loading must get as far as finding that out.
    program = (
        "import sys, types\n"
        "module = types.ModuleType('function_x'); sys.modules['function_x'] = module\n"
        "try:\n"
        "    exec(open(sys.argv[1]).read(), module.__dict__); print(module.Pipe)\n"
        "except ModuleNotFoundError as error:\n"
        "    print('missing', error.name)\n"
    )
    command = [str(python), "-c", program, str(tmp_path / "bundle.py")]
    result = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True)
    assert re.search(r"setup_needed\.Pipe|missing (pydantic|attrs|orjson)", result.stdout)


def test_sources_that_cannot_be_bundled_are_refused_by_name(tmp_path):
    package = tmp_path / "composition"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "bundle_entry.py").write_text("import openrouter_pipe.ports\n")
    with pytest.raises(bundle.BundleError, match=r"composition.bundle_entry, line 1"):
        bundle.collect(tmp_path)
    (package / "bundle_entry.py").write_text("from openrouter_pipe.ports.gone import x\n")
    with pytest.raises(bundle.BundleError, match=r"openrouter_pipe\.ports\.gone is imported"):
        bundle.collect(tmp_path)
    with pytest.raises(bundle.BundleError, match="line of its own"):
        bundle.renamed("from \\\n    openrouter_pipe.ports import json\n", "openrouter_pipe_1", "ports.x")
    (package / "bundle_entry.py").write_text("from . import x\n")
    with pytest.raises(bundle.BundleError, match="relative"):
        bundle.collect(tmp_path)


def test_the_command_line(tmp_path, capsys):
    target = tmp_path / "deep" / "pipe.py"
    assert bundle.main(["-o", str(target)]) == 0
    assert target.read_text().startswith('"""\ntitle: OpenRouter')
    assert bundle.main(["-o", str(tmp_path / "deep" / "pipe.py" / "impossible.py")]) == 1
    assert "no bundle was written" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        bundle.main(["--help"])
