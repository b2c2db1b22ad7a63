"""The doctor: every check of the production-readiness report, run over one installation, and what it says in words.

Nothing here needs a terminal: the same report is a table on the command line (`composition.doctor_command`), JSON for
monitors, and Markdown in a chat (`composition.diagnostics`).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

import attrs
from attrs import frozen

from openrouter_pipe.composition.checks import functional, persistence, security, session_logs, telemetry, workers
from openrouter_pipe.composition.checks.result import Check, Group, Status, Subject
from openrouter_pipe.domain.redaction import Redactor
from openrouter_pipe.ports.json import JsonValue
from openrouter_pipe.ports.settings import Secret, secrets_of

_log: Final = logging.getLogger(__name__)

Checks = Callable[[Subject], Awaitable[list[Check]]]
GROUPS: Final[Mapping[Group, Checks]] = {
    Group.FUNCTIONAL: functional.checks,
    Group.SECURITY: security.checks,
    Group.PERSISTENCE: persistence.checks,
    Group.WORKERS: workers.checks,
    Group.TELEMETRY: telemetry.checks,
    Group.SESSION_LOGS: session_logs.checks,
}
"""The groups in the order of the report."""

_MARKS: Final = {Status.OK: "✅", Status.WARNING: "⚠️", Status.FAILED: "❌", Status.SKIPPED: "·"}


@frozen
class Report:
    """What the doctor found, in the order of the report; ``source`` says where the settings came from."""

    checks: tuple[Check, ...]
    source: str

    def count(self, status: Status) -> int:
        """How many checks ended so."""
        return sum(check.status is status for check in self.checks)

    def exit_status(self, *, strict: bool) -> int:
        """2 for failures, 1 for warnings where they count, else 0."""
        if self.count(Status.FAILED):
            return 2
        return 1 if strict and self.count(Status.WARNING) else 0

    @property
    def summary(self) -> str:
        """The counts in words."""
        counts = ", ".join(f"{self.count(status)} {status.value}" for status in Status)
        return f"{len(self.checks)} checks: {counts}."

    def as_json(self) -> dict[str, JsonValue]:
        """For monitors; names and words of statuses are stable, evidence and remedies are for people."""
        lines = [{key: str(value) for key, value in attrs.asdict(check).items()} for check in self.checks]
        counts: dict[str, JsonValue] = {status.value: self.count(status) for status in Status}
        return {"settings_from": self.source, "counts": counts, "checks": list[JsonValue](lines)}

    def as_markdown(self) -> str:
        """For a chat: what is wrong first, then everything."""
        wrong = [check for check in self.checks if check.status in {Status.FAILED, Status.WARNING}]
        parts = ["### Diagnostics", self.summary]
        if wrong:
            parts.append(
                "\n".join(f"- {_MARKS[one.status]} **{one.name}**: {one.evidence}. {one.remedy}" for one in wrong)
            )
        for group in Group:
            rows = [
                f"| {_MARKS[check.status]} | {_cell(check.name)} | {_cell(check.evidence)} |"
                for check in self.checks
                if check.group is group
            ]
            parts.append("\n".join([f"**{group.value.capitalize()}**\n", "| | check | seen |", "|---|---|---|", *rows]))
        return "\n\n".join(parts) + "\n"


async def examine(
    subject: Subject, begun: Callable[[Group], None] = lambda _: None, groups: Mapping[Group, Checks] = GROUPS
) -> Report:
    """Run every check of ``groups``; never raises. ``begun`` hears of each group as it begins."""
    redactor = Redactor(secrets_within(subject))
    found: list[Check] = []
    for group, checks in groups.items():
        begun(group)
        try:
            found += await checks(subject)
        except Exception as error:  # noqa: BLE001 - the edge: whatever one group meets, the others are told
            _log.exception("the checks of %r broke off", group.value)
            told = f"these checks broke off ({type(error).__name__})"
            found.append(Check(group, "checks", Status.FAILED, told, "Report this with the log's lines."))
    return Report(tuple(_clean(redactor, found)), subject.source)


def secrets_within(subject: Subject) -> tuple[Secret, ...]:
    """Everything that must not be in evidence: secret settings, stored or not, and what addresses in the environment hold."""
    texts = [subject.environment.get(name, "") for name in ("WEBUI_SECRET_KEY", "DATABASE_PASSWORD")]
    for name in ("DATABASE_URL", "REDIS_URL", "WEBSOCKET_REDIS_URL"):
        try:
            texts.append(urlsplit(subject.environment.get(name, "")).password or "")
        except ValueError:
            texts.append(subject.environment[name])
    return (*secrets_of(subject.settings), *(Secret(one) for one in texts if one))


def _clean(redactor: Redactor, checks: Sequence[Check]) -> list[Check]:
    return [
        attrs.evolve(check, evidence=_one_line(redactor.text(check.evidence)), remedy=redactor.text(check.remedy))
        for check in checks
    ]


def _one_line(text: str) -> str:
    """Without anything that a terminal would obey."""
    return "".join(char if char.isprintable() else " " for char in text)[:600]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
