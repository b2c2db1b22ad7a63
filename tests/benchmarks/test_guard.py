"""The hot path costs no more per delta than what is committed; see `guard.py`."""

from __future__ import annotations

import importlib.util
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


@pytest.mark.skipif(_THEN is None, reason=f"no figures are committed for Python {guard.version()}")
@pytest.mark.skipif(sys.gettrace() is not None, reason="a debugger or coverage is tracing; the counts would be its own")
class TestGuard:
    """Each path separately, so that a failure names what became dearer."""

    async def test_the_in_memory_build(self) -> None:
        now = {
            "in-memory build, text": await guard.in_memory(reasoning=False),
            "in-memory build, reasoning": await guard.in_memory(reasoning=True),
        }
        assert guard.regressions(now, _THEN) == []

    @pytest.mark.parametrize(
        ("path", "reasoning", "native"),
        [
            ("pipe to program, text", False, False),
            ("pipe to chat, text", False, True),
            ("pipe to chat, reasoning", True, True),
        ],
    )
    async def test_the_whole_pipe(self, path: str, reasoning: bool, native: bool) -> None:
        now = {path: await guard.whole_pipe(reasoning=reasoning, native=native)}
        assert guard.regressions(now, _THEN) == []


class TestTheGuardItself:
    """A guard that cannot fail guards nothing."""

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


def _step(value: object) -> list[object]:
    return [value]
