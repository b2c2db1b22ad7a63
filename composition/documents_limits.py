"""The limits that are constants: which there are, where each stands, and its value as people write it."""

from __future__ import annotations

import importlib
from typing import Final

import attrs
from attrs import frozen

_BINARY: Final = ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"))
_TIMES: Final = ((86_400, "days"), (3_600, "hours"), (60, "minutes"))


@frozen
class Limit:
    """One limit: ``place`` is `module:NAME` below the package, or `module:Class.field` for a default; ``unit`` bytes,
    seconds, or a plural noun."""

    topic: str
    what: str
    place: str
    unit: str

    @property
    def value(self) -> str:
        """In words: ``64 KiB``, ``10 seconds``, ``4,000 characters``."""
        return shown(constant(self.place), self.unit)


LIMITS: Final = (
    Limit("admission", "Turns that wait for a place", "domain.admission:AdmissionPolicy.max_waiting", "turns"),
    Limit("admission", "Draining of an instance that was replaced", "adapters.openwebui.instances:DRAIN_SECONDS", "seconds"),
    Limit("attachments", "All attachments of a turn", "domain.media.policy:MediaPolicy.deadline", "seconds"),
    Limit("attachments", "Attachments worked on at a time", "domain.media.policy:MediaPolicy.parallel", "attachments"),
    Limit("attachments", "What one image may unfold to", "domain.media.policy:MediaPolicy.max_pixels", "pixels"),
    Limit("attachments", "Image in the result of a tool", "adapters.openwebui.toolbox:_MAX_IMAGE", "characters"),
    Limit("catalogue", "First retry of a catalogue that cannot be fetched", "domain.catalog.service:_FIRST_DELAY", "seconds"),
    Limit("catalogue", "Longest wait that a provider may ask for", "domain.catalog.service:_LONGEST_RETRY_AFTER", "seconds"),
    Limit("catalogue", "The catalogue's answer", "adapters.openrouter.catalog:_BODY_BYTES", "bytes"),
    Limit("catalogue", "First list of models in the host", "composition.served:LONGEST_LISTING", "seconds"),
    Limit("catalogue", "Description of a model in the host", "domain.catalog.records:LONGEST_DESCRIPTION", "characters"),
    Limit("catalogue", "Icon before it is read", "adapters.web.pictures:MAX_INPUT_BYTES", "bytes"),
    Limit("catalogue", "Icon unfolded", "adapters.web.pictures:MAX_PIXELS", "pixels"),
    Limit("downloads", "Length of an address", "domain.media.urls:MAX_URL_CHARS", "characters"),
    Limit("downloads", "Addresses of a name that are tried", "adapters.web.connecting:_MOST_ADDRESSES", "addresses"),
    Limit("downloads", "Names looked up at a time", "adapters.web.resolver:_MOST_AT_ONCE", "names"),
    Limit("errors", "One value in a template", "domain.errors.templates:LONGEST_VALUE", "characters"),
    Limit("errors", "Entries of a list in a template", "domain.errors.templates:LONGEST_LIST", "entries"),
    Limit("errors", "Secret that is found by its value", "domain.redaction:SHORTEST_SECRET", "characters"),
    Limit("errors", "Base64 that is replaced in texts", "domain.redaction:LONGEST_BASE64", "characters"),
    Limit("errors", "Body of a failure that is kept", "adapters.openrouter.faults:BODY_LIMIT", "bytes"),
    Limit("errors", "One line in the console's log", "adapters.observability.console:LONGEST_LINE", "characters"),
    Limit("history", "Outputs of tools that are cut when they are old, from", "domain.history.pruning:SMALLEST", "characters"),
    Limit("history", "What remains of one: its beginning", "domain.history.pruning:HEAD", "characters"),
    Limit("history", "What remains of one: its end", "domain.history.pruning:TAIL", "characters"),
    Limit("history", "Items named in the warning of one read", "adapters.sql.store:_NAMED_PER_READ", "items"),
    Limit("persistence", "One transaction", "adapters.sql.database:DEADLINE", "seconds"),
    Limit("persistence", "Rows of several turns in one transaction (SQLite)", "adapters.sql.joined:MOST_ROWS", "rows"),
    Limit("persistence", "Their payloads", "adapters.sql.joined:MOST_BYTES", "bytes"),
    Limit("persistence", "Rows deleted in one transaction of the clean-up", "adapters.sql.store:_CLEAN_UP_ROWS", "rows"),
    Limit("persistence", "Largest item", "adapters.sql.envelope:_LARGEST", "bytes"),
    Limit("redis", "One operation", "adapters.redis.connection:DEADLINE", "seconds"),
    Limit("redis", "Largest row", "adapters.redis.rows:LARGEST", "bytes"),
    Limit("redis", "Interval at which rows are carried to the database", "adapters.redis.store:FLUSH_INTERVAL", "seconds"),
    Limit("redis", "Deletions remembered one by one while Redis is away", "adapters.redis.owed:_MOST_ROWS", "rows"),
    Limit("redis", "Rows in the queue; more are written directly", "adapters.redis.store:_LONGEST_QUEUE", "rows"),
    Limit("redis", "Before another worker takes over what one held", "adapters.redis.queue:CLAIM_AFTER", "seconds"),
    Limit("redis", "Waiting for the worker that fetches the catalogue", "adapters.redis.catalog:PATIENCE", "seconds"),
    Limit("session-logs", "Records that wait to be written", "adapters.filesystem.writer:CAPACITY", "records"),
    Limit("session-logs", "Earlier answers kept in an archive", "adapters.filesystem.archives:MOST_EARLIER", "answers"),
    Limit("session-logs", "A file in an archive", "adapters.filesystem.archives:LONGEST_MEMBER", "bytes"),
    Limit("session-logs", "Name of a folder or file", "adapters.filesystem.paths:LONGEST_COMPONENT", "characters"),
    Limit("streaming", "Attempts of a provider request", "domain.turn.attempts:ATTEMPTS", "attempts"),
    Limit("streaming", "Longest wait between them", "domain.turn.attempts:_LONGEST_DELAY", "seconds"),
    Limit("streaming", "One event", "adapters.openrouter.sse:EVENT_BYTES", "bytes"),
    Limit("streaming", "Size from which an event is decoded in a thread", "adapters.openrouter.stream:THREAD_BYTES", "bytes"),
    Limit("streaming", "Pause between two status lines", "domain.streaming.status:_INTERVAL_SECONDS", "seconds"),
    Limit("telemetry", "Interval at which metrics are written", "adapters.observability.prometheus:WRITE_EVERY", "seconds"),
    Limit("telemetry", "Files of workers that are gone are kept", "adapters.observability.prometheus:_STALE_AFTER", "seconds"),
    Limit("telemetry", "Label sets of a metric", "adapters.observability.prometheus:_MOST_SERIES", "series"),
    Limit("telemetry", "Interval at which gauges are looked at", "composition.gauges:EVERY", "seconds"),
    Limit("tools", "Waiting for a person's approval or answer", "domain.tools.stopwatch:PERSON_LIMIT", "seconds"),
    Limit("tools", "Arguments of a call", "domain.tools.arguments:_MAX_ARGUMENTS", "characters"),
    Limit("tools", "Name of a tool", "domain.tools.schemas:_MAX_NAME", "characters"),
    Limit("tools", "Attempts of a call that failed in passing", "domain.tools.orchestration:_ATTEMPTS", "attempts"),
    Limit("tools", "Message of a failing tool", "domain.tools.orchestration:_MAX_MESSAGE", "characters"),
)  # fmt: skip
"""Ordered by topic."""


def constant(place: str) -> object:
    """The value at `module:NAME` or `module:Class.field`; raises `LookupError` where there is none."""
    module, _, path = place.partition(":")
    found: object = importlib.import_module(f"openrouter_pipe.{module}")
    name, _, attribute = path.partition(".")
    try:
        found = getattr(found, name)
        return getattr(attrs.fields(found), attribute).default if attribute else found  # type: ignore[arg-type]
    except AttributeError as error:
        raise LookupError(
            f"{place}: there is no such constant any more; correct composition/documents_limits.py"
        ) from error


def shown(value: object, unit: str = "") -> str:
    """A constant as people write it."""
    match value, unit:
        case tuple(), _:
            return ".".join(map(str, value))
        case int(), "bytes":
            return next((f"{value / size:g} {name}" for size, name in _BINARY if value >= size), f"{value} bytes")
        case int() | float(), "seconds":
            whole = ((size, name) for size, name in _TIMES if value >= 2 * size and value % size == 0)
            return next((f"{value / size:g} {name}" for size, name in whole), f"{value:g} seconds")
        case int() | float(), _:
            return f"{value:,g} {unit}".strip() if value < 1e6 else f"{value:,.0f} {unit}".strip()
        case _:
            return str(value)


def limits_table(topic: str = "") -> str:
    """What, limit, where; of one topic, or of all with the topic in front. Raises `LookupError` for an unknown one."""
    chosen = [limit for limit in LIMITS if topic in {"", limit.topic}]
    if not chosen:
        raise LookupError(f"no limits of {topic!r}; topics: {', '.join(dict.fromkeys(one.topic for one in LIMITS))}")
    if topic:
        rows = [f"| {one.what} | {one.value} | {_where(one.place)} |" for one in chosen]
        return "\n".join(["| What | Limit | Where |", "|---|---|---|", *rows])
    rows = [f"| {one.topic} | {one.what} | {one.value} | {_where(one.place)} |" for one in chosen]
    return "\n".join(["| Topic | What | Limit | Where |", "|---|---|---|---|", *rows])


def _where(place: str) -> str:
    return f"`{place.partition(':')[0].replace('.', '/')}.py`"
