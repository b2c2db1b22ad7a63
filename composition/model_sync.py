"""The host's records of models in the pipe build: by which rules they are written, and `openrouter-pipe sync`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import urljoin

from openrouter_pipe.adapters.memory.host_models import MemoryIcons
from openrouter_pipe.adapters.openwebui.companions import SEARCH_FILTER
from openrouter_pipe.adapters.openwebui.records import HostFunctionTable, HostRecords, is_running
from openrouter_pipe.adapters.web import IconPlace
from openrouter_pipe.composition.policies import fetch_policy, turn_policies
from openrouter_pipe.composition.served import LatestSettings
from openrouter_pipe.domain.catalog.records import RecordPolicy
from openrouter_pipe.domain.catalog.sync import Host, SyncPolicy
from openrouter_pipe.ports.host_models import IconSource
from openrouter_pipe.ports.settings import Settings

_ICON_LIST: Final = "/api/frontend/models"
"""What OpenRouter's own pages read; documented nowhere, so its absence costs icons only."""


def sync_policy(settings: Settings, pipe_id: str) -> SyncPolicy:
    """What these settings synchronise."""
    policies = turn_policies(settings, pipe_id)
    return SyncPolicy(
        prefix=pipe_id,
        connection=policies.connection,
        refresh_seconds=policies.catalog_refresh_seconds,
        selection=policies.selection,
        records=RecordPolicy(
            images=settings.UPDATE_MODEL_IMAGES,
            descriptions=settings.UPDATE_MODEL_DESCRIPTIONS,
            capabilities=settings.UPDATE_MODEL_CAPABILITIES,
            attach_filter=settings.AUTO_ATTACH_ORS_FILTER,
            default_filter=settings.AUTO_DEFAULT_OPENROUTER_SEARCH_FILTER and settings.AUTO_ATTACH_ORS_FILTER,
        ),
        install_filter=settings.AUTO_INSTALL_ORS_FILTER,
        downloads=fetch_policy(settings),
    )


def latest_policy(latest: LatestSettings, pipe_id: str) -> Callable[[], SyncPolicy | None]:
    """The policy of the latest request's settings; None before the first, and where no host runs."""

    def policy() -> SyncPolicy | None:
        if latest.settings is None or not is_running():
            return None
        return sync_policy(latest.settings, pipe_id)

    return policy


def icon_place(latest: LatestSettings) -> Callable[[], IconPlace | None]:
    """Where icons are listed by the latest request's settings; None before the first, and where they are switched off."""

    return lambda: None if latest.settings is None else icon_place_of(latest.settings)


def icon_place_of(settings: Settings) -> IconPlace | None:
    """Where icons are listed by these settings; None where they are switched off."""
    if not settings.UPDATE_MODEL_IMAGES:
        return None
    return IconPlace(urljoin(settings.BASE_URL, _ICON_LIST), fetch_policy(settings))


def host_of(icons: IconSource | None = None) -> Host:
    """The host of this process."""
    return Host(HostRecords(), HostFunctionTable(), icons or MemoryIcons(), SEARCH_FILTER)
