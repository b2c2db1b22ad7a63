"""Session logs in the pipe build: which turns have one, by which rules they are kept, and the workers behind them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from openrouter_pipe.adapters.filesystem import archives
from openrouter_pipe.adapters.filesystem.paths import component
from openrouter_pipe.adapters.filesystem.retention import prune
from openrouter_pipe.adapters.observability.chat import Archiving
from openrouter_pipe.composition.served import LatestSettings
from openrouter_pipe.domain.catalog.service import CatalogService
from openrouter_pipe.domain.redaction import Redactor
from openrouter_pipe.domain.retention import leaves_record
from openrouter_pipe.ports.chat import ChatRequest
from openrouter_pipe.ports.json import JsonValue
from openrouter_pipe.ports.runtime import Clock, Randomness
from openrouter_pipe.ports.session_log import ArchivePolicy, SessionLogs
from openrouter_pipe.ports.settings import Settings, secrets_of

_log = logging.getLogger(__name__)

MODEL: Final = "model.card"
"""The catalogue's card of the model that was asked for; null where the catalogue has none."""

NO_CATALOGUE: Final = "catalogue.fault"
"""Why there was no catalogue at all."""

_JITTER: Final = 0.2
_FIRST_AFTER: Final = (5.0, 30.0)
"""Seconds from the start to the first clean-up: a server that is started anew every hour cleans up too."""
_LOOK_AGAIN: Final = 10.0
"""Seconds after which a changed interval is noticed."""


def archive_policy(request: ChatRequest) -> ArchivePolicy | None:
    """How the record of this turn is kept; None for a turn that leaves none, or whose ids give no name of a file."""
    settings, who = request.settings, request.identity
    if not settings.SESSION_LOG_STORE_ENABLED:
        return None
    policy = ArchivePolicy(
        directory=settings.SESSION_LOG_DIR.strip(),
        password=settings.SESSION_LOG_ZIP_PASSWORD,
        compression=settings.SESSION_LOG_ZIP_COMPRESSION,
        compress_level=settings.SESSION_LOG_ZIP_COMPRESSLEVEL,
        format=settings.SESSION_LOG_FORMAT,
    )
    named = all(component(one) for one in (who.user_id, who.session_id, who.chat_id, who.message_id))
    return policy if named and leaves_record(request, policy) else None


def archive_redaction(settings: Settings) -> Callable[[JsonValue], JsonValue]:
    """How structures in a record are redacted: as errors are; what people wrote stays, that is what records are for."""
    return Redactor(secrets_of(settings)).json


def _known(catalog: CatalogService, request: ChatRequest) -> Iterator[tuple[str, object]]:
    """What a replay needs of the catalogue."""
    models = catalog.known()
    if models is not None:
        model = models.resolve(request.model, request.host_prefix)
        yield MODEL, None if model is None else model.card
    elif (fault := catalog.fault()) is not None:
        yield NO_CATALOGUE, fault


def archiving(logs: SessionLogs, catalog: CatalogService) -> Archiving | None:
    """The session logs of a build; None, with one line in the log, without the library that encrypts them."""
    if not archives.is_available():
        _log.info("session logs cannot be written: the Python package pyzipper is not installed")
        return None
    return Archiving(archive_policy, logs, archive_redaction, partial(_known, catalog))


class LogRetention:
    """The worker that removes old archives, every SESSION_LOG_CLEANUP_INTERVAL_SECONDS, a little apart in each process."""

    def __init__(self, latest: LatestSettings, clock: Clock, randomness: Randomness) -> None:
        self._latest = latest
        self._clock = clock
        self._randomness = randomness

    async def run(self) -> None:
        """Work until cancelled."""
        first: float | None = self._randomness.uniform(*_FIRST_AFTER)
        since, factor = self._clock.monotonic(), 1.0
        while True:
            await self._clock.sleep(_LOOK_AGAIN if first is None else first)
            settings = self._latest.settings
            if settings is None or not settings.SESSION_LOG_STORE_ENABLED or not settings.SESSION_LOG_DIR.strip():
                continue
            due = settings.SESSION_LOG_CLEANUP_INTERVAL_SECONDS * factor
            if first is None and self._clock.monotonic() - since < due:
                continue
            await self._clean_up(settings)
            first, since = None, self._clock.monotonic()
            factor = 1 + _JITTER * self._randomness.uniform(-1.0, 1.0)

    async def _clean_up(self, settings: Settings) -> None:
        done = await asyncio.to_thread(
            prune,
            settings.SESSION_LOG_DIR.strip(),
            settings.SESSION_LOG_RETENTION_DAYS,
            self._clock.now().timestamp(),
        )
        if done.removed:
            _log.info("%d old session logs were removed (%d bytes)", done.removed, done.bytes_freed)
