"""Icons of models: where OpenRouter's own pages say that they are, fetched under the guard, as small PNG data URLs.

The list of those pages is no documented interface: it has moved and changed its shape before. Whatever is missing or odd in it
costs icons and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urljoin

import attrs
from attrs import frozen

from openrouter_pipe.adapters.web.pictures import MAX_INPUT_BYTES, NoRendererError, png_data_url
from openrouter_pipe.ports.files import FetchPolicy, FileAccessError, RemoteFetcher
from openrouter_pipe.ports.runtime import Clock

_log: Final = logging.getLogger(__name__)

_LIST_BYTES: Final = 32 * 1024 * 1024
_AT_ONCE: Final = 10
_DRAWN_AT_ONCE: Final = 2
"""Each takes one of the few threads that look up names for everybody else, too."""
_KEEP_SECONDS: Final = 24 * 3600.0
_FAILURE_SECONDS: Final = 3600.0
_LONGEST_URL: Final = 2048
_MOST_ICONS: Final = 500
_PLACES: Final = (
    ("icon",),
    ("author_icon",),
    ("provider_info", "icon"),
    ("endpoint", "provider_info", "icon"),
    ("icon_url",),
)


@frozen
class IconPlace:
    """Where the list of icons is, and how to download."""

    url: str
    policy: FetchPolicy


class WebIcons:
    """`IconSource` over a guarded fetcher. What was found is remembered for a day, what failed for an hour.

    ``place`` is asked anew each time, because settings change; None means that there are no icons now.
    """

    def __init__(self, fetcher: RemoteFetcher, place: Callable[[], IconPlace | None], clock: Clock) -> None:
        self._fetcher = fetcher
        self._place = place
        self._clock = clock
        self._pictures: dict[str, tuple[float, str]] = {}
        self._list: tuple[float, Mapping[str, str]] = (float("-inf"), {})
        self._from: IconPlace | None = None
        self._told = False

    async def icons(self, model_ids: Sequence[str]) -> Mapping[str, str]:
        """See `IconSource.icons`."""
        place = self._place()
        if place is None or not model_ids:
            return {}
        if place != self._from:  # what was refused may be permitted now
            self._from = place
            self._list, self._pictures = (float("-inf"), {}), {}
        policy = attrs.evolve(place.policy, max_retries=0)
        known = await self._listed(place, policy)
        wanted = {model_id: known[model_id] for model_id in model_ids if model_id in known}
        urls = list(dict.fromkeys(wanted.values()))[:_MOST_ICONS]
        places, drawing = asyncio.Semaphore(_AT_ONCE), asyncio.Semaphore(_DRAWN_AT_ONCE)

        async def one(url: str) -> str:
            async with places:
                return await self._picture(url, policy, drawing)

        found = dict(zip(urls, await asyncio.gather(*map(one, urls)), strict=True))
        return {model_id: found[url] for model_id, url in wanted.items() if found.get(url)}

    async def _listed(self, place: IconPlace, policy: FetchPolicy) -> Mapping[str, str]:
        until, known = self._list
        if self._clock.monotonic() < until:
            return known
        keep = _KEEP_SECONDS
        try:
            file = await self._fetcher.fetch(place.url, attrs.evolve(policy, max_bytes=_LIST_BYTES))
            known = await asyncio.to_thread(read_list, file.data, place.url)
        except FileAccessError as error:
            _log.info("the list of icons could not be read: %s", error)
            keep = _FAILURE_SECONDS
        self._list = (self._clock.monotonic() + keep, known)
        return known

    async def _picture(self, url: str, policy: FetchPolicy, drawing: asyncio.Semaphore) -> str:
        """The data URL, or nothing."""
        now = self._clock.monotonic()
        until, picture = self._pictures.get(url, (float("-inf"), ""))
        if now < until:
            return picture
        keep = _KEEP_SECONDS
        try:
            file = await self._fetcher.fetch(
                url, attrs.evolve(policy, max_bytes=min(policy.max_bytes, MAX_INPUT_BYTES))
            )
            async with drawing:
                picture = await png_data_url(file.data)
        except NoRendererError as error:
            if not self._told:
                self._told = True
                _log.info("icons that are drawings are left out: %s", error)
            keep = _FAILURE_SECONDS
        except FileAccessError as error:
            _log.debug("an icon could not be used: %s", error)
            keep = _FAILURE_SECONDS
        if len(self._pictures) >= 2 * _MOST_ICONS:
            self._pictures.clear()
        self._pictures[url] = (now + keep, picture)
        return picture


def read_list(data: bytes, base: str) -> Mapping[str, str]:
    """Addresses of icons by model id; raises `FileAccessError` for what is no list at all."""
    try:
        content: Any = json.loads(data)
    except (ValueError, RecursionError):
        raise FileAccessError("the list of icons is not JSON") from None
    for _ in range(3):
        if isinstance(content, dict):
            content = next((content[key] for key in ("data", "models") if key in content), None)
    if not isinstance(content, list):
        raise FileAccessError("the list of icons has an unknown shape")
    found: dict[str, str] = {}
    for entry in content:
        if not isinstance(entry, dict):
            continue
        url = next(_urls(entry), "")
        if url:
            for key in ("slug", "id", "permaslug", "canonical_slug"):
                if isinstance(name := entry.get(key), str) and name:
                    found.setdefault(name, _absolute(base, url))
    return {name: url for name, url in found.items() if url}


def _urls(entry: dict[str, Any]) -> Iterator[str]:
    for path in _PLACES:
        value: Any = entry
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, dict):
            value = value.get("url")
        if isinstance(value, str) and 0 < len(value) <= _LONGEST_URL:
            yield value


def _absolute(base: str, url: str) -> str:
    try:
        return urljoin(base, url)
    except ValueError:
        return ""
