"""The hot path costs no more per delta than what is committed; see `guard.py`, which counts in a process of its own.

In the process of the tests it would count what threads of earlier tests do.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).resolve().parent


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


guard = _load("guard")
_THEN = guard.committed().get(guard.version())


@functools.cache
def _counted(*options: str) -> dict[str, dict[str, float]]:
    command = [sys.executable, str(HERE / "guard.py"), "--json", *options]
    return json.loads(subprocess.run(command, check=True, capture_output=True, timeout=150).stdout)


@pytest.mark.skipif(_THEN is None, reason=f"no figures are committed for Python {guard.version()}")
class TestGuard:
    """Each path separately, so that a failure names what became dearer."""

    @pytest.mark.parametrize("path", _THEN or ())
    def test_a_delta_costs_no_more_than_what_is_committed(self, path: str) -> None:
        assert guard.regressions({path: _counted()[path]}, _THEN) == []

    @pytest.mark.parametrize("path", [path for path in _THEN or () if path.startswith("in-memory")])
    def test_one_allocation_more_per_event_is_told(self, path: str) -> None:
        assert guard.regressions({path: _counted("--wasteful")[path]}, _THEN) != []


class TestTheGuardItself:
    """A guard that cannot fail guards nothing."""

    @pytest.mark.skipif(sys.gettrace() is not None, reason="a debugger or coverage is tracing")
    async def test_an_allocation_more_per_delta_is_seen(self) -> None:
        async def lean(deltas: int) -> int:
            return len([_step(number) for number in range(deltas)])

        async def fat(deltas: int) -> int:
            return len([_step({"copy": number}) for number in range(deltas)])

        now, then = await guard.per_delta(fat), await guard.per_delta(lean)
        assert now["blocks"] >= then["blocks"] + 1
        assert now["instructions"] > then["instructions"]

    def test_more_than_a_tenth_is_a_regression(self) -> None:
        then = {"path": {"instructions": 100.0, "blocks": 10.0}}
        assert guard.regressions({"path": {"instructions": 110.0, "blocks": 11.0}}, then) == []
        assert len(guard.regressions({"path": {"instructions": 111.0, "blocks": 11.2}}, then)) == 2

    async def test_a_lost_delta_is_told(self) -> None:
        async def loses(deltas: int) -> int:
            return deltas - 1

        with pytest.raises(AssertionError, match="deltas came out"):
            await guard.per_delta(loses)


@pytest.mark.parametrize(("reasoning", "native"), [(False, False), (False, True), (True, True)])
async def test_a_turn_leaves_nothing_in_cycles(reasoning: bool, native: bool) -> None:
    """What is in a cycle waits for a full garbage collection, and those stop every stream of the process."""
    assert await guard.left_in_cycles(reasoning=reasoning, native=native) < 1


def _step(value: object) -> list[object]:
    return [value]
