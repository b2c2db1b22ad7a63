"""What can be configured: the simulator's own settings and the knobs of a single answer.

What lives here: ``SimulatorConfig``, ``Knobs`` and their reading from headers, from a line in the user's text, and from
JSON. Not here: what a knob does (``player``, ``scenarios``, ``errors``).
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import asdict, evolve, field, fields, frozen

HEADER_PREFIX = "x-simulator-"
FAULTS = ("reset", "reset-headers", "silence", "garbage", "truncate", "error")
_DIRECTIVE = re.compile(r"^\[\[sim:(?P<knobs>[^\]]*)\]\][ \t]*\r?\n?", re.MULTILINE)
# A task prompt of a chat host quotes the conversation: its directives are history, not an order.
_QUOTED_HISTORY = "<chat_history>"


class KnobError(ValueError):
    """A knob with an unknown name or an impossible value; the text names it and says what would be accepted."""


@frozen
class Knobs:
    """How one answer is given. ``None`` means: not said here.

    scenario: name of a scenario, whatever the model. text: number of words (or deltas, for ``long``).
    speed: events per second. delay_ms: wait before the first byte, headers included. chunk: bytes per write.
    crlf: CRLF line ends. comments: a keep-alive comment before every n-th event. padding: spaces before a JSON body.
    fault: one of ``FAULTS``, after ``after`` events (``reset`` with 0: before the response headers).
    shape: form 1 to 4 of ``fault=error``. status, kind, retry_after (seconds): an HTTP error instead of an answer.
    times: the fault (or status) strikes only the first n requests. path: for queued faults, the path it waits for
    (relative to the base URL; default: either inference path).
    """

    scenario: str | None = None
    text: int | None = None
    speed: float | None = None
    delay_ms: float | None = None
    chunk: int | None = None
    crlf: bool | None = None
    comments: int | None = None
    padding: int | None = None
    fault: str | None = None
    after: int | None = None
    shape: int | None = None
    status: int | None = None
    kind: str | None = None
    retry_after: float | None = None
    times: int | None = None
    path: str | None = None

    def over(self, base: "Knobs") -> "Knobs":
        """These knobs, with ``base`` answering for what is not said here."""
        return evolve(base, **{name: value for name, value in asdict(self).items() if value is not None})

    def without_fault(self) -> "Knobs":
        """The same answer, without anything going wrong."""
        return evolve(self, fault=None, status=None, after=None, kind=None, retry_after=None)

    @property
    def faulty(self) -> bool:
        """Whether something is to go wrong."""
        return self.fault is not None or self.status is not None


@frozen
class SimulatorConfig:
    """Settings of one simulator.

    accepted_keys: None accepts every key that is not empty, except ``rejected_keys``. schema_path: the published
    OpenAPI document; None leaves only the rules that need no schema. generation_misses: how often ``/generation``
    says 404 before it knows a finished generation. clock: seconds since the epoch. sleep: awaited for every pause.
    """

    accepted_keys: frozenset[str] | None = None
    rejected_keys: frozenset[str] = frozenset({"sk-or-wrong"})
    schema_path: Path | None = None
    knobs: Knobs = field(factory=Knobs)
    max_recorded: int = 1000
    generation_misses: int = 0
    clock: Callable[[], float] = field(default=time.time, repr=False)
    sleep: Callable[[float], Awaitable[object]] = field(default=asyncio.sleep, repr=False)


def find_schema(start: Path | None = None) -> Path | None:
    """The published schema in a checkout above ``start`` (default: this file), or None when there is none."""
    here = (start or Path(__file__)).resolve()
    for folder in (here, *here.parents):
        candidate = folder / "tests" / "data" / "openrouter-openapi.yaml"
        if candidate.is_file():
            return candidate
    return None


def knobs_from_headers(headers: Mapping[str, str]) -> Knobs:
    """``X-Simulator-Delay-Ms: 5`` and the like. Raises KnobError."""
    named = {key[len(HEADER_PREFIX) :]: value for key, value in headers.items() if key.startswith(HEADER_PREFIX)}
    return read_knobs(named)


def knobs_from_text(text: str) -> tuple[Knobs, str]:
    """The knobs of the first ``[[sim: name=value; ...]]`` that begins a line, and the text without such lines.

    Raises KnobError.
    """
    found = None if _QUOTED_HISTORY in text else _DIRECTIVE.search(text)
    if found is None:
        return Knobs(), text
    named: dict[str, str] = {}
    for pair in re.split(r"[;,]", found["knobs"]):
        name, _, value = pair.strip().partition("=")
        if name:
            named[name.strip()] = value.strip() or "true"
    return read_knobs(named), _DIRECTIVE.sub("", text).strip()


def read_knobs(named: Mapping[str, Any]) -> Knobs:
    """Knobs from names and values, as text or JSON. Raises KnobError naming the knob and what it accepts."""
    values: dict[str, object] = {}
    for raw_name, value in named.items():
        name = raw_name.strip().lower().replace("-", "_")
        reader = _READERS.get(name)
        if reader is None:
            raise KnobError(f"simulator: unknown knob {raw_name!r}; known are: {', '.join(_READERS)}")
        try:
            values[name] = reader(str(value).strip())
        except ValueError as error:
            raise KnobError(f"simulator: knob {name!r} cannot be {value!r}: {error}") from error
    return Knobs(**values)  # type: ignore[arg-type]  # each reader returns its field's type


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(value: str) -> int:
        if not value.lstrip("-").isdigit() or not low <= int(value) <= high:
            raise ValueError(f"give a whole number from {low} to {high}")
        return int(value)

    return read


def _number(low: float, high: float) -> Callable[[str], float]:
    def read(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not low <= number <= high:
            raise ValueError(f"give a number from {low} to {high}")
        return number

    return read


def _flag(value: str) -> bool:
    match value.lower():
        case "1" | "true" | "yes" | "on":
            return True
        case "0" | "false" | "no" | "off":
            return False
        case _:
            raise ValueError("give true or false")


def _fault(value: str) -> str:
    if value not in FAULTS:
        raise ValueError(f"give one of: {', '.join(FAULTS)}")
    return value


_READERS: dict[str, Callable[[str], object]] = {
    "scenario": str,
    "text": _whole(0, 1_000_000),
    "speed": _number(0.001, 1_000_000),
    "delay_ms": _number(0, 3_600_000),
    "chunk": _whole(1, 1_000_000),
    "crlf": _flag,
    "comments": _whole(1, 1_000_000),
    "padding": _whole(0, 10_000),
    "fault": _fault,
    "after": _whole(0, 1_000_000),
    "shape": _whole(1, 4),
    "status": _whole(400, 599),
    "kind": str,
    "retry_after": _number(0, 1_000_000),
    "times": _whole(0, 1_000_000),
    "path": str,
}
if set(_READERS) != {attribute.name for attribute in fields(Knobs)}:  # pragma: no cover - a slip in this file
    raise AssertionError("every knob needs a reader")
