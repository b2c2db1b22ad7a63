"""What is examined, and what a check says about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from enum import StrEnum

from attrs import field, frozen

from openrouter_pipe.adapters.openrouter import HttpClients
from openrouter_pipe.ports.settings import Settings


class Group(StrEnum):
    """The checklists of the report, in its order."""

    FUNCTIONAL = "minimum functional"
    SECURITY = "recommended security"
    PERSISTENCE = "persistence"
    WORKERS = "multi-worker"
    TELEMETRY = "telemetry"
    SESSION_LOGS = "session logs"


class Status(StrEnum):
    """``skipped`` is what does not apply here, or cannot be seen from here."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@frozen
class Check:
    """One line of a checklist. ``evidence`` is what was seen; ``remedy`` is what to do, empty when there is nothing to do."""

    group: Group
    name: str
    status: Status
    evidence: str
    remedy: str = ""


@frozen
class Subject:
    """The installation that is examined.

    ``problems`` are the settings that cannot be read, by name; ``settings`` has defaults in their place. ``source`` says in
    words where settings come from. ``stored`` are the valves as the host holds them, None where they are not at hand.
    ``chosen`` are the names of the settings that somebody has set. ``now`` is in seconds since the epoch.
    """

    environment: Mapping[str, str] = field(repr=False)
    settings: Settings
    clients: HttpClients
    source: str
    pipe_id: str = "openrouter"
    problems: Mapping[str, str] = field(factory=dict)
    stored: Mapping[str, object] | None = field(default=None, repr=False)
    chosen: frozenset[str] = frozenset()
    host_version: str = ""
    now: Callable[[], float] = time.time


@frozen
class Checklist:
    """Makes the checks of one group."""

    group: Group

    def ok(self, name: str, evidence: str) -> Check:
        """As it should be."""
        return Check(self.group, name, Status.OK, evidence)

    def warning(self, name: str, evidence: str, remedy: str) -> Check:
        """It works, and should not stay so."""
        return Check(self.group, name, Status.WARNING, evidence, remedy)

    def failed(self, name: str, evidence: str, remedy: str) -> Check:
        """It does not work, or is not safe."""
        return Check(self.group, name, Status.FAILED, evidence, remedy)

    def skipped(self, name: str, evidence: str, remedy: str = "") -> Check:
        """It does not apply, or cannot be seen from here."""
        return Check(self.group, name, Status.SKIPPED, evidence, remedy)


LATE_SECONDS = 120.0
"""How far in the future something may be dated before a clock must have been set back."""
