"""Names of models: the provider's ids, their display form, variants, presets and dates.

Pure text; whether a model of that name exists is known to ``catalog.Catalog``.
"""

from __future__ import annotations

import re
from typing import Final

from attrs import frozen

VARIANTS: Final = frozenset({"free", "thinking", "extended", "nitro", "floor", "online", "exacto"})
"""Suffixes after a colon that are understood on any base id."""

_PRESET: Final = re.compile(r"@preset[/.](?P<slug>[A-Za-z0-9_-]+)\Z", re.IGNORECASE)
_DATE: Final = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8}|\d{2}-\d{4}|\d{2}-\d{2}|\d{4})\Z")
_YEARS: Final = (
    re.compile(r"-(?P<year>\d{4})-?(?P<month>\d{2})-?(?P<day>\d{2})\Z"),
    re.compile(r"-(?P<month>\d{2})-(?P<year>\d{4})(?P<day>)\Z"),
)


@frozen
class ParsedName:
    """A name taken apart: ``base`` keeps its variants, ``preset`` is the bare slug (both may be empty)."""

    base: str
    preset: str = ""


def display_id(model_id: str) -> str:
    """The id as the front end shows it: ``vendor/a/b`` → ``vendor.a.b``."""
    return model_id.replace("/", ".")


def lookup_key(name: str, host_prefix: str = "") -> str:
    """The form in which names are compared: without the host's prefix, lower-case, dots for slashes."""
    return display_id(without_prefix(name.strip(), host_prefix)).lower()


def without_prefix(name: str, host_prefix: str) -> str:
    """``name`` without the leading ``host_prefix`` and its dot, in any case; unchanged when it is not there."""
    prefix = host_prefix.strip().rstrip(".")
    if prefix and name.lower().startswith(f"{prefix.lower()}."):
        return name[len(prefix) + 1 :]
    return name


def parse(name: str) -> ParsedName:
    """Split a preset off: ``model@preset/slug`` or ``@preset/slug``, with slash or dot."""
    text = name.strip()
    found = _PRESET.search(text)
    if found is None:
        return ParsedName(text)
    return ParsedName(text[: found.start()].rstrip(), found["slug"])


def split_variant(name: str) -> tuple[str, str]:
    """``base:free`` → (``base``, ``free``); (``name``, ``""``) when the last suffix is no known variant."""
    base, colon, suffix = name.rpartition(":")
    if colon and base and suffix.strip().lower() in VARIANTS:
        return base, suffix.strip().lower()
    return name, ""


def undated(model_id: str) -> str:
    """The id without the date of a snapshot; variants stay. Unchanged when there is no date."""
    base, colon, suffix = model_id.partition(":")
    return _DATE.sub("", base) + colon + suffix


def date(model_id: str) -> tuple[int, int, int] | None:
    """Year, month and day (0: not said) of a dated snapshot; None without a date, and for one that names no year."""
    base = model_id.partition(":")[0]
    for form in _YEARS:
        if (found := form.search(base)) is not None:
            return int(found["year"]), int(found["month"]), int(found["day"] or 0)
    return None


def vendor(model_id: str) -> str:
    """The vendor of an id in lower case; an alias's tilde does not count."""
    return model_id.lstrip("~").partition("/")[0].lower()
