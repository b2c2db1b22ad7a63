"""``--set NAME=VALUE`` on the command line."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def assignments(pairs: Sequence[str]) -> dict[str, str]:
    """The pairs by name; ends the program with status 2 for one that is none."""
    chosen: dict[str, str] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name.strip():
            sys.stderr.write(f"--set {pair}: write NAME=VALUE, for example --set REASONING_EFFORT=high\n")
            raise SystemExit(2)
        chosen[name.strip()] = value
    return chosen
