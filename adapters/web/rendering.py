"""Drawings to PNG in a process of their own, so that no drawing can hold, fill or crash the server that shows it.

The renderer (resvg, by the Python package resvg-py) holds Python's lock while it draws, and a drawing can be made that takes
minutes. The child is given one document of `web.drawings`, little time and little memory, and nothing of the environment.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from openrouter_pipe.ports.files import FileAccessError

SECONDS: Final = 3
_BYTES: Final = 1024**3
_KEPT: Final = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
"""What the interpreter itself may need to start."""

_PYTHON: Final = re.compile(r"(?:python|pypy|graalpy)[\w.-]*", re.IGNORECASE)
"""Names of interpreters. A server that embeds one, or a program with one frozen in, has another."""

_CHILD: Final = """
import sys
try:
    import resource
except ImportError:
    pass
else:
    for name, most in (("RLIMIT_CPU", int(sys.argv[2])), ("RLIMIT_AS", int(sys.argv[3])), ("RLIMIT_CORE", 0)):
        if hasattr(resource, name):
            try:
                resource.setrlimit(getattr(resource, name), (most, most))
            except (ValueError, OSError):
                pass
sys.path.append(sys.argv[1])
import resvg_py
drawing = sys.stdin.buffer.read().decode()
sys.stdout.buffer.write(bytes(resvg_py.svg_to_bytes(svg_string=drawing, skip_system_fonts=True)))
"""


def has_renderer() -> bool:
    """Whether drawings can be rendered here."""
    return _place() is not None and bool(_interpreter())


def rendered(drawing: str, seconds: int = SECONDS) -> bytes:
    """The drawing as PNG; blocks for ``seconds`` at the most.

    Raises:
        FileAccessError: no renderer is installed, it does not come to an end, or it cannot draw this.
    """
    place, program = _place(), _interpreter()
    if place is None or not program:
        raise FileAccessError("SVG pictures need the Python package resvg-py")
    limits = [str(seconds), str(_BYTES)]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter with a constant program
            [program, "-I", "-S", "-c", _CHILD, str(place), *limits],
            input=drawing.encode(),
            capture_output=True,
            timeout=seconds,
            check=False,
            env={name: os.environ[name] for name in _KEPT if name in os.environ},
        )
    except subprocess.TimeoutExpired:
        raise FileAccessError("the drawing takes too long") from None
    except OSError:
        raise FileAccessError("no process could be started for the drawing") from None
    if done.returncode != 0:
        raise FileAccessError("the drawing could not be rendered")
    return done.stdout


def _interpreter() -> str:
    """The Python that runs us; empty where it is part of another program, which would only start a second time."""
    program = sys.executable or ""
    return program if _PYTHON.fullmatch(Path(program).name) and not getattr(sys, "frozen", False) else ""


def _place() -> Path | None:
    """The folder in which the renderer's package stands."""
    try:
        found = importlib.util.find_spec("resvg_py")
    except (ImportError, ValueError):
        return None
    return None if found is None or found.origin is None else Path(found.origin).parent.parent
