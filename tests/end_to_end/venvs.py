"""Makes the virtual environments that hold the real Open WebUI: ``python tests/end_to_end/venvs.py [VERSION ...]``.

Here: which versions are tested, where their environments stand in the checkout, what is left out of them and why.
Not here: starting the server (``webui_host.py``). Only the standard library is used, so that a bare machine with
Python and pip can run this file; ``uv`` is fetched into a small environment of its own under ``build/tools``.

A stamp in each environment records what it was made from; a second call with the same wishes does nothing.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "dist" / "openrouter_pipe.py"
TOOLS = ROOT / "build" / "tools"
MAIN_VERSION = "0.12.4"
OLDEST_VERSION = "0.6.28"

# Both versions declare this range; uv picks (or, if allowed, downloads) an interpreter in it.
PYTHON_RANGE = ">=3.11,<3.13"

# Local models, document parsing and the in-browser Python: gigabytes that no chat through a pipe touches. Open WebUI
# imports every one of them lazily, and with RAG_EMBEDDING_ENGINE=openai (see webui_host.py) never.
EXCLUDES = (
    "accelerate",
    "faster-whisper",
    "onnxruntime",
    "opencv-python-headless",
    "pyodide",
    "rapidocr-onnxruntime",
    "sentence-transformers",
    "torch",
    "transformers",
    "unstructured",
)

# 0.12.4 makes its tables in PostgreSQL with psycopg2, which it lists under its extra "postgres"; its images have it.
# The optional renderer of icons in SVG is there in the one version and missing in the other, as with people.
# 0.6.28 imports bs4 but got it only as a dependency of the excluded `unstructured`.
EXTRA_REQUIREMENTS: dict[str, tuple[str, ...]] = {
    MAIN_VERSION: ("psycopg2-binary", "resvg-py>=0.5"),
    OLDEST_VERSION: ("beautifulsoup4",),
}


class SetupError(Exception):
    """The environment cannot be made; the text says what to do about it."""


def venv_path(version: str) -> Path:
    """Where the environment of ``version`` stands: ``.venv-webui`` for the main version, else with the version."""
    return ROOT / (".venv-webui" if version == MAIN_VERSION else f".venv-webui-{version}")


def venv_python(venv: Path) -> Path:
    """The interpreter of an environment."""
    return venv / "bin" / "python"


def bundle_requirements(bundle: Path = BUNDLE) -> tuple[str, ...]:
    """What the bundle's front matter asks Open WebUI to install; empty when there is no bundle yet.

    Open WebUI installs these itself, but not with OFFLINE_MODE, which the tests use so that nothing leaves the machine.
    """
    if not bundle.exists():
        return ()
    with bundle.open(encoding="utf-8") as lines:
        if next(lines, "").strip() != '"""':
            return ()
        for line in lines:
            if '"""' in line:
                break
            if match := re.match(r"\s*requirements:\s*(.*?)\s*$", line, re.IGNORECASE):
                return tuple(part.strip() for part in match[1].split(",") if part.strip())
    return ()


def uv_program() -> Path:
    """The path of ``uv``, installed into ``build/tools`` on first use."""
    uv = TOOLS / "bin" / "uv"
    if uv.exists():
        return uv
    try:
        _run([sys.executable, "-m", "venv", "--clear", str(TOOLS)])
        _run([str(venv_python(TOOLS)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv>=0.9.8"])
    except subprocess.CalledProcessError as error:
        raise SetupError(
            f"cannot install uv into {TOOLS} (exit {error.returncode}). It needs Python's venv module with pip "
            "(Debian and Ubuntu: apt install python3-venv) and access to PyPI or a mirror configured for pip."
        ) from error
    return uv


def ensure(version: str, *, announce: bool = True) -> Path:
    """Makes or refreshes the environment of an Open WebUI version and returns its path; idempotent."""
    venv = venv_path(version)
    requirements = (f"open-webui=={version}", *EXTRA_REQUIREMENTS.get(version, ()), *bundle_requirements())
    stamp = venv / ".openrouter-pipe-stamp"
    wish = hashlib.sha256("\n".join((PYTHON_RANGE, *EXCLUDES, "--", *requirements)).encode()).hexdigest()
    if (venv / "bin" / "open-webui").exists() and stamp.exists() and stamp.read_text().strip() == wish:
        return venv
    if announce:
        print(f"Open WebUI {version}: setting up {venv.relative_to(ROOT)} (about a minute when nothing is cached)")
    uv = str(uv_program())
    if not venv_python(venv).exists():
        _make(uv, venv)
    excludes = TOOLS / "webui-excludes.txt"
    excludes.write_text("\n".join(EXCLUDES) + "\n")
    try:
        _run([uv, "pip", "install", "-q", "-p", str(venv_python(venv)), "--excludes", str(excludes), *requirements])
    except subprocess.CalledProcessError as error:
        raise SetupError(f"installing {', '.join(requirements)} failed (exit {error.returncode}), see above") from error
    stamp.write_text(wish + "\n")
    return venv


def _make(uv: str, venv: Path) -> None:
    if venv.exists():
        shutil.rmtree(venv)
    try:
        # Seeded with pip: 0.6.28 runs pip at every load of a function, also when nothing is to be installed.
        _run([uv, "venv", "-q", "--seed", "-p", PYTHON_RANGE, str(venv)])
    except subprocess.CalledProcessError as error:
        running = ".".join(map(str, sys.version_info[:2]))
        raise SetupError(
            f"Open WebUI needs a Python {PYTHON_RANGE}; this one is {running} and uv found or could fetch no other. "
            "Install Python 3.11 or 3.12 (for example `apt install python3.12-venv`, `brew install python@3.12`, "
            "or `uv python install 3.12`) and run this again."
        ) from error


def _run(command: list[str]) -> None:
    # A pip or uv that inherits an activated environment would look there first.
    environment = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONHOME"}}
    subprocess.run(command, check=True, env=environment)


def main(arguments: list[str] | None = None) -> int:
    """Command line: makes the environments named, by default both tested versions."""
    parser = argparse.ArgumentParser(description="Make the virtual environments of the Open WebUI versions under test.")
    parser.add_argument("versions", nargs="*", default=[MAIN_VERSION, OLDEST_VERSION], metavar="VERSION")
    options = parser.parse_args(arguments)
    try:
        for version in options.versions:
            print(f"Open WebUI {version}: {ensure(version).relative_to(ROOT)} is ready")
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
