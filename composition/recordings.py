"""A record of a session log as something that can be run again: the request, what the provider said and when, what tools and
store answered, and what the user was shown.

Reading only; the run is in `openrouter_pipe.composition.replay`. What a record holds is told in docs/session-logs.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

import attrs
from attrs import field, frozen

from openrouter_pipe.adapters.filesystem.search import Record
from openrouter_pipe.adapters.observability.chat import EVENT, REQUEST
from openrouter_pipe.adapters.observability.memory import LOADED, SAVED, STORE_FAULT, TOOLS
from openrouter_pipe.adapters.observability.provider import ANSWERED, ASKED, FAULT
from openrouter_pipe.adapters.observability.rebuild import RebuildError, rebuild, rebuild_one_of
from openrouter_pipe.adapters.observability.values import TAG
from openrouter_pipe.adapters.openwebui.history_text import HistoryText
from openrouter_pipe.composition.session_logs import MODEL, NO_CATALOGUE
from openrouter_pipe.domain.turn.memory import TROUBLE
from openrouter_pipe.ports.artifacts import Artifact
from openrouter_pipe.ports.catalog import ModelCard
from openrouter_pipe.ports.chat import ChatMessage, ChatRequest
from openrouter_pipe.ports.items import AudioPart, FilePart, ImagePart, Part, TextPart, VideoPart
from openrouter_pipe.ports.provider import ProviderEvent, ProviderFault
from openrouter_pipe.ports.settings import SETTINGS_BY_NAME, SettingError, Settings, read_settings
from openrouter_pipe.ports.tools import ToolOutput, ToolSpec

_T = TypeVar("_T")
_DEEPEST: Final = 150
_ATTACHMENT: Final = "[an attachment; the record does not hold it]"
_ELSEWHERE: Final = {
    "server_busy": "the server was busy with other turns",
    "breaker_open": "earlier requests of the user had failed",
}
_NO_CATALOGUE_NEEDED: Final = frozenset({"bad_request", "not_configured"})


class CannotReplayError(Exception):
    """The record cannot be run again; the message says why and what to do."""


@frozen
class Step:
    """Something that the provider said, ``at`` seconds since the epoch; ``more`` whether the next one was there already."""

    at: float
    value: object
    more: bool


@frozen
class Shown:
    """A chat event as recorded; ``line`` counts from 1 in the record."""

    line: int
    event: Mapping[str, Any]


@frozen
class Recording:
    """One turn, ready to be run again.

    ``card`` None: the catalogue had no such model, or there was none because of ``catalogue_fault``. ``notes`` tell what
    cannot be compared; ``warnings_count`` False: warnings beside the answer cannot.
    """

    request: ChatRequest
    began: float
    card: ModelCard | None
    rounds: tuple[tuple[Step, ...], ...] = field(repr=False)
    shown: tuple[Shown, ...] = field(repr=False)
    catalogue_fault: ProviderFault | None = field(default=None, repr=False)
    has_tools: bool = False
    specs: tuple[ToolSpec, ...] = ()
    outputs: tuple[ToolOutput, ...] = field(default=(), repr=False)
    artifacts: tuple[Artifact, ...] = field(default=(), repr=False)
    saved: tuple[tuple[bool, ...], ...] = ()
    store_faults: Mapping[str, str] = field(factory=dict)
    notes: tuple[str, ...] = ()
    warnings_count: bool = True

    @property
    def is_whole(self) -> bool:
        """Whether the turn came to its own end; otherwise its user or the host ended it."""
        return bool(self.shown) and str(self.shown[-1].event.get(TAG)) in {"Completed", "Failed"}


@frozen
class _Line:
    number: int
    at: float
    kind: str
    value: Any


def read_recording(record: Record) -> Recording:
    """The recording in ``record``. Raises `CannotReplayError`."""
    lines = _lines(record)
    first = next((line for line in lines if line.kind == REQUEST), None)
    if first is None:
        raise CannotReplayError(
            "the record does not hold its beginning, only its newest lines: raise SESSION_LOG_MAX_LINES and record again"
        )
    try:
        return _recording(first, lines)
    except RebuildError as error:
        raise CannotReplayError(f"the record cannot be understood: {error}") from error


def _recording(first: _Line, lines: Sequence[_Line]) -> Recording:
    request, notes = _request(first)
    shown = tuple(Shown(line.number, _object(line)) for line in lines if line.kind == EVENT)
    rounds = _rounds(lines)
    _check_cause(shown, rounds)
    artifacts = _values(lines, LOADED, lambda value, at: _many(Artifact, value, at))
    specs = _values(lines, TOOLS, lambda value, at: _many(ToolSpec, value, at))
    return Recording(
        request=request,
        began=first.at,
        card=_card(lines, shown),
        catalogue_fault=next(
            iter(_values(lines, NO_CATALOGUE, lambda value, at: rebuild(ProviderFault, value, at))), None
        ),
        rounds=rounds,
        shown=shown,
        has_tools=_object(first).get("toolbox") is not None,
        specs=specs[-1] if specs else (),
        outputs=tuple(
            rebuild(ToolOutput, one.event.get("output"), f"line {one.line}: output")
            for one in shown
            if one.event.get(TAG) == "ToolFinished"
        ),
        artifacts=tuple(artifact for group in artifacts for artifact in group),
        saved=tuple(_values(lines, SAVED, lambda value, at: _many(bool, value, at))),
        store_faults=_store_faults(lines, shown),
        notes=notes,
        warnings_count=not notes,
    )


def _lines(record: Record) -> list[_Line]:
    if not record.entries:
        if record.meta.get("log_format") == "text":
            raise CannotReplayError(
                "the record was kept as text only, which cannot be run again: set SESSION_LOG_FORMAT to jsonl or both"
            )
        raise CannotReplayError("the record is empty")
    if record.damaged:
        lines = len(record.entries) + record.damaged
        raise CannotReplayError(f"the record is damaged: {len(record.entries)} of its {lines} lines can be read")
    return [_line(number, entry) for number, entry in enumerate(record.entries, 1) if entry.get("event_type") != "log"]


def _line(number: int, entry: Mapping[str, Any]) -> _Line:
    try:
        value = json.loads(str(entry.get("message", "")))
        at = datetime.fromisoformat(str(entry.get("ts"))).timestamp()
    except (ValueError, OverflowError, RecursionError) as error:
        raise CannotReplayError(f"the record is damaged: line {number} cannot be read") from error
    if _is_deeper(value, _DEEPEST):
        raise CannotReplayError(f"the record is damaged: line {number} is nested too deep")
    return _Line(number, at, str(entry.get("event_type", "")), value)


def _is_deeper(value: object, levels: int) -> bool:
    """Whether ``value`` is nested deeper than what we write; level by level, because the depth is the writer's choice."""
    level = [value]
    for _ in range(levels):
        inner = [one for holder in level if isinstance(holder, dict) for one in holder.values()]
        inner.extend(one for holder in level if isinstance(holder, list) for one in holder)
        if not inner:
            return False
        level = inner
    return True


def _object(line: _Line) -> Mapping[str, Any]:
    if not isinstance(line.value, dict):
        raise CannotReplayError(f"the record is damaged: line {line.number} is no object")
    return line.value


def _many(kind: type[_T], value: Any, where: str) -> tuple[_T, ...]:
    if not isinstance(value, list):
        raise RebuildError(f"{where}: a list is expected, not {type(value).__name__}")
    return tuple(rebuild(kind, one, f"{where}[{number}]") for number, one in enumerate(value))


def _values(lines: Sequence[_Line], kind: str, read: Callable[[Any, str], _T]) -> list[_T]:
    return [read(line.value, f"line {line.number}") for line in lines if line.kind == kind]


def _request(line: _Line) -> tuple[ChatRequest, tuple[str, ...]]:
    told = dict(_object(line))
    settings = _settings(told.get("settings"))
    # What of the host's own stands in the text of answers is read by rules alone, which any host's turn may use.
    records = HistoryText() if told.get("records") is not None else None
    given = {"settings": settings, "toolbox": None, "files": None, "records": records}
    request = rebuild(ChatRequest, told, f"line {line.number}: request", given)
    messages = tuple(_without_attachments(message) for message in request.messages)
    if messages == request.messages and "/api/v1/files/" not in str(told.get("messages")):
        return request, ()
    note = "Attachments are not in a record: they are left out, and warnings beside the answer are not compared."
    return attrs.evolve(request, messages=messages), (note,)


def _settings(told: object) -> Settings:
    chosen = {name: value for name, value in told.items() if name in SETTINGS_BY_NAME} if isinstance(told, dict) else {}
    try:
        return read_settings(chosen)
    except SettingError as error:
        raise CannotReplayError(f"a setting of the record is out of bounds here: {error}") from error


def _without_attachments(message: ChatMessage) -> ChatMessage:
    if not any(_is_attachment(part) for part in message.parts):
        return message
    parts = tuple(TextPart(_ATTACHMENT) if _is_attachment(part) else part for part in message.parts)
    return attrs.evolve(message, parts=parts)


def _is_attachment(part: Part) -> bool:
    return isinstance(part, ImagePart | FilePart | AudioPart | VideoPart)


def _rounds(lines: Sequence[_Line]) -> tuple[tuple[Step, ...], ...]:
    rounds: list[list[Step]] = []
    passing = [line for line in lines if line.kind in {ASKED, ANSWERED, FAULT, EVENT}]
    for line, following in zip(passing, (*passing[1:], None), strict=True):
        if line.kind == ASKED:
            rounds.append([])
        elif line.kind != EVENT:
            if not rounds:
                raise CannotReplayError(f"the record is damaged: line {line.number} answers no request")
            kind = ProviderFault if line.kind == FAULT else ProviderEvent
            value = rebuild_one_of(kind, line.value, f"line {line.number}")
            # An event was held back to be merged exactly when another one was taken before anything was shown.
            rounds[-1].append(Step(line.at, value, following is not None and following.kind == ANSWERED))
    return tuple(map(tuple, rounds))


def _check_cause(shown: Sequence[Shown], rounds: Sequence[object]) -> None:
    """Refuse what other turns caused: it is not in this record."""
    if not shown:
        raise CannotReplayError("the user was shown nothing: there is nothing to compare")
    cause = _ELSEWHERE.get(str(shown[-1].event.get("code"))) if not rounds else None
    if cause is not None:
        raise CannotReplayError(f"the turn was refused because {cause}, which no record of one turn holds")


def _card(lines: Sequence[_Line], shown: Sequence[Shown]) -> ModelCard | None:
    for line in lines:
        if line.kind == MODEL:
            return None if line.value is None else rebuild(ModelCard, line.value, f"line {line.number}")
    told = any(line.kind == NO_CATALOGUE for line in lines)
    if told or str(shown[-1].event.get("code")) in _NO_CATALOGUE_NEEDED:
        return None
    raise CannotReplayError(
        "the record holds no model card: it was written by a version before 'openrouter-pipe replay'"
    )


def _store_faults(lines: Sequence[_Line], shown: Sequence[Shown]) -> Mapping[str, str]:
    """What the store failed to do, by step. A store that was spared after failures of other turns counts as one that fails."""
    told = dict(_values(lines, STORE_FAULT, _fault_of_store))
    if told or not any(one.event.get("text") == TROUBLE and one.event.get(TAG) == "Notified" for one in shown):
        return told
    read = any(line.kind == LOADED for line in lines)
    return {step: "the store was spared" for step in ("load", "save", "delete") if not (read and step == "load")}


def _fault_of_store(value: object, where: str) -> tuple[str, str]:
    match value:
        case [str(step), str(message)]:
            return step, message
    raise RebuildError(f"{where}: step and message of a failed store are expected")
