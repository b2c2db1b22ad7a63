"""The targets of make that need Open WebUI, package registries or minutes, executed in short form in a copy of the checkout.

`tests/integration/test_documented_targets.py` has the table of all of them.
"""

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import venvs

from checkout import Checkout
from documented import PAGES, commands, inline


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """Fresh sources."""
    made = Checkout.made(tmp_path / "copy")
    yield made
    shutil.rmtree(made.root)


def test_make_setup_makes_an_environment_with_the_commands(checkout: Checkout) -> None:
    """Without what the project depends on, which CI installs in its fresh clone: this is about the target."""
    shutil.rmtree(checkout.root / ".venv")
    python = Path(sys.executable).resolve()  # the one behind the environment
    done = checkout.run(f"PIP_NO_DEPS=1 make setup PYTHON={python} && make setup", timeout=150)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("Setting up .venv ...") == 1, "the second time there is nothing to do"
    installed = checkout.run("unset PYTHONPATH; .venv/bin/pip show openrouter-pipe; ls .venv/bin/openrouter-pipe")
    assert f"Editable project location: {checkout.root}" in installed.stdout
    assert installed.returncode == 0


def test_make_wheel_and_every_way_to_install_it_that_is_documented(checkout: Checkout, tmp_path: Path) -> None:
    done = checkout.run("make wheel && ls dist", timeout=150)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^dist/openrouter_pipe-[\d.]+-py3-none-any\.whl$", done.stdout, re.MULTILINE), done.stdout
    lines = [one for page in PAGES for one in (*commands(page), *inline(page, "pip")) if ".whl" in one.text]
    assert lines
    for number, one in enumerate(lines):
        target = tmp_path / f"installed-{number}"
        text = one.text.replace("pip install", f"pip install --no-index --no-deps --target {target}")
        folder = "." if "dist/" in text else "dist"
        done = checkout.run(f"cd {folder} && {text} && PYTHONPATH={target} python -c '{WHERE}'")
        assert done.returncode == 0, f"{one.where}: {done.stdout}"
        assert Path(done.stdout.split()[-1]).is_relative_to(target), f"{one.where}: {done.stdout}"


WHERE = "from openrouter_pipe.composition import cli; cli.make_parser(); print(cli.__file__)"


def test_make_chaos_loses_nothing_that_was_acknowledged(checkout: Checkout) -> None:
    # PostgreSQL runs as somebody else when we are root, who may not enter folders of pytest to get at its programs.
    done = checkout.run(f"make chaos CHAOS_SECONDS=16 SEED=1 BIN={sys.prefix}/bin", timeout=170)
    assert done.returncode == 0, done.stdout
    assert "nothing acknowledged was lost" in done.stdout
    for what in ("worker frozen", "PostgreSQL stopped", "Redis without persistence killed"):
        assert what in done.stdout


IN_A_TERMINAL = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored where the tests run in the background
os.execvp("bash", ["bash", "-c", "exec " + sys.argv[1]])
"""


def test_make_webui_starts_open_webui_with_the_pipe_and_ctrl_c_stops_it(checkout: Checkout) -> None:
    venv = venvs.ensure(venvs.MAIN_VERSION)
    (checkout.root / venv.name).symlink_to(venv)
    with subprocess.Popen(
        [sys.executable, "-c", IN_A_TERMINAL, "make webui"],
        cwd=checkout.root,
        env=checkout.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        told = ""
        try:
            told = _read(process, "Ctrl-C stops it.", 150)
            address, mail, password = (re.search(rf"{name} +(\S+)", told) for name in ("address", "e-mail", "password"))
            assert address, told
            assert mail, told
            assert password, told
            with httpx.Client(base_url=address[1], trust_env=False, timeout=30) as browser:
                assert "<title>Open WebUI" in browser.get("/").text
                token = browser.post("/api/v1/auths/signin", json={"email": mail[1], "password": password[1]}).json()[
                    "token"
                ]
                models = browser.get("/api/models", headers={"Authorization": f"Bearer {token}"}).json()["data"]
                assert any(str(model["id"]).startswith("openrouter.") for model in models)
        finally:
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
            told += _read(process, "stopped", 60)
        assert "stopped" in told
        with pytest.raises(httpx.ConnectError):
            httpx.get(address[1], trust_env=False)


def _read(process: subprocess.Popen[bytes], until: str, seconds: float) -> str:
    """What it prints, up to the words or its end."""
    assert process.stdout is not None
    told, deadline = b"", time.monotonic() + seconds
    while until.encode() not in told and (left := deadline - time.monotonic()) > 0:
        if select.select([process.stdout], [], [], left)[0]:
            more = os.read(process.stdout.fileno(), 65536)
            if not more:
                break
            told += more
    return told.decode()
