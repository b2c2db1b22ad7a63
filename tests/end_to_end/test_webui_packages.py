"""Installing the wheel beside Open WebUI changes no version that Open WebUI brought and breaks no requirement."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import venvs

DIST = venvs.ROOT / "dist"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout: the one under ``dist`` or, when there is none, one built for the purpose."""
    if found := sorted(DIST.glob("openrouter_pipe-*.whl"), key=lambda path: path.stat().st_mtime):
        return found[-1]
    target = tmp_path_factory.mktemp("wheel")
    uv("build", "--wheel", "-q", "-o", str(target), str(venvs.ROOT))
    return next(target.glob("*.whl"))


def uv(*arguments: str, check: bool = True) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    command = [str(venvs.uv_program()), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout + done.stderr


def packages(python: str) -> dict[str, str]:
    lines = [line for line in uv("pip", "freeze", "-p", python).splitlines() if "==" in line or " @ " in line]
    return {line.split("==")[0].split(" @ ")[0].strip(): line for line in lines}


def complaints(python: str) -> set[str]:
    return {
        line for line in uv("pip", "check", "-p", python, check=False).splitlines() if line.startswith("The package")
    }


@pytest.mark.slow
@pytest.mark.parametrize("version", [venvs.MAIN_VERSION, venvs.OLDEST_VERSION])
def test_the_wheel_moves_no_version(version: str, wheel: Path, tmp_path: Path) -> None:
    original = venvs.ensure(version)
    # Hard links make the copy instant; installers replace files and never write into them.
    copy = tmp_path / "venv"
    shutil.copytree(original, copy, symlinks=True, copy_function=_link_or_copy)
    python = str(venvs.venv_python(copy))
    had, complained = packages(python), complaints(python)
    assert "open-webui" in had
    print("\n" + uv("pip", "install", "-p", python, str(wheel)))
    have = packages(python)
    assert "openrouter-pipe" in have
    assert {name: have.get(name) for name in had} == had
    assert complaints(python) <= complained
    subprocess.run([python, "-c", "import openrouter_pipe.composition, open_webui"], check=True, cwd=tmp_path)
    assert packages(str(venvs.venv_python(original))) == had, "the original environment was touched"


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
    return target
