"""A copy of this checkout in which documented commands may build, rewrite and remove whatever they like.

Lives here: making the copy and running commands in it. Not here: which commands, and what they are to print.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
IGNORED = tuple(line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split())
OF_THE_CALLER = ("MAKE", "MFLAGS", "GNUMAKE", "OPENROUTER_", "PYTEST_", "VIRTUAL_ENV", "DATABASE_URL", "REDIS_URL")
"""Beginnings of what the environment of the tests may hold and a command must not inherit: `make test` is a make itself."""


class Checkout:
    """The sources at ``root`` as they stand in the working tree, without what was built from them.

    Their ``.venv`` is the environment that runs the tests: its programs and packages, with a stamp of its own.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def made(cls, root: Path) -> Checkout:
        """A fresh copy of the sources."""
        shutil.copytree(ROOT, root, symlinks=True, ignore=shutil.ignore_patterns(".git", *IGNORED))
        (root / ".venv").mkdir()
        for name in ("bin", "lib", "include", "pyvenv.cfg"):
            if (Path(sys.prefix) / name).exists():
                (root / ".venv" / name).symlink_to(Path(sys.prefix) / name)
        (root / ".venv" / ".installed").touch()
        return cls(root)

    def copy(self, root: Path) -> Checkout:
        """Another one with all that was built in this one, as new as it is here."""
        shutil.copytree(self.root, root, symlinks=True)
        return Checkout(root)

    @property
    def environment(self) -> dict[str, str]:
        """That of the tests; imports find the sources of the copy before those that are installed."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OF_THE_CALLER)}
        return {
            **inherited,
            "PATH": f"{self.root / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",  # as if activated
            "PYTHONPATH": str(self.root / ".typing"),
            "COLUMNS": "200",
        }

    def run(self, command: str, *, typed: str = "", timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """What a shell makes of a command; ``typed`` is what somebody types. Both streams are in ``stdout``."""
        return subprocess.run(
            ["bash", "-c", command],
            cwd=self.root,
            env=self.environment,
            input=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )

    def files(self) -> dict[str, bytes]:
        """Every file but those of virtual environments, caches of Python and links."""
        found = {}
        for folder, folders, names in os.walk(self.root):
            folders[:] = [one for one in folders if not one.startswith(".venv") and one != "__pycache__"]
            for path in (Path(folder) / name for name in names):
                if not path.is_symlink():
                    found[str(path.relative_to(self.root))] = path.read_bytes()
        return found
