"""Sources: which are new, and their addresses without tracking. How they are shown is the front end's business."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import SplitResult, urlsplit

import attrs

from openrouter_pipe.domain.streaming.text import well_formed
from openrouter_pipe.ports.items import Citation

_TRACKING_PREFIXES: Final = ("utm_", "mc_", "pk_", "hsa_")
_TRACKING_NAMES: Final = frozenset(
    {
        "_ga",
        "_gl",
        "dclid",
        "fbclid",
        "gad_source",
        "gbraid",
        "gclid",
        "gclsrc",
        "igshid",
        "li_fat_id",
        "mkt_tok",
        "msclkid",
        "srsltid",
        "ttclid",
        "twclid",
        "wbraid",
        "yclid",
    }
)


def clean_url(url: str) -> str:
    """``url`` without tracking parameters and text fragments; otherwise byte for byte the same."""
    parts = _split(url)
    if parts is None:
        return url.strip()
    return _without_tracking(parts).geturl()


def same_page_key(url: str) -> str:
    """A key equal for addresses that lead to the same page: no scheme, no ``www.``, no tracking, no last slash."""
    parts = _split(url)
    if parts is None:
        return url.strip()
    bare = _without_tracking(parts)
    host = bare.netloc.lower().removeprefix("www.")
    return f"{host}{bare.path.rstrip('/')}?{bare.query}#{bare.fragment}"


class CitationBook:
    """Remembers the sources of one turn."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def add(self, citations: Iterable[Citation]) -> tuple[Citation, ...]:
        """Those of ``citations`` that are new, cleaned. Addresses other than http(s) are dropped as unsafe to link."""
        fresh: list[Citation] = []
        for citation in citations:
            parts = _split(citation.url)
            if parts is None or parts.scheme.lower() not in {"http", "https"} or not parts.netloc:
                continue
            key = same_page_key(citation.url)
            if key in self._seen:
                continue
            self._seen.add(key)
            fresh.append(
                attrs.evolve(
                    citation,
                    url=clean_url(citation.url),
                    title=well_formed(citation.title),
                    content=well_formed(citation.content),
                )
            )
        return tuple(fresh)


def _split(url: str) -> SplitResult | None:
    try:
        return urlsplit(well_formed(url).strip())
    except ValueError:
        return None


def _without_tracking(parts: SplitResult) -> SplitResult:
    query = "&".join(pair for pair in parts.query.split("&") if pair and not _is_tracking(pair.partition("=")[0]))
    return parts._replace(query=query, fragment=parts.fragment.partition(":~:")[0])


def _is_tracking(name: str) -> bool:
    lowered = name.lower()
    return lowered in _TRACKING_NAMES or lowered.startswith(_TRACKING_PREFIXES)
