"""The console of every subcommand: colours and progress on terminals only, and none where NO_COLOR is set."""

from __future__ import annotations

import os
from collections.abc import Mapping

from rich.console import Console


def make_console(environment: Mapping[str, str] = os.environ, *, stderr: bool = False) -> Console:
    """A console for standard output, or for standard error.

    With NO_COLOR (any value but the empty one, as https://no-color.org says) nothing but text is written, not even the
    movements of a progress bar: whoever sets it reads a terminal in some way that cannot be known here.
    """
    plain = bool(environment.get("NO_COLOR"))
    return Console(stderr=stderr, no_color=plain or None, force_terminal=False if plain else None)
