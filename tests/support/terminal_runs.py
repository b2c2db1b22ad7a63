"""A program that runs commands of `openrouter-pipe` on terminals of their own: ``terminal_runs.py COMMANDS``, both ways JSON.

It forks before anything starts a thread, so that the libraries are loaded once for all commands.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import sys

import aiohttp  # noqa: F401 - loaded once, for all children
import sqlalchemy.ext.asyncio  # noqa: F401

from openrouter_pipe.composition import doctor_command, logs, replay_command, terminal, validate  # noqa: F401
from openrouter_pipe.composition.cli import main


def run(arguments: list[str], environment: dict[str, str]) -> tuple[int, str]:
    """Exit status and everything that the terminal was sent."""
    pid, terminal_end = pty.fork()
    if pid == 0:
        os.environ.update(environment)
        sys.stdin = io.StringIO()
        status = 1
        try:
            status = main(arguments)
        except SystemExit as end:
            status = int(end.code or 0)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    told = b""
    with contextlib.suppress(OSError):  # how Linux says that the other end is closed
        while piece := os.read(terminal_end, 65536):
            told += piece
    os.close(terminal_end)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), told.decode(errors="replace")


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    json.dump([run(one["arguments"], one["environment"]) for one in asked], sys.stdout)
