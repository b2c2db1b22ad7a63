"""What a measurement comes to: values of several runs, their median, floor, targets and verdict."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Check:
    """One target: ``what`` was measured, in ``unit``, and the most it may be."""

    what: str
    measured: float
    limit: float
    unit: str

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        return self.measured <= self.limit


@dataclass
class Figure:
    """One line of the table. ``runs`` and ``floor_runs`` are what was measured; the medians are what counts."""

    key: str
    title: str
    unit: str
    runs: list[float] = field(default_factory=list)
    floor_runs: list[float] = field(default_factory=list)
    floor_name: str = ""
    checks: list[Check] = field(default_factory=list)
    note: str = ""
    skipped: str = ""

    @property
    def value(self) -> float:
        """The median of the runs."""
        return median(self.runs)

    @property
    def floor(self) -> float:
        """The median of the floor's runs; 0 where there is none."""
        return median(self.floor_runs)

    @property
    def ratio(self) -> float:
        """Value to floor; 0 where there is no floor. Of runs in pairs, the median of each pair's, which noise hits less."""
        if not self.floor:
            return 0.0
        if len(self.runs) == len(self.floor_runs):
            return median([mine / bare for mine, bare in zip(self.runs, self.floor_runs, strict=True)])
        return self.value / self.floor

    @property
    def verdict(self) -> str:
        """met, missed, or shown where no target is set."""
        if self.skipped:
            return "skipped"
        if not self.checks:
            return "shown"
        return "met" if all(check.met for check in self.checks) else "missed"

    def at_most(self, limit: float, what: str = "", measured: float | None = None, unit: str | None = None) -> Figure:
        """Set a target; without ``measured`` it is on the value."""
        number = self.value if measured is None else measured
        self.checks.append(Check(what or "value", number, limit, self.unit if unit is None else unit))
        return self

    def at_most_floors(self, limit: float) -> Figure:
        """Set a target on the ratio to the floor."""
        return self.at_most(limit, "ratio", self.ratio, "x floor")

    def as_json(self) -> dict[str, Any]:
        """For the results file."""
        derived = {"value": self.value, "floor": self.floor, "ratio": self.ratio, "verdict": self.verdict}
        return {**asdict(self), **derived}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Figure:
        """From the results file."""
        known = {name: data[name] for name in cls.__dataclass_fields__}
        return cls(**{**known, "checks": [Check(**check) for check in data["checks"]]})


def median(values: Sequence[float]) -> float:
    """The median; 0 of nothing."""
    return statistics.median(values) if values else 0.0


def percentile(values: Sequence[float], part: float) -> float:
    """The value that ``part`` of the others do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0.0
