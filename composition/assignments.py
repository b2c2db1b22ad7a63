"""``--set NAME=VALUE`` on the command line."""

from __future__ import annotations

from collections.abc import Sequence

from openrouter_pipe.composition.cli_parts import complain, suggestion
from openrouter_pipe.ports.settings import SETTINGS_BY_NAME


def assignments(pairs: Sequence[str]) -> dict[str, str]:
    """The pairs by name; ends the program with status 2 for one that is none, or that names no setting."""
    chosen: dict[str, str] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name.strip():
            complain(f"--set {pair}: write NAME=VALUE, for example --set REASONING_EFFORT=high")
            raise SystemExit(2)
        if name.strip() not in SETTINGS_BY_NAME:
            meant = suggestion(name.strip(), SETTINGS_BY_NAME) or "; docs/valves.md lists them all"
            complain(f"--set {name.strip()}: there is no such setting{meant}")
            raise SystemExit(2)
        chosen[name.strip()] = value
    return chosen
