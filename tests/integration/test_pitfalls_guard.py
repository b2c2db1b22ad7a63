"""The guard of downloads stands before everything that is fetched but the provider itself."""

from __future__ import annotations

import ssl
from typing import NoReturn

import pytest

from openrouter_pipe.adapters.memory.runtime import ManualClock
from openrouter_pipe.adapters.web.fetcher import GuardedFetcher
from openrouter_pipe.adapters.web.icons import IconPlace, WebIcons
from openrouter_pipe.composition.policies import fetch_policy
from openrouter_pipe.domain.media.addresses import OutboundGuard
from openrouter_pipe.ports.settings import read_settings


class Nobody:
    """A resolver that must not be asked."""

    async def addresses(self, host: str, port: int) -> tuple[str, ...]:
        raise AssertionError(f"{host} was looked up")


def nowhere(_: ssl.SSLContext) -> NoReturn:
    raise AssertionError("connected")


@pytest.mark.parametrize(
    "place", ["https://127.0.0.1/list", "http://icons.example/list", "https://[::1]/list", "https://10.0.0.7:8443/list"]
)
async def test_the_list_of_icons_is_fetched_under_the_guard_as_well(place: str) -> None:
    fetcher = GuardedFetcher(OutboundGuard(), ManualClock(), Nobody(), nowhere, lambda: None)
    icons = WebIcons(fetcher, lambda: IconPlace(place, fetch_policy(read_settings({}))), ManualClock())
    assert await icons.icons(["a/b"]) == {}
